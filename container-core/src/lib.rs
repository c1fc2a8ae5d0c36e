#![doc = include_str!("../README.md")]
// In tests an unwrap is an assertion.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod attach;
pub mod blocking;
mod capture;
pub mod cgroup;
mod container;
mod engine;
mod error;
mod events;
mod exec;
mod files;
mod health;
pub mod host;
mod images;
mod listeners;
mod log;
mod machine;
mod monitor;
mod mountpoints;
mod mounts;
mod name;
mod outbox;
pub mod plan;
pub mod ready;
mod reap;
pub mod request;
mod restart;
mod rootless;
mod run;
mod runtime;
pub mod seccomp;
pub mod spec;
mod state;
mod stdio;
mod unpack;
pub mod volume;
mod wire;

pub use container_image as image;

pub use attach::{Attach, Attached};
pub use container::{Container, ContainerBuilder, ExitStatus, Output, REUSE_LABEL};
pub use engine::{Engine, EngineBuilder, Pull};
pub use error::{CommandProblem, Error, Result};
pub use events::{Event, EventKind, Events};
pub use exec::{Exec, ExecBuilder, ExecRequest};
pub use files::{
    Archive, Change, ChangeKind, CommitOptions, Copied, CopyOptions, FilesError, PathStat, Sizes,
};
pub use log::{LogError, LogLine, LogOptions, LogReader, LogStream, Logs};
pub use ready::Ready;
pub use request::{Mount, MountPoint, MountSource, Network, Request};
pub use state::{Health, HealthStatus, Inspect, Probed, Record, State, Status};
pub use stdio::{Stdio, Streams};
pub use volume::{NewVolume, Volume, Volumes};

/// Compiles the example in the project's README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct ProjectReadme;
