//! All flags of `run` together: the [`Request`] they make.

use std::path::Path;

use container_core::request::{Limits, Mount, MountSource, Request, RestartPolicy, Seccomp};

use super::health::{self, HealthFlags};
use super::namespace::{Kind, ipc, mode, network};
use super::{env, log, mount, restart, security, userns};
use crate::cli::run::{CreateArgs, Stream};
use crate::error::Error;

/// What the flags need to know that they do not say themselves.
pub(crate) struct Outside<'a> {
    /// Variables of this program's environment.
    pub(crate) variable: &'a dyn Fn(&str) -> Option<String>,
    /// Contents of `--env-file`s, in order.
    pub(crate) env_files: Vec<Vec<String>>,
    /// Contents of `--label-file`s, in order.
    pub(crate) label_files: Vec<Vec<(String, String)>>,
    /// The content of the seccomp profile, when `--security-opt` names a file.
    pub(crate) seccomp: Option<String>,
    /// Where relative sources of mounts start.
    pub(crate) cwd: &'a Path,
    /// User and group id of who runs this program, where that is not who it runs as.
    pub(crate) caller: Option<(u32, u32)>,
    /// Rows and columns of the terminal.
    pub(crate) console_size: Option<(u16, u16)>,
}

/// Puts the flags together.
///
/// # Errors
/// Flags that contradict each other or ask for what is not here.
pub(crate) fn request(
    args: CreateArgs,
    security: security::Security,
    outside: Outside<'_>,
) -> Result<Request, Error> {
    let mut words = args.image_and_command.into_iter();
    let image = words.next().unwrap_or_default();
    let mut env: Vec<String> = outside.env_files.into_iter().flatten().collect();
    env.extend(
        args.env
            .iter()
            .map(|text| env::lookup(text, outside.variable)),
    );
    let mut mounts: Vec<Mount> = Vec::new();
    for mut mount in args.volume {
        if let MountSource::Volume(volume) = &mut mount.source {
            volume.driver.clone_from(&args.volume_driver);
        }
        // The same twice is once, as in Docker.
        if !mounts.contains(&mount) {
            mounts.push(mount);
        }
    }
    mounts.extend(args.mount);
    mounts.extend(args.tmpfs);
    for mount in &mut mounts {
        mount::absolute(mount, outside.cwd);
        mount::give_to(mount, outside.caller);
    }
    let labels = outside
        .label_files
        .into_iter()
        .flatten()
        .chain(args.label)
        .collect();
    let seccomp = match (security.seccomp, outside.seccomp) {
        (security::SeccompSource::File(_), Some(profile)) => Seccomp::Profile(profile),
        (security::SeccompSource::Unconfined, _) => Seccomp::Unconfined,
        _ => Seccomp::Default,
    };
    if args.cpus.is_some() && args.cpu_quota.is_some_and(|quota| quota != 0) {
        return Err(Error::CpusAndQuota);
    }
    if args.cpus.is_some() && args.cpu_period.is_some_and(|period| period != 0) {
        return Err(Error::CpusAndPeriod);
    }
    let memory_swappiness = match args.memory_swappiness {
        None | Some(-1) => None,
        Some(value) => match u64::try_from(value) {
            Ok(value) if value <= 100 => Some(value),
            _ => return Err(Error::Swappiness(value)),
        },
    };
    let healthcheck = health::check(HealthFlags {
        cmd: args.health_cmd,
        interval: args.health_interval,
        timeout: args.health_timeout,
        start_period: args.health_start_period,
        start_interval: args.health_start_interval,
        retries: args.health_retries,
        none: args.no_healthcheck,
    })?;
    let restart = restart::parse(args.restart.as_deref().unwrap_or_default())?;
    if args.rm && restart != RestartPolicy::No {
        return Err(Error::RestartAndRemove);
    }
    let log = log::config(args.log_driver.as_deref(), args.log_opt)?;
    // Without a word it is to be attached to all that there is.
    let attached = |stream| args.attach.is_empty() || args.attach.contains(&stream);
    let attach_stdin = args.interactive && attached(Stream::Stdin);
    let set = |text: Option<String>| text.filter(|text| !text.is_empty());
    let limits = Limits {
        // Docker's zero means unset, for each of them.
        memory: args.memory.filter(|bytes| *bytes != 0),
        memory_swap: args.memory_swap.filter(|bytes| *bytes != 0),
        memory_reservation: args.memory_reservation.filter(|bytes| *bytes != 0),
        memory_swappiness,
        cpus: args.cpus.filter(|cpus| *cpus != 0.0),
        cpu_shares: args.cpu_shares.filter(|shares| *shares != 0),
        cpu_quota: args.cpu_quota.filter(|quota| *quota != 0),
        cpu_period: args.cpu_period.filter(|period| *period != 0),
        cpuset_cpus: set(args.cpuset_cpus),
        cpuset_mems: set(args.cpuset_mems),
        pids: args.pids_limit.filter(|pids| *pids != 0),
        cpu_rt_runtime: args.cpu_rt_runtime.filter(|runtime| *runtime != 0),
        cpu_rt_period: args.cpu_rt_period.filter(|period| *period != 0),
        blkio_weight: args.blkio_weight.filter(|weight| *weight != 0),
        blkio_weight_device: args.blkio_weight_device,
        device_read_bps: args.device_read_bps,
        device_write_bps: args.device_write_bps,
        device_read_iops: args.device_read_iops,
        device_write_iops: args.device_write_iops,
    };
    Ok(Request {
        image,
        args: words.collect(),
        // An empty one removes the image's.
        entrypoint: args.entrypoint.map(|path| match path.is_empty() {
            true => Vec::new(),
            false => vec![path],
        }),
        env,
        workdir: set(args.workdir),
        user: set(args.user),
        group_add: args.group_add,
        name: set(args.name),
        hostname: set(args.hostname),
        domainname: set(args.domainname),
        mounts,
        volumes_from: args.volumes_from,
        read_only: args.read_only,
        network: network(&args.network)?,
        ipc: ipc(args.ipc.as_deref())?,
        pid: mode(Kind::Pid, args.pid.as_deref())?,
        uts: mode(Kind::Uts, args.uts.as_deref())?,
        cgroupns: mode(Kind::Cgroup, args.cgroupns.as_deref())?,
        userns: userns::user_namespace(args.userns.as_deref(), args.uidmap, args.gidmap)?,
        limits,
        cgroup_parent: set(args.cgroup_parent),
        cap_add: args.cap_add,
        cap_drop: args.cap_drop,
        privileged: args.privileged,
        seccomp,
        no_new_privileges: security.no_new_privileges,
        unmask_system_paths: security.unmask_system_paths,
        ulimits: args.ulimit,
        devices: args.device,
        device_cgroup_rules: args.device_cgroup_rule,
        sysctls: args.sysctl.into_iter().collect(),
        shm_size: args.shm_size.filter(|bytes| *bytes != 0),
        add_hosts: args.add_host,
        dns: args.dns,
        dns_search: args.dns_search,
        dns_options: args.dns_option,
        labels,
        annotations: args.annotation.into_iter().collect(),
        init: args.init,
        open_stdin: args.interactive,
        stdin_once: attach_stdin,
        attach_stdin,
        attach_stdout: attached(Stream::Stdout),
        attach_stderr: attached(Stream::Stderr),
        tty: args.tty,
        console_size: outside.console_size,
        stop_signal: set(args.stop_signal),
        stop_timeout: args.stop_timeout,
        auto_remove: args.rm,
        restart,
        healthcheck,
        log,
        oom_score_adj: args.oom_score_adj.filter(|score| *score != 0),
        oom_kill_disable: args.oom_kill_disable,
        ..Request::default()
    })
}
