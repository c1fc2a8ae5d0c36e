//! Being told that the state of a container has changed: it is written aside and renamed.

use std::io;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::net::unix::pipe::Receiver;

use crate::engine::Engine;
use crate::error::{Error, Result};

/// Watches where a container's state may be. It belongs to the runtime that it is made in.
#[derive(Debug)]
pub(crate) struct Watch(Receiver);

impl Watch {
    /// What changes from now on is told.
    pub(crate) fn new(engine: &Engine, id: &str) -> Result<Self> {
        let fail = || Error::system("watch the state of a container");
        let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .map_err(|e| fail()(e.into()))?;
        // The last is the end of whoever has held the lock.
        let events = WatchFlags::MOVED_TO
            | WatchFlags::MOVE_SELF
            | WatchFlags::DELETE_SELF
            | WatchFlags::CLOSE_WRITE;
        for dir in [engine.container_dir(id), engine.run_dir(id)] {
            match inotify::add_watch(&watch, &dir, events) {
                // It has none now, or is gone.
                Ok(_) | Err(rustix::io::Errno::NOENT) => {}
                Err(e) => return Err(fail()(e.into())),
            }
        }
        // Not a pipe, but it can be waited for and read as one.
        Ok(Self(
            Receiver::from_owned_fd_unchecked(watch).map_err(fail())?,
        ))
    }

    /// Waits for a change. What has changed is for the caller to look at.
    pub(crate) async fn changed(&self) -> Result<()> {
        let mut buffer = [0; 4096];
        loop {
            let fail = Error::system("watch the state of a container");
            if let Err(e) = self.0.readable().await {
                return Err(fail(e));
            }
            match self.0.try_read(&mut buffer) {
                Ok(_) => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(fail(e)),
            }
        }
    }
}
