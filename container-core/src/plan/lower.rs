//! From a specification to a plan.

use oci_spec::runtime as oci;
use oci_spec::runtime::{LinuxNamespaceType, Spec};

use super::mounts::MS_REC;
use super::{Device, IdMaps, Mount, Namespace, Plan, Root, Source, Step, mounts, process};
use crate::request::IdMap;
use crate::seccomp::{self, Arch, SeccompError};

// include/uapi/linux/sched.h
const CLONE_NEWTIME: u64 = 0x80;
pub(crate) const CLONE_NEWNS: u64 = 0x2_0000;
pub(crate) const CLONE_NEWCGROUP: u64 = 0x200_0000;
const CLONE_NEWUTS: u64 = 0x400_0000;
const CLONE_NEWIPC: u64 = 0x800_0000;
pub(crate) const CLONE_NEWUSER: u64 = 0x1000_0000;
pub(crate) const CLONE_NEWPID: u64 = 0x2000_0000;
pub(crate) const CLONE_NEWNET: u64 = 0x4000_0000;

const MS_SLAVE: u64 = 1 << 19;

/// What lowering has to know of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The machine's architecture.
    pub arch: Arch,
    /// cgroup v1: directory below `/sys/fs/cgroup` and mount options of each hierarchy.
    pub cgroup_v1: Vec<(String, String)>,
    /// The kernel has `/proc/kcore`.
    pub kcore: bool,
}

/// Destinations of the mounts that a container has anyway; everything else is the caller's.
const OWN: [&str; 8] = [
    "/",
    "/proc",
    "/dev",
    "/dev/pts",
    "/dev/shm",
    "/dev/mqueue",
    "/sys",
    "/sys/fs/cgroup",
];

