//! Mounts whose files seem to belong to others than on disk (mount_setattr(2), Linux 5.12).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::{Fault, sys, user, userns};
use crate::plan::{IdMaps, Mount, MountIds, User};

/// Shifts the owners of a detached mount's files, where the plan wants that.
pub(super) fn apply(
    root: BorrowedFd<'_>,
    tree: &OwnedFd,
    mount: &Mount,
    user: &User,
) -> Result<(), Fault> {
    let maps = match &mount.ids {
        MountIds::Plain | MountIds::Container => return Ok(()),
        MountIds::Maps(maps) => maps.clone(),
        MountIds::Swap { uid, gid } => {
            let inside = user::ids(root, user)?;
            let already = inside.0 == *uid;
            match IdMaps::swapping(inside, (*uid, *gid)) {
                None => return Ok(()),
                Some(maps) => match shift(tree, &maps) {
                    // Nobody but the machine's root may do this, but only the group is lost.
                    Err(e) if already && is_refused(&e) => return Ok(()),
                    shifted => return shifted.map_err(|e| fault(mount, &e)),
                },
            }
        }
    };
    shift(tree, &maps).map_err(|e| fault(mount, &e))
}

fn shift(tree: &OwnedFd, maps: &IdMaps) -> io::Result<()> {
    let namespace = userns::with_maps(maps)?;
    sys::id_map(tree.as_fd(), namespace.as_fd())
}

fn is_refused(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

fn fault(mount: &Mount, error: &io::Error) -> Fault {
    let reason = match error.raw_os_error() {
        Some(libc::EPERM) => {
            "only the machine's root can have such a mount (an id-mapped one); as an ordinary user \
             this works for a container whose user is root, who is you outside"
        }
        Some(libc::EINVAL) => {
            "the file system it lies on, or one mounted below, cannot be id-mapped (ext4, xfs and \
             btrfs can since Linux 5.12, tmpfs since 6.3); with bind-recursive=disabled what is \
             mounted below is left out"
        }
        _ => return Fault::setup(mount, error),
    };
    Fault::Setting {
        setting: "owner".into(),
        value: mount.target.clone(),
        reason: reason.into(),
    }
}
