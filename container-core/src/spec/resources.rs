//! Limits and the device allow-list.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxDeviceCgroup, LinuxDeviceType, LinuxMemory, LinuxPids,
    LinuxResources, LinuxThrottleDeviceBuilder, LinuxWeightDeviceBuilder,
};

use super::Input;
use super::confinement::distinct_devices;
use crate::cgroup::default_device_rules;
use crate::error::{Error, Result};
use crate::request::Limits;

/// What Docker refuses to go below.
const MINIMUM_MEMORY: u64 = 6 << 20;
const DEFAULT_PERIOD: u64 = 100_000;
/// The kernel's bounds (kernel/sched/sched.h).
const SHARES: std::ops::RangeInclusive<u64> = 2..=262_144;

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
        .set_cpu(cpu(input)?)
        .set_pids(pids(limits))
        .set_block_io(block_io(input)?)
        .set_devices(Some(devices(input)?));
    Ok(resources)
}

fn bytes(setting: &'static str, value: u64) -> Result<i64> {
    i64::try_from(value).map_err(|_| wrong(setting, value, "is more than 2^63 bytes"))
}

/// Docker's zero stands for "not set".
fn set<T: Copy + Default + PartialEq>(limit: Option<T>) -> Option<T> {
    limit.filter(|n| *n != T::default())
}

fn at_least_minimum(setting: &'static str, value: u64) -> Result<i64> {
    if value < MINIMUM_MEMORY {
        return Err(wrong(setting, value, "Minimum memory limit allowed is 6MB"));
    }
    bytes(setting, value)
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
    let limit = set(limits.memory)
        .map(|limit| at_least_minimum("memory", limit))
        .transpose()?;
    memory
        .set_limit(limit)
        .set_swap(swap(set(limits.memory_swap), limit)?);
    if let Some(reservation) = set(limits.memory_reservation) {
        let bytes = at_least_minimum("memory_reservation", reservation)?;
        if limit.is_some_and(|limit| limit < bytes) {
            return Err(wrong(
                "memory_reservation",
                reservation,
                "Minimum memory limit can not be less than memory reservation limit, see usage",
            ));
        }
        memory.set_reservation(Some(bytes));
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

/// Memory and swap together.
fn swap(swap: Option<i64>, memory: Option<i64>) -> Result<Option<i64>> {
    let wrong = |swap: i64, reason: &str| Err(wrong("memory_swap", swap, reason));
    match (swap, memory) {
        (Some(-1), _) => Ok(Some(-1)),
        (Some(swap), None) => wrong(
            swap,
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        ),
        (Some(swap), Some(limit)) if swap < limit => wrong(
            swap,
            "Minimum memoryswap limit should be larger than memory limit, see usage",
        ),
        (Some(swap), Some(_)) => Ok(Some(swap)),
        // Docker gives as much swap as memory when only memory is limited.
        (None, limit) => Ok(limit.map(|limit| limit.saturating_mul(2))),
    }
}

fn cpu(input: &Input<'_>) -> Result<Option<LinuxCpu>> {
    let limits = &input.request.limits;
    let available = &input.host.cpus;
    let mut cpu = LinuxCpu::default();
    if let Some(cpus) = set(limits.cpus) {
        if set(limits.cpu_quota).is_some() || set(limits.cpu_period).is_some() {
            return Err(wrong(
                "cpus",
                cpus,
                "conflicts with cpu_period and cpu_quota",
            ));
        }
        let quota = (cpus * 100_000.0).round();
        let count = ranges(available).map_or(0, |list| list.iter().map(|(a, b)| b - a + 1).sum());
        let most = if count == 0 { 1e10 } else { count as f64 };
        // 1 ms in the kernel's units is the least that it accepts.
        if !(1_000.0..=most * 100_000.0).contains(&quota) {
            let reason = format!(
                "Range of CPUs is from 0.01 to {most:.2}, as there are only {most} CPUs available"
            );
            return Err(wrong("cpus", cpus, reason));
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the range was just checked"
        )]
        cpu.set_quota(Some(quota as i64))
            .set_period(Some(DEFAULT_PERIOD));
    }
    if let Some(period) = set(limits.cpu_period) {
        if !(1_000..=1_000_000).contains(&period) {
            return Err(wrong(
                "cpu_period",
                period,
                "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
            ));
        }
        cpu.set_period(Some(period));
    }
    if let Some(quota) = set(limits.cpu_quota) {
        if (0..1_000).contains(&quota) {
            let reason = "CPU cfs quota can not be less than 1ms (i.e. 1000)";
            return Err(wrong("cpu_quota", quota, reason));
        }
        cpu.set_quota(Some(quota));
    }
    if let Some(shares) = set(limits.cpu_shares) {
        if !SHARES.contains(&shares) {
            return Err(wrong("cpu_shares", shares, "must lie between 2 and 262144"));
        }
        cpu.set_shares(Some(shares));
    }
    cpu.set_realtime_runtime(set(limits.cpu_rt_runtime))
        .set_realtime_period(set(limits.cpu_rt_period));
    let given = |list: &Option<String>| list.clone().filter(|list| !list.is_empty());
    if let Some(list) = given(&limits.cpuset_cpus) {
        cpu.set_cpus(Some(set_list("cpuset_cpus", list, available)?));
    }
    if let Some(list) = given(&limits.cpuset_mems) {
        cpu.set_mems(Some(set_list("cpuset_mems", list, "")?));
    }
    Ok((cpu != LinuxCpu::default()).then_some(cpu))
}

/// Reads the list format of cpuset(7), `0-4,9`, as first and last of each range.
fn ranges(list: &str) -> Option<Vec<(u64, u64)>> {
    let number = |s: &str| s.parse::<u32>().ok().map(u64::from);
    let range = |part: &str| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        number(from).zip(number(to)).filter(|(from, to)| from <= to)
    };
    list.split(',').map(|part| range(part.trim())).collect()
}

