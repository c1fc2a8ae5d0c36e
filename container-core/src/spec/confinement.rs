//! What a container may not do: capabilities, devices, system calls, paths.

use std::collections::HashSet;

use oci_spec::runtime::{Capability, LinuxDevice, LinuxDeviceType, LinuxSeccomp};

use super::Input;
use crate::error::{Error, Result};
use crate::plan::capability_bit;
use crate::request::{Request, Seccomp};
use crate::seccomp;

/// Docker's fourteen.
const DEFAULT_CAPABILITIES: [Capability; 14] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fsetid,
    Capability::Fowner,
    Capability::Mknod,
    Capability::NetRaw,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setfcap,
    Capability::Setpcap,
    Capability::NetBindService,
    Capability::SysChroot,
    Capability::Kill,
    Capability::AuditWrite,
];

/// All that Linux knows, in the kernel's order.
const ALL_CAPABILITIES: [Capability; 41] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::DacReadSearch,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::LinuxImmutable,
    Capability::NetBindService,
    Capability::NetBroadcast,
    Capability::NetAdmin,
    Capability::NetRaw,
    Capability::IpcLock,
    Capability::IpcOwner,
    Capability::SysModule,
    Capability::SysRawio,
    Capability::SysChroot,
    Capability::SysPtrace,
    Capability::SysPacct,
    Capability::SysAdmin,
    Capability::SysBoot,
    Capability::SysNice,
    Capability::SysResource,
    Capability::SysTime,
    Capability::SysTtyConfig,
    Capability::Mknod,
    Capability::Lease,
    Capability::AuditWrite,
    Capability::AuditControl,
    Capability::Setfcap,
    Capability::MacOverride,
    Capability::MacAdmin,
    Capability::Syslog,
    Capability::WakeAlarm,
    Capability::BlockSuspend,
    Capability::AuditRead,
    Capability::Perfmon,
    Capability::Bpf,
    Capability::CheckpointRestore,
];

/// Masked in Docker's containers.
pub const MASKED_PATHS: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Read-only in Docker's containers.
pub const READ_ONLY_PATHS: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

fn unmasked(request: &Request) -> bool {
    request.privileged || request.unmask_system_paths
}

pub(super) fn masked_paths(input: &Input<'_>) -> Vec<String> {
    if unmasked(input.request) {
        return Vec::new();
    }
    let fixed = MASKED_PATHS.iter().map(|s| (*s).to_owned());
    fixed
        .chain(input.host.thermal_throttle.iter().cloned())
        .collect()
}

pub(super) fn readonly_paths(request: &Request) -> Vec<String> {
    if unmasked(request) {
        return Vec::new();
    }
    READ_ONLY_PATHS.iter().map(|s| (*s).to_owned()).collect()
}

/// Docker's rules (moby `caps.TweakCapabilities`): `ALL` added is all but what is dropped by
/// name, else `ALL` dropped is what is added by name, else what is dropped leaves the defaults
/// and what is added comes back. Unlike there, a privileged container loses what is dropped.
pub(super) fn capabilities(
    input: &Input<'_>,
    warnings: &mut Vec<String>,
) -> Result<HashSet<Capability>> {
    let request = input.request;
    let had = |c: &Capability| input.host.capabilities & capability_bit(*c) != 0;
    let (add_all, added) = named("cap_add", &request.cap_add)?;
    let (drop_all, dropped) = named("cap_drop", &request.cap_drop)?;
    let wants_all = add_all || (request.privileged && !drop_all);
    let set: HashSet<Capability> = if add_all {
        &HashSet::from(ALL_CAPABILITIES) - &dropped
    } else {
        let missing = |name: &&String| parse("cap_add", name).is_ok_and(|c| !had(&c));
        if let Some(name) = request.cap_add.iter().find(missing) {
            return Err(Error::Setting {
                setting: "cap_add",
                value: name.clone(),
                reason: "this process does not have the capability, so it cannot grant it".into(),
            });
        }
        let basis = if drop_all {
            HashSet::new()
        } else if request.privileged {
            ALL_CAPABILITIES.into()
        } else {
            DEFAULT_CAPABILITIES.into()
        };
        &(&basis - &dropped) | &added
    };
    let (set, missing): (HashSet<_>, HashSet<_>) = set.into_iter().partition(had);
    if wants_all && !missing.is_empty() {
        let mut missing: Vec<_> = missing.iter().map(ToString::to_string).collect();
        missing.sort();
        warnings.push(format!(
            "all capabilities were asked for, but this host does not have {}",
            missing.join(", ")
        ));
    }
    Ok(set)
}

/// Is `ALL` among the names, and which others are.
fn named(setting: &'static str, names: &[String]) -> Result<(bool, HashSet<Capability>)> {
    let is_all = |name: &&String| name.eq_ignore_ascii_case("ALL");
    let others = names.iter().filter(|name| !is_all(name));
    let set = others
        .map(|name| parse(setting, name))
        .collect::<Result<_>>()?;
    Ok((names.iter().any(|name| is_all(&name)), set))
}

fn parse(setting: &'static str, name: &str) -> Result<Capability> {
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    let full = format!("CAP_{bare}");
    serde_json::from_value(serde_json::Value::String(full)).map_err(|_| Error::Setting {
        setting,
        value: name.to_owned(),
        reason: format!(
            "Invalid {}: unknown capability: \"CAP_{bare}\"",
            match setting {
                "cap_add" => "CapAdd",
                _ => "CapDrop",
            }
        ),
    })
}

pub(super) fn seccomp(
    input: &Input<'_>,
    capabilities: &HashSet<Capability>,
) -> Result<Option<LinuxSeccomp>> {
    let host = input.host;
    Ok(match &input.request.seccomp {
        Seccomp::Unconfined => None,
        Seccomp::Default if input.request.privileged => None,
        Seccomp::Default => Some(seccomp::docker_default(
            capabilities,
            host.arch,
            host.kernel,
        )),
        Seccomp::Profile(json) => Some(seccomp::parse(
            json.as_bytes(),
            capabilities,
            host.arch,
            host.kernel,
        )?),
    })
}

/// One device a path: the last, so that a request's comes before those of all the host.
pub(super) fn distinct_devices<'a>(
    input: &Input<'a>,
) -> impl Iterator<Item = &'a super::HostDevice> + use<'a> {
    let devices = input.devices;
    let again = |at: usize, path: &str| devices[at + 1..].iter().any(|d| d.path == path);
    devices
        .iter()
        .enumerate()
        .filter(move |(at, device)| !again(*at, &device.path))
        .map(|(_, device)| device)
}

pub(super) fn devices(input: &Input<'_>) -> Vec<LinuxDevice> {
    let device = |d: &super::HostDevice| {
        let mut device = LinuxDevice::default();
        device
            .set_path(d.path.clone().into())
            .set_typ(if d.block {
                LinuxDeviceType::B
            } else {
                LinuxDeviceType::C
            })
            .set_major(d.major.into())
            .set_minor(d.minor.into())
            .set_file_mode(Some(d.mode))
            .set_uid(Some(d.uid))
            .set_gid(Some(d.gid));
        device
    };
    if input.is_nested() {
        return Vec::new();
    }
    distinct_devices(input).map(device).collect()
}
