//! What a container writes, what is typed to it, and who sees it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use container_core::{Attach, Container, ContainerBuilder, Engine, LogOptions, LogStream, Stdio};

fn engine() -> (tempfile::TempDir, Engine) {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::builder()
        .root(dir.path().join("root"))
        .run_root(dir.path().join("run"))
        .open()
        .unwrap();
    (dir, engine)
}

fn shell(engine: &Engine, script: &str) -> ContainerBuilder {
    engine.container("host").args(["sh", "-c", script])
}

/// One that stays when it has ended. The handle owns it no more.
async fn kept(engine: &Engine, builder: ContainerBuilder) -> Container {
    let container = builder.create().await.unwrap();
    container.start().await.unwrap();
    engine.get(container.id()).unwrap()
}

fn keep(engine: &Engine, script: &str) -> ContainerBuilder {
    let request = container_core::Request {
        image: "host".into(),
        args: ["sh", "-c", script].map(String::from).into(),
        ..Default::default()
    };
    engine.container("host").request(request)
}

fn both(stdin: Stdio) -> Attach {
    Attach::new()
        .stdin(stdin)
        .stdout(Stdio::Piped)
        .stderr(Stdio::Piped)
}

fn text(fd: Option<OwnedFd>) -> std::thread::JoinHandle<String> {
    let mut file = fs::File::from(fd.unwrap());
    std::thread::spawn(move || {
        let mut text = Vec::new();
        file.read_to_end(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    })
}

#[track_caller]
fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < end, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn logs(container: &Container) -> String {
    let logs = container.logged().unwrap();
    String::from_utf8([logs.stdout, logs.stderr].concat()).unwrap()
}

fn log_files(dir: &Path, id: &str) -> Vec<String> {
    let names = fs::read_dir(dir.join("root/containers").join(id)).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.starts_with("log.")).collect();
    names.sort();
    names
}

#[tokio::test]
async fn whoever_is_attached_sees_what_is_logged() {
    let (_dir, engine) = engine();
    let mut container = shell(&engine, "echo out; echo err >&2; read x; echo got $x")
        .open_stdin(true)
        .attach(both(Stdio::Piped))
        .start()
        .await
        .unwrap();
    let mut first = container.take_attached().unwrap();
    let (out, err) = (
        text(first.streams.stdout.take()),
        text(first.streams.stderr.take()),
    );
    eventually("the first line", || logs(&container) == "out\nerr\n");
    // A second one comes later, and sees what comes later.
    let only_out = Attach::new().stdout(Stdio::Piped);
    let mut second = container.attach(only_out).await.unwrap();
    let late = text(second.streams.stdout.take());
    let mut stdin = fs::File::from(first.streams.stdin.take().unwrap());
    stdin.write_all(b"word\n").unwrap();
    assert!(first.wait().await.unwrap().success());
    assert!(second.wait().await.unwrap().success());
    assert_eq!(out.join().unwrap(), "out\ngot word\n");
    assert_eq!(err.join().unwrap(), "err\n");
    assert_eq!(late.join().unwrap(), "got word\n");
    assert!(container.wait().await.unwrap().success());
}

#[tokio::test]
async fn input_ends_once_when_that_of_the_first_ends() {
    let (_dir, engine) = engine();
    for once in [true, false] {
        let container = shell(&engine, "cat; echo end").open_stdin(once);
        let mut container = container.attach(both(Stdio::Piped)).start().await.unwrap();
        let mut attached = container.take_attached().unwrap();
        let mut stdin = fs::File::from(attached.streams.stdin.take().unwrap());
        stdin.write_all(b"typed\n").unwrap();
        drop(stdin);
        if once {
            assert!(attached.wait().await.unwrap().success());
            assert_eq!(
                text(attached.streams.stdout.take()).join().unwrap(),
                "typed\nend\n"
            );
        } else {
            eventually("what was typed", || logs(&container) == "typed\n");
            // Another may go on typing.
            let mut other = container.attach(both(Stdio::Piped)).await.unwrap();
            let mut stdin = fs::File::from(other.streams.stdin.take().unwrap());
            stdin.write_all(b"more\n").unwrap();
            eventually("what was typed then", || {
                logs(&container) == "typed\nmore\n"
            });
        }
    }
}

