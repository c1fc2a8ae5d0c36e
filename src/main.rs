//! `mini-docker`.
#![forbid(unsafe_code)]
fn main() {}
