//! What is on disk about containers.
//!
//! ```text
//! <root>/containers/<id>/
//!     config.json            the record: name, image, request; replaced by rename and update
//!     released.json          the record, while the container is removed with its volumes
//!     state.json             status, pid, exit; written aside and renamed at every change
//!     rw/upper rw/work       the container's changes; the overlay is mounted on rw, in the
//!                            container's namespace only
//!     rootfs rw/etc rw/usr … of `host`: the root, and the changes to each directory shown
//!     log.json               what it wrote, in Docker's json-file format
//! <root>/names/<name>        a symbolic link to the id: made exclusively, so a name is one's own
//! <root>/ranges/<first uid>  the same of ranges of ids: see `ranges`
//! <run>/<id>/
//!     lock                   locked by the monitor as long as it lives
//!     monitor.sock           where it takes requests
//!     state.json             of a container that goes with its monitor (`--rm`)
//!     hosts hostname resolv.conf   made at every start, mounted over the image's
//! <run>/tidied               touched when leftovers were last looked for; absent after a boot
//! ```
//!
//! A container's directories are made and removed by its monitor. When a monitor is killed, its
//! lock goes with it and the next engine to be opened tidies up (`tidy`). Whoever changes or
//! removes a container that has no monitor takes the lock first (`claim`).

mod change;
mod claim;
mod find;
mod names;
mod ranges;
mod tidy;
mod watch;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use container_image::Digest;
use serde::{Deserialize, Serialize};

use crate::container::ExitStatus;
use crate::error::{Error, Result};
use crate::plan::IdMaps;
use crate::request::{MountPoint, Request};

pub(crate) use change::{Change, Taken, change};
pub(crate) use claim::{Claim, is_held};
pub(crate) use find::{all, find, image_user, inspect, running};
pub(crate) use names::{release as release_name, take as take_name};
pub(crate) use ranges::{Pool, release as release_range, take as take_range};
pub(crate) use tidy::{claim_soon, end_leftovers, remove, tidy_if_due};
pub(crate) use watch::Watch;

/// A container's record: what only `rename` and `update` change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Unique in the store.
    pub name: String,
    /// RFC 3339.
    pub created: String,
    /// The image's id; none for `host`.
    pub image: Option<Digest>,
    /// Where its cgroup lies below the hierarchies' roots.
    pub cgroup: PathBuf,
    /// Program and arguments.
    pub args: Vec<String>,
    /// What was asked for, the image's labels added.
    pub request: Request,
    /// What is mounted: as asked for, and what the image and other containers bring.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<MountPoint>,
    /// What its ids are outside, if it has a user namespace of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_maps: Option<IdMaps>,
}

/// Where a container stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Made, not started yet.
    Created,
    /// Its first process runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// Its first process has ended and will be started again.
    Restarting,
    /// Its first process has ended.
    Exited,
}

impl Status {
    /// Docker's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
        }
    }

    /// Whether there is a monitor: it runs, is frozen or waits to be started again.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Restarting)
    }
}

/// What changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Where it stands.
    pub status: Status,
    /// Its first process, 0 when there is none.
    pub pid: u32,
    /// RFC 3339, empty before.
    pub started: String,
    /// RFC 3339, empty before.
    pub finished: String,
    /// How it ended the last time.
    pub exit: Option<ExitStatus>,
    /// Why it could not be started, when it could not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// How often its restart policy has started it again.
    #[serde(default)]
    pub restarts: u32,
    /// It was stopped by hand: after a boot, `unless-stopped` leaves it alone.
    #[serde(default)]
    pub stopped: bool,
    /// What its health check has found, when it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            status: Status::Created,
            pid: 0,
            started: String::new(),
            finished: String::new(),
            exit: None,
            error: String::new(),
            restarts: 0,
            stopped: false,
            health: None,
        }
    }
}

/// What a health check has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The verdict.
    pub status: HealthStatus,
    /// Failures in a row.
    pub failing_streak: u32,
    /// The last probes, the newest last.
    pub log: Vec<Probed>,
}

