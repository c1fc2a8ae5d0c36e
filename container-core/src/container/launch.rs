//! From what a container is asked to be to the container.

use std::time::Duration;

use super::{Container, ContainerBuilder, ExitStatus, Output};
use crate::engine::Base;
use crate::log::LogStream;
use crate::monitor::job::Act;
use crate::ready::Ready;
use crate::stdio::{Stdio, Wanted};
use crate::{Error, Result};

impl ContainerBuilder {
    /// Standard input; [`Stdio::Null`] for `start` and `output`, inherited for `status`.
    pub fn stdin(mut self, stdio: impl Into<Stdio>) -> Self {
        self.streams.stdin = Some(stdio.into());
        self
    }

    /// Standard output; logged for `start`, collected for `output`, inherited for `status`.
    pub fn stdout(mut self, stdio: impl Into<Stdio>) -> Self {
        self.streams.stdout = Some(stdio.into());
        self
    }

    /// Standard error; as [`stdout`](Self::stdout).
    pub fn stderr(mut self, stdio: impl Into<Stdio>) -> Self {
        self.streams.stderr = Some(stdio.into());
        self
    }

    /// Has [`start`](Self::start) return when the container is ready, as `ready` has it. One that
    /// ends before, or does not become ready in time, is removed, and the error says what it wrote
    /// last ([`Error::NotReady`]).
    ///
    /// ```no_run
    /// # use container_core::ready::{Log, Ready};
    /// # async fn example(engine: &container_core::Engine) -> container_core::Result<()> {
    /// let redis = engine.container("redis:7").ready(Ready::tcp(6379)).start().await?;
    /// # Ok(()) }
    /// ```
    pub fn ready(mut self, ready: impl Into<Ready>) -> Self {
        self.ready = Some(ready.into());
        self
    }

    /// Has [`start`](Self::start) find a container that was started so before, by any program of
    /// this engine's, and make one only if there is none. It stays when this program ends, until
    /// somebody removes it or it ends: for a database that many test runs share, say.
    ///
    /// What makes it the same is all that is said of it and its image: a hash of that is its label
    /// `mini-docker.reuse` ([`REUSE_LABEL`](crate::REUSE_LABEL)), by which all such containers are
    /// found ([`Engine::find_by_label`](crate::Engine::find_by_label)), and its name where none is
    /// given. As names are unique, of several programs that start it at once one makes it; each
    /// waits until it is [ready](Self::ready).
    ///
    /// ```no_run
    /// # use container_core::ready::Ready;
    /// # async fn example(engine: &container_core::Engine) -> container_core::Result<()> {
    /// let redis = engine.container("redis:7").ready(Ready::tcp(6379)).reuse(true).start().await?;
    /// let stream = redis.dial(6379).await?;
    /// # Ok(()) }
    /// ```
    pub fn reuse(mut self, yes: bool) -> Self {
        self.reuse = yes;
        self
    }

    /// Writes these bytes to standard input and ends it. With [`output`](Self::output) only.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.capture.input = Some(bytes.into());
        self
    }

    /// Kills the container when it has not ended this long after its start, which is an error
    /// then. With [`output`](Self::output) only.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.capture.timeout = Some(timeout);
        self
    }

    /// Kills the container when it writes more than so many bytes to one of its streams, which
    /// is an error then. With [`output`](Self::output) only.
    pub fn output_limit(mut self, bytes: usize) -> Self {
        self.capture.limit = Some(bytes);
        self
    }

    /// Makes the container without starting it. The handle does not own it: it stays until it is
    /// [removed](Container::remove), or until its end when it is to go then.
    ///
    /// # Errors
    /// As [`start`](Self::start), but for the command, which is looked for at the start.
    pub async fn create(self) -> Result<Container> {
        self.capture.none()?;
        self.only_start("a container that is not started is neither ready nor found")?;
        let image = self.image().await?;
        crate::run::create(&self.engine, &image, self.request).await
    }

    /// Starts the container and returns a handle on it, when it is [ready](Self::ready); or finds
    /// one to [reuse](Self::reuse).
    ///
    /// # Errors
    /// The image is not to be had, a setting is wrong (the error names it), the host cannot do
    /// what was asked, the command cannot be executed
    /// ([`Error::command`](crate::Error::command) tells), or it does not become ready.
    pub async fn start(self) -> Result<Container> {
        self.capture.none()?;
        if let Some(ready) = &self.ready {
            check_streams(ready, &self.streams)?;
        }
        let image = self.image().await?;
        match self.reuse {
            true => self.find_or_start(image).await,
            false => self.launch(&image).await,
        }
    }

    async fn image(&self) -> Result<Base> {
        let platform = self.platform.clone();
        let image = &self.request.image;
        self.engine.image_for_run(image, platform, self.pull).await
    }

    pub(super) async fn launch(self, image: &Base) -> Result<Container> {
        let held = self.ready.is_some();
        let container = crate::run::start(
            &self.engine,
            image,
            Act::Run { held },
            self.request,
            self.streams,
            self.attach,
        )
        .await?;
        if let Some(ready) = &self.ready {
            container.become_ready(ready).await?;
        }
        Ok(container)
    }

    /// Runs the container with the caller's standard streams and waits for its end.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn status(mut self) -> Result<ExitStatus> {
        self.only_start("it is waited for the end anyway, of a container of its own")?;
        self.streams = self.streams.or(Stdio::Inherit, Stdio::Inherit);
        self.start().await?.wait().await
    }

    /// Runs the container, waits for its end and returns what it wrote.
    ///
    /// # Errors
    /// As [`start`](Self::start); it did not end in [time](Self::timeout) or wrote more than its
    /// [limit](Self::output_limit).
    pub async fn output(mut self) -> Result<Output> {
        self.only_start("it is waited for the end anyway, of a container of its own")?;
        let capture = std::mem::take(&mut self.capture);
        self.streams = capture.streams(self.streams);
        let mut container = self.start().await?;
        let what = format!("container {}", container.name());
        let streams = std::mem::take(&mut container.streams);
        let output = capture.run(what, streams, || container.wait()).await;
        if output.is_err() {
            // What failed is known; the handle's end sees to the rest.
            _ = container.remove(true).await;
        }
        output
    }

    /// Refuses what only `start` can honour.
    fn only_start(&self, reason: &str) -> Result<()> {
        match (self.ready.is_some(), self.reuse) {
            (false, false) => Ok(()),
            (true, _) => Err(wrong("ready", reason)),
            (false, true) => Err(wrong("reuse", reason)),
        }
    }
}

pub(super) fn wrong(setting: &'static str, reason: &str) -> Error {
    Error::Setting {
        setting,
        value: String::new(),
        reason: reason.to_owned(),
    }
}

/// Whether what is to be read in the log goes there.
fn check_streams(ready: &Ready, streams: &Wanted) -> Result<()> {
    let is_logged = |stream| {
        let stdio = match stream {
            LogStream::Stdout => &streams.stdout,
            LogStream::Stderr => &streams.stderr,
        };
        matches!(stdio, None | Some(Stdio::Log))
    };
    match ready.can_read(&is_logged) {
        true => Ok(()),
        false => Err(wrong(
            "ready",
            "it waits for a line in the log, but what the container writes does not go there",
        )),
    }
}
