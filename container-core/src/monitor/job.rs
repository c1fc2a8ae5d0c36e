//! What the embedder and the monitor say to each other.

use std::io;
use std::path::PathBuf;

use oci_spec::runtime::LinuxResources;
use serde::{Deserialize, Serialize};

use crate::cgroup::{CgroupPath, Hierarchy};
use crate::container::ExitStatus;
use crate::error::{CommandProblem, Error};
use crate::exec::ExecRequest;
use crate::files::{FilesError, PathStat};
use crate::health::Check;
use crate::log;
use crate::plan::Plan;
use crate::runtime::{Errand, Fault};
use crate::state::{Change, Pool, Record};
use crate::stdio::Stream;
use crate::volume::Volume;

/// The finished work: a monitor needs nothing else. Descriptors beside it: those of the streams,
/// in order, then the leases of images, then a connection for whoever is attached and the
/// descriptors of his streams, then the locks of volumes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) act: Act,
    pub(crate) root: PathBuf,
    pub(crate) run: PathBuf,
    pub(crate) record: Record,
    /// Files to make in the container's directory.
    pub(crate) entries: Vec<Entry>,
    /// Files to make in its run directory: they are made anew at every start.
    pub(crate) etc: Vec<Entry>,
    /// Volumes of the container's own, to be made if they are not there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) volumes: Vec<Volume>,
    /// How many of the descriptors, the last ones, lock volumes until the record is written.
    #[serde(default)]
    pub(crate) volume_locks: usize,
    pub(crate) plan: Plan,
    /// The container's ids are to be a range of these, which replaces the plan's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ranges: Option<Pool>,
    /// The hierarchies of the machine; none where cgroups cannot be used.
    pub(crate) hierarchy: Option<Hierarchy>,
    pub(crate) cgroup: CgroupPath,
    pub(crate) resources: LinuxResources,
    /// The limit of swap was not asked for but follows from that of memory.
    pub(crate) swap_implied: bool,
    pub(crate) streams: [Stream; 3],
    /// Somebody is attached from the beginning.
    pub(crate) attach: Option<Attach>,
    pub(crate) stop_signal: i32,
    /// Seconds.
    pub(crate) stop_timeout: u64,
    pub(crate) check: Option<Check>,
    /// What a privileged further process gets: the capabilities of this machine's root.
    pub(crate) capabilities: u64,
    pub(crate) log: log::Settings,
}

/// The streams that somebody attaches to. His descriptors come beside, in order: pipes or sockets
/// that nobody else uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attach {
    pub(crate) stdin: bool,
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
    /// One descriptor is for both outputs.
    pub(crate) merged: bool,
}

impl Attach {
    /// How many descriptors come beside.
    pub(crate) fn descriptors(self) -> usize {
        let outputs = usize::from(self.stdout) + usize::from(self.stderr);
        usize::from(self.stdin) + outputs.min(if self.merged { 1 } else { 2 })
    }
}

/// What to do with a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Act {
    /// Make it and start it. One that is held is not removed at its end before its owner has let
    /// it go, or has had some time to.
    Run { held: bool },
    /// Only make it.
    Create,
    /// Start one that was made.
    Start,
}

/// Something to make below the container's directory.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) path: String,
    pub(crate) kind: EntryKind,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum EntryKind {
    /// With these permission bits.
    Directory(u32),
    /// A symbolic link that says this.
    Link(String),
    /// A file with this content, readable by everybody.
    File(String),
    /// What hides a lower file in an overlay.
    Whiteout,
}

/// From the embedder after the job.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Word {
    /// The end of the connection no longer ends the container.
    Detach,
    /// It need not be held any longer.
    Release,
}

/// From the monitor.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum News {
    /// The program runs. A terminal's master comes beside it.
    Started { pid: u32 },
    /// It could not be started; nothing is left.
    Failed(Failure),
    /// A container that is held has ended.
    Ended(ExitStatus),
    /// It has ended, and all is cleaned up that was to be.
    Exited(ExitStatus),
    /// A request was carried out.
    Done,
    /// So many were counted.
    Bytes(u64),
    /// What a path of the container is.
    Stat(PathStat),
    /// How many bytes each container's changes take.
    Sizes(Vec<u64>),
}

