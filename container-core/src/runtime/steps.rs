//! The loop over a plan's steps, in the container's first process.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::launch::Monitor;
use super::resolve::{self, Links, Make};
use super::{Fault, copy_up, mount, sys, terminal};
use crate::plan::{Device, Mount, Source, Step, User};

/// What steps leave for later ones.
#[derive(Debug, Default)]
pub(super) struct State {
    root: Option<OwnedFd>,
    /// The directory that the last device or link was made in: most lie in one.
    directory: Option<(String, OwnedFd)>,
    masks: mount::Masks,
    /// What was made, here or outside, and is not mounted yet, by where it will be.
    prepared: Vec<(String, OwnedFd)>,
    /// The slave side of the terminal.
    pub(super) terminal: Option<OwnedFd>,
}

impl State {
    fn root(&self) -> io::Result<BorrowedFd<'_>> {
        self.root
            .as_ref()
            .map(AsFd::as_fd)
            .ok_or_else(|| Errno::BADF.into())
    }

    /// What is made already for this place.
    fn take(&mut self, target: &str) -> Option<OwnedFd> {
        let index = self.prepared.iter().position(|(at, _)| at == target)?;
        Some(self.prepared.swap_remove(index).1)
    }

    /// Splits off the last component of a path and opens the directory it lies in, making it when
    /// missing.
    fn parent<'p>(&mut self, path: &'p str) -> io::Result<(BorrowedFd<'_>, &'p str)> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let opened = match self.directory.take() {
            Some(last) if last.0 == parent => last,
            _ => {
                let fd = resolve::ensure(self.root()?, parent, Make::Directory, Links::Refuse)?;
                (parent.to_owned(), fd)
            }
        };
        Ok((self.directory.insert(opened).1.as_fd(), name))
    }
}

/// Carries out all steps.
pub(super) fn run<'a>(
    steps: impl IntoIterator<Item = &'a Step>,
    user: &User,
    monitor: &Monitor<'_>,
    given: Vec<(String, OwnedFd)>,
) -> Result<State, Fault> {
    // Each call says the whole mode that it means: a device is 0666 and not what the embedder's
    // umask leaves of that. The program gets its own umask later.
    rustix::process::umask(Mode::empty());
    let mut state = State {
        prepared: given,
        ..State::default()
    };
    for step in steps {
        if !matches!(step, Step::Device(_) | Step::Symlink { .. }) {
            // It may be something else soon, or lie below a mount.
            state.directory = None;
        }
        match step {
            Step::Mount(m) => {
                let made = state.take(&m.target);
                let root = state.root().map_err(|e| Fault::setup(step, &e))?;
                let tree = match made {
                    Some(tree) => Some(tree),
                    None => mount::tree(root, m, user, None)?,
                };
                mount::mount(root, m, tree, None)?;
            }
            Step::Prepare(m) => prepare(&mut state, m, user)?,
            step => one(&mut state, step, monitor).map_err(|e| Fault::setup(step, &e))?,
        }
    }
    Ok(state)
}

fn one(state: &mut State, step: &Step, monitor: &Monitor<'_>) -> io::Result<()> {
    match step {
        Step::UnshareCgroup => Ok(nix::sched::unshare(
            nix::sched::CloneFlags::CLONE_NEWCGROUP,
        )?),
        Step::Hostname(name) => Ok(nix::unistd::sethostname(name)?),
        Step::Domainname(name) => sys::set_domain_name(name),
        Step::Await => match monitor.wait()? {
            Some(network) => {
                let kind = nix::sched::CloneFlags::CLONE_NEWNET;
                Ok(nix::sched::setns(network, kind)?)
            }
            None => Ok(()),
        },
        Step::Loopback => sys::interface_up(c"lo"),
        Step::Propagation(flags) | Step::RootPropagation(flags) => mount::propagation(*flags),
        Step::Root(root) => {
            state.root = Some(match state.take("/") {
                // Over the machine's, where this process can always reach: what it shows is that
                // of the descriptor, and soon there is no other.
                Some(tree) => {
                    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                    let over = rustix::fs::open("/", flags, Mode::empty())?;
                    mount::place(&tree, over.as_fd())?;
                    tree
                }
                None => mount::root(root, None)?,
            });
            Ok(())
        }
        Step::Mount(_) | Step::Prepare(_) => Ok(()),
        Step::CgroupMount { mount, hierarchies } => cgroup(state.root()?, mount, hierarchies),
        Step::Device(node) => device(state, node),
        Step::Symlink { to, at } => symlink(state, to, at),
        Step::PivotRoot => {
            mount::pivot(state.root()?)?;
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            state.root = Some(rustix::fs::open("/", flags, Mode::empty())?);
            Ok(())
        }
        Step::Terminal { size } => {
            let pair = terminal::open(state.root()?, *size)?;
            terminal::console(state.root()?, pair.slave.as_fd())?;
            monitor.hand_over(&pair.master)?;
            state.terminal = Some(pair.slave);
            Ok(())
        }
        Step::Sysctl(name, value) => sysctl(state.root()?, name, value),
        Step::Mask(path) => {
            let State { root, masks, .. } = state;
            let root = root.as_ref().ok_or(Errno::BADF)?;
            mount::mask(root.as_fd(), path, masks)
        }
        Step::ReadOnly(path) => mount::read_only(state.root()?, path),
        Step::ReadOnlyMount(path) => mount::read_only_mount(state.root()?, path),
    }
}

