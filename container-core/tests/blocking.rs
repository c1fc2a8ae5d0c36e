//! The library from programs without async, and handles that go from one runtime to another.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]
#![allow(missing_docs)]

use std::time::{Duration, Instant};

use container_core::blocking::Block;
use container_core::{Container, Engine, Error};

fn engine() -> (tempfile::TempDir, Engine) {
    let dir = tempfile::tempdir().unwrap();
    let builder = Engine::builder().root(dir.path().join("root"));
    let engine = builder.run_root(dir.path().join("run")).open().unwrap();
    (dir, engine)
}

/// All that a plain function does with a container.
fn all_of_it(engine: &Engine) {
    let output = engine.container("host").args(["echo", "hi"]).output();
    assert_eq!(output.block().unwrap().stdout, b"hi\n");
    let container = engine.container("host").args(["sleep", "1000"]).start();
    let container = container.block().unwrap();
    let both = async {
        let say = |word| container.exec(["echo", word]).output();
        tokio::try_join!(say("one"), say("two"))
    };
    let (one, two) = both.block().unwrap();
    assert_eq!((&*one.stdout, &*two.stdout), (&b"one\n"[..], &b"two\n"[..]));
    assert_eq!(
        container.stop(Some(Duration::ZERO)).block().unwrap().code,
        137
    );
    // What is used where `?` is.
    let missing = || -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        engine
            .container("host")
            .arg("no-such-program")
            .start()
            .block()?;
        Ok(())
    };
    assert!(
        missing()
            .unwrap_err()
            .to_string()
            .contains("no-such-program")
    );
}

#[test]
fn in_plain_threads() {
    let (_dir, engine) = engine();
    all_of_it(&engine);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| all_of_it(&engine));
        }
    });
}

/// One thread waits long while others come and go: it must not be they who run it.
#[test]
fn a_long_wait_among_short_ones() {
    let (_dir, engine) = engine();
    std::thread::scope(|scope| {
        let long = scope.spawn(|| {
            let sleep = engine.container("host").args(["sleep", "1"]).output();
            sleep.block().unwrap()
        });
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let output = engine.container("host").arg("true").output().block();
                    assert!(output.unwrap().status.success());
                }
            });
        }
        assert!(long.join().unwrap().status.success());
    });
}

