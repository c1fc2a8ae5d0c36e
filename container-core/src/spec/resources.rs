//! Limits and the device allow-list.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxDeviceCgroup, LinuxDeviceType, LinuxMemory, LinuxPids,
    LinuxResources, LinuxThrottleDeviceBuilder,
};

use super::Input;
use crate::cgroup::default_device_rules;
use crate::error::{Error, Result};
use crate::request::Limits;

/// What Docker refuses to go below.
const MINIMUM_MEMORY: u64 = 6 << 20;
const DEFAULT_PERIOD: u64 = 100_000;

fn wrong(setting: &'static str, value: impl ToString, reason: impl Into<String>) -> Error {
    Error::Setting {
        setting,
        value: value.to_string(),
        reason: reason.into(),
    }
}

pub(super) fn compile(input: &Input<'_>) -> Result<LinuxResources> {
    let limits = &input.request.limits;
    let mut resources = LinuxResources::default();
    resources
        .set_memory(memory(input)?)
        .set_cpu(cpu(limits, input.host.cpus)?)
        .set_pids(pids(limits))
        .set_block_io(block_io(input)?)
        .set_devices(Some(devices(input)?));
    Ok(resources)
}

fn bytes(setting: &'static str, value: u64) -> Result<i64> {
    i64::try_from(value).map_err(|_| wrong(setting, value, "is more than 2^63 bytes"))
}

fn memory(input: &Input<'_>) -> Result<Option<LinuxMemory>> {
    let limits = &input.request.limits;
    let v1_only = |setting, value: String| {
        if input.host.cgroup_v2 {
            Err(wrong(
                setting,
                value,
                "the unified cgroup hierarchy has no such control",
            ))
        } else {
            Ok(())
        }
    };
    let mut memory = LinuxMemory::default();
    if let Some(limit) = limits.memory {
        if limit < MINIMUM_MEMORY {
            return Err(wrong("memory", limit, "the minimum is 6 MiB"));
        }
        memory.set_limit(Some(bytes("memory", limit)?));
    }
    match (limits.memory_swap, limits.memory) {
        (Some(-1), _) => _ = memory.set_swap(Some(-1)),
        (Some(0), _) | (None, None) => {}
        (Some(swap), None) => {
            return Err(wrong("memory_swap", swap, "needs a memory limit beside it"));
        }
        (Some(swap), Some(limit)) => {
            if u64::try_from(swap).unwrap_or(0) < limit {
                return Err(wrong(
                    "memory_swap",
                    swap,
                    "counts memory and swap together, so it cannot be less than the memory limit",
                ));
            }
            memory.set_swap(Some(swap));
        }
        // Docker gives as much swap as memory when only memory is limited.
        (None, Some(limit)) => {
            memory.set_swap(Some(bytes("memory", limit.saturating_mul(2))?));
        }
    }
    if let Some(reservation) = limits.memory_reservation {
        if limits.memory.is_some_and(|limit| limit < reservation) {
            return Err(wrong(
                "memory_reservation",
                reservation,
                "is more than the memory limit",
            ));
        }
        memory.set_reservation(Some(bytes("memory_reservation", reservation)?));
    }
    if let Some(swappiness) = limits.memory_swappiness {
        if swappiness > 100 {
            return Err(wrong(
                "memory_swappiness",
                swappiness,
                "must lie between 0 and 100",
            ));
        }
        v1_only("memory_swappiness", swappiness.to_string())?;
        memory.set_swappiness(Some(swappiness));
    }
    if input.request.oom_kill_disable {
        v1_only("oom_kill_disable", "true".into())?;
        memory.set_disable_oom_killer(Some(true));
    }
    Ok((memory != LinuxMemory::default()).then_some(memory))
}

fn cpu(limits: &Limits, online: u32) -> Result<Option<LinuxCpu>> {
    let mut cpu = LinuxCpu::default();
    if let Some(cpus) = limits.cpus {
        if limits.cpu_quota.is_some() || limits.cpu_period.is_some() {
            return Err(wrong(
                "cpus",
                cpus,
                "conflicts with cpu_period and cpu_quota",
            ));
        }
        let quota = (cpus * 100_000.0).round();
        // 1 ms in the kernel's units is the least that it accepts.
        if !(1_000.0..=f64::from(online) * 100_000.0).contains(&quota) {
            let reason = format!("must be from 0.01 to {online}, the number of processors");
            return Err(wrong("cpus", cpus, reason));
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the range was just checked"
        )]
        cpu.set_quota(Some(quota as i64))
            .set_period(Some(DEFAULT_PERIOD));
    }
    if let Some(period) = limits.cpu_period {
        if !(1_000..=1_000_000).contains(&period) {
            return Err(wrong(
                "cpu_period",
                period,
                "must lie between 1000 and 1000000 µs",
            ));
        }
        cpu.set_period(Some(period));
    }
    if let Some(quota) = limits.cpu_quota {
        if (0..1_000).contains(&quota) {
            return Err(wrong("cpu_quota", quota, "must be at least 1000 µs"));
        }
        cpu.set_quota(Some(quota));
    }
    if let Some(shares) = limits.cpu_shares.filter(|s| *s != 0) {
        cpu.set_shares(Some(shares));
    }
    if let Some(list) = &limits.cpuset_cpus {
        cpu.set_cpus(Some(set_list("cpuset_cpus", list)?));
    }
    if let Some(list) = &limits.cpuset_mems {
        cpu.set_mems(Some(set_list("cpuset_mems", list)?));
    }
    Ok((cpu != LinuxCpu::default()).then_some(cpu))
}

