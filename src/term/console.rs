//! A process's terminal shown on this program's, and typed into from it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::pump::{self, Keyboard, Screen, Typed};
use super::raw::RawMode;
use crate::flags::detach_keys::DetachKeys;

/// Both terminals connected. Dropping it brings this program's mode back.
#[derive(Debug)]
pub(crate) struct Console {
    master: OwnedFd,
    screen: Screen,
    keyboard: Option<Keyboard>,
    raw: Option<RawMode>,
}

impl Console {
    /// Connects the master side of a process's terminal with standard input, if there are keys that
    /// detach from it, and standard output.
    ///
    /// # Errors
    /// Standard input is no terminal, or a thread cannot be started.
    pub(crate) fn open(master: OwnedFd, input: Option<DetachKeys>) -> io::Result<Self> {
        let (mut raw, mut keyboard) = (None, None);
        if input.is_some() {
            raw = Some(RawMode::enter(io::stdin())?);
            keyboard = Some(pump::keyboard(master.try_clone()?, input)?);
        }
        let screen = pump::screen(master.try_clone()?)?;
        let console = Self {
            master,
            screen,
            keyboard,
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

    /// Waits until the keys are typed that detach.
    pub(crate) async fn detached(&mut self) {
        if let Some(keyboard) = &mut self.keyboard {
            match keyboard.end().await {
                Typed::Keys => return,
                Typed::All => self.keyboard = None,
            }
        }
        std::future::pending().await
    }

    /// Shows what is left to show once the process has ended.
    pub(crate) fn finish(self) {
        self.screen.finish();
        drop(self.raw);
    }
}
