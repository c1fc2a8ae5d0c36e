use oci_spec::runtime::LinuxNamespaceType as T;

use super::*;
use crate::request::NamespaceMode::{self, Host};
use crate::request::{IpcMode, Network};

fn types(request: &Request) -> Vec<T> {
    let linux = Case::default().linux(request);
    let list = linux.namespaces().clone().unwrap();
    assert!(list.iter().all(|n| n.path().is_none()));
    list.iter().map(|n| n.typ()).collect()
}

#[test]
fn each_mode_takes_its_namespace_away() {
    let all = [T::Mount, T::Pid, T::Uts, T::Ipc, T::Cgroup, T::Network];
    assert_eq!(types(&asked(|_| {})), all);
    for (request, gone) in [
        (asked(|r| r.pid = Host), T::Pid),
        (asked(|r| r.uts = Host), T::Uts),
        (asked(|r| r.ipc = IpcMode::Host), T::Ipc),
        (asked(|r| r.cgroupns = Host), T::Cgroup),
        (asked(|r| r.network = Network::Host), T::Network),
    ] {
        let want: Vec<_> = all.into_iter().filter(|t| *t != gone).collect();
        assert_eq!(types(&request), want);
    }
    let with_user = [&all[..], &[T::User]].concat();
    assert_eq!(types(&asked(|r| r.userns = mapped(1))), with_user);
}

#[test]
fn another_containers_are_joined() {
    let request = asked(|r| {
        r.pid = NamespaceMode::Container("other".into());
        r.ipc = IpcMode::Container("other".into());
    });
    let case = Case {
        company: Company {
            pid: Some(77),
            ipc: Some(88),
        },
        ..Case::default()
    };
    let joined: Vec<_> = case
        .linux(&request)
        .namespaces()
        .iter()
        .flatten()
        .filter_map(|n| Some((n.typ(), n.path().clone()?)))
        .collect();
    let want = [
        (T::Pid, "/proc/77/ns/pid".into()),
        (T::Ipc, "/proc/88/ns/ipc".into()),
    ];
    assert_eq!(joined, want);
    for request in [
        asked(|r| r.uts = NamespaceMode::Container("other".into())),
        asked(|r| r.cgroupns = NamespaceMode::Container("other".into())),
    ] {
        assert!(matches!(
            Case::default().compile(&request),
            Err(Error::Setting { .. })
        ));
    }
}

#[test]
fn maps_of_a_user_namespace() {
    let linux = Case::default().linux(&asked(|r| r.userns = mapped(65_536)));
    for maps in [linux.uid_mappings(), linux.gid_mappings()] {
        let maps = maps.clone().unwrap();
        let got: Vec<_> = maps
            .iter()
            .map(|m| (m.container_id(), m.host_id(), m.size()))
            .collect();
        assert_eq!(got, [(0, 100_000, 65_536)]);
    }
    assert!(
        Case::default()
            .linux(&asked(|_| {}))
            .uid_mappings()
            .is_none()
    );
    for request in [
        asked(|r| r.privileged = true),
        asked(|r| r.network = Network::Host),
        asked(|r| r.pid = Host),
        asked(|r| r.ipc = IpcMode::Host),
        asked(|r| r.cgroupns = Host),
    ] {
        for (userns, name) in [
            (mapped(1), "mapped"),
            (UserNamespace::Auto { size: None }, "auto"),
        ] {
            let request = Request {
                userns,
                ..request.clone()
            };
            Case::default().refuses(&request, "userns", name, "conflicts with");
        }
    }
    let sized = |n| asked(|r| r.userns = UserNamespace::Auto { size: Some(n) });
    for n in [0, 65_537] {
        let value = format!("auto:size={n}");
        Case::default().refuses(&sized(n), "userns", &value, "from 1 to 65536");
    }
    let mut rootless = mapped(5);
    if let UserNamespace::Mapped { gids, .. } = &mut rootless {
        gids[0].inside = 1;
    }
    let request = asked(|r| r.userns = rootless);
    Case::default().refuses(&request, "userns", "mapped", "id 0 must be there");
}

#[test]
fn host_names() {
    let short = "0123456789ab";
    // --hostname, --uts host, --network host; the specification's, the program's.
    for (name, uts, net, spec, env) in [
        (None, false, false, Some(short), short),
        (Some(""), false, false, Some(short), short),
        (Some("h.d"), false, false, Some("h.d"), "h.d"),
        (Some("h"), false, true, Some("h"), "h"),
        (None, false, true, Some("machine"), "machine"),
        (None, true, false, None, "machine"),
        (None, true, true, None, "machine"),
    ] {
        let request = asked(|r| {
            r.hostname = name.map(str::to_owned);
            if uts {
                r.uts = Host;
            }
            if net {
                r.network = Network::Host;
            }
        });
        let case = Case::default();
        assert_eq!(
            case.spec(&request).hostname().as_deref(),
            spec,
            "{name:?} {uts} {net}"
        );
        let want = format!("HOSTNAME={env}");
        assert!(
            case.process(&request)
                .env()
                .clone()
                .unwrap()
                .contains(&want)
        );
    }
}

