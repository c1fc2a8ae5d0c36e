//! The builder and the handle: [`ContainerBuilder`] is to containers what
//! `std::process::Command` is to processes, [`Container`] what `Child` is.

mod builder;
mod dial;
mod launch;
mod reuse;

use std::fmt;
use std::time::Duration;

use crate::attach::{Attach, Attached};
use crate::cgroup::{self, Cgroup, CgroupPath, Stats};
use crate::engine::Engine;
use crate::events::Journal;
use crate::exec::ExecBuilder;
use crate::log::{LogOptions, LogReader, Logs};
use crate::machine;
use crate::monitor::client::{self, Link};
use crate::ready::Ready;
use crate::request::{Limits, RestartPolicy};
use crate::state::{self, Change, Inspect, Status, Taken};
use crate::stdio::{Pumps, Streams};
use crate::{Error, Result};

pub use builder::ContainerBuilder;
pub use reuse::REUSE_LABEL;

/// How a container's process ended.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ExitStatus {
    /// What the process returned, or 128 + the signal that ended it, as Docker reports it.
    pub code: i32,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// The kernel's OOM killer ended a process of this container.
    pub oom_killed: bool,
    /// What the container had used, when it was to be [measured](ContainerBuilder::measure). Where
    /// it had no cgroup, the processor time only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<Box<Stats>>,
}

impl ExitStatus {
    /// It returned this.
    pub(crate) fn of(code: i32) -> Self {
        Self {
            code,
            ..Self::default()
        }
    }

    /// This signal ended it.
    pub(crate) fn by(signal: i32) -> Self {
        Self {
            signal: Some(signal),
            ..Self::of(128 + signal)
        }
    }

    /// True when the code is 0.
    pub fn success(&self) -> bool {
        self.code == 0
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.signal, self.oom_killed) {
            (_, true) => write!(f, "exit code {} (out of memory)", self.code),
            (Some(signal), _) => write!(f, "exit code {} (signal {signal})", self.code),
            _ => write!(f, "exit code {}", self.code),
        }
    }
}

/// What [`ContainerBuilder::output`] and [`ExecBuilder::output`] return.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// How the process ended.
    pub status: ExitStatus,
    /// All it wrote to standard output.
    pub stdout: Vec<u8>,
    /// All it wrote to standard error.
    pub stderr: Vec<u8>,
}

/// A handle on a container.
///
/// One that [`ContainerBuilder::start`] returns owns its container: dropping it ends and removes
/// that, and so does the death of this process by whatever cause; [`detach`](Self::detach) makes
/// it outlive both. One that [`Engine::get`] or [`ContainerBuilder::create`] returns does not.
#[derive(Debug)]
pub struct Container {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) pid: u32,
    pub(crate) warnings: Vec<String>,
    pub(crate) engine: Engine,
    /// The connection that owns it.
    pub(crate) link: Option<Link>,
    /// What connects its streams with this process, once the link is gone.
    pub(crate) pumps: Option<Pumps>,
    /// The caller's ends of its streams.
    pub streams: Streams,
    pub(crate) attached: Option<Attached>,
}

impl Container {
    /// A handle that owns nothing.
    pub(crate) fn of(engine: &Engine, inspect: &Inspect) -> Self {
        Self {
            id: inspect.record.id.clone(),
            name: inspect.record.name.clone(),
            pid: inspect.state.pid,
            warnings: Vec::new(),
            engine: engine.clone(),
            link: None,
            pumps: None,
            streams: Streams::default(),
            attached: None,
        }
    }

    /// The id: 64 hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The name it had when this handle was made.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process id of the container's first process when this handle was made, as the
    /// engine's process sees it; 0 when there was none.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What could not be granted in full, one sentence each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The connection that [`ContainerBuilder::attach`] made.
    pub fn take_attached(&mut self) -> Option<Attached> {
        self.attached.take()
    }

