//! Mounts, by file descriptor: made detached, then moved onto a resolved target, so that no path
//! is walked twice (open_tree(2), fsopen(2), move_mount(2), all Linux 5.2).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags,
};

use super::id_mapped::{self, Shift};
use super::resolve::{self, Links, Make};
use super::{Fault, sys};
use crate::plan::{Mount, MountIds, Overlay, Root, Source, User};

/// Makes the root file system and returns it. `shift` is there when this process mounts, from
/// outside, for a container with a user namespace of its own.
pub(super) fn root(root: &Root, shift: Option<&Shift>) -> io::Result<OwnedFd> {
    let shift = shift.filter(|_| root.ids == MountIds::Container);
    match &root.overlay {
        Some(overlay) => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let target = rustix::fs::open(&*root.path, flags, Mode::empty())?;
            mount_overlay(overlay, target.as_fd(), shift)?;
            Ok(rustix::fs::open(&*root.path, flags, Mode::empty())?)
        }
        None => {
            let tree = clone_tree(CWD, &root.path, true)?;
            if let Some(shift) = shift {
                shift.apply(&tree)?;
            }
            rustix::mount::move_mount(
                &tree,
                "",
                CWD,
                &*root.path,
                MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
            )?;
            Ok(tree)
        }
    }
}

/// Makes what is to be mounted, detached. An overlay of which all is wanted is none: mount(2) puts
/// it in place at once.
pub(super) fn tree(
    root: BorrowedFd<'_>,
    mount: &Mount,
    user: &User,
    shift: Option<&Shift>,
) -> Result<Option<OwnedFd>, Fault> {
    let fault = |e: io::Error| Fault::setup(mount, &e);
    let tree = match (&mount.source, &mount.subpath) {
        (Source::Bind { path, recursive }, None) => {
            clone_tree(CWD, path, *recursive).map_err(|e| bind_fault(mount, path, &e))?
        }
        (Source::Bind { path, recursive }, Some(subpath)) => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let whole = rustix::fs::open(&**path, flags, Mode::empty())
                .map_err(|e| bind_fault(mount, path, &e.into()))?;
            part(whole.as_fd(), subpath, *recursive).map_err(|e| part_fault(mount, subpath, &e))?
        }
        (Source::New { .. }, None) => new(mount).map_err(fault)?,
        (Source::Overlay(_), None) => return Ok(None),
        (_, Some(subpath)) => {
            aside(root, mount, subpath, shift).map_err(|e| part_fault(mount, subpath, &e))?
        }
    };
    if !matches!(mount.source, Source::Overlay(_)) {
        id_mapped::apply(root, &tree, mount, user, shift)?;
    }
    Ok(Some(tree))
}

fn new(mount: &Mount) -> io::Result<OwnedFd> {
    match &mount.source {
        Source::New {
            fstype,
            source,
            options,
        } => new_filesystem(fstype, source, options, new_attributes(mount)),
        _ => Err(Errno::INVAL.into()),
    }
}

/// The attributes that a new file system's mount is made with. One that is to be filled first
/// gets them later.
fn new_attributes(mount: &Mount) -> u64 {
    match (&mount.source, &mount.copy_up) {
        (Source::New { .. }, None) => mount.set,
        _ => 0,
    }
}

/// A detached copy of what is mounted at a path inside a directory.
fn part(whole: BorrowedFd<'_>, subpath: &str, recursive: bool) -> io::Result<OwnedFd> {
    let part = resolve::open(whole, subpath, OFlags::PATH, Links::Follow)?;
    clone_tree(&part, "", recursive)
}

