//! A process's terminal shown on this program's, and typed into from it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::pump::{self, Screen};
use super::raw::RawMode;

/// Both terminals connected. Dropping it brings this program's mode back.
#[derive(Debug)]
pub(crate) struct Console {
    master: OwnedFd,
    screen: Screen,
    raw: Option<RawMode>,
}

impl Console {
    /// Connects the master side of a process's terminal with standard input, if that is wanted,
    /// and standard output.
    ///
    /// # Errors
    /// Standard input is no terminal, or a thread cannot be started.
    pub(crate) fn open(master: OwnedFd, input: bool) -> io::Result<Self> {
        let mut raw = None;
        if input {
            raw = Some(RawMode::enter(io::stdin())?);
            pump::keyboard(master.try_clone()?)?;
        }
        let screen = pump::screen(master.try_clone()?)?;
        let console = Self {
            master,
            screen,
            raw,
        };
        // The size may have changed since the process was asked for.
        console.resize();
        Ok(console)
    }

    /// Makes the process's terminal as large as this program's.
    pub(crate) fn resize(&self) {
        super::copy_size(io::stdout(), self.master.as_fd());
    }

    /// Shows what is left to show once the process has ended.
    pub(crate) fn finish(self) {
        self.screen.finish();
        drop(self.raw);
    }
}
