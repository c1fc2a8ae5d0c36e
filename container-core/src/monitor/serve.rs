//! Requests on the monitor's socket: one connection, one request.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;

use super::job::{Attach, Failure, News, Request, Word};
use super::supervise::{Phase, Supervisor};
use crate::container::ExitStatus;
use crate::runtime::{self, Fault, Launched, Stdio};
use crate::spec;
use crate::state::{Change, Status};
use crate::stdio::Stream;
use crate::wire::Channel;

/// A process that `exec` has started, and the connection that waits for its end.
#[derive(Debug)]
pub(super) struct Session {
    process: Launched,
    /// Who waits for its end and whom it ends with.
    client: Option<Channel>,
    /// The master of its terminal: kept, so that it does not hang up when the client detaches,
    /// and read when he has.
    terminal: Option<OwnedFd>,
}

impl Session {
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let terminal = self.terminal.as_ref().filter(|_| self.client.is_none());
        let client = self.client.iter().map(AsFd::as_fd);
        let others = client.chain(terminal.map(AsFd::as_fd));
        std::iter::once(self.process.pidfd.as_fd()).chain(others)
    }

    /// Looks whether the process or the client has gone; how the process ended, if it has.
    fn turn(&mut self) -> Option<ExitStatus> {
        if let Some(status) = runtime::try_wait(self.process.pid) {
            return Some(status);
        }
        match &self.client {
            None => self.read_away(),
            Some(client) if client.is_readable() => {
                match client.receive::<Word>() {
                    Ok(Some((Word::Detach, _))) => _ = client.send(&News::Done, &[]),
                    // Nothing is held here.
                    Ok(Some((Word::Release, _))) => return None,
                    Ok(None) | Err(_) => {
                        _ = runtime::signal(&self.process.pidfd, libc::SIGKILL);
                    }
                }
                self.client = None;
            }
            Some(_) => {}
        }
        None
    }

    /// Nobody sees what it shows any more, but it may go on showing it.
    fn read_away(&mut self) {
        let Some(terminal) = &self.terminal else {
            return;
        };
        let mut buffer = [0; 4096];
        let read = rustix::io::ioctl_fionbio(terminal, true)
            .and_then(|()| rustix::io::read(terminal, &mut buffer));
        match read {
            Ok(1..) | Err(Errno::AGAIN | Errno::INTR) => {}
            // Nobody has the other side open.
            Ok(0) | Err(_) => self.terminal = None,
        }
    }

    /// The container has ended, and with it this process.
    fn end(&self) -> ExitStatus {
        _ = runtime::signal(&self.process.pidfd, libc::SIGKILL);
        runtime::wait(self.process.pid)
    }
}

/// A connection that waits for the container's end.
#[derive(Debug)]
pub(super) struct Waiter {
    client: Channel,
    /// For the end of all, clean-up included; not just of this run.
    all: bool,
}

impl Waiter {
    pub(super) fn for_all(&self) -> bool {
        self.all
    }

    pub(super) fn tell(self, exit: &ExitStatus) {
        _ = self.client.send(&News::Exited(exit.clone()), &[]);
    }

    pub(super) fn is_gone(&self) -> bool {
        self.client.is_closed()
    }
}

impl AsFd for Waiter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.client.as_fd()
    }
}

