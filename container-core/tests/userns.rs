//! Containers with a user namespace of their own, on the `host` image. The machine's root has
//! them; an ordinary user is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]
#![allow(missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use container_core::request::{IdMap, IpcMode, NamespaceMode, Network, UserNamespace};
use container_core::{Container, ContainerBuilder, Engine, Error, Mount, MountSource};

const AUTO: UserNamespace = UserNamespace::Auto { size: None };

fn open(dir: &Path) -> Engine {
    let builder = Engine::builder().root(dir.join("root"));
    builder.run_root(dir.join("run")).open().unwrap()
}

/// None where these tests have nothing to test but that it is refused.
async fn engine() -> Option<(tempfile::TempDir, Engine)> {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    if !engine.is_rootless() {
        return Some((dir, engine));
    }
    let refused = engine.container("host").args(["true"]).userns(AUTO);
    let error = refused.output().await.unwrap_err().to_string();
    assert!(error.contains("only the machine's root"), "{error}");
    None
}

fn shell(engine: &Engine, script: &str) -> ContainerBuilder {
    let builder = engine.container("host").args(["sh", "-c", script]);
    builder.userns(AUTO)
}

fn sleeper(engine: &Engine) -> ContainerBuilder {
    let builder = engine.container("host").args(["sleep", "1000"]);
    builder.userns(AUTO)
}

