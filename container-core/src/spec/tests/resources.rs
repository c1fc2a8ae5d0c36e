use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType, LinuxResources};

use super::*;
use crate::cgroup::default_device_rules;
use crate::request::Limits;

const MIB: u64 = 1 << 20;

fn limited(change: impl FnOnce(&mut Limits)) -> Request {
    asked(|r| change(&mut r.limits))
}

fn resources(case: &Case, request: &Request) -> LinuxResources {
    case.linux(request).resources().clone().unwrap()
}

fn v1() -> Case {
    let mut case = Case::default();
    case.host.cgroup_v2 = false;
    case
}

#[test]
fn nothing_asked_for_is_nothing_limited() {
    // Docker's zero is "not set".
    let zeros = limited(|l| {
        *l = Limits {
            memory: Some(0),
            memory_swap: Some(0),
            memory_reservation: Some(0),
            cpus: Some(0.0),
            cpu_shares: Some(0),
            cpu_quota: Some(0),
            cpu_period: Some(0),
            cpuset_cpus: Some(String::new()),
            cpuset_mems: Some(String::new()),
            pids: Some(0),
            blkio_weight: Some(0),
            ..Limits::default()
        }
    });
    for request in [asked(|_| {}), zeros] {
        let resources = resources(&Case::default(), &request);
        assert!(resources.memory().is_none() && resources.cpu().is_none());
        assert!(resources.pids().is_none() && resources.block_io().is_none());
        assert_eq!(resources.devices(), &Some(default_device_rules()));
    }
}

#[test]
fn memory_and_swap() {
    let mib = MIB as i64;
    for (memory, swap, want) in [
        (Some(6 * MIB), None, (Some(6 * mib), Some(12 * mib))),
        (Some(6 * MIB), Some(0), (Some(6 * mib), Some(12 * mib))),
        (Some(6 * MIB), Some(-1), (Some(6 * mib), Some(-1))),
        (Some(6 * MIB), Some(6 * mib), (Some(6 * mib), Some(6 * mib))),
        (Some(6 * MIB), Some(7 * mib), (Some(6 * mib), Some(7 * mib))),
        (None, Some(-1), (None, Some(-1))),
        (
            Some(i64::MAX as u64),
            None,
            (Some(i64::MAX), Some(i64::MAX)),
        ),
    ] {
        let request = limited(|l| (l.memory, l.memory_swap) = (memory, swap));
        let got = resources(&Case::default(), &request).memory().unwrap();
        assert_eq!((got.limit(), got.swap()), want, "{memory:?} {swap:?}");
    }
}

#[test]
fn memory_that_cannot_be() {
    let case = Case::default();
    let least = 6 * MIB - 1;
    let request = limited(|l| l.memory = Some(least));
    case.refuses(&request, "memory", &least.to_string(), "allowed is 6MB");
    let request = limited(|l| l.memory_reservation = Some(1));
    case.refuses(&request, "memory_reservation", "1", "allowed is 6MB");
    let request = limited(|l| l.memory = Some(1 << 63));
    case.refuses(&request, "memory", "9223372036854775808", "2^63");
    let swap = 100 * MIB as i64;
    let request = limited(|l| l.memory_swap = Some(swap));
    case.refuses(
        &request,
        "memory_swap",
        &swap.to_string(),
        "always set the Memory limit",
    );
    for swap in [-2, 1, swap] {
        let request = limited(|l| (l.memory, l.memory_swap) = (Some(101 * MIB), Some(swap)));
        case.refuses(
            &request,
            "memory_swap",
            &swap.to_string(),
            "larger than memory limit",
        );
    }
    let (limit, more) = (Some(8 * MIB), 8 * MIB + 1);
    let request = limited(|l| (l.memory, l.memory_reservation) = (limit, Some(more)));
    case.refuses(
        &request,
        "memory_reservation",
        &more.to_string(),
        "memory reservation limit",
    );
}

#[test]
fn controls_of_cgroup_v1_alone() {
    let swappiness = |n| limited(|l| l.memory_swappiness = Some(n));
    let no_killer = asked(|r| r.oom_kill_disable = true);
    for n in [0, 100] {
        let memory = resources(&v1(), &swappiness(n)).memory().unwrap();
        assert_eq!(memory.swappiness(), Some(n));
    }
    v1().refuses(&swappiness(101), "memory_swappiness", "101", "0 and 100");
    let memory = resources(&v1(), &no_killer).memory().unwrap();
    assert_eq!(memory.disable_oom_killer(), Some(true));
    let v2 = Case::default();
    v2.refuses(&swappiness(1), "memory_swappiness", "1", "no such control");
    v2.refuses(&no_killer, "oom_kill_disable", "true", "no such control");
}

