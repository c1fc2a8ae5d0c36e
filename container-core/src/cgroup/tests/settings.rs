//! What is written for a limit, by either version.

use serde_json::json;

use crate::cgroup::setting::Setting;
use crate::cgroup::{limits_v1, limits_v2};

/// `controller: file = value | file = value` of each.
fn written(settings: Vec<Setting>) -> Vec<String> {
    let line = |setting: &Setting| {
        let files = setting
            .files
            .iter()
            .map(|(file, value)| format!("{file} = {value}"));
        format!(
            "{}: {}",
            setting.controller,
            files.collect::<Vec<_>>().join(" | ")
        )
    };
    settings.iter().map(line).collect()
}

#[test]
fn what_is_written() {
    let cases = [
        (json!({}), vec![], vec![]),
        // 0 is Docker's "not given" for these.
        (
            json!({"memory": {"limit": 0, "swap": 0}, "cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": ""}}),
            vec![],
            vec![],
        ),
        (
            json!({"memory": {"limit": 100, "swap": 300, "reservation": 50}}),
            vec![
                "memory: memory.limit_in_bytes = 100",
                "memory: memory.memsw.limit_in_bytes = 300",
                "memory: memory.soft_limit_in_bytes = 50",
            ],
            vec![
                "memory: memory.swap.max = 200",
                "memory: memory.max = 100",
                "memory: memory.low = 50",
            ],
        ),
        (
            json!({"memory": {"limit": -1}}),
            vec![
                "memory: memory.limit_in_bytes = -1",
                "memory: memory.memsw.limit_in_bytes = -1",
            ],
            vec!["memory: memory.swap.max = max", "memory: memory.max = max"],
        ),
        (
            json!({"pids": {"limit": 0}}),
            vec!["pids: pids.max = max"],
            vec!["pids: pids.max = max"],
        ),
        (
            json!({"cpu": {"period": 50000, "burst": 10, "idle": 1, "mems": "0-1"}}),
            vec![
                "cpu: cpu.cfs_period_us = 50000",
                "cpu: cpu.cfs_burst_us = 10",
                "cpu: cpu.idle = 1",
                "cpuset: cpuset.mems = 0-1",
            ],
            vec![
                "cpu: cpu.max = max 50000",
                "cpu: cpu.max.burst = 10",
                "cpu: cpu.idle = 1",
                "cpuset: cpuset.mems = 0-1",
            ],
        ),
        (
            json!({"blockIO": {"weight": 500, "weightDevice": [{"major": 8, "minor": 0, "weight": 10}]}}),
            vec![
                "blkio: blkio.weight = 500 | blkio.bfq.weight = 500",
                "blkio: blkio.weight_device = 8:0 10 | blkio.bfq.weight_device = 8:0 10",
            ],
            vec![
                "io: io.bfq.weight = 500 | io.weight = default 4950",
                "io: io.bfq.weight = 8:0 10 | io.weight = 8:0 1",
            ],
        ),
        (
            json!({"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1024}], "throttleWriteIOPSDevice": [{"major": 8, "minor": 16, "rate": 0}]}}),
            vec![
                "blkio: blkio.throttle.read_bps_device = 8:0 1024",
                "blkio: blkio.throttle.write_iops_device = 8:16 0",
            ],
            vec!["io: io.max = 8:0 rbps=1024", "io: io.max = 8:16 wiops=max"],
        ),
        (
            json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 9}]}),
            vec![
                "hugetlb: hugetlb.2MB.limit_in_bytes = 9",
                "hugetlb: hugetlb.2MB.rsvd.limit_in_bytes = 9",
            ],
            vec![
                "hugetlb: hugetlb.2MB.max = 9",
                "hugetlb: hugetlb.2MB.rsvd.max = 9",
            ],
        ),
        (
            json!({"rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 4}}}),
            vec!["rdma: rdma.max = mlx5_1 hca_handle=3 hca_object=4"],
            vec!["rdma: rdma.max = mlx5_1 hca_handle=3 hca_object=4"],
        ),
    ];
    for (limits, v1, v2) in cases {
        let resources = serde_json::from_value(limits.clone()).unwrap();
        assert_eq!(
            written(limits_v1::settings(&resources).unwrap()),
            v1,
            "{limits}"
        );
        assert_eq!(
            written(limits_v2::settings(&resources).unwrap()),
            v2,
            "{limits}"
        );
    }
    let unified = serde_json::from_value(json!({"unified": {"memory.high": "1"}})).unwrap();
    assert_eq!(
        written(limits_v2::settings(&unified).unwrap()),
        ["memory: memory.high = 1"]
    );
    let network =
        json!({"network": {"classID": 7, "priorities": [{"name": "eth0", "priority": 2}]}});
    let network = serde_json::from_value(network).unwrap();
    let expected = [
        "net_cls: net_cls.classid = 7",
        "net_prio: net_prio.ifpriomap = eth0 2",
    ];
    assert_eq!(written(limits_v1::settings(&network).unwrap()), expected);
}

#[test]
fn what_cannot_be_done_is_refused() {
    let everywhere = [
        json!({"memory": {"kernel": 100}}),
        json!({"blockIO": {"leafWeight": 100}}),
        json!({"hugepageLimits": [{"pageSize": "2", "limit": 9}]}),
        json!({"hugepageLimits": [{"pageSize": "2MB/../x", "limit": 9}]}),
        json!({"rdma": {"a b": {"hcaHandles": 3}}}),
    ];
    for limits in everywhere {
        let resources = serde_json::from_value(limits.clone()).unwrap();
        assert!(limits_v1::settings(&resources).is_err(), "{limits}");
        assert!(limits_v2::settings(&resources).is_err(), "{limits}");
    }
    let only_v1 = [
        json!({"memory": {"swappiness": 10}}),
        json!({"memory": {"disableOOMKiller": true}}),
        json!({"memory": {"limit": 100, "swap": 50}}),
        json!({"memory": {"swap": 50}}),
        json!({"cpu": {"realtimeRuntime": 10}}),
    ];
    for limits in only_v1 {
        let resources = serde_json::from_value(limits.clone()).unwrap();
        assert!(limits_v1::settings(&resources).is_ok(), "{limits}");
        assert!(limits_v2::settings(&resources).is_err(), "{limits}");
    }
}
