//! Further processes in a running container.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::capture::Capture;
use crate::container::{Container, ExitStatus, Output};
use crate::monitor::client::{self, ExecLink};
use crate::stdio::{Stdio, Streams, Wanted};

/// What a caller can say about a further process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecRequest {
    /// Program and arguments.
    pub args: Vec<String>,
    /// `NAME=value`, on top of the container's environment.
    pub env: Vec<String>,
    /// Working directory instead of the container's. It must be there.
    pub workdir: Option<String>,
    /// User instead of the container's.
    pub user: Option<String>,
    /// Give it all capabilities.
    pub privileged: bool,
    /// Let it live on when whoever started it is gone.
    pub detach: bool,
    /// Give it a terminal.
    pub tty: bool,
    /// Size of that terminal: rows, columns.
    pub console_size: Option<(u16, u16)>,
}

/// Describes a further process before it runs. Made by [`Container::exec`].
#[derive(Debug)]
#[must_use = "a process runs when output, status or start is called"]
pub struct ExecBuilder<'a> {
    container: &'a Container,
    request: ExecRequest,
    streams: Wanted,
    capture: Capture,
}

impl<'a> ExecBuilder<'a> {
    pub(crate) fn new(container: &'a Container, args: Vec<String>) -> Self {
        let request = ExecRequest {
            args,
            ..ExecRequest::default()
        };
        Self {
            container,
            request,
            streams: Wanted::default(),
            capture: Capture::default(),
        }
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: impl std::fmt::Display, value: impl std::fmt::Display) -> Self {
        self.request.env.push(format!("{name}={value}"));
        self
    }

    /// Sets the working directory, which must be there.
    pub fn workdir(mut self, dir: impl Into<String>) -> Self {
        self.request.workdir = Some(dir.into());
        self
    }

    /// Runs as another user.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.request.user = Some(user.into());
        self
    }

    /// Replaces everything said so far with a request made elsewhere (the CLI, a file).
    pub fn request(mut self, request: ExecRequest) -> Self {
        self.request = request;
        self
    }

    /// Gives it all capabilities that the engine can give.
    pub fn privileged(mut self, yes: bool) -> Self {
        self.request.privileged = yes;
        self
    }

    /// Lets it live on when the handle on it, and this process, are gone. Nobody can wait for it
    /// then: its handle tells nothing of its end.
    pub fn detach(mut self, yes: bool) -> Self {
        self.request.detach = yes;
        self
    }

    /// Gives the process a terminal.
    pub fn tty(mut self, yes: bool) -> Self {
        self.request.tty = yes;
        self
    }

    /// Standard input; none unless told.
    pub fn stdin(mut self, stdio: impl Into<Stdio>) -> Self {
        self.streams.stdin = Some(stdio.into());
        self
    }

    /// Standard output; collected by `output`, inherited by `status`.
    pub fn stdout(mut self, stdio: impl Into<Stdio>) -> Self {
        self.streams.stdout = Some(stdio.into());
        self
    }

    /// Standard error; as [`stdout`](Self::stdout).
    pub fn stderr(mut self, stdio: impl Into<Stdio>) -> Self {
        self.streams.stderr = Some(stdio.into());
        self
    }

    /// Writes these bytes to standard input and ends it. With [`output`](Self::output) only.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.capture.input = Some(bytes.into());
        self
    }

    /// Kills the process when it has not ended after this time, which is an error then. With
    /// [`output`](Self::output) only.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.capture.timeout = Some(timeout);
        self
    }

    /// Kills the process when it writes more than so many bytes to one of its streams, which is
    /// an error then. With [`output`](Self::output) only.
    pub fn output_limit(mut self, bytes: usize) -> Self {
        self.capture.limit = Some(bytes);
        self
    }

    /// Starts the process.
    ///
    /// # Errors
    /// The container has ended, or the command cannot be executed in it.
    pub async fn start(self) -> Result<Exec> {
        self.capture.none()?;
        let streams = self.streams.or(Stdio::Null, Stdio::Null);
        let container = self.container;
        client::exec(&container.engine, &container.id, &self.request, streams).await
    }

    /// Runs the process with the caller's standard streams and waits for its end.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn status(mut self) -> Result<ExitStatus> {
        self.streams = self.streams.or(Stdio::Null, Stdio::Inherit);
        self.start().await?.wait().await
    }

    /// Runs the process, waits for its end and returns what it wrote.
    ///
    /// # Errors
    /// As [`start`](Self::start); it did not end in [time](Self::timeout) or wrote more than its
    /// [limit](Self::output_limit).
    pub async fn output(mut self) -> Result<Output> {
        let capture = std::mem::take(&mut self.capture);
        let what = format!("the process {:?}", self.request.args.join(" "));
        self.streams = capture.streams(self.streams);
        let mut exec = self.start().await?;
        let streams = std::mem::take(&mut exec.streams);
        // Dropping it kills it.
        capture.run(what, streams, || exec.wait()).await
    }
}

/// A running process that was added to a container. Dropping it kills it, unless it was detached.
#[derive(Debug)]
pub struct Exec {
    pub(crate) pid: u32,
    pub(crate) link: ExecLink,
    /// The caller's ends of its streams.
    pub streams: Streams,
}

impl Exec {
    /// The process id as the engine's process sees it.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Lets it live on when this handle, and this process, are gone. What it shows on a terminal
    /// is then seen by nobody.
    ///
    /// # Errors
    /// The monitor is gone.
    pub async fn detach(self) -> Result<()> {
        self.link.detach().await
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// The monitor died before it could tell.
    pub async fn wait(&self) -> Result<ExitStatus> {
        self.link.wait().await
    }
}
