//! A container's life, from its monitor's side. Read [`run`] from top to bottom.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags};

use super::errands::Envoy;
use super::files::Files;
use super::hub::Hub;
use super::job::{Act, Failure, Job, News, Word};
use super::launch::launch;
use super::probe::Probes;
use super::serve::{Session, Waiter};
use super::spent::Spent;
use crate::cgroup::Cgroup;
use crate::container::ExitStatus;
use crate::log::Writer;
use crate::restart::{self, End};
use crate::runtime::{self, Fault, Launched};
use crate::state::{self, State, Status};
use crate::wire::Channel;

/// Takes a job, carries it out, reports.
pub(super) fn run(channel: Channel) {
    let Ok(Some((mut job, mut fds))) = channel.receive::<Job>() else {
        return;
    };
    let files = Files::make(&mut job);
    // The record says from now on who has these volumes.
    fds.truncate(fds.len().saturating_sub(job.volume_locks));
    let news = match files {
        Err(failure) => News::Failed(failure),
        Ok(mut files) if job.act == Act::Create => match runtime::populate(&job.plan) {
            Err(fault) => News::Failed(fault.into()),
            Ok(()) => {
                files.keep(true);
                News::Done
            }
        },
        Ok(files) => match Supervisor::start(job, files, fds) {
            Ok(supervisor) => return supervisor.live(channel),
            Err(failure) => News::Failed(failure),
        },
    };
    _ = channel.send(&news, &[]);
}

/// What the first process is doing.
#[derive(Debug)]
pub(super) enum Phase {
    /// It runs.
    Running(Run),
    /// It has ended and is started again at this moment.
    Waiting { until: Instant, waited: Duration },
}

/// One run of the first process.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) first: Launched,
    pub(super) since: Instant,
    /// How long it was waited before.
    waited: Duration,
}

/// Why there is to be no further run.
#[derive(Debug, Default)]
pub(super) struct Ending {
    /// It was asked for: there is none.
    pub(super) over: bool,
    /// The container goes with this run.
    pub(super) remove: bool,
    /// It was asked to stop.
    pub(super) stop: bool,
    /// Not even its owner's being gone is one.
    pub(super) stay: bool,
}

/// A container and all that belongs to it.
pub(super) struct Supervisor {
    pub(super) job: Job,
    pub(super) phase: Phase,
    pub(super) state: State,
    pub(super) group: Option<Box<dyn Cgroup>>,
    pub(super) sessions: Vec<Session>,
    pub(super) waiters: Vec<Waiter>,
    /// The container stands still as long as these are connected.
    pub(super) holders: Vec<Channel>,
    pub(super) envoys: Vec<Envoy>,
    spent: Spent,
    pub(super) probes: Option<Probes>,
    pub(super) ending: Ending,
    /// When patience with a container that was asked to stop ends.
    pub(super) deadline: Option<Instant>,
    pub(super) listener: UnixListener,
    pub(super) files: Files,
    pub(super) hub: Hub,
    signals: SignalFd,
    owner: Option<Channel>,
    /// The caller's streams, as long as there may be a further run; then the leases of images.
    fds: Vec<OwnedFd>,
}

impl Supervisor {
    fn start(mut job: Job, mut files: Files, mut fds: Vec<OwnedFd>) -> Result<Self, Failure> {
        let writer =
            Writer::open(&job.log, files.dir()).map_err(|e| Failure::Log(e.to_string()))?;
        let mut hub = Hub::new(writer);
        let attach = job.attach.map(|attach| {
            let first = fds.len().saturating_sub(1 + attach.descriptors());
            (attach, fds.split_off(first).into_iter())
        });
        let signals = block_signals().map_err(|e| Fault::setup("block signals", &e.into()))?;
        let etc = std::mem::take(&mut job.etc);
        // What is kept has a past.
        let mut state = match job.act {
            Act::Start => files.last_state(),
            _ => State::default(),
        };
        let launched = launch(&mut job, &files, &mut hub, &mut fds, || {
            files.furnish(&etc)?;
            files.listen()
        });
        let (first, group, listener) = match launched {
            Ok(launched) => launched,
            Err(failure) => {
                // What can be listed says why it does not run.
                if !files.record().request.auto_remove {
                    state.error = failure.to_string();
                    state.exit = Some(ExitStatus::of(failure.exit_code()));
                    _ = files.state(&state, true);
                    files.keep(true);
                }
                return Err(failure);
            }
        };
        if let Some((attach, mut given)) = attach
            && let Some(connection) = given.next()
        {
            let channel = Channel::new(UnixStream::from(connection));
            hub.attach(channel, attach, given.collect());
        }
        if let Some(group) = &group {
            files.set_cgroup(group.path());
        }
        let mut supervisor = Self {
            phase: Phase::running(first, Duration::ZERO),
            probes: None,
            job,
            state,
            group,
            sessions: Vec::new(),
            waiters: Vec::new(),
            holders: Vec::new(),
            envoys: Vec::new(),
            spent: Spent::default(),
            ending: Ending::default(),
            deadline: None,
            listener,
            files,
            hub,
            signals,
            owner: None,
            fds,
        };
        supervisor.state.restarts = 0;
        supervisor.state.stopped = false;
        supervisor.started();
        Ok(supervisor)
    }

