//! `run` and `create`: Docker's flags as clap sees them. The values that need nothing but
//! themselves are converted here by the functions of [`crate::flags`]; the rest stays text.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use container_core::request::{Device, IdMap, Mount, Ulimit, VolumesFrom};

use crate::flags::{device, duration, env, label, mount, mount_spec, names, size, ulimit, userns};

/// Flags and arguments of `run`: those of `create`, and what only a start has.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) container: CreateArgs,
    /// Run container in background and print container ID
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "string")]
    pub(crate) detach_keys: Option<String>,
    /// Proxy received signals to the process (default true)
    #[arg(long, value_name = "bool", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "true", hide_default_value = true,
          action = clap::ArgAction::Set, value_parser = size::switch)]
    pub(crate) sig_proxy: bool,
}

/// Flags and arguments of `create`.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Add a custom host-to-IP mapping (host:ip)
    #[arg(long, value_name = "list", value_parser = names::add_host)]
    pub(crate) add_host: Vec<String>,
    /// Add an annotation to the container (passed through to the OCI runtime)
    #[arg(long, value_name = "map", value_parser = label::parse)]
    pub(crate) annotation: Vec<(String, String)>,
    /// Attach to STDIN, STDOUT or STDERR
    #[arg(short, long, value_name = "list", value_parser = stream)]
    pub(crate) attach: Vec<Stream>,
    /// Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)
    #[arg(long, value_name = "uint16")]
    pub(crate) blkio_weight: Option<u16>,
    /// Block IO weight (relative device weight)
    #[arg(long, value_name = "list", value_parser = device::weight)]
    pub(crate) blkio_weight_device: Vec<(PathBuf, u16)>,
    /// Add Linux capabilities
    #[arg(long, value_name = "list")]
    pub(crate) cap_add: Vec<String>,
    /// Drop Linux capabilities
    #[arg(long, value_name = "list")]
    pub(crate) cap_drop: Vec<String>,
    /// Optional parent cgroup for the container
    #[arg(long, value_name = "string")]
    pub(crate) cgroup_parent: Option<String>,
    /// Cgroup namespace to use (host|private)
    #[arg(long, value_name = "string")]
    pub(crate) cgroupns: Option<String>,
    /// Write the container ID to the file
    #[arg(long, value_name = "string")]
    pub(crate) cidfile: Option<PathBuf>,
    /// Limit CPU CFS (Completely Fair Scheduler) period
    #[arg(long, value_name = "int")]
    pub(crate) cpu_period: Option<u64>,
    /// Limit CPU CFS (Completely Fair Scheduler) quota
    #[arg(long, value_name = "int")]
    pub(crate) cpu_quota: Option<i64>,
    /// Limit CPU real-time period in microseconds
    #[arg(long, value_name = "int")]
    pub(crate) cpu_rt_period: Option<u64>,
    /// Limit CPU real-time runtime in microseconds
    #[arg(long, value_name = "int")]
    pub(crate) cpu_rt_runtime: Option<i64>,
    /// CPU shares (relative weight)
    #[arg(short, long, value_name = "int")]
    pub(crate) cpu_shares: Option<u64>,
    /// Number of CPUs
    #[arg(long, value_name = "decimal", value_parser = size::cpus)]
    pub(crate) cpus: Option<f64>,
    /// CPUs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "string")]
    pub(crate) cpuset_cpus: Option<String>,
    /// MEMs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "string")]
    pub(crate) cpuset_mems: Option<String>,
    /// Add a host device to the container
    #[arg(long, value_name = "list", value_parser = device::parse)]
    pub(crate) device: Vec<Device>,
    /// Add a rule to the cgroup allowed devices list
    #[arg(long, value_name = "list", value_parser = device::rule)]
    pub(crate) device_cgroup_rule: Vec<String>,
    /// Limit read rate (bytes per second) from a device
    #[arg(long, value_name = "list", value_parser = device::bytes_rate)]
    pub(crate) device_read_bps: Vec<(PathBuf, u64)>,
    /// Limit read rate (IO per second) from a device
    #[arg(long, value_name = "list", value_parser = device::operations_rate)]
    pub(crate) device_read_iops: Vec<(PathBuf, u64)>,
    /// Limit write rate (bytes per second) to a device
    #[arg(long, value_name = "list", value_parser = device::bytes_rate)]
    pub(crate) device_write_bps: Vec<(PathBuf, u64)>,
    /// Limit write rate (IO per second) to a device
    #[arg(long, value_name = "list", value_parser = device::operations_rate)]
    pub(crate) device_write_iops: Vec<(PathBuf, u64)>,
    /// Set custom DNS servers
    #[arg(long, value_name = "list", value_parser = names::dns)]
    pub(crate) dns: Vec<String>,
    /// Set DNS options
    #[arg(long, alias = "dns-opt", value_name = "list")]
    pub(crate) dns_option: Vec<String>,
    /// Set custom DNS search domains
    #[arg(long, value_name = "list", value_parser = names::dns_search)]
    pub(crate) dns_search: Vec<String>,
    /// Container NIS domain name
    #[arg(long, value_name = "string")]
    pub(crate) domainname: Option<String>,
    /// Overwrite the default ENTRYPOINT of the image
    #[arg(long, value_name = "string")]
    pub(crate) entrypoint: Option<String>,
    /// Set environment variables
    #[arg(short, long, value_name = "list", value_parser = env::flag)]
    pub(crate) env: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long, value_name = "list")]
    pub(crate) env_file: Vec<PathBuf>,
    /// Group ids of a user namespace of its own (inside:outside:count)
    #[arg(long, value_name = "list", value_parser = userns::id_map)]
    pub(crate) gidmap: Vec<IdMap>,
    /// Add additional groups to join
    #[arg(long, value_name = "list")]
    pub(crate) group_add: Vec<String>,
    /// Command to run to check health
    #[arg(long, value_name = "string")]
    pub(crate) health_cmd: Option<String>,
    /// Time between running the check (ms|s|m|h) (default 0s)
    #[arg(long, value_name = "duration", value_parser = duration::parse)]
    pub(crate) health_interval: Option<Duration>,
    /// Consecutive failures needed to report unhealthy
    #[arg(long, value_name = "int")]
    pub(crate) health_retries: Option<i64>,
    /// Time between running the check during the start period (ms|s|m|h) (default 0s)
    #[arg(long, value_name = "duration", value_parser = duration::parse)]
    pub(crate) health_start_interval: Option<Duration>,
    /// Start period for the container to initialize before starting health-retries countdown
    /// (ms|s|m|h) (default 0s)
    #[arg(long, value_name = "duration", value_parser = duration::parse)]
    pub(crate) health_start_period: Option<Duration>,
    /// Maximum time to allow one check to run (ms|s|m|h) (default 0s)
    #[arg(long, value_name = "duration", value_parser = duration::parse)]
    pub(crate) health_timeout: Option<Duration>,
    /// Container host name
    #[arg(short = 'h', long, value_name = "string")]
    pub(crate) hostname: Option<String>,
    /// Run an init inside the container that forwards signals and reaps processes
    #[arg(long)]
    pub(crate) init: bool,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// IPC mode to use
    #[arg(long, value_name = "string")]
    pub(crate) ipc: Option<String>,
    /// Set meta data on a container
    #[arg(short, long, value_name = "list", value_parser = label::parse)]
    pub(crate) label: Vec<(String, String)>,
    /// Read in a line delimited file of labels
    #[arg(long, value_name = "list")]
    pub(crate) label_file: Vec<PathBuf>,
    /// Logging driver for the container
    #[arg(long, value_name = "string")]
    pub(crate) log_driver: Option<String>,
    /// Log driver options
    #[arg(long, value_name = "list", value_parser = label::option)]
    pub(crate) log_opt: Vec<(String, String)>,
    /// Memory limit
    #[arg(short, long, value_name = "bytes", value_parser = size::bytes)]
    pub(crate) memory: Option<u64>,
    /// Memory soft limit
    #[arg(long, value_name = "bytes", value_parser = size::bytes)]
    pub(crate) memory_reservation: Option<u64>,
    /// Swap limit equal to memory plus swap: '-1' to enable unlimited swap
    #[arg(long, value_name = "bytes", value_parser = size::bytes_or_unlimited)]
    pub(crate) memory_swap: Option<i64>,
    /// Tune container memory swappiness (0 to 100) (default -1)
    #[arg(long, value_name = "int")]
    pub(crate) memory_swappiness: Option<i64>,
    /// Attach a filesystem mount to the container
    #[arg(long, value_name = "mount", value_parser = mount_spec::parse)]
    pub(crate) mount: Vec<Mount>,
    /// Assign a name to the container
    #[arg(long, value_name = "string")]
    pub(crate) name: Option<String>,
    /// Connect a container to a network (none|host)
    #[arg(long, alias = "net", value_name = "network")]
    pub(crate) network: Vec<String>,
    /// Disable any container-specified HEALTHCHECK
    #[arg(long)]
    pub(crate) no_healthcheck: bool,
    /// Disable OOM Killer
    #[arg(long)]
    pub(crate) oom_kill_disable: bool,
    /// Tune host's OOM preferences (-1000 to 1000)
    #[arg(long, value_name = "int")]
    pub(crate) oom_score_adj: Option<i32>,
    /// PID namespace to use
    #[arg(long, value_name = "string")]
    pub(crate) pid: Option<String>,
    /// Tune container pids limit (set -1 for unlimited)
    #[arg(long, value_name = "int")]
    pub(crate) pids_limit: Option<i64>,
    /// Set platform if server is multi-platform capable
    #[arg(long, value_name = "string")]
    pub(crate) platform: Option<String>,
    /// Give extended privileges to this container
    #[arg(long)]
    pub(crate) privileged: bool,
    /// Pull image before running ("always", "missing", "never")
    #[arg(long, value_name = "string", default_value = "missing")]
    pub(crate) pull: String,
    /// Suppress the pull output
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Mount the container's root filesystem as read only
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Restart policy to apply when a container exits (default "no")
    #[arg(long, value_name = "string")]
    pub(crate) restart: Option<String>,
    /// Automatically remove the container and its associated anonymous volumes when it exits
    #[arg(long)]
    pub(crate) rm: bool,
    /// Security Options
    #[arg(long, value_name = "list")]
    pub(crate) security_opt: Vec<String>,
    /// Size of /dev/shm
    #[arg(long, value_name = "bytes", value_parser = size::bytes)]
    pub(crate) shm_size: Option<u64>,
    /// Signal to stop the container
    #[arg(long, value_name = "string")]
    pub(crate) stop_signal: Option<String>,
    /// Timeout (in seconds) to stop a container
    #[arg(long, value_name = "int")]
    pub(crate) stop_timeout: Option<u64>,
    /// Sysctl options
    #[arg(long, value_name = "map", value_parser = label::sysctl)]
    pub(crate) sysctl: Vec<(String, String)>,
    /// Mount a tmpfs directory
    #[arg(long, value_name = "list", value_parser = mount::tmpfs)]
    pub(crate) tmpfs: Vec<Mount>,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// User ids of a user namespace of its own (inside:outside:count)
    #[arg(long, value_name = "list", value_parser = userns::id_map)]
    pub(crate) uidmap: Vec<IdMap>,
    /// Ulimit options
    #[arg(long, value_name = "ulimit", value_parser = ulimit::parse)]
    pub(crate) ulimit: Vec<Ulimit>,
    /// Whom the process runs as.
    #[arg(help = "Username or UID (format: <name|uid>[:<group|gid>])")]
    #[arg(short, long, value_name = "string")]
    pub(crate) user: Option<String>,
    /// User namespace to use (host|auto|auto:size=N|private)
    #[arg(long, value_name = "string")]
    pub(crate) userns: Option<String>,
    /// UTS namespace to use
    #[arg(long, value_name = "string")]
    pub(crate) uts: Option<String>,
    /// Bind mount a volume
    #[arg(short, long, value_name = "list", value_parser = mount::volume)]
    pub(crate) volume: Vec<Mount>,
    /// Optional volume driver for the container
    #[arg(long, value_name = "string")]
    pub(crate) volume_driver: Option<String>,
    /// Mount volumes from the specified container(s)
    #[arg(long, value_name = "list", value_parser = mount::volumes_from)]
    pub(crate) volumes_from: Vec<VolumesFrom>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "string")]
    pub(crate) workdir: Option<String>,
    /// The image, the command and its arguments
    #[arg(value_name = "IMAGE [COMMAND] [ARG...]", required = true, num_args = 1..,
          trailing_var_arg = true)]
    pub(crate) image_and_command: Vec<String>,
}

/// A standard stream of `--attach`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdin,
    Stdout,
    Stderr,
}

/// Why it is no stream.
#[derive(Debug, thiserror::Error)]
#[error("valid streams are STDIN, STDOUT and STDERR")]
pub(crate) struct NoStream;

fn stream(text: &str) -> Result<Stream, NoStream> {
    match text.to_ascii_lowercase().as_str() {
        "stdin" => Ok(Stream::Stdin),
        "stdout" => Ok(Stream::Stdout),
        "stderr" => Ok(Stream::Stderr),
        _ => Err(NoStream),
    }
}