impl Supervisor {
    /// Takes a connection and does what it asks.
    pub(super) fn accept(&mut self) {
        let Ok((stream, _)) = self.listener.accept() else {
            return;
        };
        // Whoever can connect is this user; still, a client that hangs must not hang us.
        _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
        let client = Channel::new(stream);
        let Ok(Some((request, fds))) = client.receive::<Request>() else {
            return;
        };
        let done = match request {
            Request::Stop { signal, timeout } => {
                (self.state.stopped, self.ending.stop) = (true, true);
                self.stop(signal, timeout);
                self.waiters.push(Waiter { client, all: true });
                return;
            }
            Request::Remove { volumes } => {
                (self.ending.over, self.ending.remove) = (true, true);
                self.files.keep_volumes(!volumes);
                self.kill();
                self.waiters.push(Waiter { client, all: true });
                return;
            }
            Request::Wait { last } => {
                let waiter = Waiter { client, all: last };
                match (&self.phase, &self.state.exit) {
                    (Phase::Waiting { .. }, Some(exit)) if !last => waiter.tell(exit),
                    _ => self.waiters.push(waiter),
                }
                return;
            }
            Request::Attach(attach) => return self.attach(client, attach, fds),
            Request::Resize { rows, columns } => self
                .hub
                .resize(rows, columns)
                .map_err(|e| Fault::setup("set the terminal's size", &e).into()),
            Request::Exec { request, streams } => return self.exec(client, &request, streams, fds),
            Request::Errand(errand) => return self.errand(&client, &errand),
            Request::Stay => {
                self.ending.stay = true;
                Ok(())
            }
            Request::Kill { signal } => self.send_signal(signal),
            Request::Pause(pause) => self.pause(pause),
            Request::Hold => return self.freeze_for(client),
            Request::Change(change) => self.change(&change),
        };
        let news = done.map_or_else(News::Failed, |()| News::Done);
        _ = client.send(&news, &[]);
    }

    fn attach(&mut self, client: Channel, attach: Attach, fds: Vec<OwnedFd>) {
        let Phase::Running(run) = &self.phase else {
            _ = client.send(&News::Failed(Failure::NotRunning), &[]);
            return;
        };
        let pid = u32::try_from(run.first.pid).unwrap_or(0);
        if client.send(&News::Started { pid }, &[]).is_ok() {
            self.hub.attach(client, attach, fds);
            self.files.tell("attach", &[]);
        }
    }

    fn send_signal(&mut self, signal: i32) -> Result<(), Failure> {
        let Phase::Running(run) = &self.phase else {
            return Err(Failure::NotRunning);
        };
        runtime::signal(&run.first.pidfd, signal)
            .map_err(|e| Fault::setup("send the signal", &e))?;
        self.files.tell("kill", &[("signal", signal.to_string())]);
        // As Docker has it: these mean that it is to end, whatever its restart policy.
        if signal == libc::SIGKILL || signal == self.job.stop_signal {
            self.ending.over = true;
            self.state.stopped = true;
            self.thaw();
        }
        Ok(())
    }

    fn pause(&mut self, pause: bool) -> Result<(), Failure> {
        if !matches!(self.phase, Phase::Running(_)) {
            return Err(Failure::NotRunning);
        }
        let paused = self.state.status == Status::Paused;
        if paused == pause {
            return Err(Failure::Unchanged { paused });
        }
        let Some(group) = &self.group else {
            let why = "pausing needs a cgroup, and there is none here that this user may use";
            return Err(Failure::Cgroup(why.to_owned()));
        };
        let done = if pause { group.freeze() } else { group.thaw() };
        done.map_err(|e| Failure::Cgroup(e.to_string()))?;
        self.state.status = if pause {
            Status::Paused
        } else {
            Status::Running
        };
        self.write_state();
        self.files
            .tell(if pause { "pause" } else { "unpause" }, &[]);
        Ok(())
    }

    /// Freezes the container until the client is gone. One that is frozen already stays so.
    fn freeze_for(&mut self, client: Channel) {
        let others = self.state.status == Status::Paused && self.holders.is_empty();
        let held = match self.state.status == Status::Paused {
            true => Ok(()),
            false => self.pause(true),
        };
        let failed = held.is_err();
        _ = client.send(&held.map_or_else(News::Failed, |()| News::Done), &[]);
        if !others && !failed {
            self.holders.push(client);
        }
    }

    /// Lets the container go on when the last of those who hold it is gone.
    pub(super) fn let_go(&mut self) {
        let held = !self.holders.is_empty();
        self.holders.retain(|holder| !holder.is_closed());
        if held && self.holders.is_empty() && self.state.status == Status::Paused {
            // A container that cannot be thawed can still be killed.
            _ = self.pause(false);
        }
    }

