//! What the end-to-end tests stand on: peers, images, users and the proof that nothing was left behind.
//!
//! Everything here is real: the built `mini-docker`, this kernel, Debian's registry, Docker's own daemon. Each test has
//! a [`Stage`] of its own (its own `--root` and `--run-root`), so all of them run at once, and each fixture ends what
//! it started by the handle it started it with.
//!
//! What cannot be had is said with [`not_run!`], never passed over in silence.
#![allow(
    dead_code,
    unused_macros,
    unused_imports,
    reason = "each test target that shares these uses its part of them"
)]

mod docker;
mod images;
mod leaks;
mod ran;
mod registry;
mod stage;
mod vm;

pub(crate) use docker::Docker;
pub(crate) use images::{Layer, Layout, Recipe, busybox, debian, redis};
pub(crate) use leaks::Leaks;
pub(crate) use ran::{Ran, run, run_with_input};
pub(crate) use registry::Registry;
pub(crate) use stage::{Identity, Stage};
pub(crate) use vm::{Kind as VmKind, Vm};

/// Says on the terminal, past libtest's capture, that this test was not run and why, and returns from it.
///
/// Only for what the machine cannot give. What `tests/run` installs is not a reason: a test that misses it fails.
macro_rules! not_run {
    ($($why:tt)*) => {{
        $crate::support::say_not_run(module_path!(), &format!($($why)*));
        return;
    }};
}
pub(crate) use not_run;

pub(crate) fn say_not_run(test: &str, why: &str) {
    use std::io::Write;
    let name = std::thread::current().name().unwrap_or(test).to_owned();
    // The handle is not captured by libtest, eprintln! is.
    let _ = writeln!(std::io::stderr(), "not run: {name}: {why}");
}

/// Whether this process is root in the initial sense that fixtures need: it may start daemons and become other users.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}
