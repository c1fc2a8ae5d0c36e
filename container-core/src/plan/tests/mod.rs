//! Tables: what a specification says and the steps that it must give, in order.

mod devices;
mod process;

use std::collections::HashMap;

use oci_spec::runtime as oci;
use oci_spec::runtime::{LinuxNamespaceType as T, Spec};

use super::*;
use crate::seccomp::Arch;

fn facts() -> Facts {
    Facts {
        arch: Arch::X86_64,
        cgroup_v1: Vec::new(),
        kcore: true,
    }
}

fn mount(target: &str, typ: &str, source: &str, options: &[&str]) -> oci::Mount {
    let mut mount = oci::Mount::default();
    mount
        .set_destination(target.into())
        .set_typ(Some(typ.into()))
        .set_source(Some(source.into()))
        .set_options(Some(options.iter().map(|s| (*s).to_owned()).collect()));
    mount
}

fn namespaces(types: &[(T, Option<&str>)]) -> Vec<oci::LinuxNamespace> {
    let one = |(typ, path): &(T, Option<&str>)| {
        let mut namespace = oci::LinuxNamespace::default();
        namespace.set_typ(*typ).set_path(path.map(Into::into));
        namespace
    };
    types.iter().map(one).collect()
}

/// A specification with nothing but these.
fn spec(mounts: Vec<oci::Mount>, change: impl FnOnce(&mut oci::Linux)) -> Spec {
    let mut linux = oci::Linux::default();
    linux
        .set_namespaces(None)
        .set_resources(None)
        .set_masked_paths(None)
        .set_readonly_paths(None);
    change(&mut linux);
    let mut root = oci::Root::default();
    root.set_path("/c/rootfs".into()).set_readonly(Some(false));
    let mut spec = Spec::default();
    spec.set_root(Some(root))
        .set_mounts(Some(mounts))
        .set_hostname(None)
        .set_process(None)
        .set_linux(Some(linux));
    spec
}

fn lowered(spec: &Spec) -> Plan {
    lower(spec, &facts()).unwrap()
}

/// The steps as their errors name them; the nodes and links of `/dev` as one.
fn story(plan: &Plan) -> Vec<String> {
    let mut steps: Vec<_> = plan.steps.iter().map(ToString::to_string).collect();
    for step in &mut steps {
        if step.starts_with("make the device /dev/") || step.starts_with("make the symbolic") {
            *step = "devices".into();
        }
    }
    steps.dedup();
    steps
}

#[test]
fn the_whole_story_in_order() {
    let mounts = vec![
        mount(
            "/",
            "overlay",
            "overlay",
            &["lowerdir=/l/2:/l/1", "upperdir=/u", "workdir=/w"],
        ),
        mount("/proc", "proc", "proc", &["nosuid"]),
        mount("/dev/", "tmpfs", "tmpfs", &[]),
        mount("/dev/pts", "devpts", "devpts", &[]),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &["ro"]),
        mount("/data", "bind", "/d", &["rbind"]),
    ];
    let mut spec = spec(mounts, |linux| {
        let all = [T::Mount, T::Pid, T::Uts, T::Ipc, T::Cgroup, T::Network];
        let sysctls = [("net.b", "2"), ("net.a.c", "1")];
        let sysctls = sysctls.map(|(k, v)| (k.to_owned(), v.to_owned()));
        linux
            .set_namespaces(Some(namespaces(&all.map(|t| (t, None)))))
            .set_sysctl(Some(HashMap::from(sysctls)))
            .set_readonly_paths(Some(vec!["/proc/sys".into()]))
            .set_masked_paths(Some(vec!["/proc/kcore".into()]))
            .set_rootfs_propagation(Some("rslave".into()));
    });
    let mut process = oci::Process::default();
    process.set_terminal(Some(true));
    let mut root = spec.root().clone().unwrap();
    root.set_readonly(Some(true));
    spec.set_hostname(Some("h".into()))
        .set_domainname(Some("d".into()))
        .set_root(Some(root))
        .set_process(Some(process));
    assert_eq!(
        story(&lowered(&spec)),
        [
            "make the cgroup namespace",
            "set the host name to \"h\"",
            "set the domain name to \"d\"",
            "detach the mount namespace from the host's",
            "mount the root file system (overlay of 2 layers)",
            "mount proc on /proc",
            "mount tmpfs on /dev",
            "devices",
            "mount devpts on /dev/pts",
            "mount the cgroup on /sys/fs/cgroup",
            "wait for the monitor",
            "bring the loopback interface up",
            "bind /d on /data",
            "change the root directory",
            "open the terminal",
            "set the kernel parameter net/a/c to 1",
            "set the kernel parameter net/b to 2",
            "make /proc/sys read-only",
            "mask /proc/kcore",
            "make the mount at / read-only",
            "set the propagation of the root",
        ]
    );
}

