//! Mounts whose files seem to belong to others than on disk (mount_setattr(2), Linux 5.12).
//!
//! The layers, the changes and the volumes of a container have the container's own ids on disk,
//! whether or not it has a user namespace of its own. Where it has one, they are mounted shifted:
//! what is 0 on disk is its root's, and what it writes as root is 0 on disk. So nothing on disk
//! changes with its range of ids, and whoever reads there sees what the container sees.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};

use super::{Fault, mount, sys, user, userns};
use crate::plan::{IdMaps, Mount, MountIds, User};

/// A container's own user namespace, for a process outside that mounts for it.
#[derive(Debug)]
pub(super) struct Shift {
    maps: IdMaps,
    namespace: OwnedFd,
}

impl Shift {
    /// From here on what this process makes belongs to the container's root: where ids are
    /// shifted the machine's does not exist, and overlayfs works as whoever has mounted it.
    pub(super) fn take_on(maps: &IdMaps) -> io::Result<Self> {
        let namespace = userns::with_maps(maps)?;
        let root = maps.outside((0, 0)).ok_or(io::ErrorKind::InvalidInput)?;
        sys::own_files_as(root)?;
        Ok(Self {
            maps: maps.clone(),
            namespace,
        })
    }

    /// Enters the user namespace, as its root.
    pub(super) fn enter(self) -> io::Result<()> {
        nix::sched::setns(self.namespace, nix::sched::CloneFlags::CLONE_NEWUSER)?;
        Ok(userns::become_root()?)
    }

    /// A directory, shifted and detached.
    pub(super) fn directory(&self, path: &Path) -> io::Result<OwnedFd> {
        let tree = mount::clone_tree(CWD, &path.to_string_lossy(), false)?;
        self.apply(&tree).map_err(|e| {
            let why = explained(&e).map_or_else(|| e.to_string(), str::to_owned);
            io::Error::other(format!("{} cannot be id-mapped: {why}", path.display()))
        })?;
        Ok(tree)
    }

    /// Shifts a detached mount.
    pub(super) fn apply(&self, tree: &OwnedFd) -> io::Result<()> {
        sys::id_map(tree.as_fd(), self.namespace.as_fd())
    }
}

/// Opens a directory in another.
pub(super) fn open_in(directory: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(directory, name, flags, Mode::empty())?)
}

/// Shifts the owners of a detached mount's files, where the plan wants that.
pub(super) fn apply(
    root: BorrowedFd<'_>,
    tree: &OwnedFd,
    mount: &Mount,
    user: &User,
    shift: Option<&Shift>,
) -> Result<(), Fault> {
    let maps = match &mount.ids {
        MountIds::Plain => return Ok(()),
        MountIds::Container => {
            let shifted = shift.map_or(Ok(()), |shift| shift.apply(tree));
            return shifted.map_err(|e| fault(mount, &e));
        }
        MountIds::Maps(maps) => maps.clone(),
        MountIds::Swap { uid, gid } => {
            let inside = user::ids(root, user)?;
            let seen = match shift {
                None => inside,
                Some(shift) => shift.maps.outside(inside).ok_or_else(|| Fault::Setting {
                    setting: "user".into(),
                    value: format!("{}:{}", inside.0, inside.1),
                    reason: "it does not exist in the container's user namespace".into(),
                })?,
            };
            let already = seen.0 == *uid;
            match IdMaps::swapping(seen, (*uid, *gid)) {
                None => return Ok(()),
                Some(maps) => match shifted(tree, &maps) {
                    // Nobody but the machine's root may do this, but only the group is lost.
                    Err(e) if already && is_refused(&e) => return Ok(()),
                    shifted => return shifted.map_err(|e| fault(mount, &e)),
                },
            }
        }
    };
    shifted(tree, &maps).map_err(|e| fault(mount, &e))
}

fn shifted(tree: &OwnedFd, maps: &IdMaps) -> io::Result<()> {
    let namespace = userns::with_maps(maps)?;
    sys::id_map(tree.as_fd(), namespace.as_fd())
}

fn is_refused(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

/// What is missing, where the kernel's answer is short.
fn explained(error: &io::Error) -> Option<&'static str> {
    match error.raw_os_error()? {
        libc::EPERM => Some(
            "only the machine's root can have such a mount (an id-mapped one), and of what is not \
             id-mapped already",
        ),
        libc::EINVAL => Some(
            "the file system it lies on, or one mounted below, cannot be id-mapped (ext4, xfs and \
             btrfs can since Linux 5.12, tmpfs since 6.3); with bind-recursive=disabled what is \
             mounted below is left out",
        ),
        libc::ENOSYS => Some("this kernel has no id-mapped mounts, which Linux has since 5.12"),
        _ => None,
    }
}

fn fault(mount: &Mount, error: &io::Error) -> Fault {
    let refused = is_refused(error);
    let Some(reason) = explained(error) else {
        return Fault::setup(mount, error);
    };
    let advice = match mount.ids {
        MountIds::Swap { .. } if refused => {
            "; as an ordinary user this works for a container whose user is root, who is you \
             outside"
        }
        _ => "",
    };
    Fault::Setting {
        setting: match mount.ids {
            MountIds::Container => "mount".into(),
            _ => "owner".into(),
        },
        value: mount.target.clone(),
        reason: format!("{reason}{advice}"),
    }
}
