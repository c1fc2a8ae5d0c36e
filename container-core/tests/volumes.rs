//! Volumes and the mounts of a container through the library, on the `host` image. Works as root
//! and as an ordinary user.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]
#![allow(missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use container_core::request::{Bind, Recursion};
use container_core::volume::VolumeError;
use container_core::{ContainerBuilder, Engine, Error, Mount, MountSource, NewVolume};

fn open(dir: &Path) -> Engine {
    let builder = Engine::builder().root(dir.join("root"));
    builder.run_root(dir.join("run")).open().unwrap()
}

fn engine() -> (tempfile::TempDir, Engine) {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    (dir, engine)
}

fn shell(engine: &Engine, script: &str) -> ContainerBuilder {
    engine.container("host").args(["sh", "-c", script])
}

async fn output(builder: ContainerBuilder) -> String {
    let output = builder.output().await.unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

fn new(name: &str) -> NewVolume {
    NewVolume {
        name: Some(name.into()),
        ..NewVolume::default()
    }
}

fn names(engine: &Engine) -> Vec<String> {
    let volumes = engine.volumes().list().unwrap();
    volumes.into_iter().map(|v| v.name).collect()
}

/// No volume is half there, and nothing else lies about.
fn assert_whole(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir.join("root/volumes")) else {
        return;
    };
    for entry in entries.flatten() {
        let inside: BTreeSet<_> = fs::read_dir(entry.path())
            .unwrap()
            .flatten()
            .map(|e| e.file_name().into_string().unwrap())
            .collect();
        let want = ["_data", "volume.json"].map(str::to_owned).into();
        assert_eq!(inside, want, "{:?}", entry.file_name());
    }
}

