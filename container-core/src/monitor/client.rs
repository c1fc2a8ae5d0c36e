//! The embedder's connections to a monitor.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::PidfdFlags;
use tokio::sync::{Mutex, OnceCell};

use super::connection::Connection;
use super::job::{Act, Failure, Job, News, Request, Word};
use super::spawn::Launcher;
use crate::attach::{Attach, Attached};
use crate::container::ExitStatus;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::exec::{Exec, ExecRequest};
use crate::reap;
use crate::runtime::Errand;
use crate::spec::Company;
use crate::state::{self, Change};
use crate::stdio::{self, Pumps, Streams, Wanted};
use crate::wire::Channel;

/// A container's owner's connection: when it closes, the monitor ends the container and itself.
#[derive(Debug)]
pub(crate) struct Link {
    connection: Connection,
    pumps: Mutex<Pumps>,
    monitor: std::sync::Mutex<Option<reap::Guard>>,
    exit: OnceCell<ExitStatus>,
    held: AtomicBool,
}

/// A monitor that waits for its job. Dropping this ends it.
#[derive(Debug)]
pub(crate) struct Idle {
    channel: Channel,
    child: reap::Guard,
}

impl Idle {
    /// False when somebody has ended it.
    pub(crate) fn lives(&self) -> bool {
        !self.channel.is_hung_up()
    }
}

/// Starts a monitor. It comes up while the job is still being worked out.
pub(crate) fn spawn(launcher: &Launcher, company: Company) -> Result<Idle> {
    let (child, channel) = launcher
        .spawn(super::entry::SUPERVISE, company.any())
        .map_err(Error::system("start the container's monitor"))?;
    Ok(Idle {
        channel,
        child: reap::Guard::new(child),
    })
}