#[tokio::test]
async fn much_is_typed_and_comes_back_whole() {
    let (_dir, engine) = engine();
    let much: Vec<u8> = (0..3_000_000_u32).flat_map(|n| [(n % 251) as u8]).collect();
    // A pipe is spliced, a file and a socket are copied.
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("in"), &much).unwrap();
    for source in ["pipe", "file", "socket"] {
        let stdin = match source {
            "pipe" => Stdio::Piped,
            "file" => fs::File::open(dir.path().join("in")).unwrap().into(),
            _ => {
                let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
                let much = much.clone();
                std::thread::spawn(move || (&ours).write_all(&much).unwrap());
                Stdio::Fd(theirs.into())
            }
        };
        let container = shell(&engine, "cat").open_stdin(true).log_driver("none");
        let mut container = container.attach(both(stdin)).start().await.unwrap();
        let mut attached = container.take_attached().unwrap();
        if let Some(stdin) = attached.streams.stdin.take() {
            let much = much.clone();
            std::thread::spawn(move || fs::File::from(stdin).write_all(&much).unwrap());
        }
        let mut out = fs::File::from(attached.streams.stdout.take().unwrap());
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            out.read_to_end(&mut all).unwrap();
            all
        });
        assert!(attached.wait().await.unwrap().success());
        assert!(reader.join().unwrap() == much, "{source}");
    }
}

#[tokio::test]
async fn a_container_waits_for_one_who_does_not_read_but_not_for_one_who_is_gone() {
    let (_dir, engine) = engine();
    let script = "head -c 20000000 /dev/zero; echo done >&2";
    let container = shell(&engine, script).attach(both(Stdio::Null));
    let mut container = container.start().await.unwrap();
    let attached = container.take_attached().unwrap();
    // What fits into a pipe and the monitor's patience, and the log's share of it.
    let size = || container.logged().unwrap().stdout.len();
    eventually("the first megabyte", || size() > 1 << 20);
    std::thread::sleep(Duration::from_millis(300));
    assert!(size() < 8 << 20, "{}", size());
    drop(attached);
    assert!(container.wait().await.unwrap().success());
}

#[tokio::test]
async fn what_was_written_last_arrives_though_it_is_read_late() {
    let (_dir, engine) = engine();
    // More than a pipe holds even when it is large, less than what is waited for.
    let script = "head -c 3000000 /dev/zero | tr '\\0' x";
    for restart in [false, true] {
        let mut builder = shell(&engine, script).attach(both(Stdio::Null));
        if restart {
            builder = builder.log_driver("none");
        }
        let mut container = builder.start().await.unwrap();
        let mut attached = container.take_attached().unwrap();
        let mut out = fs::File::from(attached.streams.stdout.take().unwrap());
        // Enough for it to end.
        let mut some = vec![0; 1 << 20];
        out.read_exact(&mut some).unwrap();
        assert!(container.wait().await.unwrap().success());
        assert!(attached.wait().await.unwrap().success());
        let mut rest = Vec::new();
        out.read_to_end(&mut rest).unwrap();
        assert_eq!(some.len() + rest.len(), 3_000_000);
    }
}

#[tokio::test]
async fn both_streams_to_one_file_keep_the_order_of_the_log() {
    let (dir, engine) = engine();
    let path = dir.path().join("both");
    let file = fs::File::create(&path).unwrap();
    let script = "for i in $(seq 2000); do echo $i; echo $i >&2; done";
    let attach = Attach::new().stdout(file.try_clone().unwrap()).stderr(file);
    let container = keep(&engine, script).create().await.unwrap();
    let attached = container.start_attached(attach).await.unwrap();
    assert!(attached.wait().await.unwrap().success());
    let mut log = container.logs(LogOptions::new()).await.unwrap();
    let mut logged = Vec::new();
    while let Some(line) = log.next().await.unwrap() {
        logged.extend(line.bytes);
    }
    assert_eq!(logged.iter().filter(|b| **b == b'\n').count(), 4000);
    assert!(fs::read(path).unwrap() == logged);
    container.remove(false).await.unwrap();
}

#[tokio::test]
async fn a_terminal_is_logged_typed_into_and_resized() {
    let (_dir, engine) = engine();
    let container = shell(&engine, "stty size; read x; stty size; echo got $x >&2").tty(true);
    let container = container.open_stdin(true).attach(both(Stdio::Piped));
    let mut container = container.start().await.unwrap();
    let mut attached = container.take_attached().unwrap();
    assert!(container.streams.terminal.take().is_none());
    eventually("its size", || logs(&container).starts_with("0 0\r\n"));
    container.resize(33, 101).await.unwrap();
    let mut stdin = fs::File::from(attached.streams.stdin.take().unwrap());
    stdin.write_all(b"word\n").unwrap();
    assert!(attached.wait().await.unwrap().success());
    let shown = text(attached.streams.stdout.take()).join().unwrap();
    assert_eq!(shown, "0 0\r\nword\r\n33 101\r\ngot word\r\n");
    assert_eq!(text(attached.streams.stderr.take()).join().unwrap(), "");
    assert!(container.wait().await.unwrap().success());
}

