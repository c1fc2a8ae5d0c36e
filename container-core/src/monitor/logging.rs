//! From the container's pipes into its log.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

use crate::log::{self, Writer};

/// The streams that are logged.
#[derive(Debug)]
pub(super) struct Logging {
    file: Option<File>,
    pipes: Vec<(OwnedFd, Writer)>,
}

impl Logging {
    pub(super) fn none() -> Self {
        Self {
            file: None,
            pipes: Vec::new(),
        }
    }

    /// Adds a stream and returns the end that the container writes to.
    pub(super) fn add(&mut self, dir: &Path, stream: &'static str) -> io::Result<OwnedFd> {
        if self.file.is_none() {
            let path = dir.join(log::FILE);
            self.file = Some(
                OpenOptions::new()
                    .append(true)
                    .create(true)
                    .mode(0o600)
                    .open(path)?,
            );
        }
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        // Our end only: a pipe's ends have their own flags.
        rustix::fs::fcntl_setfl(&read, OFlags::NONBLOCK)?;
        self.pipes.push((read, Writer::new(stream)));
        Ok(write)
    }

    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.pipes.iter().map(|(fd, _)| fd.as_fd())
    }

    /// Writes what has come through the pipes; those at their end are dropped.
    pub(super) fn pump(&mut self) {
        let Some(file) = &mut self.file else { return };
        self.pipes
            .retain_mut(|(pipe, writer)| copy(pipe, writer, file));
    }

    /// Writes what is left, the last unfinished line included.
    pub(super) fn finish(&mut self) {
        self.pump();
        let Some(file) = &mut self.file else { return };
        for (_, writer) in &mut self.pipes {
            _ = writer.finish(file);
        }
        self.pipes.clear();
    }
}

/// False at the end of the pipe. A log that cannot be written (a full disk) must not stop the
/// container, so what it says is then lost.
fn copy(pipe: &OwnedFd, writer: &mut Writer, file: &mut File) -> bool {
    let mut buffer = [0; 32 << 10];
    // Bounded, so that one busy stream does not keep the monitor from its other duties.
    for _ in 0..16 {
        match rustix::io::read(pipe, &mut buffer) {
            Ok(0) => {
                _ = writer.finish(file);
                return false;
            }
            Ok(n) => _ = writer.write(file, &buffer[..n]),
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => return true,
            Err(_) => return false,
        }
    }
    true
}
