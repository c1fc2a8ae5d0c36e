//! Limits: written and read back.

use std::collections::HashMap;
use std::fs;

use oci_spec::runtime::{
    LinuxBlockIoBuilder, LinuxCpuBuilder, LinuxHugepageLimitBuilder, LinuxMemoryBuilder,
    LinuxNetworkBuilder, LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder,
    LinuxThrottleDeviceBuilder,
};
use serde_json::json;

use super::{controller, create, kill_and_remove, spawn};
use crate::cgroup::{Cgroup, CgroupError, Hierarchy};

fn resources(json: serde_json::Value) -> LinuxResources {
    serde_json::from_value(json).unwrap()
}

/// A limit, and what has to be where then: (controller, file, content) of v1 and of v2.
type Case = (
    serde_json::Value,
    [(&'static str, &'static str, &'static str); 2],
);

#[test]
fn limits_are_read_back() {
    let cases: Vec<Case> = vec![
        (
            json!({"memory": {"limit": 67108864}}),
            [
                ("memory", "memory.limit_in_bytes", "67108864"),
                ("memory", "memory.max", "67108864"),
            ],
        ),
        (
            json!({"memory": {"reservation": 33554432}}),
            [
                ("memory", "memory.soft_limit_in_bytes", "33554432"),
                ("memory", "memory.low", "33554432"),
            ],
        ),
        (
            json!({"pids": {"limit": 50}}),
            [("pids", "pids.max", "50"), ("pids", "pids.max", "50")],
        ),
        (
            json!({"cpu": {"shares": 512}}),
            [("cpu", "cpu.shares", "512"), ("cpu", "cpu.weight", "59")],
        ),
        (
            json!({"cpu": {"quota": 50000, "period": 200000}}),
            [
                ("cpu", "cpu.cfs_quota_us", "50000"),
                ("cpu", "cpu.max", "50000 200000"),
            ],
        ),
        (
            json!({"cpu": {"quota": 50000}}),
            [
                ("cpu", "cpu.cfs_quota_us", "50000"),
                ("cpu", "cpu.max", "50000 100000"),
            ],
        ),
        (
            json!({"cpu": {"quota": -1}}),
            [
                ("cpu", "cpu.cfs_quota_us", "-1"),
                ("cpu", "cpu.max", "max 100000"),
            ],
        ),
        (
            json!({"cpu": {"cpus": "0", "mems": "0"}}),
            [
                ("cpuset", "cpuset.cpus", "0"),
                ("cpuset", "cpuset.cpus", "0"),
            ],
        ),
        (
            json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]}),
            [
                ("hugetlb", "hugetlb.2MB.limit_in_bytes", "4194304"),
                ("hugetlb", "hugetlb.2MB.max", "4194304"),
            ],
        ),
    ];
    for (at, (limit, expected)) in cases.into_iter().enumerate() {
        let (hierarchy, group) = create(&format!("limit{at}"));
        let version = usize::from(matches!(*hierarchy, Hierarchy::V2 { .. }));
        let (name, file, content) = expected[version];
        let applied = group.apply(&resources(limit.clone()));
        match controller(&hierarchy, &*group, name) {
            Some(directory) => {
                applied.unwrap_or_else(|error| panic!("{limit}: {error}"));
                let text = fs::read_to_string(directory.join(file)).unwrap();
                assert_eq!(text.trim(), content, "{limit} in {file}");
            }
            // No limit at all is kept without the controller.
            None if limit == json!({"cpu": {"quota": -1}}) => applied.unwrap(),
            None => {
                let error = applied.unwrap_err();
                println!("{error}");
                let named = match &error {
                    CgroupError::NoController { controller, .. }
                    | CgroupError::Undelegated { controller, .. } => *controller,
                    _ => panic!("{error}"),
                };
                assert_eq!(named, name);
            }
        }
        group.remove().unwrap();
    }
}

fn memory(group: &dyn Cgroup, limit: i64, swap: Option<i64>) -> Result<(), CgroupError> {
    let memory = LinuxMemoryBuilder::default().limit(limit);
    let memory = match swap {
        Some(swap) => memory.swap(swap),
        None => memory,
    };
    group.apply(
        &LinuxResourcesBuilder::default()
            .memory(memory.build().unwrap())
            .build()
            .unwrap(),
    )
}

/// v1 refuses a memory limit above that of memory and swap, so order matters both ways.
#[test]
fn memory_and_swap_in_any_order() {
    let (hierarchy, group) = create("swap");
    let Some(directory) = controller(&hierarchy, &*group, "memory") else {
        println!("no memory controller here: not tested");
        return group.remove().unwrap();
    };
    if !group.limits_swap() {
        let error = memory(&*group, 64 << 20, Some(128 << 20))
            .unwrap_err()
            .to_string();
        assert!(error.contains("swapaccount=1"), "{error}");
        return group.remove().unwrap();
    }
    let read = |v1: &str, v2: &str| {
        let name = if matches!(*hierarchy, Hierarchy::V1 { .. }) {
            v1
        } else {
            v2
        };
        fs::read_to_string(directory.join(name))
            .unwrap()
            .trim()
            .to_owned()
    };
    for (limit, both) in [
        (64 << 20, 128 << 20),
        (256 << 20, 300 << 20),
        (32 << 20, 32 << 20),
        (64 << 20, -1),
        (8 << 20, 9 << 20),
    ] {
        memory(&*group, limit, Some(both))
            .unwrap_or_else(|error| panic!("{limit} {both}: {error}"));
        assert_eq!(
            read("memory.limit_in_bytes", "memory.max"),
            limit.to_string()
        );
        let swap = read("memory.memsw.limit_in_bytes", "memory.swap.max");
        match (both, &*hierarchy) {
            (-1, Hierarchy::V2 { .. }) => assert_eq!(swap, "max"),
            (-1, _) => assert!(swap.parse::<u64>().unwrap() > 1 << 62, "{swap}"),
            (both, Hierarchy::V2 { .. }) => assert_eq!(swap, (both - limit).to_string()),
            (both, _) => assert_eq!(swap, both.to_string()),
        }
    }
    memory(&*group, -1, None).unwrap();
    assert_eq!(group.stats().unwrap().memory.unwrap().limit, None);
    group.remove().unwrap();
}

