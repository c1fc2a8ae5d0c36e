#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
// In tests an unwrap is an assertion.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod digest;
pub mod layer;

pub use digest::Digest;