#[test]
fn the_monitor_is_awaited_before_what_it_makes_is_shown() {
    let sysfs = || mount("/sys", "sysfs", "sysfs", &[]);
    let tmpfs = || mount("/t", "tmpfs", "tmpfs", &[]);
    let bind = || mount("/b", "bind", "/h", &["bind"]);
    let wait = "wait for the monitor";
    for (mounts, before, after) in [
        (
            vec![tmpfs(), sysfs(), bind()],
            "mount tmpfs on /t",
            "mount sysfs on /sys",
        ),
        (
            vec![tmpfs(), bind(), sysfs()],
            "mount tmpfs on /t",
            "bind /h on /b",
        ),
        (
            vec![tmpfs()],
            "mount tmpfs on /t",
            "change the root directory",
        ),
    ] {
        let mut steps = story(&lowered(&spec(mounts, |_| {})));
        steps.retain(|s| s != "devices");
        let at = |name: &str| steps.iter().position(|s| s == name).unwrap();
        assert_eq!((at(before) + 1, at(after) - 1), (at(wait), at(wait)));
        assert_eq!(steps.iter().filter(|s| *s == wait).count(), 1);
    }
}

#[test]
fn shared_and_joined_namespaces_keep_their_names_and_interfaces() {
    let paths = |path| [(T::Uts, path), (T::Network, path), (T::Cgroup, path)];
    for list in [Vec::new(), namespaces(&paths(Some("/proc/1/ns/x")))] {
        let count = list.len();
        let mut spec = spec(Vec::new(), |linux| _ = linux.set_namespaces(Some(list)));
        spec.set_hostname(Some("h".into()))
            .set_domainname(Some("d".into()));
        let plan = lowered(&spec);
        assert_eq!(plan.namespaces.len(), count);
        assert!(
            plan.namespaces
                .iter()
                .all(|n| n.join.as_deref() == Some("/proc/1/ns/x"))
        );
        assert_eq!(
            story(&plan)[0],
            "detach the mount namespace from the host's"
        );
    }
}

#[test]
fn flags_of_namespaces() {
    // sched.h, as util-linux's unshare --help has them.
    for (typ, flag) in [
        (T::Mount, libc::CLONE_NEWNS),
        (T::Cgroup, libc::CLONE_NEWCGROUP),
        (T::Uts, libc::CLONE_NEWUTS),
        (T::Ipc, libc::CLONE_NEWIPC),
        (T::User, libc::CLONE_NEWUSER),
        (T::Pid, libc::CLONE_NEWPID),
        (T::Network, libc::CLONE_NEWNET),
        (T::Time, 0x80),
    ] {
        let spec = spec(Vec::new(), |linux| {
            _ = linux.set_namespaces(Some(namespaces(&[(typ, None)])));
        });
        let want = Namespace {
            flag: u64::from(flag.unsigned_abs()),
            join: None,
        };
        assert_eq!(lowered(&spec).namespaces, [want], "{typ:?}");
    }
}

#[test]
fn maps_belong_to_a_new_user_namespace() {
    let map = |inside: u32, outside: u32, count: u32| {
        let map = oci::LinuxIdMappingBuilder::default().container_id(inside);
        map.host_id(outside).size(count).build().unwrap()
    };
    let spec = |path: Option<&str>| {
        spec(Vec::new(), |linux| {
            linux
                .set_namespaces(Some(namespaces(&[(T::User, path)])))
                .set_uid_mappings(Some(vec![map(0, 1000, 1), map(1, 100_000, 65_536)]))
                .set_gid_mappings(Some(vec![map(0, 50, 1)]));
        })
    };
    let want = |inside, outside, count| IdMap {
        inside,
        outside,
        count,
    };
    let maps = lowered(&spec(None)).id_maps.unwrap();
    assert_eq!(maps.uids, [want(0, 1000, 1), want(1, 100_000, 65_536)]);
    assert_eq!(maps.gids, [want(0, 50, 1)]);
    assert_eq!(lowered(&spec(Some("/proc/1/ns/user"))).id_maps, None);
}

