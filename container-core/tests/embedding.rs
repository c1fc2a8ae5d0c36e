//! What a program that embeds the library may rely on: many containers from many threads, an end
//! that leaves nothing, and a process of its own that nobody touches.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]
#![allow(missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use container_core::Engine;

/// These tests look at the whole process, so they take turns.
static PROCESS: Mutex<()> = Mutex::new(());

fn engine(dir: &Path) -> Engine {
    let builder = Engine::builder()
        .root(dir.join("root"))
        .run_root(dir.join("run"));
    builder.open().unwrap()
}

/// Everything below a directory.
fn tree(dir: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut pending = vec![dir.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            found.insert(entry.path());
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                pending.push(entry.path());
            }
        }
    }
    found
}

/// Processes that know of a directory: its name is in their arguments, their mounts or their
/// open files.
fn processes_below(dir: &Path) -> Vec<String> {
    let needle = dir.to_str().unwrap();
    let mine = std::process::id().to_string();
    let knows = |pid: &str| {
        let proc = Path::new("/proc").join(pid);
        let mounts = fs::read_to_string(proc.join("mountinfo")).unwrap_or_default();
        let files = fs::read_dir(proc.join("fd"))
            .into_iter()
            .flatten()
            .flatten();
        mounts.contains(needle)
            || files
                .filter_map(|f| fs::read_link(f.path()).ok())
                .any(|f| f.to_string_lossy().contains(needle))
    };
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|e| e.file_name().into_string().ok())
        .filter(|pid| pid.bytes().all(|b| b.is_ascii_digit()) && *pid != mine && knows(pid))
        .collect()
}

/// cgroups of ours in any hierarchy, of the containers given.
fn cgroups(ids: &[String]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut places = vec![PathBuf::from("/sys/fs/cgroup")];
    places.extend(
        fs::read_dir("/sys/fs/cgroup")
            .unwrap()
            .flatten()
            .map(|e| e.path()),
    );
    for place in places {
        for entry in fs::read_dir(place).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if ids.iter().any(|id| name.contains(id)) {
                found.push(entry.path());
            }
        }
    }
    found
}

