//! Health checks: the monitor runs a probe in the container from time to time.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::pipe::PipeFlags;

use super::supervise::{Phase, Supervisor};
use crate::exec::ExecRequest;
use crate::health::{Check, MAX_OUTPUT};
use crate::runtime::{self, Launched, Stdio};
use crate::state::{self, HealthStatus, Probed, Status};

/// The probes of a running container.
#[derive(Debug)]
pub(super) struct Probes {
    check: Check,
    next: Instant,
    running: Option<Probe>,
}

/// A probe at work.
#[derive(Debug)]
struct Probe {
    process: Launched,
    output: OwnedFd,
    text: Vec<u8>,
    start: String,
    deadline: Instant,
    up: Duration,
}

impl Probes {
    pub(super) fn new(check: Check) -> Self {
        let pause = check.pause(HealthStatus::Starting, Duration::ZERO);
        Self {
            check,
            next: Instant::now() + pause,
            running: None,
        }
    }

    pub(super) fn wake_up(&self) -> Instant {
        self.running.as_ref().map_or(self.next, |p| p.deadline)
    }

    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.running
            .iter()
            .flat_map(|p| [p.process.pidfd.as_fd(), p.output.as_fd()])
    }
}

impl Probe {
    /// Takes what was written. What is beyond the limit is read, so that the probe can go on.
    fn read(&mut self) {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = rustix::io::read(&self.output, &mut buffer) {
            let room = MAX_OUTPUT.saturating_sub(self.text.len());
            self.text.extend_from_slice(&buffer[..n.min(room)]);
        }
    }
}

impl Supervisor {
    /// Starts a probe that is due, and looks after one that runs.
    pub(super) fn probe(&mut self) {
        let Phase::Running(run) = &self.phase else {
            return;
        };
        let since = run.since;
        let Some(mut probes) = self.probes.take() else {
            return;
        };
        if let Some(probed) = match probes.running.take() {
            Some(probe) => probes.look_after(probe),
            None if self.state.status == Status::Paused || probes.next > Instant::now() => None,
            None => self.begin(&mut probes, since),
        } {
            self.judge(&mut probes, probed, since);
        }
        self.probes = Some(probes);
    }

    /// The result at once, when it cannot be started.
    fn begin(&mut self, probes: &mut Probes, since: Instant) -> Option<(Probed, Duration)> {
        let (start, up) = (state::now(), since.elapsed());
        let failed = |output: String| Probed {
            start: start.clone(),
            end: state::now(),
            exit_code: -1,
            output,
        };
        let request = ExecRequest {
            args: probes.check.args.clone(),
            ..ExecRequest::default()
        };
        let (output, theirs) =
            match rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK) {
                Ok(pipe) => pipe,
                Err(e) => return Some((failed(e.to_string()), up)),
            };
        let streams = rustix::io::fcntl_dupfd_cloexec(&theirs, 3)
            .map(|again| [Stdio::Null, Stdio::Fd(theirs), Stdio::Fd(again)]);
        let started = match streams {
            Ok(streams) => self.enter(&request, &streams),
            Err(e) => return Some((failed(e.to_string()), up)),
        };
        match started {
            Ok(process) => {
                probes.running = Some(Probe {
                    process,
                    output,
                    text: Vec::new(),
                    start,
                    deadline: Instant::now() + probes.check.timeout,
                    up,
                });
                None
            }
            Err(failure) => Some((failed(failure.to_string()), up)),
        }
    }

    fn judge(&mut self, probes: &mut Probes, (probed, up): (Probed, Duration), since: Instant) {
        let health = self.state.health.get_or_insert_default();
        let before = health.status;
        probes.check.judge(health, probed, up);
        if health.status != before {
            let status = health.status.as_str();
            self.files.tell(&format!("health_status: {status}"), &[]);
        }
        let health = self.state.health.get_or_insert_default();
        let pause = probes.check.pause(health.status, since.elapsed());
        probes.next = Instant::now() + pause;
        self.write_state();
    }
}

impl Probes {
    fn look_after(&mut self, mut probe: Probe) -> Option<(Probed, Duration)> {
        probe.read();
        let exit = runtime::try_wait(probe.process.pid);
        let late = probe.deadline <= Instant::now();
        let (exit_code, output) = match exit {
            Some(exit) => {
                probe.read();
                let text = String::from_utf8_lossy(&probe.text);
                (exit.code, text.into_owned())
            }
            None if late => {
                _ = runtime::signal(&probe.process.pidfd, libc::SIGKILL);
                runtime::wait(probe.process.pid);
                let timeout = self.check.timeout;
                (-1, format!("Health check exceeded timeout ({timeout:?})"))
            }
            None => {
                self.running = Some(probe);
                return None;
            }
        };
        let probed = Probed {
            start: probe.start,
            end: state::now(),
            exit_code,
            output,
        };
        Some((probed, probe.up))
    }
}