/// A part of a file system that is mounted nowhere. Only what is mounted can be copied in part
/// (before Linux 6.15), so it is for a moment, where `/dev` has been mounted already.
fn aside(
    root: BorrowedFd<'_>,
    mount: &Mount,
    subpath: &str,
    shift: Option<&Shift>,
) -> io::Result<OwnedFd> {
    let scratch = || resolve::ensure(root, "/dev", Make::Directory, Links::Refuse);
    match &mount.source {
        Source::Overlay(overlay) => {
            mount_overlay(overlay, scratch()?.as_fd(), wanted(mount, shift))?
        }
        _ => place(&new(mount)?, scratch()?.as_fd())?,
    }
    // Opened again, the path leads to what is mounted now.
    let whole = scratch()?;
    let part = part(whole.as_fd(), subpath, false);
    let path = format!("/proc/self/fd/{}", whole.as_raw_fd());
    rustix::mount::unmount(path, rustix::mount::UnmountFlags::DETACH)?;
    part
}

fn part_fault(mount: &Mount, subpath: &str, error: &io::Error) -> Fault {
    if error.kind() != io::ErrorKind::NotFound {
        return Fault::setup(mount, error);
    }
    Fault::Setting {
        setting: "mount".into(),
        value: mount.target.clone(),
        reason: format!("the subpath {subpath} does not exist in the source"),
    }
}

/// Carries out one mount below the root.
pub(super) fn mount(
    root: BorrowedFd<'_>,
    mount: &Mount,
    tree: Option<OwnedFd>,
    shift: Option<&Shift>,
) -> Result<(), Fault> {
    let fault = |e: io::Error| Fault::setup(mount, &e);
    let links = links(mount);
    let tree = match (&mount.source, tree) {
        (_, Some(tree)) => tree,
        (Source::Overlay(overlay), None) => {
            let target = resolve::ensure(root, &mount.target, Make::Directory, links);
            let target = target.map_err(fault)?;
            return mount_overlay(overlay, target.as_fd(), wanted(mount, shift)).map_err(fault);
        }
        (_, None) => return Err(fault(Errno::BADF.into())),
    };
    let whole = matches!(mount.source, Source::New { .. }) && mount.subpath.is_none();
    let make = if whole || resolve::is_directory(&tree).map_err(fault)? {
        Make::Directory
    } else {
        Make::File
    };
    let target =
        resolve::ensure(root, &mount.target, make, links).map_err(|e| target_fault(mount, &e))?;
    if mount.foreign
        && !mount.target.starts_with("/proc/")
        && resolve::is_proc(&target).map_err(fault)?
    {
        return Err(Fault::Setting {
            setting: "mount".into(),
            value: mount.target.clone(),
            reason: "the image leads this path into /proc, where nothing may be mounted".into(),
        });
    }
    attach(&tree, target.as_fd(), mount).map_err(|e| place_fault(mount, &tree, &target, &e))
}

/// What shifts the directories of an overlay, where that is wanted.
fn wanted<'s>(mount: &Mount, shift: Option<&'s Shift>) -> Option<&'s Shift> {
    shift.filter(|_| mount.ids == MountIds::Container)
}

fn place_fault(mount: &Mount, tree: &OwnedFd, target: &OwnedFd, error: &io::Error) -> Fault {
    let kinds = (resolve::is_directory(tree), resolve::is_directory(target));
    let reason = match kinds {
        (Ok(false), Ok(true)) => "the source is a file, and in the container there is a directory",
        (Ok(true), Ok(false)) => "the source is a directory, and in the container there is a file",
        _ => return Fault::setup(mount, error),
    };
    Fault::Setting {
        setting: "mount".into(),
        value: mount.target.clone(),
        reason: reason.into(),
    }
}

/// The caller's targets may be reached over the image's links; ours must be what they seem.
pub(super) fn links(mount: &Mount) -> Links {
    if mount.foreign {
        Links::Follow
    } else {
        Links::Refuse
    }
}

/// Sets attributes and propagation of a detached mount and puts it in place.
pub(super) fn attach(tree: &OwnedFd, target: BorrowedFd<'_>, mount: &Mount) -> io::Result<()> {
    // A new file system's mount has been made with its attributes.
    let new = matches!(mount.source, Source::New { .. }) && mount.copy_up.is_none();
    if mount.set | mount.clear != 0 && !new {
        sys::mount_setattr(tree.as_fd(), mount.recursive, mount.set, mount.clear, 0)?;
    }
    place(tree, target)?;
    if mount.propagation != 0 {
        let recursive = mount.propagation & MS_REC != 0;
        sys::mount_setattr(tree.as_fd(), recursive, 0, 0, mount.propagation & !MS_REC)?;
    }
    Ok(())
}

