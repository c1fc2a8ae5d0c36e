use super::mounts::check;
use super::*;
use crate::request::{Bind, Mount, MountSource, Owner, Recursion};
use crate::volume::Volume;

fn bind(source: &str, target: &str) -> Mount {
    Mount::bind(source, target)
}

fn tmpfs(target: &str, options: &[&str]) -> Mount {
    Mount::tmpfs(target, options.iter().copied())
}

fn with(mounts: &[Mount]) -> Request {
    asked(|r| r.mounts = mounts.to_vec())
}

#[test]
fn the_callers_mounts_come_after_ours_parents_first() {
    let request = with(&[
        bind("/1", "/a/b/c"),
        tmpfs("/x", &[]),
        bind("/2", "/a"),
        bind("/3", "//a/./x/../b/"),
    ]);
    let targets = Case::default().targets(&request);
    let etc = ["/etc/resolv.conf", "/etc/hostname", "/etc/hosts"];
    assert_eq!(targets[8..12], ["/x", "/a", "/a/b", "/a/b/c"]);
    // Over a volume on /etc, too.
    assert_eq!(targets[12..], etc);
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
        let etc = want.iter().position(|target| target.starts_with("/etc/"));
        want.insert(etc.unwrap(), target.trim_end_matches('/').to_owned());
        assert_eq!(case.targets(&with(&[bind("/s", target)])), want, "{target}");
    }
}

fn bound(bind: Bind) -> Mount {
    let path = "/s".into();
    Mount {
        source: MountSource::Bind(Bind { path, ..bind }),
        ..Mount::bind("/s", "/t")
    }
}

#[test]
fn options_of_binds() {
    use Recursion::*;
    for (read_only, recursion, propagation, want) in [
        (false, Enabled, "", "rbind,rprivate"),
        (true, Enabled, "", "rbind,rro,rprivate"),
        (false, Disabled, "", "bind,rprivate"),
        (true, Disabled, "", "bind,ro,rprivate"),
        (true, Writable, "", "rbind,ro,rprivate"),
        (true, ReadOnly, "rprivate", "rbind,rro,rprivate"),
        (false, Enabled, "rslave", "rbind,rslave"),
        (true, Enabled, "shared", "rbind,rro,shared"),
        (false, Enabled, "private", "rbind,private"),
    ] {
        let mount = Mount {
            read_only,
            propagation: propagation.into(),
            ..bound(Bind {
                recursion,
                ..Bind::default()
            })
        };
        check(
            &Case::default(),
            &with(&[mount]),
            &[("/t", "bind", "/s", want)],
        );
    }
    let read_only_below = bound(Bind {
        recursion: ReadOnly,
        ..Bind::default()
    });
    Case::default().refuses(
        &with(&[read_only_below]),
        "mount",
        "/t",
        "with the mount itself",
    );
    let shared = Mount {
        propagation: "rshared".into(),
        ..bind("/s", "/t")
    };
    let mut request = with(&[shared]);
    Case::rootless().refuses(&request, "mount", "rshared", "never reach the host");
    request.userns = mapped(9);
    Case::default().refuses(&request, "mount", "rshared", "never reach the host");
}

#[test]
fn owners_of_binds() {
    let owned = |owner| {
        with(&[bound(Bind {
            owner,
            ..Bind::default()
        })])
    };
    let ids = Owner::Ids { uid: 7, gid: 8 };
    for (owner, want) in [
        (Owner::Writer, "rbind,rprivate"),
        (Owner::Caller, "rbind,rprivate,x-owner=0:0"),
        (Owner::Container, "rbind,rprivate,idmap"),
        (ids, "rbind,rprivate,x-owner=7:8"),
    ] {
        let row = [("/t", "bind", "/s", want)];
        check(&Case::default(), &owned(owner), &row);
        if owner != ids {
            check(&Case::rootless(), &owned(owner), &row);
        }
    }
    Case::rootless().refuses(&owned(ids), "owner", "7:8", "an ordinary user");
}

