//! What a caller asks for, as plain data. Nothing here decides or touches the system:
//! [`ContainerBuilder`](crate::ContainerBuilder) fills a [`Request`],
//! [`spec::compile`](crate::spec::compile) judges it.

mod mount;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use container_image::docker::Healthcheck;
pub use mount::{
    Bind, ImageSource, Mount, MountPoint, MountSource, Owner, Recursion, VolumeSource, VolumesFrom,
};
use serde::{Deserialize, Serialize};

/// Everything a caller can say about a container. Field names follow `docker run`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Request {
    /// The image as the caller wrote it: a reference, an id or `host`.
    pub image: String,
    /// Arguments; replace the image's `CMD` when not empty.
    pub args: Vec<String>,
    /// Replaces the image's `ENTRYPOINT` (an empty list removes it). Its `CMD` is then unused.
    pub entrypoint: Option<Vec<String>>,
    /// `NAME=value` settings, later ones win.
    pub env: Vec<String>,
    /// Working directory inside the container.
    pub workdir: Option<String>,
    /// `user`, `uid`, `user:group`, `uid:gid`; names are looked up in the container.
    pub user: Option<String>,
    /// Supplementary groups, by name or number.
    pub group_add: Vec<String>,
    /// The container's name; one is made up when absent.
    pub name: Option<String>,
    /// Host name; when absent the short id, or the machine's name where its network or UTS
    /// namespace is shared.
    pub hostname: Option<String>,
    /// NIS domain name.
    pub domainname: Option<String>,
    /// Bind mounts, volumes, images and tmpfs, in order.
    pub mounts: Vec<Mount>,
    /// Containers whose volumes and bind mounts this one gets, too, but for those at places that
    /// are taken.
    pub volumes_from: Vec<VolumesFrom>,
    /// Mount the root file system read-only.
    pub read_only: bool,
    /// Which network the container gets.
    pub network: Network,
    /// IPC namespace.
    pub ipc: IpcMode,
    /// PID namespace.
    pub pid: NamespaceMode,
    /// UTS namespace.
    pub uts: NamespaceMode,
    /// cgroup namespace.
    pub cgroupns: NamespaceMode,
    /// User namespace of the container itself (a rootless engine is always inside one).
    pub userns: UserNamespace,
    /// Resource limits.
    pub limits: Limits,
    /// Parent of the container's cgroup, instead of `mini-docker`.
    pub cgroup_parent: Option<String>,
    /// Capabilities to add to the default set, with or without `CAP_`, or `ALL`.
    pub cap_add: Vec<String>,
    /// Capabilities to remove from the default set, with or without `CAP_`, or `ALL`.
    pub cap_drop: Vec<String>,
    /// Give up confinement: all capabilities and devices, no seccomp, nothing masked.
    pub privileged: bool,
    /// The seccomp filter.
    pub seccomp: Seccomp,
    /// Set `no_new_privs`.
    pub no_new_privileges: bool,
    /// Do not mask or write-protect paths of `/proc` and `/sys`.
    pub unmask_system_paths: bool,
    /// Resource limits of `setrlimit(2)`.
    pub ulimits: Vec<Ulimit>,
    /// Host devices to pass in.
    pub devices: Vec<Device>,
    /// Extra rules of the device cgroup, as `c 10:200 rwm`.
    pub device_cgroup_rules: Vec<String>,
    /// Kernel parameters of the container's own namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// Size of `/dev/shm` in bytes; 64 MiB when absent.
    pub shm_size: Option<u64>,
    /// `host:address` lines for `/etc/hosts`.
    pub add_hosts: Vec<String>,
    /// Name servers for `/etc/resolv.conf` instead of the host's.
    pub dns: Vec<String>,
    /// Search domains for `/etc/resolv.conf`.
    pub dns_search: Vec<String>,
    /// Options for `/etc/resolv.conf`.
    pub dns_options: Vec<String>,
    /// Labels, added to the image's.
    pub labels: BTreeMap<String, String>,
    /// OCI annotations.
    pub annotations: BTreeMap<String, String>,
    /// Run a small init as PID 1 that forwards signals and reaps orphans.
    pub init: bool,
    /// Keep the process's standard input open, for those who attach.
    pub open_stdin: bool,
    /// End it when the input of the first who attaches ends.
    pub stdin_once: bool,
    /// Whether whoever made it wanted to be attached to its standard input from the start. This
    /// and the next two are remembered, and nothing else is done with them.
    pub attach_stdin: bool,
    /// The same of its standard output.
    pub attach_stdout: bool,
    /// The same of its standard error.
    pub attach_stderr: bool,
    /// Give the process a terminal.
    pub tty: bool,
    /// Size of that terminal at the start: rows, columns.
    pub console_size: Option<(u16, u16)>,
    /// Signal that asks the process to stop (`SIGTERM`, `15`); the image's, else SIGTERM.
    pub stop_signal: Option<String>,
    /// Seconds between that signal and SIGKILL; 10 when absent.
    pub stop_timeout: Option<u64>,
    /// Write down what it has used when it ends.
    pub measure: bool,
    /// Remove the container when it ends.
    pub auto_remove: bool,
    /// What follows its end.
    pub restart: RestartPolicy,
    /// Its health check, over the image's. `["NONE"]` as its test switches that off.
    pub healthcheck: Option<Healthcheck>,
    /// Where what it writes is logged to.
    pub log: LogConfig,
    /// Badness offset for the OOM killer, -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// Forbid the OOM killer (cgroup v1 only).
    pub oom_kill_disable: bool,
}

