//! `HostConfig`: what the machine gives a container, as it was asked for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use container_core::request::{
    Device, IpcMode, Limits, Mount, NamespaceMode, Request, RestartPolicy, Seccomp, Ulimit,
    UserNamespace,
};
use container_core::spec::{MASKED_PATHS, READ_ONLY_PATHS};
use serde::Serialize;

use super::config::Member;
use super::mounts::{Asked, Flags, volumes_from};
use super::network;
use crate::print::template::{NilList, NilMap, Omit};

/// `/dev/shm`, unless asked for.
const SHM: u64 = 64 << 20;

/// Docker's `container.HostConfig`.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename = "container.HostConfig", rename_all = "PascalCase")]
pub(super) struct HostConfig {
    binds: NilList<String>,
    #[serde(rename = "ContainerIDFile")]
    container_id_file: String,
    log_config: LogConfig,
    network_mode: String,
    port_bindings: BTreeMap<String, Vec<Member>>,
    restart_policy: Restart,
    auto_remove: bool,
    volume_driver: String,
    volumes_from: NilList<String>,
    console_size: [u16; 2],
    annotations: Omit<BTreeMap<String, String>>,
    cap_add: NilList<String>,
    cap_drop: NilList<String>,
    cgroupns_mode: String,
    dns: Vec<String>,
    dns_options: Vec<String>,
    dns_search: Vec<String>,
    extra_hosts: NilList<String>,
    group_add: NilList<String>,
    ipc_mode: String,
    cgroup: String,
    links: NilList<String>,
    oom_score_adj: i32,
    pid_mode: String,
    privileged: bool,
    publish_all_ports: bool,
    readonly_rootfs: bool,
    security_opt: NilList<String>,
    storage_opt: Omit<NilMap<String>>,
    tmpfs: Omit<BTreeMap<String, String>>,
    #[serde(rename = "UTSMode")]
    uts_mode: String,
    userns_mode: String,
    shm_size: u64,
    sysctls: Omit<BTreeMap<String, String>>,
    runtime: &'static str,
    isolation: String,
    cpu_shares: u64,
    memory: u64,
    nano_cpus: i64,
    cgroup_parent: String,
    blkio_weight: u16,
    blkio_weight_device: Vec<Weight>,
    blkio_device_read_bps: Vec<Rate>,
    blkio_device_write_bps: Vec<Rate>,
    #[serde(rename = "BlkioDeviceReadIOps")]
    blkio_device_read_iops: Vec<Rate>,
    #[serde(rename = "BlkioDeviceWriteIOps")]
    blkio_device_write_iops: Vec<Rate>,
    cpu_period: u64,
    cpu_quota: i64,
    cpu_realtime_period: u64,
    cpu_realtime_runtime: i64,
    cpuset_cpus: String,
    cpuset_mems: String,
    devices: Vec<Passed>,
    device_cgroup_rules: NilList<String>,
    device_requests: NilList<String>,
    memory_reservation: u64,
    memory_swap: i64,
    memory_swappiness: Option<u64>,
    oom_kill_disable: bool,
    pids_limit: Option<i64>,
    ulimits: Vec<Limit>,
    cpu_count: u64,
    cpu_percent: u64,
    #[serde(rename = "IOMaximumIOps")]
    io_maximum_iops: u64,
    #[serde(rename = "IOMaximumBandwidth")]
    io_maximum_bandwidth: u64,
    mounts: Omit<Vec<Asked>>,
    masked_paths: NilList<String>,
    readonly_paths: NilList<String>,
    init: Omit<Option<bool>>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename = "container.LogConfig", rename_all = "PascalCase")]
struct LogConfig {
    r#type: String,
    config: BTreeMap<String, String>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename = "container.RestartPolicy", rename_all = "PascalCase")]
struct Restart {
    name: &'static str,
    maximum_retry_count: u32,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename = "blkiodev.ThrottleDevice", rename_all = "PascalCase")]
struct Rate {
    path: PathBuf,
    rate: u64,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename = "blkiodev.WeightDevice", rename_all = "PascalCase")]
struct Weight {
    path: PathBuf,
    weight: u16,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename = "container.DeviceMapping", rename_all = "PascalCase")]
struct Passed {
    path_on_host: PathBuf,
    path_in_container: String,
    cgroup_permissions: String,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename = "units.Ulimit", rename_all = "PascalCase")]
struct Limit {
    name: String,
    hard: i64,
    soft: i64,
}

/// The mode of a namespace, with the words for the container's own and the machine's.
fn mode(mode: &NamespaceMode, own: &str) -> String {
    match mode {
        NamespaceMode::Private => own.to_owned(),
        NamespaceMode::Host => "host".to_owned(),
        NamespaceMode::Container(name) => format!("container:{name}"),
    }
}

