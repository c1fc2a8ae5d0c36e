//! The one error type of the crate.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::state::Status;

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something could not be done: what was being done, to what, and where possible the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting of a container makes no sense or cannot be honoured here.
    #[error("{}", refusal(setting, value, reason))]
    Setting {
        /// The setting, as the builder's method and the CLI's flag call it.
        setting: &'static str,
        /// What it was set to.
        value: String,
        /// Why that is wrong and what would be right. One that begins with a capital is a whole sentence, Docker's where
        /// it has one, and stands alone.
        reason: String,
    },
    /// The image's name cannot be parsed.
    #[error("invalid reference format: {source}")]
    Reference {
        /// What is wrong with it.
        source: container_image::reference::ReferenceError,
    },
    /// No such image locally, and pulling was not allowed.
    #[error("No such image: {image}")]
    NoSuchImage {
        /// Its name, with the tag that was meant.
        image: String,
    },
    /// The image is for other machines than the caller asked for.
    #[error(
        "image {image} was found, but it is for {found} and not for {wanted}, as was asked; pull \
         it for {wanted}, or leave the platform out"
    )]
    Platform {
        /// As the caller wrote it.
        image: String,
        /// The platform asked for.
        wanted: String,
        /// The image's platform.
        found: String,
    },
    /// The image store failed.
    #[error(transparent)]
    Store(#[from] container_image::store::StoreError),
    /// An image could not be pulled.
    #[error(transparent)]
    Pull(#[from] container_image::registry::PullError),
    /// Something cannot be done with a volume.
    #[error(transparent)]
    Volume(#[from] crate::volume::VolumeError),
    /// Files of a container cannot be read, written or copied.
    #[error(transparent)]
    Files(#[from] crate::files::FilesError),
    /// A change asked of an image's configuration was not understood.
    #[error(transparent)]
    Change(#[from] container_image::config::ChangeError),
    /// The seccomp profile cannot be used.
    #[error("seccomp profile: {0}")]
    Seccomp(#[from] crate::seccomp::SeccompError),
    /// The log cannot be written or read as configured.
    #[error(transparent)]
    Log(#[from] crate::log::LogError),
    /// A cgroup cannot be made or set.
    #[error(transparent)]
    Cgroup(#[from] crate::cgroup::CgroupError),
    /// A limit cannot be applied.
    #[error("{reason}")]
    Limit {
        /// The limit, the file and the cause.
        reason: String,
    },
    /// A user or group is not in the container.
    #[error("unable to find {kind} {name}: no matching entries in {file}")]
    NoSuchUser {
        /// `user` or `group`.
        kind: String,
        /// The name.
        name: String,
        /// The file looked in.
        file: String,
    },
    /// The command cannot be executed.
    #[error("{message}")]
    Command {
        /// Whether it is missing or not executable.
        problem: CommandProblem,
        /// The command and the cause.
        message: String,
    },
    /// A step of the container's set-up failed.
    #[error("cannot start the container: {step}: {reason}")]
    Setup {
        /// What was being done, to what.
        step: String,
        /// The kernel's answer, with advice where there is some.
        reason: String,
    },
    /// Another container has the name.
    #[error(
        "Conflict. The container name \"/{name}\" is already in use by container \"{id}\". You have to \
         remove (or rename) that container to be able to reuse that name."
    )]
    NameInUse {
        /// The name.
        name: String,
        /// Who has it.
        id: String,
    },
    /// A container cannot be removed while it runs.
    #[error(
        "You cannot remove a {} container {id}. {} the container before attempting removal or force remove",
        status.as_str(),
        way_to_stop(*status),
    )]
    Running {
        /// Its id.
        id: String,
        /// Whether it runs, stands still, or will be started again.
        status: Status,
    },
    /// No container has this id or name.
    #[error("No such container: {name}")]
    NoSuchContainer {
        /// As the caller wrote it.
        name: String,
    },
    /// Several containers' ids begin alike.
    #[error(
        "multiple IDs found with provided prefix: {prefix} ({first} and {second} at least): give \
         more of it"
    )]
    Ambiguous {
        /// As the caller wrote it.
        prefix: String,
        /// One of them.
        first: String,
        /// Another.
        second: String,
    },
    /// The container is paused.
    #[error("Container {id} is paused, unpause the container before {action}")]
    Paused {
        /// Its id.
        id: String,
        /// What was asked.
        action: String,
    },
    /// The container is paused already, or not.
    #[error("Container {id} is {}", if *.paused { "already paused" } else { "not paused" })]
    Unchanged {
        /// Its id.
        id: String,
        /// How it is.
        paused: bool,
    },
    /// Somebody is starting, changing or removing the container.
    #[error("Container {id} is being started, changed or removed by somebody else: try again")]
    Busy {
        /// Its id.
        id: String,
    },
    /// There is no such container, or it has ended.
    #[error("Container {id} is not running")]
    NotRunning {
        /// Its id.
        id: String,
    },
    /// A container did not become what was waited for.
    #[error(transparent)]
    NotReady(Box<crate::ready::NotReady>),
    /// A process or container did not end in the time it was given.
    #[error("{what} had not ended after {after:?} and was killed")]
    TimedOut {
        /// The process or container.
        what: String,
        /// The time it was given.
        after: Duration,
    },
    /// A process or container wrote more than it was allowed to.
    #[error("{what} wrote more than {limit} bytes to {stream} and was killed")]
    OutputLimit {
        /// The process or container.
        what: String,
        /// `stdout` or `stderr`.
        stream: &'static str,
        /// How much it was allowed.
        limit: usize,
    },
    /// Something inside a container cannot be connected to.
    #[error("cannot connect to {what} in container {id}: {source}")]
    Dial {
        /// The container's id.
        id: String,
        /// The port or path.
        what: String,
        /// Why not.
        source: io::Error,
    },
    /// The container's monitor is gone without a word.
    #[error("the monitor of container {id} ended unexpectedly")]
    MonitorGone {
        /// Its id.
        id: String,
    },
    /// The monitor answered what it should not.
    #[error("the monitor of container {id} did not understand: {reason}")]
    Protocol {
        /// Its id.
        id: String,
        /// What was wrong.
        reason: String,
    },
    /// This program cannot be its own monitor and no other was found.
    #[error(
        "{} cannot be started as a container monitor (the container-core library is not part of \
         the executable itself); install mini-docker or name a program with \
         EngineBuilder::helper", exe.display()
    )]
    NoMonitor {
        /// The current executable.
        exe: PathBuf,
    },
    /// A file or directory of the engine's own cannot be used.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A system call failed.
    #[error("cannot {action}: {source}")]
    System {
        /// What was being done.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The user has no entry in the password file and no directories were named.
    #[error("user id {uid} has no entry in /etc/passwd: name the engine's directories")]
    NoHome {
        /// The user id.
        uid: u32,
    },
}

/// What is wrong with a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum CommandProblem {
    /// It is not there. A shell would return 127.
    NotFound,
    /// It is there but cannot be executed. A shell would return 126.
    NotExecutable,
}

impl Error {
    /// The command's problem, when it is the command that could not be executed.
    pub fn command(&self) -> Option<CommandProblem> {
        match self {
            Self::Command { problem, .. } => Some(*problem),
            _ => None,
        }
    }

    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    pub(crate) fn system(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { action, source }
    }
}

fn way_to_stop(status: Status) -> &'static str {
    match status {
        Status::Paused => "Unpause and then stop",
        _ => "Stop",
    }
}

/// A sentence stands alone; any other reason needs to be told of what.
fn refusal(setting: &str, value: &str, reason: &str) -> String {
    match reason.starts_with(char::is_uppercase) {
        true => reason.to_owned(),
        false => format!("invalid {setting} {value:?}: {reason}"),
    }
}
