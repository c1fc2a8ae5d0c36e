use std::collections::{BTreeSet, HashSet};

use oci_spec::runtime::{Capability, LinuxSeccompAction};

use super::*;
use crate::plan::capability_bit;
use crate::request::Seccomp;

/// Facts about Docker, beside the checkout.
fn facts() -> serde_json::Value {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../shared/facts/docker-defaults.json"
    );
    let text = std::fs::read_to_string(path)
        .unwrap_or_else(|e| panic!("NOT RUN, the facts about Docker are absent: {path}: {e}"));
    serde_json::from_str(&text).unwrap()
}

fn fact(name: &str) -> BTreeSet<String> {
    let list = facts()[name].as_array().unwrap().clone();
    list.iter()
        .map(|v| v.as_str().unwrap().to_owned())
        .collect()
}

fn bounding(case: &Case, request: &Request) -> HashSet<Capability> {
    let sets = case.process(request).capabilities().clone().unwrap();
    let bounding = sets.bounding().clone().unwrap();
    assert_eq!(sets.effective().as_ref(), Some(&bounding));
    assert_eq!(sets.permitted().as_ref(), Some(&bounding));
    // CVE-2022-24769: nothing is inheritable.
    assert!(sets.inheritable().is_none() && sets.ambient().is_none());
    bounding
}

fn names(set: &HashSet<Capability>) -> BTreeSet<String> {
    let name = |c: &Capability| {
        serde_json::to_value(c)
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned()
    };
    set.iter().map(name).collect()
}

#[test]
fn capabilities_are_dockers() {
    let set = bounding(&Case::default(), &asked(|_| {}));
    assert_eq!(names(&set), fact("capabilities"));
}

#[test]
fn hidden_and_protected_paths_are_dockers() {
    let linux = Case::default().linux(&asked(|_| {}));
    let set = |list: &Option<Vec<String>>| list.clone().unwrap().into_iter().collect();
    assert_eq!(fact("masked_paths"), set(linux.masked_paths()));
    assert_eq!(fact("readonly_paths"), set(linux.readonly_paths()));
}

#[test]
fn each_processors_heat_is_hidden() {
    let pattern = facts()["masked_dynamic"].as_str().unwrap().to_owned();
    let mut case = Case::default();
    case.host.thermal_throttle = (0..3)
        .map(|n| pattern.replace("cpu*", &format!("cpu{n}")))
        .collect();
    let linux = case.linux(&asked(|_| {}));
    let masked = linux.masked_paths().clone().unwrap();
    for path in &case.host.thermal_throttle {
        assert!(masked.contains(path), "{path}");
    }
}

#[test]
fn nothing_is_hidden_from_the_privileged() {
    let mut case = Case::default();
    case.host.thermal_throttle = vec!["/sys/x".into()];
    for request in [
        asked(|r| r.privileged = true),
        asked(|r| r.unmask_system_paths = true),
    ] {
        let linux = case.linux(&request);
        assert_eq!(linux.masked_paths(), &Some(Vec::new()));
        assert_eq!(linux.readonly_paths(), &Some(Vec::new()));
    }
}

const ALL: usize = 41;

#[test]
fn adding_and_dropping_capabilities() {
    // add, drop, privileged, how many there are, some that must be, some that must not.
    #[allow(clippy::type_complexity, reason = "a table")]
    let table: [(&[&str], &[&str], bool, usize, &[&str], &[&str]); 17] = [
        (&[], &[], false, 14, &["CHOWN"], &["SYS_ADMIN"]),
        (&["SYS_ADMIN"], &[], false, 15, &["SYS_ADMIN"], &[]),
        (&["cap_sys_admin"], &[], false, 15, &["SYS_ADMIN"], &[]),
        (&["CHOWN"], &[], false, 14, &["CHOWN"], &[]),
        (&[], &["CAP_CHOWN"], false, 13, &[], &["CHOWN"]),
        (&[], &["SYS_ADMIN"], false, 14, &[], &["SYS_ADMIN"]),
        (&[], &["ALL"], false, 0, &[], &["CHOWN"]),
        (&["CHOWN"], &["all"], false, 1, &["CHOWN"], &[]),
        (&["CHOWN"], &["CHOWN"], false, 14, &["CHOWN"], &[]),
        (&["CHOWN"], &["ALL", "CHOWN"], false, 1, &["CHOWN"], &[]),
        (&["ALL"], &[], false, ALL, &["BPF"], &[]),
        (&["ALL"], &["CHOWN"], false, ALL - 1, &[], &["CHOWN"]),
        (
            &["ALL", "CHOWN"],
            &["CHOWN"],
            false,
            ALL - 1,
            &[],
            &["CHOWN"],
        ),
        (&["ALL"], &["ALL"], false, ALL, &["CHOWN"], &[]),
        (&[], &[], true, ALL, &["SYS_ADMIN"], &[]),
        (
            &["CHOWN"],
            &["SYS_ADMIN"],
            true,
            ALL - 1,
            &[],
            &["SYS_ADMIN"],
        ),
        (&[], &["ALL"], true, 0, &[], &[]),
    ];
    for (add, drop, privileged, count, has, has_not) in table {
        let request = asked(|r| {
            (r.cap_add, r.cap_drop) = (strings(add), strings(drop));
            r.privileged = privileged;
        });
        let set = bounding(&Case::default(), &request);
        let names = names(&set);
        let context = format!("{add:?} {drop:?} {privileged}: {names:?}");
        assert_eq!(set.len(), count, "{context}");
        assert!(
            has.iter().all(|n| names.contains(&format!("CAP_{n}"))),
            "{context}"
        );
        assert!(
            !has_not.iter().any(|n| names.contains(&format!("CAP_{n}"))),
            "{context}"
        );
    }
}

