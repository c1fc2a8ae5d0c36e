//! Control groups: limits, accounting, freezing and killing of one container.
//!
//! The only place that touches `/sys/fs/cgroup`:
//!
//! ```text
//! v2   /sys/fs/cgroup/                             one tree for all controllers
//!        cgroup.subtree_control                    what the groups below may use
//!        mini-docker-<id>/                         one container
//!          memory.max cpu.max pids.max io.max …    its limits
//!          cgroup.events cgroup.kill memory.events its life
//!
//! v1   /sys/fs/cgroup/<controllers>/               a tree for each controller or few of them
//!        mini-docker-<id>/                         the same container in each
//!          tasks memory.limit_in_bytes …
//! ```
//!
//! # Which v1 trees
//!
//! A group costs 0.1 ms a tree (mkdir, join, rmdir), so a container gets memory, cpuacct,
//! devices, freezer, pids and blkio, which statistics, the device list, pause and kill need,
//! name=systemd where systemd runs (it would take the container for a part of the service or
//! session that started it, and stop it with that), and each of the others when
//! [`apply`](Cgroup::apply) meets a limit that needs it.
//!
//! # How a process gets in
//!
//! See [`Join`]. No pid is ever written to `cgroup.procs` for that: moving another process
//! takes a lock that waits for an RCU grace period, 4 to 10 ms (measured on 6.18).

mod bpf;
mod device_program;
mod devices;
mod directory;
mod error;
mod hierarchy;
mod limits_v1;
mod limits_v2;
mod oom;
mod path;
mod setting;
mod stats;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

use std::fmt::Debug;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxResources;

pub use devices::default_device_rules;
pub use error::{CgroupError, Unavailable};
pub use hierarchy::{Hierarchy, Tree, detect};
pub use oom::OomWatch;
pub use path::CgroupPath;
pub use stats::{CpuStats, DeviceIo, MemoryStats, PidsStats, Pressure, Stall, Stats};

/// One container's control group, whatever the version.
///
/// One that was [created](Hierarchy::create) is removed when dropped, if no process is left in
/// it; [`keep`](Self::keep) leaves it. One that was [opened](Hierarchy::open) is left.
pub trait Cgroup: Debug + Send {
    /// Where it is, below the root of each tree: what [`Hierarchy::open`] takes.
    fn path(&self) -> &CgroupPath;

    /// Sets limits. What `resources` does not mention stays as it is; no limit is dropped
    /// silently. Call it before [`join`](Self::join): on v1 a limit may need another tree.
    ///
    /// Device rules are left out where the kernel does not let this process set any because it
    /// is not root: it cannot make device nodes either.
    ///
    /// # Errors
    ///
    /// The limit, the file and the cause.
    fn apply(&self, resources: &LinuxResources) -> Result<(), CgroupError>;

    /// How the container's first process gets in.
    ///
    /// # Errors
    ///
    /// If the group has been removed meanwhile.
    fn join(&self) -> Result<Join, CgroupError>;

    /// The processes of the group and of the groups below it, as this process's pid namespace
    /// numbers them.
    ///
    /// # Errors
    ///
    /// If the group cannot be read; one that has been removed has no processes.
    fn processes(&self) -> Result<Vec<i32>, CgroupError>;

    /// Sends SIGKILL to all of them, leaving out none that is just being forked.
    ///
    /// # Errors
    ///
    /// If one may not be signalled.
    fn kill_all(&self) -> Result<(), CgroupError>;

    /// Stops all processes, and returns when they have stopped.
    ///
    /// # Errors
    ///
    /// [`CgroupError::Busy`] if some do not stop within ten seconds: those waiting in the
    /// kernel, for a disk say. They are then thawed again.
    fn freeze(&self) -> Result<(), CgroupError>;

    /// Lets them go on.
    ///
    /// # Errors
    ///
    /// If the group cannot be written.
    fn thaw(&self) -> Result<(), CgroupError>;

    /// How many processes the kernel has killed because the group was out of memory. 0 where
    /// there is no memory controller.
    ///
    /// # Errors
    ///
    /// If the group cannot be read.
    fn oom_kills(&self) -> Result<u64, CgroupError>;

    /// Something to poll for the former; `None` where there is no memory controller.
    ///
    /// # Errors
    ///
    /// If the kernel cannot watch it.
    fn watch_oom(&self) -> Result<Option<OomWatch>, CgroupError>;

    /// Can the use of swap be limited here? Not where the kernel was built or booted without
    /// swap accounting; a limit then is an error, so one that was only implied has to be left
    /// out.
    fn limits_swap(&self) -> bool;

    /// What it uses.
    ///
    /// # Errors
    ///
    /// If the group cannot be read.
    fn stats(&self) -> Result<Stats, CgroupError>;

    /// Leaves it in place when dropped.
    fn keep(&mut self);

    /// Removes it with the groups below it. Waits up to two seconds for killed processes to
    /// be gone, and not at all if they are.
    ///
    /// # Errors
    ///
    /// [`CgroupError::Busy`] if there still are processes then.
    fn remove(self: Box<Self>) -> Result<(), CgroupError>;
}

/// How a process gets into a group.
#[derive(Debug)]
#[non_exhaustive]
pub enum Join {
    /// v2: pass the directory to clone3(2) with `CLONE_INTO_CGROUP`; the child starts inside.
    Clone(OwnedFd),
    /// v1: the child writes `0` to each while it has one thread. A thread that moves only
    /// itself skips the lock that moving another process takes: 25 µs instead of 10 ms.
    Tasks(Vec<Tasks>),
}

/// The way into a group in one v1 tree.
#[derive(Debug)]
pub struct Tasks {
    /// Where the tree is mounted.
    pub mount: PathBuf,
    /// The group's `tasks` file, open for writing.
    pub file: OwnedFd,
}

impl Join {
    /// Whether it leads into a group in the v1 tree of this directory below `/sys/fs/cgroup`.
    pub(crate) fn is_in(&self, tree: &str) -> bool {
        let Join::Tasks(trees) = self else {
            return false;
        };
        let mount = Path::new(hierarchy::MOUNT).join(tree);
        trees.iter().any(|tree| tree.mount == mount)
    }
}
