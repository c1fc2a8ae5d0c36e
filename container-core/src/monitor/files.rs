//! The container's directories, made by the monitor and undone with it (see `state` for the
//! drawing).

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode};

use super::job::{Act, Entry, EntryKind, Failure, Job};
use crate::cgroup::CgroupPath;
use crate::events::Journal;
use crate::plan::IdMaps;
use crate::runtime::Fault;
use crate::state::{self, Change, Claim, Pool, Record, State, Taken};
use crate::volume;

/// Guards the directories and the name: dropping removes them unless they are to stay.
#[derive(Debug)]
pub(super) struct Files {
    root: PathBuf,
    dir: PathBuf,
    record: Record,
    named: bool,
    keep: bool,
    keep_volumes: bool,
    journal: Journal,
    /// Held as long as this process lives.
    claim: Claim,
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
    /// Makes everything, or finds it made, and takes the lock.
    pub(super) fn make(job: &mut Job) -> Result<Self, Failure> {
        let id = &job.record.id;
        let (dir, run) = (job.root.join("containers").join(id), job.run.join(id));
        let claim = Claim::take(&run).map_err(failure("lock", &run))?;
        // From here on dropping undoes.
        let mut files = Self {
            root: job.root.clone(),
            dir,
            record: job.record.clone(),
            named: false,
            keep: job.act == Act::Start,
            keep_volumes: false,
            journal: Journal::new(&job.run),
            claim: claim.ok_or(Failure::Held)?,
        };
        match job.act {
            Act::Start => files.check()?,
            Act::Run { .. } | Act::Create => {
                files.create(job)?;
                files.tell("create", &[]);
            }
        }
        for volume in &job.volumes {
            let durable = !job.record.request.auto_remove;
            let made = volume::make(&job.root, volume, durable)
                .map_err(|e| failure("make a volume for", &files.dir)(io::Error::other(e)))?;
            if made {
                files.journal.volume(&volume.name, "create");
            }
        }
        Ok(files)
    }

    /// Makes what lies in the run directory, anew at every start.
    pub(super) fn furnish(&self, etc: &[Entry]) -> Result<(), Failure> {
        let owner = self.record.id_maps.as_ref();
        let owner = owner.and_then(|maps| maps.outside((0, 0)));
        for entry in etc {
            let path = self.run().join(&entry.path);
            make(&path, &entry.kind)?;
            if let Some((uid, gid)) = owner {
                std::os::unix::fs::chown(&path, Some(uid), Some(gid))
                    .map_err(failure("give away", &path))?;
            }
        }
        Ok(())
    }

    fn create(&mut self, job: &mut Job) -> Result<(), Failure> {
        directory(&self.dir, 0o711).map_err(failure("make the directory", &self.dir))?;
        self.take_name()?;
        if let Some(pool) = job.ranges.take() {
            job.plan.id_maps = Some(self.take_range(&pool)?);
            self.record.id_maps.clone_from(&job.plan.id_maps);
        }
        let path = self.dir.join(state::RECORD);
        state::write(&path, &self.record, !self.record.request.auto_remove)
            .map_err(failure("write", &path))?;
        for entry in &job.entries {
            make(&self.dir.join(&entry.path), &entry.kind)?;
        }
        Ok(())
    }

    /// Whether the container is still what the job was made from.
    fn check(&mut self) -> Result<(), Failure> {
        self.named = true;
        let path = self.dir.join(state::RECORD);
        match state::read_record(&path) {
            Ok(record) if record == self.record => {}
            _ => return Err(Failure::Outdated),
        }
        if self.claim.is_inherited() || self.last_state().status.is_live() {
            // Its last monitor was killed.
            state::end_leftovers(&self.record, &self.claim)
                .map_err(|e| Failure::Cgroup(e.to_string()))?;
        }
        Ok(())
    }

    /// Corrects where the record says that the cgroup is: an ordinary user's is where he may make
    /// one. Everybody finds it by the record; one that cannot be corrected is not found.
    pub(super) fn set_cgroup(&mut self, path: &CgroupPath) {
        let path = PathBuf::from(path.clone());
        if path != self.record.cgroup {
            self.record.cgroup = path;
            let durable = !self.record.request.auto_remove;
            _ = state::write(&self.dir.join(state::RECORD), &self.record, durable);
        }
    }

