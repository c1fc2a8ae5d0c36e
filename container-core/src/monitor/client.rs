//! The embedder's connections to a monitor.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use tokio::io::Interest;
use tokio::sync::{Mutex, OnceCell};

use super::job::{Failure, Job, News, Request, Word};
use super::spawn::Launcher;
use crate::container::ExitStatus;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::exec::{Exec, ExecRequest};
use crate::reap;
use crate::state;
use crate::stdio::{self, Pumps, Streams};
use crate::wire::{Channel, Inbox};

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Fault(fault) => fault.into(),
            Failure::NameInUse { name, id } => Self::NameInUse { name, id },
            Failure::Cgroup(reason) => Self::Limit { reason },
            Failure::Io {
                action,
                path,
                reason,
                ..
            } => Self::Setup {
                step: format!("{action} {}", path.display()),
                reason,
            },
        }
    }
}

/// A connection that is read in pieces, whenever some arrive; an abandoned read loses nothing.
#[derive(Debug)]
struct Connection {
    id: String,
    socket: tokio::net::UnixStream,
    inbox: Mutex<Inbox>,
}

impl Connection {
    fn new(id: &str, channel: Channel) -> Result<Self> {
        let socket = channel.into_stream();
        let wrap = |e| Error::system("talk to the monitor")(e);
        socket.set_nonblocking(true).map_err(wrap)?;
        let socket = tokio::net::UnixStream::from_std(socket).map_err(wrap)?;
        Ok(Self {
            id: id.to_owned(),
            socket,
            inbox: Mutex::default(),
        })
    }

    async fn receive(&self) -> Result<(News, Vec<OwnedFd>)> {
        let mut inbox = self.inbox.lock().await;
        loop {
            match inbox.take::<News>() {
                Ok(Some(message)) => return Ok(message),
                Ok(None) => {}
                Err(e) => {
                    return Err(Error::Protocol {
                        id: self.id.clone(),
                        reason: e.to_string(),
                    });
                }
            }
            self.socket
                .readable()
                .await
                .map_err(Error::system("talk to the monitor"))?;
            match self
                .socket
                .try_io(Interest::READABLE, || inbox.fill(&self.socket))
            {
                Ok(0) => {
                    return Err(Error::MonitorGone {
                        id: self.id.clone(),
                    });
                }
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(Error::MonitorGone {
                        id: self.id.clone(),
                    });
                }
                Err(e) => return Err(Error::system("talk to the monitor")(e)),
            }
        }
    }

    async fn send(&self, message: &impl serde::Serialize) -> Result<()> {
        let wrap = || Error::system("talk to the monitor");
        let frame = crate::wire::encode(message).map_err(wrap())?;
        let mut sent = 0;
        while sent < frame.len() {
            self.socket.writable().await.map_err(wrap())?;
            match self.socket.try_write(&frame[sent..]) {
                Ok(n) => sent += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(wrap()(e)),
            }
        }
        Ok(())
    }

    /// Receives until the end of a process is told.
    async fn exited(&self) -> Result<ExitStatus> {
        loop {
            match self.receive().await? {
                (News::Exited(status), _) => return Ok(status),
                (News::Failed(failure), _) => return Err(failure.into()),
                _ => {}
            }
        }
    }

    async fn started(&self) -> Result<(u32, Option<OwnedFd>)> {
        match self.receive().await? {
            (News::Started { pid }, mut fds) => Ok((pid, fds.pop())),
            (News::Failed(failure), _) => Err(failure.into()),
            (other, _) => Err(Error::Protocol {
                id: self.id.clone(),
                reason: format!("{other:?} instead of Started"),
            }),
        }
    }
}

/// A container's owner's connection: when it closes, the monitor ends the container and itself.
#[derive(Debug)]
pub(crate) struct Link {
    connection: Connection,
    pumps: Mutex<Pumps>,
    monitor: std::sync::Mutex<Option<reap::Guard>>,
    exit: OnceCell<ExitStatus>,
}

/// A monitor that waits for its job. Dropping this ends it.
#[derive(Debug)]
pub(crate) struct Idle {
    channel: Channel,
    child: reap::Guard,
}

/// Starts a monitor. It comes up while the job is still being worked out.
pub(crate) fn spawn(launcher: &Launcher) -> Result<Idle> {
    let (child, channel) = launcher
        .spawn(super::entry::SUPERVISE)
        .map_err(Error::system("start the container's monitor"))?;
    Ok(Idle {
        channel,
        child: reap::Guard::new(child),
    })
}

