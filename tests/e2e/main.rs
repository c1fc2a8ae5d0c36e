//! The built `mini-docker` from end to end, on the real kernel and against real peers. One target, so that it links once.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "tests drive the program from outside, and a fixture that fails fails its test"
)]

#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod boot;
mod containers;
mod crashes;
mod equality;
mod escapes;
mod files;
mod first_run;
mod fixtures;
mod images;
mod inside;
mod library;
mod load;
mod logs;
mod real_images;
mod templates;
mod terminal;
mod userns;
mod volume_crashes;
mod volumes;
