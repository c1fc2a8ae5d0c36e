//! What can go wrong with a group.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why something could not be done with a control group.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CgroupError {
    /// No group can be made at all. A container without limits can run without one.
    #[error("no control group can be made for the container: {0}")]
    Unavailable(#[from] Unavailable),

    /// Not a path of a group.
    #[error("cgroup path {}: {why}", path.display())]
    Path {
        /// As given.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },

    /// Somebody else's.
    #[error("cgroup {}: has processes already (the first is {process}); use another path or end them", path.display())]
    InUse {
        /// The group.
        path: PathBuf,
        /// One of its processes.
        process: i32,
    },

    /// Reading, writing or making something failed.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// To do what.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },

    /// A file that the kernel writes holds something else than it should.
    #[error("{}: {text:?} where {expected} was expected", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The start of what it holds.
        text: String,
        /// What it should hold.
        expected: &'static str,
    },

    /// The kernel refused a limit.
    #[error("{limit}: the kernel refuses {value:?} in {}: {source}{}", file.display(), hint(source))]
    Limit {
        /// Which one.
        limit: &'static str,
        /// What was written.
        value: String,
        /// Where.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },

    /// A limit for which there is no such file on this kernel.
    #[error("{limit}: {} is missing, so this kernel cannot do it; {fix}", file.display())]
    Missing {
        /// Which one.
        limit: &'static str,
        /// The file.
        file: PathBuf,
        /// What would help.
        fix: &'static str,
    },

    /// A limit whose controller is not mounted, or disabled.
    #[error("{limit}: the {controller} controller is not available in {}; boot the kernel without disabling it, or leave the limit out", tree.display())]
    NoController {
        /// Which limit.
        limit: &'static str,
        /// Which controller.
        controller: &'static str,
        /// Where it was looked for.
        tree: PathBuf,
    },

    /// A limit whose controller is there but not handed down to where the group is.
    #[error("{limit}: the {controller} controller is not delegated: cannot enable it in {}: {source}; {}", file.display(), delegation(source, controller))]
    Undelegated {
        /// Which limit.
        limit: &'static str,
        /// Which controller.
        controller: &'static str,
        /// The `cgroup.subtree_control` that lacks it.
        file: PathBuf,
        /// Why it cannot be enabled there.
        source: io::Error,
    },

    /// A limit that makes no sense, or not with this version.
    #[error("{limit}: {why}")]
    Unsupported {
        /// Which limit.
        limit: &'static str,
        /// What is wrong, and what to do instead.
        why: &'static str,
    },

    /// Lowering the memory limit would have the container killed (`checkBeforeUpdate`).
    #[error(
        "memory limit: {limit} bytes is less than the {usage} bytes the container uses now; free some first or give more"
    )]
    BelowUsage {
        /// Bytes asked.
        limit: u64,
        /// Bytes used.
        usage: u64,
    },

    /// Processes do not end or stop.
    #[error("cgroup {}: {doing}, but {} processes still run after {waited:?}: {processes:?}", path.display(), processes.len())]
    Busy {
        /// For what.
        doing: &'static str,
        /// The group.
        path: PathBuf,
        /// Which ones.
        processes: Vec<i32>,
        /// How long it was waited for.
        waited: Duration,
    },
}

/// Why there is no group.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// Neither v1 nor v2.
    #[error("no cgroup file system is mounted at /sys/fs/cgroup; mount one")]
    NotMounted,

    /// No write access to a place where one could be.
    #[error("{} is not writable: {source}; run as root, or in a cgroup that is delegated to you (systemd-run --user --scope -p Delegate=yes …)", path.display())]
    Denied {
        /// The last place that was tried.
        path: PathBuf,
        /// Why not there.
        source: io::Error,
    },
}

impl CgroupError {
    pub(super) fn io(
        doing: &'static str,
        path: impl Into<PathBuf>,
        source: impl Into<io::Error>,
    ) -> Self {
        CgroupError::Io {
            doing,
            path: path.into(),
            source: source.into(),
        }
    }

    /// Can a container that asks for no limit run without a group instead?
    pub fn is_unavailable(&self) -> bool {
        matches!(self, CgroupError::Unavailable(_))
    }
}

fn hint(source: &io::Error) -> &'static str {
    match source.raw_os_error() {
        Some(libc::EINVAL | libc::ERANGE) => {
            " (not a value that the kernel or the parent group's limits allow)"
        }
        Some(libc::EBUSY) => " (more is used already)",
        Some(libc::ENODEV) => " (no such device)",
        Some(libc::EOPNOTSUPP) => " (this device or kernel cannot do it)",
        Some(libc::EACCES | libc::EPERM) => " (not permitted to this user)",
        _ => "",
    }
}

fn delegation(source: &io::Error, controller: &str) -> String {
    match source.raw_os_error() {
        Some(libc::EBUSY) => "processes sit in that very group, and a group with processes cannot hand controllers on: move them to a group below it".to_owned(),
        Some(libc::EACCES | libc::EPERM) => format!("have systemd delegate it: `Delegate={controller}` in a drop-in of user@.service, or run as root"),
        _ => "leave the limit out".to_owned(),
    }
}
