//! The library in a program that knows nothing of it: this test's own executable.

use crate::support::Stage;
use container_core::Engine;

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
