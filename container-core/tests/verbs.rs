//! What can be done with a container that outlives its creator, through the library, on the
//! `host` image. Works as root and as an ordinary user.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]
#![allow(missing_docs)]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use container_core::request::{Healthcheck, IpcMode, Limits, NamespaceMode, RestartPolicy};
use container_core::{Container, ContainerBuilder, Engine, Error, HealthStatus, Inspect, Status};

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
    engine
        .container("host")
        .args(["sh", "-c", script])
        .auto_remove(false)
}

async fn detached(builder: ContainerBuilder) -> Container {
    let mut container = builder.start().await.unwrap();
    container.detach().await.unwrap();
    container
}

/// Waits for a state that comes soon; fails when it does not.
async fn until(container: &Container, what: &str, is: impl Fn(&Inspect) -> bool) -> Inspect {
    let start = Instant::now();
    loop {
        let inspect = container.inspect().unwrap();
        if is(&inspect) {
            return inspect;
        }
        let late = start.elapsed() > Duration::from_secs(20);
        assert!(!late, "{what} does not happen: {:?}", inspect.state);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn assert_clean(dir: &Path) {
    for place in ["root/containers", "root/names", "run"] {
        let left: Vec<_> = fs::read_dir(dir.join(place))
            .map(|entries| entries.flatten().map(|e| e.file_name()).collect())
            .unwrap_or_default();
        assert!(
            left.iter().all(|n| n == "tidied" || n == "events"),
            "{place}: {left:?}"
        );
    }
}

#[tokio::test]
async fn created_then_started_again_and_again() {
    let (dir, engine) = engine();
    // What a run writes is there in the next.
    let script = "echo x >> /etc/count; exit $(wc -l < /etc/count)";
    let container = shell(&engine, script)
        .name("counter")
        .create()
        .await
        .unwrap();
    let inspect = container.inspect().unwrap();
    assert_eq!(
        (inspect.state.status, inspect.state.pid),
        (Status::Created, 0)
    );
    assert_eq!(container.wait().await.unwrap().code, 0);
    for code in 1..4 {
        engine.get("counter").unwrap().start().await.unwrap();
        assert_eq!(container.wait().await.unwrap().code, code);
    }
    let prefix = &container.id()[..12];
    assert_eq!(engine.get(prefix).unwrap().id(), container.id());
    assert_eq!(engine.containers().unwrap().len(), 1);
    assert_eq!(engine.running().unwrap().len(), 0);
    container.remove(false).await.unwrap();
    assert!(matches!(
        engine.get("counter"),
        Err(Error::NoSuchContainer { .. })
    ));
    assert_clean(dir.path());
}

#[tokio::test]
async fn stop_and_start() {
    let (dir, engine) = engine();
    let container = detached(shell(
        &engine,
        "trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done",
    ))
    .await;
    let first = container.inspect().unwrap().state;
    assert_eq!(first.status, Status::Running);
    until(&container, "its trap", |_| {
        !container.logged().unwrap().stdout.is_empty()
    })
    .await;
    // A container that runs is left alone.
    container.start().await.unwrap();
    assert_eq!(container.inspect().unwrap().state.pid, first.pid);
    assert!(matches!(
        container.remove(false).await,
        Err(Error::Running { .. })
    ));
    assert_eq!(container.stop(None).await.unwrap().code, 3);
    // At once removed, at once started: its last monitor is gone.
    container.start().await.unwrap();
    container.restart(None, None).await.unwrap();
    assert_eq!(container.inspect().unwrap().state.status, Status::Running);
    let stopped = container.stop_with(Some(9), None).await.unwrap();
    assert_eq!(stopped.code, 137);
    container.stop(None).await.unwrap();
    container.start().await.unwrap();
    container.remove(true).await.unwrap();
    assert_clean(dir.path());
}

#[tokio::test]
async fn a_start_that_fails_is_remembered() {
    let (dir, engine) = engine();
    let container = engine
        .container("host")
        .auto_remove(false)
        .arg("no-such-program");
    let container = container.create().await.unwrap();
    let error = container.start().await.unwrap_err();
    assert!(error.command().is_some(), "{error}");
    let state = container.inspect().unwrap().state;
    assert_eq!(state.status, Status::Created);
    assert_eq!(state.exit.unwrap().code, 127);
    assert!(state.error.contains("no-such-program"), "{}", state.error);
    container.remove(false).await.unwrap();
    assert_clean(dir.path());
}

#[tokio::test]
async fn rename() {
    let (dir, engine) = engine();
    let mut one = detached(shell(&engine, "sleep 1000").name("one")).await;
    let mut two = shell(&engine, "true").name("two").create().await.unwrap();
    for (container, other) in [(&mut one, "two"), (&mut two, "one-new")] {
        let error = container.rename(other).await.unwrap_err();
        assert!(matches!(error, Error::NameInUse { .. }), "{error}");
        let new = format!("{}-new", container.name());
        container.rename(&new).await.unwrap();
        assert_eq!(engine.get(&new).unwrap().id(), container.id());
        assert_eq!(container.inspect().unwrap().record.name, new);
    }
    assert!(engine.get("one").is_err());
    two.rename("one").await.unwrap();
    two.start().await.unwrap();
    two.wait().await.unwrap();
    for container in [one, two] {
        container.remove(true).await.unwrap();
    }
    assert_clean(dir.path());
}

#[tokio::test]
async fn restarted_until_it_has_had_its_chances() {
    let (dir, engine) = engine();
    let policy = RestartPolicy::OnFailure { max_retries: 3 };
    let container = detached(shell(&engine, "echo run; exit 9").restart(policy)).await;
    let inspect = until(&container, "the end", |i| i.state.status == Status::Exited).await;
    assert_eq!(inspect.state.restarts, 3);
    assert_eq!(inspect.state.exit.unwrap().code, 9);
    assert_eq!(container.logged().unwrap().stdout, b"run\n".repeat(4));
    container.remove(false).await.unwrap();
    assert_clean(dir.path());
}

#[tokio::test]
async fn stopped_while_it_waits_for_its_next_run() {
    let (dir, engine) = engine();
    let always = shell(&engine, "exit 1").restart(RestartPolicy::Always);
    let container = detached(always).await;
    until(&container, "the third run", |i| i.state.restarts > 2).await;
    until(&container, "a wait", |i| {
        i.state.status == Status::Restarting
    })
    .await;
    assert!(matches!(
        container.kill(9).await,
        Err(Error::NotRunning { .. })
    ));
    container.stop(None).await.unwrap();
    let state = container.inspect().unwrap().state;
    assert_eq!((state.status, state.stopped), (Status::Exited, true));
    container.remove(false).await.unwrap();
    assert_clean(dir.path());
}

#[tokio::test]
async fn a_policy_changed_takes_effect_at_once() {
    let (dir, engine) = engine();
    let container = detached(shell(&engine, "sleep 0.2").restart(RestartPolicy::Always)).await;
    until(&container, "a restart", |i| i.state.restarts > 0).await;
    container
        .update(None, Some(RestartPolicy::No))
        .await
        .unwrap();
    until(&container, "the end", |i| i.state.status == Status::Exited).await;
    container
        .update(None, Some(RestartPolicy::Always))
        .await
        .unwrap();
    // What a boot would do: it was not stopped by hand.
    let started = engine.start_all().await.unwrap();
    assert_eq!(started.len(), 1);
    assert!(started[0].1.is_ok());
    assert_eq!(container.inspect().unwrap().state.status, Status::Running);
    container.remove(true).await.unwrap();
    assert_clean(dir.path());
}

#[tokio::test]
async fn healthy_then_not() {
    let (dir, engine) = engine();
    let check = Healthcheck {
        test: vec!["CMD-SHELL".into(), "echo looked; test -e /etc/well".into()],
        interval: Duration::from_millis(50),
        retries: 2,
        ..Healthcheck::default()
    };
    let script = "touch /etc/well; sleep 0.5; rm /etc/well; sleep 1000";
    let container = detached(shell(&engine, script).healthcheck(check)).await;
    let health = |i: &Inspect| i.state.health.clone().unwrap().status;
    until(&container, "health", |i| health(i) == HealthStatus::Healthy).await;
    let inspect = until(&container, "sickness", |i| {
        health(i) == HealthStatus::Unhealthy
    })
    .await;
    let health = inspect.state.health.unwrap();
    assert!(health.failing_streak >= 2);
    let last = health.log.last().unwrap();
    assert_eq!((last.exit_code, last.output.as_str()), (1, "looked\n"));
    container.remove(true).await.unwrap();
    assert_clean(dir.path());
}

#[tokio::test]
async fn a_probe_that_hangs_is_ended() {
    let (dir, engine) = engine();
    let check = Healthcheck {
        test: vec!["CMD".into(), "sleep".into(), "1000".into()],
        interval: Duration::from_millis(20),
        timeout: Duration::from_millis(100),
        retries: 1,
        ..Healthcheck::default()
    };
    let container = detached(shell(&engine, "sleep 1000").healthcheck(check)).await;
    let inspect = until(&container, "a verdict", |i| {
        i.state.health.as_ref().unwrap().status == HealthStatus::Unhealthy
    })
    .await;
    let health = inspect.state.health.unwrap();
    assert!(
        health.log[0].output.contains("exceeded timeout"),
        "{health:?}"
    );
    container.remove(true).await.unwrap();
    assert_clean(dir.path());
}

/// Root only: an ordinary user has a cgroup only where one is delegated.
#[tokio::test]
async fn paused_and_limited() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not run: needs root's cgroups");
        return;
    }
    let (dir, engine) = engine();
    let container = detached(shell(&engine, "while :; do date +%N > /etc/now; done")).await;
    container.pause().await.unwrap();
    assert_eq!(container.inspect().unwrap().state.status, Status::Paused);
    assert!(matches!(
        container.pause().await,
        Err(Error::Unchanged { .. })
    ));
    assert!(matches!(container.start().await, Err(Error::Paused { .. })));
    let exec = container.exec(["true"]).status().await;
    assert!(matches!(exec, Err(Error::Paused { .. })), "{exec:?}");
    container.unpause().await.unwrap();
    assert!(matches!(
        container.unpause().await,
        Err(Error::Unchanged { .. })
    ));
    let limits = Limits {
        pids: Some(77),
        memory: Some(64 << 20),
        ..Limits::default()
    };
    container.update(Some(limits), None).await.unwrap();
    let read = "cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null; true";
    let output = container.exec(["sh", "-c", read]).output().await.unwrap();
    assert_eq!(output.stdout, b"77\n");
    let stats = container.stats().unwrap();
    assert_eq!(stats.pids.unwrap().limit, Some(77));
    // They hold in the next run too.
    container.restart(Some(9), None).await.unwrap();
    let output = container.exec(["sh", "-c", read]).output().await.unwrap();
    assert_eq!(output.stdout, b"77\n");
    container.pause().await.unwrap();
    // A frozen process is ended all the same.
    container.remove(true).await.unwrap();
    assert_clean(dir.path());
}

