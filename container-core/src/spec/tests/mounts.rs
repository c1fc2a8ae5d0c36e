use super::*;
use crate::request::{IpcMode, NamespaceMode, Network};

/// What each of our mounts must be: target, type, source, options in a row.
pub(super) type Row<'a> = (&'a str, &'a str, &'a str, &'a str);

pub(super) fn check(case: &Case, request: &Request, rows: &[Row<'_>]) {
    for (target, typ, source, options) in rows {
        let (t, s, o) = case
            .mount(request, target)
            .unwrap_or_else(|| panic!("no {target}"));
        assert_eq!(
            (&*t, &*s, &*o.join(",")),
            (*typ, *source, *options),
            "{target}"
        );
    }
}

#[test]
fn defaults_are_dockers() {
    let rows = [
        (
            "/",
            "overlay",
            "overlay",
            "lowerdir=/l/2:/l/1,upperdir=/c/upper,workdir=/c/work",
        ),
        ("/proc", "proc", "proc", "nosuid,noexec,nodev"),
        (
            "/dev",
            "tmpfs",
            "tmpfs",
            "nosuid,strictatime,mode=755,size=65536k",
        ),
        (
            "/dev/pts",
            "devpts",
            "devpts",
            "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5",
        ),
        ("/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"),
        (
            "/sys/fs/cgroup",
            "cgroup",
            "cgroup",
            "nosuid,noexec,nodev,ro",
        ),
        ("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
        (
            "/dev/shm",
            "tmpfs",
            "shm",
            "nosuid,noexec,nodev,mode=1777,size=67108864",
        ),
        (
            "/etc/resolv.conf",
            "bind",
            "/c/resolv.conf",
            "rbind,rprivate",
        ),
        ("/etc/hostname", "bind", "/c/hostname", "rbind,rprivate"),
        ("/etc/hosts", "bind", "/c/hosts", "rbind,rprivate"),
    ];
    let (case, request) = (Case::default(), asked(|_| {}));
    check(&case, &request, &rows);
    assert_eq!(case.targets(&request), rows.map(|row| row.0));
}

#[test]
fn the_root_is_what_the_image_says() {
    let request = asked(|r| r.auto_remove = true);
    let (_, _, options) = Case::rootless().mount(&request, "/").unwrap();
    assert_eq!(options[3..], ["userxattr", "volatile"]);
    let (_, _, options) = Case::default().mount(&asked(|_| {}), "/").unwrap();
    assert_eq!(
        options.len(),
        3,
        "volatile without --rm would lose data: {options:?}"
    );
    let root = Case::default().spec(&request).root().clone().unwrap();
    assert_eq!(
        (root.path(), root.readonly()),
        (&PathBuf::from("/c/rootfs"), Some(false))
    );
}

fn host() -> Case {
    Case {
        rootfs: Rootfs::Host {
            base: "/c/base".into(),
            overlays: vec![
                ("etc".into(), "/c/etc/upper".into(), "/c/etc/work".into()),
                ("usr".into(), "/c/usr/upper".into(), "/c/usr/work".into()),
            ],
        },
        ..Case::default()
    }
}

#[test]
fn the_hosts_directories_each_have_an_overlay() {
    let request = asked(|_| {});
    let options = "lowerdir=/usr,upperdir=/c/usr/upper,workdir=/c/usr/work";
    check(
        &host(),
        &request,
        &[("/usr", "overlay", "overlay", options)],
    );
    assert_eq!(host().targets(&request)[..2], ["/etc", "/usr"]);
    let spec = host().spec(&request);
    assert_eq!(spec.root().clone().unwrap().path(), Path::new("/c/base"));
}

#[test]
fn a_read_only_root_takes_all_of_the_image() {
    let request = asked(|r| r.read_only = true);
    for case in [Case::default(), host()] {
        assert_eq!(
            case.spec(&request).root().clone().unwrap().readonly(),
            Some(true)
        );
        for target in case.targets(&request) {
            let (typ, _, options) = case.mount(&request, &target).unwrap();
            let protected = options.iter().any(|o| o == "ro");
            let image = target.starts_with("/etc") || target == "/usr";
            assert_eq!(
                protected,
                image || target.starts_with("/sys"),
                "{typ} {target}"
            );
        }
    }
}

#[test]
fn size_of_shared_memory() {
    for (size, want) in [(None, 64 << 20), (Some(0), 64 << 20), (Some(4096), 4096)] {
        let request = asked(|r| r.shm_size = size);
        let (_, _, options) = Case::default().mount(&request, "/dev/shm").unwrap();
        assert!(
            options.contains(&format!("size={want}")),
            "{size:?} {options:?}"
        );
    }
}

#[test]
fn shared_namespaces_as_root_and_in_a_user_namespace() {
    let root = Case::default();
    let rootless = Case::rootless();
    let bound = "nosuid,noexec,nodev,rbind,rprivate";
    let plain = "nosuid,noexec,nodev";
    let pid = asked(|r| r.pid = NamespaceMode::Host);
    check(&root, &pid, &[("/proc", "proc", "proc", plain)]);
    check(&rootless, &pid, &[("/proc", "bind", "/proc", bound)]);
    let net = asked(|r| r.network = Network::Host);
    check(
        &root,
        &net,
        &[("/sys", "sysfs", "sysfs", &format!("{plain},ro"))],
    );
    check(
        &rootless,
        &net,
        &[("/sys", "bind", "/sys", &format!("{bound},rro"))],
    );
    let ipc = asked(|r| r.ipc = IpcMode::Host);
    check(
        &root,
        &ipc,
        &[
            ("/dev/shm", "bind", "/dev/shm", bound),
            ("/dev/mqueue", "mqueue", "mqueue", plain),
        ],
    );
    check(
        &rootless,
        &ipc,
        &[
            ("/dev/shm", "bind", "/dev/shm", bound),
            ("/dev/mqueue", "bind", "/dev/mqueue", bound),
        ],
    );
    let mut bare = Case::rootless();
    bare.host.mqueue = false;
    assert!(bare.mount(&ipc, "/dev/mqueue").is_none());
}

#[test]
fn the_group_of_terminals_must_exist() {
    let mut single = Case::rootless();
    single.host.many_ids = false;
    for (case, request, want) in [
        (Case::default(), asked(|_| {}), true),
        (Case::rootless(), asked(|_| {}), true),
        (single, asked(|_| {}), false),
        (Case::default(), asked(|r| r.userns = mapped(5)), false),
        (Case::default(), asked(|r| r.userns = mapped(6)), true),
    ] {
        let (_, _, options) = case.mount(&request, "/dev/pts").unwrap();
        assert_eq!(
            options.iter().any(|o| o == "gid=5"),
            want,
            "{:?}",
            request.userns
        );
    }
}

#[test]
fn a_user_namespace_of_its_own_has_shifted_layers_and_bound_devices() {
    let request = asked(|r| (r.userns, r.auto_remove) = (mapped(9), true));
    let (_, _, options) = Case::default().mount(&request, "/").unwrap();
    // The overlay is mounted by the machine's root, so its marks are those of the layers.
    assert_eq!(options[3..], ["idmap", "volatile"]);
    let (kind, source, options) = host().mount(&request, "/").unwrap();
    assert_eq!((&*kind, &*source), ("bind", "/c/base"));
    assert_eq!(options, ["rbind", "idmap"]);
    let (_, _, options) = host().mount(&request, "/usr").unwrap();
    assert_eq!(options[3..], ["idmap", "volatile"]);
    let mut case = Case::default();
    case.devices.push(device("/dev/x", 1, 2));
    let bound = ("/dev/x", "bind", "/host/dev/x", "bind,rprivate");
    check(&case, &request, &[bound]);
    assert_eq!(case.linux(&request).devices().as_deref(), Some(&[][..]));
}

#[test]
fn the_privileged_may_write_to_sys() {
    let request = asked(|r| r.privileged = true);
    let plain = "nosuid,noexec,nodev";
    check(
        &Case::default(),
        &request,
        &[
            ("/sys", "sysfs", "sysfs", plain),
            ("/sys/fs/cgroup", "cgroup", "cgroup", plain),
        ],
    );
    let request = asked(|r| (r.privileged, r.network) = (true, Network::Host));
    let (_, _, options) = Case::rootless().mount(&request, "/sys").unwrap();
    assert_eq!(options.last().map(|o| &**o), Some("rrw"));
}