/// Hands a monitor its job and waits until the program runs.
pub(crate) async fn launch(
    monitor: Idle,
    job: &Job,
    fds: &[BorrowedFd<'_>],
) -> Result<(Link, u32, Option<OwnedFd>)> {
    let Idle { channel, child } = monitor;
    // A monitor that has already failed has said why: read that rather than fail to write.
    let sent = channel.send(job, fds);
    let connection = Connection::new(&job.record.id, channel)?;
    let (pid, terminal) = match (connection.started().await, sent) {
        (Ok(started), _) => started,
        (Err(Error::MonitorGone { .. }), Err(e)) => {
            return Err(Error::system("hand the job to the container's monitor")(e));
        }
        (Err(e), _) => {
            // Its clean-up is done when the connection closes.
            child.wait();
            return Err(e);
        }
    };
    let link = Link {
        connection,
        pumps: Mutex::default(),
        monitor: std::sync::Mutex::new(Some(child)),
        exit: OnceCell::new(),
    };
    Ok((link, pid, terminal))
}

impl Link {
    pub(crate) fn set_pumps(&mut self, pumps: Pumps) {
        *self.pumps.get_mut() = pumps;
    }

    /// Waits for the end of the container.
    pub(crate) async fn wait(&self) -> Result<ExitStatus> {
        let exit = self.exit.get_or_try_init(|| async {
            let status = self.connection.exited().await;
            self.pumps.lock().await.finish().await;
            if let Ok(mut monitor) = self.monitor.lock()
                && let Some(monitor) = monitor.take()
            {
                // It ends with its last word: this takes microseconds.
                monitor.wait();
            }
            status
        });
        exit.await.cloned()
    }

    /// Tells the monitor to go on alone.
    pub(crate) async fn detach(self) -> Result<()> {
        self.connection.send(&Word::Detach).await?;
        loop {
            match self.connection.receive().await? {
                (News::Done, _) => return Ok(()),
                // It has just ended by itself: nothing to detach from.
                (News::Exited(_), _) => return Ok(()),
                _ => {}
            }
        }
    }
}

/// A connection that waits for a further process.
#[derive(Debug)]
pub(crate) struct ExecLink {
    connection: Connection,
    pumps: Mutex<Pumps>,
    exit: OnceCell<ExitStatus>,
}

impl ExecLink {
    pub(crate) async fn wait(&self) -> Result<ExitStatus> {
        let exit = self.exit.get_or_try_init(|| async {
            let status = self.connection.exited().await;
            self.pumps.lock().await.finish().await;
            status
        });
        exit.await.cloned()
    }
}

fn connect(engine: &Engine, id: &str) -> Result<Channel> {
    // By descriptor: the path of a socket may have 107 bytes only (unix(7)).
    let gone = |_| Error::NotRunning { id: id.to_owned() };
    let run = std::fs::File::open(engine.run_dir(id)).map_err(gone)?;
    let path = format!(
        "/proc/self/fd/{}/{}",
        run.as_fd().as_raw_fd(),
        state::SOCKET
    );
    Ok(Channel::new(UnixStream::connect(path).map_err(gone)?))
}

async fn request(engine: &Engine, id: &str, request: &Request) -> Result<()> {
    let channel = connect(engine, id)?;
    channel
        .send(request, &[])
        .map_err(|_| Error::NotRunning { id: id.to_owned() })?;
    match Connection::new(id, channel)?.receive().await {
        Ok((News::Failed(failure), _)) => Err(failure.into()),
        Ok(_) => Ok(()),
        Err(Error::MonitorGone { id }) => Err(Error::NotRunning { id }),
        Err(e) => Err(e),
    }
}

pub(crate) async fn kill(engine: &Engine, id: &str, signal: i32) -> Result<()> {
    request(engine, id, &Request::Kill { signal }).await
}

pub(crate) async fn stop(engine: &Engine, id: &str, timeout: Option<Duration>) -> Result<()> {
    let timeout = timeout.map(|t| t.as_secs());
    match request(engine, id, &Request::Stop { timeout }).await {
        // It has ended by itself meanwhile, which is what was wanted.
        Err(Error::NotRunning { .. }) => Ok(()),
        result => result,
    }
}

pub(crate) async fn exec(
    engine: &Engine,
    id: &str,
    exec: &ExecRequest,
    streams: Streams,
) -> Result<Exec> {
    let mut prepared = stdio::prepare(streams)?;
    let channel = connect(engine, id)?;
    let message = Request::Exec {
        request: exec.clone(),
        streams: prepared.streams,
    };
    let fds: Vec<_> = prepared.passed.iter().map(AsFd::as_fd).collect();
    channel
        .send(&message, &fds)
        .map_err(|_| Error::NotRunning { id: id.to_owned() })?;
    prepared.passed.clear();
    let connection = Connection::new(id, channel)?;
    let (pid, terminal) = connection.started().await?;
    let pumps = Mutex::new(prepared.start_pumps()?);
    Ok(Exec {
        pid,
        link: ExecLink {
            connection,
            pumps,
            exit: OnceCell::new(),
        },
        stdin: prepared.stdin,
        stdout: prepared.stdout,
        stderr: prepared.stderr,
        terminal,
    })
}
