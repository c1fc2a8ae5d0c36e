use super::mounts::check;
use super::*;
use crate::request::{Mount, MountSource};

fn bind(source: &str, target: &str) -> Mount {
    Mount {
        source: MountSource::Bind {
            path: source.into(),
            create: false,
            non_recursive: false,
        },
        target: target.into(),
        read_only: false,
        propagation: String::new(),
    }
}

fn tmpfs(target: &str, options: &[&str]) -> Mount {
    Mount {
        source: MountSource::Tmpfs {
            options: strings(options),
        },
        ..bind("/", target)
    }
}

fn with(mounts: &[Mount]) -> Request {
    asked(|r| r.mounts = mounts.to_vec())
}

#[test]
fn the_callers_mounts_come_last_parents_first() {
    let request = with(&[
        bind("/1", "/a/b/c"),
        tmpfs("/x", &[]),
        bind("/2", "/a"),
        bind("/3", "//a/./x/../b/"),
    ]);
    let targets = Case::default().targets(&request);
    assert_eq!(targets[11..], ["/x", "/a", "/a/b", "/a/b/c"]);
}

#[test]
fn the_callers_mounts_replace_ours() {
    for (target, gone) in [
        ("/etc/hosts", &["/etc/hosts"][..]),
        ("/dev/shm", &["/dev/shm"]),
        ("/sys", &["/sys"]),
        ("/sys/fs/cgroup/", &["/sys/fs/cgroup"]),
        ("/dev", &["/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"]),
    ] {
        let case = Case::default();
        let mut want = case.targets(&asked(|_| {}));
        want.retain(|t| !gone.contains(&&**t));
        want.push(target.trim_end_matches('/').to_owned());
        assert_eq!(case.targets(&with(&[bind("/s", target)])), want, "{target}");
    }
}

#[test]
fn options_of_binds() {
    #[allow(clippy::type_complexity, reason = "a table")]
    let table: [(bool, bool, &str, &str); 7] = [
        (false, false, "", "rbind,rprivate"),
        (true, false, "", "rbind,rro,rprivate"),
        (false, true, "", "bind,rprivate"),
        (true, true, "", "bind,ro,rprivate"),
        (false, false, "rslave", "rbind,rslave"),
        (true, false, "shared", "rbind,rro,shared"),
        (false, false, "private", "rbind,private"),
    ];
    for (read_only, non_recursive, propagation, want) in table {
        let mount = Mount {
            source: MountSource::Bind {
                path: "/s".into(),
                create: true,
                non_recursive,
            },
            read_only,
            propagation: propagation.into(),
            ..bind("/s", "/t")
        };
        check(
            &Case::default(),
            &with(&[mount]),
            &[("/t", "bind", "/s", want)],
        );
    }
}

#[test]
fn propagation_reaches_the_root() {
    for (words, want) in [
        (&[""][..], None),
        (&["rprivate", "private"], None),
        (&["slave"], Some("rslave")),
        (&["rslave", "rprivate"], Some("rslave")),
        (&["rslave", "shared"], Some("rshared")),
        (&["rshared"], Some("rshared")),
    ] {
        let mounts: Vec<_> = (0..)
            .zip(words)
            .map(|(n, word)| Mount {
                propagation: (*word).into(),
                ..bind("/s", &format!("/t{n}"))
            })
            .collect();
        let linux = Case::default().linux(&with(&mounts));
        assert_eq!(linux.rootfs_propagation().as_deref(), want, "{words:?}");
    }
}

#[test]
fn options_of_tmpfs() {
    let own = "nosuid,nodev,noexec";
    for (given, read_only, want) in [
        (&[][..], false, ""),
        (
            &["size=64m", "mode=1777", "exec"],
            false,
            ",size=64m,mode=1777,exec",
        ),
        (
            &["uid=1", "gid=2", "mpol=default"],
            true,
            ",uid=1,gid=2,mpol=default,ro",
        ),
        (
            &["ro", "rw", "norelatime", "nomand", "rshared"],
            false,
            ",ro,rw,norelatime,nomand,rshared",
        ),
    ] {
        let mount = Mount {
            read_only,
            ..tmpfs("/t", given)
        };
        let want = format!("{own}{want}");
        check(
            &Case::default(),
            &with(&[mount]),
            &[("/t", "tmpfs", "tmpfs", &want)],
        );
    }
    for (bad, why) in [
        ("bind", "invalid tmpfs"),
        ("rbind", "invalid tmpfs"),
        ("foo=1", "invalid tmpfs"),
        ("size", "invalid tmpfs"),
        ("size=", "invalid tmpfs"),
        ("", "invalid tmpfs"),
        ("rro", "invalid tmpfs"),
        ("iversion", "invalid tmpfs"),
        ("remount", "cannot be a remount"),
        ("mand", "no mandatory locks"),
    ] {
        Case::default().refuses(&with(&[tmpfs("/t", &[bad])]), "tmpfs", bad, why);
    }
}

#[test]
fn mounts_that_are_refused() {
    for (mount, value, why) in [
        (bind("/s", "t"), "t", "absolute"),
        (bind("/s", ""), "", "absolute"),
        (bind("/s", "/\0"), "/\0", "absolute"),
        (
            bind("s", "/t"),
            "s",
            "source of a bind mount must be absolute",
        ),
        (bind("/s", "/"), "/", "can't be '/'"),
        (bind("/s", "/a/.."), "/", "can't be '/'"),
        (bind("/s", "/proc"), "/proc", "inside /proc"),
        (
            bind("/s", "/proc/self/attr"),
            "/proc/self/attr",
            "inside /proc",
        ),
        (bind("/s", "/x/../proc/sys"), "/proc/sys", "inside /proc"),
        (tmpfs("/proc/sys", &[]), "/proc/sys", "inside /proc"),
        (
            Mount {
                propagation: "rshard".into(),
                ..bind("/s", "/t")
            },
            "rshard",
            "unknown mount propagation",
        ),
    ] {
        Case::default().refuses(&with(&[mount]), "mount", value, why);
    }
    let twice = with(&[bind("/1", "/t"), tmpfs("/t/./", &[])]);
    Case::default().refuses(&twice, "mount", "/t", "duplicate");
    // lxcfs covers these.
    for file in ["cpuinfo", "meminfo", "uptime"] {
        let target = format!("/proc/{file}");
        assert!(
            Case::default()
                .compile(&with(&[bind("/s", &target)]))
                .is_ok()
        );
    }
    assert!(
        Case::default()
            .compile(&with(&[bind("/s", "/procs")]))
            .is_ok()
    );
}
