//! The one resolver: paths of an image, an archive or a user, inside a root directory
//! (openat2(2), Linux 5.6). No string is ever joined into a root file system.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// As many symbolic links as the kernel follows (path_resolution(7)).
const MAX_LINKS: u32 = 40;

/// How symbolic links on the way are treated. They never lead out of the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    Follow,
    Refuse,
}

/// Opens a path inside the root.
pub(crate) fn open(
    root: BorrowedFd<'_>,
    path: &str,
    flags: OFlags,
    links: Links,
) -> io::Result<OwnedFd> {
    let mut resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    if links == Links::Refuse {
        resolve |= ResolveFlags::NO_SYMLINKS;
    }
    let path = if path.is_empty() { "/" } else { path };
    // A rename elsewhere during the walk makes the kernel give up with EAGAIN (openat2(2)).
    for _ in 0..64 {
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            result => return Ok(result?),
        }
    }
    Err(Errno::AGAIN.into())
}

/// What [`ensure`] makes when nothing is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Make {
    Directory,
    File,
}

/// Opens a path inside the root for use as a mount point (`O_PATH`); makes it, and directories
/// on the way, when missing.
pub(crate) fn ensure(
    root: BorrowedFd<'_>,
    path: &str,
    make: Make,
    links: Links,
) -> io::Result<OwnedFd> {
    ensure_within(root, path, make, links, MAX_LINKS)
}

fn ensure_within(
    root: BorrowedFd<'_>,
    path: &str,
    make: Make,
    links: Links,
    left: u32,
) -> io::Result<OwnedFd> {
    match open(root, path, OFlags::PATH, links) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        result => return result,
    }
    let path = path.trim_end_matches('/');
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    if left == 0 || matches!(name, "" | "." | "..") {
        return Err(Errno::LOOP.into());
    }
    let parent_fd = ensure_within(root, parent, Make::Directory, links, left - 1)?;
    let made = match make {
        Make::Directory => rustix::fs::mkdirat(&parent_fd, name, Mode::from_raw_mode(0o755)),
        Make::File => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(&parent_fd, name, flags, Mode::from_raw_mode(0o644)).map(drop)
        }
    };
    match made {
        Ok(()) => open(root, path, OFlags::PATH, links),
        Err(Errno::EXIST) => {
            // Either somebody else has made it, or it is a link that leads nowhere yet.
            match rustix::fs::readlinkat(&parent_fd, name, Vec::new()) {
                Ok(target) if links == Links::Follow => {
                    let target = target.to_string_lossy().into_owned();
                    let target = if target.starts_with('/') {
                        target
                    } else {
                        format!("{parent}/{target}")
                    };
                    ensure_within(root, &target, make, links, left - 1)
                }
                _ => open(root, path, OFlags::PATH, links),
            }
        }
        Err(e) => Err(e.into()),
    }
}

/// True when the descriptor lies in a proc file system.
pub(crate) fn is_proc(fd: impl AsFd) -> io::Result<bool> {
    const PROC_SUPER_MAGIC: i64 = 0x9fa0;
    #[allow(
        clippy::useless_conversion,
        reason = "the field's type differs by architecture"
    )]
    Ok(i64::from(rustix::fs::fstatfs(fd)?.f_type) == PROC_SUPER_MAGIC)
}

/// True when the descriptor is a directory.
pub(crate) fn is_directory(fd: impl AsFd) -> io::Result<bool> {
    let stat = rustix::fs::statat(fd, "", AtFlags::EMPTY_PATH)?;
    Ok(rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir())
}
