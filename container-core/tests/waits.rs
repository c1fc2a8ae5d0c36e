//! Waiting until a container is ready, on the `host` image. Works as root and as an ordinary user.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]
#![allow(missing_docs)]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use container_core::ready::{Http, Log, NotReady, Ready};
use container_core::request::{Healthcheck, RestartPolicy};
use container_core::{Container, ContainerBuilder, Engine, Error, LogStream, Stdio};

fn engine() -> (tempfile::TempDir, Engine) {
    let dir = tempfile::tempdir().unwrap();
    let builder = Engine::builder().root(dir.path().join("root"));
    let engine = builder.run_root(dir.path().join("run")).open().unwrap();
    (dir, engine)
}

fn shell(engine: &Engine, script: &str) -> ContainerBuilder {
    engine.container("host").args(["sh", "-c", script])
}

fn assert_clean(dir: &Path) {
    for place in ["root/containers", "root/names"] {
        let left: Vec<_> = fs::read_dir(dir.join(place))
            .map(|entries| entries.flatten().map(|e| e.file_name()).collect())
            .unwrap_or_default();
        assert!(left.is_empty(), "{place}: {left:?}");
    }
}

fn not_ready(result: Result<Container, Error>) -> NotReady {
    match result {
        Err(Error::NotReady(not)) => *not,
        other => panic!("{other:?}"),
    }
}

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_line_the_nth_time_on_its_stream() {
    let (dir, engine) = engine();
    let script = "echo up; echo up >&2; sleep 0.3; echo it is up now; sleep 1000";
    for (log, at_once) in [
        (Log::new("up"), true),
        (Log::new("up").times(2), true),
        (Log::new("up").on(LogStream::Stderr), true),
        (Log::new("up").on(LogStream::Stdout).times(2), false),
        (Log::new("up").times(3), false),
    ] {
        let start = Instant::now();
        let container = shell(&engine, script)
            .ready(log.clone())
            .start()
            .await
            .unwrap();
        let early = start.elapsed() < Duration::from_millis(300);
        // A slow machine may take its time, but nothing comes before it is there.
        assert!(at_once || !early, "{log:?} after {:?}", start.elapsed());
        // What is there already counts.
        container.wait_for(log).await.unwrap();
        container.remove(true).await.unwrap();
    }
    assert_clean(dir.path());
}

/// However short its life, what a container says before its end is in the error.
#[tokio::test]
async fn the_last_words_of_one_that_ends() {
    let (dir, engine) = engine();
    for number in 0..40 {
        let script = format!("echo first; echo oops {number} >&2; exit 3");
        let start = Instant::now();
        let failed = shell(&engine, &script).ready(Ready::tcp(80)).start().await;
        let not = not_ready(failed);
        assert_eq!(not.exit.as_ref().unwrap().code, 3);
        assert!(
            start.elapsed() < SOON,
            "it was noticed after {:?}",
            start.elapsed()
        );
        assert_eq!(not.log.lines().count(), 2, "{not}");
        assert!(not.log.contains(&format!("oops {number}\n")), "{not}");
        assert_eq!(not.missing.len(), 1);
        assert_clean(dir.path());
    }
    // And counts.
    for _ in 0..20 {
        let container = shell(&engine, "echo done")
            .ready(Log::new("done"))
            .start()
            .await;
        assert!(container.unwrap().wait().await.unwrap().success());
    }
    let both = Ready::all([Log::new("a").into(), Log::new("b").into()]);
    let not = not_ready(shell(&engine, "echo a").ready(both).start().await);
    assert_eq!(not.missing, ["\"b\" in its log"]);
    assert_clean(dir.path());
}

/// Also where the log has been begun anew meanwhile.
#[tokio::test]
async fn the_last_words_of_one_that_says_much() {
    let (dir, engine) = engine();
    let script = "seq 1 20000; echo the end; exit 1";
    let failed = shell(&engine, script)
        .log_option("max-size", "50k")
        .log_option("max-file", "3")
        .ready(Ready::tcp(80))
        .start();
    let not = not_ready(failed.await);
    assert!(not.log.ends_with("20000\nthe end\n"), "{not}");
    assert_clean(dir.path());
}

