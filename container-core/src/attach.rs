//! Connecting with the streams of a container that logs them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use tokio::sync::{Mutex, OnceCell};

use crate::container::ExitStatus;
use crate::error::{Error, Result};
use crate::monitor::connection::Connection;
use crate::monitor::job;
use crate::stdio::{self, Prepared, Pumps, Stdio, Streams, Wanted};
use crate::wire::Channel;

/// Which streams of a container to connect with, and where they lead. Those that nothing is said
/// of stay as they are.
#[derive(Debug, Default)]
#[must_use = "attach, start_attached or ContainerBuilder::attach use it"]
pub struct Attach {
    streams: Wanted,
}

impl Attach {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where what goes to its standard input comes from. It must have been kept open for that
    /// ([`ContainerBuilder::open_stdin`](crate::ContainerBuilder::open_stdin)).
    pub fn stdin(mut self, stdio: impl Into<Stdio>) -> Self {
        self.streams.stdin = Some(stdio.into());
        self
    }

    /// Where its standard output goes to, beside its log. A container that has a terminal writes
    /// everything there.
    pub fn stdout(mut self, stdio: impl Into<Stdio>) -> Self {
        self.streams.stdout = Some(stdio.into());
        self
    }

    /// Where its standard error goes to, beside its log.
    pub fn stderr(mut self, stdio: impl Into<Stdio>) -> Self {
        self.streams.stderr = Some(stdio.into());
        self
    }

    pub(crate) fn prepare(self) -> Result<(Prepared, job::Attach)> {
        stdio::prepare_attach(self.streams)
    }
}

/// A connection with the streams of a container. Dropping it detaches; the container goes on.
#[derive(Debug)]
pub struct Attached {
    connection: Connection,
    pumps: Mutex<Pumps>,
    /// The caller's ends of the streams.
    pub streams: Streams,
    exit: OnceCell<ExitStatus>,
}

impl Attached {
    pub(crate) fn new(connection: Connection, mut prepared: Prepared) -> Result<Self> {
        prepared.passed.clear();
        Ok(Self {
            connection,
            pumps: Mutex::new(prepared.start_pumps()?),
            streams: prepared.ours,
            exit: OnceCell::new(),
        })
    }

    /// Waits until all that came through standard input is the container's. To be waited for instead
    /// of [`wait`](Self::wait), not beside it.
    ///
    /// # Errors
    /// The monitor died.
    pub async fn input_ended(&self) -> Result<()> {
        self.connection.done().await
    }

    /// Waits for the end of the first process, and until all that it wrote is where it leads.
    ///
    /// # Errors
    /// The monitor died before it could tell.
    pub async fn wait(&self) -> Result<ExitStatus> {
        let exit = self.exit.get_or_try_init(|| async {
            let exit = self.connection.exited().await;
            self.pumps.lock().await.finish().await;
            exit
        });
        exit.await.cloned()
    }
}

/// An attachment that goes with the start of a container.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) attach: job::Attach,
    prepared: Prepared,
    ours: Channel,
    theirs: OwnedFd,
}

impl Pending {
    pub(crate) fn new(attach: Attach) -> Result<Self> {
        let (prepared, attach) = attach.prepare()?;
        let (ours, theirs) =
            UnixStream::pair().map_err(Error::system("connect with the container's monitor"))?;
        Ok(Self {
            attach,
            prepared,
            ours: Channel::new(ours),
            theirs: theirs.into(),
        })
    }

    /// What the monitor is given.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        std::iter::once(self.theirs.as_fd()).chain(self.prepared.passed.iter().map(AsFd::as_fd))
    }

    /// The container runs.
    pub(crate) fn begin(self, id: &str) -> Result<Attached> {
        Attached::new(Connection::new(id, self.ours), self.prepared)
    }
}
