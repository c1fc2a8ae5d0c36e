//! From a request and an image's configuration to an OCI runtime specification. Pure: everything
//! it has to know of the machine comes in as [`Input`].

mod confinement;
mod mounts;
mod process;
mod resources;

use std::collections::HashMap;
use std::path::PathBuf;

use oci_spec::image;
use oci_spec::runtime as oci;
use oci_spec::runtime::{Linux, LinuxNamespace, LinuxNamespaceType, Root, Spec};

use crate::error::{Error, Result};
use crate::request::{IdMap, NamespaceMode, Network, Request, UserNamespace};
use crate::seccomp::Arch;

pub use mounts::EtcFiles;
pub(crate) use process::exec as compile_exec;
pub(crate) use process::signal_number;

/// The directories that make up a container's root file system; nothing is mounted yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rootfs {
    /// An image's layers below a private directory.
    Layers {
        /// Where the overlay is mounted.
        target: PathBuf,
        /// Unpacked layers, uppermost first.
        lower: Vec<PathBuf>,
        /// Receives the changes.
        upper: PathBuf,
        /// overlayfs's own directory beside it.
        work: PathBuf,
    },
    /// The machine's own directories, each below a private one.
    Host {
        /// The directory that becomes `/`.
        base: PathBuf,
        /// (name below `/`, upper, work).
        overlays: Vec<(String, PathBuf, PathBuf)>,
    },
}

/// What compiling has to know of the machine.
#[derive(Debug, Clone)]
pub struct HostFacts {
    /// Containers live in a user namespace of the engine's.
    pub rootless: bool,
    /// Group ids other than 0 exist in that user namespace.
    pub many_ids: bool,
    /// Capabilities in the engine's bounding set, as a mask.
    pub capabilities: u64,
    /// The machine's architecture.
    pub arch: Arch,
    /// Kernel version.
    pub kernel: (u32, u32),
    /// The machine has the unified cgroup hierarchy.
    pub cgroup_v2: bool,
    /// Processors that are online.
    pub cpus: u32,
}

/// A device of the host, as stat(2) described it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostDevice {
    /// Path on the host.
    pub host: PathBuf,
    /// Path in the container.
    pub path: String,
    /// Block instead of character device.
    pub block: bool,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Any of `r`, `w`, `m`.
    pub permissions: String,
}

/// All that decides what a container is.
#[derive(Debug)]
pub struct Input<'a> {
    /// The container's id.
    pub id: &'a str,
    /// What was asked for.
    pub request: &'a Request,
    /// The image's configuration.
    pub config: Option<&'a image::Config>,
    /// The root file system.
    pub rootfs: &'a Rootfs,
    /// Files made for this container, to lie over the image's.
    pub etc: &'a EtcFiles,
    /// The machine.
    pub host: &'a HostFacts,
    /// The request's devices, looked up (all of the host's when privileged).
    pub devices: &'a [HostDevice],
    /// Devices of the request's I/O limits, looked up: path to (major, minor).
    pub block_devices: &'a HashMap<PathBuf, (u32, u32)>,
}

/// A specification and what could not be granted in full.
#[derive(Debug)]
pub struct Compiled {
    /// The specification.
    pub spec: Spec,
    /// Sentences for the user.
    pub warnings: Vec<String>,
}

/// Compiles a request.
///
/// # Errors
/// [`Error::Setting`] names the setting at fault; a seccomp profile cannot be read.
pub fn compile(input: &Input<'_>) -> Result<Compiled> {
    let request = input.request;
    let mut warnings = Vec::new();
    let capabilities = confinement::capabilities(input, &mut warnings)?;
    let process = process::compile(input, &capabilities)?;

    let mut linux = Linux::default();
    linux
        .set_namespaces(Some(namespaces(request)))
        .set_resources(Some(resources::compile(input)?))
        .set_cgroups_path(Some(cgroup_path(input)?))
        .set_devices(Some(confinement::devices(input)))
        .set_seccomp(confinement::seccomp(input, &capabilities)?)
        .set_masked_paths(Some(confinement::masked_paths(request)))
        .set_readonly_paths(Some(confinement::readonly_paths(request)))
        .set_rootfs_propagation(mounts::root_propagation(request))
        .set_sysctl(sysctls(request, input.host)?);
    if let UserNamespace::Mapped { uids, gids } = &request.userns {
        linux
            .set_uid_mappings(Some(id_maps(uids)?))
            .set_gid_mappings(Some(id_maps(gids)?));
    }

    let mut root = Root::default();
    root.set_path(mounts::root_directory(input.rootfs))
        .set_readonly(Some(request.read_only));
    let mut spec = Spec::default();
    spec.set_version("1.2.0".to_owned())
        .set_root(Some(root))
        .set_mounts(Some(mounts::compile(input)?))
        .set_process(Some(process))
        .set_hostname((request.uts == NamespaceMode::Private).then(|| hostname(request, input.id)))
        .set_domainname(request.domainname.clone())
        .set_annotations(
            (!request.annotations.is_empty())
                .then(|| request.annotations.clone().into_iter().collect()),
        )
        .set_linux(Some(linux));
    Ok(Compiled { spec, warnings })
}

