//! What the kernel will be asked to do, in order, as plain data.
//!
//! [`lower`] turns an OCI runtime specification into a [`Plan`]; it decides everything and opens
//! nothing. The executor (`runtime::execute`) carries a plan out and decides nothing.

mod ids;
mod lower;
mod mounts;
mod process;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

pub(crate) use lower::{CLONE_NEWCGROUP, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER};
pub use lower::{Facts, lower};
pub(crate) use mounts::{
    CONTAINERS_IDS, copy_up_option, is_propagation, join_lower, owner_option, subpath_option,
};
pub(crate) use process::{capability_bit, rlimit_name};

use crate::request::IdMap;
use crate::seccomp::Filter;

/// A whole container: what to clone, what to do before the program runs, and the program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Namespaces to make or to join.
    pub namespaces: Vec<Namespace>,
    /// Maps of the container's own user namespace, when it gets one.
    pub id_maps: Option<IdMaps>,
    /// The container's set-up, in order.
    pub steps: Vec<Step>,
    /// The program.
    pub process: Process,
}

/// A namespace of the container: a new one, or an existing one by path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// `CLONE_NEW…` of clone(2).
    pub flag: u64,
    /// Join the namespace at this path instead of making one.
    pub join: Option<String>,
}

/// The maps of a user namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMaps {
    /// User ids.
    pub uids: Vec<IdMap>,
    /// Group ids.
    pub gids: Vec<IdMap>,
}

/// One thing to do between clone and exec.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Step {
    /// Make the cgroup namespace now that the process is in its cgroup.
    UnshareCgroup,
    /// sethostname(2).
    Hostname(String),
    /// setdomainname(2).
    Domainname(String),
    /// Wait until the monitor has made what it makes meanwhile: the network namespace, which is
    /// entered then, and files to be bound.
    Await,
    /// Bring the loopback interface of the new network namespace up.
    Loopback,
    /// Cut the mount namespace off from its parent (`MS_SLAVE` or `MS_PRIVATE`, recursive).
    Propagation(u64),
    /// Mount the root file system.
    Root(Root),
    /// Make what will be mounted, and fill a volume that is new with what the root file system
    /// has at its place.
    Prepare(Mount),
    /// Mount something below the root.
    Mount(Mount),
    /// Show the container's cgroup at this path.
    CgroupMount {
        /// Where, and with which attributes.
        mount: Mount,
        /// cgroup v1: one mount a hierarchy (directory name, mount options); empty on v2.
        hierarchies: Vec<(String, String)>,
    },
    /// Make a device node (or bind the host's where the kernel refuses to make one).
    Device(Device),
    /// Make a symbolic link.
    Symlink {
        /// What it says.
        to: String,
        /// Where it lies in the container.
        at: String,
    },
    /// Make the root file system `/` and let go of the old one.
    PivotRoot,
    /// Open a terminal, hand its master to the monitor, make it `/dev/console`.
    Terminal {
        /// Rows and columns at the start.
        size: Option<(u16, u16)>,
    },
    /// Write a kernel parameter: path below `/proc/sys` and value.
    Sysctl(String, String),
    /// Hide a path.
    Mask(String),
    /// Make a path read-only.
    ReadOnly(String),
    /// Make what is mounted at a path read-only (`/` for the root), not what is mounted below.
    ReadOnlyMount(String),
    /// Set the propagation of the root.
    RootPropagation(u64),
}

/// The container's root file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// The directory it is, or the one that the overlay is mounted on.
    pub path: String,
    /// overlayfs over directories; the directory itself when absent.
    pub overlay: Option<Overlay>,
    /// To whom the files seem to belong: [`MountIds::Container`] or nothing.
    #[serde(default, skip_serializing_if = "MountIds::is_plain")]
    pub ids: MountIds,
}

/// An overlayfs mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlay {
    /// Lower directories, uppermost first.
    pub lower: Vec<String>,
    /// Upper and work directory; read-only without.
    pub upper: Option<(String, String)>,
    /// Further options (`userxattr`, `volatile`).
    pub options: Vec<String>,
}

/// A mount below the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// What is mounted.
    pub source: Source,
    /// Path in the container.
    pub target: String,
    /// `MOUNT_ATTR_…` to set (mount_setattr(2)).
    pub set: u64,
    /// `MOUNT_ATTR_…` to clear.
    pub clear: u64,
    /// Apply both to the mounts below, too.
    pub recursive: bool,
    /// `MS_SHARED` and the like; 0 leaves the default.
    pub propagation: u64,
    /// Asked for by the caller, not by us: may not lie over `/proc`.
    pub foreign: bool,
    /// Mount this part of the source only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subpath: Option<String>,
    /// To whom the files seem to belong.
    #[serde(default, skip_serializing_if = "MountIds::is_plain")]
    pub ids: MountIds,
    /// The source is a volume to be filled when it is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_up: Option<CopyUp>,
}

/// How the owners of a mount's files are shifted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountIds {
    /// Not at all.
    #[default]
    Plain,
    /// As the container's own user namespace is, if it has one: id 0 on disk is its root. Of an
    /// overlay, in the directories that it consists of.
    Container,
    /// So.
    Maps(IdMaps),
    /// What belongs to these ids on disk is the user's of the container, and the other way round.
    Swap {
        /// User id outside.
        uid: u32,
        /// Group id outside.
        gid: u32,
    },
}