    fn change(&mut self, change: &Change) -> Result<(), Failure> {
        if let Change::Update {
            limits: Some(limits),
            ..
        } = change
        {
            let resources = &limits.1;
            if let Some(group) = &self.group {
                group
                    .apply(resources)
                    .map_err(|e| Failure::Cgroup(e.to_string()))?;
            } else if matches!(self.phase, Phase::Running(_)) {
                let why = "limits need a cgroup, and there is none here that this user may use";
                return Err(Failure::Cgroup(why.to_owned()));
            }
            // For the next run.
            self.job.resources = resources.clone();
        }
        self.files.change(change)
    }

    fn exec(
        &mut self,
        client: Channel,
        request: &crate::exec::ExecRequest,
        streams: [Stream; 3],
        fds: Vec<OwnedFd>,
    ) {
        let mut fds = fds.into_iter();
        let streams = streams.map(|stream| match stream {
            Stream::Fd => fds.next().map_or(Stdio::Null, Stdio::Fd),
            Stream::Null | Stream::Log => Stdio::Null,
        });
        match self.enter(request, &streams) {
            Ok(mut process) => {
                let terminal = process.terminal.take();
                let fds: Vec<_> = terminal.iter().map(AsFd::as_fd).collect();
                let pid = u32::try_from(process.pid).unwrap_or(0);
                _ = client.send(&News::Started { pid }, &fds);
                // As Docker tells it: the program, a space, and the other arguments, even when there are none.
                let args = match request.args.split_first() {
                    Some((program, rest)) => format!("{program} {}", rest.join(" ")),
                    None => String::new(),
                };
                drop(fds);
                self.files.tell(&format!("exec_create: {args}"), &[]);
                self.files.tell(&format!("exec_start: {args}"), &[]);
                self.sessions.push(Session {
                    process,
                    client: (!request.detach).then_some(client),
                    terminal,
                });
            }
            Err(failure) => _ = client.send(&News::Failed(failure), &[]),
        }
    }

    /// Looks after the further processes; `last` when the container has ended.
    pub(super) fn turn_sessions(&mut self, last: bool) {
        for mut session in std::mem::take(&mut self.sessions) {
            let exit = match last {
                true => Some(session.end()),
                false => session.turn(),
            };
            let Some(exit) = exit else {
                self.sessions.push(session);
                continue;
            };
            let code = ("exitCode", exit.code.to_string());
            self.files.tell("exec_die", &[code]);
            if let Some(client) = session.client {
                _ = client.send(&News::Exited(exit), &[]);
            }
        }
    }

    /// The namespaces that the container does not share with the monitor.
    pub(super) fn namespaces(&self) -> u64 {
        self.job.plan.namespaces.iter().map(|n| n.flag).sum()
    }

    /// Starts a further process in the container.
    pub(super) fn enter(
        &self,
        request: &crate::exec::ExecRequest,
        streams: &[Stdio; 3],
    ) -> Result<Launched, Failure> {
        let Phase::Running(run) = &self.phase else {
            return Err(Failure::NotRunning);
        };
        if self.state.status == Status::Paused {
            return Err(Failure::Paused {
                action: "exec".into(),
            });
        }
        let join = match &self.group {
            Some(group) => group.join().map_err(|e| Failure::Cgroup(e.to_string()))?,
            None => crate::cgroup::Join::Tasks(Vec::new()),
        };
        let process = spec::compile_exec(&self.job.plan.process, request, self.job.capabilities);
        let terminal = request.tty.then_some(request.console_size);
        let target = run.first.pidfd.as_fd();
        if let Some(maps) = &self.job.plan.id_maps {
            runtime::give_streams(streams, maps);
        }
        Ok(runtime::enter(
            target,
            self.namespaces(),
            &join,
            &process,
            streams,
            terminal,
        )?)
    }
}
