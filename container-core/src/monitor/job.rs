//! What the embedder and the monitor say to each other.

use std::path::PathBuf;

use oci_spec::runtime::LinuxResources;
use serde::{Deserialize, Serialize};

use crate::cgroup::{CgroupPath, Hierarchy};
use crate::container::ExitStatus;
use crate::exec::ExecRequest;
use crate::plan::Plan;
use crate::runtime::Fault;
use crate::state::Record;
use crate::stdio::Stream;

/// The finished work: a monitor needs nothing else. Descriptors beside it: those of the streams,
/// in order, then the image's lease if there is one.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) root: PathBuf,
    pub(crate) run: PathBuf,
    pub(crate) record: Record,
    /// Files to make in the container's directory.
    pub(crate) entries: Vec<Entry>,
    /// Files to make in its run directory: they are made anew at every start.
    pub(crate) etc: Vec<Entry>,
    pub(crate) plan: Plan,
    /// The hierarchies of the machine; none where cgroups cannot be used.
    pub(crate) hierarchy: Option<Hierarchy>,
    pub(crate) cgroup: CgroupPath,
    pub(crate) resources: LinuxResources,
    /// The limit of swap was not asked for but follows from that of memory.
    pub(crate) swap_implied: bool,
    pub(crate) streams: [Stream; 3],
    pub(crate) stop_signal: i32,
    /// Seconds.
    pub(crate) stop_timeout: u64,
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
}

/// From the monitor.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum News {
    /// The program runs. A terminal's master comes beside it.
    Started { pid: u32 },
    /// It could not be started; nothing is left.
    Failed(Failure),
    /// It has ended, and all is cleaned up that was to be.
    Exited(ExitStatus),
    /// A request was carried out.
    Done,
}

/// Why a request or a start failed, in a form that can be sent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Failure {
    Fault(Fault),
    NameInUse {
        name: String,
        id: String,
    },
    /// A limit or the cgroup itself.
    Cgroup(String),
    /// A file or directory of the engine's.
    Io {
        action: String,
        path: PathBuf,
        reason: String,
        errno: Option<i32>,
    },
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
    /// Send it the stop signal, and SIGKILL after so many seconds.
    Stop { timeout: Option<u64> },
    /// Start a further process. Descriptors of its streams come beside.
    Exec {
        request: ExecRequest,
        streams: [Stream; 3],
    },
}