impl Mount {
    /// Whether the root of a user namespace cannot make this, or can reach its source only by
    /// chance: then it is made outside and handed in.
    pub(crate) fn is_made_outside(&self) -> bool {
        match &self.source {
            Source::Bind { .. } | Source::Overlay(_) => true,
            Source::New { fstype, .. } => {
                self.foreign && (fstype != "tmpfs" || self.copy_up.is_some())
            }
        }
    }
}

impl MountIds {
    fn is_plain(&self) -> bool {
        *self == Self::Plain
    }
}

/// Filling a new volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyUp {
    /// The volume's directory: where the copy is noted while it is under way.
    pub dir: String,
    /// See the copy to the disk.
    pub durable: bool,
}

/// What a [`Mount`] mounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// A new instance of a file system: its type, source name and options.
    New {
        /// File system type.
        fstype: String,
        /// Source as shown in mountinfo.
        source: String,
        /// Options with or without a value.
        options: Vec<(String, Option<String>)>,
    },
    /// overlayfs.
    Overlay(Overlay),
    /// A file or directory of the host.
    Bind {
        /// Path on the host.
        path: String,
        /// With the mounts below it.
        recursive: bool,
    },
}

/// A device node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Path in the container.
    pub path: String,
    /// `c`, `b` or `p`.
    pub kind: char,
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
}

/// A program to run in a container: its first or one that `exec` adds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Program and arguments.
    pub args: Vec<String>,
    /// Environment, `NAME=value`.
    pub env: Vec<String>,
    /// Working directory; made when missing.
    pub cwd: String,
    /// Who runs it.
    pub user: User,
    /// File mode creation mask.
    pub umask: Option<u32>,
    /// Capability sets as bit masks.
    pub capabilities: Capabilities,
    /// Set `no_new_privs`.
    pub no_new_privileges: bool,
    /// setrlimit(2): resource number, soft and hard limit.
    pub rlimits: Vec<(u32, u64, u64)>,
    /// `/proc/self/oom_score_adj`.
    pub oom_score_adj: Option<i32>,
    /// The seccomp filter.
    pub seccomp: Option<Filter>,
    /// Stay as PID 1: run the program as a child, forward signals, reap orphans.
    pub init: bool,
}

/// Who runs a [`Process`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum User {
    /// Known numbers.
    Numeric {
        /// User id.
        uid: u32,
        /// Group id.
        gid: u32,
        /// Supplementary group ids.
        groups: Vec<u32>,
    },
    /// Docker's `user[:group]`, to be looked up in the container's own `/etc/passwd`.
    Lookup {
        /// As given; empty for the superuser.
        user: String,
        /// Further groups by name or number.
        groups: Vec<String>,
    },
}

impl Default for User {
    fn default() -> Self {
        Self::Numeric {
            uid: 0,
            gid: 0,
            groups: Vec::new(),
        }
    }
}

/// Capability sets (capabilities(7)) as bit masks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Bounding set.
    pub bounding: u64,
    /// Effective set.
    pub effective: u64,
    /// Permitted set.
    pub permitted: u64,
    /// Inheritable set.
    pub inheritable: u64,
    /// Ambient set.
    pub ambient: u64,
}

/// What a step does, for errors: "mount proc on /proc".
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnshareCgroup => f.write_str("make the cgroup namespace"),
            Self::Hostname(name) => write!(f, "set the host name to {name:?}"),
            Self::Domainname(name) => write!(f, "set the domain name to {name:?}"),
            Self::Await => f.write_str("wait for the monitor"),
            Self::Loopback => f.write_str("bring the loopback interface up"),
            Self::Propagation(_) => f.write_str("detach the mount namespace from the host's"),
            Self::Root(Root {
                overlay: Some(o), ..
            }) => {
                write!(
                    f,
                    "mount the root file system (overlay of {} layers)",
                    o.lower.len()
                )
            }
            Self::Root(Root { path, .. }) => write!(f, "use {path} as root file system"),
            Self::Prepare(mount) if mount.copy_up.is_none() => mount.fmt(f),
            Self::Prepare(mount) => {
                write!(
                    f,
                    "fill the new volume with what the image has at {}",
                    mount.target
                )
            }
            Self::Mount(mount) => mount.fmt(f),
            Self::CgroupMount { mount, .. } => write!(f, "mount the cgroup on {}", mount.target),
            Self::Device(device) => write!(f, "make the device {}", device.path),
            Self::Symlink { at, .. } => write!(f, "make the symbolic link {at}"),
            Self::PivotRoot => f.write_str("change the root directory"),
            Self::Terminal { .. } => f.write_str("open the terminal"),
            Self::Sysctl(name, value) => write!(f, "set the kernel parameter {name} to {value}"),
            Self::Mask(path) => write!(f, "mask {path}"),
            Self::ReadOnly(path) => write!(f, "make {path} read-only"),
            Self::ReadOnlyMount(path) => write!(f, "make the mount at {path} read-only"),
            Self::RootPropagation(_) => f.write_str("set the propagation of the root"),
        }
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::New { fstype, .. } => write!(f, "mount {fstype} on {}", self.target),
            Source::Overlay(_) => write!(f, "mount an overlay on {}", self.target),
            Source::Bind { path, .. } => write!(f, "bind {path} on {}", self.target),
        }
    }
}
