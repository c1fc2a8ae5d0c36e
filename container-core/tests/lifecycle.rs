//! The life of a container through the library, on the `host` image: no registry is needed.
//! Works as root and as an ordinary user.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]
#![allow(missing_docs)]

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use container_core::{CommandProblem, Engine, Error, Mount, Network, Status, Stdio};

fn engine() -> (tempfile::TempDir, Engine) {
    // Longer than the path of a socket may be.
    let dir = tempfile::Builder::new()
        .prefix(&"long".repeat(20))
        .tempdir()
        .unwrap();
    let engine = Engine::builder()
        .root(dir.path().join("root"))
        .run_root(dir.path().join("run"))
        .open()
        .unwrap();
    (dir, engine)
}

/// The run directory of a container goes last.
fn run_is_empty(dir: &Path) -> bool {
    let entries = fs::read_dir(dir.join("run")).unwrap().flatten();
    entries.filter(|e| e.path().is_dir()).count() == 0
}

/// Nothing may be left of any container.
fn assert_clean(dir: &Path) {
    for place in ["root/containers", "root/names"] {
        let left: Vec<_> = fs::read_dir(dir.join(place))
            .map(|entries| entries.flatten().map(|e| e.path()).collect())
            .unwrap_or_default();
        assert!(left.is_empty(), "{left:?}");
    }
    assert!(run_is_empty(dir), "something is left in the run directory");
}

/// Waits for something that happens soon; fails when it does not.
fn eventually(what: &str, happens: impl Fn() -> bool) {
    let start = Instant::now();
    while !happens() {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "{what} does not happen"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn alive(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    !stat
        .rsplit(')')
        .next()
        .unwrap()
        .trim_start()
        .starts_with('Z')
}

#[tokio::test]
async fn output_and_status() {
    let (dir, engine) = engine();
    let output = engine
        .container("host")
        .args(["sh", "-c", "echo out; echo err >&2; exit 3"])
        .output();
    let output = output.await.unwrap();
    assert_eq!(output.stdout, b"out\n");
    assert_eq!(output.stderr, b"err\n");
    assert_eq!((output.status.code, output.status.signal), (3, None));
    let killed = engine
        .container("host")
        .args(["sh", "-c", "kill -9 $$"])
        .init(true);
    assert_eq!(killed.output().await.unwrap().status.code, 137);
    assert_clean(dir.path());
}

#[tokio::test]
async fn a_large_output_is_whole() {
    let (_dir, engine) = engine();
    let output = engine
        .container("host")
        .args(["head", "-c", "3000000", "/dev/zero"])
        .output();
    assert_eq!(output.await.unwrap().stdout.len(), 3_000_000);
}

#[tokio::test]
async fn settings_reach_the_process() {
    let (dir, engine) = engine();
    let source = dir.path().join("data");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "content").unwrap();
    let script = "cd /data; pwd; cat file; echo $GREETING; hostname; id -u; ulimit -n; \
                  touch /ro/x 2>&1; stat -c %a /scratch; grep NoNewPrivs /proc/self/status";
    let output = engine
        .container("host")
        .args(["sh", "-c", script])
        .env("GREETING", "hello")
        .hostname("castle")
        .bind(&source, "/data")
        .bind_read_only(&source, "/ro")
        .tmpfs("/scratch")
        .ulimit("nofile", 512, 1024)
        .no_new_privileges(true)
        .output()
        .await
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        text,
        "/data\ncontenthello\ncastle\n0\n512\ntouch: cannot touch '/ro/x': Read-only file system\n\
         1777\nNoNewPrivs:\t1\n"
    );
}

#[tokio::test]
async fn users_by_name_and_number() {
    let (_dir, engine) = engine();
    for (user, expected) in [("daemon", "1:1"), ("1:2", "1:2"), ("root", "0:0")] {
        let output =
            engine
                .container("host")
                .user(user)
                .args(["sh", "-c", "echo $(id -u):$(id -g)"]);
        let output = output.output().await.unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout).trim(),
            expected,
            "{user}"
        );
    }
    let unknown = engine
        .container("host")
        .user("nosuch")
        .arg("true")
        .output()
        .await;
    assert!(
        matches!(unknown, Err(Error::NoSuchUser { .. })),
        "{unknown:?}"
    );
}

