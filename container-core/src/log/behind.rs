//! Files that are written behind the monitor's back (`mode=non-blocking`): a process of their own
//! waits for the disk, and what it is too slow for is lost.
//!
//! It is started with the first record and ends with its pipe: with the container, or when the
//! monitor is killed. What goes to it through the pipe, little-endian:
//!
//! ```text
//! stream (32 bits)  length (32)  seconds (64)  nanoseconds (32)  the bytes read
//! ```

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;

use super::LogStream;
use super::config::Settings;
use super::piece::Stamp;
use super::writer::Writer;
use crate::outbox::Outbox;
use crate::runtime::{self, sys};

const HEAD: usize = 20;

#[derive(Debug)]
pub(super) struct Behind {
    /// What the process logs by.
    settings: Settings,
    dir: PathBuf,
    /// Bytes that may wait.
    most: usize,
    outbox: Outbox,
    process: Option<Process>,
}

#[derive(Debug)]
struct Process {
    pipe: OwnedFd,
    pid: i32,
}

impl Behind {
    pub(super) fn new(settings: &Settings, dir: &Path) -> Self {
        Self {
            settings: Settings {
                non_blocking: None,
                ..settings.clone()
            },
            dir: dir.to_owned(),
            most: settings.non_blocking.unwrap_or(0),
            outbox: Outbox::default(),
            process: None,
        }
    }

    pub(super) fn write(&mut self, stream: LogStream, bytes: &[u8], now: Stamp) {
        if self.process.is_none() {
            // Without a process there is no log; the container goes on.
            let Ok(process) = start(&self.settings, &self.dir) else {
                return;
            };
            self.process = Some(process);
        }
        if self.outbox.len() + bytes.len() <= self.most {
            let Ok(length) = u32::try_from(bytes.len()) else {
                return;
            };
            let stream: u32 = match stream {
                LogStream::Stdout => 1,
                LogStream::Stderr => 2,
            };
            self.outbox.push(&stream.to_le_bytes());
            self.outbox.push(&length.to_le_bytes());
            self.outbox.push(&now.seconds.to_le_bytes());
            self.outbox.push(&now.nanoseconds.to_le_bytes());
            self.outbox.push(bytes);
        }
        self.turn();
    }

    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        let process = self.process.as_ref().filter(|_| !self.outbox.is_empty());
        process.map(|process| process.pipe.as_fd())
    }

    /// Hands over what the pipe takes.
    pub(super) fn turn(&mut self) {
        let Some(process) = &self.process else { return };
        let pipe = &process.pipe;
        let sent = self
            .outbox
            .hand_over(|bytes| rustix::io::write(pipe, bytes));
        if sent.is_err() {
            // It was killed: the next record starts another.
            self.end();
        }
    }

    /// Waits until all is written.
    pub(super) fn finish(&mut self) {
        while let Some(pipe) = self.descriptor() {
            let mut fds = [PollFd::from_borrowed_fd(pipe, PollFlags::OUT)];
            match rustix::event::poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => break,
            }
            self.turn();
        }
        self.end();
    }

    fn end(&mut self) {
        if let Some(Process { pipe, pid }) = self.process.take() {
            drop(pipe);
            runtime::wait(pid);
        }
        self.outbox = Outbox::default();
    }
}

fn start(settings: &Settings, dir: &Path) -> std::io::Result<Process> {
    let (theirs, ours) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&ours, true)?;
    // The monitor has one thread, so its copy may do anything.
    let (pid, _) = sys::fork(|| {
        // The container's streams and the lock must not be held open here. The number is below
        // every other: the monitor has replaced its own standard input long ago.
        let done = sys::replace_stream(theirs.as_fd(), 0)
            .and_then(|()| sys::close_from(3, false))
            .and_then(|()| run(settings, dir));
        i32::from(done.is_err())
    })?;
    Ok(Process { pipe: ours, pid })
}

/// Writes what comes through standard input until its end.
fn run(settings: &Settings, dir: &Path) -> std::io::Result<()> {
    let mut writer = Writer::open(settings, dir).map_err(std::io::Error::other)?;
    let mut input = File::from(rustix::io::dup(rustix::stdio::stdin())?);
    let mut bytes = Vec::new();
    loop {
        let mut head = [0; HEAD];
        match input.read_exact(&mut head) {
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => break,
            result => result?,
        }
        let (stream, length, stamp) = parse(&head);
        bytes.resize(length, 0);
        input.read_exact(&mut bytes)?;
        writer.write(stream, &bytes, stamp);
        writer.turn();
    }
    writer.finish(Stamp::now());
    Ok(())
}

fn parse(head: &[u8; HEAD]) -> (LogStream, usize, Stamp) {
    let word = |at: usize| {
        let mut word = [0; 4];
        word.copy_from_slice(&head[at..at + 4]);
        u32::from_le_bytes(word)
    };
    let stream = match word(0) {
        1 => LogStream::Stdout,
        _ => LogStream::Stderr,
    };
    let seconds = u64::from(word(8)) | u64::from(word(12)) << 32;
    let stamp = Stamp {
        seconds: seconds.cast_signed(),
        nanoseconds: word(16),
    };
    (stream, word(4) as usize, stamp)
}
