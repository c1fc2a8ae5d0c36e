//! A container's input.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::pipe::SpliceFlags;

use crate::outbox::Outbox;

/// What is taken from one who types.
const CHUNK: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Input {
    fd: OwnedFd,
    kind: Kind,
    outbox: Outbox,
    /// It takes no more for now.
    full: bool,
    /// The kernel moves bytes between these pipes itself.
    splices: bool,
    /// It ends once all that was typed is in.
    ending: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pipe { once: bool },
    Terminal { open: bool },
}

impl Input {
    pub(super) fn pipe(fd: OwnedFd, once: bool) -> Self {
        Self::new(fd, Kind::Pipe { once })
    }

    pub(super) fn terminal(fd: OwnedFd, open: bool) -> Self {
        Self::new(fd, Kind::Terminal { open })
    }

    fn new(fd: OwnedFd, kind: Kind) -> Self {
        Self {
            fd,
            kind,
            outbox: Outbox::default(),
            full: false,
            splices: matches!(kind, Kind::Pipe { .. }),
            ending: false,
        }
    }

    pub(super) fn is_terminal(&self) -> bool {
        matches!(self.kind, Kind::Terminal { .. })
    }

    /// Whether anybody may type.
    pub(super) fn is_open(&self) -> bool {
        self.kind != Kind::Terminal { open: false } && !self.ending
    }

    pub(super) fn is_full(&self) -> bool {
        self.full || !self.outbox.is_empty()
    }

    /// Takes some of what was typed. 0 at its end; `BrokenPipe` when nobody reads the input.
    pub(super) fn take(&mut self, from: &OwnedFd) -> io::Result<usize> {
        while self.splices {
            let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
            match rustix::pipe::splice(from, None, &self.fd, None, PIPE, flags) {
                Ok(moved) => return Ok(moved),
                Err(Errno::INTR) => {}
                // There is something to move, or nobody would have called.
                Err(Errno::AGAIN) => {
                    self.full = true;
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                // What is typed comes from something else.
                Err(Errno::INVAL) => self.splices = false,
                Err(e) => return Err(e.into()),
            }
        }
        let mut buffer = vec![0; CHUNK];
        let read = rustix::io::retry_on_intr(|| rustix::io::read(from, &mut buffer))?;
        self.outbox.push(&buffer[..read]);
        self.go_on()?;
        Ok(read)
    }

    /// Goes on with what it did not take at once. An error when nobody reads it.
    pub(super) fn go_on(&mut self) -> io::Result<()> {
        self.full = false;
        let fd = &self.fd;
        self.outbox
            .hand_over(|bytes| rustix::io::write(fd, bytes))?;
        match self.ending && self.outbox.is_empty() {
            true => Err(io::ErrorKind::UnexpectedEof.into()),
            false => Ok(()),
        }
    }

    /// One of those who type has stopped. True when this ends the input at once.
    pub(super) fn source_ended(&mut self) -> bool {
        let ends = self.kind == Kind::Pipe { once: true };
        self.ending |= ends;
        ends && self.outbox.is_empty()
    }
}

const PIPE: usize = super::PIPE;

impl AsFd for Input {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
