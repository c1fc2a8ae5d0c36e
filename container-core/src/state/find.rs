//! Which containers there are, and how each stands.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;

use container_image::Digest;

use super::{Inspect, RECORD, Record, State, Status, is_held, names, read, read_state, state_path};
use crate::container::ExitStatus;
use crate::engine::Engine;
use crate::error::{Error, Result};

fn is_id(text: &str) -> bool {
    text.len() == 64 && is_prefix(text)
}

fn is_prefix(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// The id that a text names: an id, a name, or the beginning of one id, in this order.
pub(crate) fn find(engine: &Engine, text: &str) -> Result<String> {
    let none = || Error::NoSuchContainer {
        name: text.to_owned(),
    };
    let exists = |id: &str| engine.container_dir(id).join(RECORD).exists();
    if is_id(text) {
        return match exists(text) {
            true => Ok(text.to_owned()),
            false => Err(none()),
        };
    }
    let name = text.strip_prefix('/').unwrap_or(text);
    if !name.is_empty()
        && !name.contains('/')
        && let Some(id) = names::owner(engine.root(), name)
        && exists(&id)
    {
        return Ok(id);
    }
    if !is_prefix(text) {
        return Err(none());
    }
    let mut alike = ids(&engine.root().join("containers"))?
        .into_iter()
        .filter(|id| id.starts_with(text) && exists(id));
    match (alike.next(), alike.next()) {
        (None, _) => Err(none()),
        (Some(id), None) => Ok(id),
        (Some(first), Some(second)) => Err(Error::Ambiguous {
            prefix: text.to_owned(),
            first,
            second,
        }),
    }
}

/// The names in a directory of containers that are ids.
pub(super) fn ids(dir: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("list", dir)(e)),
    };
    Ok(entries
        .flatten()
        .filter_map(|e| e.file_name().into_string().ok())
        .filter(|name| is_id(name))
        .collect())
}

pub(crate) fn inspect(engine: &Engine, id: &str) -> Result<Inspect> {
    let missing = |e| match e {
        Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            Error::NoSuchContainer {
                name: id.to_owned(),
            }
        }
        e => e,
    };
    // A monitor writes its last state before it lets go of its lock and removes its run
    // directory; so when nobody holds the lock, a state read afterwards is the last one.
    loop {
        let record: Record = read(&engine.container_dir(id).join(RECORD)).map_err(missing)?;
        let (dir, run) = (engine.container_dir(id), engine.run_dir(id));
        let path = state_path(&record, &dir, &run);
        let state = read_state(&path)?;
        if !state.status.is_live() || is_held(&run) {
            return Ok(Inspect { record, state });
        }
        // It may have ended between the two looks.
        if read_state(&path)? == state {
            let state = killed(state);
            return Ok(Inspect { record, state });
        }
    }
}

/// The state of a container whose monitor was killed: the container went with it.
pub(super) fn killed(state: State) -> State {
    let exit = match state.status {
        Status::Restarting => state.exit,
        _ => Some(ExitStatus::by(libc::SIGKILL)),
    };
    State {
        status: Status::Exited,
        pid: 0,
        exit,
        error: "its monitor was killed, or the machine stopped".into(),
        finished: match state.finished > state.started {
            true => state.finished,
            // When is not known; this is the last that is.
            false => state.started.clone(),
        },
        ..state
    }
}

/// Those of a directory, the newest first, as Docker lists them.
fn inspect_all(engine: &Engine, dir: &Path) -> Result<Vec<Inspect>> {
    /// Fewer are read before a thread has started.
    const WORTH_A_THREAD: usize = 100;
    let ids = ids(dir)?;
    let threads = match ids.len() / WORTH_A_THREAD {
        0 | 1 => 1,
        most => thread::available_parallelism().map_or(1, |processors| most.min(processors.get())),
    };
    let mut found = thread::scope(|scope| {
        let mut parts = ids.chunks(ids.len().div_ceil(threads).max(1));
        let own = parts.next().unwrap_or_default();
        let others: Vec<_> = parts
            .map(|ids| {
                let read = move || inspect_each(engine, ids);
                (ids, thread::Builder::new().spawn_scoped(scope, read))
            })
            .collect();
        let mut found = inspect_each(engine, own)?;
        for (ids, thread) in others {
            found.extend(match thread.map(thread::ScopedJoinHandle::join) {
                Ok(Ok(part)) => part?,
                // There may be no more threads.
                _ => inspect_each(engine, ids)?,
            });
        }
        Ok::<_, Error>(found)
    })?;
    found.sort_by(|a, b| b.record.created.cmp(&a.record.created));
    Ok(found)
}

fn inspect_each(engine: &Engine, ids: &[String]) -> Result<Vec<Inspect>> {
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        match inspect(engine, id) {
            Ok(container) => found.push(container),
            // Being made or removed.
            Err(Error::NoSuchContainer { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(found)
}

/// All containers, the newest first.
pub(crate) fn all(engine: &Engine) -> Result<Vec<Inspect>> {
    inspect_all(engine, &engine.root().join("containers"))
}

/// Those that run, are frozen or wait to be started again; the newest first.
pub(crate) fn running(engine: &Engine) -> Result<Vec<Inspect>> {
    let mut found = inspect_all(engine, engine.run_root())?;
    found.retain(|container| container.state.status.is_live());
    Ok(found)
}

/// The name of a container of this image, or with this image mounted.
pub(crate) fn image_user(engine: &Engine, image: &Digest) -> Option<String> {
    let dir = engine.root().join("containers");
    ids(&dir).ok()?.iter().find_map(|id| {
        let record: Record = read(&engine.container_dir(id).join(RECORD)).ok()?;
        let mounted = record.mounts.iter().map(|point| point.image.as_ref());
        let mut images = mounted.chain([record.image.as_ref()]);
        images.any(|i| i == Some(image)).then_some(record.name)
    })
}