/// Turns a specification into the plan that carries it out.
///
/// # Errors
/// The seccomp profile cannot be compiled.
pub fn lower(spec: &Spec, facts: &Facts) -> Result<Plan, SeccompError> {
    let linux = spec.linux().clone().unwrap_or_default();
    let namespaces: Vec<Namespace> = linux.namespaces().iter().flatten().map(namespace).collect();
    let new = |flag| {
        namespaces
            .iter()
            .any(|n| n.flag == flag && n.join.is_none())
    };
    let mut steps = Vec::new();

    if new(CLONE_NEWCGROUP) {
        steps.push(Step::UnshareCgroup);
    }
    if let Some(name) = spec.hostname().as_ref().filter(|_| new(CLONE_NEWUTS)) {
        steps.push(Step::Hostname(name.clone()));
    }
    if let Some(name) = spec.domainname().as_ref().filter(|_| new(CLONE_NEWUTS)) {
        steps.push(Step::Domainname(name.clone()));
    }
    let propagation = linux
        .rootfs_propagation()
        .as_deref()
        .and_then(mounts::propagation);
    steps.push(Step::Propagation(propagation.unwrap_or(MS_SLAVE) | MS_REC));

    let mut own: Vec<Mount> = Vec::new();
    for mount in spec.mounts().iter().flatten() {
        let mut mount = mounts::lower(mount);
        mount.foreign = !OWN.contains(&&*mount.target);
        own.push(mount);
    }
    steps.push(Step::Root(root(spec, &own)));
    let terminal = spec
        .process()
        .as_ref()
        .and_then(oci::Process::terminal)
        .unwrap_or(false);
    // A host's /dev is shown as it is: what would be made there would be made on the host.
    let bound = |m: &Mount| m.target == "/dev" && matches!(m.source, Source::Bind { .. });
    let mut devices = match own.iter().any(bound) {
        true => Vec::new(),
        false => device_steps(&linux, facts),
    };
    let mut read_only = read_only_mounts(spec, &mut own);
    // As late as can be: what the monitor makes meanwhile takes it as long as the mounts before.
    let mut later = vec![Step::Await];
    if new(CLONE_NEWNET) {
        later.push(Step::Loopback);
    }
    // New volumes are filled from the image alone: before anything is mounted over its
    // directories, but for the overlays that the root itself is made of.
    let mut early: Vec<Step> = own
        .iter()
        .filter(|m| comes_early(m))
        .cloned()
        .map(Step::Prepare)
        .collect();
    for mount in own.into_iter().filter(|m| m.target != "/") {
        if !matches!(mount.source, Source::Overlay(_)) {
            steps.append(&mut early);
        }
        if needs_outside(&mount.source) {
            steps.append(&mut later);
        }
        // Device nodes lie in the tmpfs on /dev, and mounts below /dev on top of it.
        let after = mount.target == "/dev";
        steps.push(match &mount.source {
            Source::New { fstype, .. } if fstype == "cgroup" || fstype == "cgroup2" => {
                Step::CgroupMount {
                    mount,
                    hierarchies: facts.cgroup_v1.clone(),
                }
            }
            _ => Step::Mount(mount),
        });
        if after {
            steps.append(&mut devices);
        }
    }
    steps.append(&mut devices);
    steps.append(&mut later);
    steps.push(Step::PivotRoot);
    if terminal {
        let size = spec.process().as_ref().and_then(|p| p.console_size());
        steps.push(Step::Terminal {
            size: size.map(|s| (saturate(s.height()), saturate(s.width()))),
        });
    }
    let mut sysctl: Vec<_> = linux.sysctl().iter().flatten().collect();
    sysctl.sort();
    for (name, value) in sysctl {
        steps.push(Step::Sysctl(name.replace('.', "/"), value.clone()));
    }
    steps.extend(
        linux
            .readonly_paths()
            .iter()
            .flatten()
            .cloned()
            .map(Step::ReadOnly),
    );
    steps.extend(
        linux
            .masked_paths()
            .iter()
            .flatten()
            .cloned()
            .map(Step::Mask),
    );
    steps.append(&mut read_only);
    if let Some(flags) = propagation {
        steps.push(Step::RootPropagation(flags));
    }

    let mut process = spec
        .process()
        .as_ref()
        .map(process::lower)
        .unwrap_or_default();
    process.seccomp = match linux.seccomp() {
        Some(profile) => Some(seccomp::compile(profile, facts.arch)?),
        None => None,
    };
    let id_maps = new(CLONE_NEWUSER).then(|| IdMaps {
        uids: id_maps(linux.uid_mappings().as_deref().unwrap_or_default()),
        gids: id_maps(linux.gid_mappings().as_deref().unwrap_or_default()),
    });
    Ok(Plan {
        namespaces,
        id_maps,
        steps,
        process,
    })
}

/// Whether a mount is made before all others: a volume that may have to be filled, and what is
/// reached by the machine's network, which the container may not have.
fn comes_early(mount: &Mount) -> bool {
    const REMOTE: [&str; 7] = ["nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "afs"];
    let remote = match &mount.source {
        Source::New { fstype, .. } => REMOTE.contains(&&**fstype),
        _ => false,
    };
    remote || mount.copy_up.is_some()
}

/// Whether a mount shows the network namespace, or a file that the monitor may be making.
fn needs_outside(source: &Source) -> bool {
    match source {
        Source::New { fstype, .. } => fstype == "sysfs",
        Source::Bind { .. } => true,
        Source::Overlay(_) => false,
    }
}

fn saturate(n: u64) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}

fn namespace(namespace: &oci::LinuxNamespace) -> Namespace {
    let flag = match namespace.typ() {
        LinuxNamespaceType::Mount => CLONE_NEWNS,
        LinuxNamespaceType::Cgroup => CLONE_NEWCGROUP,
        LinuxNamespaceType::Uts => CLONE_NEWUTS,
        LinuxNamespaceType::Ipc => CLONE_NEWIPC,
        LinuxNamespaceType::User => CLONE_NEWUSER,
        LinuxNamespaceType::Pid => CLONE_NEWPID,
        LinuxNamespaceType::Network => CLONE_NEWNET,
        LinuxNamespaceType::Time => CLONE_NEWTIME,
    };
    Namespace {
        flag,
        join: namespace
            .path()
            .as_ref()
            .map(|p| p.to_string_lossy().into_owned()),
    }
}

