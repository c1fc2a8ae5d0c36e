//! OCI's limits, made for v1, as files of the unified tree. Pure.

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources, LinuxThrottleDevice};

use super::CgroupError;
use super::setting::{Setting, hugetlb_size, rdma_line, refuse_kernel_memory, refuse_leaf_weight};

/// What to write, in order; `unified` comes last, so that it wins.
pub(super) fn settings(resources: &LinuxResources) -> Result<Vec<Setting>, CgroupError> {
    let mut settings = Vec::new();
    if let Some(memory) = resources.memory() {
        self::memory(memory, &mut settings)?;
    }
    if let Some(cpu) = resources.cpu() {
        self::cpu(cpu, &mut settings)?;
    }
    if let Some(pids) = resources.pids() {
        let limit = pids.limit();
        settings.push(
            Setting::new("pids limit", "pids", "pids.max", max_or(limit)).unlimited(limit <= 0),
        );
    }
    if let Some(block_io) = resources.block_io() {
        self::block_io(block_io, &mut settings)?;
    }
    for huge in resources.hugepage_limits().iter().flatten() {
        let (size, limit) = (hugetlb_size(huge)?, huge.limit());
        let value = if limit < 0 {
            "max".to_owned()
        } else {
            limit.to_string()
        };
        settings.push(
            Setting::new(
                "hugetlb limit",
                "hugetlb",
                format!("hugetlb.{size}.max"),
                &value,
            )
            .unlimited(limit < 0),
        );
        // Reservations are limited too where the kernel can (5.7), so that a program fails at
        // mmap and not by SIGBUS.
        settings.push(
            Setting::new(
                "hugetlb reservation limit",
                "hugetlb",
                format!("hugetlb.{size}.rsvd.max"),
                &value,
            )
            .unlimited(true),
        );
    }
    for (device, rdma) in resources.rdma().iter().flatten() {
        settings.push(Setting::new(
            "RDMA limit",
            "rdma",
            "rdma.max",
            rdma_line(device, rdma)?,
        ));
    }
    if let Some(network) = resources.network()
        && (network.class_id().is_some_and(|class| class != 0)
            || network
                .priorities()
                .as_ref()
                .is_some_and(|list| !list.is_empty()))
    {
        return Err(CgroupError::Unsupported {
            limit: "network class and priority",
            why: "cgroup v2 has no such controller; mark the traffic with nftables (socket cgroupv2) instead",
        });
    }
    for (key, value) in resources.unified().iter().flatten() {
        settings.push(unified(key, value)?);
    }
    Ok(settings)
}

/// Nothing and -1 are no limit.
fn max_or(limit: i64) -> String {
    if limit > 0 {
        limit.to_string()
    } else {
        "max".to_owned()
    }
}

fn memory(memory: &LinuxMemory, to: &mut Vec<Setting>) -> Result<(), CgroupError> {
    refuse_kernel_memory(memory)?;
    let unsupported = |limit, why| Err(CgroupError::Unsupported { limit, why });
    if memory.kernel_tcp().is_some_and(|limit| limit > 0) {
        return unsupported(
            "TCP buffer limit",
            "cgroup v2 has none; the memory limit counts buffers too",
        );
    }
    if memory.swappiness().is_some() {
        return unsupported(
            "memory swappiness",
            "cgroup v2 has none for a group; limit its swap instead",
        );
    }
    if memory.disable_oom_killer() == Some(true) {
        return unsupported(
            "disabling the OOM killer",
            "cgroup v2 cannot; give a memory reservation, or memory.high in `unified`",
        );
    }
    // 0 is Docker's and runc's "not given".
    let limit = memory.limit().filter(|limit| *limit != 0);
    let swap = memory.swap().filter(|swap| *swap != 0);
    if let Some(value) = swap_alone(limit, swap)? {
        to.push(
            Setting::new("memory and swap limit", "memory", "memory.swap.max", &value)
                .unlimited(value == "max")
                .fix("boot with swapaccount=1, or leave the swap limit out"),
        );
    }
    if let Some(limit) = limit {
        to.push(
            Setting::new("memory limit", "memory", "memory.max", max_or(limit))
                .unlimited(limit < 0),
        );
    }
    if let Some(reservation) = memory.reservation().filter(|reservation| *reservation != 0) {
        let value = if reservation < 0 {
            "max".to_owned()
        } else {
            reservation.to_string()
        };
        to.push(Setting::new(
            "memory reservation",
            "memory",
            "memory.low",
            value,
        ));
    }
    Ok(())
}