#[tokio::test]
async fn a_terminal_without_its_creator_goes_on() {
    let (_dir, engine) = engine();
    let script = "trap 'echo hung up' HUP; echo one; sleep 0.3; echo two; test -t 0 && echo three";
    let container = kept(&engine, {
        let mut request = container_core::Request {
            image: "host".into(),
            args: ["sh", "-c", script].map(String::from).into(),
            ..Default::default()
        };
        request.tty = true;
        engine.container("host").request(request)
    })
    .await;
    assert!(container.wait().await.unwrap().success());
    assert_eq!(logs(&container), "one\r\ntwo\r\nthree\r\n");
    container.remove(false).await.unwrap();
}

#[tokio::test]
async fn started_again_and_attached() {
    let (_dir, engine) = engine();
    let container = keep(&engine, "cat; echo run").open_stdin(true);
    let container = container.create().await.unwrap();
    for run in 1..=2 {
        let mut attached = container.start_attached(both(Stdio::Piped)).await.unwrap();
        fs::File::from(attached.streams.stdin.take().unwrap())
            .write_all(b"typed\n")
            .unwrap();
        assert!(attached.wait().await.unwrap().success());
        assert_eq!(
            text(attached.streams.stdout.take()).join().unwrap(),
            "typed\nrun\n"
        );
        assert_eq!(logs(&container), "typed\nrun\n".repeat(run));
    }
    assert!(container.attach(both(Stdio::Null)).await.is_err());
    container.remove(false).await.unwrap();
}

#[tokio::test]
async fn followers_see_everything_and_end_with_the_container() {
    let (dir, engine) = engine();
    let script =
        "for i in $(seq 20000); do echo line $i of many that are written here; done; printf end";
    for (driver, options) in [
        (
            "json-file",
            &[("max-size", "200k"), ("max-file", "100")][..],
        ),
        ("local", &[("max-size", "200k"), ("max-file", "100")]),
        ("json-file", &[]),
    ] {
        let mut builder = keep(&engine, script).log_driver(driver);
        for (name, value) in options {
            builder = builder.log_option(*name, *value);
        }
        let container = builder.create().await.unwrap();
        // There is no log yet: whoever follows one that does not run ends at once.
        let none = container
            .logs(LogOptions::new().follow(true))
            .await
            .unwrap();
        assert!(none.collect().await.unwrap().stdout.is_empty());
        container.start().await.unwrap();
        let mut followers = tokio::task::JoinSet::new();
        for _ in 0..10 {
            let reader = container
                .logs(LogOptions::new().follow(true))
                .await
                .unwrap();
            followers.spawn(reader.collect());
        }
        let expected = container_core::Logs {
            stdout: (1..=20000)
                .map(|i| format!("line {i} of many that are written here\n"))
                .chain(["end".to_owned()])
                .collect::<String>()
                .into(),
            stderr: Vec::new(),
        };
        for logs in followers.join_all().await {
            assert!(logs.unwrap() == expected, "{driver}");
        }
        assert!(container.logged().unwrap() == expected);
        if !options.is_empty() {
            assert!(log_files(dir.path(), container.id()).len() > 3);
        }
        container.remove(true).await.unwrap();
    }
}

#[tokio::test]
async fn a_follower_of_a_removed_container_ends() {
    let (_dir, engine) = engine();
    let container = kept(&engine, keep(&engine, "echo hi; sleep 1000")).await;
    let mut reader = container
        .logs(LogOptions::new().follow(true))
        .await
        .unwrap();
    let line = reader.next().await.unwrap().unwrap();
    assert_eq!(
        (line.stream, &line.bytes[..]),
        (LogStream::Stdout, &b"hi\n"[..])
    );
    let (rest, removed) = tokio::join!(reader.next(), container.remove(true));
    removed.unwrap();
    assert_eq!(rest.unwrap(), None);
    // Until a moment that comes sooner.
    let container = kept(&engine, keep(&engine, "echo hi; sleep 1000")).await;
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(300);
    let options = LogOptions::new().follow(true).until(soon);
    let reader = container.logs(options).await.unwrap();
    assert_eq!(reader.collect().await.unwrap().stdout, b"hi\n");
    container.remove(true).await.unwrap();
}

