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
const MASKED: [&str; 12] = [
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
const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

fn unmasked(request: &Request) -> bool {
    request.privileged || request.unmask_system_paths
}

pub(super) fn masked_paths(request: &Request) -> Vec<String> {
    if unmasked(request) {
        return Vec::new();
    }
    MASKED.iter().map(|s| (*s).to_owned()).collect()
}

pub(super) fn readonly_paths(request: &Request) -> Vec<String> {
    if unmasked(request) {
        return Vec::new();
    }
    READ_ONLY.iter().map(|s| (*s).to_owned()).collect()
}

/// Docker's rules: `ALL` first, then single ones; what is dropped stays dropped unless added.
pub(super) fn capabilities(
    input: &Input<'_>,
    warnings: &mut Vec<String>,
) -> Result<HashSet<Capability>> {
    let request = input.request;
    let had = |c: &Capability| input.host.capabilities & capability_bit(*c) != 0;
    let mut set: HashSet<Capability> = if request.privileged {
        ALL_CAPABILITIES.into()
    } else {
        DEFAULT_CAPABILITIES.into()
    };
    let is_all = |name: &String| name.eq_ignore_ascii_case("ALL");
    if request.cap_drop.iter().any(is_all) {
        set.clear();
    }
    if request.cap_add.iter().any(is_all) {
        set = ALL_CAPABILITIES.into();
    }
    for name in request.cap_drop.iter().filter(|n| !is_all(n)) {
        set.remove(&parse("cap_drop", name)?);
    }
    for name in request.cap_add.iter().filter(|n| !is_all(n)) {
        let capability = parse("cap_add", name)?;
        if !had(&capability) {
            return Err(Error::Setting {
                setting: "cap_add",
                value: name.clone(),
                reason: "this process does not have the capability, so it cannot grant it".into(),
            });
        }
        set.insert(capability);
    }
    let mut missing: Vec<_> = set
        .iter()
        .filter(|c| !had(c))
        .map(ToString::to_string)
        .collect();
    if !missing.is_empty() && (request.privileged || request.cap_add.iter().any(is_all)) {
        missing.sort();
        warnings.push(format!(
            "all capabilities were asked for, but this host does not have {}",
            missing.join(", ")
        ));
    }
    set.retain(had);
    Ok(set)
}

fn parse(setting: &'static str, name: &str) -> Result<Capability> {
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    let full = format!("CAP_{bare}");
    serde_json::from_value(serde_json::Value::String(full)).map_err(|_| Error::Setting {
        setting,
        value: name.to_owned(),
        reason: "unknown capability (see capabilities(7))".into(),
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
    if input.host.rootless {
        return Vec::new();
    }
    input.devices.iter().map(device).collect()
}