/// Checks the list format of cpuset(7): `0-4,9`.
fn set_list(setting: &'static str, list: &str) -> Result<String> {
    let number = |s: &str| s.parse::<u32>().ok();
    let ok = |part: &str| match part.split_once('-') {
        Some((from, to)) => number(from)
            .zip(number(to))
            .is_some_and(|(from, to)| from <= to),
        None => number(part).is_some(),
    };
    if list.split(',').all(|part| ok(part.trim())) {
        Ok(list.to_owned())
    } else {
        Err(wrong(setting, list, "must be numbers and ranges, as 0-2,4"))
    }
}

fn pids(limits: &Limits) -> Option<LinuxPids> {
    let limit = limits.pids.filter(|n| *n != 0)?;
    let mut pids = LinuxPids::default();
    pids.set_limit(limit.max(-1));
    Some(pids)
}

fn block_io(input: &Input<'_>) -> Result<Option<LinuxBlockIo>> {
    let limits = &input.request.limits;
    let mut io = LinuxBlockIo::default();
    if let Some(weight) = limits.blkio_weight.filter(|w| *w != 0) {
        if !(10..=1000).contains(&weight) {
            return Err(wrong(
                "blkio_weight",
                weight,
                "must lie between 10 and 1000",
            ));
        }
        io.set_weight(Some(weight));
    }
    let throttle = |setting, list: &[(PathBuf, u64)]| -> Result<Option<Vec<_>>> {
        let one = |(path, rate): &(PathBuf, u64)| {
            let (major, minor) = input
                .block_devices
                .get(path)
                .ok_or_else(|| missing(setting, path))?;
            LinuxThrottleDeviceBuilder::default()
                .major(*major)
                .minor(*minor)
                .rate(*rate)
                .build()
                .map_err(|e| wrong(setting, path.display(), e.to_string()))
        };
        let list = list.iter().map(one).collect::<Result<Vec<_>>>()?;
        Ok((!list.is_empty()).then_some(list))
    };
    io.set_throttle_read_bps_device(throttle("device_read_bps", &limits.device_read_bps)?)
        .set_throttle_write_bps_device(throttle("device_write_bps", &limits.device_write_bps)?)
        .set_throttle_read_iops_device(throttle("device_read_iops", &limits.device_read_iops)?)
        .set_throttle_write_iops_device(throttle("device_write_iops", &limits.device_write_iops)?);
    Ok((io != LinuxBlockIo::default()).then_some(io))
}

fn missing(setting: &'static str, path: &Path) -> Error {
    wrong(setting, path.display(), "is no block device of this host")
}

fn devices(input: &Input<'_>) -> Result<Vec<LinuxDeviceCgroup>> {
    if input.request.privileged {
        let mut all = LinuxDeviceCgroup::default();
        all.set_allow(true).set_access(Some("rwm".into()));
        return Ok(vec![all]);
    }
    let mut rules = default_device_rules();
    for device in input.devices {
        let mut rule = LinuxDeviceCgroup::default();
        rule.set_allow(true)
            .set_typ(Some(if device.block {
                LinuxDeviceType::B
            } else {
                LinuxDeviceType::C
            }))
            .set_major(Some(device.major.into()))
            .set_minor(Some(device.minor.into()))
            .set_access(Some(device.permissions.clone()));
        rules.push(rule);
    }
    for text in &input.request.device_cgroup_rules {
        rules.push(rule(text)?);
    }
    Ok(rules)
}

/// Parses Docker's `--device-cgroup-rule`: `c 10:200 rwm`, `b *:* r`.
fn rule(text: &str) -> Result<LinuxDeviceCgroup> {
    let bad = || wrong("device_cgroup_rule", text, "must look like `c 10:200 rwm`");
    let mut parts = text.split_whitespace();
    let (Some(typ), Some(numbers), Some(access), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(bad());
    };
    let typ = match typ {
        "a" => LinuxDeviceType::A,
        "b" => LinuxDeviceType::B,
        "c" => LinuxDeviceType::C,
        _ => return Err(bad()),
    };
    let number = |s: &str| match s {
        "*" => Ok(None),
        s => s
            .parse::<u32>()
            .map(|n| Some(i64::from(n)))
            .map_err(|_| bad()),
    };
    let (major, minor) = numbers.split_once(':').ok_or_else(bad)?;
    if access.is_empty() || !access.chars().all(|c| "rwm".contains(c)) {
        return Err(bad());
    }
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(true)
        .set_typ(Some(typ))
        .set_major(number(major)?)
        .set_minor(number(minor)?)
        .set_access(Some(access.to_owned()));
    Ok(rule)
}
