//! One connection of the embedder's to a monitor.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net;
use std::sync::{Arc, PoisonError};

use serde::Serialize;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::runtime::{self, Handle};
use tokio::sync::Mutex;

use super::job::News;
use crate::container::ExitStatus;
use crate::error::{Error, Result};
use crate::wire::{self, Channel, Inbox};

/// It is read in pieces, whenever some arrive; an abandoned read loses nothing. It belongs to no
/// runtime: a handle that was made in one may be waited for in another, when the first is gone
/// too (tests that share a container have a runtime each).
#[derive(Debug)]
pub(crate) struct Connection {
    id: String,
    socket: std::sync::Mutex<Socket>,
    inbox: Mutex<Inbox>,
}

#[derive(Debug)]
struct Socket {
    /// Until a runtime asks for it.
    new: Option<net::UnixStream>,
    registered: Option<(runtime::Id, Arc<UnixStream>)>,
}

impl Connection {
    pub(crate) fn new(id: &str, channel: Channel) -> Self {
        let socket = Socket {
            new: Some(channel.into_stream()),
            registered: None,
        };
        Self {
            id: id.to_owned(),
            socket: std::sync::Mutex::new(socket),
            inbox: Mutex::default(),
        }
    }

    /// The socket, registered with the runtime that asks.
    fn registered(&self) -> io::Result<Arc<UnixStream>> {
        let runtime = Handle::current().id();
        let mut slot = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        let new = slot.new.take();
        let socket = match (&slot.registered, new) {
            (Some((id, socket)), _) if *id == runtime => return Ok(Arc::clone(socket)),
            (Some((_, socket)), _) => socket.as_fd().try_clone_to_owned()?.into(),
            (None, Some(socket)) => socket,
            // It could not be registered before.
            (None, None) => return Err(io::ErrorKind::NotConnected.into()),
        };
        socket.set_nonblocking(true)?;
        let socket = Arc::new(UnixStream::from_std(socket)?);
        slot.registered = Some((runtime, Arc::clone(&socket)));
        Ok(socket)
    }

    pub(super) async fn receive(&self) -> Result<(News, Vec<OwnedFd>)> {
        let gone = || Error::MonitorGone {
            id: self.id.clone(),
        };
        let broken = Error::system("talk to the monitor");
        let mut inbox = self.inbox.lock().await;
        let socket = match self.registered() {
            Ok(socket) => socket,
            Err(e) => return Err(broken(e)),
        };
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
            if let Err(e) = socket.readable().await {
                return Err(broken(e));
            }
            match socket.try_io(Interest::READABLE, || inbox.fill(&*socket)) {
                Ok(0) => return Err(gone()),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return Err(gone()),
                Err(e) => return Err(broken(e)),
            }
        }
    }

    /// Sends a few words; they fit into the socket's buffer.
    pub(super) fn send(&self, message: &impl Serialize) -> Result<()> {
        let slot = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = match (&slot.registered, &slot.new) {
            (Some((_, socket)), _) => wire::send(&**socket, message, &[]),
            (None, Some(socket)) => wire::send(socket, message, &[]),
            (None, None) => Err(io::ErrorKind::NotConnected.into()),
        };
        sent.map_err(Error::system("talk to the monitor"))
    }

    /// Receives until the end of a process is told.
    pub(crate) async fn exited(&self) -> Result<ExitStatus> {
        loop {
            match self.receive().await? {
                (News::Exited(status), _) => return Ok(status),
                (News::Failed(failure), _) => return Err(failure.into_error(&self.id)),
                _ => {}
            }
        }
    }

    /// Receives until the end of a container that is held is told.
    pub(super) async fn ended(&self) -> Result<ExitStatus> {
        loop {
            match self.receive().await? {
                (News::Ended(status), _) => return Ok(status),
                (News::Failed(failure), _) => return Err(failure.into_error(&self.id)),
                _ => {}
            }
        }
    }

    /// Receives until something is told to be done, or over.
    pub(crate) async fn done(&self) -> Result<()> {
        while !matches!(self.receive().await?.0, News::Done | News::Exited(_)) {}
        Ok(())
    }

    pub(super) async fn started(&self) -> Result<(u32, Option<OwnedFd>)> {
        self.is_started(self.receive().await?)
    }

    pub(super) fn is_started(
        &self,
        answer: (News, Vec<OwnedFd>),
    ) -> Result<(u32, Option<OwnedFd>)> {
        match answer {
            (News::Started { pid }, mut fds) => Ok((pid, fds.pop())),
            (News::Failed(failure), _) => Err(failure.into_error(&self.id)),
            (other, _) => Err(Error::Protocol {
                id: self.id.clone(),
                reason: format!("{other:?} instead of Started"),
            }),
        }
    }
}
