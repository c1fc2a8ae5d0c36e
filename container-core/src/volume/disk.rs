//! Volumes as directories: see the drawing in the parent.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{CWD, RenameFlags};

use super::{Result, Volume, VolumeError};
use crate::engine::Engine;

pub(super) const VOLUMES: &str = "volumes";
const RECORD: &str = "volume.json";
const DATA: &str = "_data";
/// No name begins with a dot.
const NEW: &str = ".new-";
const OLD: &str = ".old-";

/// The volume, with where it lies.
pub(super) fn place(volumes: &Path, mut volume: Volume) -> Volume {
    volume.mountpoint = volumes.join(&volume.name).join(DATA);
    volume
}

fn parse(volumes: &Path, path: &Path, bytes: &[u8]) -> Result<Volume> {
    let volume = serde_json::from_slice(bytes).map_err(|e| VolumeError::io("read", path)(e.into()));
    Ok(place(volumes, volume?))
}

/// Reads a volume's record; `None` when there is no such volume.
pub(super) fn read(volumes: &Path, name: &str) -> Result<Option<Volume>> {
    let path = volumes.join(name).join(RECORD);
    match fs::read(&path) {
        Ok(bytes) => parse(volumes, &path, &bytes).map(Some),
        Err(e) if is_missing(&e) => Ok(None),
        Err(e) => Err(VolumeError::io("read", path)(e)),
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// All volumes, by name.
pub(super) fn list(volumes: &Path) -> Result<Vec<Volume>> {
    let entries = match fs::read_dir(volumes) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(VolumeError::io("list", volumes)(e)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(VolumeError::io("list", volumes))?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else {
            continue;
        };
        // It may have been removed since it was listed.
        found.extend(read(volumes, name)?);
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Makes a volume, unless there is one of that name. Says whether it has.
pub(crate) fn make(root: &Path, volume: &Volume, durable: bool) -> Result<bool> {
    let volumes = &root.join(VOLUMES);
    let token = crate::name::new_id().unwrap_or_else(|_| volume.name.clone());
    let aside = volumes.join(format!("{NEW}{token}"));
    let made = make_aside(volumes, &aside, volume, durable)
        .and_then(|()| {
            let to = volumes.join(&volume.name);
            match rustix::fs::renameat_with(CWD, &aside, CWD, &to, RenameFlags::NOREPLACE) {
                Err(rustix::io::Errno::EXIST) => Ok(false),
                renamed => renamed.map(|()| true).map_err(io::Error::from),
            }
        })
        .and_then(|made| match durable {
            true => File::open(volumes)?.sync_all().map(|()| made),
            false => Ok(made),
        });
    if !matches!(made, Ok(true)) {
        // What cannot be removed now, tidying up removes.
        _ = fs::remove_dir_all(&aside);
    }
    made.map_err(VolumeError::io(
        "make the volume",
        volumes.join(&volume.name),
    ))
}

fn make_aside(volumes: &Path, aside: &Path, volume: &Volume, durable: bool) -> io::Result<()> {
    let directory = |path: &Path, mode| DirBuilder::new().mode(mode).create(path);
    match directory(aside, 0o711) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            // The first volume of this store.
            DirBuilder::new()
                .recursive(true)
                .mode(0o711)
                .create(volumes)?;
            directory(aside, 0o711)?;
        }
        made => made?,
    }
    let data = aside.join(DATA);
    directory(&data, 0o755)?;
    // The creation mask has no say.
    fs::set_permissions(&data, Permissions::from_mode(0o755))?;
    let mut file = File::create_new(aside.join(RECORD))?;
    file.write_all(&serde_json::to_vec(volume)?)?;
    if durable {
        file.sync_all()?;
        File::open(aside)?.sync_all()?;
    }
    Ok(())
}

/// Opens the record, locks it, and sees whether it still is that of the volume.
fn lock<T>(
    volumes: &Path,
    name: &str,
    lock: impl Fn(&File) -> io::Result<Option<T>>,
) -> Result<Option<(File, PathBuf)>> {
    let path = volumes.join(name).join(RECORD);
    loop {
        let file = match OpenOptions::new().read(true).open(&path) {
            Ok(file) => file,
            Err(e) if is_missing(&e) => return Ok(None),
            Err(e) => return Err(VolumeError::io("open", path)(e)),
        };
        if lock(&file)
            .map_err(VolumeError::io("lock", &path))?
            .is_none()
        {
            return Ok(None);
        }
        let here = file.metadata().map_err(VolumeError::io("examine", &path))?;
        let there = fs::metadata(&path);
        if there.is_ok_and(|m| (m.dev(), m.ino()) == (here.dev(), here.ino())) {
            return Ok(Some((file, path)));
        }
        // It was removed before it was locked; there may be another by now.
    }
}

/// Keeps a volume from being removed. `None` when there is none.
pub(super) fn hold(volumes: &Path, name: &str) -> Result<Option<(Volume, File)>> {
    let Some((mut file, path)) = lock(volumes, name, |file| file.lock_shared().map(Some))? else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut file, &mut bytes).map_err(VolumeError::io("read", &path))?;
    Ok(Some((parse(volumes, &path, &bytes)?, file)))
}

/// The right to remove a volume.
#[derive(Debug)]
pub(super) struct Alone {
    _lock: File,
    volumes: PathBuf,
    name: String,
}

/// `None` when somebody is making a container with it, or it is gone.
pub(super) fn hold_alone(volumes: &Path, name: &str) -> Result<Option<Alone>> {
    let held = lock(volumes, name, |file| match file.try_lock() {
        Ok(()) => Ok(Some(())),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(e)) => Err(e),
    })?;
    Ok(held.map(|(lock, _)| Alone {
        _lock: lock,
        volumes: volumes.to_owned(),
        name: name.to_owned(),
    }))
}

impl Alone {
    /// Moves the volume out of the way: from here on it is gone. Returns where it lies.
    pub(super) fn rename(self) -> Result<PathBuf> {
        let path = self.volumes.join(&self.name);
        // A name may be as long as a file's; the number tells it from others.
        let token = crate::name::new_id().unwrap_or_default();
        let old = self.volumes.join(format!("{OLD}{token}"));
        fs::rename(&path, &old).map_err(VolumeError::io("remove", path))?;
        Ok(old)
    }
}

/// Removes what killed processes have left half made or half removed.
pub(crate) fn tidy(engine: &Engine) {
    let volumes = engine.root().join(VOLUMES);
    for entry in fs::read_dir(&volumes).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let left = name
            .to_str()
            .is_some_and(|n| n.starts_with(OLD) || n.starts_with(NEW));
        if left && settled(&entry.path()) {
            // Best effort: it is tried again.
            _ = engine.launcher().unpacker().remove(&entry.path());
        }
    }
}

/// True when nobody is at it any more: making one takes an instant, and the start of a removal
/// counts as a change of the directory, too.
fn settled(dir: &Path) -> bool {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_secs());
    fs::metadata(dir).is_ok_and(|m| u64::try_from(m.ctime()).unwrap_or(0) + 60 < now)
}
