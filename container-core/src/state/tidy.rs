//! What killed monitors have left: looked for when an engine is opened.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::claim::{NEW, OLD};
use super::find::{ids, killed};
use super::{Claim, RECORD, Record, State, is_held, names, ranges, read, state_path, write};
use crate::cgroup::{self, CgroupError, CgroupPath};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::events::Journal;
use crate::volume;

/// Looks for what killed monitors left, if nobody has lately.
pub(crate) fn tidy_if_due(engine: &Engine) {
    const OFTEN_ENOUGH: Duration = Duration::from_secs(5);
    let stamp = engine.run_root().join("tidied");
    let last = fs::metadata(&stamp).and_then(|m| m.modified()).ok();
    let age = last.and_then(|then| SystemTime::now().duration_since(then).ok());
    if age.is_some_and(|age| age < OFTEN_ENOUGH) {
        return;
    }
    // Best effort: the next engine tries again.
    let result = match last {
        // A monitor that was killed has left its run directory.
        Some(_) => tidy(engine, engine.run_root()),
        // But for those that a boot has ended.
        None => tidy(engine, &engine.root().join("containers"))
            .and_then(|()| tidy(engine, engine.run_root())),
    };
    volume::tidy(engine);
    _ = File::create(&stamp).and_then(|f| f.set_modified(SystemTime::now()));
    if let Err(error) = result {
        tracing::warn!(%error, "cannot tidy up after killed monitors");
    }
}

/// Ends and removes, or marks as ended, the containers whose monitor was killed.
fn tidy(engine: &Engine, dir: &Path) -> Result<()> {
    for id in ids(dir)? {
        if is_held(&engine.run_dir(&id)) {
            continue;
        }
        if let Some(claim) = claim(engine, &id)? {
            tidy_one(engine, &id, &claim)?;
        }
    }
    for entry in fs::read_dir(engine.run_root())
        .into_iter()
        .flatten()
        .flatten()
    {
        let path = entry.path();
        // One is made or removed in an instant; what is older was left by a killed process.
        if path.extension().is_some_and(|e| e == OLD || e == NEW) && settled(&path) {
            _ = fs::remove_dir_all(path);
        }
    }
    Ok(())
}

fn tidy_one(engine: &Engine, id: &str, claim: &Claim) -> Result<()> {
    let dir = engine.container_dir(id);
    let Ok(record) = read::<Record>(&dir.join(RECORD)) else {
        // Killed before it was anything, or half removed. Its lock is ours.
        names::release_all(engine.root(), id);
        return remove(engine, id, true, claim);
    };
    // The state of a `--rm` container went with its run directory.
    if record.request.auto_remove {
        end_leftovers(&record, claim)?;
        return remove(engine, id, true, claim);
    }
    settle(engine, id, claim)
}

/// Ends what is left of a container whose monitor was killed, and marks it as ended.
fn settle(engine: &Engine, id: &str, claim: &Claim) -> Result<()> {
    let dir = engine.container_dir(id);
    let Ok(record) = read::<Record>(&dir.join(RECORD)) else {
        return Ok(());
    };
    let path = state_path(&record, &dir, claim.run());
    let live = read::<State>(&path).ok().filter(|s| s.status.is_live());
    // Between its cgroup and its state, a monitor that was killed has left the one alone.
    if claim.is_inherited() || live.is_some() {
        end_leftovers(&record, claim)?;
    }
    match live {
        Some(state) => write(&path, &killed(state), true).map_err(Error::io("write", path)),
        None => Ok(()),
    }
}

/// True when a directory was last changed long ago.
fn settled(dir: &Path) -> bool {
    fs::metadata(dir)
        .and_then(|m| m.modified())
        .is_ok_and(|t| t.elapsed().is_ok_and(|age| age > Duration::from_secs(60)))
}

/// Ends what runs in a container's cgroup and removes that. What the kernel does not end now is
/// left to the next holder of the lock, who finds what there is to end by the record.
pub(crate) fn end_leftovers(record: &Record, claim: &Claim) -> Result<(), CgroupError> {
    let group = CgroupPath::new(&record.cgroup).and_then(|path| Ok(cgroup::detect()?.open(&path)));
    // Where there are no cgroups, nothing was left in one.
    let Ok(group) = group else { return Ok(()) };
    group
        .kill_all()
        .and_then(|()| group.remove())
        .inspect_err(|_| claim.bequeath())
}

/// The right to a container without a monitor; `None` when somebody has it.
fn claim(engine: &Engine, id: &str) -> Result<Option<Claim>> {
    let run = engine.run_dir(id);
    Claim::take(&run).map_err(Error::io("lock", run))
}

/// The same, waiting for somebody who is about to be done.
pub(crate) async fn claim_soon(engine: &Engine, id: &str) -> Result<Claim> {
    let run = engine.run_dir(id);
    loop {
        if let Some(claim) = claim(engine, id)? {
            settle(engine, id, &claim)?;
            return Ok(claim);
        }
        let state = super::inspect(engine, id)?.state;
        let released = match state.status.is_live() {
            false => {
                let run = run.clone();
                let released = tokio::task::spawn_blocking(move || Claim::released(&run));
                released.await.is_ok_and(|released| released.is_ok())
            }
            true => false,
        };
        if !released {
            return Err(Error::Busy { id: id.to_owned() });
        }
    }
}

/// Removes all traces of a container, with the volumes of its own or without.
pub(crate) fn remove(engine: &Engine, id: &str, volumes: bool, _claim: &Claim) -> Result<()> {
    let dir = engine.container_dir(id);
    let (released, record) = match read::<Record>(&dir.join(RECORD)) {
        Ok(record) => (false, Ok(record)),
        // Somebody was killed while removing it and its volumes.
        Err(_) => (true, read::<Record>(&dir.join(volume::RELEASED))),
    };
    if let Ok(record) = &record
        && (volumes || released)
        && record.mounts.iter().any(|point| point.anonymous)
    {
        remove_volumes(engine, &dir)?;
    }
    remove_directory(engine, id)?;
    if let Ok(record) = record {
        names::release(engine.root(), &record.name, id);
        ranges::release(engine.root(), &record);
        Journal::new(engine.run_root()).container(&record, "destroy", &[]);
    }
    Ok(())
}

fn remove_volumes(engine: &Engine, dir: &Path) -> Result<()> {
    let unpacker = engine.launcher().unpacker();
    let remove = |tree: &Path| unpacker.remove(tree).map_err(io::Error::other);
    let mut journal = Journal::new(engine.run_root());
    volume::remove_anonymous(engine.root(), dir, &mut journal, remove)
        .map_err(Error::io("remove the volumes of", dir))
}

fn remove_directory(engine: &Engine, id: &str) -> Result<()> {
    let dir = engine.container_dir(id);
    // One that was never made needs no worker to remove.
    match fs::symlink_metadata(&dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        _ => {}
    }
    engine
        .launcher()
        .unpacker()
        .remove(&dir)
        .map_err(|e| Error::io("remove", &dir)(io::Error::other(e.to_string())))
}
