//! The container's directories, made by the monitor and undone with it (see `state` for the
//! drawing).

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode};

use super::job::{EntryKind, Failure, Job};
use crate::state::{self, Record, State, Status};

/// Guards the directories and the name: dropping removes them unless they are to stay.
#[derive(Debug)]
pub(super) struct Files {
    root: PathBuf,
    dir: PathBuf,
    run: PathBuf,
    id: String,
    name: String,
    named: bool,
    keep: bool,
    /// Held as long as this process lives.
    _lock: File,
}

fn failure(action: &str, path: &Path) -> impl FnOnce(io::Error) -> Failure {
    let (action, path) = (action.to_owned(), path.to_owned());
    move |e| Failure::Io {
        action,
        path,
        reason: e.to_string(),
        errno: e.raw_os_error(),
    }
}

fn directory(path: &Path, mode: u32) -> io::Result<()> {
    match fs::DirBuilder::new().mode(mode).create(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            // The first container of this store.
            if let Some(parent) = path.parent() {
                fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o711)
                    .create(parent)?;
            }
            fs::DirBuilder::new().mode(mode).create(path)
        }
        result => result,
    }
}

impl Files {
    /// Takes the name, makes everything, writes the record.
    pub(super) fn make(job: &Job) -> Result<Self, Failure> {
        let id = &job.record.id;
        let (dir, run) = (job.root.join("containers").join(id), job.run.join(id));
        directory(&run, 0o700).map_err(failure("make the directory", &run))?;
        // From here on dropping undoes.
        let lock = lock(&run)?;
        let mut files = Self {
            root: job.root.clone(),
            dir,
            run,
            id: id.clone(),
            name: job.record.name.clone(),
            named: false,
            keep: false,
            _lock: lock,
        };
        directory(&files.dir, 0o711).map_err(failure("make the directory", &files.dir))?;
        let record = files.dir.join(state::RECORD);
        state::write(&record, &job.record, !job.record.request.auto_remove)
            .map_err(failure("write", &record))?;
        files.take_name(&job.record)?;
        for (dir, entries) in [(&files.dir, &job.entries), (&files.run, &job.etc)] {
            for entry in entries {
                make(&dir.join(&entry.path), &entry.kind)?;
            }
        }
        Ok(files)
    }

    fn take_name(&mut self, record: &Record) -> Result<(), Failure> {
        let names = self.root.join("names");
        loop {
            match state::take_name(&self.root, &record.name, &record.id)
                .map_err(failure("take a name in", &names))?
            {
                Ok(()) => {
                    self.named = true;
                    return Ok(());
                }
                // Whoever had it was removed in two steps and killed between them.
                Err(owner)
                    if !self.root.join("containers").join(&owner).exists()
                        && !self.run.with_file_name(&owner).exists() =>
                {
                    state::release_name(&self.root, &record.name, &owner);
                }
                Err(owner) => {
                    return Err(Failure::NameInUse {
                        name: record.name.clone(),
                        id: owner,
                    });
                }
            }
        }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Listens for requests.
    pub(super) fn listen(&self) -> Result<UnixListener, Failure> {
        // By descriptor: the path of a socket may have 107 bytes only (unix(7)).
        let listen = || {
            let run = File::open(&self.run)?;
            let path = format!("/proc/self/fd/{}/{}", run.as_raw_fd(), state::SOCKET);
            UnixListener::bind(path)
        };
        listen().map_err(failure("listen in", &self.run))
    }

    /// Writes where the container stands. One that goes with its monitor needs no such record.
    pub(super) fn state(&self, record: &Record, state: &State) -> io::Result<()> {
        if record.request.auto_remove {
            return Ok(());
        }
        state::write(
            &self.dir.join(state::STATE),
            state,
            state.status == Status::Exited,
        )
    }

    /// Leaves the directory and the name behind.
    pub(super) fn keep(&mut self) {
        self.keep = true;
    }
}

fn make(path: &Path, kind: &EntryKind) -> Result<(), Failure> {
    match kind {
        EntryKind::Directory(mode) => {
            directory(path, *mode).and_then(|()| {
                // The creation mask has no say, nor do sticky bits get lost.
                if mode & !0o755 != 0 {
                    fs::set_permissions(path, fs::Permissions::from_mode(*mode))?;
                }
                Ok(())
            })
        }
        EntryKind::Link(to) => std::os::unix::fs::symlink(to, path),
        EntryKind::File(content) => fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(path)
            .and_then(|mut file| io::Write::write_all(&mut file, content.as_bytes())),
        EntryKind::Whiteout => {
            rustix::fs::mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), 0)
                .map_err(Into::into)
        }
    }
    .map_err(failure("make", path))
}

fn lock(run: &Path) -> Result<File, Failure> {
    let path = run.join(state::LOCK);
    let file = File::create(&path).map_err(failure("make", &path))?;
    file.lock().map_err(failure("lock", &path))?;
    Ok(file)
}

impl Drop for Files {
    fn drop(&mut self) {
        if !self.keep {
            // What cannot be removed now is found by whoever tidies up.
            if container_image::layer::remove_tree(&self.dir).is_ok() && self.named {
                state::release_name(&self.root, &self.name, &self.id);
            }
        }
        _ = fs::remove_dir_all(&self.run);
    }
}