#[tokio::test]
async fn the_deadline() {
    let (dir, engine) = engine();
    let ready = Ready::all([
        Log::new("one").into(),
        Log::new("two").times(2).into(),
        Ready::tcp(7),
        Ready::command(["sh", "-c", "echo no >&2; exit 4"]),
        Ready::socket("/run/x.sock"),
        Http::get(8, "/").into(),
    ]);
    let script = "echo one; echo two; sleep 1000";
    let start = Instant::now();
    let waiting = ready.clone().within(Duration::from_millis(700));
    let not = not_ready(shell(&engine, script).ready(waiting).start().await);
    assert!(start.elapsed() >= Duration::from_millis(700));
    assert_eq!(not.exit, None);
    assert_eq!(
        not.missing,
        [
            "\"two\" in its log, 2 times (seen once)",
            "TCP port 7 (nobody listens)",
            "the command \"sh -c echo no >&2; exit 4\" (exit code 4 no)",
            "the socket /run/x.sock (it is not there)",
            "HTTP GET of :8/ (connection refused)",
        ]
    );
    assert_eq!(not.log, "one\ntwo\n");
    assert_clean(dir.path());
    // On a container that is there, nothing is removed.
    let container = shell(&engine, script).start().await.unwrap();
    let waiting = Ready::exit().within(Duration::from_millis(50));
    assert!(matches!(
        container.wait_for(waiting).await,
        Err(Error::NotReady(_))
    ));
    container.exec(["true"]).status().await.unwrap();
}

