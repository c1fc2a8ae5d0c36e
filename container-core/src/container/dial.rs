//! Connections into a container, whatever its network: no port needs to be published.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use tokio::net::{TcpSocket, TcpStream, UnixStream};

use super::Container;
use crate::listeners;
use crate::monitor::client;
use crate::runtime::Errand;
use crate::state::Inspect;
use crate::{Error, Result};

impl Container {
    /// Connects to a TCP port inside the container, from inside its network: one without any
    /// network but its own loopback will do, and nothing is published to anybody else. The
    /// stream belongs to the tokio runtime that this is called in.
    ///
    /// ```no_run
    /// # use container_core::{Engine, Result};
    /// # use container_core::blocking::Block;
    /// # fn example(engine: &Engine) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// let redis = engine.get("redis")?;
    /// let stream = redis.dial(6379).block()?.into_std()?;
    /// stream.set_nonblocking(false)?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// It is not running; nobody listens on that port.
    pub async fn dial(&self, port: u16) -> Result<TcpStream> {
        let addresses = match self.listening(port)? {
            // Hidden from this user (proc(5), `hidepid`).
            None => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            Some(listening) => listeners::to_connect(&listening),
        };
        let mut error = io::Error::from(io::ErrorKind::ConnectionRefused);
        for ip in addresses {
            match self.dial_at(SocketAddr::new(ip, port)).await? {
                Ok(stream) => return Ok(stream),
                Err(e) => error = e,
            }
        }
        Err(self.unreachable(format!("TCP port {port}"), error))
    }

    /// Where somebody listens on a port; `None` when that cannot be looked at.
    pub(crate) fn listening(&self, port: u16) -> Result<Option<Vec<IpAddr>>> {
        let Inspect { state, .. } = self.inspect()?;
        if state.pid == 0 {
            return Err(Error::NotRunning {
                id: self.id.clone(),
            });
        }
        Ok(listeners::addresses(state.pid, port).ok())
    }

    /// Whether somebody listens on the Unix socket of this path, which is there.
    pub(crate) async fn listens(&self, path: &str) -> Result<bool> {
        let pid = self.inspect()?.state.pid;
        match listeners::unix(pid, path) {
            Ok(Some(listens)) => Ok(listens),
            // It cannot be looked at, or was bound by another path.
            Ok(None) | Err(_) => match self.dial_unix(path).await {
                Ok(_) => Ok(true),
                Err(Error::Dial { .. }) => Ok(false),
                Err(e) => Err(e),
            },
        }
    }

    async fn dial_at(&self, address: SocketAddr) -> Result<io::Result<TcpStream>> {
        let v6 = address.is_ipv6();
        let socket = match self.errand(&Errand::TcpSocket { v6 }).await? {
            Ok(Some(socket)) => socket,
            Ok(None) => return Ok(Err(io::ErrorKind::InvalidData.into())),
            Err(e) => return Ok(Err(e)),
        };
        let socket = TcpSocket::from_std_stream(socket.into());
        Ok(socket.connect(address).await)
    }

    /// Connects to a Unix socket inside the container, by its path there.
    ///
    /// # Errors
    /// It is not running; there is no such socket, or nobody listens on it.
    pub async fn dial_unix(&self, path: &str) -> Result<UnixStream> {
        let connected = self.errand(&Errand::ConnectUnix(path.to_owned())).await?;
        connected
            .and_then(|socket| {
                let socket: OwnedFd = socket.ok_or(io::ErrorKind::InvalidData)?;
                UnixStream::from_std(socket.into())
            })
            .map_err(|e| self.unreachable(path.to_owned(), e))
    }

    pub(crate) async fn errand(&self, errand: &Errand) -> Result<io::Result<Option<OwnedFd>>> {
        client::errand(&self.engine, &self.id, errand).await
    }

    fn unreachable(&self, what: String, source: io::Error) -> Error {
        Error::Dial {
            id: self.id.clone(),
            what,
            source,
        }
    }
}
