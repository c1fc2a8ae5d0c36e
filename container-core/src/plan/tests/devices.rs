use super::*;

fn made(plan: &Plan) -> Vec<(&str, char, u32, u32)> {
    let mut made = Vec::new();
    for step in &plan.steps {
        if let Step::Device(d) = step {
            made.push((&*d.path, d.kind, d.major, d.minor));
        }
    }
    made
}

#[test]
fn devices_that_every_container_has() {
    let plan = lowered(&spec(Vec::new(), |_| {}));
    // admin-guide/devices.txt
    assert_eq!(
        made(&plan),
        [
            ("/dev/null", 'c', 1, 3),
            ("/dev/zero", 'c', 1, 5),
            ("/dev/full", 'c', 1, 7),
            ("/dev/random", 'c', 1, 8),
            ("/dev/urandom", 'c', 1, 9),
            ("/dev/tty", 'c', 5, 0),
        ]
    );
    let links: Vec<_> = plan
        .steps
        .iter()
        .filter_map(|s| match s {
            Step::Symlink { to, at } => Some((&**at, &**to)),
            _ => None,
        })
        .collect();
    assert_eq!(
        links,
        [
            ("/dev/fd", "/proc/self/fd"),
            ("/dev/stdin", "/proc/self/fd/0"),
            ("/dev/stdout", "/proc/self/fd/1"),
            ("/dev/stderr", "/proc/self/fd/2"),
            ("/dev/core", "/proc/kcore"),
            ("/dev/ptmx", "pts/ptmx"),
        ]
    );
    assert_eq!(
        story(&plan).last().map(|s| &**s),
        Some("change the root directory")
    );
}

#[test]
fn a_kernel_without_kcore() {
    let facts = Facts {
        kcore: false,
        ..facts()
    };
    let plan = lower(&spec(Vec::new(), |_| {}), &facts).unwrap();
    let core = |s: &Step| matches!(s, Step::Symlink { at, .. } if at == "/dev/core");
    assert!(!plan.steps.iter().any(core));
}

#[test]
fn further_devices() {
    let device = |path: &str, typ, major, minor| {
        let mut device = oci::LinuxDevice::default();
        device
            .set_path(path.into())
            .set_typ(typ)
            .set_major(major)
            .set_minor(minor);
        device
            .set_file_mode(Some(0o100_640))
            .set_uid(Some(3))
            .set_gid(Some(4));
        device
    };
    let devices = vec![
        device("/dev/sda", oci::LinuxDeviceType::B, 8, 0),
        device("/dev/pipe", oci::LinuxDeviceType::P, 0, 0),
        device("/dev/u", oci::LinuxDeviceType::U, 10, 1),
    ];
    let plan = lowered(&spec(Vec::new(), |linux| {
        _ = linux.set_devices(Some(devices))
    }));
    let want = [
        ("/dev/sda", 'b', 8, 0),
        ("/dev/pipe", 'p', 0, 0),
        ("/dev/u", 'c', 10, 1),
    ];
    assert_eq!(made(&plan)[6..], want);
    let sda = plan.steps.iter().find_map(|s| match s {
        Step::Device(d) if d.path == "/dev/sda" => Some((d.mode, d.uid, d.gid)),
        _ => None,
    });
    assert_eq!(sda, Some((0o640, 3, 4)));
}

#[test]
fn nothing_is_made_in_the_hosts_dev() {
    for target in ["/dev", "/dev/"] {
        let bind = mount(target, "bind", "/dev", &["rbind", "rprivate"]);
        assert!(!story(&lowered(&spec(vec![bind], |_| {}))).contains(&"devices".to_owned()));
    }
    let other = mount("/dev/x", "bind", "/dev", &["rbind"]);
    assert!(story(&lowered(&spec(vec![other], |_| {}))).contains(&"devices".to_owned()));
}