/// One that nobody waits for any more goes like any other.
#[tokio::test]
async fn given_up() {
    let (dir, engine) = engine();
    for script in ["sleep 1000", "exit 3"] {
        let start = shell(&engine, script).ready(Ready::tcp(80)).start();
        let given_up = tokio::time::timeout(Duration::from_millis(20), start).await;
        drop(given_up);
    }
    let start = Instant::now();
    while fs::read_dir(dir.path().join("root/containers")).is_ok_and(|mut d| d.next().is_some()) {
        assert!(start.elapsed() < SOON, "something is left");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

const SERVER: &str = "use IO::Socket::INET; sleep 1;
    my $s = IO::Socket::INET->new(LocalAddr => $ARGV[0], LocalPort => 80, Listen => 5) or die;
    my $n = 0;
    while (my $c = $s->accept) {
        while (my $l = <$c>) { last if $l eq \"\\r\\n\"; }
        if ($n++ < 2) { print $c \"HTTP/1.1 503 No\\r\\nContent-Length: 3\\r\\n\\r\\nno\\n\" }
        else { print $c \"HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n\";
            print $c \"3\\r\\ngoo\\r\\n2\\r\\nd!\\r\\n0\\r\\n\\r\\n\" }
        close $c; }";

#[tokio::test]
async fn a_port_and_an_answer() {
    let (dir, engine) = engine();
    let server = |address| {
        engine
            .container("host")
            .args(["perl", "-e", SERVER, address])
    };
    let container = server("0.0.0.0")
        .ready(Ready::tcp(80))
        .start()
        .await
        .unwrap();
    // Nobody has connected: the first two answers are still to come.
    let body = Http::get(80, "/x").body("good!");
    container
        .wait_for(Http::get(80, "/").status(503))
        .await
        .unwrap();
    container.wait_for(body).await.unwrap();
    let wrong = Ready::from(Http::get(80, "/").body("bad")).within(Duration::from_millis(100));
    let Err(Error::NotReady(not)) = container.wait_for(wrong).await else {
        panic!()
    };
    assert_eq!(
        not.missing,
        ["HTTP GET of :80/ with \"bad\" in it (status 200 with another body)"]
    );
    container.remove(true).await.unwrap();
    let get = Http::get(80, "/");
    drop(server("127.0.0.1").ready(get).start().await.unwrap());
    let busybox = shell(
        &engine,
        "mkdir /tmp/www; echo hi > /tmp/www/index.html; exec busybox httpd -f -p 8080 -h /tmp/www",
    );
    let hi = Http::get(8080, "/index.html").body("hi");
    let container = busybox.ready(hi).start().await.unwrap();
    container
        .wait_for(Http::get(8080, "/none").status(404))
        .await
        .unwrap();
    container.remove(true).await.unwrap();
    drop(dir);
}

#[tokio::test]
async fn a_command() {
    let (_dir, engine) = engine();
    let script = "sleep 0.3; touch /tmp/up; sleep 1000";
    let up = Ready::command(["test", "-e", "/tmp/up"]);
    drop(shell(&engine, script).ready(up).start().await.unwrap());
    // What cannot be executed will not be.
    let start = Instant::now();
    let failed = shell(&engine, script)
        .ready(Ready::command(["no-such"]))
        .start()
        .await;
    let error = failed.unwrap_err();
    assert!(error.command().is_some(), "{error}");
    assert!(start.elapsed() < SOON);
}

#[tokio::test]
async fn a_socket() {
    let (_dir, engine) = engine();
    let script = "mkdir -p /tmp/a; ln -s a /tmp/l; sleep 0.1; touch /tmp/a/file; mkdir /tmp/a/b; sleep 0.1;
        exec perl -e 'use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Local => \"/tmp/a/b/s\", Listen => 1) or die; sleep 1000'";
    let start = Instant::now();
    let both = Ready::all([Ready::socket("/tmp/l/b/s"), Ready::socket("/tmp/a/b/s")]);
    let container = shell(&engine, script).ready(both).start().await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(200));
    container.dial_unix("/tmp/l/b/s").await.unwrap();
    let file = Ready::socket("/tmp/a/file").within(Duration::from_millis(100));
    assert!(container.wait_for(file).await.is_err());
}

#[tokio::test]
async fn health() {
    let (dir, engine) = engine();
    let check = |test: &str| Healthcheck {
        test: vec!["CMD-SHELL".into(), test.into()],
        interval: Duration::from_millis(50),
        retries: 2,
        ..Healthcheck::default()
    };
    let script = "sleep 0.2; touch /tmp/well; sleep 1000";
    let well = check("sleep 0.1; test -e /tmp/well");
    let well = Healthcheck {
        start_period: Duration::from_secs(30),
        start_interval: Duration::from_millis(20),
        ..well
    };
    let container = shell(&engine, script)
        .healthcheck(well)
        .ready(Ready::healthy());
    let container = container.start().await.unwrap();
    assert_eq!(
        container
            .inspect()
            .unwrap()
            .state
            .health
            .unwrap()
            .status
            .as_str(),
        "healthy"
    );
    container.remove(true).await.unwrap();
    let ill = shell(&engine, script).healthcheck(check("echo it hurts; false"));
    let not = not_ready(ill.ready(Ready::healthy()).start().await);
    assert_eq!(not.missing, ["its health check (unhealthy: it hurts)"]);
    let none = shell(&engine, script)
        .ready(Ready::healthy())
        .start()
        .await
        .unwrap_err();
    assert!(
        matches!(
            none,
            Error::Setting {
                setting: "ready",
                ..
            }
        ),
        "{none}"
    );
    assert_clean(dir.path());
}

#[tokio::test]
async fn the_end() {
    let (_dir, engine) = engine();
    let three = || shell(&engine, "sleep 0.05; exit 3");
    for ready in [Ready::exit(), Ready::exit_code(3)] {
        let container = three().ready(ready.clone()).start().await.unwrap();
        assert_eq!(container.wait().await.unwrap().code, 3);
        // Of one that is kept, afterwards and by others, too.
        let mut container = three().auto_remove(false).start().await.unwrap();
        container.detach().await.unwrap();
        let other = engine.get(container.id()).unwrap();
        other.wait_for(ready.clone()).await.unwrap();
        other.wait_for(ready).await.unwrap();
        other.remove(false).await.unwrap();
    }
    let not = not_ready(three().ready(Ready::exit_code(0)).start().await);
    assert_eq!(
        (not.exit.unwrap().code, not.missing),
        (3, vec!["its end with exit code 0".into()])
    );
}

#[tokio::test]
async fn one_of_several() {
    let (dir, engine) = engine();
    let container = shell(&engine, "echo b; sleep 1000").start().await.unwrap();
    let a = || Ready::from(Log::new("a"));
    let b = || Ready::from(Log::new("b"));
    for ready in [
        Ready::any([a(), b()]),
        Ready::any([a().within(Duration::from_millis(10)), b()]),
        Ready::all([b(), Ready::any([Ready::exit(), b()]), Ready::all([])]),
    ] {
        container.wait_for(ready).await.unwrap();
    }
    // What is late is out of the question, what else there is has its time.
    let start = Instant::now();
    let late = Ready::all([a().within(Duration::from_millis(30)), b()]);
    assert!(container.wait_for(late).await.is_err());
    let late = Ready::any([
        a().within(Duration::from_millis(10)),
        a().within(Duration::from_millis(30)),
    ]);
    assert!(container.wait_for(late).await.is_err());
    assert!(start.elapsed() < SOON);
    assert!(matches!(
        container.wait_for(Ready::any([])).await,
        Err(Error::Setting { .. })
    ));
    container.remove(true).await.unwrap();
    let gone = container.wait_for(Ready::tcp(80)).await;
    assert!(
        matches!(&gone, Err(Error::NotReady(not)) if not.exit.is_some()),
        "{gone:?}"
    );
    assert_clean(dir.path());
}

#[tokio::test]
async fn of_one_that_is_restarted() {
    let (dir, engine) = engine();
    let again = RestartPolicy::OnFailure { max_retries: 5 };
    let script =
        "echo run; n=$(cat /etc/n); echo x$n > /etc/n; [ \"$n\" = xx ] || exit 1; sleep 1000";
    let third = Ready::all([
        Log::new("run").times(3).into(),
        Ready::command(["grep", "xxx", "/etc/n"]),
    ]);
    let container = shell(&engine, script)
        .auto_remove(false)
        .restart(again)
        .ready(third);
    let container = container.start().await.unwrap();
    container.remove(true).await.unwrap();
    let never = RestartPolicy::OnFailure { max_retries: 2 };
    let container = shell(&engine, "echo run; exit 9")
        .auto_remove(false)
        .restart(never);
    let not = not_ready(container.ready(Ready::tcp(80)).start().await);
    assert_eq!(not.log, "run\nrun\nrun\n");
    assert_eq!(not.exit.unwrap().code, 9);
    assert_clean(dir.path());
}

#[tokio::test]
async fn what_cannot_be_honoured() {
    let (dir, engine) = engine();
    let setting = |error: Error| match error {
        Error::Setting {
            setting, reason, ..
        } => format!("{setting}: {reason}"),
        other => panic!("{other}"),
    };
    let ready = || shell(&engine, "true").ready(Log::new("x").on(LogStream::Stderr));
    let piped = ready().stderr(Stdio::Piped).start().await.unwrap_err();
    assert!(setting(piped).contains("the log"));
    let logged = ready().stdout(Stdio::Piped).start().await;
    assert!(matches!(logged, Err(Error::NotReady(_))));
    for wrong in [
        ready().output().await.map(drop).unwrap_err(),
        ready().status().await.map(drop).unwrap_err(),
        ready().create().await.map(drop).unwrap_err(),
    ] {
        assert!(setting(wrong).starts_with("ready"));
    }
    let none = ready().log_driver("none").start().await.unwrap_err();
    assert!(matches!(none, Error::Log(_)), "{none}");
    let port = shell(&engine, "exit 1")
        .log_driver("none")
        .ready(Ready::tcp(1))
        .start();
    assert!(not_ready(port.await).log.is_empty());
    assert_clean(dir.path());
}