/// Makes what will be mounted, fills it if it is a new volume, and keeps it for its mount.
fn prepare(state: &mut State, mount: &Mount, user: &User) -> Result<(), Fault> {
    // It has been made and filled outside.
    if state.prepared.iter().any(|(at, _)| *at == mount.target) {
        return Ok(());
    }
    let fault = |e: io::Error| Fault::setup(Step::Prepare(mount.clone()), &e);
    // Filling may take long, and nobody shall be left doing it.
    sys::die_with_parent().map_err(fault)?;
    let root = state.root().map_err(fault)?;
    if let Some(tree) = mount::tree(root, mount, user, None)? {
        if let Some(volume) = &mount.copy_up {
            copy_up::copy_up(root, &mount.target, volume, tree.as_fd()).map_err(fault)?;
        }
        state.prepared.push((mount.target.clone(), tree));
    }
    Ok(())
}

/// cgroup v2: the one hierarchy. v1: a tmpfs with each hierarchy below, as on the host.
fn cgroup(root: BorrowedFd<'_>, at: &Mount, hierarchies: &[(String, String)]) -> io::Result<()> {
    let fault = |fault| match fault {
        Fault::Setup { reason, .. } | Fault::Setting { reason, .. } => io::Error::other(reason),
        other => io::Error::other(format!("{other:?}")),
    };
    let place = |mount: &Mount| {
        let tree = mount::tree(root, mount, &User::default(), None)?;
        mount::mount(root, mount, tree, None)
    };
    let described = |fstype: &str, options: Vec<(String, Option<String>)>, set| Mount {
        source: Source::New {
            fstype: fstype.into(),
            source: "cgroup".into(),
            options,
        },
        set,
        ..at.clone()
    };
    if hierarchies.is_empty() {
        return place(&described("cgroup2", Vec::new(), at.set)).map_err(fault);
    }
    const MOUNT_ATTR_RDONLY: u64 = 0x1;
    let mode = vec![("mode".to_owned(), Some("755".to_owned()))];
    let tmpfs = described("tmpfs", mode, at.set & !MOUNT_ATTR_RDONLY);
    place(&tmpfs).map_err(fault)?;
    let top = resolve::open(root, &at.target, OFlags::PATH, mount::links(at))?;
    for (name, options) in hierarchies {
        let fstype = if options == "cgroup2" {
            "cgroup2"
        } else {
            "cgroup"
        };
        let options: Vec<_> = options
            .split(',')
            .filter(|o| !o.is_empty() && *o != "cgroup2")
            .map(|o| match o.split_once('=') {
                Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                None => (o.to_owned(), None),
            })
            .collect();
        rustix::fs::mkdirat(&top, name, Mode::from_raw_mode(0o755))?;
        let target = resolve::open(top.as_fd(), name, OFlags::PATH, Links::Refuse)?;
        let tree = mount::new_filesystem(fstype, "cgroup", &options, at.set)?;
        mount::attach(&tree, target.as_fd(), &described(fstype, options, at.set))?;
    }
    if at.set & MOUNT_ATTR_RDONLY != 0 {
        sys::mount_setattr(top.as_fd(), false, MOUNT_ATTR_RDONLY, 0, 0)?;
    }
    Ok(())
}

fn device(state: &mut State, device: &Device) -> io::Result<()> {
    let (parent, name) = state.parent(&device.path)?;
    let kind = match device.kind {
        'b' => FileType::BlockDevice,
        'p' => FileType::Fifo,
        _ => FileType::CharacterDevice,
    };
    let number = rustix::fs::makedev(device.major, device.minor);
    let mode = Mode::from_raw_mode(device.mode);
    match rustix::fs::mknodat(parent, name, kind, mode, number) {
        Ok(()) => {}
        // In a user namespace the kernel makes no devices; the host's is bound instead.
        Err(Errno::PERM) => return bind_device(parent, name, &device.path),
        Err(Errno::EXIST) => return Ok(()),
        Err(e) => return Err(e.into()),
    }
    if (device.uid, device.gid) != (0, 0) {
        let owner = rustix::fs::Uid::from_raw(device.uid);
        let group = rustix::fs::Gid::from_raw(device.gid);
        rustix::fs::chownat(
            parent,
            name,
            Some(owner),
            Some(group),
            rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
        )?;
    }
    Ok(())
}

fn bind_device(parent: BorrowedFd<'_>, name: &str, host: &str) -> io::Result<()> {
    let tree = mount::clone_tree(CWD, host, false)?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o644))?;
    let empty = rustix::mount::MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    Ok(rustix::mount::move_mount(&tree, "", parent, name, empty)?)
}

fn symlink(state: &mut State, to: &str, at: &str) -> io::Result<()> {
    let (parent, name) = state.parent(at)?;
    match rustix::fs::symlinkat(to, parent, name) {
        Err(Errno::EXIST) => Ok(()),
        result => Ok(result?),
    }
}

/// Writes below `/proc/sys`, after making sure that it is the kernel's (CVE-2025-52881).
fn sysctl(root: BorrowedFd<'_>, name: &str, value: &str) -> io::Result<()> {
    let path = format!("/proc/sys/{name}");
    let file = resolve::open(
        root,
        &path,
        OFlags::WRONLY | OFlags::NOFOLLOW,
        Links::Refuse,
    )?;
    if !resolve::is_proc(&file)? {
        return Err(io::Error::other(
            "/proc in the container is not the kernel's",
        ));
    }
    rustix::io::write(&file, value.as_bytes())?;
    Ok(())
}
