//! From the container's pipes into its log.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::PollFlags;
use rustix::fs::OFlags;

use crate::log::{LogStream, Stamp, Writer};

/// The streams that are logged.
#[derive(Debug)]
pub(super) struct Logging {
    writer: Writer,
    pipes: Vec<(OwnedFd, LogStream)>,
}

impl Logging {
    pub(super) fn new(writer: Writer) -> Self {
        Self {
            writer,
            pipes: Vec::new(),
        }
    }

    /// Adds a stream and returns the end that the container writes to.
    pub(super) fn add(&mut self, stream: LogStream) -> io::Result<OwnedFd> {
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        // Our end only: a pipe's ends have their own flags.
        rustix::fs::fcntl_setfl(&read, OFlags::NONBLOCK)?;
        self.pipes.push((read, stream));
        Ok(write)
    }

    pub(super) fn descriptors(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let open = if self.writer.is_congested() {
            &[][..]
        } else {
            &self.pipes[..]
        };
        let pipes = open.iter().map(|(fd, _)| (fd.as_fd(), PollFlags::IN));
        pipes.chain(self.writer.descriptors())
    }

    /// Writes what has come through the pipes; those at their end are dropped.
    pub(super) fn pump(&mut self) {
        let writer = &mut self.writer;
        writer.turn();
        if !writer.is_congested() {
            self.pipes
                .retain_mut(|(pipe, stream)| copy(pipe, *stream, writer));
        }
    }

    /// Writes what is left, the last unfinished line included.
    pub(super) fn finish(&mut self) {
        for (pipe, stream) in self.pipes.drain(..) {
            copy(&pipe, stream, &mut self.writer);
        }
        self.writer.finish(Stamp::now());
    }
}

/// False at the end of the pipe.
fn copy(pipe: &OwnedFd, stream: LogStream, writer: &mut Writer) -> bool {
    let mut buffer = [0; 32 << 10];
    // Bounded, so that one busy stream does not keep the monitor from its other duties.
    for _ in 0..16 {
        match rustix::io::read(pipe, &mut buffer) {
            Ok(0) => return false,
            Ok(n) => writer.write(stream, &buffer[..n], Stamp::now()),
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => return true,
            Err(_) => return false,
        }
    }
    true
}
