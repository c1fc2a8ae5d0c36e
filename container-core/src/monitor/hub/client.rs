//! Somebody who is attached.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, OFlags};
use rustix::net::SendFlags;

use super::super::job::Attach;
use crate::log::LogStream;
use crate::outbox::Outbox;
use crate::wire::Channel;

#[derive(Debug)]
pub(super) struct Client {
    /// Closed by him when he goes away.
    pub(super) channel: Channel,
    /// What he types, while he does.
    pub(super) stdin: Option<OwnedFd>,
    pub(super) sinks: Vec<Sink>,
    /// Which of the sinks is for which stream.
    routes: [Option<usize>; 2],
    pub(super) gone: bool,
}

impl Client {
    pub(super) fn new(channel: Channel, attach: Attach, fds: Vec<OwnedFd>) -> Self {
        let mut fds = fds.into_iter();
        let stdin = if attach.stdin { fds.next() } else { None };
        let mut client = Self {
            channel,
            stdin,
            sinks: Vec::new(),
            routes: [None; 2],
            gone: false,
        };
        for (stream, wanted) in [
            (LogStream::Stdout, attach.stdout),
            (LogStream::Stderr, attach.stderr),
        ] {
            if !wanted {
                continue;
            }
            if !attach.merged || client.sinks.is_empty() {
                client.sinks.extend(fds.next().map(Sink::new));
            }
            client.routes[stream.index()] = client.sinks.len().checked_sub(1);
        }
        client
    }

    pub(super) fn sink(&mut self, stream: LogStream) -> Option<&mut Sink> {
        self.sinks.get_mut(self.routes[stream.index()]?)
    }

    /// Bytes of a stream that wait for him.
    pub(super) fn queued(&self, stream: LogStream) -> usize {
        let sink = self.routes[stream.index()].and_then(|at| self.sinks.get(at));
        sink.map_or(0, |sink| sink.outbox.len())
    }
}

/// Where somebody reads.
#[derive(Debug)]
pub(super) struct Sink {
    /// None when nobody reads any more.
    fd: Option<OwnedFd>,
    socket: bool,
    outbox: Outbox,
}

impl Sink {
    fn new(fd: OwnedFd) -> Self {
        let kind = rustix::fs::fstat(&fd).map(|stat| FileType::from_raw_mode(stat.st_mode));
        let socket = kind == Ok(FileType::Socket);
        // A socket is his, too, and stays as it is: each call says that it must not wait. A pipe
        // was opened for us.
        let usable = socket || rustix::fs::fcntl_setfl(&fd, OFlags::NONBLOCK).is_ok();
        Self {
            fd: usable.then_some(fd),
            socket,
            outbox: Outbox::default(),
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        if self.fd.is_some() {
            self.outbox.push(bytes);
            self.turn();
        }
    }

    /// Writes what waits, as far as it is taken.
    pub(super) fn turn(&mut self) {
        let Some(fd) = &self.fd else { return };
        let socket = self.socket;
        let written = self.outbox.hand_over(|bytes| match socket {
            true => rustix::net::send(fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL),
            false => rustix::io::write(fd, bytes),
        });
        if written.is_err() {
            self.fd = None;
            self.outbox = Outbox::default();
        }
    }

    /// Puts another descriptor in the place of its own.
    pub(super) fn replace(&mut self, fd: OwnedFd) -> Option<OwnedFd> {
        self.fd.replace(fd)
    }

    /// What to wait for, when something waits.
    pub(super) fn waits(&self) -> Option<BorrowedFd<'_>> {
        let fd = self.fd.as_ref().filter(|_| !self.outbox.is_empty());
        fd.map(AsFd::as_fd)
    }
}
