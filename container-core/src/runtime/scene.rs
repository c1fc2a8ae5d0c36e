//! A container's file system put together for a process of ours to look at or to write to: never
//! its `/proc`, `/sys` or `/dev`, and no device of it can be opened.
//!
//! Of a running container the root is taken out of its mount namespace, so that there is one
//! overlay; of others it is mounted anew. What the caller has mounted is mounted anew in both
//! cases, from the host's side. All of it lies in a mount namespace of this process alone.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sched::CloneFlags;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags};

use super::id_mapped::Shift;
use super::resolve::{self, Links};
use super::{Fault, copy_up, mount, sys};
use crate::plan::{IdMaps, Mount, Root, Source, User};

/// What is to be seen.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Scene {
    /// The root. Of a running container, its path alone counts: where it is attached.
    pub(crate) root: Root,
    /// The root was mounted read-only.
    pub(crate) root_read_only: bool,
    /// Nothing may be changed.
    pub(crate) read_only: bool,
    /// What is mounted below, parents first.
    pub(crate) mounts: Vec<Mount>,
    /// What the container's ids are outside, if it has a user namespace of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id_maps: Option<IdMaps>,
    /// Who runs the container's program: some mounts' files seem to be this user's.
    pub(crate) user: User,
}

// include/uapi/linux/mount.h
const MOUNT_ATTR_RDONLY: u64 = 0x1;
const MOUNT_ATTR_NOSUID: u64 = 0x2;
const MOUNT_ATTR_NODEV: u64 = 0x4;
const MS_SLAVE: u64 = 1 << 19;
const MS_REC: u64 = 0x4000;

// include/uapi/linux/magic.h
const OVERLAYFS: i64 = 0x794c_7630;
const TMPFS: i64 = 0x0102_1994;

/// Puts it together and returns the root. `container` is the first process of a running one. As an
/// ordinary user's this process is in its user namespace already; for one that has its own it is
/// in another with the same ids in the end, where the container cannot reach it.
pub(crate) fn make(scene: &Scene, container: Option<BorrowedFd<'_>>) -> Result<OwnedFd, Fault> {
    // A container that shares the machine's process ids may see this process.
    sys::forbid_dumps().map_err(Fault::at("forbid core dumps"))?;
    let maps = scene.id_maps.as_ref();
    let shift = maps.map(Shift::take_on).transpose();
    let shift = shift.map_err(Fault::at("take on the container's ids"))?;
    nix::sched::unshare(CloneFlags::CLONE_NEWNS).map_err(Fault::at("make a mount namespace"))?;
    mount::propagation(MS_SLAVE | MS_REC)
        .map_err(Fault::at("detach the mount namespace from the host's"))?;
    let taken = match container {
        Some(container) => Some(
            mount::within(container, || copy_mounts(scene))
                .map_err(Fault::at("copy the mounts of the container"))?,
        ),
        None => None,
    };
    let shown = match &taken {
        Some(taken) => attach(&taken.root, &scene.root.path),
        None => mount::root(&scene.root, shift.as_ref()).map(drop),
    };
    shown.map_err(Fault::at("mount the root of the container"))?;
    let root = open(&scene.root.path).map_err(Fault::at("open the root of the container"))?;
    below(scene, root.as_fd(), taken, shift.as_ref())?;
    restrict(scene, &root).map_err(Fault::at("restrict what is mounted"))?;
    if let Some(shift) = shift {
        // From here on ids are what the container sees.
        shift
            .enter()
            .map_err(Fault::at("enter the container's ids"))?;
        sys::forbid_dumps().map_err(Fault::at("forbid core dumps"))?;
    }
    Ok(root)
}

/// Mounts taken from a running container.
struct Taken {
    root: OwnedFd,
    /// By their place in [`Scene::mounts`].
    mounts: Vec<(usize, OwnedFd)>,
}