#[tokio::test]
async fn data_outlives_containers() {
    let (dir, engine) = engine();
    let write = shell(&engine, "echo one > /data/file; id -u > /data/id").volume("data", "/data");
    output(write).await;
    let read = Mount::volume("data", "/elsewhere").read_only();
    let script = "cat /elsewhere/file; touch /elsewhere/x 2>/dev/null || echo read-only";
    let read = shell(&engine, script).mount(read);
    assert_eq!(output(read).await, "one\nread-only\n");
    let volume = engine.volumes().get("data").unwrap();
    assert_eq!((&*volume.driver, volume.anonymous), ("local", false));
    assert!(volume.mountpoint.join("file").exists());
    assert_eq!(engine.volumes().size("data").unwrap(), 6);
    assert_whole(dir.path());
    engine.volumes().remove("data").unwrap();
    assert!(names(&engine).is_empty());
    assert_eq!(
        fs::read_dir(dir.path().join("root/volumes"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn making_and_removing() {
    let (dir, engine) = engine();
    let volumes = engine.volumes();
    let labelled = NewVolume {
        labels: [("a".to_owned(), "b".to_owned())].into(),
        ..new("one")
    };
    let made = volumes.create(labelled).unwrap();
    assert_eq!(
        volumes.create(new("one")).unwrap(),
        made,
        "it is there already"
    );
    let anonymous = volumes.create(NewVolume::default()).unwrap();
    assert!(anonymous.anonymous && anonymous.name.len() == 64);
    assert_eq!(names(&engine).len(), 2);
    assert_whole(dir.path());
    for bad in ["x", ".new", "a/b", "../x", ""] {
        let error = volumes.create(new(bad)).unwrap_err();
        assert!(matches!(error, VolumeError::Name { .. }), "{bad}: {error}");
        assert!(matches!(
            volumes.get(bad),
            Err(VolumeError::NotFound { .. })
        ));
    }
    let driver = NewVolume {
        driver: Some("nfs".into()),
        ..new("two")
    };
    let error = volumes.create(driver).unwrap_err();
    assert!(matches!(error, VolumeError::Driver { .. }), "{error}");
    let options = NewVolume {
        options: [("type".to_owned(), "tmpfs".to_owned())].into(),
        ..new("two")
    };
    let error = volumes.create(options).unwrap_err();
    assert!(matches!(error, VolumeError::Options { .. }), "{error}");
    let error = volumes.remove("two").unwrap_err();
    assert!(matches!(error, VolumeError::NotFound { .. }), "{error}");
    let pruned = volumes.prune(|volume| volume.anonymous).unwrap();
    assert_eq!(pruned.removed, [anonymous.name]);
    assert_eq!(names(&engine), ["one"]);
}

#[test]
fn many_make_the_same_at_once() {
    let (dir, _engine) = engine();
    std::thread::scope(|threads| {
        for _ in 0..8 {
            threads.spawn(|| {
                let volumes = open(dir.path()).volumes();
                for n in 0..20 {
                    let name = format!("v{}", n % 5);
                    volumes.create(new(&name)).unwrap();
                    // Another may have been faster.
                    match volumes.remove(&name) {
                        Ok(()) | Err(VolumeError::NotFound { .. } | VolumeError::InUse { .. }) => {}
                        Err(e) => panic!("{e}"),
                    }
                }
            });
        }
    });
    assert_whole(dir.path());
}

#[tokio::test]
async fn one_in_use_is_not_removed() {
    let (_dir, engine) = engine();
    let kept = shell(&engine, "true")
        .volume("data", "/data")
        .auto_remove(false);
    let kept = kept.create().await.unwrap();
    let error = engine.volumes().remove("data").unwrap_err();
    let VolumeError::InUse { users, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(*users, [kept.id()]);
    assert_eq!(engine.volumes().users("data").unwrap(), [kept.id()]);
    assert!(engine.volumes().prune(|_| true).unwrap().removed.is_empty());
    kept.remove(false).await.unwrap();
    engine.volumes().remove("data").unwrap();
}

#[tokio::test]
async fn volumes_of_its_own_go_with_a_container() {
    let (dir, engine) = engine();
    let own = || Mount::anonymous_volume("/own");
    output(shell(&engine, "touch /own/x").mount(own())).await;
    assert!(names(&engine).is_empty(), "--rm removes them");

    let running = shell(&engine, "sleep 1000")
        .mount(own())
        .volume("named", "/named");
    let running = running.start().await.unwrap();
    assert_eq!(names(&engine).len(), 2);
    drop(running);
    while names(&engine).len() > 1 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(names(&engine), ["named"], "the owner's end removes them");

    let failing = engine.container("host").arg("/no/such").mount(own());
    assert!(failing.start().await.is_err());
    assert_eq!(
        names(&engine),
        ["named"],
        "nothing is left of a failed start"
    );

    let keep = || {
        shell(&engine, "touch /own/x")
            .mount(own())
            .auto_remove(false)
    };
    let kept = keep().create().await.unwrap();
    assert_eq!(names(&engine).len(), 2);
    kept.start().await.unwrap();
    kept.wait().await.unwrap();
    kept.remove(false).await.unwrap();
    assert_eq!(names(&engine), ["named"], "removal removes them");

    let kept = keep().create().await.unwrap();
    kept.remove_with(false, false).await.unwrap();
    assert_eq!(names(&engine).len(), 2, "unless told otherwise");
    assert_whole(dir.path());
}

#[tokio::test]
async fn a_killed_monitors_volumes_are_tidied_up() {
    let (dir, engine) = engine();
    let container = shell(&engine, "sleep 1000")
        .mount(Mount::anonymous_volume("/own"))
        .volume("named", "/named")
        .start()
        .await
        .unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", container.pid())).unwrap();
    let monitor = status
        .lines()
        .find_map(|l| l.strip_prefix("PPid:"))
        .unwrap();
    let monitor = nix_pid(monitor);
    rustix::process::kill_process(monitor, rustix::process::Signal::KILL).unwrap();
    assert!(container.wait().await.is_err());
    fs::remove_file(dir.path().join("run/tidied")).unwrap();
    let engine = open(dir.path());
    assert_eq!(names(&engine), ["named"]);
    assert!(engine.containers().unwrap().is_empty());
}

fn nix_pid(text: &str) -> rustix::process::Pid {
    rustix::process::Pid::from_raw(text.trim().parse().unwrap()).unwrap()
}

#[tokio::test]
async fn containers_share_volumes() {
    let (dir, engine) = engine();
    let data = shell(&engine, "true")
        .name("data")
        .auto_remove(false)
        .mount(Mount::anonymous_volume("/own"))
        .volume("named", "/named")
        .bind(dir.path(), "/host")
        .tmpfs("/scratch");
    let data = data.create().await.unwrap();
    let script =
        "echo x > /own/file; echo y > /named/file; ls -d /host/root; stat -f -c %T /scratch";
    let user = shell(&engine, script).volumes_from("data");
    assert_eq!(output(user).await, "/host/root\ntmpfs\n");
    // It was not the last that had it.
    assert_eq!(names(&engine).len(), 2);
    let other = shell(&engine, "cat /own/file /named/file").auto_remove(false);
    let other = other.volumes_from(&data.id()[..12]).create().await.unwrap();
    data.remove(false).await.unwrap();
    assert_eq!(names(&engine).len(), 2, "another container has it still");
    other.start().await.unwrap();
    assert_eq!(other.wait().await.unwrap().code, 0);
    other.remove(false).await.unwrap();
    assert_eq!(names(&engine), ["named"]);
    let missing = shell(&engine, "true").volumes_from("nobody").output().await;
    assert!(
        matches!(missing, Err(Error::NoSuchContainer { .. })),
        "{missing:?}"
    );
}

/// What a directory of `host` shows, which volumes there are filled with.
const FULL: &str = "/usr/share/misc";

#[tokio::test]
async fn new_volumes_get_what_the_image_has() {
    let (dir, engine) = engine();
    let list = format!("find {FULL} -exec stat -c '%n %f %u %g %s %Y' {{}} + | sort");
    let want = output(shell(&engine, &list)).await;
    assert!(want.lines().count() > 0, "{FULL} is there");
    assert_eq!(
        output(shell(&engine, &list).volume("data", FULL)).await,
        want
    );
    assert_whole(dir.path());
    // Only once: it is the container's now.
    let change = format!("rm -rf {FULL}/*; touch {FULL}/mine");
    output(shell(&engine, &change).volume("data", FULL)).await;
    let names = shell(&engine, &format!("ls {FULL}")).volume("data", FULL);
    assert_eq!(output(names).await, "mine\n");
    // Without being asked to start, as in Docker.
    let created = shell(&engine, "true").volume("made", FULL);
    created.auto_remove(false).create().await.unwrap();
    let there = shell(&engine, "cd /made; find . | sort").volume("made", "/made");
    let image = shell(&engine, &format!("cd {FULL}; find . | sort"));
    assert_eq!(output(there).await, output(image).await);
    let mut empty = Mount::volume("bare", FULL);
    if let MountSource::Volume(volume) = &mut empty.source {
        volume.no_copy = true;
    }
    let bare = shell(&engine, &format!("ls {FULL}")).mount(empty);
    assert_eq!(output(bare).await, "");
    let file = shell(&engine, "true").volume("data2", "/etc/passwd");
    let error = file.output().await.unwrap_err().to_string();
    assert!(error.contains("over existing file"), "{error}");
}

#[tokio::test]
async fn volumes_with_a_device() {
    let (dir, engine) = engine();
    let with = |name: &str, options: &[(&str, &str)]| {
        let options = options.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        let new = NewVolume {
            options: options.collect(),
            ..new(name)
        };
        engine.volumes().create(new).unwrap()
    };
    with(
        "memory",
        &[
            ("type", "tmpfs"),
            ("device", "tmpfs"),
            ("o", "size=1m,mode=700"),
        ],
    );
    let script = format!("stat -f -c %T {FULL}; stat -c %a {FULL}; sleep 1000");
    let first = shell(&engine, &script).volume("memory", FULL);
    let first = first
        .stdout(container_core::Stdio::Null)
        .start()
        .await
        .unwrap();
    let second = shell(&engine, "true").volume("memory", "/m").output().await;
    let error = second.unwrap_err().to_string();
    assert!(
        error.contains(first.id()) && error.contains("tmpfs"),
        "{error}"
    );
    drop(first);

    let place = dir.path().join("place");
    let text = place.to_str().unwrap();
    with(
        "bound",
        &[("type", "none"), ("device", text), ("o", "bind")],
    );
    let missing = shell(&engine, "true").volume("bound", "/b").output().await;
    let error = missing.unwrap_err().to_string();
    assert!(error.contains("does not exist"), "{error}");
    fs::create_dir(&place).unwrap();
    output(shell(&engine, "touch /b/here").volume("bound", "/b")).await;
    assert!(place.join("here").exists());
    with("none", &[("type", "nosuchfs"), ("device", "x")]);
    let error = shell(&engine, "true").volume("none", "/b").output().await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("nosuchfs"), "{error}");
}

#[tokio::test]
async fn parts_of_volumes() {
    let (_dir, engine) = engine();
    let part = |subpath: &str| {
        let mut mount = Mount::volume("data", "/part");
        if let MountSource::Volume(volume) = &mut mount.source {
            volume.subpath = Some(subpath.into());
        }
        shell(&engine, "cat /part/file 2>/dev/null || cat /part").mount(mount)
    };
    let fill = "mkdir -p /d/a/b; echo in > /d/a/b/file; ln -s /a/b /d/link; ln -s /etc /d/out; \
                ln -s ../../../../etc /d/up";
    output(shell(&engine, fill).volume("data", "/d")).await;
    for good in ["a/b", "/a/b", "link", "a/b/file", "../a/b"] {
        assert_eq!(output(part(good)).await, "in\n", "{good}");
    }
    for bad in ["none", "out", "up", "a/c"] {
        let error = part(bad).output().await.unwrap_err().to_string();
        assert!(
            error.contains("does not exist in the source"),
            "{bad}: {error}"
        );
    }
}

#[tokio::test]
async fn what_is_mounted_below_a_bind_mount() {
    let (_dir, engine) = engine();
    let bind = |recursion, read_only| {
        let bind = Bind {
            path: "/dev".into(),
            recursion,
            ..Bind::default()
        };
        Mount {
            source: MountSource::Bind(bind),
            read_only,
            ..Mount::bind("", "/outer")
        }
    };
    let script = "grep -c ' /outer/' /proc/self/mountinfo; \
                  awk '$5 ~ /^\\/outer\\// { print ($6 ~ /^ro/) ? \"ro\" : \"rw\" }' \
                      /proc/self/mountinfo | sort -u";
    let below = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let point = |line: &&str| {
        line.split(' ')
            .nth(4)
            .is_some_and(|p| p.starts_with("/dev/"))
    };
    let below = below.lines().filter(point).count();
    let look = async |recursion, read_only| {
        let builder = shell(&engine, script).mount(bind(recursion, read_only));
        let output = builder.output().await.unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(below > 0, "something is mounted below /dev");
    let all = |access: &str| format!("{below}\n{access}\n");
    assert_eq!(look(Recursion::Enabled, false).await, all("rw"));
    assert_eq!(look(Recursion::Enabled, true).await, all("ro"));
    assert_eq!(look(Recursion::Writable, true).await, all("rw"));
    assert_eq!(look(Recursion::ReadOnly, true).await, all("ro"));
    if !engine.is_rootless() {
        // A user namespace may not uncover what lies below mounts.
        assert_eq!(look(Recursion::Disabled, true).await, "0\n");
    }
}

#[tokio::test]
async fn what_a_container_writes_belongs_to_its_caller() {
    let (dir, engine) = engine();
    let place = dir.path().join("place");
    fs::create_dir(&place).unwrap();
    let mine = fs::metadata(&place).unwrap();
    fs::write(place.join("mine"), "").unwrap();
    let mount = || Mount::bind(&place, "/w").owned_by_caller();
    let script = "stat -c %u:%g /w/mine; echo x > /w/$(id -u)";
    assert_eq!(output(shell(&engine, script).mount(mount())).await, "0:0\n");
    let owner = |name: &str| {
        let m = fs::metadata(place.join(name)).unwrap();
        (m.uid(), m.gid())
    };
    assert_eq!(owner("0"), (mine.uid(), mine.gid()));
    let other = shell(&engine, script).mount(mount()).user("77:78");
    if engine.is_rootless() {
        let error = other.output().await.unwrap_err().to_string();
        assert!(error.contains("owner") && error.contains("root"), "{error}");
    } else {
        assert_eq!(output(other).await, "77:78\n");
        assert_eq!(owner("77"), (mine.uid(), mine.gid()));
    }
}

#[tokio::test]
async fn what_happens_to_volumes_is_told() {
    let (_dir, engine) = engine();
    let start = jiff::Timestamp::now();
    output(shell(&engine, "true").mount(Mount::anonymous_volume("/own"))).await;
    engine.volumes().create(new("named")).unwrap();
    engine.volumes().create(new("named")).unwrap();
    engine.volumes().remove("named").unwrap();
    let mut events = engine
        .events(Some(start), Some(jiff::Timestamp::now()))
        .unwrap();
    let mut told = Vec::new();
    while let Some(event) = events.next().await.unwrap() {
        if event.kind == container_core::EventKind::Volume {
            told.push(format!("{} {}", event.id.len(), event.action));
        }
    }
    assert_eq!(told, ["64 create", "64 destroy", "5 create", "5 destroy"]);
}