#[test]
fn processor_time() {
    for (cpus, quota, period, want) in [
        (Some(1.5), None, None, (Some(150_000), Some(100_000))),
        (Some(0.01), None, None, (Some(1_000), Some(100_000))),
        (Some(4.0), Some(0), Some(0), (Some(400_000), Some(100_000))),
        (None, Some(1_000), None, (Some(1_000), None)),
        (None, Some(-1), None, (Some(-1), None)),
        (None, None, Some(1_000), (None, Some(1_000))),
        (
            None,
            Some(5_000),
            Some(1_000_000),
            (Some(5_000), Some(1_000_000)),
        ),
    ] {
        let request = limited(|l| (l.cpus, l.cpu_quota, l.cpu_period) = (cpus, quota, period));
        let cpu = resources(&Case::default(), &request).cpu().clone().unwrap();
        assert_eq!(
            (cpu.quota(), cpu.period()),
            want,
            "{cpus:?} {quota:?} {period:?}"
        );
    }
}

#[test]
fn processor_time_that_cannot_be() {
    let case = Case::default();
    let cpus = |n| limited(|l| l.cpus = Some(n));
    for (n, text) in [
        (0.009, "0.009"),
        (-1.0, "-1"),
        (f64::NAN, "NaN"),
        (f64::INFINITY, "inf"),
    ] {
        case.refuses(&cpus(n), "cpus", text, "from 0.01 to 4.00");
    }
    case.refuses(&cpus(4.1), "cpus", "4.1", "only 4 CPUs");
    let mut unknown = Case::default();
    unknown.host.cpus = String::new();
    assert!(
        unknown.compile(&cpus(4.1)).is_ok(),
        "where it is not known, the kernel decides"
    );
    for request in [
        limited(|l| (l.cpus, l.cpu_quota) = (Some(1.0), Some(5_000))),
        limited(|l| (l.cpus, l.cpu_period) = (Some(1.0), Some(5_000))),
    ] {
        case.refuses(&request, "cpus", "1", "conflicts");
    }
    for n in [999, 1_000_001] {
        let request = limited(|l| l.cpu_period = Some(n));
        case.refuses(
            &request,
            "cpu_period",
            &n.to_string(),
            "less than 1ms (i.e. 1000)",
        );
    }
    let request = limited(|l| l.cpu_quota = Some(999));
    case.refuses(&request, "cpu_quota", "999", "less than 1ms (i.e. 1000)");
    for n in [1, 262_145] {
        let request = limited(|l| l.cpu_shares = Some(n));
        case.refuses(&request, "cpu_shares", &n.to_string(), "2 and 262144");
    }
    let request = limited(|l| l.cpu_shares = Some(2));
    assert_eq!(
        resources(&case, &request).cpu().clone().unwrap().shares(),
        Some(2)
    );
}

#[test]
fn sets_of_processors() {
    let case = Case::default();
    for list in ["0", "0-3", "0,2-3", "1, 3", "3,1"] {
        let request = limited(|l| {
            l.cpuset_cpus = Some(list.into());
            l.cpuset_mems = Some(list.into());
        });
        let cpu = resources(&case, &request).cpu().clone().unwrap();
        assert_eq!(
            (cpu.cpus().as_deref(), cpu.mems().as_deref()),
            (Some(list), Some(list))
        );
    }
    let cpus = |list: &str| limited(|l| l.cpuset_cpus = Some(list.into()));
    for bad in [
        "a",
        "0-",
        "-1",
        "2-1",
        "0,,1",
        "0,",
        "1.5",
        "4294967296",
        "0\n1",
    ] {
        case.refuses(&cpus(bad), "cpuset_cpus", bad, "numbers and ranges");
        let mems = limited(|l| l.cpuset_mems = Some(bad.into()));
        case.refuses(&mems, "cpuset_mems", bad, "numbers and ranges");
    }
    for bad in ["4", "0-4", "0-4294967295", "0,7"] {
        case.refuses(&cpus(bad), "cpuset_cpus", bad, "available: 0-3");
    }
    // Processor 1 is switched off.
    let mut gap = Case::default();
    gap.host.cpus = "0,2-3".into();
    gap.refuses(&cpus("0-3"), "cpuset_cpus", "0-3", "available: 0,2-3");
    gap.refuses(&cpus("1"), "cpuset_cpus", "1", "available: 0,2-3");
    assert!(gap.compile(&cpus("0,2")).is_ok() && gap.compile(&cpus("2-3,0")).is_ok());
    gap.host.cpus = "0-1,2-3".into();
    assert!(gap.compile(&cpus("0-3")).is_ok());
    gap.refuses(
        &limited(|l| l.cpus = Some(4.5)),
        "cpus",
        "4.5",
        "only 4 CPUs",
    );
}