fn copy_mounts(scene: &Scene) -> io::Result<Taken> {
    let tree = mount::clone_tree(CWD, "/", false)?;
    if scene.root.overlay.is_some() && magic(&tree)? != OVERLAYFS {
        return Err(io::Error::other(
            "its root is not the file system that it was started with",
        ));
    }
    let root = open("/")?;
    let mut mounts = Vec::new();
    for (index, mount) in scene.mounts.iter().enumerate() {
        let expected = match &mount.source {
            Source::Overlay(overlay) if overlay.upper.is_some() => OVERLAYFS,
            Source::New { .. } => TMPFS,
            _ => continue,
        };
        // What the container has moved, covered or unmounted is not seen.
        let Ok(at) = resolve::open(root.as_fd(), &mount.target, OFlags::PATH, Links::Follow) else {
            continue;
        };
        if is_mounted(&at)? && magic(&at)? == expected {
            mounts.push((index, mount::clone_tree(&at, "", false)?));
        }
    }
    Ok(Taken { root: tree, mounts })
}

/// Mounts what is below the root.
fn below(
    scene: &Scene,
    root: BorrowedFd<'_>,
    taken: Option<Taken>,
    shift: Option<&Shift>,
) -> Result<(), Fault> {
    let running = taken.is_some();
    let mut taken: Vec<_> = taken.map(|taken| taken.mounts).unwrap_or_default();
    for (index, mount) in scene.mounts.iter().enumerate() {
        if let Some(at) = taken.iter().position(|(place, _)| *place == index) {
            let (_, tree) = taken.swap_remove(at);
            let target = resolve::open(root, &mount.target, OFlags::PATH, Links::Follow);
            target
                .and_then(|target| mount::place(&tree, target.as_fd()))
                .map_err(|e| Fault::setup(mount, &e))?;
            continue;
        }
        let wanted = match &mount.source {
            Source::Bind { path, .. } => exists(path),
            Source::Overlay(overlay) => overlay.upper.is_none() || !running,
            // Memory ends with the container's run.
            Source::New { .. } => false,
        };
        if !wanted {
            continue;
        }
        let tree = mount::tree(root, mount, &scene.user, shift)?;
        // What a first start would find in a new volume is there for who looks before.
        if let (false, Some(volume), Some(tree)) = (running, &mount.copy_up, &tree) {
            copy_up::copy_up(root, &mount.target, volume, tree.as_fd())
                .map_err(|e| Fault::setup(mount, &e))?;
        }
        mount::mount(root, mount, tree, shift)?;
    }
    Ok(())
}

/// The host's side of a mount may have gone since the container was made.
fn exists(path: &str) -> bool {
    rustix::fs::statat(CWD, path, AtFlags::empty()).is_ok()
}

/// Nobody opens a device through these mounts, whatever the container puts where.
fn restrict(scene: &Scene, root: &OwnedFd) -> io::Result<()> {
    let mut set = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID;
    if scene.read_only {
        set |= MOUNT_ATTR_RDONLY;
    }
    sys::mount_setattr(root.as_fd(), true, set, 0, 0)?;
    if scene.root_read_only {
        sys::mount_setattr(root.as_fd(), false, MOUNT_ATTR_RDONLY, 0, 0)?;
    }
    Ok(())
}

fn attach(tree: &OwnedFd, path: &str) -> io::Result<()> {
    mount::place(tree, open(path)?.as_fd())
}

fn open(path: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

fn magic(fd: impl AsFd) -> io::Result<i64> {
    #[allow(
        clippy::useless_conversion,
        reason = "the field's type differs by architecture"
    )]
    Ok(i64::from(rustix::fs::fstatfs(fd)?.f_type))
}

/// True when something is mounted right there (statx(2), Linux 5.8).
fn is_mounted(fd: &OwnedFd) -> io::Result<bool> {
    const STATX_ATTR_MOUNT_ROOT: u64 = 0x2000;
    let flags = AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW;
    let stat = rustix::fs::statx(fd, "", flags, StatxFlags::BASIC_STATS)?;
    Ok(stat.stx_attributes.bits() & STATX_ATTR_MOUNT_ROOT != 0)
}

/// Whether a directory lies on the same mount as another (statx(2), Linux 5.8).
pub(crate) fn same_mount(a: BorrowedFd<'_>, b: BorrowedFd<'_>) -> io::Result<bool> {
    let id = |fd| -> io::Result<u64> {
        let stat = rustix::fs::statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
        Ok(stat.stx_mnt_id)
    };
    Ok(id(a)? == id(b)?)
}
