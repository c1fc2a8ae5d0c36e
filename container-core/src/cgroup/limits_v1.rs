//! OCI's limits as files of v1 trees. Pure.

use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxNetwork, LinuxResources, LinuxThrottleDevice,
};

use super::CgroupError;
use super::setting::{Setting, hugetlb_size, rdma_line, refuse_kernel_memory, refuse_leaf_weight};

/// What to write, in an order that suits a new group. In one that has limits a value can be
/// refused because of another that is still to be changed (the memory limit because of the one
/// of memory and swap, the period because of the quota): it is to be tried again at the end.
pub(super) fn settings(resources: &LinuxResources) -> Result<Vec<Setting>, CgroupError> {
    let mut settings = Vec::new();
    if let Some(memory) = resources.memory() {
        self::memory(memory, &mut settings)?;
    }
    if let Some(cpu) = resources.cpu() {
        self::cpu(cpu, &mut settings);
    }
    if let Some(pids) = resources.pids() {
        let limit = pids.limit();
        let value = if limit > 0 {
            limit.to_string()
        } else {
            "max".to_owned()
        };
        settings.push(Setting::new("pids limit", "pids", "pids.max", value).unlimited(limit <= 0));
    }
    if let Some(block_io) = resources.block_io() {
        self::block_io(block_io, &mut settings)?;
    }
    for huge in resources.hugepage_limits().iter().flatten() {
        let (size, limit) = (hugetlb_size(huge)?, huge.limit());
        let unlimited = limit < 0;
        settings.push(
            Setting::new(
                "hugetlb limit",
                "hugetlb",
                format!("hugetlb.{size}.limit_in_bytes"),
                limit,
            )
            .unlimited(unlimited),
        );
        // Reservations are limited too where the kernel can (5.7), so that a program fails at
        // mmap and not by SIGBUS.
        settings.push(
            Setting::new(
                "hugetlb reservation limit",
                "hugetlb",
                format!("hugetlb.{size}.rsvd.limit_in_bytes"),
                limit,
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
    if let Some(network) = resources.network() {
        self::network(network, &mut settings);
    }
    if resources
        .unified()
        .as_ref()
        .is_some_and(|keys| !keys.is_empty())
    {
        return Err(CgroupError::Unsupported {
            limit: "unified resources",
            why: "these are files of cgroup v2 and this machine has v1; use the limits of the memory, cpu, pids and blockIO sections",
        });
    }
    Ok(settings)
}

fn memory(memory: &LinuxMemory, to: &mut Vec<Setting>) -> Result<(), CgroupError> {
    refuse_kernel_memory(memory)?;
    let push_swap = |to: &mut Vec<Setting>, value: i64| {
        to.push(
            Setting::new(
                "memory and swap limit",
                "memory",
                "memory.memsw.limit_in_bytes",
                value,
            )
            .unlimited(value < 0)
            .fix("boot with swapaccount=1, or leave the swap limit out"),
        );
    };
    // 0 is Docker's and runc's "not given".
    let limit = memory.limit().filter(|limit| *limit != 0);
    let swap = memory.swap().filter(|swap| *swap != 0);
    if let Some(limit) = limit {
        to.push(
            Setting::new("memory limit", "memory", "memory.limit_in_bytes", limit)
                .unlimited(limit < 0),
        );
    }
    match (limit, swap) {
        (_, Some(swap)) => push_swap(to, swap),
        // Memory alone cannot be unlimited while both together are not.
        (Some(limit), None) if limit < 0 => push_swap(to, -1),
        _ => {}
    }
    if let Some(reservation) = memory.reservation().filter(|reservation| *reservation != 0) {
        to.push(
            Setting::new(
                "memory reservation",
                "memory",
                "memory.soft_limit_in_bytes",
                reservation,
            )
            .unlimited(reservation < 0),
        );
    }
    if let Some(limit) = memory.kernel_tcp().filter(|limit| *limit != 0) {
        to.push(
            Setting::new(
                "TCP buffer limit",
                "memory",
                "memory.kmem.tcp.limit_in_bytes",
                limit,
            )
            .unlimited(limit < 0),
        );
    }
    if let Some(swappiness) = memory.swappiness() {
        to.push(Setting::new(
            "memory swappiness",
            "memory",
            "memory.swappiness",
            swappiness,
        ));
    }
    if let Some(disable) = memory.disable_oom_killer() {
        to.push(
            Setting::new(
                "disabling the OOM killer",
                "memory",
                "memory.oom_control",
                u8::from(disable),
            )
            .unlimited(!disable),
        );
    }
    Ok(())
}

fn cpu(cpu: &LinuxCpu, to: &mut Vec<Setting>) {
    if let Some(shares) = cpu.shares().filter(|shares| *shares != 0) {
        to.push(Setting::new("CPU shares", "cpu", "cpu.shares", shares));
    }
    if let Some(period) = cpu.period().filter(|period| *period != 0) {
        to.push(Setting::new(
            "CPU period",
            "cpu",
            "cpu.cfs_period_us",
            period,
        ));
    }
    if let Some(quota) = cpu.quota().filter(|quota| *quota != 0) {
        to.push(Setting::new("CPU quota", "cpu", "cpu.cfs_quota_us", quota).unlimited(quota < 0));
    }
    if let Some(burst) = cpu.burst() {
        to.push(Setting::new("CPU burst", "cpu", "cpu.cfs_burst_us", burst).unlimited(burst == 0));
    }
    if let Some(period) = cpu.realtime_period().filter(|period| *period != 0) {
        to.push(
            Setting::new("CPU realtime period", "cpu", "cpu.rt_period_us", period).fix(REALTIME),
        );
    }
    if let Some(runtime) = cpu.realtime_runtime().filter(|runtime| *runtime != 0) {
        to.push(
            Setting::new("CPU realtime runtime", "cpu", "cpu.rt_runtime_us", runtime).fix(REALTIME),
        );
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
}

const REALTIME: &str = "it takes CONFIG_RT_GROUP_SCHED; leave the limit out";

fn block_io(io: &LinuxBlockIo, to: &mut Vec<Setting>) -> Result<(), CgroupError> {
    refuse_leaf_weight(io)?;
    if let Some(weight) = io.weight().filter(|weight| *weight != 0) {
        to.push(
            Setting::new("block IO weight", "blkio", "blkio.weight", weight)
                .or("blkio.bfq.weight", weight)
                .fix("it takes the BFQ scheduler (CONFIG_BFQ_GROUP_IOSCHED)"),
        );
    }
    for device in io.weight_device().iter().flatten() {
        let Some(weight) = device.weight() else {
            continue;
        };
        let line = format!("{}:{} {weight}", device.major(), device.minor());
        to.push(
            Setting::new(
                "block IO weight of a device",
                "blkio",
                "blkio.weight_device",
                &line,
            )
            .or("blkio.bfq.weight_device", &line)
            .fix("it takes the BFQ scheduler (CONFIG_BFQ_GROUP_IOSCHED)"),
        );
    }
    let mut throttle = |limit, file: &'static str, devices: &Option<Vec<LinuxThrottleDevice>>| {
        for device in devices.iter().flatten() {
            let line = format!("{}:{} {}", device.major(), device.minor(), device.rate());
            to.push(
                Setting::new(limit, "blkio", file, line).fix("it takes CONFIG_BLK_DEV_THROTTLING"),
            );
        }
    };
    throttle(
        "read rate limit",
        "blkio.throttle.read_bps_device",
        io.throttle_read_bps_device(),
    );
    throttle(
        "write rate limit",
        "blkio.throttle.write_bps_device",
        io.throttle_write_bps_device(),
    );
    throttle(
        "read operations limit",
        "blkio.throttle.read_iops_device",
        io.throttle_read_iops_device(),
    );
    throttle(
        "write operations limit",
        "blkio.throttle.write_iops_device",
        io.throttle_write_iops_device(),
    );
    Ok(())
}

fn network(network: &LinuxNetwork, to: &mut Vec<Setting>) {
    if let Some(class) = network.class_id() {
        to.push(
            Setting::new("network class", "net_cls", "net_cls.classid", class)
                .unlimited(class == 0),
        );
    }
    for interface in network.priorities().iter().flatten() {
        let line = format!("{} {}", interface.name(), interface.priority());
        to.push(Setting::new(
            "network priority",
            "net_prio",
            "net_prio.ifpriomap",
            line,
        ));
    }
}
