//! Containers that many programs share, and what containers have used, on the `host` image. Works
//! as root and as an ordinary user.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]
#![allow(missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use container_core::blocking::Block;
use container_core::cgroup::CgroupPath;
use container_core::ready::{Log, Ready};
use container_core::request::Limits;
use container_core::{Container, ContainerBuilder, Engine, Error, REUSE_LABEL, Status};

fn open(dir: &Path) -> Engine {
    let builder = Engine::builder().root(dir.join("root"));
    builder.run_root(dir.join("run")).open().unwrap()
}

fn engine() -> (tempfile::TempDir, Engine) {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    (dir, engine)
}

fn shared(engine: &Engine, script: &str) -> ContainerBuilder {
    engine
        .container("host")
        .args(["sh", "-c", script])
        .reuse(true)
}

fn assert_clean(dir: &Path) {
    for place in ["root/containers", "root/names"] {
        let left: Vec<_> = fs::read_dir(dir.join(place))
            .map(|entries| entries.flatten().map(|e| e.file_name()).collect())
            .unwrap_or_default();
        assert!(left.is_empty(), "{place}: {left:?}");
    }
}

const SERVE: &str = "echo up; sleep 1000";

#[tokio::test]
async fn found_again() {
    let (dir, engine) = engine();
    let up = || {
        shared(&engine, SERVE)
            .label("for", "tests")
            .ready(Log::new("up"))
    };
    let one = up().start().await.unwrap();
    let id = one.id().to_owned();
    drop(one);
    // By this program or another, which has another engine.
    let other = open(dir.path());
    let again = shared(&other, SERVE)
        .label("for", "tests")
        .start()
        .await
        .unwrap();
    assert_eq!(again.id(), id);
    assert_eq!(up().start().await.unwrap().id(), id);
    // What is said otherwise is another.
    let more = up().env("A", "1").start().await.unwrap();
    assert_ne!(more.id(), id);
    let found = engine.find_by_label("for", "tests").unwrap();
    let ids: BTreeSet<_> = found.iter().map(Container::id).collect();
    assert_eq!(ids, BTreeSet::from([id.as_str(), more.id()]));
    assert!(engine.find_by_label("for", "nobody").unwrap().is_empty());
    let label = again.inspect().unwrap().record.request.labels[REUSE_LABEL].clone();
    assert_eq!(engine.find_by_label(REUSE_LABEL, &label).unwrap().len(), 1);
    // One that has ended has gone, and is made anew.
    again.kill(9).await.unwrap();
    // It may have gone before this asks.
    _ = again.wait().await;
    let anew = up().start().await.unwrap();
    assert_ne!(anew.id(), id);
    for container in [anew, more] {
        container.remove(true).await.unwrap();
    }
    assert_clean(dir.path());
}

#[tokio::test]
async fn by_name() {
    let (dir, engine) = engine();
    let named = |script| shared(&engine, script).name("db").auto_remove(false);
    let db = named(SERVE).start().await.unwrap();
    assert_eq!(engine.get("db").unwrap().id(), db.id());
    let other = named("sleep 1").start().await.unwrap_err();
    assert!(
        matches!(
            other,
            Error::Setting {
                setting: "reuse",
                ..
            }
        ),
        "{other}"
    );
    // One that is kept is started again.
    db.stop(Some(Duration::ZERO)).await.unwrap();
    let again = named(SERVE).start().await.unwrap();
    assert_eq!(again.id(), db.id());
    assert_eq!(again.inspect().unwrap().state.status, Status::Running);
    again.pause().await.map_or_else(
        |e| assert!(engine.is_rootless(), "{e}"),
        |()| {
            assert!(matches!(
                named(SERVE).start().block(),
                Err(Error::Paused { .. })
            ))
        },
    );
    again.remove(true).await.unwrap();
    // What never becomes ready is an error of whoever has started it, and goes.
    let failed = named("echo no; exit 1").ready(Ready::tcp(80)).start().await;
    assert!(matches!(failed, Err(Error::NotReady(_))), "{failed:?}");
    for wrong in [
        named(SERVE)
            .stdout(container_core::Stdio::Piped)
            .start()
            .await
            .map(drop),
        named(SERVE).output().await.map(drop),
        named(SERVE).create().await.map(drop),
    ] {
        assert!(
            matches!(
                wrong,
                Err(Error::Setting {
                    setting: "reuse",
                    ..
                })
            ),
            "{wrong:?}"
        );
    }
    assert_clean(dir.path());
}

