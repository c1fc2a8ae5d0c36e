//! The text of `mini-docker` where no container runs: help, tables of an empty store, errors with
//! their exit codes. `TRYCMD=overwrite cargo test --test cli` writes what it says now.
#![allow(clippy::unwrap_used, reason = "tests")]

#[test]
fn texts() {
    let store = tempfile::tempdir().unwrap();
    let directory = |name: &str| store.path().join(name).display().to_string();
    trycmd::TestCases::new()
        .env("MINI_DOCKER_ROOT", directory("root"))
        .env("MINI_DOCKER_RUN", directory("run"))
        .case("tests/cli/*.trycmd");
}