/// Hands a monitor its job and waits for its answer.
async fn hand_over(
    monitor: Idle,
    job: &Job,
    fds: &[BorrowedFd<'_>],
) -> Result<(Connection, reap::Guard, (News, Vec<OwnedFd>))> {
    let Idle { channel, child } = monitor;
    // A monitor that has already failed has said why: read that rather than fail to write.
    let sent = channel.send(job, fds);
    let connection = Connection::new(&job.record.id, channel);
    match (connection.receive().await, sent) {
        (Ok((News::Failed(failure), _)), _) => {
            // Its clean-up is done when the connection closes.
            child.wait();
            Err(failure.into_error(&job.record.id))
        }
        (Ok(answer), _) => Ok((connection, child, answer)),
        (Err(Error::MonitorGone { .. }), Err(e)) => {
            Err(Error::system("hand the job to the container's monitor")(e))
        }
        (Err(e), _) => {
            child.wait();
            Err(e)
        }
    }
}

/// Has a monitor make a container, without starting it.
pub(crate) async fn make(monitor: Idle, job: &Job, fds: &[BorrowedFd<'_>]) -> Result<()> {
    let (_, child, _) = hand_over(monitor, job, fds).await?;
    child.wait();
    Ok(())
}

/// Hands a monitor its job and waits until the program runs.
pub(crate) async fn launch(
    monitor: Idle,
    job: &Job,
    fds: &[BorrowedFd<'_>],
) -> Result<(Link, u32, Option<OwnedFd>)> {
    let (connection, child, answer) = hand_over(monitor, job, fds).await?;
    let (pid, terminal) = connection.is_started(answer)?;
    let link = Link {
        connection,
        pumps: Mutex::default(),
        monitor: std::sync::Mutex::new(Some(child)),
        exit: OnceCell::new(),
        held: AtomicBool::new(job.act == Act::Run { held: true }),
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

    /// Whether the container stays at its end until it is let go.
    pub(crate) fn is_held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    /// Waits for the end of the last run; of a container that is held, before it is cleaned up.
    pub(crate) async fn ended(&self) -> Result<ExitStatus> {
        if !self.is_held() {
            return self.wait().await;
        }
        let exit = self.connection.ended().await?;
        Ok(exit)
    }

    /// Lets a held container go when it ends, or now that it has.
    pub(crate) fn release(&self) {
        self.held.store(false, Ordering::Relaxed);
        // A monitor that is gone holds nothing.
        _ = self.connection.send(&Word::Release);
    }

    /// Tells the monitor to go on alone. What connects the container's streams with this
    /// process goes on too.
    pub(crate) async fn detach(self) -> Result<Pumps> {
        match self.connection.send(&Word::Detach) {
            // It has just ended, and has said how.
            Err(Error::System { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => {}
            sent => sent?,
        }
        loop {
            match self.connection.receive().await? {
                (News::Done, _) => break,
                // It has just ended by itself: nothing to detach from.
                (News::Exited(_), _) => break,
                _ => {}
            }
        }
        Ok(self.pumps.into_inner())
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
    /// Lets the process go on alone.
    pub(crate) async fn detach(&self) -> Result<()> {
        self.connection.send(&Word::Detach)?;
        self.connection.done().await
    }

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

/// What becomes readable when the container's monitor has ended; none when it has none.
pub(crate) fn monitor(engine: &Engine, id: &str) -> Result<Option<OwnedFd>> {
    let Ok(channel) = connect(engine, id) else {
        return Ok(None);
    };
    // Who listens, not who has taken this connection: nobody needs to.
    let process = rustix::net::sockopt::socket_peercred(&channel)
        .and_then(|peer| rustix::process::pidfd_open(peer.pid, PidfdFlags::empty()));
    match process {
        // Its number may be another's by now.
        Ok(process) => Ok(state::is_held(&engine.run_dir(id)).then_some(process)),
        Err(Errno::SRCH) => Ok(None),
        Err(e) => Err(Error::system("watch the container's monitor")(e.into())),
    }
}

async fn ask(engine: &Engine, id: &str, request: &Request) -> Result<Connection> {
    let channel = connect(engine, id)?;
    channel
        .send(request, &[])
        .map_err(|_| Error::NotRunning { id: id.to_owned() })?;
    Ok(Connection::new(id, channel))
}

/// A container that stands still as long as this lives, and this process.
#[derive(Debug)]
pub(crate) struct Hold {
    _connection: Channel,
}

/// Freezes a container until it is let go. None if it has just ended. Blocks.
pub(crate) fn hold(engine: &Engine, id: &str) -> Result<Option<Hold>> {
    let held = || {
        let channel = connect(engine, id)?;
        let gone = |_| Error::NotRunning { id: id.to_owned() };
        channel.send(&Request::Hold, &[]).map_err(gone)?;
        match channel.receive::<News>() {
            Ok(Some((News::Failed(failure), _))) => Err(failure.into_error(id)),
            Ok(Some(_)) => Ok(Hold {
                _connection: channel,
            }),
            Ok(None) => Err(Error::NotRunning { id: id.to_owned() }),
            Err(e) => Err(Error::system("talk to the monitor")(e)),
        }
    };
    match held() {
        Err(Error::NotRunning { .. }) => Ok(None),
        held => held.map(Some),
    }
}

/// A monitor that is gone before it has answered has no container any more.
fn or_not_running<T>(answer: Result<T>) -> Result<T> {
    match answer {
        Err(Error::MonitorGone { id }) => Err(Error::NotRunning { id }),
        answer => answer,
    }
}

async fn request(engine: &Engine, id: &str, request: &Request) -> Result<()> {
    let connection = ask(engine, id, request).await?;
    match or_not_running(connection.receive().await)? {
        (News::Failed(failure), _) => Err(failure.into_error(id)),
        _ => Ok(()),
    }
}

pub(crate) async fn kill(engine: &Engine, id: &str, signal: i32) -> Result<()> {
    request(engine, id, &Request::Kill { signal }).await
}

/// Has something done inside the container; the inner result is how that went.
pub(crate) async fn errand(
    engine: &Engine,
    id: &str,
    errand: &Errand,
) -> Result<io::Result<Option<OwnedFd>>> {
    let connection = ask(engine, id, &Request::Errand(errand.clone())).await?;
    match or_not_running(connection.receive().await)? {
        (News::Failed(Failure::Errand(errno)), _) => Ok(Err(errno.into())),
        (News::Failed(failure), _) => Err(failure.into_error(id)),
        (_, mut fds) => Ok(Ok(fds.pop())),
    }
}

pub(crate) async fn pause(engine: &Engine, id: &str, pause: bool) -> Result<()> {
    request(engine, id, &Request::Pause(pause)).await
}

/// Has it live on when its owner is gone.
pub(crate) async fn stay(engine: &Engine, id: &str) -> Result<()> {
    request(engine, id, &Request::Stay).await
}

pub(crate) async fn change(engine: &Engine, id: &str, change: Change) -> Result<()> {
    request(engine, id, &Request::Change(Box::new(change))).await
}

/// Waits for the end of the first process, or of its last run.
pub(crate) async fn wait(engine: &Engine, id: &str, last: bool) -> Result<ExitStatus> {
    let connection = ask(engine, id, &Request::Wait { last }).await?;
    or_not_running(connection.exited().await)
}

/// Stops a container and waits until all is over.
pub(crate) async fn stop(
    engine: &Engine,
    id: &str,
    signal: Option<i32>,
    timeout: Option<Duration>,
) -> Result<ExitStatus> {
    let timeout = timeout.map(|t| t.as_secs());
    let connection = ask(engine, id, &Request::Stop { signal, timeout }).await?;
    or_not_running(connection.exited().await)
}

/// Kills a running container and removes it.
pub(crate) async fn remove(engine: &Engine, id: &str, volumes: bool) -> Result<ExitStatus> {
    let connection = ask(engine, id, &Request::Remove { volumes }).await?;
    or_not_running(connection.exited().await)
}

/// Connects with the streams of a container that runs.
pub(crate) async fn attach(engine: &Engine, id: &str, attach: Attach) -> Result<Attached> {
    let (mut prepared, attach) = attach.prepare()?;
    let channel = connect(engine, id)?;
    let fds: Vec<_> = prepared.passed.iter().map(AsFd::as_fd).collect();
    channel
        .send(&Request::Attach(attach), &fds)
        .map_err(|_| Error::NotRunning { id: id.to_owned() })?;
    prepared.passed.clear();
    let connection = Connection::new(id, channel);
    or_not_running(connection.started().await)?;
    Attached::new(connection, prepared)
}

pub(crate) async fn resize(engine: &Engine, id: &str, rows: u16, columns: u16) -> Result<()> {
    request(engine, id, &Request::Resize { rows, columns }).await
}

pub(crate) async fn exec(
    engine: &Engine,
    id: &str,
    exec: &ExecRequest,
    streams: Wanted,
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
    let connection = Connection::new(id, channel);
    let (pid, terminal) = connection.started().await?;
    let pumps = Mutex::new(prepared.start_pumps()?);
    Ok(Exec {
        pid,
        link: ExecLink {
            connection,
            pumps,
            exit: OnceCell::new(),
        },
        streams: Streams {
            terminal,
            ..prepared.ours
        },
    })
}