async fn output(builder: ContainerBuilder) -> String {
    let output = builder.output().await.unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

async fn exec(container: &Container, script: &str) -> String {
    let exec = container.exec(["sh", "-c", script]);
    let output = exec.output().await.unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// The id of its root outside, as the kernel tells it inside.
fn outside(uid_map: &str) -> u32 {
    let numbers: Vec<u32> = uid_map
        .split_whitespace()
        .map(|n| n.parse().unwrap())
        .collect();
    let [0, outside, 65_536] = numbers[..] else {
        panic!("{uid_map}");
    };
    outside
}

fn ranges(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir.join("root/ranges")).into_iter().flatten();
    let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
    entries.flatten().map(name).collect()
}

#[tokio::test]
async fn root_inside_is_nobody_outside() {
    let Some((dir, engine)) = engine().await else {
        return;
    };
    let container = sleeper(&engine).start().await.unwrap();
    let first = outside(&exec(&container, "cat /proc/self/uid_map").await);
    assert!(first >= 65_536, "{first}");
    assert_eq!(
        outside(&exec(&container, "cat /proc/self/gid_map").await),
        first
    );
    let status = fs::read_to_string(format!("/proc/{}/status", container.pid())).unwrap();
    for id in ["Uid", "Gid"] {
        let line = format!("{id}:\t{first}\t{first}\t{first}\t{first}\n");
        assert!(status.contains(&line), "{status}");
    }
    // What the machine's root has is the container's root's, and what that writes is 0 on disk.
    let script = "id -u; stat -c '%u %g' / /usr /etc/passwd; echo text > /etc/new; \
                  chown 5:6 /etc/new; touch /usr/mine; stat -c '%u %g' /etc/new /usr/mine; \
                  stat -c %u /etc/hosts /etc/hostname /etc/resolv.conf; echo x > /dev/stdout";
    let want = "0\n0 0\n0 0\n0 0\n5 6\n0 0\n0\n0\n0\nx\n";
    assert_eq!(exec(&container, script).await, want);
    let rw = dir
        .path()
        .join("root/containers")
        .join(container.id())
        .join("rw");
    let owner = |path: &str| {
        let metadata = fs::symlink_metadata(rw.join(path)).unwrap();
        (metadata.uid(), metadata.gid())
    };
    assert_eq!(owner("etc/upper/new"), (5, 6));
    assert_eq!(owner("usr/upper/mine"), (0, 0));
    assert_eq!(ranges(dir.path()), [first.to_string()].into());
    container.remove(true).await.unwrap();
    assert_eq!(ranges(dir.path()), BTreeSet::new());
}

#[tokio::test]
async fn the_range_is_kept_and_nobody_elses() {
    let Some((dir, engine)) = engine().await else {
        return;
    };
    let script = "cat /proc/self/uid_map; cat /etc/count; echo run >> /etc/count";
    let kept = shell(&engine, script)
        .name("kept")
        .auto_remove(false)
        .create()
        .await
        .unwrap();
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(sleeper(&engine).start().await.unwrap());
    }
    let mut firsts = BTreeSet::new();
    for other in &others {
        firsts.insert(outside(&exec(other, "cat /proc/self/uid_map").await));
    }
    assert_eq!(firsts.len(), 3);
    let range = |engine: &Engine| {
        let maps = engine
            .get("kept")
            .unwrap()
            .inspect()
            .unwrap()
            .record
            .id_maps;
        maps.unwrap().uids[0].outside
    };
    let first = range(&engine);
    assert!(firsts.insert(first));
    for run in 0..2 {
        kept.start().await.unwrap();
        kept.wait().await.unwrap();
        let text = String::from_utf8(kept.logged().unwrap().stdout).unwrap();
        assert_eq!(range(&engine), first);
        assert_eq!(text.matches(&first.to_string()).count(), run + 1, "{text}");
        assert_eq!(text.matches("run").count(), run, "{text}");
    }
    kept.remove(true).await.unwrap();
    for other in others {
        other.remove(true).await.unwrap();
    }
    assert_eq!(ranges(dir.path()), BTreeSet::new());
    assert_eq!(
        fs::read_dir(dir.path().join("root/containers"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test]
async fn volumes_have_the_containers_ids() {
    let Some((_dir, engine)) = engine().await else {
        return;
    };
    let write = "mkdir /data/sub; echo one > /data/sub/file; chown -R 7:8 /data/sub; cat /proc/self/uid_map";
    let one = output(shell(&engine, write).volume("data", "/data")).await;
    let read =
        "stat -c '%u %g' /data /data/sub/file; echo two >> /data/sub/file; cat /data/sub/file";
    let two = shell(&engine, read).volume("data", "/data");
    assert_eq!(output(two).await, "0 0\n7 8\none\ntwo\n");
    // Containers without a user namespace of their own see the same.
    let plain = shell(&engine, read)
        .volume("data", "/data")
        .userns(UserNamespace::Host);
    assert_eq!(output(plain).await, "0 0\n7 8\none\ntwo\ntwo\n");
    assert!(outside(&one) > 0);
    // A new volume is filled with the image's files, whoever starts the container.
    let script = "stat -c %u /usr/bin/env /etc/alternatives; ls -A /etc/alternatives | wc -l";
    let bare = output(shell(&engine, script)).await;
    let filled = shell(&engine, script).volume("filled", "/etc/alternatives");
    assert_eq!(output(filled).await, bare);
    let made = shell(&engine, script)
        .volume("made", "/etc/alternatives")
        .auto_remove(false)
        .create()
        .await
        .unwrap();
    made.start().await.unwrap();
    made.wait().await.unwrap();
    assert_eq!(
        String::from_utf8(made.logged().unwrap().stdout).unwrap(),
        bare
    );
    made.remove(true).await.unwrap();
    // Also one that goes with its end, for which nothing is written to the disk in a hurry.
    let fleeting = sleeper(&engine).volume("fleeting", "/etc/alternatives");
    let fleeting = fleeting.auto_remove(true).create().await.unwrap();
    fleeting.start().await.unwrap();
    fleeting.remove(true).await.unwrap();
}

#[tokio::test]
async fn bind_mounts_stay_the_machines() {
    let Some((dir, engine)) = engine().await else {
        return;
    };
    // The path there leads through a directory that only the machine's root may enter.
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "text").unwrap();
    let look = "stat -c '%u %g' /b /b/file; touch /b/new 2>/dev/null && echo new || echo no";
    let plain = shell(&engine, look).mount(Mount::bind(&source, "/b"));
    assert_eq!(output(plain).await, "65534 65534\n65534 65534\nno\n");
    let mut mapped = Mount::bind(&source, "/b");
    if let MountSource::Bind(bind) = &mut mapped.source {
        bind.owner = container_core::request::Owner::Container;
    }
    let mapped = shell(&engine, look).mount(mapped);
    assert_eq!(output(mapped).await, "0 0\n0 0\nnew\n");
    let mine = Mount::bind(&source, "/b").owned_by_caller();
    let mine = shell(&engine, look).mount(mine).user("1000:1000");
    assert_eq!(output(mine).await, "1000 1000\n1000 1000\nnew\n");
    let new = fs::metadata(source.join("new")).unwrap();
    assert_eq!((new.uid(), new.gid()), (0, 0));
}

#[tokio::test]
async fn files_from_outside_are_as_inside() {
    let Some((dir, engine)) = engine().await else {
        return;
    };
    let mut builder = sleeper(&engine);
    builder = builder.volume("data", "/data");
    let container = builder.auto_remove(false).create().await.unwrap();
    // Before it has ever run, while it runs, and after.
    container
        .write_file("/data/before", b"1", 0o644)
        .await
        .unwrap();
    container
        .write_file("/etc/before", b"2", 0o644)
        .await
        .unwrap();
    container.start().await.unwrap();
    let script =
        "stat -c '%u %g' /data/before /etc/before; echo 3 > /etc/inside; chown 9:9 /etc/inside";
    assert_eq!(exec(&container, script).await, "0 0\n0 0\n");
    container
        .write_file("/etc/while", b"4", 0o644)
        .await
        .unwrap();
    container
        .write_file("/data/while", b"5", 0o644)
        .await
        .unwrap();
    let script = "stat -c '%u %g' /etc/while /data/while; cat /etc/while /data/while";
    assert_eq!(exec(&container, script).await, "0 0\n0 0\n45");
    for stopped in [false, true] {
        if stopped {
            container.kill(9).await.unwrap();
            container.wait().await.unwrap();
        }
        assert_eq!(container.read_file("/etc/inside").await.unwrap(), b"3\n");
        assert_eq!(container.read_file("/data/before").await.unwrap(), b"1");
    }
    let data = dir.path().join("root/volumes/data/_data/while");
    assert_eq!(fs::metadata(data).unwrap().uid(), 0);
    container.remove(true).await.unwrap();
}

#[tokio::test]
async fn maps_by_hand() {
    let Some((_dir, engine)) = engine().await else {
        return;
    };
    let map = |inside, outside, count| IdMap {
        inside,
        outside,
        count,
    };
    let userns = |uids: &[IdMap], gids: &[IdMap]| UserNamespace::Mapped {
        uids: uids.to_vec(),
        gids: gids.to_vec(),
    };
    let maps = [map(0, 3_000_000, 5), map(5, 4_000_000, 10)];
    let script = "cat /proc/self/uid_map /proc/self/gid_map | tr -s ' '; stat -c '%u %g' /etc";
    let two = shell(&engine, script).userns(userns(&maps, &maps[..1]));
    let want = " 0 3000000 5\n 5 4000000 10\n 0 3000000 5\n0 0\n";
    assert_eq!(output(two).await, want);
    let small =
        shell(&engine, "cat /proc/self/uid_map").userns(UserNamespace::Auto { size: Some(10) });
    assert!(output(small).await.trim_end().ends_with(" 10"));
    for (builder, part) in [
        (
            shell(&engine, "").userns(userns(&maps[1..], &maps)),
            "id 0 must be there",
        ),
        (
            shell(&engine, "").userns(userns(&maps, &[])),
            "id 0 must be there",
        ),
        (
            shell(&engine, "").userns(UserNamespace::Auto { size: Some(65_537) }),
            "from 1 to 65536",
        ),
        (
            shell(&engine, "").privileged(true),
            "a privileged container",
        ),
        (
            shell(&engine, "").network(Network::Host),
            "host's network namespace",
        ),
        (
            shell(&engine, "").share(
                IpcMode::Private,
                NamespaceMode::Host,
                NamespaceMode::Private,
            ),
            "a shared PID namespace",
        ),
        (
            shell(&engine, "true").user("70000"),
            "does not exist in the container's user namespace",
        ),
    ] {
        let error = builder.output().await.unwrap_err();
        assert!(matches!(error, Error::Setting { .. }), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
}