#[test]
fn a_running_container_gets_other_limits() {
    let (hierarchy, group) = create("update");
    let mut process = spawn(&group.join().unwrap(), "sleep 100 & wait");
    let applied = group.apply(&resources(
        json!({"cpu": {"cpus": "0", "shares": 100}, "pids": {"limit": 30}}),
    ));
    let has = |name| controller(&hierarchy, &*group, name);
    match (has("cpuset"), has("cpu"), has("pids")) {
        (Some(cpuset), Some(_), Some(pids)) => {
            applied.unwrap();
            let file = format!("/proc/{}/status", process.pid);
            let status = fs::read_to_string(file).unwrap();
            assert!(status.contains("Cpus_allowed_list:\t0\n"), "{status}");
            assert_eq!(
                fs::read_to_string(cpuset.join("cpuset.cpus"))
                    .unwrap()
                    .trim(),
                "0"
            );
            assert_eq!(
                fs::read_to_string(pids.join("pids.max")).unwrap().trim(),
                "30"
            );
        }
        _ => println!(
            "not all of cpuset, cpu and pids are here: {:?}",
            applied.map_err(|error| error.to_string())
        ),
    }
    kill_and_remove(group, &mut process);
}

#[test]
fn a_limit_below_the_use_is_refused_if_asked() {
    let (hierarchy, group) = create("check");
    if controller(&hierarchy, &*group, "memory").is_some() {
        let mut process = spawn(&group.join().unwrap(), "sleep 100 & wait");
        assert!(super::within(std::time::Duration::from_secs(20), || group
            .processes()
            .unwrap()
            .len()
            == 2));
        let checked = LinuxMemoryBuilder::default()
            .limit(4096)
            .check_before_update(true);
        let limits = LinuxResourcesBuilder::default()
            .memory(checked.build().unwrap())
            .build()
            .unwrap();
        let error = group.apply(&limits).unwrap_err();
        assert!(
            matches!(error, CgroupError::BelowUsage { limit: 4096, .. }),
            "{error}"
        );
        kill_and_remove(group, &mut process);
    } else {
        println!("no memory controller here: not tested");
        group.remove().unwrap();
    }
}

/// What the kernel refuses names the limit, the file and the value.
#[test]
fn refusals_are_told() {
    let (hierarchy, group) = create("refusal");
    let nowhere = LinuxThrottleDeviceBuilder::default()
        .major(0)
        .minor(9999)
        .rate(1u64)
        .build()
        .unwrap();
    let io = LinuxBlockIoBuilder::default()
        .throttle_read_bps_device([nowhere])
        .build()
        .unwrap();
    let cases = [
        (
            resources(json!({"cpu": {"cpus": "4096-5000"}})),
            "set of CPUs",
            "cpuset",
        ),
        (
            LinuxResourcesBuilder::default()
                .block_io(io)
                .build()
                .unwrap(),
            "read rate limit",
            if matches!(*hierarchy, Hierarchy::V2 { .. }) {
                "io"
            } else {
                "blkio"
            },
        ),
        (
            resources(json!({"memory": {"limit": 1 << 20, "swappiness": 10000}})),
            "memory swappiness",
            "memory",
        ),
    ];
    for (limits, what, name) in cases {
        let error = group.apply(&limits).unwrap_err().to_string();
        println!("{error}");
        assert!(error.contains(what), "{error}");
        assert!(error.contains(name), "{error}");
    }
    group.remove().unwrap();
}

/// Never silently: what one version does not have.
#[test]
fn what_a_version_lacks_is_an_error() {
    let (hierarchy, group) = create("lack");
    let pids = LinuxPidsBuilder::default().limit(-1).build().unwrap();
    group
        .apply(&LinuxResourcesBuilder::default().pids(pids).build().unwrap())
        .unwrap();
    let unified = HashMap::from([("memory.high".to_owned(), "max".to_owned())]);
    let unified = LinuxResourcesBuilder::default()
        .unified(unified)
        .build()
        .unwrap();
    let network = LinuxNetworkBuilder::default()
        .class_id(1u32)
        .build()
        .unwrap();
    let network = LinuxResourcesBuilder::default()
        .network(network)
        .build()
        .unwrap();
    let realtime = LinuxCpuBuilder::default()
        .realtime_runtime(1000i64)
        .build()
        .unwrap();
    let realtime = LinuxResourcesBuilder::default()
        .cpu(realtime)
        .build()
        .unwrap();
    let page = LinuxHugepageLimitBuilder::default()
        .page_size("../2MB")
        .limit(1)
        .build()
        .unwrap();
    let page = LinuxResourcesBuilder::default()
        .hugepage_limits([page])
        .build()
        .unwrap();
    let refused = match *hierarchy {
        Hierarchy::V1 { .. } => vec![unified, page],
        Hierarchy::V2 { .. } => vec![network, realtime, page],
    };
    for limits in refused {
        let error = group.apply(&limits).unwrap_err();
        assert!(matches!(error, CgroupError::Unsupported { .. }), "{error}");
    }
    group.remove().unwrap();
}