fn root(plan: &Plan) -> Root {
    let root = plan.steps.iter().find_map(|s| match s {
        Step::Root(root) => Some(root.clone()),
        _ => None,
    });
    root.unwrap()
}

#[test]
fn a_root_is_an_overlay_or_a_directory() {
    let plan = lowered(&spec(Vec::new(), |_| {}));
    let want = Root {
        path: "/c/rootfs".into(),
        overlay: None,
        ids: MountIds::Plain,
    };
    assert_eq!(root(&plan), want);
    let options = [
        r"lowerdir=/a\:b:/c",
        "upperdir=/u",
        "workdir=/w",
        "userxattr",
        "volatile",
    ];
    let overlay = mount("/", "overlay", "overlay", &options);
    let plan = lowered(&spec(vec![overlay], |_| {}));
    let want = Overlay {
        lower: vec!["/a:b".into(), "/c".into()],
        upper: Some(("/u".into(), "/w".into())),
        options: vec!["userxattr".into(), "volatile".into()],
    };
    assert_eq!(root(&plan).overlay, Some(want));
    assert!(
        !plan.steps.iter().any(|s| matches!(s, Step::Mount(_))),
        "not mounted twice"
    );
    // With the container's own ids; a directory that is bound says so by a mount, too.
    for (mounted, overlay) in [
        (
            mount("/", "overlay", "overlay", &["lowerdir=/a", "idmap"]),
            true,
        ),
        (mount("/", "bind", "/c/rootfs", &["rbind", "idmap"]), false),
    ] {
        let plan = lowered(&spec(vec![mounted], |_| {}));
        let root = root(&plan);
        assert_eq!(
            (root.overlay.is_some(), root.ids),
            (overlay, MountIds::Container)
        );
        assert!(!plan.steps.iter().any(|s| matches!(s, Step::Mount(_))));
    }
}

#[test]
fn what_a_user_namespace_has_made_outside() {
    for (mount, foreign, want) in [
        (mount("/a", "bind", "/s", &["rbind"]), true, true),
        (mount("/dev/shm", "bind", "/s", &["rbind"]), false, true),
        (mount("/usr", "overlay", "o", &["lowerdir=/a"]), true, true),
        (mount("/d", "ext4", "/dev/x", &[]), true, true),
        (mount("/t", "tmpfs", "t", &[]), true, false),
        (mount("/t", "tmpfs", "t", &["x-copy-up=/v"]), true, true),
        (mount("/proc", "proc", "proc", &[]), false, false),
        (mount("/dev", "tmpfs", "tmpfs", &[]), false, false),
    ] {
        let mount = Mount {
            foreign,
            ..mounts::lower(&mount)
        };
        assert_eq!(mount.is_made_outside(), want, "{mount:?}");
    }
}

#[test]
fn overlays_are_protected_when_nothing_more_is_made_in_them() {
    let mounts = vec![
        mount("/etc", "overlay", "overlay", &["lowerdir=/etc", "ro"]),
        mount("/etc/hosts", "bind", "/c/hosts", &["rbind", "ro"]),
    ];
    let plan = lowered(&spec(mounts, |_| {}));
    let story = story(&plan);
    let at = |text: &str| {
        story
            .iter()
            .position(|s| s == text)
            .unwrap_or_else(|| panic!("{text}"))
    };
    assert!(at("mount an overlay on /etc") < at("bind /c/hosts on /etc/hosts"));
    assert!(at("change the root directory") < at("make the mount at /etc read-only"));
    let set: Vec<_> = plan
        .steps
        .iter()
        .filter_map(|s| match s {
            Step::Mount(m) => Some(m.set),
            _ => None,
        })
        .collect();
    assert_eq!(set, [0, mounts::RDONLY]);
}

#[test]
fn own_mounts_are_told_from_the_callers() {
    let targets = [
        ("/proc", false),
        ("/proc/", false),
        ("//dev", false),
        ("/dev/shm", false),
        ("/sys/fs/cgroup/", false),
        ("/data", true),
        ("/proc/cpuinfo", true),
        ("/etc/hosts", true),
    ];
    for (target, foreign) in targets {
        let plan = lowered(&spec(vec![mount(target, "tmpfs", "tmpfs", &[])], |_| {}));
        let found = plan.steps.iter().find_map(|s| match s {
            Step::Mount(m) => Some(m.foreign),
            _ => None,
        });
        assert_eq!(found, Some(foreign), "{target}");
    }
}

