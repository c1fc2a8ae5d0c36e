//! Threads that connect the host's terminals and files with pipes.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::OFlags;

use super::{Direction, Prepared};
use crate::error::{Error, Result};

/// The threads that connect the host's terminals and files with a container's pipes.
#[derive(Debug, Default)]
pub(crate) struct Pumps {
    done: Vec<tokio::sync::oneshot::Receiver<()>>,
    /// Closed when the container has ended: what is in the pipes then is the last.
    end: Option<OwnedFd>,
    /// Nobody but the monitor has the other ends: they are closed when all is through.
    private: bool,
}

impl Prepared {
    /// Starts the threads. Called once the container runs.
    pub(crate) fn start_pumps(&mut self) -> Result<Pumps> {
        let mut pumps = Pumps {
            private: self.private,
            ..Pumps::default()
        };
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
        if !self.private {
            self.end = None;
        }
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