fn eventually(what: &str, limit: Duration, happens: impl Fn() -> bool) {
    let start = Instant::now();
    while !happens() {
        assert!(
            start.elapsed() < limit,
            "{what} does not happen within {limit:?}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// How many containers the loop runs: 10,000 by hand and in the long check, fewer by default.
fn many() -> usize {
    std::env::var("CONTAINERS").map_or(400, |n| n.parse().unwrap())
}

#[test]
fn many_containers_from_many_threads() {
    let _turn = PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let before = tree(dir.path());
    let fds = || fs::read_dir("/proc/self/fd").unwrap().count();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(64)
        .enable_all()
        .build()
        .unwrap();
    let warm = engine.clone();
    runtime.block_on(async move {
        assert!(
            warm.container("host")
                .arg("true")
                .output()
                .await
                .unwrap()
                .status
                .success()
        );
    });
    let fds_before = fds();
    runtime.block_on(async {
        let permits = Arc::new(tokio::sync::Semaphore::new(64));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..many() {
            let (engine, permits) = (engine.clone(), permits.clone());
            tasks.spawn(async move {
                let _permit = permits.acquire().await.unwrap();
                let output = engine.container("host").arg("true").output().await;
                assert!(output.unwrap().status.success());
            });
        }
        tasks.join_all().await;
    });
    // The runtime itself keeps none per task.
    eventually(
        "the closing of descriptors",
        Duration::from_secs(10),
        || fds() <= fds_before,
    );
    drop(runtime);
    let mut after = tree(dir.path());
    for directory in ["root/containers", "root/names"] {
        after.remove(&dir.path().join(directory));
    }
    let mut before = before;
    before.insert(dir.path().join("run/tidied"));
    before.insert(dir.path().join("run/events"));
    assert_eq!(after, before);
    assert!(processes_below(dir.path()).is_empty());
    let children = fs::read_to_string(format!("/proc/self/task/{}/children", std::process::id()));
    assert_eq!(
        children.unwrap_or_default(),
        "",
        "zombies or monitors are left"
    );
}

#[test]
fn killing_the_program_leaves_nothing() {
    let _turn = PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    // The examples lie beside the tests: target/debug/{deps,examples}.
    let hold = std::env::current_exe()
        .unwrap()
        .parent()
        .unwrap()
        .join("../examples/hold");
    let mut program = Command::new(&hold)
        .arg(dir.path())
        .arg("50")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{}: {e}; cargo test builds it", hold.display()));
    let mut line = String::new();
    BufReader::new(program.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "holding 50\n");
    let ids: Vec<String> = fs::read_dir(dir.path().join("root/containers"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(ids.len(), 50);
    assert!(
        processes_below(dir.path()).len() >= 100,
        "50 monitors and 50 programs run"
    );
    program.kill().unwrap();
    program.wait().unwrap();
    // Zombies have neither mounts nor files, so PID 1 may take its time with them.
    eventually("the end of all containers", Duration::from_secs(10), || {
        processes_below(dir.path()).is_empty()
    });
    assert_eq!(cgroups(&ids), Vec::<PathBuf>::new());
    for place in ["root/containers", "root/names"] {
        assert_eq!(tree(&dir.path().join(place)), BTreeSet::new());
    }
    let run = tree(&dir.path().join("run"));
    assert_eq!(
        run.into_iter().collect::<Vec<_>>(),
        ["run/events", "run/tidied"].map(|name| dir.path().join(name))
    );
}

/// The monitor of a container of this process, if there is one.
fn monitors() -> Vec<i32> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let lists = tasks.map(|task| fs::read_to_string(task.path().join("children")));
    let lists: Vec<String> = lists.map(Result::unwrap_or_default).collect();
    let pids = lists.iter().flat_map(|list| list.split_whitespace());
    pids.map(|pid| pid.parse().unwrap()).collect()
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    // It may just have ended.
    _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

#[test]
fn a_monitor_killed_at_any_moment_takes_its_container_along() {
    let _turn = PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let sleep = || engine.container("host").args(["sleep", "1000"]);
    // As long as a start takes here and now.
    let before = Instant::now();
    drop(runtime.block_on(sleep().start()).unwrap());
    let whole = before.elapsed();
    let limit = Duration::from_secs(20);
    eventually("the end of the monitor", limit, || monitors().is_empty());
    const MOMENTS: u32 = 40;
    for moment in 0..MOMENTS {
        let delay = whole * moment * 3 / MOMENTS / 2;
        let killer = std::thread::spawn(move || {
            let monitor = loop {
                match monitors()[..] {
                    [monitor, ..] => break monitor,
                    [] => std::thread::yield_now(),
                }
            };
            std::thread::sleep(delay);
            kill(monitor);
        });
        // Whether that is in time to keep it from starting does not matter: that it is told does.
        let start = async {
            if let Ok(container) = sleep().start().await {
                assert!(container.wait().await.is_err());
            }
        };
        let told = runtime.block_on(async { tokio::time::timeout(limit, start).await });
        assert!(told.is_ok(), "killed after {delay:?}: nobody was told");
        killer.join().unwrap();
        eventually("the end of the container", limit, || {
            monitors().is_empty() && processes_below(dir.path()).is_empty()
        });
    }
    // What killed monitors leave, the next engine removes: one that has not just looked.
    let left = fs::read_dir(dir.path().join("run")).unwrap();
    let left = left.map(|e| e.unwrap().file_name().into_string().unwrap());
    let ids: Vec<String> = left.filter(|name| name.len() == 64).collect();
    assert!(!ids.is_empty());
    fs::remove_file(dir.path().join("run/tidied")).unwrap();
    self::engine(dir.path());
    assert_eq!(cgroups(&ids), Vec::<PathBuf>::new());
    assert_eq!(tree(&dir.path().join("root/containers")), BTreeSet::new());
}

#[test]
fn the_embedders_process_is_left_alone() {
    let _turn = PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let status = |names: &[&str]| {
        let text = fs::read_to_string("/proc/self/status").unwrap();
        let wanted = |l: &&str| names.iter().any(|n| l.starts_with(n));
        text.lines()
            .filter(wanted)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let state = || {
        let namespaces: Vec<_> = fs::read_dir("/proc/self/ns")
            .unwrap()
            .map(|e| fs::read_link(e.unwrap().path()).unwrap())
            .collect();
        (
            std::env::current_dir().unwrap(),
            // Signal dispositions, the mask of this thread, the umask, what root means.
            status(&[
                "Umask:",
                "SigBlk:",
                "SigIgn:",
                "SigCgt:",
                "Cap",
                "Uid:",
                "Gid:",
                "NoNewPrivs:",
            ]),
            fs::read_to_string("/proc/self/cgroup").unwrap(),
            namespaces,
            std::env::vars().collect::<Vec<_>>(),
        )
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let before = state();
    runtime.block_on(async {
        let engine = engine(dir.path());
        let output = engine
            .container("host")
            .args(["echo", "hi"])
            .output()
            .await
            .unwrap();
        assert_eq!(output.stdout, b"hi\n");
        drop(
            engine
                .container("host")
                .args(["sleep", "1000"])
                .start()
                .await
                .unwrap(),
        );
    });
    drop(runtime);
    assert_eq!(state(), before);
    eventually(
        "the end of the dropped container",
        Duration::from_secs(20),
        || processes_below(dir.path()).is_empty(),
    );
}

#[test]
fn a_monitor_started_ahead_serves_one_container_or_ends() {
    let _turn = PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let ahead = || {
        let builder = Engine::builder()
            .root(dir.path().join("root"))
            .run_root(dir.path().join("run"));
        builder.start_ahead()
    };
    let none_left = || {
        let limit = Duration::from_secs(10);
        eventually("the end of the monitors", limit, || monitors().is_empty());
    };
    let echo = async |engine: &Engine| {
        let echo = engine.container("host").args(["echo", "hi"]);
        assert_eq!(echo.output().await.unwrap().stdout, b"hi\n");
    };
    none_left();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let engine = ahead().open().unwrap();
        let monitor = monitors();
        assert_eq!(monitor.len(), 1);
        let sleep = engine.container("host").args(["sleep", "1000"]);
        let container = sleep.start().await.unwrap();
        assert_eq!(monitors(), monitor);
        // The next one has its own.
        echo(&engine).await;
        drop(container);
        none_left();

        // Nobody can know what becomes of it until it is needed.
        let engine = ahead().open().unwrap();
        let pid = monitors()[0];
        kill(pid);
        let stat = format!("/proc/{pid}/stat");
        eventually("its end", Duration::from_secs(10), || {
            fs::read_to_string(&stat).unwrap().contains(") Z")
        });
        echo(&engine).await;
        drop(engine);
    });
    // Not needed at all, before the engine and after.
    drop(ahead());
    drop(ahead().open().unwrap());
    none_left();
    assert!(processes_below(dir.path()).is_empty());
}