#[tokio::test]
async fn full_files_are_compressed_and_the_oldest_removed() {
    let (dir, engine) = engine();
    let script = "for i in $(seq 30); do head -c 100000 /dev/zero | tr '\\0' x | fold -w 99; \
                  sleep 0.03; done; sleep 0.5";
    let mut builder = keep(&engine, script);
    for (name, value) in [
        ("max-size", "300k"),
        ("max-file", "4"),
        ("compress", "true"),
    ] {
        builder = builder.log_option(name, value);
    }
    let container = kept(&engine, builder).await;
    assert!(container.wait().await.unwrap().success());
    let files = log_files(dir.path(), container.id());
    assert_eq!(files.len(), 4, "{files:?}");
    assert!(files.iter().any(|name| name.ends_with(".gz")), "{files:?}");
    let logs = container.logged().unwrap().stdout;
    assert!(logs.len() > 400_000 && logs.iter().all(|b| b"x\n".contains(b)));
    container.remove(false).await.unwrap();
}

#[tokio::test]
async fn a_log_that_may_lose_something_keeps_what_it_can() {
    let (_dir, engine) = engine();
    let script = "for i in $(seq 1000); do echo $i; done; printf end";
    let builder = keep(&engine, script)
        .log_option("mode", "non-blocking")
        .log_option("max-buffer-size", "10m");
    let container = kept(&engine, builder).await;
    assert!(container.wait().await.unwrap().success());
    let expected: String = (1..=1000).map(|i| format!("{i}\n")).collect();
    assert_eq!(logs(&container), expected + "end");
    // The process that writes is there again for the next run.
    container.start().await.unwrap();
    assert!(container.wait().await.unwrap().success());
    assert!(logs(&container).ends_with("1000\nend"));
    container.remove(false).await.unwrap();
}

#[tokio::test]
async fn syslog_hears_it_and_logs_reads_it() {
    let (dir, engine) = engine();
    let path = dir.path().join("log");
    let daemon = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    daemon
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let address = format!("unix://{}", path.display());
    let container = keep(&engine, "echo out; sleep 0.2; printf err >&2")
        .log_driver("syslog")
        .log_option("syslog-address", &address)
        .log_option("syslog-format", "rfc5424")
        .log_option("tag", "{{.Name}}")
        .name("joe");
    let container = kept(&engine, container).await;
    assert!(container.wait().await.unwrap().success());
    let mut buffer = [0; 1000];
    for (begins, ends) in [("<30>1 ", " joe - out\n"), ("<27>1 ", " joe - err\n")] {
        let length = daemon.recv(&mut buffer).unwrap();
        let message = std::str::from_utf8(&buffer[..length]).unwrap();
        assert!(
            message.starts_with(begins) && message.ends_with(ends),
            "{message}"
        );
    }
    assert_eq!(logs(&container), "out\nerr");
    container.remove(false).await.unwrap();

    let nowhere = keep(&engine, "true").log_driver("syslog");
    let nowhere = nowhere.log_option("syslog-address", "tcp://127.0.0.1:1");
    let error = nowhere.start().await.unwrap_err().to_string();
    assert!(error.contains("tcp://127.0.0.1:1"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_read_says_so() {
    let (_dir, engine) = engine();
    let container = kept(&engine, keep(&engine, "echo x").log_driver("none")).await;
    assert!(container.wait().await.unwrap().success());
    let error = container.logged().unwrap_err().to_string();
    assert!(error.contains("does not support reading"), "{error}");
    container.remove(false).await.unwrap();
}

#[tokio::test]
async fn a_further_process_goes_on_when_it_is_detached_from() {
    let (dir, engine) = engine();
    let container = shell(&engine, "sleep 1000").bind(dir.path(), "/mnt");
    let container = container.start().await.unwrap();
    let script = "read x; seq 100000; echo $x > /mnt/done; sleep 1000";
    let mut further = container
        .exec(["sh", "-c", script])
        .tty(true)
        .start()
        .await
        .unwrap();
    let mut terminal = fs::File::from(further.streams.terminal.take().unwrap());
    let pid = further.pid();
    terminal.write_all(b"word\n").unwrap();
    further.detach().await.unwrap();
    drop(terminal);
    // Somebody has to read away what it shows.
    let path = dir.path().join("done");
    eventually("its end", || {
        fs::read(&path).is_ok_and(|text| text == b"word\n")
    });
    let alive = Path::new("/proc").join(pid.to_string()).exists();
    assert!(alive, "it has not been hung up on");
}
