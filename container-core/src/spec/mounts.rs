//! What is mounted where.

use std::path::{Path, PathBuf};

use oci_spec::runtime::Mount;

use super::callers_mounts;
use super::confinement::distinct_devices;
use super::{Input, Rootfs};
use crate::error::Result;
use crate::plan;
use crate::request::{IpcMode, MountPoint, NamespaceMode, Network};

/// Files written for one container, mounted over the image's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcFiles {
    /// Lies over `/etc/hosts`.
    pub hosts: PathBuf,
    /// Lies over `/etc/hostname`.
    pub hostname: PathBuf,
    /// Lies over `/etc/resolv.conf`.
    pub resolv_conf: PathBuf,
}

const DEFAULT_SHM_SIZE: u64 = 64 << 20;

pub(super) fn root_directory(rootfs: &Rootfs) -> PathBuf {
    match rootfs {
        Rootfs::Layers { target, .. } => target.clone(),
        Rootfs::Host { base, .. } => base.clone(),
    }
}

fn mount(target: &str, typ: &str, source: &str, options: &[&str]) -> Mount {
    let mut mount = Mount::default();
    mount
        .set_destination(target.into())
        .set_typ(Some(typ.to_owned()))
        .set_source(Some(source.into()))
        .set_options(Some(options.iter().map(|s| (*s).to_owned()).collect()));
    mount
}

fn overlay(target: &str, lower: &[PathBuf], upper: &Path, work: &Path, input: &Input<'_>) -> Mount {
    let lower: Vec<_> = lower.iter().map(|p| p.to_string_lossy()).collect();
    let lower = format!("lowerdir={}", plan::join_lower(lower.iter().map(|s| &**s)));
    let upper = format!("upperdir={}", upper.display());
    let work = format!("workdir={}", work.display());
    let mut options = vec![&*lower, &upper, &work];
    if input.host.rootless {
        options.push("userxattr");
    }
    // The layers' owners are its own ids.
    options.extend(input.id_maps.map(|_| plan::CONTAINERS_IDS));
    // What goes with the container need not reach the disk first (Linux 5.10).
    if input.request.auto_remove {
        options.push("volatile");
    }
    // `/` is what the specification's root says; others are mounts like any.
    if input.request.read_only && target != "/" {
        options.push("ro");
    }
    mount(target, "overlay", "overlay", &options)
}

pub(super) fn root_propagation(mounts: &[MountPoint]) -> Option<String> {
    let words = mounts.iter().map(|point| &point.mount.propagation);
    let has = |word: &str| words.clone().any(|w| w.ends_with(word));
    if has("shared") {
        Some("rshared".to_owned())
    } else if has("slave") {
        Some("rslave".to_owned())
    } else {
        None
    }
}

/// The root, then Docker's own, then the caller's, parents before children, then the files of `/etc`.
pub(super) fn compile(input: &Input<'_>) -> Result<Vec<Mount>> {
    let mut mounts = root(input);
    mounts.extend(own(input));
    // A user namespace cannot make device nodes; the host's are bound.
    if input.is_nested() {
        for device in distinct_devices(input) {
            let host = device.host.to_string_lossy();
            mounts.push(mount(&device.path, "bind", &host, &["bind", "rprivate"]));
        }
    }
    let callers = callers_mounts::compile(input)?;
    let replaced = |own: &Mount| {
        let own = own.destination();
        // With /dev all that would lie in ours goes, as in Docker.
        let in_dev = |c: &Path| c == Path::new("/dev") && own.starts_with(c);
        callers
            .iter()
            .map(Mount::destination)
            .any(|c| c == own || in_dev(c))
    };
    mounts.retain(|own| !replaced(own));
    let mut etc = etc(input).to_vec();
    etc.retain(|own| !replaced(own));
    mounts.extend(callers);
    mounts.extend(etc);
    Ok(mounts)
}

fn root(input: &Input<'_>) -> Vec<Mount> {
    match input.rootfs {
        Rootfs::Layers {
            lower, upper, work, ..
        } => vec![overlay("/", lower, upper, work, input)],
        Rootfs::Host { base, overlays } => {
            let base = input.id_maps.map(|_| {
                let options = ["rbind", plan::CONTAINERS_IDS];
                mount("/", "bind", &base.to_string_lossy(), &options)
            });
            let overlays = overlays.iter().map(|(name, upper, work)| {
                let target = format!("/{name}");
                overlay(&target, &[PathBuf::from(&target)], upper, work, input)
            });
            base.into_iter().chain(overlays).collect()
        }
    }
}