#[tokio::test]
async fn standard_input() {
    let (_dir, engine) = engine();
    let cat = engine
        .container("host")
        .arg("cat")
        .stdin(Stdio::Piped)
        .stdout(Stdio::Piped);
    let mut cat = cat.start().await.unwrap();
    let mut stdin = fs::File::from(cat.streams.stdin.take().unwrap());
    stdin.write_all(b"through").unwrap();
    drop(stdin);
    let mut text = String::new();
    fs::File::from(cat.streams.stdout.take().unwrap())
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "through");
    assert!(cat.wait().await.unwrap().success());
}

#[tokio::test]
async fn handle_kill_stop_inspect_logs() {
    let (dir, engine) = engine();
    let script = "echo ready; echo warn >&2; trap 'echo bye; exit 7' TERM; \
                  while :; do sleep 0.05; done";
    let container = engine
        .container("host")
        .name("subject")
        .args(["sh", "-c", script]);
    let container = container.start().await.unwrap();
    assert_eq!(container.id().len(), 64);
    assert!(alive(container.pid()));
    eventually("the first line", || {
        container.logged().unwrap().stdout == b"ready\n"
    });
    let inspect = container.inspect().unwrap();
    assert_eq!(inspect.record.name, "subject");
    let again = engine
        .container("host")
        .name("subject")
        .arg("true")
        .output()
        .await;
    assert!(matches!(again, Err(Error::NameInUse { .. })), "{again:?}");
    let status = container.stop(Some(Duration::from_secs(20))).await.unwrap();
    assert_eq!(status.code, 7);
    let kill = container.kill(9).await;
    assert!(matches!(kill, Err(Error::NotRunning { .. })), "{kill:?}");
    assert_clean(dir.path());

    let stubborn = engine
        .container("host")
        .args(["sh", "-c", "trap '' TERM; sleep 1000"]);
    let stubborn = stubborn.start().await.unwrap();
    let status = stubborn.stop(Some(Duration::from_millis(0))).await.unwrap();
    assert_eq!((status.code, status.signal), (137, Some(9)));
    assert_clean(dir.path());
}

#[tokio::test]
async fn exec_joins_the_container() {
    let (_dir, engine) = engine();
    let container = engine
        .container("host")
        .args(["sleep", "1000"])
        .hostname("castle");
    let container = container.start().await.unwrap();
    let script = "hostname; echo $X; readlink /proc/1/exe; grep Seccomp: /proc/self/status; \
                  cat /proc/self/cgroup; exit 5";
    let output = container
        .exec(["sh", "-c", script])
        .env("X", "y")
        .output()
        .await
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("castle"));
    assert_eq!(lines.next(), Some("y"));
    assert_eq!(lines.next(), Some("/usr/bin/sleep"));
    assert_eq!(lines.next(), Some("Seccomp:\t2"));
    assert_eq!(output.status.code, 5);
    let user = container
        .exec(["id", "-u"])
        .user("daemon")
        .output()
        .await
        .unwrap();
    assert_eq!(user.stdout, b"1\n");
    let missing = container.exec(["nosuch"]).output().await.unwrap_err();
    assert_eq!(missing.command(), Some(CommandProblem::NotFound));
    // A process whose handle is dropped is killed; the container lives on.
    let exec = container.exec(["sleep", "1000"]).start().await.unwrap();
    let pid = exec.pid();
    assert!(alive(pid));
    drop(exec);
    eventually("the end of the process", || !alive(pid));
    assert!(alive(container.pid()));
}

#[tokio::test]
async fn dropping_ends_and_removes() {
    let (dir, engine) = engine();
    let container = engine
        .container("host")
        .args(["sleep", "1000"])
        .start()
        .await
        .unwrap();
    let pid = container.pid();
    drop(container);
    eventually("the end of the container", || !alive(pid));
    eventually("the removal", || run_is_empty(dir.path()));
    assert_clean(dir.path());
}

#[tokio::test]
async fn detached_containers_live_on() {
    let (dir, engine) = engine();
    let mut container = engine
        .container("host")
        .args(["sleep", "1000"])
        .start()
        .await
        .unwrap();
    let (pid, id) = (container.pid(), container.id().to_owned());
    container.detach().await.unwrap();
    drop(container);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(alive(pid));
    let container = engine.get(&id).unwrap();
    assert_eq!(container.pid(), pid);
    container.kill(9).await.unwrap();
    eventually("the end of the container", || !alive(pid));
    eventually("the removal", || run_is_empty(dir.path()));
    assert_clean(dir.path());
}