#[test]
fn cgroups_are_mounted_as_the_host_has_them() {
    let v1 = vec![("cpu,cpuacct".to_owned(), "cpu,cpuacct".to_owned())];
    for hierarchies in [Vec::new(), v1] {
        let facts = Facts {
            cgroup_v1: hierarchies.clone(),
            ..facts()
        };
        for typ in ["cgroup", "cgroup2"] {
            let spec = spec(vec![mount("/sys/fs/cgroup", typ, typ, &["ro"])], |_| {});
            let plan = lower(&spec, &facts).unwrap();
            let found = plan.steps.iter().find_map(|s| match s {
                Step::CgroupMount { mount, hierarchies } => Some((mount.set, hierarchies)),
                _ => None,
            });
            assert_eq!(found, Some((mounts::RDONLY, &hierarchies)), "{typ}");
        }
    }
    // A bind of the host's is a bind.
    let bind = mount("/sys/fs/cgroup", "cgroup", "/sys/fs/cgroup", &["rbind"]);
    assert!(
        story(&lowered(&spec(vec![bind], |_| {})))
            .contains(&"bind /sys/fs/cgroup on /sys/fs/cgroup".to_owned())
    );
}

#[test]
fn a_terminal_and_its_size() {
    for (terminal, size, want) in [
        (false, Some((24, 80)), None),
        (true, None, Some(None)),
        (true, Some((24, 80)), Some(Some((24, 80)))),
        (true, Some((1 << 40, 80)), Some(Some((u16::MAX, 80)))),
    ] {
        let mut process = oci::Process::default();
        let size = size.map(|(height, width): (u64, u64)| {
            let size = oci::BoxBuilder::default().height(height).width(width);
            size.build().unwrap()
        });
        process.set_terminal(Some(terminal)).set_console_size(size);
        let mut spec = spec(Vec::new(), |_| {});
        spec.set_process(Some(process));
        let found = lowered(&spec).steps.iter().find_map(|s| match s {
            Step::Terminal { size } => Some(*size),
            _ => None,
        });
        assert_eq!(found, want);
    }
}

#[test]
fn volumes_are_filled_before_anything_lies_over_the_image() {
    let overlay = ["lowerdir=/l", "upperdir=/u", "workdir=/w"];
    let plan = lowered(&spec(
        vec![
            mount("/usr", "overlay", "overlay", &overlay),
            mount("/proc", "proc", "proc", &[]),
            mount(
                "/a",
                "bind",
                "/v/a/_data",
                &["rbind", "x-copy-up=/v/a", "idmap"],
            ),
            mount("/b", "bind", "/s", &["bind", "x-owner=5:6"]),
            mount("/c", "nfs", ":/x", &["addr=1.2.3.4"]),
            mount(
                "/d",
                "ext4",
                "/dev/x",
                &["x-copy-up-durable=/v/d", "x-subpath=e/f", "ro"],
            ),
        ],
        |_| {},
    ));
    assert_eq!(
        story(&plan)[2..],
        [
            "mount an overlay on /usr",
            "fill the new volume with what the image has at /a",
            "mount nfs on /c",
            "fill the new volume with what the image has at /d",
            "mount proc on /proc",
            "wait for the monitor",
            "bind /v/a/_data on /a",
            "bind /s on /b",
            "mount nfs on /c",
            "mount ext4 on /d",
            "devices",
            "change the root directory",
        ]
        .map(str::to_owned)
    );
    let of = |target: &str| {
        let mut mounts = plan.steps.iter().filter_map(|step| match step {
            Step::Mount(m) if m.target == target => Some(m),
            _ => None,
        });
        mounts.next_back().unwrap().clone()
    };
    let fill = |dir: &str, durable| {
        let dir = dir.to_owned();
        Some(CopyUp { dir, durable })
    };
    assert_eq!(
        (of("/a").copy_up, of("/a").ids),
        (fill("/v/a", false), MountIds::Container)
    );
    assert_eq!(of("/b").ids, MountIds::Swap { uid: 5, gid: 6 });
    assert_eq!(
        (of("/d").copy_up, of("/d").subpath),
        (fill("/v/d", true), Some("e/f".into()))
    );
    let Source::New { options, .. } = of("/d").source else {
        panic!("{:?}", of("/d"))
    };
    assert!(
        options.is_empty(),
        "our own never reach the kernel: {options:?}"
    );
}