#[test]
fn capabilities_that_the_host_lacks() {
    let mut case = Case::default();
    case.host.capabilities &= !capability_bit(Capability::SysResource);
    case.host.capabilities &= !capability_bit(Capability::Chown);
    let one = asked(|r| r.cap_add = strings(&["SYS_RESOURCE"]));
    case.refuses(&one, "cap_add", "SYS_RESOURCE", "cannot grant it");
    // Of the defaults it is nobody's wish: no word about it.
    let compiled = case.compile(&asked(|_| {})).unwrap();
    assert_eq!(compiled.warnings, Vec::<String>::new());
    assert_eq!(bounding(&case, &asked(|_| {})).len(), 13);
    for request in [
        asked(|r| r.privileged = true),
        asked(|r| r.cap_add = strings(&["ALL"])),
    ] {
        assert_eq!(bounding(&case, &request).len(), ALL - 2);
        let warnings = case.compile(&request).unwrap().warnings;
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("CHOWN, SYS_RESOURCE"), "{warnings:?}");
    }
    let dropped = asked(|r| {
        r.privileged = true;
        r.cap_drop = strings(&["CHOWN", "SYS_RESOURCE"]);
    });
    assert!(case.compile(&dropped).unwrap().warnings.is_empty());
}

#[test]
fn unknown_capabilities() {
    let request = asked(|r| r.cap_add = strings(&["SYS_ROOT"]));
    Case::default().refuses(&request, "cap_add", "SYS_ROOT", "CAP_SYS_ROOT");
    let request = asked(|r| r.cap_drop = strings(&[""]));
    Case::default().refuses(&request, "cap_drop", "", "unknown capability");
}

#[test]
fn system_call_filters() {
    let profile = || Seccomp::Profile(r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#.into());
    use LinuxSeccompAction::{ScmpActAllow, ScmpActErrno};
    for (seccomp, privileged, want) in [
        (Seccomp::Default, false, Some(ScmpActErrno)),
        (Seccomp::Default, true, None),
        (Seccomp::Unconfined, false, None),
        (Seccomp::Unconfined, true, None),
        (profile(), false, Some(ScmpActAllow)),
        (profile(), true, Some(ScmpActAllow)),
    ] {
        let request = asked(|r| (r.seccomp, r.privileged) = (seccomp.clone(), privileged));
        let linux = Case::default().linux(&request);
        let got = linux.seccomp().as_ref().map(|s| s.default_action());
        assert_eq!(got, want, "{seccomp:?} {privileged}");
    }
    let request = asked(|r| r.seccomp = Seccomp::Profile("{".into()));
    let refused = Case::default().compile(&request);
    assert!(matches!(refused, Err(Error::Seccomp(_))), "{refused:?}");
}

#[test]
fn a_capability_opens_its_system_calls() {
    let allows = |request: &Request, call: &str| {
        let linux = Case::default().linux(request);
        let calls = linux.seccomp().clone().unwrap().syscalls().clone().unwrap();
        calls.iter().any(|rule| {
            rule.action() == LinuxSeccompAction::ScmpActAllow
                && rule.names().iter().any(|name| name == call)
        })
    };
    assert!(!allows(&asked(|_| {}), "mount"));
    assert!(allows(
        &asked(|r| r.cap_add = strings(&["SYS_ADMIN"])),
        "mount"
    ));
}

#[test]
fn no_new_privileges_when_asked() {
    for yes in [false, true] {
        let process = Case::default().process(&asked(|r| r.no_new_privileges = yes));
        assert_eq!(process.no_new_privileges(), Some(yes));
    }
}

#[test]
fn devices_are_made_as_root_and_bound_in_a_user_namespace() {
    let devices = vec![
        device("/dev/a", 10, 1),
        device("/dev/b", 10, 2),
        device("/dev/a", 10, 3),
    ];
    let case = Case {
        devices: devices.clone(),
        ..Case::default()
    };
    let request = asked(|_| {});
    let made = case.linux(&request).devices().clone().unwrap();
    let got: Vec<_> = made
        .iter()
        .map(|d| {
            (
                d.path().to_str().unwrap(),
                d.minor(),
                d.file_mode(),
                d.uid(),
                d.gid(),
            )
        })
        .collect();
    // Of two at a path the last.
    let want = [
        ("/dev/b", 2, Some(0o660), Some(1), Some(2)),
        ("/dev/a", 3, Some(0o660), Some(1), Some(2)),
    ];
    assert_eq!(got, want);
    let case = Case {
        devices,
        ..Case::rootless()
    };
    assert_eq!(case.linux(&request).devices(), &Some(Vec::new()));
    let (typ, source, options) = case.mount(&request, "/dev/a").unwrap();
    assert_eq!((&*typ, &*source), ("bind", "/host/dev/a"));
    assert_eq!(options, ["bind", "rprivate"]);
}