/// OCI limits memory and swap together, v2 swap alone.
fn swap_alone(limit: Option<i64>, swap: Option<i64>) -> Result<Option<String>, CgroupError> {
    let wrong = |why| {
        Err(CgroupError::Unsupported {
            limit: "memory and swap limit",
            why,
        })
    };
    match (limit, swap) {
        (_, Some(-1)) => Ok(Some("max".to_owned())),
        (_, Some(swap)) if swap < 0 => wrong("it has to be positive, or -1 for none"),
        (Some(limit), Some(swap)) if limit > 0 => {
            if swap < limit {
                return wrong("it is of both together, so cannot be less than that of memory");
            }
            Ok(Some((swap - limit).to_string()))
        }
        (_, Some(_)) => wrong("it is of both together, so needs a memory limit beside it"),
        (Some(limit), None) if limit < 0 => Ok(Some("max".to_owned())),
        (_, None) => Ok(None),
    }
}

fn cpu(cpu: &LinuxCpu, to: &mut Vec<Setting>) -> Result<(), CgroupError> {
    if cpu.realtime_period().is_some_and(|period| period != 0)
        || cpu.realtime_runtime().is_some_and(|runtime| runtime != 0)
    {
        return Err(CgroupError::Unsupported {
            limit: "CPU realtime period and runtime",
            why: "cgroup v2 has no limit for realtime scheduling",
        });
    }
    if let Some(shares) = cpu.shares().filter(|shares| *shares != 0) {
        to.push(Setting::new(
            "CPU shares",
            "cpu",
            "cpu.weight",
            weight_of_shares(shares),
        ));
    }
    let quota = cpu.quota().filter(|quota| *quota != 0);
    let period = cpu.period().filter(|period| *period != 0);
    if quota.is_some() || period.is_some() {
        let quota = quota.unwrap_or(-1);
        // The kernel's default, written out since an earlier one may be in place.
        let line = format!("{} {}", max_or(quota), period.unwrap_or(100_000));
        to.push(Setting::new("CPU quota", "cpu", "cpu.max", line).unlimited(quota < 0));
    }
    if let Some(burst) = cpu.burst() {
        to.push(Setting::new("CPU burst", "cpu", "cpu.max.burst", burst).unlimited(burst == 0));
    }
    if let Some(idle) = cpu.idle() {
        to.push(Setting::new("CPU idle", "cpu", "cpu.idle", idle).unlimited(idle == 0));
    }
    if let Some(cpus) = cpu.cpus().as_deref().filter(|cpus| !cpus.is_empty()) {
        to.push(Setting::new("set of CPUs", "cpuset", "cpuset.cpus", cpus));
    }
    if let Some(mems) = cpu.mems().as_deref().filter(|mems| !mems.is_empty()) {
        to.push(Setting::new(
            "set of memory nodes",
            "cpuset",
            "cpuset.mems",
            mems,
        ));
    }
    Ok(())
}