/// Why a request or a start failed, in a form that can be sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Failure {
    Fault(Fault),
    NameInUse {
        name: String,
        id: String,
    },
    NotRunning,
    /// Before it can do this.
    Paused {
        action: String,
    },
    /// Paused already, or not.
    Unchanged {
        paused: bool,
    },
    /// Somebody else has the container's lock.
    Held,
    /// The record is not the one that the job was made from.
    Outdated,
    /// A limit or the cgroup itself.
    Cgroup(String),
    /// There is nowhere to log to.
    Log(String),
    /// What was to be done inside the container.
    Errand(Errno),
    /// Files of the container.
    Files(FilesError),
    /// A file or directory of the engine's.
    Io {
        action: String,
        path: PathBuf,
        reason: String,
        errno: Option<i32>,
    },
}

/// The kernel's answer, as it can be sent.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Errno(i32);

impl From<io::Error> for Errno {
    fn from(error: io::Error) -> Self {
        Self(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

impl From<Errno> for io::Error {
    fn from(errno: Errno) -> Self {
        Self::from_raw_os_error(errno.0)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// From anybody who connects to the monitor's socket.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Send the first process a signal.
    Kill { signal: i32 },
    /// Send it the stop signal (its own when none is given), and SIGKILL after so many seconds.
    /// Answered when all has ended.
    Stop {
        signal: Option<i32>,
        timeout: Option<u64>,
    },
    /// Freeze its processes, or let them go on.
    Pause(bool),
    /// Freeze them until the connection closes.
    Hold,
    /// Tell when the first process has ended, at once when there is none; or when the last run
    /// has ended and all is cleaned up.
    Wait { last: bool },
    /// Kill it and remove it, with the volumes of its own or without. Answered when that is done.
    Remove { volumes: bool },
    /// Live on when the owner is gone.
    Stay,
    /// Change the record, and the limits in force.
    Change(Box<Change>),
    /// Do something small inside. What comes of it comes beside the answer.
    Errand(Errand),
    /// Connect these streams with the container's, until its end or that of the connection.
    Attach(Attach),
    /// Set the size of its terminal.
    Resize { rows: u16, columns: u16 },
    /// Start a further process. Descriptors of its streams come beside.
    Exec {
        request: ExecRequest,
        streams: [Stream; 3],
    },
}

impl Failure {
    /// The exit code that a shell would give.
    pub(crate) fn exit_code(&self) -> i32 {
        match self {
            Self::Fault(Fault::Command { problem, .. }) => match problem {
                CommandProblem::NotFound => 127,
                CommandProblem::NotExecutable => 126,
            },
            _ => 128,
        }
    }

    /// As the caller sees it.
    pub(crate) fn into_error(self, id: &str) -> Error {
        let id = id.to_owned();
        match self {
            Self::Fault(fault) => fault.into(),
            Self::NameInUse { name, id } => Error::NameInUse { name, id },
            Self::Cgroup(reason) => Error::Limit { reason },
            Self::Log(reason) => Error::Setup {
                step: "initialize the log driver".into(),
                reason,
            },
            Self::NotRunning => Error::NotRunning { id },
            Self::Paused { action } => Error::Paused { id, action },
            Self::Unchanged { paused } => Error::Unchanged { id, paused },
            Self::Held | Self::Outdated => Error::Busy { id },
            Self::Files(error) => Error::Files(error.of(&id)),
            Self::Errand(errno) => Error::System {
                action: "do what was asked inside the container",
                source: errno.into(),
            },
            Self::Io {
                action,
                path,
                reason,
                ..
            } => Error::Setup {
                step: format!("{action} {}", path.display()),
                reason,
            },
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.clone().into_error("").fmt(f)
    }
}
