//! This program's streams and a container's, connected for a while.

use std::io;

use container_core::{Attach, Attached, Container, ExitStatus, Stdio};
use rustix::process::Signal;

use super::pump::{self, Typed};
use super::raw::RawMode;
use super::signals::Signals;
use crate::error::Error;
use crate::flags::detach_keys::DetachKeys;

/// Which streams are connected, and how.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) stdin: bool,
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
    /// The container has a terminal.
    pub(crate) tty: bool,
    pub(crate) sig_proxy: bool,
    pub(crate) keys: DetachKeys,
}

/// How it came to its end.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The container's process has ended.
    Exited(ExitStatus),
    /// The keys were typed.
    Detached,
    /// A signal came that ends programs.
    Interrupted(Signal),
    /// There was nothing but input, and it is through.
    Typed,
}

fn system(action: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::System { action, source }
}

impl Session {
    /// The signals that matter while it lasts. Caught from before the start, so that none is lost
    /// in between.
    ///
    /// # Errors
    /// A handler cannot be set.
    pub(crate) fn signals(&self) -> Result<Option<Signals>, Error> {
        let signals = match (self.tty, self.sig_proxy) {
            (true, _) => Some(Signals::ending_and_resize()),
            (false, true) => Some(Signals::forwarded()),
            (false, false) => None,
        };
        signals.transpose().map_err(system("catch signals"))
    }

    /// What to ask the library for.
    pub(crate) fn attach(&self) -> Attach {
        let mut attach = Attach::new();
        if self.stdin {
            // What is typed on a terminal is looked at for the keys.
            let pumped = self.tty || !self.has_output();
            attach = attach.stdin(if pumped { Stdio::Piped } else { Stdio::Inherit });
        }
        match self.tty {
            true if self.has_output() => attach.stdout(Stdio::Inherit),
            true => attach,
            false => {
                let choose = |wanted| if wanted { Stdio::Inherit } else { Stdio::Null };
                attach
                    .stdout(choose(self.stdout))
                    .stderr(choose(self.stderr))
            }
        }
    }

    fn has_output(&self) -> bool {
        self.stdout || self.stderr
    }

    /// Lasts until the container's process ends, the keys are typed or a signal ends it. This
    /// program's terminal is in raw mode meanwhile, and is back when this returns.
    ///
    /// # Errors
    /// The terminal cannot be used; the monitor ended unexpectedly.
    pub(crate) async fn run(
        &self,
        container: &Container,
        attached: &mut Attached,
        signals: &mut Option<Signals>,
    ) -> Result<Ended, Error> {
        let mut raw = None;
        let mut typed = None;
        if let Some(pipe) = attached.streams.stdin.take() {
            let keys = self.tty.then(|| self.keys.clone());
            if self.tty {
                raw = Some(RawMode::enter(io::stdin()).map_err(system("set the terminal's mode"))?);
            }
            typed = Some(pump::keyboard(pipe, keys).map_err(system("start a thread"))?);
        }
        let ended = loop {
            let signal = async {
                match signals {
                    Some(signals) => signals.next().await,
                    None => std::future::pending().await,
                }
            };
            let typing = async {
                match &mut typed {
                    Some(typed) => typed.end().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                exit = attached.wait(), if self.has_output() => break Ended::Exited(exit?),
                how = typing => match how {
                    Typed::Keys => break Ended::Detached,
                    Typed::All => {
                        typed = None;
                        if !self.has_output() {
                            attached.input_ended().await?;
                            break Ended::Typed;
                        }
                    }
                },
                signal = signal => match (self.tty, signal) {
                    (true, Signal::WINCH) => self.resize(container).await?,
                    (true, signal) => break Ended::Interrupted(signal),
                    (false, signal) => forward(container, signal).await?,
                },
            }
        };
        drop(raw);
        Ok(ended)
    }

    /// Makes the container's terminal as large as this program's.
    ///
    /// # Errors
    /// The monitor cannot be talked to.
    pub(crate) async fn resize(&self, container: &Container) -> Result<(), Error> {
        let Some((rows, columns)) = super::size(io::stdout()) else {
            return Ok(());
        };
        ignore_end(container.resize(rows, columns).await)
    }

    /// Has the container's program draw what it shows anew: its terminal changes in size.
    ///
    /// # Errors
    /// The monitor cannot be talked to.
    pub(crate) async fn redraw(&self, container: &Container) -> Result<(), Error> {
        if let Some((rows, columns)) = super::size(io::stdout()) {
            let (rows, columns) = (rows.saturating_add(1), columns.saturating_add(1));
            ignore_end(container.resize(rows, columns).await)?;
        }
        self.resize(container).await
    }
}

/// Sends a signal on.
///
/// # Errors
/// The monitor cannot be talked to.
pub(crate) async fn forward(container: &Container, signal: Signal) -> Result<(), Error> {
    ignore_end(container.kill(signal.as_raw()).await)
}

/// It ended in the same moment: the wait tells.
fn ignore_end(result: container_core::Result<()>) -> Result<(), Error> {
    match result {
        Ok(()) | Err(container_core::Error::NotRunning { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
