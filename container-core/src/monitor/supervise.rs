//! A container's life, from its monitor's side. Read [`run`] from top to bottom.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags};

use super::files::Files;
use super::job::{Failure, Job, News, Word};
use super::logging::Logging;
use super::serve::Session;
use crate::cgroup::{self, Cgroup, CgroupError, Hierarchy, Join};
use crate::container::ExitStatus;
use crate::plan::{Process, Step};
use crate::runtime::{self, Fault, Launched, Stdio};
use crate::state::{self, Record, State, Status};
use crate::stdio::Stream;
use crate::wire::Channel;

/// Takes a job, runs it, reports.
pub(super) fn run(channel: Channel) {
    let Ok(Some((job, fds))) = channel.receive::<Job>() else {
        return;
    };
    match Supervisor::start(job, fds, channel) {
        Ok(supervisor) => supervisor.watch(),
        Err((channel, failure)) => _ = channel.send(&News::Failed(failure), &[]),
    }
}

/// A running container and all that belongs to it.
pub(super) struct Supervisor {
    pub(super) first: Launched,
    pub(super) group: Option<Box<dyn Cgroup>>,
    /// What `exec` starts from.
    pub(super) process: Process,
    /// Namespaces that a further process joins.
    pub(super) namespaces: u64,
    pub(super) sessions: Vec<Session>,
    pub(super) stop_signal: i32,
    pub(super) stop_timeout: u64,
    /// When patience with a container that was asked to stop ends.
    pub(super) deadline: Option<Instant>,
    pub(super) listener: UnixListener,
    record: Record,
    started: String,
    files: Files,
    logging: Logging,
    signals: SignalFd,
    owner: Option<Channel>,
    /// Keeps the image.
    _lease: Option<OwnedFd>,
}

impl Supervisor {
    fn start(job: Job, fds: Vec<OwnedFd>, channel: Channel) -> Result<Self, (Channel, Failure)> {
        match Self::make(job, fds) {
            Ok(mut supervisor) => {
                let pid = u32::try_from(supervisor.first.pid).unwrap_or(0);
                let terminal = supervisor.first.terminal.take();
                let fds: Vec<_> = terminal.iter().map(AsFd::as_fd).collect();
                // An embedder that is gone is noticed by the loop.
                _ = channel.send(&News::Started { pid }, &fds);
                supervisor.owner = Some(channel);
                Ok(supervisor)
            }
            Err(failure) => Err((channel, failure)),
        }
    }

    fn make(mut job: Job, fds: Vec<OwnedFd>) -> Result<Self, Failure> {
        let mut fds = fds.into_iter();
        let files = Files::make(&job)?;
        let group = group(&job)?;
        let join = match &group {
            Some(group) => group.join().map_err(|e| Failure::Cgroup(e.to_string()))?,
            None => Join::Tasks(Vec::new()),
        };
        show_own_groups(&mut job, &join);
        let mut logging = Logging::none();
        let streams = {
            let mut stream = |number: usize, name| -> Result<Stdio, Failure> {
                Ok(match job.streams[number] {
                    Stream::Null => Stdio::Null,
                    Stream::Fd => fds.next().map_or(Stdio::Null, Stdio::Fd),
                    Stream::Log => Stdio::Fd(
                        logging
                            .add(files.dir(), name)
                            .map_err(|e| Fault::setup("open the log", &e))?,
                    ),
                })
            };
            [
                stream(0, "stdin")?,
                stream(1, "stdout")?,
                stream(2, "stderr")?,
            ]
        };
        let signals = block_signals().map_err(|e| Fault::setup("block signals", &e.into()))?;
        let listener = files.listen()?;
        let first = runtime::launch(&job.plan, &join, &streams)?;
        drop((streams, join));
        let record = job.record;
        let started = state::now();
        _ = files.state(
            &record,
            &State {
                status: Status::Running,
                pid: u32::try_from(first.pid).unwrap_or(0),
                started: started.clone(),
                finished: String::new(),
                exit: None,
            },
        );
        let namespaces = job.plan.namespaces.iter().map(|n| n.flag).sum();
        Ok(Self {
            first,
            group,
            process: job.plan.process,
            namespaces,
            sessions: Vec::new(),
            stop_signal: job.stop_signal,
            stop_timeout: job.stop_timeout,
            deadline: None,
            listener,
            record,
            started,
            files,
            logging,
            signals,
            owner: None,
            _lease: fds.next(),
        })
    }

    /// Serves until the first process has ended, then cleans up and reports.
    fn watch(mut self) {
        // Most containers either end at once or live long. For those the job was most of what
        // this process ever uses; the kernel may have that back.
        let mut trim = Some(Instant::now() + Duration::from_millis(100));
        while !self.turn(trim) {
            if trim.is_some_and(|at| at <= Instant::now()) {
                runtime::sys::trim_memory();
                trim = None;
            }
        }
        let status = self.finish();
        for session in std::mem::take(&mut self.sessions) {
            session.report();
        }
        let (owner, mut files) = (self.owner.take(), self.files);
        if !self.record.request.auto_remove {
            files.keep();
        }
        if let Some(group) = self.group {
            // Nothing is left in it; what the kernel refuses now, tidying up removes.
            _ = group.remove();
        }
        drop(files);
        if let Some(owner) = owner {
            _ = owner.send(&News::Exited(status), &[]);
        }
    }

