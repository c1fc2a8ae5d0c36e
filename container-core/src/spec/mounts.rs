//! What is mounted where.

use std::path::{Path, PathBuf};

use oci_spec::runtime::Mount;

use super::{Input, Rootfs};
use crate::error::{Error, Result};
use crate::plan;
use crate::request::{self, MountSource, NamespaceMode, Network, Request};

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

/// Files below `/proc` that the caller may cover (lxcfs does).
const PROC_FILES: [&str; 8] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
];

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
    // What goes with the container need not reach the disk first (Linux 5.10).
    if input.request.auto_remove {
        options.push("volatile");
    }
    mount(target, "overlay", "overlay", &options)
}

pub(super) fn root_propagation(request: &Request) -> Option<String> {
    let has = |word: &str| request.mounts.iter().any(|m| m.propagation.ends_with(word));
    if has("shared") {
        Some("rshared".to_owned())
    } else if has("slave") {
        Some("rslave".to_owned())
    } else {
        None
    }
}

/// The root, then Docker's own, then the caller's, parents before children.
pub(super) fn compile(input: &Input<'_>) -> Result<Vec<Mount>> {
    let mut mounts = root(input);
    mounts.extend(own(input));
    // A user namespace cannot make device nodes; the host's are bound.
    if input.host.rootless {
        for device in input.devices {
            let host = device.host.to_string_lossy();
            mounts.push(mount(&device.path, "bind", &host, &["bind", "rprivate"]));
        }
    }
    let mut callers = Vec::new();
    for mount in &input.request.mounts {
        callers.push(callers_mount(mount)?);
    }
    for (index, mount) in callers.iter().enumerate() {
        let same = |m: &Mount| m.destination() == mount.destination();
        if callers[..index].iter().any(same) {
            return Err(wrong(
                mount.destination().display(),
                "duplicate mount point",
            ));
        }
    }
    callers.sort_by_key(|m| m.destination().components().count());
    mounts.retain(|m| !callers.iter().any(|c| c.destination() == m.destination()));
    mounts.extend(callers);
    Ok(mounts)
}

fn root(input: &Input<'_>) -> Vec<Mount> {
    match input.rootfs {
        Rootfs::Layers {
            lower, upper, work, ..
        } => vec![overlay("/", lower, upper, work, input)],
        Rootfs::Host { overlays, .. } => overlays
            .iter()
            .map(|(name, upper, work)| {
                let target = format!("/{name}");
                overlay(&target, &[PathBuf::from(&target)], upper, work, input)
            })
            .collect(),
    }
}

fn own(input: &Input<'_>) -> Vec<Mount> {
    let (request, host) = (input.request, input.host);
    let private = |mode| mode == NamespaceMode::Private;
    let plain = ["nosuid", "noexec", "nodev"];
    let with = |more: &[&'static str]| -> Vec<&'static str> {
        plain.iter().chain(more).copied().collect()
    };
    let read_only: &[&'static str] = if request.privileged { &[] } else { &["ro"] };

    // A user namespace may only show what it owns; the rest is bound from outside.
    let proc = if host.rootless && !private(request.pid) {
        mount("/proc", "bind", "/proc", &with(&["rbind", "rprivate"]))
    } else {
        mount("/proc", "proc", "proc", &plain)
    };
    let sys = if host.rootless && request.network == Network::Host {
        let recursive = if request.privileged { "rrw" } else { "rro" };
        mount(
            "/sys",
            "bind",
            "/sys",
            &with(&["rbind", "rprivate", recursive]),
        )
    } else {
        mount("/sys", "sysfs", "sysfs", &with(read_only))
    };
    let mut pts = vec![
        "nosuid",
        "noexec",
        "newinstance",
        "ptmxmode=0666",
        "mode=0620",
    ];
    if !host.rootless || host.many_ids {
        pts.push("gid=5");
    }
    let size = format!("size={}", request.shm_size.unwrap_or(DEFAULT_SHM_SIZE));
    let (shm, mqueue) = if private(request.ipc) {
        let options = [&plain[..], &["mode=1777", &size]].concat();
        (
            mount("/dev/shm", "tmpfs", "shm", &options),
            mount("/dev/mqueue", "mqueue", "mqueue", &plain),
        )
    } else {
        let bind = with(&["rbind", "rprivate"]);
        (
            mount("/dev/shm", "bind", "/dev/shm", &bind),
            mount("/dev/mqueue", "bind", "/dev/mqueue", &bind),
        )
    };
    let file = |target, source: &Path| {
        let source = source.to_string_lossy();
        let options: &[_] = if request.read_only {
            &["rbind", "rprivate", "ro"]
        } else {
            &["rbind", "rprivate"]
        };
        mount(target, "bind", &source, options)
    };
    vec![
        proc,
        mount(
            "/dev",
            "tmpfs",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        mount("/dev/pts", "devpts", "devpts", &pts),
        sys,
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &with(read_only)),
        mqueue,
        shm,
        file("/etc/resolv.conf", &input.etc.resolv_conf),
        file("/etc/hostname", &input.etc.hostname),
        file("/etc/hosts", &input.etc.hosts),
    ]
}

fn wrong(value: impl ToString, reason: impl Into<String>) -> Error {
    Error::Setting {
        setting: "mount",
        value: value.to_string(),
        reason: reason.into(),
    }
}

fn callers_mount(mount: &request::Mount) -> Result<Mount> {
    let target = clean(&mount.target)?;
    let mut options: Vec<String> = Vec::new();
    let (typ, source) = match &mount.source {
        MountSource::Bind {
            path,
            non_recursive,
            ..
        } => {
            if !path.is_absolute() {
                return Err(wrong(
                    path.display(),
                    "the source of a bind mount must be absolute",
                ));
            }
            options.push(if *non_recursive { "bind" } else { "rbind" }.to_owned());
            if mount.read_only {
                // All mounts below, too: a writable one would be a hole (mount_setattr, 5.12).
                options.push(if *non_recursive { "ro" } else { "rro" }.to_owned());
            }
            let propagation = match mount.propagation.as_str() {
                "" => "rprivate",
                "private" | "rprivate" | "slave" | "rslave" | "shared" | "rshared" => {
                    &mount.propagation
                }
                other => return Err(wrong(other, "unknown mount propagation")),
            };
            options.push(propagation.to_owned());
            let source = path
                .to_str()
                .ok_or_else(|| wrong(path.display(), "is not UTF-8"))?;
            ("bind", source.to_owned())
        }
        MountSource::Tmpfs { options: given } => {
            options.extend(["nosuid", "nodev", "noexec"].map(str::to_owned));
            options.extend(given.iter().cloned());
            if mount.read_only {
                options.push("ro".to_owned());
            }
            ("tmpfs", "tmpfs".to_owned())
        }
    };
    let mut compiled = Mount::default();
    compiled
        .set_destination(target.into())
        .set_typ(Some(typ.to_owned()))
        .set_source(Some(source.into()))
        .set_options(Some(options));
    Ok(compiled)
}

/// An absolute path without `.`, `..` and double slashes, which is not `/` nor `/proc`.
fn clean(target: &str) -> Result<String> {
    if !target.starts_with('/') || target.contains('\0') {
        return Err(wrong(target, "mount path must be absolute"));
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    let target = format!("/{}", parts.join("/"));
    if target == "/" {
        return Err(wrong(target, "destination can't be '/'"));
    }
    if (target == "/proc" || target.starts_with("/proc/")) && !PROC_FILES.contains(&&*target) {
        return Err(wrong(target, "nothing may be mounted inside /proc"));
    }
    Ok(target)
}