fn kill_monitor(container: &Container) {
    let pid = container.inspect().unwrap().state.pid;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after = stat.rsplit(')').next().unwrap();
    let monitor: i32 = after.split_whitespace().nth(1).unwrap().parse().unwrap();
    let monitor = nix::unistd::Pid::from_raw(monitor);
    nix::sys::signal::kill(monitor, nix::sys::signal::Signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn what_goes_with_its_end_does_not_come_back() {
    let (dir, engine) = engine();
    let container = detached(shell(&engine, "sleep 1000").auto_remove(true)).await;
    kill_monitor(&container);
    until(&container, "the end", |i| i.state.status == Status::Exited).await;
    let error = container.start().await.unwrap_err();
    assert!(matches!(error, Error::NoSuchContainer { .. }), "{error}");
    assert_clean(dir.path());
}

#[tokio::test]
async fn a_killed_monitor_leaves_a_container_that_has_ended() {
    let (dir, engine) = engine();
    let container = detached(shell(&engine, "sleep 1000").restart(RestartPolicy::Always)).await;
    kill_monitor(&container);
    let inspect = until(&container, "the end", |i| i.state.status == Status::Exited).await;
    assert_eq!(inspect.state.exit.unwrap().code, 137);
    // Another engine tidies up; the container stays, and can be started.
    fs::remove_file(dir.path().join("run/tidied")).unwrap();
    let engine = open(dir.path());
    assert_eq!(engine.containers().unwrap().len(), 1);
    assert!(!dir.path().join("run").join(container.id()).exists());
    assert_eq!(engine.start_all().await.unwrap().len(), 1);
    assert_eq!(container.inspect().unwrap().state.status, Status::Running);
    container.remove(true).await.unwrap();
    assert_clean(dir.path());
}

#[tokio::test]
async fn many_at_once_agree_on_one_state() {
    let (dir, engine) = engine();
    let container = shell(&engine, "sleep 0.01")
        .name("shared")
        .create()
        .await
        .unwrap();
    let mut tasks = Vec::new();
    for n in 0..8 {
        let engine = engine.clone();
        tasks.push(tokio::spawn(async move {
            for _ in 0..20 {
                let shared = engine.get("shared").unwrap();
                match n % 4 {
                    0 => shared.start().await.unwrap(),
                    1 => drop(shared.stop(None).await.unwrap()),
                    2 => drop(shared.wait().await.unwrap()),
                    _ => assert_eq!(engine.containers().unwrap().len(), 1),
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    container.remove(true).await.unwrap();
    assert_clean(dir.path());
}

#[tokio::test]
async fn what_happens_is_told() {
    let (dir, engine) = engine();
    let mut events = engine.events(None, None).unwrap();
    let script = "trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done";
    let builder = shell(&engine, script).name("told").label("a", "b");
    let mut container = detached(builder).await;
    until(&container, "its trap", |_| {
        !container.logged().unwrap().stdout.is_empty()
    })
    .await;
    container.exec(["true"]).status().await.unwrap();
    container.rename("renamed").await.unwrap();
    container.stop(None).await.unwrap();
    container.remove(false).await.unwrap();
    let mut actions = Vec::new();
    while actions.last().map(String::as_str) != Some("destroy") {
        let event = events.next().await.unwrap().unwrap();
        assert_eq!(event.id, container.id());
        assert_eq!(event.attributes["a"], "b");
        actions.push(event.action);
    }
    let want = [
        "create",
        "start",
        "exec_create: true ",
        "exec_start: true ",
        "exec_die",
        "rename",
        "kill",
        "die",
        "stop",
        "destroy",
    ];
    assert_eq!(actions, want);
    assert_clean(dir.path());
}

#[tokio::test]
async fn detached_and_privileged_further_processes() {
    let (dir, engine) = engine();
    let container = detached(shell(&engine, "sleep 1000")).await;
    let exec = container
        .exec(["sh", "-c", "sleep 0.2; touch /etc/lives"])
        .detach(true);
    drop(exec.start().await.unwrap());
    let processes = container.processes().unwrap();
    let pid = i32::try_from(container.inspect().unwrap().state.pid).unwrap();
    // The further one, too.
    assert!(
        processes.contains(&pid) && processes.len() > 1,
        "{processes:?}"
    );
    let there = || container.exec(["test", "-e", "/etc/lives"]).status();
    let start = Instant::now();
    while !there().await.unwrap().success() {
        assert!(start.elapsed() < Duration::from_secs(20), "it was killed");
    }
    let capabilities = ["sh", "-c", "grep CapEff /proc/self/status"];
    let few = container.exec(capabilities).output().await.unwrap().stdout;
    let all = container
        .exec(capabilities)
        .privileged(true)
        .output()
        .await
        .unwrap()
        .stdout;
    assert!(all > few, "{all:?} {few:?}");
    container.remove(true).await.unwrap();
    assert_clean(dir.path());
}

#[tokio::test]
async fn namespaces_of_another_container() {
    let (dir, engine) = engine();
    let script = "echo there > /dev/shm/x; echo ready; exec sleep 1000";
    let mut donor = shell(&engine, script).name("donor").share(
        IpcMode::Shareable,
        NamespaceMode::Private,
        NamespaceMode::Private,
    );
    donor = donor.tmpfs("/own");
    let donor = detached(donor).await;
    until(&donor, "its file", |_| {
        !donor.logged().unwrap().stdout.is_empty()
    })
    .await;
    let guest = |script: &str| {
        shell(&engine, script).auto_remove(true).share(
            IpcMode::Container("donor".into()),
            NamespaceMode::Container(donor.id()[..12].into()),
            NamespaceMode::Private,
        )
    };
    let script = "cat /dev/shm/x; tr '\\0' ' ' < /proc/1/cmdline; readlink /proc/self/ns/ipc; \
                  test -e /own; echo $?";
    let output = guest(script).output().await.unwrap();
    let ipc = donor
        .exec(["readlink", "/proc/self/ns/ipc"])
        .output()
        .await
        .unwrap();
    let ipc = String::from_utf8(ipc.stdout).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        text,
        format!("there\nsleep 1000 {ipc}1\n"),
        "{:?}",
        output.stderr.escape_ascii().to_string()
    );
    // Its end is not the other's, and the other's is its.
    assert_eq!(donor.inspect().unwrap().state.status, Status::Running);
    let guest = guest("sleep 1000").start().await.unwrap();
    donor.remove(true).await.unwrap();
    assert_eq!(guest.wait().await.unwrap().code, 137);
    let error = shell(&engine, "true")
        .share(
            IpcMode::Container("nobody".into()),
            NamespaceMode::Private,
            NamespaceMode::Private,
        )
        .start()
        .await
        .unwrap_err();
    assert!(matches!(error, Error::NoSuchContainer { .. }), "{error}");
    assert_clean(dir.path());
}

#[tokio::test]
async fn commands_that_are_not_there_do_not_hold_the_container() {
    let (dir, engine) = engine();
    let script = "while :; do :; done & while :; do :; done";
    let container = detached(shell(&engine, script)).await;
    // Whoever fails says so at once, often before he was told of.
    for _ in 0..200 {
        let outcome = container.exec(["/nosuch"]).output().await;
        assert!(outcome.is_err() || outcome.is_ok_and(|o| o.status.code == 127));
    }
    let ended = tokio::time::timeout(Duration::from_secs(20), container.remove(true)).await;
    ended.expect("the container ends").unwrap();
    assert_clean(dir.path());
}