#[test]
fn names_that_cannot_be() {
    let long = "a".repeat(65);
    for bad in ["a b", "a\n1.2.3.4 b", "\0", &long] {
        let why = "at most 64 bytes";
        let request = asked(|r| r.hostname = Some(bad.into()));
        Case::default().refuses(&request, "hostname", bad, why);
        let request = asked(|r| r.domainname = Some(bad.into()));
        Case::default().refuses(&request, "domainname", bad, why);
    }
    let request = asked(|r| (r.uts, r.hostname) = (Host, Some("h".into())));
    Case::default().refuses(&request, "hostname", "h", "the UTS mode");
    let request = asked(|r| (r.uts, r.domainname) = (Host, Some("d".into())));
    Case::default().refuses(&request, "domainname", "d", "the UTS mode");
    let request = asked(|r| r.domainname = Some("d".into()));
    let spec = Case::default().spec(&request);
    assert_eq!(spec.domainname().as_deref(), Some("d"));
}

#[test]
fn control_groups() {
    for (parent, want) in [
        (None, format!("/mini-docker-{ID}")),
        (Some(""), format!("/mini-docker-{ID}")),
        (Some("/batch/low"), format!("/batch/low/{ID}")),
        (Some("batch"), format!("/batch/{ID}")),
        (Some("/"), format!("/{ID}")),
    ] {
        let request = asked(|r| r.cgroup_parent = parent.map(str::to_owned));
        let linux = Case::default().linux(&request);
        assert_eq!(linux.cgroups_path(), &Some(want.into()), "{parent:?}");
    }
    for bad in ["..", "a/../..", "a\nb"] {
        let request = asked(|r| r.cgroup_parent = Some(bad.into()));
        Case::default().refuses(&request, "cgroup_parent", bad, "");
    }
}

fn sysctls(case: &Case, request: &Request) -> Vec<String> {
    let map = case.linux(request).sysctl().clone().unwrap_or_default();
    let mut list: Vec<_> = map.iter().map(|(k, v)| format!("{k}={v}")).collect();
    list.sort();
    list
}

fn sysctl(name: &str, value: &str) -> Request {
    asked(|r| _ = r.sysctls.insert(name.into(), value.into()))
}

const PORTS: &str = "net.ipv4.ip_unprivileged_port_start=0";
const PING: &str = "net.ipv4.ping_group_range=0 2147483647";

#[test]
fn kernel_parameters_of_dockers() {
    let none: [&str; 0] = [];
    let (root, rootless) = (Case::default(), Case::rootless());
    assert_eq!(sysctls(&root, &asked(|_| {})), [PORTS, PING]);
    assert_eq!(sysctls(&rootless, &asked(|_| {})), [PORTS]);
    assert_eq!(sysctls(&root, &asked(|r| r.userns = mapped(9))), [PORTS]);
    assert_eq!(sysctls(&root, &asked(|r| r.network = Network::Host)), none);
    assert_eq!(sysctls(&rootless, &asked(|r| r.pid = Host)), none);
    let request = sysctl("net/ipv4/ip_unprivileged_port_start", "1024");
    let want = ["net.ipv4.ip_unprivileged_port_start=1024", PING];
    assert_eq!(sysctls(&root, &request), want);
}

#[test]
fn kernel_parameters_of_the_callers() {
    for name in [
        "kernel.shmmax",
        "kernel/sem",
        "fs.mqueue.msg_max",
        "net.core.somaxconn",
    ] {
        let want = format!("{}=7", name.replace('/', "."));
        assert!(
            sysctls(&Case::default(), &sysctl(name, "7")).contains(&want),
            "{name}"
        );
    }
    for name in [
        "kernel.panic",
        "kernel.hostname",
        "vm.swappiness",
        "fs.file-max",
        "kernel.shmmax.x",
        "fs.mqueue.",
        "net.",
        "net..x",
        "net/../kernel/panic",
        "/net/core",
        "net.\0",
        "",
    ] {
        let value = format!("{name}=1");
        Case::default().refuses(&sysctl(name, "1"), "sysctl", &value, "does not belong");
    }
    for (name, request) in [
        ("kernel.sem", asked(|r| r.ipc = IpcMode::Host)),
        ("fs.mqueue.msg_max", asked(|r| r.ipc = IpcMode::Host)),
        ("net.core.somaxconn", asked(|r| r.network = Network::Host)),
    ] {
        let request = Request {
            sysctls: sysctl(name, "1").sysctls,
            ..request
        };
        Case::default().refuses(&request, "sysctl", &format!("{name}=1"), "shares");
    }
}