/// In podman's words; Docker has none but `host`.
fn userns(userns: &UserNamespace) -> String {
    match userns {
        UserNamespace::Host => String::new(),
        UserNamespace::Auto { size: None } => "auto".to_owned(),
        UserNamespace::Auto { size: Some(size) } => format!("auto:size={size}"),
        UserNamespace::Mapped { .. } => "private".to_owned(),
    }
}

fn ipc(mode: &IpcMode) -> String {
    match mode {
        IpcMode::Private => "private".to_owned(),
        IpcMode::Shareable => "shareable".to_owned(),
        IpcMode::None => "none".to_owned(),
        IpcMode::Host => "host".to_owned(),
        IpcMode::Container(name) => format!("container:{name}"),
    }
}

fn rates(rates: &[(PathBuf, u64)]) -> Vec<Rate> {
    let rate = |(path, rate): &(PathBuf, u64)| Rate {
        path: path.clone(),
        rate: *rate,
    };
    rates.iter().map(rate).collect()
}

/// Nine digits after the point, as Docker counts processors.
fn nano(cpus: f64) -> i64 {
    (cpus * 1e9).round() as i64
}

impl HostConfig {
    pub(super) fn of(request: &Request) -> Self {
        let limits = &request.limits;
        Self {
            restart_policy: Restart::of(request.restart),
            log_config: LogConfig {
                r#type: request.log.driver.clone(),
                config: request.log.options.clone(),
            },
            network_mode: network::name(&request.network).to_owned(),
            auto_remove: request.auto_remove,
            console_size: request.console_size.map_or([0, 0], <[u16; 2]>::from),
            annotations: Omit(request.annotations.clone()),
            cap_add: NilList(request.cap_add.clone()),
            cap_drop: NilList(request.cap_drop.clone()),
            cgroupns_mode: mode(&request.cgroupns, "private"),
            dns: request.dns.clone(),
            dns_options: request.dns_options.clone(),
            dns_search: request.dns_search.clone(),
            extra_hosts: NilList(request.add_hosts.clone()),
            group_add: NilList(request.group_add.clone()),
            ipc_mode: ipc(&request.ipc),
            oom_score_adj: request.oom_score_adj.unwrap_or(0),
            pid_mode: mode(&request.pid, ""),
            privileged: request.privileged,
            readonly_rootfs: request.read_only,
            security_opt: NilList(security(request)),
            uts_mode: mode(&request.uts, ""),
            userns_mode: userns(&request.userns),
            shm_size: request.shm_size.unwrap_or(SHM),
            sysctls: Omit(request.sysctls.clone()),
            runtime: crate::cli::NAME,
            cgroup_parent: request.cgroup_parent.clone().unwrap_or_default(),
            devices: request.devices.iter().map(Passed::of).collect(),
            device_cgroup_rules: NilList(request.device_cgroup_rules.clone()),
            oom_kill_disable: request.oom_kill_disable,
            ulimits: request.ulimits.iter().map(Limit::of).collect(),
            masked_paths: paths(request, &MASKED_PATHS),
            readonly_paths: paths(request, &READ_ONLY_PATHS),
            init: Omit(request.init.then_some(true)),
            volumes_from: NilList(request.volumes_from.iter().map(volumes_from).collect()),
            ..Self::mounts(&request.mounts, Self::limits(limits))
        }
    }

    fn limits(limits: &Limits) -> Self {
        let swap = match (limits.memory_swap, limits.memory) {
            // Docker's default: as much swap as memory.
            (None, Some(memory)) => i64::try_from(memory.saturating_mul(2)).unwrap_or(i64::MAX),
            (swap, _) => swap.unwrap_or(0),
        };
        Self {
            cpu_shares: limits.cpu_shares.unwrap_or(0),
            memory: limits.memory.unwrap_or(0),
            nano_cpus: limits.cpus.map_or(0, nano),
            blkio_weight: limits.blkio_weight.unwrap_or(0),
            blkio_weight_device: limits
                .blkio_weight_device
                .iter()
                .map(|(path, weight)| Weight {
                    path: path.clone(),
                    weight: *weight,
                })
                .collect(),
            blkio_device_read_bps: rates(&limits.device_read_bps),
            blkio_device_write_bps: rates(&limits.device_write_bps),
            blkio_device_read_iops: rates(&limits.device_read_iops),
            blkio_device_write_iops: rates(&limits.device_write_iops),
            cpu_period: limits.cpu_period.unwrap_or(0),
            cpu_quota: limits.cpu_quota.unwrap_or(0),
            cpu_realtime_period: limits.cpu_rt_period.unwrap_or(0),
            cpu_realtime_runtime: limits.cpu_rt_runtime.unwrap_or(0),
            cpuset_cpus: limits.cpuset_cpus.clone().unwrap_or_default(),
            cpuset_mems: limits.cpuset_mems.clone().unwrap_or_default(),
            memory_reservation: limits.memory_reservation.unwrap_or(0),
            memory_swap: swap,
            memory_swappiness: limits.memory_swappiness,
            pids_limit: limits.pids,
            ..Self::default()
        }
    }

