//! Connections into containers that have no network but their own, on the `host` image. Works as
//! root and as an ordinary user.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]
#![allow(missing_docs)]

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use container_core::blocking::Block;
use container_core::{Container, Engine, Error, Network};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn engine() -> (tempfile::TempDir, Engine) {
    let dir = tempfile::tempdir().unwrap();
    let builder = Engine::builder().root(dir.path().join("root"));
    let engine = builder.run_root(dir.path().join("run")).open().unwrap();
    (dir, engine)
}

/// Answers a line with the same line, once for each connection, at an address of perl's.
fn echo_server(family: &str, address: &str) -> String {
    format!(
        "use IO::Socket; use IO::Socket::{family};
         my $server = IO::Socket::{family}->new({address}, Listen => 5) or die \"$@\";
         while (my $client = $server->accept) {{ my $line = <$client>; print $client $line; }}"
    )
}

async fn start(engine: &Engine, program: &str) -> Container {
    let container = engine.container("host").args(["perl", "-e", program]);
    container.start().await.unwrap()
}

async fn echo(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin)) {
    stream.write_all(b"hello\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "hello\n");
}

/// Tries until somebody listens.
macro_rules! soon {
    ($dial:expr) => {{
        let start = Instant::now();
        loop {
            match $dial.await {
                Ok(stream) => break stream,
                Err(e @ Error::Dial { .. }) => {
                    assert!(start.elapsed() < Duration::from_secs(20), "{e}");
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err(e) => panic!("{e}"),
            }
        }
    }};
}

#[tokio::test]
async fn tcp_of_both_versions() {
    let (_dir, engine) = engine();
    for address in ["LocalAddr => '127.0.0.1'", "LocalAddr => '0.0.0.0'"] {
        let program = echo_server("INET", &format!("{address}, LocalPort => 6379"));
        let container = start(&engine, &program).await;
        echo(&mut soon!(container.dial(6379))).await;
        let error = container.dial(6380).await.unwrap_err().to_string();
        assert!(error.contains("TCP port 6380"), "{error}");
    }
    let v6 = "socket(my $s, 10, 1, 6) or die; setsockopt($s, 41, 26, pack('i', 1)) or die;
        bind($s, pack('SnNa16N', 10, 6379, 0, \"\\0\" x 15 . \"\\1\", 0)) or die \"$!\";
        listen($s, 5); while (accept(my $c, $s)) { my $l = <$c>; syswrite $c, $l; close $c }";
    let container = start(&engine, v6).await;
    echo(&mut soon!(container.dial(6379))).await;
}

/// Many at once, and each container has its own port of that number.
#[tokio::test]
async fn everybody_has_a_loopback_of_their_own() {
    let (_dir, engine) = engine();
    let program = echo_server("INET", "LocalAddr => '127.0.0.1', LocalPort => 80");
    let (one, two) = (
        start(&engine, &program).await,
        start(&engine, &program).await,
    );
    drop((soon!(one.dial(80)), soon!(two.dial(80))));
    let mut dialing = tokio::task::JoinSet::new();
    let (one, two) = (std::sync::Arc::new(one), std::sync::Arc::new(two));
    for number in 0..100 {
        let container = if number % 2 == 0 {
            one.clone()
        } else {
            two.clone()
        };
        dialing.spawn(async move { echo(&mut container.dial(80).await.unwrap()).await });
    }
    dialing.join_all().await;
}

#[tokio::test]
async fn on_the_machines_network() {
    let (_dir, engine) = engine();
    let program = "use IO::Socket::INET; $| = 1;
        my $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5) or die;
        print $s->sockport . \"\\n\"; while (my $c = $s->accept) { my $l = <$c>; print $c $l; }";
    let mut container = engine
        .container("host")
        .args(["perl", "-e", program])
        .network(Network::Host)
        .stdout(container_core::Stdio::Piped)
        .start()
        .await
        .unwrap();
    let mut port = [0; 16];
    let n = std::fs::File::from(container.streams.stdout.take().unwrap())
        .read(&mut port)
        .unwrap();
    let port = std::str::from_utf8(&port[..n])
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    echo(&mut container.dial(port).await.unwrap()).await;
    echo(
        &mut tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .unwrap(),
    )
    .await;
}

#[tokio::test]
async fn unix_sockets() {
    let (_dir, engine) = engine();
    let container = start(&engine, &echo_server("UNIX", "Local => '/tmp/echo.sock'")).await;
    echo(&mut soon!(container.dial_unix("/tmp/echo.sock"))).await;
    let error = container
        .dial_unix("/tmp/other.sock")
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("No such file") && error.contains("other.sock"),
        "{error}"
    );
    let long = format!("/tmp/{}", "x".repeat(200));
    assert!(matches!(
        container.dial_unix(&long).await,
        Err(Error::Dial { .. })
    ));
}

#[tokio::test]
async fn of_a_container_that_does_not_run() {
    let (_dir, engine) = engine();
    let container = engine.container("host").arg("true").auto_remove(false);
    let container = container.start().await.unwrap();
    container.wait().await.unwrap();
    for error in [
        container.dial(80).await.unwrap_err(),
        container.dial_unix("/x").await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::NotRunning { .. }), "{error}");
    }
    container.remove(false).await.unwrap();
}

/// The monitor's processes that make connections are gone when the container is.
#[test]
fn without_async() {
    let (_dir, engine) = engine();
    let program = echo_server("INET", "LocalAddr => '127.0.0.1', LocalPort => 80");
    let container = engine.container("host").args(["perl", "-e", &program]);
    let container = container.start().block().unwrap();
    let mut stream = async { Ok::<_, Error>(soon!(container.dial(80))) }
        .block()
        .unwrap();
    let mut again = container.dial(80).block().unwrap().into_std().unwrap();
    again.set_nonblocking(false).unwrap();
    again.write_all(b"plain\n").unwrap();
    // One after the other: the server serves the first first.
    let served = async {
        echo(&mut stream).await;
        Ok::<_, Error>(())
    };
    served.block().unwrap();
    let mut answer = String::new();
    again.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "plain\n");
}
