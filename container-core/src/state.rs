//! What is on disk about containers.
//!
//! ```text
//! <root>/containers/<id>/
//!     config.json            the record: name, image, request; written once
//!     state.json             status, pid, exit; written aside and renamed at every change
//!     rw/upper rw/work       the container's changes; the overlay is mounted on rw, in the
//!                            container's namespace only
//!     rootfs rw/etc rw/usr … of `host`: the root, and the changes to each directory shown
//!     log.json               what it wrote, in Docker's json-file format
//! <root>/names/<name>        a symbolic link to the id: made exclusively, so a name is one's own
//! <run>/<id>/
//!     lock                   locked by the monitor as long as it lives
//!     monitor.sock           where it takes requests
//!     hosts hostname resolv.conf   made at every start, mounted over the image's
//! <run>/tidied               touched when leftovers were last looked for
//! ```
//!
//! A container's directories are made and removed by its monitor. When a monitor is killed, its
//! lock goes with it and the next engine to be opened tidies up.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use container_image::Digest;
use serde::{Deserialize, Serialize};

use crate::cgroup::{self, CgroupPath};
use crate::container::ExitStatus;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::request::Request;

/// A container's record: what does not change.
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
    /// What was asked for.
    pub request: Request,
}

/// Where a container stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Being set up.
    Created,
    /// Its first process runs.
    Running,
    /// Its first process has ended.
    Exited,
    /// Its monitor was killed; what is left is to be removed.
    Dead,
}

/// What changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Where it stands.
    pub status: Status,
    /// Its first process, 0 when there is none.
    pub pid: u32,
    /// RFC 3339, empty before.
    pub started: String,
    /// RFC 3339, empty before.
    pub finished: String,
    /// How it ended.
    pub exit: Option<ExitStatus>,
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

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T> {
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    serde_json::from_slice(&bytes).map_err(|e| Error::io("read", path)(e.into()))
}

/// Writes a file aside and renames it into place; `durable` also sees it to the disk.
pub(crate) fn write(path: &Path, value: &impl Serialize, durable: bool) -> io::Result<()> {
    let bytes = serde_json::to_vec(value)?;
    if !durable {
        return fs::write(path, bytes);
    }
    let aside = path.with_extension("new");
    let mut file = File::create(&aside)?;
    io::Write::write_all(&mut file, &bytes)?;
    file.sync_all()?;
    fs::rename(&aside, path)
}

/// True when somebody holds the lock of this run directory.
fn is_alive(run: &Path) -> bool {
    File::open(run.join(LOCK)).is_ok_and(|lock| lock.try_lock_shared().is_err())
}

pub(crate) fn inspect(engine: &Engine, id: &str) -> Result<Inspect> {
    let dir = engine.container_dir(id);
    let record: Record = read(&dir.join(RECORD))?;
    let alive = is_alive(&engine.run_dir(id));
    let state = match read::<State>(&dir.join(STATE)) {
        Ok(state) if alive || state.status == Status::Exited => state,
        Ok(state) => State {
            status: Status::Dead,
            pid: 0,
            ..state
        },
        Err(_) => State {
            status: if alive { Status::Created } else { Status::Dead },
            pid: 0,
            started: String::new(),
            finished: String::new(),
            exit: None,
        },
    };
    Ok(Inspect { record, state })
}

/// The ids of all containers.
pub(crate) fn ids(engine: &Engine) -> Result<Vec<String>> {
    let dir = engine.root().join("containers");
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("list", dir)(e)),
    };
    Ok(entries
        .flatten()
        .filter_map(|e| e.file_name().into_string().ok())
        .collect())
}

/// The name of a container of this image.
pub(crate) fn image_user(engine: &Engine, image: &Digest) -> Option<String> {
    ids(engine).ok()?.iter().find_map(|id| {
        let record: Record = read(&engine.container_dir(id).join(RECORD)).ok()?;
        (record.image.as_ref() == Some(image)).then_some(record.name)
    })
}