/// Whether a range lies within sorted ones.
fn covers(there: &[(u64, u64)], (mut from, to): (u64, u64)) -> bool {
    for (first, last) in there {
        if *first <= from && from <= *last {
            if to <= *last {
                return true;
            }
            from = last + 1;
        }
    }
    false
}

/// Checks a list, and where it is known what is available, that it asks for nothing else.
fn set_list(setting: &'static str, list: String, available: &str) -> Result<String> {
    let Some(wanted) = ranges(&list) else {
        let reason = "must be numbers and ranges, as 0-2,4";
        return Err(wrong(setting, list, reason));
    };
    let lacks = |there: Vec<_>| !wanted.iter().all(|range| covers(&there, *range));
    if ranges(available).is_some_and(lacks) {
        let reason = format!(
            "Requested {} are not available - requested {list}, available: {available}",
            match setting {
                "cpuset_mems" => "memory nodes",
                _ => "CPUs",
            }
        );
        return Err(wrong(setting, list, reason));
    }
    Ok(list)
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
    let mut weights = Vec::new();
    for (path, weight) in &limits.blkio_weight_device {
        let setting = "blkio_weight_device";
        let (major, minor) = *input
            .block_devices
            .get(path)
            .ok_or_else(|| missing(setting, path))?;
        if !(10..=1000).contains(weight) {
            let value = format!("{}:{weight}", path.display());
            return Err(wrong(setting, value, "must lie between 10 and 1000"));
        }
        let device = LinuxWeightDeviceBuilder::default()
            .major(major)
            .minor(minor)
            .weight(*weight)
            .build()
            .map_err(|e| wrong(setting, path.display(), e.to_string()))?;
        weights.push(device);
    }
    io.set_weight_device((!weights.is_empty()).then_some(weights));
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
    for device in distinct_devices(input) {
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