    /// Waits for something to happen, `until` at most, and deals with it. True when the first
    /// process has ended.
    fn turn(&mut self, until: Option<Instant>) -> bool {
        let mut fds = vec![
            PollFd::new(&self.first.pidfd, PollFlags::IN),
            PollFd::new(&self.listener, PollFlags::IN),
            PollFd::new(&self.signals, PollFlags::IN),
        ];
        let fixed = fds.len();
        fds.extend(self.owner.iter().map(|c| PollFd::new(c, PollFlags::IN)));
        let owner = self.owner.is_some();
        fds.extend(
            self.logging
                .descriptors()
                .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)),
        );
        for session in &self.sessions {
            fds.extend(
                session
                    .descriptors()
                    .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)),
            );
        }
        let until = [self.deadline, until].into_iter().flatten().min();
        let timeout = until.map(|deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            rustix::event::Timespec::try_from(left).unwrap_or_default()
        });
        if rustix::event::poll(&mut fds, timeout.as_ref()).is_err() {
            return false;
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        self.logging.pump();
        if ready[0] {
            return true;
        }
        if ready[1] {
            self.accept();
        }
        if ready[2]
            || self
                .deadline
                .is_some_and(|deadline| deadline <= Instant::now())
        {
            self.deadline = None;
            self.kill();
        }
        if owner && ready[fixed] {
            self.hear_owner();
        }
        self.sessions.retain_mut(|session| !session.turn());
        false
    }

    /// The owner says something or is gone.
    fn hear_owner(&mut self) {
        let Some(owner) = &self.owner else { return };
        match owner.receive::<Word>() {
            Ok(Some((Word::Detach, _))) => {
                _ = owner.send(&News::Done, &[]);
                self.owner = None;
            }
            Ok(None) | Err(_) => {
                self.owner = None;
                self.record.request.auto_remove = true;
                self.kill();
            }
        }
    }

    /// Ends everything at once.
    fn kill(&mut self) {
        _ = rustix::process::pidfd_send_signal(&self.first.pidfd, rustix::process::Signal::KILL);
    }

    /// Collects how the first process ended and ends whatever is left.
    fn finish(&mut self) -> ExitStatus {
        let mut status = runtime::wait(self.first.pid);
        if let Some(group) = &self.group {
            status.oom_killed = group.oom_kills().is_ok_and(|n| n > 0);
            // With a PID namespace the kernel has ended the others; without one they live on.
            if group.processes().is_ok_and(|left| !left.is_empty()) {
                _ = group.kill_all();
            }
        }
        self.logging.finish();
        _ = self.files.state(
            &self.record,
            &State {
                status: Status::Exited,
                pid: 0,
                started: self.started.clone(),
                finished: state::now(),
                exit: Some(status.clone()),
            },
        );
        status
    }

    /// Asks the first process to stop and remembers when to lose patience.
    pub(super) fn stop(&mut self, timeout: Option<u64>) {
        _ = runtime::signal(&self.first.pidfd, self.stop_signal);
        let timeout = Duration::from_secs(timeout.unwrap_or(self.stop_timeout));
        self.deadline = Instant::now().checked_add(timeout);
    }
}

/// The container's cgroup with its limits. Going without is fine as long as nothing depends on
/// it; a limit that cannot be applied is an error.
fn group(job: &Job) -> Result<Option<Box<dyn Cgroup>>, Failure> {
    let make = || -> Result<Box<dyn Cgroup>, CgroupError> {
        let group = match &job.hierarchy {
            Some(hierarchy) => hierarchy.create(&job.cgroup)?,
            None => cgroup::detect()?.create(&job.cgroup)?,
        };
        let mut resources = job.resources.clone();
        if job.swap_implied && !group.limits_swap() {
            // Docker's default of as much swap as memory, where swap is not accounted for.
            if let Some(memory) = resources.memory_mut() {
                memory.set_swap(None);
            }
        }
        group.apply(&resources)?;
        Ok(group)
    };
    let error = match make() {
        Ok(group) => return Ok(Some(group)),
        Err(error) if !error.is_unavailable() => return Err(Failure::Cgroup(error.to_string())),
        Err(error) => error,
    };
    match &job.record.request.limits.names()[..] {
        [] => Ok(None),
        names => Err(Failure::Cgroup(format!(
            "cannot limit {}: {error}; or leave the limit out",
            names.join(", ")
        ))),
    }
}

/// Of cgroup v1's hierarchies, a container is shown those in which it has a group of its own: in
/// the others its place is the root, and it would see everybody's.
fn show_own_groups(job: &mut Job, join: &Join) {
    if !matches!(job.hierarchy, Some(Hierarchy::V1 { .. })) {
        return;
    }
    job.plan.steps.retain_mut(|step| match step {
        Step::CgroupMount { hierarchies, .. } => {
            hierarchies.retain(|(tree, _)| join.is_in(tree));
            !hierarchies.is_empty()
        }
        _ => true,
    });
}

/// Signals that would end the monitor end its container instead.
fn block_signals() -> nix::Result<SignalFd> {
    let set = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]);
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None)?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}