fn volume(name: &str, options: &[(&str, &str)]) -> Volume {
    Volume {
        name: name.into(),
        driver: "local".into(),
        created: String::new(),
        labels: Default::default(),
        options: options
            .iter()
            .map(|(k, v)| ((*k).into(), (*v).into()))
            .collect(),
        anonymous: false,
        mountpoint: format!("/v/{name}/_data").into(),
    }
}

#[test]
fn volumes() {
    let mut case = Case::default();
    let nfs = [("type", "nfs"), ("device", ":/x"), ("o", "addr=1.2.3.4,rw")];
    let bound = [("type", "none"), ("device", "/d"), ("o", "bind")];
    for volume in [
        volume("data", &[]),
        volume("nfs", &nfs),
        volume("b", &bound),
    ] {
        case.sources.volumes.insert(volume.name.clone(), volume);
    }
    let no_copy = |mut mount: Mount| {
        if let MountSource::Volume(volume) = &mut mount.source {
            (volume.no_copy, volume.subpath) = (true, Some("a/b".into()));
        }
        mount
    };
    for (mount, row) in [
        (
            Mount::volume("data", "/t"),
            (
                "bind",
                "/v/data/_data",
                "rbind,rprivate,x-copy-up-durable=/v/data,idmap",
            ),
        ),
        (
            no_copy(Mount::volume("data", "/t").read_only()),
            (
                "bind",
                "/v/data/_data",
                "rbind,rprivate,rro,x-subpath=a/b,idmap",
            ),
        ),
        (
            no_copy(Mount::volume("nfs", "/t").read_only()),
            ("nfs", ":/x", "addr=1.2.3.4,rw,ro,x-subpath=a/b,idmap"),
        ),
        (
            no_copy(Mount::volume("b", "/t")),
            ("bind", "/d", "bind,x-subpath=a/b,idmap"),
        ),
    ] {
        let (typ, source, options) = row;
        check(&case, &with(&[mount]), &[("/t", typ, source, options)]);
    }
    let missing = with(&[Mount::volume("none", "/t")]);
    case.refuses(&missing, "mount", "none", "no such volume");
}

#[test]
fn a_volume_that_goes_with_the_container_need_not_be_on_disk() {
    let mut case = Case::default();
    let made = volume("made-up", &[]);
    case.sources.volumes.insert("made-up".into(), made);
    let mut request = with(&[Mount::anonymous_volume("/t")]);
    for (auto_remove, key) in [(true, "x-copy-up="), (false, "x-copy-up-durable=")] {
        request.auto_remove = auto_remove;
        let (_, _, options) = case.mount(&request, "/t").unwrap();
        assert!(options.iter().any(|o| o.starts_with(key)), "{options:?}");
    }
}

#[test]
fn images() {
    let mut case = Case::rootless();
    let layers = |n: u32| (0..n).map(|n| format!("/l:/{n}").into()).collect();
    case.sources.images.insert("one".into(), layers(1));
    case.sources.images.insert("two".into(), layers(2));
    check(
        &case,
        &with(&[Mount::image("one", "/t"), Mount::image("two", "/u")]),
        &[
            ("/t", "bind", "/l:/0", "bind,ro,idmap"),
            (
                "/u",
                "overlay",
                "overlay",
                r"lowerdir=/l\:/0:/l\:/1,userxattr,idmap",
            ),
        ],
    );
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
        ("bind", "Invalid tmpfs"),
        ("rbind", "Invalid tmpfs"),
        ("foo=1", "Invalid tmpfs"),
        ("size", "Invalid tmpfs"),
        ("size=", "Invalid tmpfs"),
        ("", "Invalid tmpfs"),
        ("rro", "Invalid tmpfs"),
        ("iversion", "Invalid tmpfs"),
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
    Case::default().refuses(&twice, "mount", "/t", "Duplicate");
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