    /// Starts a container that was created or has ended; one that runs is left as it is. It
    /// does not end with this handle.
    ///
    /// # Errors
    /// As [`ContainerBuilder::start`]; [`Error::Paused`] for one that is paused.
    pub async fn start(&self) -> Result<()> {
        let started = crate::run::start_again(&self.engine, &self.id, None);
        started.await.map(drop)
    }

    /// As [`start`](Self::start), connected with its streams from the first byte on. With those
    /// of one that runs, from now on.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_attached(&self, attach: Attach) -> Result<Attached> {
        let started = crate::run::start_again(&self.engine, &self.id, Some(attach));
        let gone = || Error::NotRunning {
            id: self.id.clone(),
        };
        started.await?.ok_or_else(gone)
    }

    /// Connects with the streams of a container that runs.
    ///
    /// # Errors
    /// It is not running.
    pub async fn attach(&self, attach: Attach) -> Result<Attached> {
        client::attach(&self.engine, &self.id, attach).await
    }

    /// Sets the size of its terminal.
    ///
    /// # Errors
    /// It is not running, or has no terminal that is logged.
    pub async fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        client::resize(&self.engine, &self.id, rows, columns).await
    }

    /// Waits for the end of the first process, and for the removal of a container that goes with
    /// it. For one that is not running, tells how it ended the last time.
    ///
    /// # Errors
    /// The monitor died before it could tell.
    pub async fn wait(&self) -> Result<ExitStatus> {
        if let Some(link) = &self.link {
            return link.wait().await;
        }
        match client::wait(&self.engine, &self.id, false).await {
            Err(Error::NotRunning { .. }) => Ok(self.last_exit()?),
            exit => exit,
        }
    }

    /// Waits until the container is ready, as `ready` has it: a line in its log, an open port, an
    /// answer, a success, one or all of several. See [`ready`](crate::ready).
    ///
    /// # Errors
    /// [`Error::NotReady`] when it ends before or does not become ready in time; that says what
    /// is missing and what the container wrote last. A condition that makes no sense.
    pub async fn wait_for(&self, ready: impl Into<Ready>) -> Result<()> {
        crate::ready::wait(self, &ready.into()).await
    }

    /// Waits for the end of its last run. One that is held has not gone yet then.
    pub(crate) async fn end(&self) -> Result<ExitStatus> {
        if let Some(link) = &self.link {
            return link.ended().await;
        }
        match client::wait(&self.engine, &self.id, true).await {
            Err(Error::NotRunning { id }) => {
                let ended = self.inspect()?.state.exit;
                ended.ok_or(Error::NotRunning { id })
            }
            exit => exit,
        }
    }

    /// Waits until a container that was just started is ready; removes it when it does not become
    /// so.
    pub(super) async fn become_ready(&self, ready: &Ready) -> Result<()> {
        let result = crate::ready::wait(self, ready).await;
        if let Some(link) = &self.link {
            link.release();
        }
        if result.is_err() {
            // Why is known; the handle's end sees to the rest.
            _ = self.remove(true).await;
        }
        result
    }

    /// Whether it stays at its end until this handle lets it go.
    pub(crate) fn is_held(&self) -> bool {
        self.link.as_ref().is_some_and(Link::is_held)
    }

    /// How it ended the last time; one that never ran has not failed.
    fn last_exit(&self) -> Result<ExitStatus> {
        Ok(self.inspect()?.state.exit.unwrap_or(ExitStatus::of(0)))
    }

    /// Sends a signal to the first process. After SIGKILL or the container's stop signal it is
    /// not restarted, whatever its policy.
    ///
    /// # Errors
    /// The container has ended, or the number is no signal.
    pub async fn kill(&self, signal: i32) -> Result<()> {
        client::kill(&self.engine, &self.id, signal).await
    }

    /// Asks the process to stop (the stop signal of the request or image) and kills it after
    /// `timeout` (the request's when `None`). Returns when it has ended; it is not restarted.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub async fn stop(&self, timeout: Option<Duration>) -> Result<ExitStatus> {
        self.stop_with(None, timeout).await
    }

    /// As [`stop`](Self::stop), with another signal.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub async fn stop_with(
        &self,
        signal: Option<i32>,
        timeout: Option<Duration>,
    ) -> Result<ExitStatus> {
        let stopped = client::stop(&self.engine, &self.id, signal, timeout).await;
        match (stopped, &self.link) {
            (Ok(_) | Err(Error::NotRunning { .. }), Some(link)) => link.wait().await,
            // It has ended by itself, which is what was wanted.
            (Err(Error::NotRunning { .. }), None) => self.last_exit(),
            (stopped, _) => stopped,
        }
    }

    /// Stops it, if it runs, and starts it.
    ///
    /// # Errors
    /// As [`stop`](Self::stop) and [`start`](Self::start).
    pub async fn restart(&self, signal: Option<i32>, timeout: Option<Duration>) -> Result<()> {
        match client::stop(&self.engine, &self.id, signal, timeout).await {
            Ok(_) | Err(Error::NotRunning { .. }) => self.start().await?,
            Err(e) => return Err(e),
        }
        let record = self.inspect()?.record;
        Journal::new(self.engine.run_root()).container(&record, "restart", &[]);
        Ok(())
    }

    /// Freezes all its processes.
    ///
    /// # Errors
    /// It is not running or paused already; there is no cgroup that this user may use.
    pub async fn pause(&self) -> Result<()> {
        client::pause(&self.engine, &self.id, true).await
    }

    /// Lets its processes go on.
    ///
    /// # Errors
    /// It is not paused.
    pub async fn unpause(&self) -> Result<()> {
        client::pause(&self.engine, &self.id, false).await
    }

    /// Removes the container and the volumes of its own, not those that have a name. One that
    /// runs is killed when `force` is set, and is an error else.
    ///
    /// # Errors
    /// It runs; somebody else is starting or removing it; a file cannot be removed.
    pub async fn remove(&self, force: bool) -> Result<()> {
        self.remove_with(force, true).await
    }

    /// The same, with the volumes of its own or without.
    ///
    /// # Errors
    /// As [`remove`](Self::remove).
    pub async fn remove_with(&self, force: bool, volumes: bool) -> Result<()> {
        let id = &self.id;
        loop {
            let Inspect { state, .. } = self.inspect()?;
            if state.status.is_live() {
                if !force {
                    return Err(Error::Running {
                        id: id.clone(),
                        status: state.status,
                    });
                }
                match client::remove(&self.engine, id, volumes).await {
                    // It has just ended by itself.
                    Err(Error::NotRunning { .. }) => {}
                    removed => return removed.map(drop),
                }
            }
            match state::claim_soon(&self.engine, id).await {
                // Somebody has started it meanwhile.
                Err(Error::Busy { .. }) if self.inspect()?.state.status.is_live() => {}
                Err(e) => return Err(e),
                Ok(claim) => {
                    // Looked at again now that nobody else can change it.
                    self.inspect()?;
                    return state::remove(&self.engine, id, volumes, &claim);
                }
            }
        }
    }

    /// Gives it another name.
    ///
    /// # Errors
    /// The name is taken or malformed.
    pub async fn rename(&mut self, name: &str) -> Result<()> {
        let name = crate::name::choose(Some(name.to_owned()))?;
        if self.inspect()?.record.name == name {
            return Err(Error::Setting {
                setting: "name",
                value: name,
                reason: "Renaming a container with the same name as its current name".into(),
            });
        }
        self.change(Change::Name(name.clone())).await?;
        self.name = name;
        Ok(())
    }

    /// Changes limits (those that are set; the others stay) and the restart policy. Both take
    /// effect at once and for the container's further runs.
    ///
    /// # Errors
    /// A limit makes no sense or cannot be applied.
    pub async fn update(
        &self,
        limits: Option<Limits>,
        restart: Option<RestartPolicy>,
    ) -> Result<()> {
        let record = self.inspect()?.record;
        let change = crate::run::update(&self.engine, record, limits, restart).await?;
        self.change(change).await
    }

    /// By its monitor, or here when there is none.
    async fn change(&self, change: Change) -> Result<()> {
        let engine = &self.engine;
        match client::change(engine, &self.id, change.clone()).await {
            Err(Error::NotRunning { .. }) => {}
            changed => return changed,
        }
        let _claim = state::claim_soon(engine, &self.id).await?;
        let mut record = self.inspect()?.record;
        let mut journal = Journal::new(engine.run_root());
        let dir = engine.container_dir(&self.id);
        state::change(engine.root(), &mut journal, &mut record, &change)
            .map_err(Error::io("write the record in", dir))?
            .map_err(|Taken { name, id }| Error::NameInUse { name, id })
    }

    /// What it uses: the figures of its cgroup.
    ///
    /// # Errors
    /// It is not running, or has no cgroup (an ordinary user's where none is delegated).
    pub fn stats(&self) -> Result<Stats> {
        let group = self.cgroup()?;
        match group.processes()?.is_empty() {
            false => Ok(group.stats()?),
            // It runs, so it would have some.
            true => Err(Error::Limit {
                reason: "figures need a cgroup, and there is none here that this user may use"
                    .into(),
            }),
        }
    }

    /// The process ids of all its processes, as the engine's process sees them.
    ///
    /// # Errors
    /// It is not running, or `/proc` cannot be read.
    pub fn processes(&self) -> Result<Vec<i32>> {
        let listed = self.cgroup().and_then(|group| Ok(group.processes()?));
        match listed {
            Ok(processes) if !processes.is_empty() => Ok(processes),
            Err(e @ Error::NotRunning { .. }) => Err(e),
            // Without a cgroup.
            _ => Ok(machine::processes(self.inspect()?.state.pid)),
        }
    }

    fn cgroup(&self) -> Result<Box<dyn Cgroup>> {
        let Inspect { record, state } = self.inspect()?;
        if !matches!(state.status, Status::Running | Status::Paused) {
            let id = self.id.clone();
            return Err(Error::NotRunning { id });
        }
        Ok(cgroup::detect()?.open(&CgroupPath::new(record.cgroup)?))
    }

    /// Describes a further process in this container.
    pub fn exec<S: Into<String>>(&self, args: impl IntoIterator<Item = S>) -> ExecBuilder<'_> {
        ExecBuilder::new(self, args.into_iter().map(Into::into).collect())
    }

    /// What the container has written to streams that are logged.
    ///
    /// # Errors
    /// The log cannot be read; its driver is one that cannot; the container is removed.
    pub async fn logs(&self, options: LogOptions) -> Result<LogReader> {
        let config = self.inspect()?.record.request.log;
        let monitor = client::monitor(&self.engine, &self.id)?;
        let dir = self.engine.container_dir(&self.id);
        LogReader::open(&dir, &config, options, monitor).await
    }

    /// All that the container has written so far to streams that are logged. Blocks.
    ///
    /// # Errors
    /// As [`logs`](Self::logs).
    pub fn logged(&self) -> Result<Logs> {
        let config = self.inspect()?.record.request.log;
        crate::log::read(&self.engine.container_dir(&self.id), &config)
    }

    /// What is known about the container.
    ///
    /// # Errors
    /// Its record cannot be read.
    pub fn inspect(&self) -> Result<Inspect> {
        state::inspect(&self.engine, &self.id)
    }

    /// Lets the container outlive this handle and this process.
    ///
    /// # Errors
    /// The monitor is gone.
    pub async fn detach(&mut self) -> Result<()> {
        if let Some(link) = self.link.take() {
            self.pumps = Some(link.detach().await?);
        }
        Ok(())
    }
}
