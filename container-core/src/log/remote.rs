//! Messages to a daemon: syslog or journald. Nothing here waits, but for the connection before
//! the container starts and for a moment after it has ended.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, send, socket_with,
};

use super::error::LogError;
use super::syslog::Address;

/// Bytes on their way after which those who may wait do.
pub(super) const ENOUGH: usize = 1 << 20;
/// How long a daemon may take to answer before the container starts.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take to hear the last messages.
const FAREWELL: Duration = Duration::from_secs(2);
/// How often a daemon that is gone is looked for.
const RETRY: Duration = Duration::from_secs(1);

/// Where daemons of the machine listen.
const LOCAL: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];

/// A way to a daemon.
#[derive(Debug)]
enum Way {
    Unix(PathBuf, SocketType),
    Udp(SocketAddr),
    Tcp(SocketAddr),
}

/// A daemon that messages are sent to, in order.
#[derive(Debug)]
pub(super) struct Remote {
    way: Way,
    socket: Option<OwnedFd>,
    queue: VecDeque<Vec<u8>>,
    /// Bytes in it.
    queued: usize,
    /// Of the first message, how much a stream has taken.
    sent: usize,
    /// When the daemon was last looked for in vain.
    failed: Option<Instant>,
}

impl Remote {
    /// Connects, once and for all to one address.
    pub(super) fn connect(address: &Address) -> Result<Self, LogError> {
        let error = |to: String| {
            move |source| LogError::Connect {
                to,
                source,
                advice: "; syslog-address names it",
            }
        };
        let named = |protocol: &str, host: &str| format!("{protocol}://{host}");
        match address {
            Address::Local => {
                let found = LOCAL
                    .iter()
                    .find_map(|path| Self::unix(Path::new(path)).ok());
                found.ok_or_else(|| LogError::Connect {
                    to: "syslog".to_owned(),
                    source: io::ErrorKind::NotFound.into(),
                    advice: "; no syslog daemon listens on this machine: name one with \
                             syslog-address",
                })
            }
            Address::Unix(path) => {
                Self::unix(path).map_err(error(named("unix", &path.to_string_lossy())))
            }
            Address::Unixgram(path) => Self::open(Way::Unix(path.clone(), SocketType::DGRAM))
                .map_err(error(named("unixgram", &path.to_string_lossy()))),
            Address::Udp(host) => first(host, |address| Self::open(Way::Udp(address)))
                .map_err(error(named("udp", host))),
            Address::Tcp(host) => first(host, |address| Self::open(Way::Tcp(address)))
                .map_err(error(named("tcp", host))),
        }
    }

    /// Connects to journald.
    pub(super) fn journald(socket: &Path) -> Result<Self, LogError> {
        Self::open(Way::Unix(socket.to_owned(), SocketType::DGRAM)).map_err(|source| {
            LogError::Connect {
                to: "journald".to_owned(),
                source,
                advice: "; journald does not run here: use the log driver json-file or local",
            }
        })
    }

    fn unix(path: &Path) -> io::Result<Self> {
        Self::open(Way::Unix(path.to_owned(), SocketType::DGRAM))
            .or_else(|_| Self::open(Way::Unix(path.to_owned(), SocketType::STREAM)))
    }

    fn open(way: Way) -> io::Result<Self> {
        let socket = match &way {
            Way::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, PATIENCE)?;
                stream.set_nonblocking(true)?;
                stream.into()
            }
            way => way.open()?,
        };
        Ok(Self {
            way,
            socket: Some(socket),
            queue: VecDeque::new(),
            queued: 0,
            sent: 0,
            failed: None,
        })
    }

    pub(super) fn push(&mut self, message: Vec<u8>) {
        self.queued += message.len();
        self.queue.push_back(message);
    }

    /// Bytes that wait.
    pub(super) fn queued(&self) -> usize {
        self.queued
    }

    /// What becomes writable when more can be sent.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        if self.queue.is_empty() {
            return None;
        }
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// Sends what can be sent. Messages to a daemon that is gone are lost.
    pub(super) fn turn(&mut self) {
        while let Some(message) = self.queue.front() {
            let Some(socket) = &self.socket else {
                if self.reconnect().is_err() {
                    self.lose();
                }
                continue;
            };
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match send(socket, &message[self.sent..], flags) {
                Ok(sent) if self.way.is_stream() && self.sent + sent < message.len() => {
                    self.sent += sent;
                }
                Ok(_) => self.pop(),
                Err(Errno::INTR) => {}
                // NOTCONN: still connecting.
                Err(Errno::AGAIN | Errno::NOBUFS | Errno::NOTCONN | Errno::ALREADY) => return,
                // A datagram that is too long, by itself, for the way it has to go.
                Err(Errno::MSGSIZE) => self.pop(),
                Err(_) => self.socket = None,
            }
        }
    }

    fn pop(&mut self) {
        self.sent = 0;
        if let Some(message) = self.queue.pop_front() {
            self.queued -= message.len();
        }
    }

    fn lose(&mut self) {
        self.queue.clear();
        (self.queued, self.sent) = (0, 0);
    }

    fn reconnect(&mut self) -> io::Result<()> {
        let now = Instant::now();
        if self.failed.is_some_and(|then| now - then < RETRY) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        self.failed = Some(now);
        // The rest of a message that was cut off makes no sense by itself.
        if std::mem::take(&mut self.sent) > 0 {
            self.pop();
        }
        self.socket = Some(self.way.open()?);
        Ok(())
    }

    /// Sends what is left, if the daemon takes it within a moment.
    pub(super) fn finish(&mut self) {
        let end = Instant::now() + FAREWELL;
        loop {
            self.turn();
            let Some(socket) = self.descriptor() else {
                return;
            };
            let left = end.saturating_duration_since(Instant::now());
            let Ok(timeout) = Timespec::try_from(left) else {
                return;
            };
            let mut fds = [PollFd::from_borrowed_fd(socket, PollFlags::OUT)];
            match rustix::event::poll(&mut fds, Some(&timeout)) {
                Ok(0) => return self.lose(),
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return self.lose(),
            }
        }
    }
}