/// `MS_REC` of mount(2).
const MS_REC: u64 = 0x4000;

pub(super) fn place(tree: &OwnedFd, target: BorrowedFd<'_>) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(rustix::mount::move_mount(tree, "", target, "", flags)?)
}

fn bind_fault(mount: &Mount, path: &str, error: &io::Error) -> Fault {
    if error.kind() == io::ErrorKind::NotFound {
        return Fault::Setting {
            setting: "mount".into(),
            value: mount.target.clone(),
            reason: format!(
                "Invalid mount config for type \"bind\": bind source path does not exist: {path}"
            ),
        };
    }
    Fault::setup(mount, error)
}

fn target_fault(mount: &Mount, error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => Fault::Setting {
            setting: "mount".into(),
            value: mount.target.clone(),
            reason: "the mount point does not exist and cannot be made: it lies on a read-only \
                     file system"
                .into(),
        },
        io::ErrorKind::NotADirectory => Fault::Setting {
            setting: "mount".into(),
            value: mount.target.clone(),
            reason: "a parent of the mount point is no directory in the container".into(),
        },
        _ => Fault::setup(mount, error),
    }
}

/// A detached copy of the mount at a path.
pub(super) fn clone_tree(at: impl AsFd, path: &str, recursive: bool) -> io::Result<OwnedFd> {
    if let Some((pid, inside)) = in_another_namespace(path) {
        return clone_elsewhere(pid, inside, recursive);
    }
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    if path.is_empty() {
        flags |= OpenTreeFlags::AT_EMPTY_PATH;
    }
    Ok(rustix::mount::open_tree(at, path, flags)?)
}

/// The process and its path, of a path through its root: `/proc/PID/root/…`.
fn in_another_namespace(path: &str) -> Option<(&str, &str)> {
    let (pid, inside) = path.strip_prefix("/proc/")?.split_once("/root/")?;
    pid.bytes()
        .all(|b| b.is_ascii_digit())
        .then_some((pid, inside))
}

/// A mount of another mount namespace can only be cloned there (open_tree(2)).
fn clone_elsewhere(pid: &str, path: &str, recursive: bool) -> io::Result<OwnedFd> {
    let theirs = std::fs::File::open(format!("/proc/{pid}/ns/mnt"))?;
    within(theirs, || {
        // That container is as hostile as any: nothing may lead out of its root.
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let root = rustix::fs::open("/", flags | OFlags::DIRECTORY, Mode::empty())?;
        let found = resolve::open(root.as_fd(), path, flags, Links::Follow)?;
        clone_tree(found, "", recursive)
    })
}

/// Does something in another mount namespace (given by itself, or a process in it), where `/` is
/// that one's root, and comes back.
pub(super) fn within<T>(
    namespace: impl AsFd,
    act: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    let flags = nix::sched::CloneFlags::CLONE_NEWNS;
    let own = std::fs::File::open("/proc/self/ns/mnt")?;
    nix::sched::setns(namespace, flags)?;
    let done = act();
    nix::sched::setns(own, flags)?;
    done
}

/// A detached instance of a file system, its mount with these `MOUNT_ATTR_…`.
pub(super) fn new_filesystem(
    fstype: &str,
    source: &str,
    options: &[(String, Option<String>)],
    attributes: u64,
) -> io::Result<OwnedFd> {
    let attributes = u32::try_from(attributes).map_err(|_| Errno::INVAL)?;
    let fs = match rustix::mount::fsopen(fstype, FsOpenFlags::FSOPEN_CLOEXEC) {
        Err(Errno::NODEV) => {
            let reason = format!("this kernel has no file system {fstype}");
            return Err(io::Error::other(reason));
        }
        opened => opened?,
    };
    let configure = || -> io::Result<()> {
        rustix::mount::fsconfig_set_string(&fs, "source", source)?;
        for (key, value) in options {
            match value {
                Some(value) => rustix::mount::fsconfig_set_string(&fs, &**key, &**value)?,
                None => rustix::mount::fsconfig_set_flag(&fs, &**key)?,
            }
        }
        Ok(rustix::mount::fsconfig_create(&fs)?)
    };
    configure().map_err(|e| explain(&fs, e))?;
    Ok(rustix::mount::fsmount(
        &fs,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::from_bits_retain(attributes),
    )?)
}