#[tokio::test]
async fn inside_a_runtime_of_one_thread() {
    let (_dir, engine) = engine();
    all_of_it(&engine);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inside_a_runtime_of_many_threads() {
    let (_dir, engine) = engine();
    let again = engine.clone();
    let other = tokio::spawn(async move { all_of_it(&again) });
    all_of_it(&engine);
    other.await.unwrap();
}

/// Started in one way, waited for in the other: the runtime that it was started in stands still.
#[tokio::test]
async fn awaited_then_blocked_on() {
    let (_dir, engine) = engine();
    let container = engine.container("host").args(["sleep", "1000"]);
    let container = container.start().await.unwrap();
    assert!(
        container
            .exec(["true"])
            .output()
            .block()
            .unwrap()
            .status
            .success()
    );
    container.kill(9).block().unwrap();
    assert_eq!(container.wait().block().unwrap().code, 137);
    assert_eq!(container.wait().await.unwrap().code, 137);
}

/// Tests that share a container have a runtime each, and the first ends first.
#[test]
fn from_one_runtime_to_the_next() {
    let (_dir, engine) = engine();
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let (container, exec): (Container, _) = runtime().block_on(async {
        let container = engine
            .container("host")
            .args(["sleep", "1000"])
            .start()
            .await
            .unwrap();
        let exec = container.exec(["sleep", "1000"]).start().await.unwrap();
        // Registered with this runtime, and left.
        _ = tokio::time::timeout(Duration::from_millis(20), container.wait()).await;
        _ = tokio::time::timeout(Duration::from_millis(20), exec.wait()).await;
        (container, exec)
    });
    runtime().block_on(async {
        assert!(
            container
                .exec(["true"])
                .output()
                .await
                .unwrap()
                .status
                .success()
        );
        container.kill(9).await.unwrap();
        assert_eq!(container.wait().await.unwrap().code, 137);
        assert_eq!(exec.wait().await.unwrap().code, 137);
    });
    let detached = runtime().block_on(async {
        let container = engine.container("host").args(["sleep", "1000"]).start();
        container.await.unwrap()
    });
    let mut detached = detached;
    detached.detach().block().unwrap();
    detached.remove(true).block().unwrap();
}

#[tokio::test]
async fn fed_and_collected() {
    let (_dir, engine) = engine();
    let container = engine.container("host").args(["sleep", "1000"]);
    let container = container.start().await.unwrap();
    // More than a pipe holds, both ways at once.
    let much = vec![b'x'; 1 << 20];
    let echoed = container.exec(["cat"]).input(much.clone()).output().await;
    assert_eq!(echoed.unwrap().stdout, much);
    // One that does not want it all.
    let head = container
        .exec(["head", "-c", "5"])
        .input(much.clone())
        .output()
        .await;
    assert_eq!(head.unwrap().stdout, b"xxxxx");
    let none = container.exec(["wc", "-c"]).input("").output().await;
    assert_eq!(none.unwrap().stdout, b"0\n");
    let whole = engine.container("host").args(["wc", "-c"]).input(much);
    assert_eq!(whole.output().await.unwrap().stdout, b"1048576\n");
    let refused = engine.container("host").arg("cat").input("x").start().await;
    assert!(matches!(
        refused,
        Err(Error::Setting {
            setting: "input",
            ..
        })
    ));
    let refused = container
        .exec(["cat"])
        .timeout(Duration::ZERO)
        .status()
        .await;
    assert!(matches!(
        refused,
        Err(Error::Setting {
            setting: "timeout",
            ..
        })
    ));
}

#[tokio::test]
async fn bounds_in_time_and_bytes() {
    let (dir, engine) = engine();
    let container = engine.container("host").args(["sleep", "1000"]);
    let container = container.start().await.unwrap();
    let start = Instant::now();
    let late = container.exec(["sh", "-c", "echo early; exec sleep 999"]);
    let late = late
        .timeout(Duration::from_millis(200))
        .output()
        .await
        .unwrap_err();
    assert!(matches!(late, Error::TimedOut { .. }), "{late}");
    assert!(start.elapsed() < Duration::from_secs(10));
    let endless = container
        .exec(["yes"])
        .output_limit(100_000)
        .output()
        .await
        .unwrap_err();
    assert!(
        matches!(
            &endless,
            Error::OutputLimit {
                stream: "stdout",
                limit: 100_000,
                ..
            }
        ),
        "{endless}"
    );
    // Both processes are gone soon.
    loop {
        let left = container
            .exec(["sh", "-c", "cat /proc/[0-9]*/comm"])
            .output()
            .await
            .unwrap();
        let left = String::from_utf8(left.stdout).unwrap();
        if !left.contains("yes") && left.matches("sleep").count() == 1 {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{left}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let exact = container
        .exec(["printf", "12345"])
        .output_limit(5)
        .output()
        .await;
    assert_eq!(exact.unwrap().stdout, b"12345");
    let over = container
        .exec(["sh", "-c", "printf 123456 >&2"])
        .output_limit(5)
        .output()
        .await;
    assert!(matches!(
        over,
        Err(Error::OutputLimit {
            stream: "stderr",
            ..
        })
    ));
    let late = engine
        .container("host")
        .args(["sleep", "1000"])
        .timeout(Duration::from_millis(50));
    assert!(matches!(late.output().await, Err(Error::TimedOut { .. })));
    container.remove(true).await.unwrap();
    // It was waited for: nothing is left now.
    let left = std::fs::read_dir(dir.path().join("root/containers"))
        .unwrap()
        .count();
    assert_eq!(left, 0);
}