impl Way {
    fn is_stream(&self) -> bool {
        matches!(self, Self::Tcp(_) | Self::Unix(_, SocketType::STREAM))
    }

    /// A connected socket that never waits; that of a stream may still be connecting.
    fn open(&self) -> io::Result<OwnedFd> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        match self {
            Self::Unix(path, kind) => {
                let socket = socket_with(AddressFamily::UNIX, *kind, flags, None)?;
                connect(&socket, &SocketAddrUnix::new(path)?)?;
                Ok(socket)
            }
            Self::Udp(address) => {
                let any: SocketAddr = match address {
                    SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
                    SocketAddr::V6(_) => ([0; 16], 0).into(),
                };
                let socket = UdpSocket::bind(any)?;
                socket.connect(address)?;
                socket.set_nonblocking(true)?;
                Ok(socket.into())
            }
            Self::Tcp(address) => {
                let family = match address {
                    SocketAddr::V4(_) => AddressFamily::INET,
                    SocketAddr::V6(_) => AddressFamily::INET6,
                };
                let socket = socket_with(family, SocketType::STREAM, flags, None)?;
                match connect(&socket, address) {
                    Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }
}

/// The first address of a host that can be connected to.
fn first<T>(host: &str, open: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    let mut error = io::ErrorKind::NotFound.into();
    for address in host.to_socket_addrs()? {
        match open(address) {
            Ok(remote) => return Ok(remote),
            Err(e) => error = e,
        }
    }
    Err(error)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn a_datagram_a_message() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let daemon = UnixDatagram::bind(&path).unwrap();
        let mut remote = Remote::connect(&Address::Unix(path.clone())).unwrap();
        for text in ["one", "two"] {
            remote.push(text.into());
        }
        remote.turn();
        assert_eq!(remote.queued(), 0);
        let mut buffer = [0; 16];
        assert_eq!(daemon.recv(&mut buffer).unwrap(), 3);
        assert_eq!(&buffer[..3], b"one");
        // Another takes its place: it hears what is said from then on.
        drop(daemon);
        std::fs::remove_file(&path).unwrap();
        let daemon = UnixDatagram::bind(&path).unwrap();
        remote.push("three".into());
        remote.finish();
        assert_eq!(daemon.recv(&mut buffer).unwrap(), 5);
    }

    #[test]
    fn a_stream_takes_what_it_can_and_the_rest_later() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let mut remote = Remote::connect(&Address::Tcp(host)).unwrap();
        let (mut daemon, _) = listener.accept().unwrap();
        let message = vec![b'x'; 100_000];
        while remote.queued() < 50 * message.len() {
            remote.push(message.clone());
        }
        remote.turn();
        assert!(remote.queued() > 0, "nobody has read");
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            daemon.read_to_end(&mut all).unwrap();
            all.len()
        });
        remote.finish();
        assert_eq!(remote.queued(), 0);
        drop(remote);
        assert_eq!(reader.join().unwrap(), 50 * message.len());
    }

    #[test]
    fn a_daemon_that_is_gone_costs_messages_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let daemon = UnixDatagram::bind(&path).unwrap();
        let mut remote = Remote::journald(&path).unwrap();
        drop(daemon);
        std::fs::remove_file(&path).unwrap();
        for _ in 0..1000 {
            remote.push(vec![0; 1000]);
            remote.turn();
            assert_eq!(remote.queued(), 0);
        }
    }

    #[test]
    fn nobody_there_is_said_at_once() {
        for address in [
            Address::Unix("/nonexistent".into()),
            Address::Unixgram("/nonexistent".into()),
            Address::Tcp("127.0.0.1:1".into()),
        ] {
            let error = Remote::connect(&address).unwrap_err().to_string();
            assert!(error.starts_with("cannot log to "), "{error}");
        }
        let error = Remote::journald(Path::new("/nonexistent")).unwrap_err();
        assert!(error.to_string().contains("json-file"), "{error}");
    }
}