/// What follows the end of a container's first process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartPolicy {
    /// Nothing.
    #[default]
    No,
    /// It is started again when it has failed.
    OnFailure {
        /// So often at most; 0 for any number.
        max_retries: u32,
    },
    /// It is started again, after a boot too.
    Always,
    /// It is started again, after a boot too, unless it was stopped by hand.
    UnlessStopped,
}

/// The network of a container. Bridges are not there yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// A network namespace with nothing but a loopback interface.
    #[default]
    None,
    /// The network namespace of the engine's process.
    Host,
}

/// Whose namespace a container has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NamespaceMode {
    /// The container's own.
    #[default]
    Private,
    /// The one of the engine's process.
    Host,
    /// A running container's, by its id or name. Of PID namespaces only.
    Container(String),
}

/// Whose IPC namespace, and with it `/dev/shm`, a container has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum IpcMode {
    /// The container's own.
    #[default]
    Private,
    /// The container's own, which others may share.
    Shareable,
    /// The container's own, without a `/dev/shm`.
    None,
    /// The one of the engine's process.
    Host,
    /// That of a running container which is [`Shareable`](Self::Shareable), by its id or name.
    Container(String),
}

/// The user namespace of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum UserNamespace {
    /// The engine's.
    #[default]
    Host,
    /// One of its own, in which its ids are those of a range that no other container of the store
    /// has: it keeps the range until it is removed. Ranges are 65536 ids long and come from the
    /// lines of the user `containers` in `/etc/subuid` and `/etc/subgid`, else from root's, else
    /// from 1879048192 to 2147483647, which is nobody's. The machine's root only.
    Auto {
        /// How many ids there are inside; 65536 when absent, which is also the most.
        size: Option<u32>,
    },
    /// One of its own with these maps, in which both have an id 0. The machine's root only.
    Mapped {
        /// User ids.
        uids: Vec<IdMap>,
        /// Group ids.
        gids: Vec<IdMap>,
    },
}

/// One line of `/proc/PID/uid_map` or `gid_map` (user_namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMap {
    /// First id inside.
    pub inside: u32,
    /// First id outside.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// Resource limits; `None` leaves the kernel's default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Bytes of memory and swap together; -1 for no limit.
    pub memory_swap: Option<i64>,
    /// Soft limit in bytes.
    pub memory_reservation: Option<u64>,
    /// 0 to 100 (cgroup v1 only).
    pub memory_swappiness: Option<u64>,
    /// Processors, as `1.5`.
    pub cpus: Option<f64>,
    /// Relative weight, 2 to 262144.
    pub cpu_shares: Option<u64>,
    /// Microseconds of processor time in a period.
    pub cpu_quota: Option<i64>,
    /// Length of that period in microseconds.
    pub cpu_period: Option<u64>,
    /// Microseconds of a real-time period in which its real-time tasks may run (cgroup v1 only).
    pub cpu_rt_runtime: Option<i64>,
    /// Length of that period in microseconds (cgroup v1 only).
    pub cpu_rt_period: Option<u64>,
    /// Processors it may run on, `0-2,4`.
    pub cpuset_cpus: Option<String>,
    /// Memory nodes it may use.
    pub cpuset_mems: Option<String>,
    /// Processes and threads; -1 for no limit.
    pub pids: Option<i64>,
    /// Relative weight of block I/O, 10 to 1000.
    pub blkio_weight: Option<u16>,
    /// Relative weights of single devices: (path, 10 to 1000).
    pub blkio_weight_device: Vec<(PathBuf, u16)>,
    /// Bytes per second read from devices: (path, rate).
    pub device_read_bps: Vec<(PathBuf, u64)>,
    /// Bytes per second written to devices.
    pub device_write_bps: Vec<(PathBuf, u64)>,
    /// Reads per second from devices.
    pub device_read_iops: Vec<(PathBuf, u64)>,
    /// Writes per second to devices.
    pub device_write_iops: Vec<(PathBuf, u64)>,
}