/// Many at once, in threads and in programs: there is one, and all have it ready.
#[test]
fn at_once() {
    let (dir, engine) = engine();
    for round in 0..5 {
        let script = format!("sleep 0.0{round}; echo up; sleep 1000");
        let ready = || Ready::from(Log::new("up"));
        let mut programs: Vec<_> = (0..3)
            .map(|_| {
                // This test as another program: see `as_another_program`.
                Command::new(std::env::current_exe().unwrap())
                    .args(["--exact", "as_another_program", "--nocapture"])
                    .env("REUSE_DIR", dir.path())
                    .env("REUSE_SCRIPT", &script)
                    .stdout(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        let mut ids = BTreeSet::new();
        std::thread::scope(|scope| {
            let start = || {
                let container = shared(&engine, &script)
                    .ready(ready())
                    .start()
                    .block()
                    .unwrap();
                assert_eq!(container.logged().unwrap().stdout, b"up\n");
                container.id().to_owned()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
            ids.extend(threads.into_iter().map(|thread| thread.join().unwrap()));
        });
        for program in programs.drain(..) {
            let output = program.wait_with_output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            let id = text.lines().find_map(|line| line.strip_prefix("id "));
            ids.insert(id.unwrap_or_else(|| panic!("{text}")).to_owned());
        }
        assert_eq!(ids.len(), 1, "{ids:?}");
        let container = engine.get(ids.first().unwrap()).unwrap();
        // Whoever made it has gone; it stays.
        assert!(
            container
                .exec(["true"])
                .output()
                .block()
                .unwrap()
                .status
                .success()
        );
        container.remove(true).block().unwrap();
    }
    assert_clean(dir.path());
}

/// Started by `at_once`; does nothing on its own.
#[test]
fn as_another_program() {
    let Some(dir) = std::env::var_os("REUSE_DIR") else {
        return;
    };
    let script = std::env::var("REUSE_SCRIPT").unwrap();
    let engine = open(Path::new(&dir));
    let container = shared(&engine, &script)
        .ready(Log::new("up"))
        .start()
        .block()
        .unwrap();
    assert_eq!(container.logged().unwrap().stdout, b"up\n");
    // One write, past the test's capture.
    let line = format!("\nid {}\n", container.id());
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

/// Whoever makes it may be killed while others wait for it.
#[test]
fn its_maker_is_killed() {
    let (dir, engine) = engine();
    let script = "sleep 0.5; echo up; sleep 1000";
    let mut maker = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "as_another_program", "--nocapture"])
        .env("REUSE_DIR", dir.path())
        .env("REUSE_SCRIPT", script)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while engine.running().unwrap().is_empty() {
        assert!(start.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(2));
    }
    let id = engine.running().unwrap()[0].record.id.clone();
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        maker.kill().unwrap();
        maker.wait().unwrap();
    });
    let container = shared(&engine, script)
        .ready(Log::new("up"))
        .start()
        .block()
        .unwrap();
    killer.join().unwrap();
    assert_eq!(container.id(), id, "it was taken over");
    assert!(
        container
            .exec(["true"])
            .output()
            .block()
            .unwrap()
            .status
            .success()
    );
    container.remove(true).block().unwrap();
    assert_clean(dir.path());
}

/// Whether containers have cgroups here, with a memory controller.
fn has_memory(engine: &Engine) -> bool {
    let Ok(hierarchy) = container_core::cgroup::detect() else {
        return false;
    };
    let path = CgroupPath::new(format!("measure-{}", std::process::id())).unwrap();
    let group = hierarchy.create(&path);
    !engine.is_rootless() && group.is_ok_and(|g| g.stats().is_ok_and(|s| s.memory.is_some()))
}

const WORK: &str = "x=$(head -c 30000000 /dev/zero | tr '\\0' x); i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; [ ${#x} = 30000000 ]";

#[tokio::test]
async fn what_it_has_used() {
    let (dir, engine) = engine();
    let work = || engine.container("host").args(["sh", "-c", WORK]);
    let plain = work().output().await.unwrap().status;
    assert!(plain.success() && plain.stats.is_none());
    let measured = work().measure(true).output().await.unwrap().status;
    let stats = measured.stats.unwrap();
    let cpu = stats.cpu.unwrap();
    assert!(cpu.user > Duration::from_millis(20), "{cpu:?}");
    assert!(cpu.usage < Duration::from_secs(60), "{cpu:?}");
    if !has_memory(&engine) {
        return;
    }
    let memory = stats.memory.unwrap();
    assert!(memory.peak.unwrap() > 30_000_000, "{memory:?}");
    assert_eq!(memory.oom_kills, 0);
    // Of one that is kept, it is kept.
    let kept = work()
        .measure(true)
        .auto_remove(false)
        .start()
        .await
        .unwrap();
    let exit = kept.wait().await.unwrap();
    assert!(exit.stats.is_some());
    assert_eq!(kept.inspect().unwrap().state.exit, Some(exit));
    kept.remove(false).await.unwrap();
    // One that wants more than it may have.
    let limits = Limits {
        memory: Some(20 << 20),
        memory_swap: Some(20 << 20),
        ..Limits::default()
    };
    let killed = work()
        .limits(limits)
        .measure(true)
        .output()
        .await
        .unwrap()
        .status;
    assert!(killed.oom_killed, "{killed:?}");
    let memory = killed.stats.unwrap().memory.unwrap();
    assert!(memory.oom_kills >= 1, "{memory:?}");
    assert!(memory.peak.unwrap() <= 20 << 20, "{memory:?}");
    assert_clean(dir.path());
}

/// Whoever it is that finds it, wherever its cgroup is.
#[tokio::test]
async fn what_it_uses() {
    let (_dir, engine) = engine();
    let sleep = || engine.container("host").args(["sleep", "1000"]);
    for container in [sleep(), sleep().auto_remove(false)] {
        let mut container = container.start().await.unwrap();
        container.detach().await.unwrap();
        let found = engine.get(container.id()).unwrap();
        for _ in 0..2 {
            // What can be frozen has a cgroup.
            match found.pause().await {
                Ok(()) => assert!(found.stats().is_ok(), "{:?}", found.stats()),
                Err(e) => assert!(engine.is_rootless() && found.stats().is_err(), "{e}"),
            }
            if found.inspect().unwrap().record.request.auto_remove {
                break;
            }
            found.restart(Some(9), None).await.unwrap();
        }
        found.remove(true).await.unwrap();
    }
}

/// What goes to and comes from a disk, where the store lies on one and that is counted.
#[tokio::test]
async fn what_it_has_read_and_written() {
    let (_dir, engine) = engine();
    if !has_memory(&engine) {
        return;
    }
    let script = "dd if=/dev/zero of=/etc/x bs=1M count=8 oflag=direct 2>&1 || exit 0; echo wrote";
    let output = engine
        .container("host")
        .args(["sh", "-c", script])
        .measure(true);
    let output = output.output().await.unwrap();
    let stats = output.status.stats.unwrap();
    let wrote = String::from_utf8_lossy(&output.stdout).contains("wrote");
    // tmpfs takes what is direct, too, and goes to no disk.
    if wrote && !stats.io.is_empty() {
        assert!(stats.write_bytes() >= 8 << 20, "{stats:?}");
    }
}
