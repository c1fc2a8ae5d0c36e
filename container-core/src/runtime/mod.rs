//! The one place that touches the kernel between clone and exec. It carries out a
//! [`Plan`](crate::plan::Plan) and decides nothing.
//!
//! Everything here runs in a process of ours that has one thread (the monitor and what it
//! clones), never in the embedder's: allocation and locks are allowed after clone.
//!
//! `sys` holds the system calls that no crate offers safely; the rest is safe code on top.

// This is the room that clippy.toml keeps these calls to.
#![allow(clippy::disallowed_methods)]

mod child;
mod command;
mod copy_up;
mod enter;
mod errand;
mod id_mapped;
mod init;
mod launch;
mod mount;
mod outside;
mod process;
mod resolve;
mod scene;
mod steps;
pub(crate) mod sys;
pub(crate) mod terminal;
mod user;
pub(crate) mod userns;

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use serde::{Deserialize, Serialize};

pub(crate) use enter::enter;
pub(crate) use errand::{Errand, errand};
pub(crate) use launch::{Launched, Stdio, give_streams, launch, populate};

pub(crate) use resolve::{Links, open as open_inside};
pub(crate) use scene::{Scene, make as scene, same_mount};

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::container::ExitStatus;
use crate::error::{CommandProblem, Error};

/// Why a process of a container could not be started, as told by that process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fault {
    /// A step failed.
    Setup { step: String, reason: String },
    /// A setting turned out to be wrong when it was carried out.
    Setting {
        setting: String,
        value: String,
        reason: String,
    },
    /// The command cannot be executed.
    Command {
        problem: CommandProblem,
        message: String,
    },
    /// A user or group is not known in the container.
    NoSuchUser {
        kind: String,
        name: String,
        file: String,
    },
}

impl Fault {
    pub(crate) fn setup(step: impl ToString, error: &io::Error) -> Self {
        Self::Setup {
            step: step.to_string(),
            reason: error.to_string(),
        }
    }

    pub(crate) fn at<E: Into<io::Error>>(step: &str) -> impl FnOnce(E) -> Self + '_ {
        move |error| Self::setup(step, &error.into())
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Setup { step, reason } => Self::Setup { step, reason },
            Fault::Setting {
                setting,
                value,
                reason,
            } => Self::Setting {
                setting: match setting.as_str() {
                    "mount" => "mount",
                    "owner" => "owner",
                    "ulimit" => "ulimit",
                    "workdir" => "workdir",
                    "user" => "user",
                    "userns" => "userns",
                    _ => "setting",
                },
                value,
                reason,
            },
            Fault::Command { problem, message } => Self::Command { problem, message },
            Fault::NoSuchUser { kind, name, file } => Self::NoSuchUser { kind, name, file },
        }
    }
}

/// The ids of Docker's `user[:group]`, looked up in a container's own files.
pub(crate) fn look_up_user(root: BorrowedFd<'_>, user: &str) -> Result<(u32, u32), Fault> {
    let identity = user::lookup(root, user, &[])?;
    Ok((identity.uid, identity.gid))
}

/// Sends a signal to the process behind a pidfd.
pub(crate) fn signal(pidfd: &OwnedFd, number: i32) -> io::Result<()> {
    let signal =
        rustix::process::Signal::from_named_raw(number).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(rustix::process::pidfd_send_signal(pidfd, signal)?)
}

/// Waits for a child of this process.
pub(crate) fn wait(pid: i32) -> ExitStatus {
    loop {
        match waitpid(Pid::from_raw(pid), Some(WaitPidFlag::__WALL)) {
            Err(nix::errno::Errno::EINTR) => {}
            Ok(status) => {
                if let Some(exit) = exit_status(status) {
                    return exit;
                }
            }
            // Somebody else has collected it: nothing is known of its end.
            Err(_) => {
                return ExitStatus::of(255);
            }
        }
    }
}

/// The end of a child of this process, if it has come.
pub(crate) fn try_wait(pid: i32) -> Option<ExitStatus> {
    let flags = WaitPidFlag::__WALL | WaitPidFlag::WNOHANG;
    exit_status(waitpid(Pid::from_raw(pid), Some(flags)).ok()?)
}

fn exit_status(status: WaitStatus) -> Option<ExitStatus> {
    match status {
        WaitStatus::Exited(_, code) => Some(ExitStatus::of(code)),
        WaitStatus::Signaled(_, signal, _) => Some(ExitStatus::by(signal as i32)),
        _ => None,
    }
}
