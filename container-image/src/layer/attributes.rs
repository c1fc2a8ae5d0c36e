//! Owners, modes, extended attributes and times of what was unpacked.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::{Owners, UnpackError, io_error, refused};
use crate::tarball::{Entry, Xattr};

/// What every kind of file has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attributes {
    /// None for a symbolic link.
    pub(super) mode: Option<u32>,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: Option<(i64, u32)>,
}

impl Attributes {
    pub(super) fn of(entry: &Entry) -> Self {
        Self {
            mode: Some(entry.mode),
            uid: entry.uid,
            gid: entry.gid,
            mtime: Some(entry.mtime),
        }
    }

    /// Of directories that no entry mentions.
    pub(super) fn implicit() -> Self {
        Self {
            mode: Some(0o755),
            uid: 0,
            gid: 0,
            mtime: None,
        }
    }
}

/// How to get at the file.
#[derive(Clone, Copy)]
pub(super) enum Target<'a> {
    /// A regular file or directory that is open.
    Open(&'a OwnedFd),
    /// Anything else, by its name in a directory; just made there by us.
    Named(BorrowedFd<'a>, &'a [u8]),
}

impl Target<'_> {
    /// Sets owner, mode and time. `own` is the owner that new files get by themselves.
    pub(super) fn set(
        self,
        attributes: &Attributes,
        owners: Owners,
        own: (u32, u32),
        path: &[u8],
    ) -> Result<(), UnpackError> {
        let wanted = match owners {
            Owners::Keep => (attributes.uid, attributes.gid),
            Owners::Squash => own,
            Owners::All { uid, gid } => (uid, gid),
        };
        if wanted != own {
            self.set_owner(wanted).map_err(|error| match error {
                Errno::INVAL => refused(
                    path,
                    format!(
                        "its owner {}:{} does not exist in this user namespace; \
                         give the user more ids in /etc/subuid and /etc/subgid",
                        wanted.0, wanted.1
                    ),
                ),
                error => io_error("set owner of", path, error),
            })?;
        }
        // After the owner, since a change of owner takes setuid and setgid away.
        if let Some(mode) = attributes.mode {
            self.set_mode(Mode::from_raw_mode(mode))
                .map_err(|error| io_error("set mode of", path, error))?;
        }
        if let Some(mtime) = attributes.mtime {
            self.set_time(mtime)
                .map_err(|error| io_error("set time of", path, error))?;
        }
        Ok(())
    }

    fn set_owner(self, (uid, gid): (u32, u32)) -> Result<(), Errno> {
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        match self {
            Self::Open(fd) => rustix::fs::fchown(fd, uid, gid),
            Self::Named(dir, name) => {
                rustix::fs::chownat(dir, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
            }
        }
    }

    fn set_mode(self, mode: Mode) -> Result<(), Errno> {
        match self {
            Self::Open(fd) => rustix::fs::fchmod(fd, mode),
            Self::Named(dir, name) => {
                // Not by the name: somebody may have put a link in its place, to anywhere.
                let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file = rustix::fs::openat(dir, name, flags, Mode::empty())?;
                let stat = rustix::fs::fstat(&file)?;
                if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
                    return Err(Errno::LOOP);
                }
                let link = format!("/proc/self/fd/{}", file.as_raw_fd());
                rustix::fs::chmod(link, mode)
            }
        }
    }

    fn set_time(self, (seconds, nanoseconds): (i64, u32)) -> Result<(), Errno> {
        let time = Timespec {
            tv_sec: seconds,
            tv_nsec: nanoseconds.into(),
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        match self {
            Self::Open(fd) => rustix::fs::futimens(fd, &times),
            Self::Named(dir, name) => {
                rustix::fs::utimensat(dir, name, &times, AtFlags::SYMLINK_NOFOLLOW)
            }
        }
    }

    /// Sets extended attributes: after the owner, whose change takes capabilities away.
    ///
    /// One that this file system or user namespace does not allow is left out, as by Docker.
    pub(super) fn set_xattrs(self, xattrs: &[Xattr], path: &[u8]) -> Result<(), UnpackError> {
        for (name, value) in xattrs {
            if !is_welcome(name) {
                continue;
            }
            let flags = XattrFlags::empty();
            let result = match self {
                Self::Open(fd) => rustix::fs::fsetxattr(fd, name.as_slice(), value, flags),
                Self::Named(dir, file) => {
                    // No call takes a directory handle here before 6.13.
                    let mut link = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
                    link.extend_from_slice(file);
                    rustix::fs::lsetxattr(link, name.as_slice(), value, flags)
                }
            };
            match result {
                Ok(()) => {}
                Err(Errno::OPNOTSUPP | Errno::PERM) => tracing::debug!(
                    path = %path.escape_ascii(),
                    attribute = %name.escape_ascii(),
                    "extended attribute not permitted here, left out"
                ),
                Err(error) => return Err(io_error("set extended attribute of", path, error)),
            }
        }
        Ok(())
    }
}

/// overlayfs' own attributes would redirect lookups to other files or hide them; SELinux labels
/// belong to the policy of the host.
pub(crate) fn is_welcome(name: &[u8]) -> bool {
    !(name.starts_with(b"trusted.overlay.")
        || name.starts_with(b"user.overlay.")
        || name == b"security.selinux")
}