#[tokio::test]
async fn one_that_is_kept_says_how_it_ended() {
    let (dir, engine) = engine();
    let request = container_core::Request {
        image: "host".into(),
        args: vec!["sh".into(), "-c".into(), "echo kept; exit 4".into()],
        ..Default::default()
    };
    let container = engine
        .container("host")
        .request(request)
        .start()
        .await
        .unwrap();
    assert_eq!(container.wait().await.unwrap().code, 4);
    assert_eq!(container.logged().unwrap().stdout, b"kept\n");
    let inspect = container.inspect().unwrap();
    assert_eq!(inspect.state.status, Status::Exited);
    assert_eq!(inspect.state.exit.unwrap().code, 4);
    container.remove(false).await.unwrap();
    assert_clean(dir.path());
}

#[tokio::test]
async fn terminals() {
    let (_dir, engine) = engine();
    let mut shell = engine
        .container("host")
        .args([
            "sh",
            "-c",
            "tty; stty size; test -t 0 && read x && echo got $x",
        ])
        .tty(true)
        .stdout(Stdio::Piped)
        .start()
        .await
        .unwrap();
    let terminal = shell.streams.terminal.take().unwrap();
    let mut terminal = fs::File::from(terminal);
    terminal.write_all(b"word\n").unwrap();
    assert!(shell.wait().await.unwrap().success());
    let mut text = Vec::new();
    // The end of a terminal is an error (EIO), not an end of file.
    _ = terminal.read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text).replace("\r\n", "\n");
    assert!(
        text.contains("/dev/pts/0\n") && text.contains("0 0\n"),
        "{text:?}"
    );
    assert!(text.contains("got word\n"), "{text:?}");
}

#[tokio::test]
async fn the_small_init_reaps_and_forwards() {
    let (_dir, engine) = engine();
    // The orphan's end would leave a zombie for good without somebody to reap it.
    let script = "(sh -c 'exit 0' & exec true); sleep 0.1; ps -eo stat= | grep -c Z; echo pid $$";
    let output = engine
        .container("host")
        .init(true)
        .args(["sh", "-c", script])
        .output();
    let text = String::from_utf8(output.await.unwrap().stdout).unwrap();
    assert!(
        text.starts_with("0\npid ") && !text.contains("pid 1\n"),
        "{text:?}"
    );
    let container = engine
        .container("host")
        .init(true)
        .args([
            "sh",
            "-c",
            "trap 'exit 9' USR1; echo up; while :; do sleep 0.05; done",
        ])
        .start()
        .await
        .unwrap();
    eventually("the start", || {
        container.logged().unwrap().stdout == b"up\n"
    });
    container.kill(10).await.unwrap();
    assert_eq!(container.wait().await.unwrap().code, 9);
}

#[tokio::test]
async fn errors_name_the_setting() {
    let (dir, engine) = engine();
    let named = |result: Result<_, Error>| match result.map(|_: container_core::Output| ()) {
        Err(Error::Setting { setting, .. }) => setting,
        other => panic!("{other:?}"),
    };
    let host = || engine.container("host").arg("true");
    assert_eq!(named(host().workdir("relative").output().await), "workdir");
    assert_eq!(named(host().memory(4096).output().await), "memory");
    assert_eq!(
        named(host().cap_add("CAP_NONSENSE").output().await),
        "cap_add"
    );
    assert_eq!(
        named(host().ulimit("nosuch", 1, 1).output().await),
        "ulimit"
    );
    assert_eq!(
        named(host().bind("/does/not/exist", "/x").output().await),
        "mount"
    );
    assert_eq!(
        named(host().bind("/etc", "/proc/sys").output().await),
        "mount"
    );
    assert_eq!(named(host().tmpfs("relative").output().await), "mount");
    assert_eq!(named(host().name("-x").output().await), "name");
    assert_eq!(named(host().device("/etc/passwd").output().await), "device");
    assert_eq!(named(host().cpus(-1.0).output().await), "cpus");
    assert_clean(dir.path());
}