#[test]
fn numbers_of_processes() {
    for (limit, want) in [(1, 1), (100, 100), (-1, -1), (-7, -1)] {
        let request = limited(|l| l.pids = Some(limit));
        let pids = resources(&Case::default(), &request).pids().unwrap();
        assert_eq!(pids.limit(), want, "{limit}");
    }
}

#[test]
fn block_devices() {
    let mut case = Case::default();
    case.block_devices.insert("/dev/sda".into(), (8, 0));
    let rates = |n| vec![(PathBuf::from("/dev/sda"), n)];
    let request = limited(|l| {
        l.blkio_weight = Some(10);
        l.blkio_weight_device = vec![("/dev/sda".into(), 300)];
        (l.device_read_bps, l.device_write_bps) = (rates(1), rates(2));
        (l.device_read_iops, l.device_write_iops) = (rates(3), rates(4));
    });
    let io = resources(&case, &request).block_io().clone().unwrap();
    assert_eq!(io.weight(), Some(10));
    let weights = io.weight_device().clone().unwrap();
    assert_eq!((weights[0].major(), weights[0].weight()), (8, Some(300)));
    for (list, rate) in [
        (io.throttle_read_bps_device(), 1),
        (io.throttle_write_bps_device(), 2),
        (io.throttle_read_iops_device(), 3),
        (io.throttle_write_iops_device(), 4),
    ] {
        let list = list.clone().unwrap();
        let got: Vec<_> = list
            .iter()
            .map(|d| (d.major(), d.minor(), d.rate()))
            .collect();
        assert_eq!(got, [(8, 0, rate)]);
    }
    for bad in [9, 1001] {
        let request = limited(|l| l.blkio_weight = Some(bad));
        case.refuses(&request, "blkio_weight", &bad.to_string(), "10 and 1000");
    }
    let request = limited(|l| l.blkio_weight_device = vec![("/dev/sda".into(), 9)]);
    case.refuses(&request, "blkio_weight_device", "/dev/sda:9", "10 and 1000");
    let request = limited(|l| (l.cpu_rt_runtime, l.cpu_rt_period) = (Some(950), Some(1000)));
    let cpu = resources(&case, &request).cpu().clone().unwrap();
    assert_eq!(cpu.realtime_runtime(), Some(950));
    assert_eq!(cpu.realtime_period(), Some(1000));
    let request = limited(|l| l.device_write_iops = vec![("/dev/null".into(), 1)]);
    case.refuses(
        &request,
        "device_write_iops",
        "/dev/null",
        "no block device",
    );
}

type Rule<'a> = (
    bool,
    Option<LinuxDeviceType>,
    Option<i64>,
    Option<i64>,
    Option<&'a str>,
);

fn words(rule: &LinuxDeviceCgroup) -> Rule<'_> {
    (
        rule.allow(),
        rule.typ(),
        rule.major(),
        rule.minor(),
        rule.access().as_deref(),
    )
}

#[test]
fn device_rules() {
    use LinuxDeviceType::{A, B, C};
    let mut disk = device("/dev/d", 8, 1);
    disk.block = true;
    let case = Case {
        devices: vec![device("/dev/a", 10, 1), disk],
        ..Case::default()
    };
    let request =
        asked(|r| r.device_cgroup_rules = strings(&["c 10:200 rwm", "b *:* r", "a 1:* m"]));
    let rules = resources(&case, &request).devices().clone().unwrap();
    let own = default_device_rules().len();
    assert_eq!(rules[..own], default_device_rules());
    assert!(!rules[0].allow(), "first of all, nothing is allowed");
    let got: Vec<_> = rules[own..].iter().map(words).collect();
    let want = [
        (true, Some(C), Some(10), Some(1), Some("rw")),
        (true, Some(B), Some(8), Some(1), Some("rw")),
        (true, Some(C), Some(10), Some(200), Some("rwm")),
        (true, Some(B), None, None, Some("r")),
        (true, Some(A), Some(1), None, Some("m")),
    ];
    assert_eq!(got, want);
    let request = asked(|r| r.privileged = true);
    let rules = resources(&case, &request).devices().clone().unwrap();
    assert_eq!(
        rules.iter().map(words).collect::<Vec<_>>(),
        [(true, None, None, None, Some("rwm"))]
    );
}

#[test]
fn device_rules_that_are_none() {
    for bad in [
        "",
        "c",
        "c 1:1",
        "c 1 r",
        "x 1:1 r",
        "c 1:1 x",
        "c -1:1 r",
        "c 1:1 r r",
        "c a:1 r",
    ] {
        let request = asked(|r| r.device_cgroup_rules = strings(&[bad]));
        Case::default().refuses(&request, "device_cgroup_rule", bad, "must look like");
    }
}
