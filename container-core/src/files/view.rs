//! The program's side: a worker that has a container's files before it. Blocking.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::process::{Pid, PidfdFlags};

use super::error::FilesError;
use super::scene::{self, Wanted};
use super::task::{Errand, PathStat, Rights, Task};
use crate::container::Container;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::monitor::FILES;
use crate::monitor::job::News;
use crate::reap;
use crate::run;
use crate::state::{self, Claim, Inspect, Status};
use crate::wire::Channel;

/// A process of ours that works on a container's files. It ends with this.
#[derive(Debug)]
pub(super) struct View {
    /// The container's, for messages.
    name: String,
    /// `None` only while this is dropped.
    worker: Option<(Channel, reap::Guard)>,
    kept: Kept,
}

/// What must stay as it is meanwhile.
#[derive(Debug, Default)]
struct Kept {
    /// Images and volumes.
    _leases: Vec<OwnedFd>,
    /// The container: nobody starts or removes it.
    claim: Option<Claim>,
}

/// A pipe to or from a worker that is at an errand.
#[derive(Debug)]
pub(super) struct Moving {
    view: View,
    /// What happens to the bytes.
    pub(super) pipe: File,
}

impl View {
    /// The files of a container.
    pub(super) async fn of(container: &Container, wanted: Wanted) -> Result<Self> {
        let (engine, id) = (&container.engine, &*container.id);
        loop {
            let Inspect { record, state } = state::inspect(engine, id)?;
            let first = match state.status {
                Status::Running | Status::Paused => match first_process(engine, id, state.pid)? {
                    Some(first) => Some((state.pid, first)),
                    // It has just ended.
                    None => continue,
                },
                Status::Restarting => return Err(Error::Busy { id: id.to_owned() }),
                Status::Created | Status::Exited => None,
            };
            // Who only reads the root mounts nothing that another could not mount too.
            let claim = match first.is_none() && wanted != Wanted::Root {
                true => Some(state::claim_soon(engine, id).await?),
                false => None,
            };
            if claim.is_some() && state::inspect(engine, id)?.state.status.is_live() {
                continue;
            }
            let read_only = record.request.read_only;
            let (plan, leases) = run::plan(engine, record)?;
            let scene = scene::scene(&plan, read_only, first.is_some(), wanted);
            let (engine, name) = (engine.clone(), container.name.clone());
            return super::blocking(move || {
                let mut rights = rights(&engine);
                // In its user namespace, the worker is not the machine's root any more.
                rights.full &= scene.id_maps.is_none();
                let task = Task::Scene(Box::new(scene), rights);
                let fds: Vec<_> = first.iter().map(|(_, fd)| fd.as_fd()).collect();
                let company = first.as_ref().map(|(pid, _)| *pid);
                let kept = Kept {
                    _leases: leases,
                    claim,
                };
                Self::start(&engine, &name, company, (&task, &fds), kept)
            })
            .await;
        }
    }

    /// The directories of a container's changes. Nothing is mounted, and nobody is kept from
    /// anything.
    pub(super) fn of_changes(engine: &Engine, id: &str) -> Result<Self> {
        let record = state::inspect(engine, id)?.record;
        let (rootfs, entries, lease) = run::snapshot(engine, &record)?;
        let parts = scene::parts(&rootfs, &scene::made_in_base(&entries));
        let task = Task::Parts(parts, rights(engine));
        let kept = Kept {
            _leases: lease.into_iter().map(OwnedFd::from).collect(),
            claim: None,
        };
        Self::start(engine, id, None, (&task, &[]), kept)
    }