/// The kernel leaves its reason in the file system's context, one line a read.
fn explain(fs: &OwnedFd, error: io::Error) -> io::Error {
    let mut line = [0; 256];
    match rustix::io::read(fs, &mut line) {
        Ok(n) if n > 2 => {
            let text = String::from_utf8_lossy(&line[2..n]);
            io::Error::new(error.kind(), format!("{error}: {}", text.trim()))
        }
        _ => error,
    }
}

/// Mounts overlayfs. The directories are handed over as descriptors in `/proc/self/fd`: a page
/// of options (mount(2)) then holds hundreds of layers, and no name needs escaping.
fn mount_overlay(
    overlay: &Overlay,
    target: BorrowedFd<'_>,
    shift: Option<&Shift>,
) -> io::Result<()> {
    let open = |path: &str| match shift {
        None => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::open(path, flags, Mode::empty())
                .map_err(|e| io::Error::new(io::Error::from(e).kind(), format!("{path}: {e}")))
        }
        Some(shift) => shift.directory(path.as_ref()),
    };
    let lower = overlay
        .lower
        .iter()
        .map(|d| open(d))
        .collect::<io::Result<Vec<_>>>()?;
    let numbers: Vec<_> = lower.iter().map(|fd| fd.as_raw_fd().to_string()).collect();
    let mut options = vec![format!("lowerdir={}", numbers.join(":"))];
    let (private, both) = match (&overlay.upper, shift) {
        (Some((upper, work)), None) => (Some((open(upper)?, open(work)?)), None),
        (Some((upper, work)), Some(shift)) => {
            // They have to lie on one mount.
            let (upper, work) = (Path::new(upper), Path::new(work));
            let both = upper.parent().filter(|dir| work.parent() == Some(*dir));
            let both = shift.directory(both.ok_or(Errno::XDEV)?)?;
            let open = |path| id_mapped::open_in(&both, path);
            (Some((open(upper)?, open(work)?)), Some(both))
        }
        (None, _) => (None, None),
    };
    if shift.is_some() {
        // Before Linux 6.15, overlayfs takes only what is mounted somewhere. The overlay covers it.
        for tree in lower.iter().chain(&both) {
            place(tree, target)?;
        }
    }
    if let Some((upper, work)) = &private {
        options.push(format!("upperdir={}", upper.as_raw_fd()));
        options.push(format!("workdir={}", work.as_raw_fd()));
    }
    options.extend(overlay.options.iter().cloned());
    let options = std::ffi::CString::new(options.join(","))?;
    rustix::process::chdir("/proc/self/fd")?;
    let mounted = rustix::mount::mount(
        "overlay",
        target.as_raw_fd().to_string(),
        "overlay",
        MountFlags::empty(),
        Some(&*options),
    );
    rustix::process::chdir("/")?;
    match (mounted, shift) {
        (Err(Errno::INVAL), Some(_)) => Err(io::Error::other(
            "invalid argument (dmesg(1) says which); Linux takes id-mapped layers since 5.19",
        )),
        (mounted, _) => Ok(mounted?),
    }
}

/// What paths are hidden with: made for the first path that needs it, cloned for the others.
#[derive(Debug, Default)]
pub(super) struct Masks {
    /// The null device, for files.
    null: Option<OwnedFd>,
    /// An empty directory that stays so, for directories.
    empty: Option<OwnedFd>,
}

