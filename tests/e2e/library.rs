//! The library in a program that knows nothing of it: this test's own executable.

use crate::support::{Registry, Stage, redis, run};
use container_core::Engine;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

fn engine(stage: &Stage) -> Engine {
    Engine::builder()
        .root(stage.root())
        .run_root(stage.run_root())
        .open()
        .unwrap()
}

#[test]
fn output_of_many_short_commands_is_whole() {
    let stage = Stage::new();
    block_on(async {
        let engine = engine(&stage);
        let container = engine
            .container("host")
            .args(["sleep", "1000"])
            .start()
            .await
            .unwrap();
        for number in 0..200 {
            let text = number.to_string();
            let said = container.exec(["echo", &text]).output().await.unwrap();
            assert_eq!(
                String::from_utf8_lossy(&said.stdout),
                format!("{number}\n"),
                "exec {number} of 200: {said:?}"
            );
        }
    });
    block_on(async {
        let engine = engine(&stage);
        for number in 0..100 {
            let text = number.to_string();
            let said = engine
                .container("host")
                .args(["echo", &text])
                .output()
                .await
                .unwrap();
            assert_eq!(
                String::from_utf8_lossy(&said.stdout),
                format!("{number}\n"),
                "container {number} of 100: {said:?}"
            );
        }
    });
}

/// `examples/harness.rs` with a real server, as root and as an ordinary user.
#[test]
fn a_test_harness() {
    let built = std::env::current_exe().unwrap();
    // The examples lie beside the tests: target/debug/{deps,examples}.
    let built = built.parent().unwrap().join("../examples/harness");
    let registry = Registry::start();
    let reference = registry.push(&redis(), "redis:7");
    for stage in Stage::each() {
        let program = stage.file("harness", b"");
        fs::copy(&built, &program)
            .unwrap_or_else(|e| panic!("{}: {e}; cargo test builds it", built.display()));
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let harness = run(stage.command(&program).arg(&reference).arg(stage.dir())).ok();
        assert_eq!(harness.stdout.matches(": ok\n").count(), 4, "{harness}");
        stage.assert_clean(Duration::from_secs(2));
    }
}