/// The verdict of a health check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// No verdict yet.
    Starting,
    /// The last probe succeeded.
    Healthy,
    /// Too many probes have failed in a row.
    Unhealthy,
}

impl HealthStatus {
    /// Docker's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// One probe of a health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probed {
    /// RFC 3339.
    pub start: String,
    /// RFC 3339.
    pub end: String,
    /// What it returned; -1 when it did not end in time or could not be started.
    pub exit_code: i32,
    /// The first 4096 bytes of what it wrote.
    pub output: String,
}

/// All that is known of a container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inspect {
    /// What does not change.
    pub record: Record,
    /// What changes.
    pub state: State,
}

pub(crate) const RECORD: &str = "config.json";
pub(crate) const STATE: &str = "state.json";
pub(crate) const LOCK: &str = "lock";
pub(crate) const SOCKET: &str = "monitor.sock";

/// This moment, in RFC 3339 with nanoseconds, as Docker writes it.
pub(crate) fn now() -> String {
    format!("{:.9}", jiff::Timestamp::now())
}

/// Where a container's state is written: one that goes with its monitor leaves none behind.
pub(crate) fn state_path(record: &Record, dir: &Path, run: &Path) -> PathBuf {
    match record.request.auto_remove {
        true => run.join(STATE),
        false => dir.join(STATE),
    }
}

/// Directories for those who name none. Root's are the system's; others have theirs in their
/// home and in the session's run directory.
pub(crate) fn default_roots(rootless: bool) -> Result<(PathBuf, PathBuf)> {
    if !rootless {
        return Ok(("/var/lib/mini-docker".into(), "/run/mini-docker".into()));
    }
    let uid = nix::unistd::getuid();
    let user = nix::unistd::User::from_uid(uid).ok().flatten();
    let home = user.ok_or(Error::NoHome { uid: uid.as_raw() })?.dir;
    let session = PathBuf::from(format!("/run/user/{uid}"));
    let run = if session.is_dir() {
        session.join("mini-docker")
    } else {
        PathBuf::from(format!("/tmp/mini-docker-{uid}"))
    };
    Ok((home.join(".local/share/mini-docker"), run))
}

/// Makes a directory of the engine's and returns its real path. It must be this user's own:
/// in `/tmp` somebody else might have made it first.
pub(crate) fn make_root(path: &Path) -> Result<PathBuf> {
    use std::os::unix::fs::MetadataExt;
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(path);
    made.map_err(Error::io("make the directory", path))?;
    let path = path.canonicalize().map_err(Error::io("resolve", path))?;
    let owner = fs::metadata(&path)
        .map_err(Error::io("inspect", &path))?
        .uid();
    if owner != nix::unistd::geteuid().as_raw() {
        let source = io::Error::other(format!("it belongs to user {owner}"));
        return Err(Error::Io {
            action: "use the directory",
            path,
            source,
        });
    }
    Ok(path)
}

/// Reads a record.
pub(crate) fn read_record(path: &Path) -> Result<Record> {
    read(path)
}

/// Reads a state; one that was never written is that of a container never started.
pub(crate) fn read_state(path: &Path) -> Result<State> {
    match read(path) {
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(State::default())
        }
        state => state,
    }
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T> {
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    serde_json::from_slice(&bytes).map_err(|e| Error::io("read", path)(e.into()))
}

/// Writes a file aside and renames it into place; `durable` also sees it to the disk. Who calls
/// this holds the container's lock.
pub(crate) fn write(path: &Path, value: &impl Serialize, durable: bool) -> io::Result<()> {
    let bytes = serde_json::to_vec(value)?;
    let aside = path.with_extension("new");
    let mut file = File::create(&aside)?;
    io::Write::write_all(&mut file, &bytes)?;
    if durable {
        file.sync_all()?;
    }
    fs::rename(&aside, path)
}
