//! Volumes as directories: see the drawing in the parent.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

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
    let to = volumes.join(&volume.name);
    let failed = |e| VolumeError::io("make the volume", &to)(e);
    let make = |aside: &Path| -> io::Result<bool> {
        let _lock = make_aside(volumes, aside, volume, durable)?;
        match rustix::fs::renameat_with(CWD, aside, CWD, &to, RenameFlags::NOREPLACE) {
            Err(rustix::io::Errno::EXIST) => return Ok(false),
            renamed => renamed?,
        }
        if durable {
            File::open(volumes)?.sync_all()?;
        }
        Ok(true)
    };
    for _ in 0..16 {
        let token = crate::name::new_id().unwrap_or_else(|_| volume.name.clone());
        let aside = volumes.join(format!("{NEW}{token}"));
        let made = make(&aside);
        if !matches!(made, Ok(true)) {
            // What cannot be removed now, tidying up removes.
            _ = fs::remove_dir_all(&aside);
        }
        match made {
            // Between being made and being locked it looked like something that was left.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            made => return made.map_err(failed),
        }
    }
    Err(failed(io::ErrorKind::NotFound.into()))
}

/// Makes the directory, and returns its lock: without, it would be taken for left over.
fn make_aside(volumes: &Path, aside: &Path, volume: &Volume, durable: bool) -> io::Result<File> {
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
    let lock = File::open(aside)?;
    lock.lock()?;
    let data = aside.join(DATA);
    directory(&data, 0o755)?;
    // The creation mask has no say.
    fs::set_permissions(&data, Permissions::from_mode(0o755))?;
    let mut file = File::create_new(aside.join(RECORD))?;
    file.write_all(&serde_json::to_vec(volume)?)?;
    if durable {
        file.sync_all()?;
        lock.sync_all()?;
    }
    Ok(lock)
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
    /// Moves the volume out of the way: from here on it is gone.
    pub(super) fn rename(self) -> Result<Old> {
        let path = self.volumes.join(&self.name);
        // A name may be as long as a file's; the number tells it from others.
        let token = crate::name::new_id().unwrap_or_default();
        let old = self.volumes.join(format!("{OLD}{token}"));
        let rename = || {
            let lock = File::open(&path)?;
            lock.lock()?;
            fs::rename(&path, &old)?;
            Ok(lock)
        };
        let lock = rename().map_err(VolumeError::io("remove", &path))?;
        Ok(Old {
            path: old,
            _lock: lock,
        })
    }
}

/// What is left of a volume to be removed, locked as long as somebody is at it.
#[derive(Debug)]
pub(super) struct Old {
    pub(super) path: PathBuf,
    _lock: File,
}

/// Removes what killed processes have left half made or half removed: what nobody has locked.
pub(crate) fn tidy(engine: &Engine) {
    let volumes = engine.root().join(VOLUMES);
    for entry in fs::read_dir(&volumes).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with(OLD) && !name.starts_with(NEW) {
            continue;
        }
        let path = entry.path();
        // Best effort: it is tried again.
        if let Ok(dir) = File::open(&path)
            && dir.try_lock().is_ok()
        {
            _ = engine.launcher().unpacker().remove(&path);
        }
    }
}