    fn take_name(&mut self) -> Result<(), Failure> {
        let (name, id) = (&self.record.name, &self.record.id);
        let taken = state::take_name(&self.root, self.run_root(), name, id)
            .map_err(failure("take a name in", &self.root.join("names")))?;
        self.named = taken.is_ok();
        taken.map_err(|id| Failure::NameInUse {
            name: name.clone(),
            id,
        })
    }

    /// Takes a range of ids, before the record tells it, as with names.
    fn take_range(&self, pool: &Pool) -> Result<IdMaps, Failure> {
        let taken = state::take_range(&self.root, self.run_root(), pool, &self.record.id)
            .map_err(failure("take a range of ids in", &self.root.join("ranges")))?;
        taken.ok_or_else(|| {
            let reason = "all ranges of ids are taken: remove containers that have one, or give \
                          the user `containers` more ids in /etc/subuid and /etc/subgid";
            Failure::Fault(Fault::Setting {
                setting: "userns".into(),
                value: "auto".into(),
                reason: reason.into(),
            })
        })
    }

    pub(super) fn run(&self) -> &Path {
        self.claim.run()
    }

    fn run_root(&self) -> &Path {
        self.run().parent().unwrap_or(Path::new("/"))
    }

    /// Writes down what has happened to the container.
    pub(super) fn tell(&mut self, action: &str, more: &[(&str, String)]) {
        self.journal.container(&self.record, action, more);
    }

    pub(super) fn record(&self) -> &Record {
        &self.record
    }

    /// Changes the record.
    pub(super) fn change(&mut self, change: &Change) -> Result<(), Failure> {
        state::change(&self.root, &mut self.journal, &mut self.record, change)
            .map_err(failure("write the record in", &self.dir))?
            .map_err(|Taken { name, id }| Failure::NameInUse { name, id })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Listens for requests.
    pub(super) fn listen(&self) -> Result<UnixListener, Failure> {
        // By descriptor: the path of a socket may have 107 bytes only (unix(7)).
        let listen = || {
            let run = File::open(self.run())?;
            let path = format!("/proc/self/fd/{}/{}", run.as_raw_fd(), state::SOCKET);
            UnixListener::bind(path)
        };
        listen().map_err(failure("listen in", self.run()))
    }

    /// Writes where the container stands; `last` before the lock is let go.
    pub(super) fn state(&self, state: &State, last: bool) -> io::Result<()> {
        let ephemeral = self.record.request.auto_remove;
        if last && ephemeral {
            return Ok(());
        }
        let path = state::state_path(&self.record, &self.dir, self.run());
        state::write(&path, state, last)
    }

    /// What was last written of where the container stands.
    pub(super) fn last_state(&self) -> State {
        let path = state::state_path(&self.record, &self.dir, self.run());
        state::read_state(&path).unwrap_or_default()
    }

    /// Whether the volumes of the container's own outlive it.
    pub(super) fn keep_volumes(&mut self, keep: bool) {
        self.keep_volumes = keep;
    }

    /// Leaves everything to whoever tidies up: something of the container could not be removed.
    pub(super) fn bequeath(&mut self) {
        self.keep = true;
        self.claim.bequeath();
    }

    /// Whether the directory and the name are left behind.
    pub(super) fn keep(&mut self, keep: bool) {
        self.keep = keep;
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

impl Drop for Files {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        let remove = container_image::layer::remove_tree;
        let own = self.record.mounts.iter().any(|point| point.anonymous);
        if own && !self.keep_volumes {
            let remove = |tree: &Path| remove(tree).map_err(io::Error::other);
            if volume::remove_anonymous(&self.root, &self.dir, &mut self.journal, remove).is_err() {
                return;
            }
        }
        // What cannot be removed now is found by whoever tidies up.
        if remove(&self.dir).is_err() {
            return;
        }
        state::release_range(&self.root, &self.record);
        if self.named {
            state::release_name(&self.root, &self.record.name, &self.record.id);
            self.tell("destroy", &[]);
        }
    }
}
