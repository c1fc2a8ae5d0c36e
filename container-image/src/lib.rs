#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
// In tests an unwrap is an assertion.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod archive;
pub mod config;
pub mod digest;
pub mod docker;
pub mod layer;
pub mod manifest;
pub mod platform;
pub mod reference;
pub mod registry;
pub mod store;
mod tarball;
pub mod tree;

pub use config::RunConfig;
pub use digest::Digest;
pub use platform::Platform;
pub use reference::Reference;
pub use registry::Registry;
pub use store::Store;
