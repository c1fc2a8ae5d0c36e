//! Requests on the monitor's socket: one connection, one request.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use super::job::{Failure, News, Request};
use super::supervise::Supervisor;
use crate::runtime::{self, Fault, Launched, Stdio};
use crate::spec;
use crate::stdio::Stream;
use crate::wire::Channel;

/// A process that `exec` has started, and the connection that waits for its end.
#[derive(Debug)]
pub(super) struct Session {
    process: Launched,
    client: Channel,
    /// The client is gone and the process with it, but for its remains.
    abandoned: bool,
}

impl Session {
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let client = (!self.abandoned).then(|| self.client.as_fd());
        std::iter::once(self.process.pidfd.as_fd()).chain(client)
    }

    /// Looks whether the process or the client has gone. True when all is said.
    pub(super) fn turn(&mut self) -> bool {
        if let Some(status) = runtime::try_wait(self.process.pid) {
            _ = self.client.send(&News::Exited(status), &[]);
            return true;
        }
        if !self.abandoned && self.client.is_closed() {
            self.abandoned = true;
            _ = runtime::signal(&self.process.pidfd, libc::SIGKILL);
        }
        false
    }

    /// The container has ended, and with it this process.
    pub(super) fn report(self) {
        _ = runtime::signal(&self.process.pidfd, libc::SIGKILL);
        let status = runtime::wait(self.process.pid);
        _ = self.client.send(&News::Exited(status), &[]);
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
        match request {
            Request::Kill { signal } => {
                let result = runtime::signal(&self.first.pidfd, signal);
                let news = match result {
                    Ok(()) => News::Done,
                    Err(e) => News::Failed(Fault::setup("send the signal", &e).into()),
                };
                _ = client.send(&news, &[]);
            }
            Request::Stop { timeout } => {
                self.stop(timeout);
                _ = client.send(&News::Done, &[]);
            }
            Request::Exec { request, streams } => match self.exec(&request, streams, fds) {
                Ok(mut process) => {
                    let terminal = process.terminal.take();
                    let fds: Vec<_> = terminal.iter().map(AsFd::as_fd).collect();
                    let pid = u32::try_from(process.pid).unwrap_or(0);
                    _ = client.send(&News::Started { pid }, &fds);
                    self.sessions.push(Session {
                        process,
                        client,
                        abandoned: false,
                    });
                }
                Err(failure) => _ = client.send(&News::Failed(failure), &[]),
            },
        }
    }

    fn exec(
        &self,
        request: &crate::exec::ExecRequest,
        streams: [Stream; 3],
        fds: Vec<OwnedFd>,
    ) -> Result<Launched, Failure> {
        let mut fds = fds.into_iter();
        let streams = streams.map(|stream| match stream {
            Stream::Fd => fds.next().map_or(Stdio::Null, Stdio::Fd),
            Stream::Null | Stream::Log => Stdio::Null,
        });
        let join = match &self.group {
            Some(group) => group.join().map_err(|e| Failure::Cgroup(e.to_string()))?,
            None => crate::cgroup::Join::Tasks(Vec::new()),
        };
        let process = spec::compile_exec(&self.process, request);
        let terminal = request.tty.then_some(request.console_size);
        let target = self.first.pidfd.as_fd();
        Ok(runtime::enter(
            target,
            self.namespaces,
            &join,
            &process,
            &streams,
            terminal,
        )?)
    }
}