/// Looks for what killed monitors left, if nobody has lately.
pub(crate) fn tidy_if_due(engine: &Engine) {
    const OFTEN_ENOUGH: Duration = Duration::from_secs(5);
    let stamp = engine.run_root().join("tidied");
    let age = fs::metadata(&stamp)
        .and_then(|m| m.modified())
        .ok()
        .and_then(|then| SystemTime::now().duration_since(then).ok());
    if age.is_some_and(|age| age < OFTEN_ENOUGH) {
        return;
    }
    // Best effort: the next engine tries again.
    _ = File::create(&stamp).and_then(|f| f.set_modified(SystemTime::now()));
    if let Err(error) = tidy(engine) {
        tracing::warn!(%error, "cannot tidy up after killed monitors");
    }
}

/// Removes the containers whose monitor was killed and that were not to be kept.
pub(crate) fn tidy(engine: &Engine) -> Result<()> {
    for id in ids(engine)? {
        let (dir, run) = (engine.container_dir(&id), engine.run_dir(&id));
        if is_alive(&run) {
            continue;
        }
        // A monitor makes its lock before its directory, and removes it after: without a lock
        // nobody owns this.
        let Ok(record) = read::<Record>(&dir.join(RECORD)) else {
            if settled(&dir) {
                remove(engine, &id, None)?;
            }
            continue;
        };
        end_leftovers(&record);
        if record.request.auto_remove {
            remove(engine, &id, Some(&record.name))?;
        }
    }
    Ok(())
}

/// True when a directory was made long enough ago for its monitor to have written the record.
fn settled(dir: &Path) -> bool {
    fs::metadata(dir)
        .and_then(|m| m.modified())
        .is_ok_and(|t| t.elapsed().is_ok_and(|age| age > Duration::from_secs(60)))
}

fn end_leftovers(record: &Record) {
    let group = CgroupPath::new(&record.cgroup).and_then(|path| Ok(cgroup::detect()?.open(&path)));
    // One that is gone already has nothing to end; what fails is tried again next time.
    if let Ok(group) = group {
        _ = group.kill_all();
        _ = group.remove();
    }
}

/// Removes a container whose monitor is gone.
pub(crate) fn remove_ended(engine: &Engine, id: &str) -> Result<()> {
    if is_alive(&engine.run_dir(id)) {
        return Err(Error::Running { id: id.to_owned() });
    }
    let record: Record = read(&engine.container_dir(id).join(RECORD))?;
    remove(engine, id, Some(&record.name))
}

/// Removes all traces of a container that has no monitor.
fn remove(engine: &Engine, id: &str, name: Option<&str>) -> Result<()> {
    let dir = engine.container_dir(id);
    engine
        .launcher()
        .unpacker()
        .remove(&dir)
        .map_err(|e| Error::io("remove", &dir)(io::Error::other(e.to_string())))?;
    if let Some(name) = name {
        release_name(engine.root(), name, id);
    }
    _ = fs::remove_dir_all(engine.run_dir(id));
    Ok(())
}

/// Takes a name for an id.
pub(crate) fn take_name(root: &Path, name: &str, id: &str) -> io::Result<Result<(), String>> {
    let names = root.join("names");
    let link = names.join(name);
    loop {
        match std::os::unix::fs::symlink(id, &link) {
            Ok(()) => return Ok(Ok(())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => fs::create_dir_all(&names)?,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => match fs::read_link(&link) {
                Ok(owner) => return Ok(Err(owner.to_string_lossy().into_owned())),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            },
            Err(e) => return Err(e),
        }
    }
}

/// Gives a name back, if it is still this id's.
pub(crate) fn release_name(root: &Path, name: &str, id: &str) {
    let link = root.join("names").join(name);
    if fs::read_link(&link).is_ok_and(|owner| owner.as_os_str() == id) {
        _ = fs::remove_file(&link);
    }
}