    fn start(
        engine: &Engine,
        name: &str,
        company: Option<u32>,
        (task, fds): (&Task, &[BorrowedFd<'_>]),
        kept: Kept,
    ) -> Result<Self> {
        let view = Self {
            name: name.to_owned(),
            worker: Some(spawn(engine, company, task, fds)?),
            kept,
        };
        view.answer()?;
        Ok(view)
    }

    fn channel(&self) -> Result<&Channel> {
        let worker = self.worker.as_ref().map(|(channel, _)| channel);
        worker.ok_or_else(|| ended().into())
    }

    fn answer(&self) -> Result<News> {
        answer(self.channel()?, &self.name)
    }

    fn send(&self, errand: &Errand, fds: &[BorrowedFd<'_>]) -> Result<()> {
        let sent = self.channel()?.send(errand, fds);
        sent.map_err(Error::system("talk to the worker"))
    }

    pub(super) fn stat(&self, path: &str) -> Result<PathStat> {
        let path = path.to_owned();
        self.send(&Errand::Stat { path }, &[])?;
        match self.answer()? {
            News::Stat(stat) => Ok(stat),
            other => Err(unexpected(&self.name, &other)),
        }
    }

    /// The same; none if the path leads nowhere.
    pub(super) fn find(&self, path: &str) -> Result<Option<PathStat>> {
        use FilesError::{NotADirectory, NotFound, TooManyLinks};
        match self.stat(path) {
            Err(Error::Files(NotFound { .. } | NotADirectory { .. } | TooManyLinks { .. })) => {
                Ok(None)
            }
            stat => stat.map(Some),
        }
    }

    /// Has the worker write into a pipe, whose other end is returned.
    pub(super) fn outward(self, errand: &Errand) -> Result<Moving> {
        let (ours, theirs) = pipe()?;
        self.send(errand, &[theirs.as_fd()])?;
        let pipe = ours.into();
        Ok(Moving { view: self, pipe })
    }

    /// Has the worker read from a pipe, whose other end is returned.
    pub(super) fn inward(self, errand: &Errand) -> Result<Moving> {
        let (theirs, ours) = pipe()?;
        self.send(errand, &[theirs.as_fd()])?;
        let pipe = ours.into();
        Ok(Moving { view: self, pipe })
    }
}

impl Moving {
    /// Closes the pipe and waits for what the worker says.
    pub(super) fn finish(self) -> Result<()> {
        drop(self.pipe);
        self.view.answer().map(drop)
    }

    /// What the worker says; to be called at the end of an outward pipe, where it is there
    /// already.
    pub(super) fn said(&self) -> Result<()> {
        self.view.answer().map(drop)
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if let Some((channel, child)) = self.worker.take() {
            drop(channel);
            // What it has mounted must be gone before somebody else mounts it.
            match self.kept.claim {
                Some(_) => child.wait(),
                None => drop(child),
            }
        }
    }
}

fn spawn(
    engine: &Engine,
    company: Option<u32>,
    task: &Task,
    fds: &[BorrowedFd<'_>],
) -> Result<(Channel, reap::Guard)> {
    let (child, channel) = engine
        .launcher()
        .spawn(FILES, company)
        .map_err(Error::system("start a worker"))?;
    let child = reap::Guard::new(child);
    // If it has failed already, it has said why, which is read later.
    _ = channel.send(task, fds);
    Ok((channel, child))
}

fn answer(channel: &Channel, id: &str) -> Result<News> {
    match channel.receive::<News>() {
        Ok(Some((News::Failed(failure), _))) => Err(failure.into_error(id)),
        Ok(Some((news, _))) => Ok(news),
        Ok(None) => Err(ended().into()),
        Err(e) => Err(Error::system("hear from the worker")(e)),
    }
}

fn ended() -> FilesError {
    FilesError::failed("work on the container's files")("the worker ended without a word")
}

fn unexpected(id: &str, news: &News) -> Error {
    Error::Protocol {
        id: id.to_owned(),
        reason: format!("{news:?} is no answer to that"),
    }
}

fn rights(engine: &Engine) -> Rights {
    Rights {
        full: engine.rootless().is_none(),
        many_ids: engine.rootless().is_none_or(|rootless| rootless.many_ids()),
    }
}

/// Reading and writing end.
fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    let pipe = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC);
    let (read, write) = pipe.map_err(|e| Error::system("make a pipe")(io::Error::from(e)))?;
    // The kernel's usual 64 KiB mean a switch of processes every 64 KiB.
    _ = rustix::pipe::fcntl_setpipe_size(&write, 1 << 20);
    Ok((read, write))
}

/// The first process of a running container, by a descriptor that means no other; `None` if it has
/// ended.
fn first_process(engine: &Engine, id: &str, pid: u32) -> Result<Option<OwnedFd>> {
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let Some(raw) = raw else { return Ok(None) };
    let Ok(first) = rustix::process::pidfd_open(raw, PidfdFlags::empty()) else {
        return Ok(None);
    };
    // It was this container's if it still is now that the number cannot be given to another.
    let state = state::inspect(engine, id)?.state;
    let same = state.pid == pid && matches!(state.status, Status::Running | Status::Paused);
    Ok(same.then_some(first))
}

/// How many bytes the changes of containers take, whose directories these are.
pub(super) fn sizes(engine: &Engine, dirs: Vec<Vec<PathBuf>>) -> Result<Vec<u64>> {
    let (channel, child) = spawn(engine, None, &Task::Sizes(dirs), &[])?;
    let answer = answer(&channel, "")?;
    drop(channel);
    child.wait();
    match answer {
        News::Sizes(sizes) => Ok(sizes),
        other => Err(unexpected("", &other)),
    }
}