    /// Writes down that a run has begun.
    fn started(&mut self) {
        let Phase::Running(run) = &self.phase else {
            return;
        };
        self.state.status = Status::Running;
        self.state.pid = u32::try_from(run.first.pid).unwrap_or(0);
        self.state.started = state::now();
        self.state.error = String::new();
        self.probes = self.job.check.clone().map(Probes::new);
        self.state.health = self.probes.as_ref().map(|_| Default::default());
        self.write_state();
        self.files.tell("start", &[]);
    }

    /// A state that cannot be written (a full disk) must not stop the container.
    pub(super) fn write_state(&self) {
        _ = self.files.state(&self.state, false);
    }

    /// Reports the start, serves until the last run has ended, cleans up and reports.
    fn live(mut self, channel: Channel) {
        let terminal = match &mut self.phase {
            Phase::Running(run) => run.first.terminal.take(),
            Phase::Waiting { .. } => None,
        };
        let fds: Vec<_> = terminal.iter().map(AsFd::as_fd).collect();
        // An embedder that is gone is noticed by the loop.
        let pid = self.state.pid;
        _ = channel.send(&News::Started { pid }, &fds);
        drop(terminal);
        self.owner = Some(channel);
        // Most containers either end at once or live long. For those the job was most of what
        // this process ever uses; the kernel may have that back.
        let mut trim = Some(Instant::now() + Duration::from_millis(100));
        while self.turn(trim) {
            if self.hub.has_worked() {
                trim = Some(Instant::now() + Duration::from_secs(1));
            } else if trim.is_some_and(|at| at <= Instant::now()) {
                runtime::sys::trim_memory();
                trim = None;
            }
        }
        self.hold();
        self.bury();
    }

    /// Leaves its owner some time to look at what a container has left that is held.
    fn hold(&self) {
        const PATIENCE: rustix::event::Timespec = rustix::event::Timespec {
            tv_sec: 10,
            tv_nsec: 0,
        };
        let held = self.job.act == Act::Run { held: true };
        if let (true, Some(owner), Some(exit)) = (held, &self.owner, &self.state.exit) {
            _ = owner.send(&News::Ended(exit.clone()), &[]);
            // Whatever it says, or its end, is its leave.
            let mut fds = [PollFd::new(owner, PollFlags::IN)];
            _ = rustix::event::poll(&mut fds, Some(&PATIENCE));
        }
    }

    /// The last run has ended: writes that down, removes what goes with it, tells everybody.
    fn bury(mut self) {
        self.state.status = Status::Exited;
        self.state.pid = 0;
        let remove = self.ending.remove || self.files.record().request.auto_remove;
        if !remove {
            _ = self.files.state(&self.state, true);
        }
        if self.ending.stop {
            self.files.tell("stop", &[]);
        }
        self.files.keep(!remove);
        // Nothing is left in it; what the kernel refuses now, tidying up removes.
        if self
            .group
            .take()
            .is_some_and(|group| group.remove().is_err())
        {
            self.files.bequeath();
        }
        drop(self.files);
        let exit = self.state.exit.unwrap_or(ExitStatus::of(0));
        self.hub.tell(&exit);
        for waiter in self.waiters {
            waiter.tell(&exit);
        }
        if let Some(owner) = self.owner {
            _ = owner.send(&News::Exited(exit), &[]);
        }
    }