/// Hides a path: an empty read-only directory over a directory, the null device over a file.
pub(super) fn mask(root: BorrowedFd<'_>, path: &str, masks: &mut Masks) -> io::Result<()> {
    let Some(target) = existing(root, path)? else {
        return Ok(());
    };
    if !resolve::is_directory(&target)? {
        let null = match &mut masks.null {
            Some(null) => null,
            none => none.insert(null_device(root)?),
        };
        let tree = clone_tree(null, "", false)?;
        sys::mount_setattr(tree.as_fd(), false, READ_ONLY, 0, 0)?;
        return place(&tree, target.as_fd());
    }
    if let Some(empty) = &masks.empty {
        return place(&clone_tree(empty, "", false)?, target.as_fd());
    }
    let options = [("nr_inodes".to_owned(), Some("1".to_owned()))];
    let empty = new_filesystem("tmpfs", "tmpfs", &options, READ_ONLY)?;
    place(&empty, target.as_fd())?;
    // Only what is mounted can be cloned (before Linux 6.15).
    masks.empty = Some(empty);
    Ok(())
}

/// Makes a path read-only, with all that is mounted below.
pub(super) fn read_only(root: BorrowedFd<'_>, path: &str) -> io::Result<()> {
    let Some(target) = existing(root, path)? else {
        return Ok(());
    };
    let tree = clone_tree(&target, "", true)?;
    sys::mount_setattr(tree.as_fd(), true, MOUNT_ATTR_RDONLY, 0, 0)?;
    place(&tree, target.as_fd())
}

// include/uapi/linux/mount.h: RDONLY, and with NOSUID, NODEV left off for the null device.
const MOUNT_ATTR_RDONLY: u64 = 0x1;
const READ_ONLY: u64 = MOUNT_ATTR_RDONLY | 0x2 | 0x8;

fn existing(root: BorrowedFd<'_>, path: &str) -> io::Result<Option<OwnedFd>> {
    match resolve::open(root, path, OFlags::PATH, Links::Refuse) {
        Ok(fd) => Ok(Some(fd)),
        Err(e) => match e.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(None),
            _ => Err(e),
        },
    }
}

/// The container's `/dev/null`, which must be the device and not what an image or a volume put
/// in its place (CVE-2025-31133).
pub(super) fn null_device(root: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let null = resolve::open(root, "/dev/null", OFlags::PATH, Links::Refuse)?;
    let stat = rustix::fs::statat(&null, "", AtFlags::EMPTY_PATH)?;
    let kind = rustix::fs::FileType::from_raw_mode(stat.st_mode);
    let device = (
        rustix::fs::major(stat.st_rdev),
        rustix::fs::minor(stat.st_rdev),
    );
    if !kind.is_char_device() || device != (1, 3) {
        return Err(io::Error::other(
            "/dev/null in the container is not the null device",
        ));
    }
    Ok(null)
}

/// pivot_root(2) into the root, then lets go of the old one.
pub(super) fn pivot(root: BorrowedFd<'_>) -> io::Result<()> {
    let old = rustix::fs::open(
        "/",
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    rustix::process::fchdir(root)?;
    sys::pivot_root_here()?;
    rustix::process::fchdir(&old)?;
    let detach = rustix::mount::UnmountFlags::DETACH;
    rustix::mount::mount_change(
        ".",
        rustix::mount::MountPropagationFlags::DOWNSTREAM
            | rustix::mount::MountPropagationFlags::REC,
    )?;
    rustix::mount::unmount(".", detach)?;
    Ok(rustix::process::chdir("/")?)
}

/// Makes the mount at a path read-only, without those below.
pub(super) fn read_only_mount(root: BorrowedFd<'_>, path: &str) -> io::Result<()> {
    let at = resolve::open(root, path, OFlags::PATH, Links::Refuse)?;
    sys::mount_setattr(at.as_fd(), false, MOUNT_ATTR_RDONLY, 0, 0)
}

/// Sets the propagation of the root, `MS_REC` included.
pub(super) fn propagation(flags: u64) -> io::Result<()> {
    let root = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let recursive = flags & MS_REC != 0;
    sys::mount_setattr(root.as_fd(), recursive, 0, 0, flags & !MS_REC)
}
