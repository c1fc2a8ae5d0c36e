//! Standard streams of a container.
//!
//! A container gets pipes and sockets as they are. Terminals and files of the host are not passed
//! in: through such a descriptor a container could reopen the file, change its mode, or take its
//! directory for a way out. They are connected by a pipe and a thread here instead.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{FileType, OFlags};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Where a standard stream of a container leads.
#[derive(Debug)]
#[non_exhaustive]
pub enum Stdio {
    /// Nowhere.
    Null,
    /// To this process's own stream of the same number.
    Inherit,
    /// To a pipe whose other end the handle offers.
    Piped,
    /// To the container's log (output only).
    Log,
    /// To this descriptor.
    Fd(OwnedFd),
}

impl From<OwnedFd> for Stdio {
    fn from(fd: OwnedFd) -> Self {
        Self::Fd(fd)
    }
}

impl From<std::fs::File> for Stdio {
    fn from(file: std::fs::File) -> Self {
        Self::Fd(file.into())
    }
}

/// What the caller said of each stream.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    pub(crate) stdin: Option<Stdio>,
    pub(crate) stdout: Option<Stdio>,
    pub(crate) stderr: Option<Stdio>,
}

impl Streams {
    /// Fills in what was not said.
    pub(crate) fn or(self, stdin: Stdio, output: Stdio) -> Self {
        let again = match &output {
            Stdio::Inherit => Stdio::Inherit,
            Stdio::Piped => Stdio::Piped,
            Stdio::Log => Stdio::Log,
            _ => Stdio::Null,
        };
        Self {
            stdin: self.stdin.or(Some(stdin)),
            stdout: self.stdout.or(Some(output)),
            stderr: self.stderr.or(Some(again)),
        }
    }
}

/// A stream as the monitor is told of it; descriptors travel beside, in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stream {
    #[default]
    Null,
    Fd,
    Log,
}

/// Streams ready to be sent.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) streams: [Stream; 3],
    pub(crate) passed: Vec<OwnedFd>,
    /// Our ends of pipes.
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) stdout: Option<OwnedFd>,
    pub(crate) stderr: Option<OwnedFd>,
    pumps: Vec<(OwnedFd, OwnedFd, Direction)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    In,
    Out,
}

/// Opens what has to be opened.
pub(crate) fn prepare(streams: Streams) -> Result<Prepared> {
    let mut prepared = Prepared {
        streams: [Stream::Null; 3],
        passed: Vec::new(),
        stdin: None,
        stdout: None,
        stderr: None,
        pumps: Vec::new(),
    };
    for (number, stdio) in [streams.stdin, streams.stdout, streams.stderr]
        .into_iter()
        .enumerate()
    {
        let stream = one(&mut prepared, number, stdio.unwrap_or(Stdio::Null))
            .map_err(Error::system("set up the standard streams"))?;
        prepared.streams[number] = stream;
    }
    Ok(prepared)
}

fn one(prepared: &mut Prepared, number: usize, stdio: Stdio) -> io::Result<Stream> {
    let direction = if number == 0 {
        Direction::In
    } else {
        Direction::Out
    };
    let fd = match stdio {
        Stdio::Null => return Ok(Stream::Null),
        Stdio::Log if direction == Direction::In => return Ok(Stream::Null),
        Stdio::Log => return Ok(Stream::Log),
        Stdio::Piped => {
            let (theirs, ours) = pipe(direction)?;
            prepared.passed.push(theirs);
            match number {
                0 => prepared.stdin = Some(ours),
                1 => prepared.stdout = Some(ours),
                _ => prepared.stderr = Some(ours),
            }
            return Ok(Stream::Fd);
        }
        Stdio::Fd(fd) => fd,
        Stdio::Inherit => {
            let own = match number {
                0 => rustix::stdio::stdin(),
                1 => rustix::stdio::stdout(),
                _ => rustix::stdio::stderr(),
            };
            match rustix::io::fcntl_dupfd_cloexec(own, 3) {
                Ok(fd) => fd,
                // Closed by the caller: then nothing is there to read or write.
                Err(rustix::io::Errno::BADF) => return Ok(Stream::Null),
                Err(e) => return Err(e.into()),
            }
        }
    };
    match kind(&fd)? {
        Kind::Null => Ok(Stream::Null),
        Kind::Direct => {
            prepared.passed.push(fd);
            Ok(Stream::Fd)
        }
        Kind::Pumped => {
            let (theirs, ours) = pipe(direction)?;
            prepared.passed.push(theirs);
            prepared.pumps.push((fd, ours, direction));
            Ok(Stream::Fd)
        }
    }
}