    /// The mounts, by the flag that asks for them in Docker.
    fn mounts(mounts: &[Mount], config: Self) -> Self {
        let flags = Flags::of(mounts);
        Self {
            binds: NilList(flags.binds),
            mounts: Omit(flags.mounts),
            tmpfs: Omit(flags.tmpfs),
            volume_driver: flags.volume_driver,
            ..config
        }
    }
}

fn security(request: &Request) -> Vec<String> {
    let mut options = Vec::new();
    match &request.seccomp {
        Seccomp::Default => {}
        Seccomp::Unconfined => options.push("seccomp=unconfined".to_owned()),
        Seccomp::Profile(profile) => options.push(format!("seccomp={profile}")),
    }
    if request.no_new_privileges {
        options.push("no-new-privileges".to_owned());
    }
    if request.unmask_system_paths {
        options.push("systempaths=unconfined".to_owned());
    }
    options
}

fn paths(request: &Request, paths: &[&str]) -> NilList<String> {
    match request.privileged || request.unmask_system_paths {
        true => NilList::default(),
        false => NilList(paths.iter().map(|path| (*path).to_owned()).collect()),
    }
}

impl Restart {
    fn of(policy: RestartPolicy) -> Self {
        let (name, maximum_retry_count) = match policy {
            RestartPolicy::No => ("no", 0),
            RestartPolicy::OnFailure { max_retries } => ("on-failure", max_retries),
            RestartPolicy::Always => ("always", 0),
            RestartPolicy::UnlessStopped => ("unless-stopped", 0),
        };
        Self {
            name,
            maximum_retry_count,
        }
    }
}

impl Passed {
    fn of(device: &Device) -> Self {
        Self {
            path_on_host: device.host.clone(),
            path_in_container: device.container.clone(),
            cgroup_permissions: device.permissions.clone(),
        }
    }
}

impl Limit {
    fn of(limit: &Ulimit) -> Self {
        Self {
            name: limit.name.clone(),
            hard: limit.hard,
            soft: limit.soft,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::{mount, mount_spec};
    use crate::print::template::value;

    fn json(request: &Request) -> serde_json::Value {
        let shown = value(&HostConfig::of(request)).unwrap().json().unwrap();
        serde_json::from_str(&shown).unwrap()
    }

    #[test]
    fn nothing_asked_for() {
        let shown = json(&Request::default());
        assert_eq!(shown["Binds"], serde_json::Value::Null);
        assert_eq!(shown["RestartPolicy"]["Name"], "no");
        assert_eq!(shown["ShmSize"], 67_108_864);
        assert_eq!(shown["NetworkMode"], "none");
        assert_eq!(shown["MaskedPaths"][3], "/proc/kcore");
        for omitted in [
            "Tmpfs",
            "Sysctls",
            "Init",
            "Mounts",
            "StorageOpt",
            "Annotations",
        ] {
            assert!(shown.get(omitted).is_none(), "{omitted}");
        }
    }

    #[test]
    fn what_was_asked_for() {
        let request = Request {
            limits: Limits {
                memory: Some(1 << 20),
                cpus: Some(1.5),
                ..Limits::default()
            },
            mounts: vec![
                mount::volume("/src:/a:ro").unwrap(),
                mount_spec::parse("type=bind,src=/src,dst=/b,ro").unwrap(),
                mount::tmpfs("/c:size=1m,noexec").unwrap(),
            ],
            restart: RestartPolicy::OnFailure { max_retries: 3 },
            privileged: true,
            init: true,
            ..Request::default()
        };
        let shown = json(&request);
        assert_eq!(shown["Binds"], serde_json::json!(["/src:/a:ro"]));
        assert_eq!(
            shown["Mounts"],
            serde_json::json!([{"Type": "bind", "Source": "/src", "Target": "/b", "ReadOnly": true}])
        );
        assert_eq!(shown["Tmpfs"], serde_json::json!({"/c": "size=1m,noexec"}));
        assert_eq!(shown["RestartPolicy"]["MaximumRetryCount"], 3);
        assert_eq!(
            (&shown["NanoCpus"], &shown["MemorySwap"]),
            (&1_500_000_000.into(), &(2 << 20).into())
        );
        assert_eq!(shown["MaskedPaths"], serde_json::Value::Null);
        assert_eq!(shown["Init"], true);
    }
}