    /// Waits for something to happen, `until` at most, and deals with it. False when the last
    /// run has ended.
    fn turn(&mut self, until: Option<Instant>) -> bool {
        let mut fds = vec![
            PollFd::new(&self.listener, PollFlags::IN),
            PollFd::new(&self.signals, PollFlags::IN),
        ];
        if let Phase::Running(run) = &self.phase {
            fds.push(PollFd::new(&run.first.pidfd, PollFlags::IN));
        }
        let fixed = fds.len();
        fds.extend(self.owner.iter().map(|c| PollFd::new(c, PollFlags::IN)));
        let owner = self.owner.is_some();
        let others = self.sessions.iter().flat_map(Session::descriptors);
        let others = others.chain(self.waiters.iter().map(AsFd::as_fd));
        let others = others.chain(self.holders.iter().map(AsFd::as_fd));
        let others = others.chain(self.envoys.iter().map(AsFd::as_fd));
        let others = others.chain(self.probes.iter().flat_map(Probes::descriptors));
        fds.extend(others.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        let streams = fds.len();
        let waits = self.hub.waits();
        let polled = waits.iter().map(|(_, fd, flags)| (*fd, *flags));
        fds.extend(polled.map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags)));
        let until = [self.deadline, until, self.wake_up()];
        let timeout = until.into_iter().flatten().min().map(|deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            rustix::event::Timespec::try_from(left).unwrap_or_default()
        });
        if rustix::event::poll(&mut fds, timeout.as_ref()).is_err() {
            return true;
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let happened = waits.iter().zip(&fds[streams..]);
        let happened: Vec<_> = happened.map(|(wait, fd)| (wait.0, fd.revents())).collect();
        drop((fds, waits));
        self.hub.turn(happened);
        match &self.phase {
            Phase::Running(_) if ready[2] => return self.ended(),
            Phase::Waiting { until, waited } if *until <= Instant::now() => {
                let waited = *waited;
                return self.again(waited);
            }
            _ => {}
        }
        if ready[0] {
            self.accept();
        }
        if ready[1] {
            _ = self.signals.read_signal();
            self.stop(None, None);
        }
        if self.deadline.is_some_and(|at| at <= Instant::now()) {
            self.deadline = None;
            self.kill();
        }
        if owner && ready[fixed] {
            self.hear_owner();
        }
        self.turn_sessions(false);
        self.turn_envoys(false);
        self.waiters.retain(|waiter| !waiter.is_gone());
        self.let_go();
        self.probe();
        // Asked to end while it waited for its next run: this was the end.
        !(self.ending.over && matches!(self.phase, Phase::Waiting { .. }))
    }

    /// The next moment at which something is to be done.
    fn wake_up(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Waiting { until, .. } => Some(*until),
            Phase::Running(_) if self.state.status == Status::Paused => None,
            Phase::Running(_) => self.probes.as_ref().map(Probes::wake_up),
        }
    }

    /// The owner says something or is gone.
    fn hear_owner(&mut self) {
        let Some(owner) = &self.owner else { return };
        match owner.receive::<Word>() {
            Ok(Some((Word::Detach, _))) => {
                _ = owner.send(&News::Done, &[]);
                self.owner = None;
            }
            Ok(Some((Word::Release, _))) => self.job.act = Act::Run { held: false },
            Ok(None) | Err(_) if self.ending.stay => self.owner = None,
            Ok(None) | Err(_) => {
                self.owner = None;
                (self.ending.over, self.ending.remove) = (true, true);
                self.kill();
            }
        }
    }

    /// Ends everything at once.
    pub(super) fn kill(&mut self) {
        if let Phase::Running(run) = &self.phase {
            _ = runtime::signal(&run.first.pidfd, libc::SIGKILL);
            self.files
                .tell("kill", &[("signal", libc::SIGKILL.to_string())]);
            self.thaw();
        }
    }

    /// Lets frozen processes go on, so that they can hear a signal.
    pub(super) fn thaw(&mut self) {
        if self.state.status == Status::Paused {
            if let Some(group) = &self.group {
                _ = group.thaw();
            }
            self.state.status = Status::Running;
            self.write_state();
        }
    }

    /// Asks the first process to stop and remembers when to lose patience. There is no further
    /// run.
    pub(super) fn stop(&mut self, signal: Option<i32>, timeout: Option<u64>) {
        self.ending.over = true;
        if let Phase::Running(run) = &self.phase {
            let signal = signal.unwrap_or(self.job.stop_signal);
            _ = runtime::signal(&run.first.pidfd, signal);
            self.files.tell("kill", &[("signal", signal.to_string())]);
            self.thaw();
            let timeout = Duration::from_secs(timeout.unwrap_or(self.job.stop_timeout));
            self.deadline = Instant::now().checked_add(timeout);
        }
    }

    /// The first process has ended: collects how, ends whatever is left, decides what follows.
    /// False when nothing does.
    fn ended(&mut self) -> bool {
        let Phase::Running(run) = &self.phase else {
            return true;
        };
        let (ran, waited) = (run.since.elapsed(), run.waited);
        let mut exit = runtime::wait(run.first.pid);
        if let Some(group) = &self.group {
            exit.oom_killed = group.oom_kills().is_ok_and(|n| n > 0);
            if self.files.record().request.measure {
                exit.stats = group.stats().ok().map(Box::new);
            }
            // With a PID namespace the kernel has ended the others; without one they live on.
            if group.processes().is_ok_and(|left| !left.is_empty()) {
                _ = group.kill_all();
            }
        }
        self.hub.finish();
        self.deadline = None;
        self.probes = None;
        self.turn_sessions(true);
        self.turn_envoys(true);
        if self.files.record().request.measure && self.group.is_none() {
            exit.stats = self.spent.since_last().map(Box::new);
        }
        let end = End {
            code: exit.code,
            ran,
            restarts: self.state.restarts,
            waited,
        };
        if exit.oom_killed {
            self.files.tell("oom", &[]);
        }
        let ran = ran.as_secs().to_string();
        let code = ("exitCode", exit.code.to_string());
        self.files.tell("die", &[code, ("execDuration", ran)]);
        self.state.exit = Some(exit);
        self.state.finished = state::now();
        let policy = self.files.record().request.restart;
        match restart::next(policy, end).filter(|_| !self.ending.over) {
            None => false,
            Some(wait) => {
                self.wait_for_next_run(wait);
                true
            }
        }
    }

    fn wait_for_next_run(&mut self, wait: Duration) {
        self.phase = Phase::Waiting {
            until: Instant::now() + wait,
            waited: wait,
        };
        self.state.status = Status::Restarting;
        self.state.pid = 0;
        self.write_state();
        if let Some(exit) = &self.state.exit {
            let (told, rest) = std::mem::take(&mut self.waiters)
                .into_iter()
                .partition(|waiter| !waiter.for_all());
            self.waiters = rest;
            let told: Vec<Waiter> = told;
            told.into_iter().for_each(|waiter| waiter.tell(exit));
            self.hub.tell(exit);
        }
    }

    /// Starts the first process again. False when that cannot be done.
    fn again(&mut self, waited: Duration) -> bool {
        // The limits' counters and whatever a run has changed there begin anew.
        if let Some(group) = self.group.take() {
            _ = group.remove();
        }
        let (files, hub) = (&self.files, &mut self.hub);
        match launch(&mut self.job, files, hub, &mut self.fds, || Ok(())) {
            Ok((first, group, ())) => {
                self.group = group;
                self.phase = Phase::running(first, waited);
                self.state.restarts += 1;
                self.started();
                true
            }
            Err(failure) => {
                self.state.error = failure.to_string();
                self.state.exit = Some(ExitStatus::of(failure.exit_code()));
                false
            }
        }
    }
}

impl Phase {
    fn running(first: Launched, waited: Duration) -> Self {
        Self::Running(Run {
            first,
            since: Instant::now(),
            waited,
        })
    }
}

/// Signals that would end the monitor end its container instead.
fn block_signals() -> nix::Result<SignalFd> {
    let set = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]);
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None)?;
    // Whoever is attached and stops reading is told by the write itself.
    let broken = SigSet::from_iter([Signal::SIGPIPE]);
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&broken), None)?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}