impl Limits {
    /// What is limited, by the names of these fields.
    pub fn names(&self) -> Vec<&'static str> {
        let above = |least: i64, limit: Option<i64>| limit.is_some_and(|n| n > least);
        // All of them: a field that is added has to be listed.
        let Self {
            memory,
            memory_swap,
            memory_reservation,
            memory_swappiness,
            cpus,
            cpu_shares,
            cpu_quota,
            cpu_period,
            cpuset_cpus,
            cpuset_mems,
            pids,
            cpu_rt_runtime,
            cpu_rt_period,
            blkio_weight,
            blkio_weight_device,
            device_read_bps,
            device_write_bps,
            device_read_iops,
            device_write_iops,
        } = self;
        let all = [
            ("memory", memory.is_some()),
            ("memory_swap", above(-1, *memory_swap)),
            ("memory_reservation", memory_reservation.is_some()),
            ("memory_swappiness", memory_swappiness.is_some()),
            ("cpus", cpus.is_some()),
            ("cpu_shares", cpu_shares.is_some()),
            ("cpu_quota", above(0, *cpu_quota)),
            ("cpu_period", cpu_period.is_some()),
            ("cpuset_cpus", cpuset_cpus.is_some()),
            ("cpuset_mems", cpuset_mems.is_some()),
            ("pids", above(0, *pids)),
            ("cpu_rt_runtime", above(0, *cpu_rt_runtime)),
            ("cpu_rt_period", cpu_rt_period.is_some()),
            ("blkio_weight", blkio_weight.is_some()),
            ("blkio_weight_device", !blkio_weight_device.is_empty()),
            ("device_read_bps", !device_read_bps.is_empty()),
            ("device_write_bps", !device_write_bps.is_empty()),
            ("device_read_iops", !device_read_iops.is_empty()),
            ("device_write_iops", !device_write_iops.is_empty()),
        ];
        let set = all.into_iter().filter(|(_, set)| *set);
        set.map(|(name, _)| name).collect()
    }

    /// These limits, with those set that the others set.
    pub fn with(self, others: Self) -> Self {
        let list = |ours: Vec<_>, theirs: Vec<_>| if theirs.is_empty() { ours } else { theirs };
        Self {
            memory: others.memory.or(self.memory),
            memory_swap: others.memory_swap.or(self.memory_swap),
            memory_reservation: others.memory_reservation.or(self.memory_reservation),
            memory_swappiness: others.memory_swappiness.or(self.memory_swappiness),
            cpus: others.cpus.or(self.cpus),
            cpu_shares: others.cpu_shares.or(self.cpu_shares),
            cpu_quota: others.cpu_quota.or(self.cpu_quota),
            cpu_period: others.cpu_period.or(self.cpu_period),
            cpuset_cpus: others.cpuset_cpus.or(self.cpuset_cpus),
            cpuset_mems: others.cpuset_mems.or(self.cpuset_mems),
            pids: others.pids.or(self.pids),
            cpu_rt_runtime: others.cpu_rt_runtime.or(self.cpu_rt_runtime),
            cpu_rt_period: others.cpu_rt_period.or(self.cpu_rt_period),
            blkio_weight: others.blkio_weight.or(self.blkio_weight),
            blkio_weight_device: match others.blkio_weight_device.is_empty() {
                true => self.blkio_weight_device,
                false => others.blkio_weight_device,
            },
            device_read_bps: list(self.device_read_bps, others.device_read_bps),
            device_write_bps: list(self.device_write_bps, others.device_write_bps),
            device_read_iops: list(self.device_read_iops, others.device_read_iops),
            device_write_iops: list(self.device_write_iops, others.device_write_iops),
        }
    }
}

/// The seccomp filter of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seccomp {
    /// Docker's default profile.
    #[default]
    Default,
    /// None.
    Unconfined,
    /// A profile in Docker's or the OCI's JSON.
    Profile(String),
}

/// One limit of `setrlimit(2)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// Docker's name: `nofile`, `nproc`, `core`, …
    pub name: String,
    /// Soft limit; -1 for none.
    pub soft: i64,
    /// Hard limit; -1 for none.
    pub hard: i64,
}

/// A device of the host for the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Path on the host.
    pub host: PathBuf,
    /// Path in the container.
    pub container: String,
    /// Any of `r`, `w`, `m`.
    pub permissions: String,
}

/// Where what a container writes is logged to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogConfig {
    /// `json-file`, `local`, `syslog`, `journald` or `none`.
    pub driver: String,
    /// The driver's options, as Docker calls them.
    pub options: BTreeMap<String, String>,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            driver: "json-file".to_owned(),
            options: BTreeMap::new(),
        }
    }
}
