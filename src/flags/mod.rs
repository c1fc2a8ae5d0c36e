//! What the values of flags mean: pure functions from text to the library's data, with Docker's
//! spellings and Docker's words for what is wrong. Nothing here reads a file, the environment or
//! the clock: where a value needs them (`-e KEY`, a relative `-v` source), they are arguments.

pub(crate) mod condition;
pub(crate) mod container_filter;
pub(crate) mod detach_keys;
pub(crate) mod device;
pub(crate) mod duration;
pub(crate) mod env;
pub(crate) mod event_filter;
pub(crate) mod filter;
pub(crate) mod health;
pub(crate) mod label;
pub(crate) mod log;
pub(crate) mod moment;
pub(crate) mod mount;
pub(crate) mod mount_spec;
pub(crate) mod names;
pub(crate) mod namespace;
pub(crate) mod pattern;
pub(crate) mod port;
pub(crate) mod prune;
pub(crate) mod request;
pub(crate) mod restart;
pub(crate) mod security;
pub(crate) mod size;
pub(crate) mod ulimit;
pub(crate) mod userns;
pub(crate) mod volume_filter;
