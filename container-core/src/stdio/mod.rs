//! Standard streams of a container.
//!
//! A container gets pipes and sockets as they are. Terminals and files of the host are not passed
//! in: through such a descriptor a container could reopen the file, change its mode, or take its
//! directory for a way out. They are connected by a pipe and a thread here instead.

mod pumps;

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::monitor::job::Attach;

pub(crate) use pumps::Pumps;

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
    /// To the container's log, and to everybody who [attaches](crate::Container::attach). As
    /// standard input: from those.
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

/// The caller's ends of a process's streams: of those that are piped, or its terminal. They are
/// there to be taken, as those of `std::process::Child`.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Streams {
    /// The writing end of a piped standard input.
    pub stdin: Option<OwnedFd>,
    /// The reading end of a piped standard output.
    pub stdout: Option<OwnedFd>,
    /// The reading end of a piped standard error.
    pub stderr: Option<OwnedFd>,
    /// The master side of its terminal, when it has one that is nobody else's.
    pub terminal: Option<OwnedFd>,
}

/// What the caller said of each stream.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) stdin: Option<Stdio>,
    pub(crate) stdout: Option<Stdio>,
    pub(crate) stderr: Option<Stdio>,
}

impl Wanted {
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
    pub(crate) ours: Streams,
    pumps: Vec<(OwnedFd, OwnedFd, Direction)>,
    /// The other ends are the monitor's alone.
    private: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    In,
    Out,
}

/// Opens what has to be opened.
pub(crate) fn prepare(streams: Wanted) -> Result<Prepared> {
    let mut prepared = Prepared::new(false);
    for (number, stdio) in streams.numbered() {
        let stream = one(&mut prepared, number, stdio).map_err(Error::system(ACTION))?;
        prepared.streams[number] = stream;
    }
    Ok(prepared)
}

/// Opens what has to be opened to attach to a container that runs.
pub(crate) fn prepare_attach(mut streams: Wanted) -> Result<(Prepared, Attach)> {
    let mut prepared = Prepared::new(true);
    let merged = streams.merge().map_err(Error::system(ACTION))?;
    for (number, stdio) in streams.numbered() {
        // The log is the container's, whoever is attached.
        let stdio = match stdio {
            Stdio::Log => Stdio::Null,
            stdio => stdio,
        };
        let stream = one(&mut prepared, number, stdio).map_err(Error::system(ACTION))?;
        prepared.streams[number] = stream;
    }
    let [stdin, stdout, stderr] = prepared.streams.map(|stream| stream == Stream::Fd);
    let attach = Attach {
        stdin,
        stdout,
        stderr: stderr || (merged && stdout),
        merged,
    };
    Ok((prepared, attach))
}

const ACTION: &str = "set up the standard streams";

impl Wanted {
    fn numbered(self) -> impl Iterator<Item = (usize, Stdio)> {
        [self.stdin, self.stdout, self.stderr]
            .into_iter()
            .map(|stdio| stdio.unwrap_or(Stdio::Null))
            .enumerate()
    }

    /// Where both outputs lead to the same file, one way there is enough, and keeps their order.
    /// Then the second is taken out.
    fn merge(&mut self) -> io::Result<bool> {
        let mut files = [None; 2];
        let outputs = [&self.stdout, &self.stderr];
        for (number, (file, stdio)) in files.iter_mut().zip(outputs).enumerate() {
            let stat = match stdio {
                Some(Stdio::Inherit) => match own(number + 1) {
                    Ok(fd) => rustix::fs::fstat(fd)?,
                    Err(rustix::io::Errno::BADF) => continue,
                    Err(e) => return Err(e.into()),
                },
                Some(Stdio::Fd(fd)) => rustix::fs::fstat(fd)?,
                _ => continue,
            };
            *file = Some((stat.st_dev, stat.st_ino));
        }
        let same = files[0].is_some() && files[0] == files[1];
        if same {
            self.stderr = None;
        }
        Ok(same)
    }
}

impl Prepared {
    fn new(private: bool) -> Self {
        Self {
            streams: [Stream::Null; 3],
            passed: Vec::new(),
            ours: Streams::default(),
            pumps: Vec::new(),
            private,
        }
    }
}

/// A duplicate of a standard stream of this process.
fn own(number: usize) -> rustix::io::Result<OwnedFd> {
    let own = match number {
        0 => rustix::stdio::stdin(),
        1 => rustix::stdio::stdout(),
        _ => rustix::stdio::stderr(),
    };
    rustix::io::fcntl_dupfd_cloexec(own, 3)
}

fn one(prepared: &mut Prepared, number: usize, stdio: Stdio) -> io::Result<Stream> {
    let direction = if number == 0 {
        Direction::In
    } else {
        Direction::Out
    };
    let fd = match stdio {
        Stdio::Null => return Ok(Stream::Null),
        Stdio::Log => return Ok(Stream::Log),
        Stdio::Piped => {
            let (theirs, ours) = pipe(direction)?;
            prepared.passed.push(theirs);
            match number {
                0 => prepared.ours.stdin = Some(ours),
                1 => prepared.ours.stdout = Some(ours),
                _ => prepared.ours.stderr = Some(ours),
            }
            return Ok(Stream::Fd);
        }
        Stdio::Fd(fd) => fd,
        Stdio::Inherit => match own(number) {
            Ok(fd) => fd,
            // Closed by the caller: then nothing is there to read or write.
            Err(rustix::io::Errno::BADF) => return Ok(Stream::Null),
            Err(e) => return Err(e.into()),
        },
    };
    let fd = match kind(&fd)? {
        Kind::Null => return Ok(Stream::Null),
        Kind::Pipe if prepared.private => reopen(&fd, direction).ok_or(fd),
        Kind::Pipe | Kind::Socket => Ok(fd),
        Kind::Other => Err(fd),
    };
    match fd {
        Ok(fd) => {
            prepared.passed.push(fd);
            Ok(Stream::Fd)
        }
        Err(fd) => {
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

/// A pipe again, so that the monitor may set its flags. None where that is not allowed: the pipe
/// is another user's.
fn reopen(fd: &OwnedFd, direction: Direction) -> Option<OwnedFd> {
    let flags = match direction {
        Direction::In => OFlags::RDONLY,
        Direction::Out => OFlags::WRONLY,
    };
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let flags = flags | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).ok()
}

enum Kind {
    Null,
    Pipe,
    Socket,
    Other,
}

fn kind(fd: &OwnedFd) -> io::Result<Kind> {
    let stat = rustix::fs::fstat(fd)?;
    let device = (
        rustix::fs::major(stat.st_rdev),
        rustix::fs::minor(stat.st_rdev),
    );
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo => Kind::Pipe,
        FileType::Socket => Kind::Socket,
        FileType::CharacterDevice if device == (1, 3) => Kind::Null,
        _ => Kind::Other,
    })
}