/// `cpu.weight` (1 to 10000, default 100) for v1's shares (2 to 262144, default 1024).
///
/// The quadratic of runc 1.3.2 and crun 1.23, which meets both
/// ends and the default. The straight line they used before made 39 of 1024, so a container
/// with Docker's default share got less than a process outside of any.
fn weight_of_shares(shares: u64) -> u64 {
    if shares <= 2 {
        return 1;
    }
    if shares >= 262_144 {
        return 10_000;
    }
    // Within 2^1 and 2^18, so exact in a double, and the power is within 1 and 10000.
    let l = (shares as f64).log2();
    let exponent = (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0;
    10f64.powf(exponent).ceil() as u64
}

fn block_io(io: &LinuxBlockIo, to: &mut Vec<Setting>) -> Result<(), CgroupError> {
    refuse_leaf_weight(io)?;
    const FIX: &str = "it takes the BFQ scheduler or CONFIG_BLK_CGROUP_IOCOST";
    if let Some(weight) = io.weight().filter(|weight| *weight != 0) {
        to.push(
            Setting::new("block IO weight", "io", "io.bfq.weight", weight)
                .or("io.weight", format!("default {}", weight_of_blkio(weight)))
                .fix(FIX),
        );
    }
    for device in io.weight_device().iter().flatten() {
        let Some(weight) = device.weight() else {
            continue;
        };
        let name = format!("{}:{}", device.major(), device.minor());
        to.push(
            Setting::new(
                "block IO weight of a device",
                "io",
                "io.bfq.weight",
                format!("{name} {weight}"),
            )
            .or("io.weight", format!("{name} {}", weight_of_blkio(weight)))
            .fix(FIX),
        );
    }
    let mut throttle = |limit, key, devices: &Option<Vec<LinuxThrottleDevice>>| {
        for device in devices.iter().flatten() {
            // v1's 0 is no limit.
            let rate = if device.rate() == 0 {
                "max".to_owned()
            } else {
                device.rate().to_string()
            };
            let line = format!("{}:{} {key}={rate}", device.major(), device.minor());
            to.push(
                Setting::new(limit, "io", "io.max", line).fix("it takes CONFIG_BLK_DEV_THROTTLING"),
            );
        }
    };
    throttle("read rate limit", "rbps", io.throttle_read_bps_device());
    throttle("write rate limit", "wbps", io.throttle_write_bps_device());
    throttle(
        "read operations limit",
        "riops",
        io.throttle_read_iops_device(),
    );
    throttle(
        "write operations limit",
        "wiops",
        io.throttle_write_iops_device(),
    );
    Ok(())
}

/// `io.weight` (1 to 10000) for v1's weight (10 to 1000), as runc and crun convert it.
fn weight_of_blkio(weight: u16) -> u64 {
    1 + u64::from(weight.saturating_sub(10)) * 9999 / 990
}

/// A file of the group by its name, for what OCI has no word of.
fn unified(key: &str, value: &str) -> Result<Setting, CgroupError> {
    let prefix = key.split('.').next().unwrap_or_default();
    let controller = CONTROLLERS.iter().find(|name| **name == prefix);
    match controller {
        Some(controller) if !key.contains('/') && key.len() > prefix.len() + 1 => Ok(Setting::new(
            "unified resource",
            controller,
            key.to_owned(),
            value,
        )),
        _ => Err(CgroupError::Unsupported {
            limit: "unified resource",
            why: "its key has to be a file of cgroup v2 with its controller, such as memory.high",
        }),
    }
}

/// "cgroup" is the core's own, such as `cgroup.max.depth`: there without being enabled.
const CONTROLLERS: [&str; 9] = [
    "cgroup", "cpu", "cpuset", "hugetlb", "io", "memory", "misc", "pids", "rdma",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_become_weights() {
        // Worked out apart from this code: ceil(10^((l² + 125 l) / 612 - 7/34)), l = log2.
        let cases = [
            (1, 1),
            (2, 1),
            (3, 2),
            (256, 35),
            (512, 59),
            (1024, 100),
            (2048, 174),
        ];
        for (shares, weight) in cases {
            assert_eq!(weight_of_shares(shares), weight, "{shares} shares");
        }
        assert_eq!(weight_of_shares(262_143), 10_000);
        assert_eq!(weight_of_shares(u64::MAX), 10_000);
        let all: Vec<_> = (1..300_000).map(weight_of_shares).collect();
        assert!(all.is_sorted());
    }

    #[test]
    fn swap_is_what_exceeds_memory() {
        let swap = |limit, swap| swap_alone(limit, swap).ok().flatten();
        assert_eq!(swap(Some(100), Some(150)).as_deref(), Some("50"));
        assert_eq!(swap(Some(100), Some(100)).as_deref(), Some("0"));
        assert_eq!(swap(Some(100), Some(-1)).as_deref(), Some("max"));
        assert_eq!(swap(Some(-1), None).as_deref(), Some("max"));
        assert_eq!(swap(Some(100), None), None);
        assert!(swap_alone(Some(100), Some(50)).is_err());
        assert!(swap_alone(None, Some(50)).is_err());
        assert!(swap_alone(Some(-1), Some(50)).is_err());
    }

    #[test]
    fn unified_keys_stay_in_the_group() {
        assert!(unified("memory.high", "1").is_ok());
        for key in [
            "../cgroup.procs",
            "memory./../x",
            "memory",
            "memory.",
            "",
            "nosuch.max",
        ] {
            assert!(unified(key, "1").is_err(), "{key}");
        }
    }
}