/// (the container's end, ours)
fn pipe(direction: Direction) -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    Ok(match direction {
        Direction::In => (read, write),
        Direction::Out => (write, read),
    })
}

enum Kind {
    Null,
    Direct,
    Pumped,
}

fn kind(fd: &OwnedFd) -> io::Result<Kind> {
    let stat = rustix::fs::fstat(fd)?;
    let device = (
        rustix::fs::major(stat.st_rdev),
        rustix::fs::minor(stat.st_rdev),
    );
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo | FileType::Socket => Kind::Direct,
        FileType::CharacterDevice if device == (1, 3) => Kind::Null,
        _ => Kind::Pumped,
    })
}

/// The threads that connect the host's terminals and files with a container's pipes.
#[derive(Debug, Default)]
pub(crate) struct Pumps {
    done: Vec<tokio::sync::oneshot::Receiver<()>>,
    /// Closed when the container has ended: what is in the pipes then is the last.
    end: Option<OwnedFd>,
}

impl Prepared {
    /// Starts the threads. Called once the container runs.
    pub(crate) fn start_pumps(&mut self) -> Result<Pumps> {
        let mut pumps = Pumps::default();
        if self.pumps.is_empty() {
            return Ok(pumps);
        }
        let (watch, end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map_err(|e| Error::system("set up the standard streams")(e.into()))?;
        pumps.end = Some(end);
        for (host, pipe, direction) in self.pumps.drain(..) {
            let (tell, done) = tokio::sync::oneshot::channel();
            let watch = watch
                .try_clone()
                .map_err(Error::system("set up the standard streams"))?;
            std::thread::Builder::new()
                .name("container-stdio".into())
                .spawn(move || {
                    // The embedder's signal handlers are none of this thread's business.
                    _ = nix::sys::signal::SigSet::all().thread_block();
                    // A stream that breaks ends; there is nobody to tell.
                    _ = match direction {
                        Direction::In => feed(&host, &pipe),
                        Direction::Out => drain(&pipe, &host, &watch),
                    };
                    drop(pipe);
                    _ = tell.send(());
                })
                .map_err(Error::system("start a thread"))?;
            if direction == Direction::Out {
                pumps.done.push(done);
            }
        }
        Ok(pumps)
    }
}

impl Pumps {
    /// Waits until everything that the container wrote has arrived. Call after its end.
    pub(crate) async fn finish(&mut self) {
        self.end = None;
        for done in self.done.drain(..) {
            _ = done.await;
        }
    }
}

/// Copies the host's input until it ends or nobody reads it any more.
fn feed(host: &OwnedFd, pipe: &OwnedFd) -> io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let mut fds = [
            PollFd::new(host, PollFlags::IN),
            PollFd::new(pipe, PollFlags::empty()),
        ];
        poll(&mut fds)?;
        if fds[1].revents().contains(PollFlags::ERR) {
            return Ok(());
        }
        if !fds[0].revents().is_empty() {
            match rustix::io::read(host, &mut buffer)? {
                0 => return Ok(()),
                n => write_all(pipe, &buffer[..n])?,
            }
        }
    }
}

/// Copies output until its end, or until the container has ended and the pipe is empty.
fn drain(pipe: &OwnedFd, host: &OwnedFd, end: &OwnedFd) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    let flags = rustix::fs::fcntl_getfl(pipe)?;
    rustix::fs::fcntl_setfl(pipe, flags | OFlags::NONBLOCK)?;
    let mut ended = false;
    loop {
        match rustix::io::read(pipe, &mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => write_all(host, &buffer[..n])?,
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) if ended => return Ok(()),
            Err(rustix::io::Errno::AGAIN) => {
                let mut fds = [
                    PollFd::new(pipe, PollFlags::IN),
                    PollFd::new(end, PollFlags::IN),
                ];
                poll(&mut fds)?;
                ended = !fds[1].revents().is_empty();
            }
            Err(e) => return Err(e.into()),
        }
    }
}

fn poll(fds: &mut [PollFd<'_>]) -> io::Result<()> {
    loop {
        match rustix::event::poll(fds, None) {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result.map(drop)?),
        }
    }
}

fn write_all(fd: impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(&fd, bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => {
                poll(&mut [PollFd::new(&fd, PollFlags::OUT)])?;
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}
