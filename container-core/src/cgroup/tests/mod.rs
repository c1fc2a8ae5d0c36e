//! On the running kernel, whichever version it has: each test says which.
//!
//! Root is needed, or a delegated group (`systemd-run --user --scope -p Delegate=yes`).
#![allow(
    unsafe_code,
    reason = "puts processes into groups as the executor does, by clone3"
)]

mod limits;
mod process;
mod settings;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollTimeout, poll};
use oci_spec::runtime::{LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResources};

use super::{Cgroup, CgroupError, CgroupPath, Hierarchy, default_device_rules, detect};
use process::{Process, spawn, spawn_quietly};

/// Ends and removes what a failed test leaves.
struct Trees {
    hierarchy: Hierarchy,
    path: CgroupPath,
}

impl std::ops::Deref for Trees {
    type Target = Hierarchy;

    fn deref(&self) -> &Hierarchy {
        &self.hierarchy
    }
}

impl Drop for Trees {
    fn drop(&mut self) {
        let group = self.hierarchy.open(&self.path);
        let _ = group.kill_all();
        let _ = group.remove();
    }
}

/// A group of its own for each test of each run.
fn create(name: &str) -> (Trees, Box<dyn Cgroup>) {
    let hierarchy = detect().unwrap();
    match &hierarchy {
        Hierarchy::V1 { .. } => println!("on cgroup v1"),
        Hierarchy::V2 { .. } => println!("on cgroup v2"),
    }
    let path = CgroupPath::container(None, &format!("test-{name}-{}", std::process::id())).unwrap();
    let group = hierarchy
        .create(&path)
        .unwrap_or_else(|error| panic!("{error}; this test needs root or a delegated group"));
    (
        Trees {
            hierarchy,
            path: group.path().clone(),
        },
        group,
    )
}

/// The directories that there are of a group.
fn directories(hierarchy: &Hierarchy, path: &CgroupPath) -> Vec<PathBuf> {
    let mounts = match hierarchy {
        Hierarchy::V1 { trees } => trees.iter().map(|tree| tree.mount.clone()).collect(),
        Hierarchy::V2 { mount } => vec![mount.clone()],
    };
    let all = mounts.into_iter().map(|mount| mount.join(path.as_path()));
    all.filter(|directory| directory.is_dir()).collect()
}

/// Where a controller's files are, if the group has it.
fn controller(hierarchy: &Hierarchy, group: &dyn Cgroup, name: &str) -> Option<PathBuf> {
    let path = group.path().as_path();
    match hierarchy {
        Hierarchy::V1 { trees } => {
            let tree = trees
                .iter()
                .find(|tree| tree.controllers.iter().any(|has| has == name))?;
            Some(tree.mount.join(path))
        }
        Hierarchy::V2 { mount } => {
            // Where the group was put decides what it can get.
            let group = mount.join(path);
            let above = group.parent().unwrap().join("cgroup.controllers");
            let has = fs::read_to_string(above).unwrap();
            has.split_whitespace()
                .any(|has| has == name)
                .then_some(group)
        }
    }
}

