//! The monitor: one small process for each container, which owns it from its first directory to
//! its last.
//!
//! ```text
//! embedder ──spawn (posix_spawn of the own executable)──▶ monitor ──clone3──▶ the program
//!    │  socket: Job, then Started, then Exited              │
//!    └─ its end closes: end and remove the container        └─ monitor.sock: kill, stop, exec, …
//! ```
//!
//! `job` is what goes over the socket; `spawn`, `client` and `connection` are the
//! embedder's side; `entry`,
//! `supervise`, `serve`, `probe` and `errands` are the monitor's.

pub(crate) mod client;
pub(crate) mod connection;
mod entry;
mod errands;
mod files;
mod hub;

pub(crate) mod job;
mod launch;
mod probe;
mod serve;
pub(crate) mod spawn;
mod spent;
mod supervise;

pub(crate) use entry::{FILES, UNPACK};