pub(super) fn id_maps(maps: &[oci::LinuxIdMapping]) -> Vec<IdMap> {
    let map = |m: &oci::LinuxIdMapping| IdMap {
        inside: m.container_id(),
        outside: m.host_id(),
        count: m.size(),
    };
    maps.iter().map(map).collect()
}

/// What becomes read-only last, when nothing has to be made in it any more: the root, and
/// overlays, in which later mounts may need a mount point.
fn read_only_mounts(spec: &Spec, mounts: &mut [Mount]) -> Vec<Step> {
    let root = spec.root().as_ref().and_then(oci::Root::readonly);
    let mut steps = Vec::new();
    for mount in mounts.iter_mut().filter(|m| m.target != "/") {
        let overlay = matches!(mount.source, Source::Overlay(_));
        if overlay && mount.set & mounts::RDONLY != 0 {
            mount.set &= !mounts::RDONLY;
            steps.push(Step::ReadOnlyMount(mount.target.clone()));
        }
    }
    if root.unwrap_or(false) {
        steps.push(Step::ReadOnlyMount("/".to_owned()));
    }
    steps
}

/// An overlay on `/` makes the root file system; without one it is the root's directory.
fn root(spec: &Spec, mounts: &[Mount]) -> Root {
    let mount = mounts.iter().find(|m| m.target == "/");
    let overlay = mount.and_then(|m| match &m.source {
        Source::Overlay(overlay) => Some(overlay.clone()),
        _ => None,
    });
    let path = spec
        .root()
        .as_ref()
        .map_or_else(String::new, |r| r.path().display().to_string());
    let ids = mount.map(|m| m.ids.clone()).unwrap_or_default();
    Root { path, overlay, ids }
}

/// Nodes and links that runtime-spec config-linux.md ("Default Devices") asks for, and the
/// specification's own.
fn device_steps(linux: &oci::Linux, facts: &Facts) -> Vec<Step> {
    let node = |path: &str, minor| Device {
        path: path.to_owned(),
        kind: 'c',
        major: if minor == 0 { 5 } else { 1 },
        minor,
        mode: 0o666,
        uid: 0,
        gid: 0,
    };
    let mut steps: Vec<Step> = [
        ("/dev/null", 3),
        ("/dev/zero", 5),
        ("/dev/full", 7),
        ("/dev/random", 8),
        ("/dev/urandom", 9),
        ("/dev/tty", 0),
    ]
    .map(|(path, minor)| Step::Device(node(path, minor)))
    .into();
    for (at, to) in [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
        ("/dev/core", "/proc/kcore"),
        ("/dev/ptmx", "pts/ptmx"),
    ] {
        if to == "/proc/kcore" && !facts.kcore {
            continue;
        }
        steps.push(Step::Symlink {
            to: to.to_owned(),
            at: at.to_owned(),
        });
    }
    for device in linux.devices().iter().flatten() {
        steps.push(Step::Device(Device {
            path: device.path().to_string_lossy().into_owned(),
            kind: match device.typ() {
                oci::LinuxDeviceType::B => 'b',
                oci::LinuxDeviceType::P => 'p',
                _ => 'c',
            },
            major: u32::try_from(device.major()).unwrap_or(0),
            minor: u32::try_from(device.minor()).unwrap_or(0),
            mode: device.file_mode().unwrap_or(0o666) & 0o7777,
            uid: device.uid().unwrap_or(0),
            gid: device.gid().unwrap_or(0),
        }));
    }
    steps
}