const PLAIN: [&str; 3] = ["nosuid", "noexec", "nodev"];

fn plain<'a>(more: &[&'a str]) -> Vec<&'a str> {
    PLAIN.iter().chain(more).copied().collect()
}

fn own(input: &Input<'_>) -> Vec<Mount> {
    let (request, host) = (input.request, input.host);
    let read_only: &[&str] = if request.privileged { &[] } else { &["ro"] };

    // A user namespace may only show what it owns; the rest is bound from outside.
    let proc = if host.rootless && request.pid == NamespaceMode::Host {
        mount("/proc", "bind", "/proc", &plain(&["rbind", "rprivate"]))
    } else {
        mount("/proc", "proc", "proc", &PLAIN)
    };
    let sys = if host.rootless && request.network == Network::Host {
        let recursive = if request.privileged { "rrw" } else { "rro" };
        let options = plain(&["rbind", "rprivate", recursive]);
        mount("/sys", "bind", "/sys", &options)
    } else {
        mount("/sys", "sysfs", "sysfs", &plain(read_only))
    };
    let dev = ["nosuid", "strictatime", "mode=755", "size=65536k"];
    let mut mounts = vec![
        proc,
        mount("/dev", "tmpfs", "tmpfs", &dev),
        mount("/dev/pts", "devpts", "devpts", &terminals(input)),
        sys,
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &plain(read_only)),
    ];
    mounts.extend(ipc(input));
    mounts
}

/// The files of `/etc` that are written for the container. They lie over the caller's mounts, too: a volume on `/etc`
/// does not take a container's names from it.
fn etc(input: &Input<'_>) -> [Mount; 3] {
    let mut options = vec!["rbind", "rprivate"];
    // They are the root file system's to the container.
    if input.request.read_only {
        options.push("ro");
    }
    [
        ("/etc/resolv.conf", &input.etc.resolv_conf),
        ("/etc/hostname", &input.etc.hostname),
        ("/etc/hosts", &input.etc.hosts),
    ]
    .map(|(target, source)| mount(target, "bind", &source.to_string_lossy(), &options))
}

/// Options of devpts: terminals belong to the group tty, number 5 everywhere, if there is one.
fn terminals(input: &Input<'_>) -> Vec<&'static str> {
    const TTY: u32 = 5;
    let mut options = vec![
        "nosuid",
        "noexec",
        "newinstance",
        "ptmxmode=0666",
        "mode=0620",
    ];
    let there = match input.id_maps {
        None => !input.host.rootless || input.host.many_ids,
        Some(maps) => maps.outside((0, TTY)).is_some(),
    };
    if there {
        options.push("gid=5");
    }
    options
}

/// What shows System V and POSIX IPC.
fn ipc(input: &Input<'_>) -> Vec<Mount> {
    let (request, host) = (input.request, input.host);
    let bind = |target| mount(target, "bind", target, &plain(&["rbind", "rprivate"]));
    let mqueue = mount("/dev/mqueue", "mqueue", "mqueue", &PLAIN);
    match (&request.ipc, host.rootless) {
        (IpcMode::None, _) => vec![mqueue],
        (IpcMode::Container(_), _) => {
            let pid = input.company.ipc.unwrap_or_default();
            let shm = format!("/proc/{pid}/root/dev/shm");
            vec![
                mqueue,
                mount("/dev/shm", "bind", &shm, &plain(&["bind", "rprivate"])),
            ]
        }
        (IpcMode::Private | IpcMode::Shareable, _) => {
            let size = request.shm_size.filter(|n| *n != 0);
            let size = format!("size={}", size.unwrap_or(DEFAULT_SHM_SIZE));
            let shm = mount("/dev/shm", "tmpfs", "shm", &plain(&["mode=1777", &size]));
            vec![mqueue, shm]
        }
        (IpcMode::Host, false) => vec![mqueue, bind("/dev/shm")],
        // The host's queues can only be bound, if the host shows them.
        (IpcMode::Host, true) if host.mqueue => vec![bind("/dev/mqueue"), bind("/dev/shm")],
        (IpcMode::Host, true) => vec![bind("/dev/shm")],
    }
}