#[tokio::test]
async fn commands_that_cannot_be_executed() {
    let (dir, engine) = engine();
    let bin = dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let file = |name: &str, mode: u32, content: &[u8]| {
        use std::os::unix::fs::PermissionsExt;
        fs::write(bin.join(name), content).unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    file("plain", 0o644, b"x");
    file("script", 0o755, b"#!/no/such/interpreter -x\n");
    file("noise", 0o755, b"\x00\x01\x02");
    let table = [
        ("nosuch", CommandProblem::NotFound, "not found in $PATH"),
        (
            "/nosuch",
            CommandProblem::NotFound,
            "no such file or directory",
        ),
        ("/b/plain", CommandProblem::NotExecutable, "not executable"),
        (
            "/b/script",
            CommandProblem::NotFound,
            "/no/such/interpreter",
        ),
        (
            "/b/noise",
            CommandProblem::NotExecutable,
            "exec format error",
        ),
        ("/etc", CommandProblem::NotExecutable, "directory"),
    ];
    for (command, problem, text) in table {
        let error = engine
            .container("host")
            .bind(&bin, "/b")
            .arg(command)
            .output()
            .await;
        let error = error.unwrap_err();
        assert_eq!(error.command(), Some(problem), "{command}: {error}");
        assert!(error.to_string().contains(text), "{command}: {error}");
    }
    assert_clean(dir.path());
}

#[tokio::test]
async fn networks() {
    let (_dir, engine) = engine();
    let count = |network| {
        let container = engine.container("host").network(network);
        container
            .args([
                "sh",
                "-c",
                "ls /sys/class/net | grep -v bonding | tr '\\n' ' '",
            ])
            .output()
    };
    let none = count(Network::None).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&none.stdout), "lo ");
    let up = engine
        .container("host")
        .args(["cat", "/sys/class/net/lo/flags"])
        .output()
        .await;
    // IFF_UP | IFF_LOOPBACK
    assert_eq!(String::from_utf8_lossy(&up.unwrap().stdout).trim(), "0x9");
    let host = engine.container("host").network(Network::Host);
    let host = host
        .args(["readlink", "/proc/self/ns/net"])
        .output()
        .await
        .unwrap();
    let ours = fs::read_link("/proc/self/ns/net").unwrap();
    assert_eq!(
        String::from_utf8_lossy(&host.stdout).trim(),
        ours.to_str().unwrap()
    );
}

#[tokio::test]
async fn mounts_of_the_caller_below_each_other() {
    let (dir, engine) = engine();
    let outer = dir.path().join("outer");
    fs::create_dir_all(outer.join("inner")).unwrap();
    let tmpfs = |target: &str| Mount::tmpfs(target, ["size=1m"]);
    let output = engine
        .container("host")
        // The deeper one first: parents are mounted before children all the same.
        .mount(tmpfs("/a/b/inner"))
        .bind(&outer, "/a/b")
        .args(["sh", "-c", "stat -f -c %T /a/b/inner; touch /a/b/here"])
        .output()
        .await
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "tmpfs\n");
    assert!(outer.join("here").exists());
}

#[tokio::test]
async fn a_killed_monitor_takes_its_container_along_and_the_next_engine_tidies_up() {
    let (dir, engine) = engine();
    let container = engine
        .container("host")
        .args(["sleep", "1000"])
        .start()
        .await
        .unwrap();
    let pid = container.pid();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let parent = status
        .lines()
        .find_map(|l| l.strip_prefix("PPid:"))
        .unwrap();
    let monitor = nix::unistd::Pid::from_raw(parent.trim().parse().unwrap());
    nix::sys::signal::kill(monitor, nix::sys::signal::Signal::SIGKILL).unwrap();
    let ended = container.wait().await;
    assert!(matches!(ended, Err(Error::MonitorGone { .. })), "{ended:?}");
    eventually("the end of the container", || !alive(pid));
    // The stamp says that somebody has just looked for leftovers; age it.
    fs::remove_file(dir.path().join("run/tidied")).unwrap();
    let again = Engine::builder()
        .root(engine.root())
        .run_root(engine.run_root())
        .open()
        .unwrap();
    assert_clean(dir.path());
    assert!(
        again
            .container("host")
            .arg("true")
            .output()
            .await
            .unwrap()
            .status
            .success()
    );
}

#[tokio::test]
async fn a_container_out_of_memory_says_so() {
    let (_dir, engine) = engine();
    let hog = "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done";
    let output = engine
        .container("host")
        .memory(16 << 20)
        .args(["sh", "-c", hog])
        .output()
        .await;
    match output {
        Ok(output) => {
            assert_eq!(output.status.code, 137, "{output:?}");
            assert!(output.status.oom_killed, "{output:?}");
        }
        // An ordinary user without a delegated cgroup is told so, not ignored.
        Err(Error::Limit { reason }) if engine.is_rootless() => {
            assert!(reason.contains("cgroup"), "{reason}");
        }
        Err(error) => panic!("{error}"),
    }
}
