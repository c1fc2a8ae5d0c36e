//! Messages between our own processes: JSON frames over a unix socket, descriptors beside them.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// No message of ours is longer; what claims to be is not ours.
const MAX_FRAME: u32 = 16 << 20;
/// Descriptors in one message, at most.
const MAX_FDS: usize = 8;

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct Channel(UnixStream);

impl Channel {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self(stream)
    }

    /// Two connected ends, both close-on-exec.
    pub(crate) fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = UnixStream::pair()?;
        Ok((Self(a), Self(b)))
    }

    pub(crate) fn into_stream(self) -> UnixStream {
        self.0
    }

    /// Sends one message.
    pub(crate) fn send(&self, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        send(&self.0, message, fds)
    }

    /// Receives one message, waiting for it; `None` at the end of the stream.
    pub(crate) fn receive<T: DeserializeOwned>(&self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        let mut head = [0; 4];
        let mut fds = Vec::new();
        match self.fill(&mut head, &mut fds) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            result => result?,
        }
        let mut body = vec![0; checked_length(head)?];
        self.fill(&mut body, &mut fds)?;
        Ok(Some((serde_json::from_slice(&body)?, fds)))
    }

    fn fill(&self, mut buffer: &mut [u8], fds: &mut Vec<OwnedFd>) -> io::Result<()> {
        while !buffer.is_empty() {
            match receive_some(self.0.as_fd(), buffer) {
                Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok((n, more)) => {
                    fds.extend(more);
                    buffer = &mut buffer[n..];
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock && self.waits()? => {
                    wait(self.0.as_fd(), rustix::event::PollFlags::IN)?;
                }
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// A socket that is non-blocking is waited for here; one with a time limit has had its time.
    fn waits(&self) -> io::Result<bool> {
        Ok(self.0.read_timeout()?.is_none())
    }

    /// True when the other end is closed; what it has said before can still be received.
    pub(crate) fn is_hung_up(&self) -> bool {
        use rustix::event::{PollFd, PollFlags};
        let mut fds = [PollFd::new(&self.0, PollFlags::empty())];
        let now = rustix::event::Timespec::default();
        rustix::event::poll(&mut fds, Some(&now)).is_ok()
            && fds[0].revents().contains(PollFlags::HUP)
    }

    /// True when there is something to receive, or the other end is closed.
    pub(crate) fn is_readable(&self) -> bool {
        let mut fds = [rustix::event::PollFd::new(
            &self.0,
            rustix::event::PollFlags::IN,
        )];
        let now = rustix::event::Timespec::default();
        rustix::event::poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
    }

    /// True when the other end is closed.
    pub(crate) fn is_closed(&self) -> bool {
        // Nothing is ever sent by those who wait, so what can be read is the end.
        self.is_readable() && !matches!(receive_some(self.0.as_fd(), &mut [0; 64]), Ok((1.., _)))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Sends one message: its length (32 bits, little-endian), then JSON.
pub(crate) fn send(
    socket: &impl AsFd,
    message: &impl Serialize,
    fds: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let socket = socket.as_fd();
    let frame = encode(message)?;
    let raw: Vec<_> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control = if raw.is_empty() {
        &rights[..0]
    } else {
        &rights[..]
    };
    let mut sent = 0;
    while sent < frame.len() {
        let control = if sent == 0 { control } else { &rights[..0] };
        let slice = [IoSlice::new(&frame[sent..])];
        let flags = MsgFlags::MSG_NOSIGNAL;
        match sendmsg::<()>(socket.as_raw_fd(), &slice, control, flags, None) {
            Ok(n) => sent += n,
            Err(nix::errno::Errno::EINTR) => {}
            Err(nix::errno::Errno::EAGAIN) => wait(socket, rustix::event::PollFlags::OUT)?,
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

fn wait(socket: BorrowedFd<'_>, flags: rustix::event::PollFlags) -> io::Result<()> {
    let mut fds = [rustix::event::PollFd::from_borrowed_fd(socket, flags)];
    match rustix::event::poll(&mut fds, None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// A message as it goes over the wire.
fn encode(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message)?;
    let length = u32::try_from(frame.len() - 4)
        .ok()
        .filter(|n| *n <= MAX_FRAME);
    let length = length.ok_or(io::ErrorKind::InvalidInput)?;
    frame[..4].copy_from_slice(&length.to_le_bytes());
    Ok(frame)
}

/// Messages received in part: what has arrived is kept until it is a whole.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    fds: Vec<OwnedFd>,
}

impl Inbox {
    /// Reads what is there. 0 at the end of the stream.
    pub(crate) fn fill(&mut self, stream: impl AsFd) -> io::Result<usize> {
        let mut buffer = [0; 4096];
        let (n, fds) = receive_some(stream.as_fd(), &mut buffer)?;
        self.bytes.extend_from_slice(&buffer[..n]);
        self.fds.extend(fds);
        Ok(n)
    }

    /// Takes the first message when it is complete.
    pub(crate) fn take<T: DeserializeOwned>(&mut self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        let Some(head) = self.bytes.first_chunk::<4>() else {
            return Ok(None);
        };
        let length = checked_length(*head)?;
        let Some(body) = self.bytes.get(4..4 + length) else {
            return Ok(None);
        };
        let message = serde_json::from_slice(body)?;
        self.bytes.drain(..4 + length);
        Ok(Some((message, std::mem::take(&mut self.fds))))
    }
}

fn checked_length(head: [u8; 4]) -> io::Result<usize> {
    match u32::from_le_bytes(head) {
        length if length <= MAX_FRAME => Ok(length as usize),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn receive_some(stream: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    loop {
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [IoSliceMut::new(buffer)];
        match rustix::net::recvmsg(stream, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Ok(message) => {
                let mut fds = Vec::new();
                for message in control.drain() {
                    if let RecvAncillaryMessage::ScmRights(rights) = message {
                        fds.extend(rights);
                    }
                }
                return Ok((message.bytes, fds));
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}