/// The host name: as asked, or the first twelve digits of the id.
pub(crate) fn hostname(request: &Request, id: &str) -> String {
    request
        .hostname
        .clone()
        .unwrap_or_else(|| id.chars().take(12).collect())
}

fn namespaces(request: &Request) -> Vec<LinuxNamespace> {
    let private = |mode| mode == NamespaceMode::Private;
    let wanted = [
        (LinuxNamespaceType::Mount, true),
        (LinuxNamespaceType::Pid, private(request.pid)),
        (LinuxNamespaceType::Uts, private(request.uts)),
        (LinuxNamespaceType::Ipc, private(request.ipc)),
        (LinuxNamespaceType::Cgroup, private(request.cgroupns)),
        (
            LinuxNamespaceType::Network,
            request.network == Network::None,
        ),
        (
            LinuxNamespaceType::User,
            request.userns != UserNamespace::Host,
        ),
    ];
    wanted
        .into_iter()
        .filter(|(_, wanted)| *wanted)
        .map(|(typ, _)| {
            let mut namespace = LinuxNamespace::default();
            namespace.set_typ(typ);
            namespace
        })
        .collect()
}

fn id_maps(maps: &[IdMap]) -> Result<Vec<oci::LinuxIdMapping>> {
    let one = |m: &IdMap| {
        oci::LinuxIdMappingBuilder::default()
            .container_id(m.inside)
            .host_id(m.outside)
            .size(m.count)
            .build()
            .map_err(|e| Error::Setting {
                setting: "userns",
                value: format!("{m:?}"),
                reason: e.to_string(),
            })
    };
    maps.iter().map(one).collect()
}

/// The container's cgroup, relative to the hierarchy's root.
fn cgroup_path(input: &Input<'_>) -> Result<PathBuf> {
    let parent = input
        .request
        .cgroup_parent
        .as_deref()
        .unwrap_or("mini-docker");
    let relative = parent.trim_matches('/');
    if relative.is_empty() || relative.split('/').any(|c| matches!(c, "" | "." | "..")) {
        return Err(Error::Setting {
            setting: "cgroup_parent",
            value: parent.to_owned(),
            reason: "must be the path of a cgroup without empty, . or .. parts".into(),
        });
    }
    Ok(PathBuf::from(format!("/{relative}/{}", input.id)))
}

/// Parameters that belong to a namespace (docker/cli and runc accept the same).
fn sysctls(request: &Request, host: &HostFacts) -> Result<Option<HashMap<String, String>>> {
    const IPC: [&str; 8] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    for (name, value) in &request.sysctls {
        let dotted = name.replace('/', ".");
        let (known, private) = if IPC.contains(&&*dotted) || dotted.starts_with("fs.mqueue.") {
            (true, request.ipc == NamespaceMode::Private)
        } else if dotted.starts_with("net.") {
            (true, request.network == Network::None)
        } else {
            (false, false)
        };
        let clean = !dotted.split('.').any(|part| part.is_empty());
        if !(known && private && clean) {
            return Err(Error::Setting {
                setting: "sysctl",
                value: format!("{name}={value}"),
                reason: if known && clean {
                    "the container shares the namespace it belongs to with the host".into()
                } else {
                    "it does not belong to a namespace of the container".into()
                },
            });
        }
    }
    let mut map = HashMap::new();
    if request.network == Network::None {
        // A network of its own has no privileged ports to guard, and ping needs no capability.
        map.insert(
            "net.ipv4.ip_unprivileged_port_start".to_owned(),
            "0".to_owned(),
        );
        // The range has to be of ids that the user namespace has.
        if !host.rootless && request.userns == UserNamespace::Host {
            map.insert(
                "net.ipv4.ping_group_range".to_owned(),
                "0 2147483647".to_owned(),
            );
        }
    }
    let given = request.sysctls.iter();
    map.extend(given.map(|(k, v)| (k.replace('/', "."), v.clone())));
    Ok((!map.is_empty()).then_some(map))
}
