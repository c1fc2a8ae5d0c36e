//! From a request and an image's configuration to an OCI runtime specification. Pure: everything
//! it has to know of the machine comes in as [`Input`].

mod callers_mounts;
mod confinement;
mod mounts;
mod namespaces;
mod points;
mod process;
mod resources;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use oci_spec::image;
use oci_spec::runtime::{Linux, Root, Spec};

use crate::cgroup::CgroupPath;
use crate::error::{Error, Result};
use crate::plan::IdMaps;
use crate::request::{MountPoint, NamespaceMode, Request};
use crate::seccomp::Arch;

pub use callers_mounts::MountFacts;
pub use confinement::{MASKED_PATHS, READ_ONLY_PATHS};
pub use mounts::EtcFiles;
pub(crate) use namespaces::{LENGTH, hostname};
pub use points::{Inherited, mount_points};
pub(crate) use process::exec as compile_exec;
pub use process::signal_number;

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
    /// The machine's name.
    pub hostname: String,
    /// Processors in use, in the list format of cpuset(7): `0-3`. Empty when unknown.
    pub cpus: String,
    /// `/dev/mqueue` is there.
    pub mqueue: bool,
    /// The engine's own `oom_score_adj`, which children inherit.
    pub oom_score_adj: i32,
    /// Directories of `/sys` that tell how hot each processor is, and with that what others do.
    pub thermal_throttle: Vec<String>,
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
    /// The mounts: see [`mount_points`].
    pub mounts: &'a [MountPoint],
    /// Their sources, looked up.
    pub sources: &'a MountFacts,
    /// The root file system.
    pub rootfs: &'a Rootfs,
    /// Files made for this container, to lie over the image's.
    pub etc: &'a EtcFiles,
    /// The machine.
    pub host: &'a HostFacts,
    /// The maps of the user namespace that is the container's own, if it is to have one.
    pub id_maps: Option<&'a IdMaps>,
    /// Whose namespaces it shares.
    pub company: Company,
    /// The request's devices, looked up (all of the host's when privileged).
    pub devices: &'a [HostDevice],
    /// Devices of the request's I/O limits, looked up: path to (major, minor).
    pub block_devices: &'a HashMap<PathBuf, (u32, u32)>,
}

impl Input<'_> {
    /// The container's root is root of a user namespace, and not the machine's.
    fn is_nested(&self) -> bool {
        self.host.rootless || self.id_maps.is_some()
    }
}

/// A specification and what could not be granted in full.
#[derive(Debug)]
pub struct Compiled {
    /// The specification.
    pub spec: Spec,
    /// Sentences for the user.
    pub warnings: Vec<String>,
}

/// The containers whose namespaces another one joins: the ids of their first processes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Company {
    /// The PID namespace.
    pub pid: Option<u32>,
    /// The IPC namespace and `/dev/shm`.
    pub ipc: Option<u32>,
}

impl Company {
    /// Any of them: as an ordinary user, they are in one user namespace, which has to be joined
    /// before theirs can be.
    pub fn any(self) -> Option<u32> {
        self.pid.or(self.ipc)
    }
}

/// Compiles a request.
///
/// # Errors
/// [`Error::Setting`] names the setting at fault; a seccomp profile cannot be read.
pub fn compile(input: &Input<'_>) -> Result<Compiled> {
    let request = input.request;
    let mut warnings = Vec::new();
    namespaces::check(request)?;
    let capabilities = confinement::capabilities(input, &mut warnings)?;
    let process = process::compile(input, &capabilities)?;

    let mut linux = Linux::default();
    linux
        .set_namespaces(Some(namespaces::compile(input)))
        .set_resources(Some(resources::compile(input)?))
        .set_cgroups_path(Some(cgroup_path(input)?))
        .set_devices(Some(confinement::devices(input)))
        .set_seccomp(confinement::seccomp(input, &capabilities)?)
        .set_masked_paths(Some(confinement::masked_paths(input)))
        .set_readonly_paths(Some(confinement::readonly_paths(request)))
        .set_rootfs_propagation(mounts::root_propagation(input.mounts))
        .set_sysctl(namespaces::sysctls(input)?);
    if let Some(maps) = input.id_maps {
        linux
            .set_uid_mappings(Some(namespaces::id_maps(&maps.uids)?))
            .set_gid_mappings(Some(namespaces::id_maps(&maps.gids)?));
    }

    let mut root = Root::default();
    root.set_path(mounts::root_directory(input.rootfs))
        .set_readonly(Some(request.read_only));
    let mut spec = Spec::default();
    spec.set_version("1.2.0".to_owned())
        .set_root(Some(root))
        .set_mounts(Some(mounts::compile(input)?))
        .set_process(Some(process))
        .set_hostname(
            (request.uts != NamespaceMode::Host).then(|| hostname(request, input.id, input.host)),
        )
        .set_domainname(request.domainname.clone())
        .set_annotations(
            (!request.annotations.is_empty())
                .then(|| request.annotations.clone().into_iter().collect()),
        )
        .set_linux(Some(linux));
    Ok(Compiled { spec, warnings })
}

/// The container's cgroup, relative to the hierarchy's root.
fn cgroup_path(input: &Input<'_>) -> Result<PathBuf> {
    let parent = input
        .request
        .cgroup_parent
        .as_deref()
        .filter(|p| !p.is_empty());
    let path = CgroupPath::container(parent.map(Path::new), input.id);
    path.map(PathBuf::from).map_err(|e| Error::Setting {
        setting: "cgroup_parent",
        value: parent.unwrap_or_default().to_owned(),
        reason: e.to_string(),
    })
}