fn within(time: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + time;
    while !condition() {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

fn kill_and_remove(group: Box<dyn Cgroup>, process: &mut Process) {
    group.kill_all().unwrap();
    assert_eq!(process.wait(), Err(libc::SIGKILL));
    group.remove().unwrap();
}

#[test]
fn a_group_lives_and_goes() {
    let (hierarchy, group) = create("life");
    let path = group.path().clone();
    assert!(!directories(&hierarchy, &path).is_empty());
    let mut process = spawn(&group.join().unwrap(), "sleep 100 & sleep 100 & wait");
    assert!(within(Duration::from_secs(20), || group
        .processes()
        .unwrap()
        .len()
        == 3));
    assert!(group.processes().unwrap().contains(&process.pid));
    // In each tree.
    for directory in directories(&hierarchy, &path) {
        let pids = fs::read_to_string(directory.join("cgroup.procs")).unwrap();
        assert!(
            pids.lines().any(|pid| pid == process.pid.to_string()),
            "{directory:?}"
        );
    }
    if controller(&hierarchy, &*group, "pids").is_some() {
        assert_eq!(group.stats().unwrap().pids.unwrap().current, 3);
    }
    if controller(&hierarchy, &*group, "memory").is_some() {
        assert!(group.stats().unwrap().memory.unwrap().usage > 0);
    }
    assert!(group.stats().unwrap().cpu.unwrap().usage > Duration::ZERO);
    kill_and_remove(group, &mut process);
    assert_eq!(directories(&hierarchy, &path), Vec::<PathBuf>::new());
    // Once more is no error: somebody else may have removed it.
    hierarchy.open(&path).remove().unwrap();
}

#[test]
fn a_dropped_group_is_gone_and_a_kept_one_stays() {
    let (hierarchy, group) = create("drop");
    let path = group.path().clone();
    drop(group);
    assert_eq!(directories(&hierarchy, &path), Vec::<PathBuf>::new());

    let (hierarchy, mut group) = create("keep");
    let path = group.path().clone();
    group.keep();
    drop(group);
    assert!(!directories(&hierarchy, &path).is_empty());
    drop(hierarchy.open(&path));
    assert!(!directories(&hierarchy, &path).is_empty());
    hierarchy.open(&path).remove().unwrap();
    assert_eq!(directories(&hierarchy, &path), Vec::<PathBuf>::new());
}

#[test]
fn a_group_with_processes_is_not_taken_nor_removed() {
    let (hierarchy, group) = create("busy");
    let path = group.path().clone();
    let mut process = spawn(&group.join().unwrap(), "exec sleep 100");
    // Made once more by somebody who asks for the same place.
    let asked = CgroupPath::new(path.as_path().file_name().unwrap()).unwrap();
    match hierarchy.create(&asked).unwrap_err() {
        CgroupError::InUse { process: first, .. } => assert_eq!(first, process.pid),
        other => panic!("{other}"),
    }
    match hierarchy.open(&path).remove().unwrap_err() {
        CgroupError::Busy { processes, .. } => assert_eq!(processes, [process.pid]),
        other => panic!("{other}"),
    }
    // That left it whole.
    group.freeze().unwrap();
    group.thaw().unwrap();
    kill_and_remove(group, &mut process);
}

#[test]
fn groups_made_inside_go_too() {
    let (hierarchy, group) = create("nest");
    let path = group.path().clone();
    for directory in directories(&hierarchy, &path) {
        fs::create_dir(directory.join("a")).unwrap();
        fs::create_dir(directory.join("a/b")).unwrap();
    }
    let inside = hierarchy.open(&CgroupPath::new(path.as_path().join("a/b")).unwrap());
    if let Hierarchy::V1 { trees } = &*hierarchy
        && let Some(tree) = trees.iter().find(|tree| tree.controllers == ["cpuset"])
    {
        assert!(
            !tree.mount.join(path.as_path()).exists(),
            "no limit asked for the cpuset tree"
        );
    }
    let mut process = spawn(&inside.join().unwrap(), "exec sleep 100");
    assert!(within(Duration::from_secs(20), || group
        .processes()
        .unwrap()
        == [process.pid]));
    kill_and_remove(group, &mut process);
    assert_eq!(directories(&hierarchy, &path), Vec::<PathBuf>::new());
}

#[test]
fn parents_are_made() {
    let (hierarchy, group) = create("parent");
    let below = CgroupPath::container(Some(group.path().as_path()), "child").unwrap();
    let Hierarchy::V2 { .. } = *hierarchy else {
        // On v2 this has been made below what may be delegated, so is asked for by its path.
        let child = hierarchy
            .create(&CgroupPath::new(below.as_path().join("deep")).unwrap())
            .unwrap();
        let mut process = spawn(&child.join().unwrap(), "exec sleep 100");
        assert!(within(Duration::from_secs(20), || child
            .processes()
            .unwrap()
            == [process.pid]));
        kill_and_remove(child, &mut process);
        return group.remove().unwrap();
    };
    if let Ok(child) = hierarchy.create(&below) {
        child.remove().unwrap();
    }
    group.remove().unwrap();
}

#[test]
fn frozen_processes_stand_still() {
    let (_trees, group) = create("freeze");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ticks");
    let mut process = spawn(
        &group.join().unwrap(),
        &format!("while :; do echo >> {}; done", file.display()),
    );
    let ticks = || fs::metadata(&file).map_or(0, |file| file.len());
    assert!(within(Duration::from_secs(20), || ticks() > 0));
    group.freeze().unwrap();
    let frozen = ticks();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(ticks(), frozen);
    group.thaw().unwrap();
    assert!(within(Duration::from_secs(20), || ticks() > frozen));
    // Frozen ones can be killed as well.
    group.freeze().unwrap();
    kill_and_remove(group, &mut process);
}

#[test]
fn too_much_memory_is_seen() {
    let (hierarchy, group) = create("oom");
    if controller(&hierarchy, &*group, "memory").is_none() {
        println!("no memory controller here: only what is said without one is tested");
        assert_eq!(group.oom_kills().unwrap(), 0);
        assert!(group.watch_oom().unwrap().is_none());
        return group.remove().unwrap();
    }
    let memory = LinuxMemoryBuilder::default().limit(16 << 20);
    let memory = if group.limits_swap() {
        memory.swap(16 << 20)
    } else {
        memory
    };
    let mut resources = LinuxResources::default();
    resources.set_memory(Some(memory.build().unwrap()));
    group.apply(&resources).unwrap();
    let mut watch = group.watch_oom().unwrap().unwrap();
    assert_eq!((watch.kills().unwrap(), group.oom_kills().unwrap()), (0, 0));

    let mut process = spawn(&group.join().unwrap(), "exec tail /dev/zero");
    let ready = poll(
        &mut [PollFd::new(watch.fd(), watch.events())],
        PollTimeout::from(60_000u16),
    );
    assert_eq!(ready, Ok(1));
    assert_eq!(process.wait(), Err(libc::SIGKILL));
    assert!(within(Duration::from_secs(10), || watch.kills().unwrap() == 1));
    assert_eq!(group.oom_kills().unwrap(), 1);
    assert!(
        group
            .stats()
            .unwrap()
            .memory
            .unwrap()
            .peak
            .is_none_or(|peak| peak >= 15 << 20)
    );
    group.remove().unwrap();
    assert_eq!(watch.kills().unwrap(), 0);
}

#[test]
fn too_many_processes_are_refused() {
    let (hierarchy, group) = create("pids");
    let mut resources = LinuxResources::default();
    resources.set_pids(Some(LinuxPidsBuilder::default().limit(4).build().unwrap()));
    let applied = group.apply(&resources);
    if controller(&hierarchy, &*group, "pids").is_none() {
        println!("no pids controller here: only the error is tested");
        let error = applied.unwrap_err().to_string();
        assert!(
            error.contains("pids limit") && error.contains("pids controller"),
            "{error}"
        );
        return group.remove().unwrap();
    }
    applied.unwrap();
    let script = "for i in 1 2 3 4 5 6; do sleep 100 & done; exit 0";
    assert_ne!(spawn_quietly(&group.join().unwrap(), script).wait(), Ok(0));
    assert_eq!(group.stats().unwrap().pids.unwrap().limit, Some(4));
    group.kill_all().unwrap();
    group.remove().unwrap();
}

#[test]
fn devices_are_confined() {
    let (_trees, group) = create("devices");
    let mut resources = LinuxResources::default();
    resources.set_devices(Some(default_device_rules()));
    group.apply(&resources).unwrap();
    if !super::devices::may_confine() {
        println!("not root: device rules are left out, as they have to be");
        return group.remove().unwrap();
    }
    let run = |script: &str| spawn_quietly(&group.join().unwrap(), script).wait();
    assert_eq!(
        run("echo > /dev/null && head -c 1 /dev/urandom > /dev/null && : < /dev/full"),
        Ok(0)
    );
    // The kernel's log: may be made and not be used.
    let directory = tempfile::tempdir().unwrap();
    let node = directory.path().join("kmsg");
    let node = node.display();
    assert_eq!(run(&format!("mknod {node} c 1 11")), Ok(0));
    assert_ne!(run(&format!(": < {node}")), Ok(0));

    // A later rule is added by another call; on v2 it takes the place of the former.
    let mut all = default_device_rules();
    let mut more = oci_spec::runtime::LinuxDeviceCgroupBuilder::default().allow(true);
    more = more
        .typ(oci_spec::runtime::LinuxDeviceType::C)
        .major(1)
        .minor(11)
        .access("r");
    all.push(more.build().unwrap());
    resources.set_devices(Some(all));
    group.apply(&resources).unwrap();
    assert_eq!(run(&format!(": < {node}")), Ok(0));
    assert_ne!(run(&format!(": <> {node}")), Ok(0), "for reading only");
    group.remove().unwrap();
}

/// As a user who owns nothing: a thread can be one.
#[test]
fn without_rights_there_is_no_group() {
    let hierarchy = detect().unwrap();
    let path = CgroupPath::container(None, &format!("test-denied-{}", std::process::id())).unwrap();
    let denied = std::thread::spawn(move || {
        // SAFETY: sets the ids of this thread only, by the bare system call.
        let set = unsafe { libc::syscall(libc::SYS_setresuid, 65534, 65534, 65534) };
        if set != 0 {
            println!("not root: cannot become nobody, not tested");
            return true;
        }
        let error = hierarchy.create(&path).unwrap_err();
        println!("{error}");
        error.is_unavailable()
    });
    assert!(denied.join().unwrap());
}

#[test]
fn paths() {
    for bad in [
        "",
        "/",
        ".",
        "..",
        "a/../b",
        "/..",
        "system.slice:docker:x",
        "a\nb",
    ] {
        assert!(CgroupPath::new(bad).is_err(), "{bad:?}");
    }
    assert_eq!(CgroupPath::new("//a/./b/").unwrap().to_string(), "/a/b");
    let path = CgroupPath::new("/a/b").unwrap();
    let json = serde_json::to_string(&path).unwrap();
    assert_eq!(json, "\"/a/b\"");
    assert_eq!(serde_json::from_str::<CgroupPath>(&json).unwrap(), path);
    assert!(serde_json::from_str::<CgroupPath>("\"../x\"").is_err());
}

/// Not a test of speed: prints what a container pays.
#[test]
fn what_it_costs() {
    let mut times = Vec::new();
    for turn in 0..20 {
        let start = Instant::now();
        let (_trees, group) = create(&format!("cost{turn}"));
        let created = start.elapsed();
        let mut resources = LinuxResources::default();
        resources.set_devices(Some(default_device_rules()));
        group.apply(&resources).unwrap();
        let applied = start.elapsed();
        let mut process = spawn(&group.join().unwrap(), "exec true");
        assert_eq!(process.wait(), Ok(0));
        let ran = start.elapsed();
        group.remove().unwrap();
        times.push((created, applied - created, start.elapsed() - ran));
    }
    times.sort();
    println!(
        "detect and create, device rules, remove: {:?}",
        times[times.len() / 2]
    );
}
