//! A process of ours that does one small thing where a container's processes are: the monitor
//! has one thread and must neither wait nor leave its own namespaces, which it could not enter
//! again where it is not the machine's root.
//!
//! It does not become the container's: it stays in the monitor's PID namespace and cgroup, keeps
//! no descriptor but its client's, and goes with the monitor.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::sched::CloneFlags;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use serde::{Deserialize, Serialize};

use super::sys;
use crate::wire::Channel;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Errand {
    /// Make a TCP socket in the container's network namespace, where it stays whoever uses it.
    TcpSocket {
        /// For version 6 of the protocol.
        v6: bool,
    },
    /// Connect to the Unix socket at this path.
    ConnectUnix(String),
    /// Wait until there is a Unix socket at this path.
    AwaitUnix(String),
}

impl Errand {
    /// The namespace it leads to.
    fn namespace(&self) -> CloneFlags {
        match self {
            Self::TcpSocket { .. } => CloneFlags::CLONE_NEWNET,
            Self::ConnectUnix(_) | Self::AwaitUnix(_) => CloneFlags::CLONE_NEWNS,
        }
    }
}

/// Sends a process off, to do this where the process behind `target` is, which has these
/// namespaces of its own, and to tell `client` by `answer`. Returns its id and a pidfd.
pub(crate) fn errand(
    errand: &Errand,
    (target, namespaces): (BorrowedFd<'_>, u64),
    client: BorrowedFd<'_>,
    answer: impl FnOnce(&Channel, io::Result<Option<OwnedFd>>),
) -> io::Result<(i32, OwnedFd)> {
    sys::clone(0, None, || {
        // What it shares with the machine the monitor shares too.
        let own = CloneFlags::from_bits_truncate(i32::try_from(namespaces).unwrap_or(0));
        let joined = match errand.namespace() & own {
            shared if shared.is_empty() => Ok(()),
            own => nix::sched::setns(target, own),
        };
        let alone = sys::die_with_parent()
            .and_then(|()| sys::forbid_dumps())
            // The lock and the container's streams must not be held open here.
            .and_then(|()| sys::replace_stream(client, 0))
            .and_then(|()| sys::close_from(3, false))
            .and_then(|()| Ok(rustix::io::dup(rustix::stdio::stdin())?));
        let Ok(client) = alone else { return 1 };
        let client = Channel::new(UnixStream::from(client));
        let done = match joined {
            Ok(()) => run(errand, &client),
            Err(e) => Err(e.into()),
        };
        answer(&client, done);
        0
    })
}

fn run(errand: &Errand, client: &Channel) -> io::Result<Option<OwnedFd>> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = |family| rustix::net::socket_with(family, SocketType::STREAM, flags, None);
    match errand {
        Errand::TcpSocket { v6: false } => Ok(Some(socket(AddressFamily::INET)?)),
        Errand::TcpSocket { v6: true } => Ok(Some(socket(AddressFamily::INET6)?)),
        Errand::ConnectUnix(path) => {
            let socket = socket(AddressFamily::UNIX)?;
            rustix::net::connect(&socket, &SocketAddrUnix::new(path.as_str())?)?;
            Ok(Some(socket))
        }
        Errand::AwaitUnix(path) => await_socket(Path::new(path), client).map(|()| None),
    }
}

/// Returns when there is a socket, or the client has gone.
fn await_socket(path: &Path, client: &Channel) -> io::Result<()> {
    // The path may lead through links that are changed where nobody watches.
    const OFTEN_ENOUGH: Timespec = Timespec {
        tv_sec: 0,
        tv_nsec: 500_000_000,
    };
    // This user may have no more watches.
    const WITHOUT_WATCH: Timespec = Timespec {
        tv_sec: 0,
        tv_nsec: 20_000_000,
    };
    loop {
        let watch = watch(path);
        // Looked for after the watch is set.
        if path.metadata().is_ok_and(|m| m.file_type().is_socket()) {
            return Ok(());
        }
        let mut fds = vec![PollFd::new(client, PollFlags::IN)];
        fds.extend(watch.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
        let patience = match watch {
            Ok(_) => OFTEN_ENOUGH,
            Err(_) => WITHOUT_WATCH,
        };
        match rustix::event::poll(&mut fds, Some(&patience)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        if client.is_closed() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
    }
}

/// What tells of files that come into being on the way to a path.
fn watch(path: &Path) -> io::Result<OwnedFd> {
    let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    let events = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
    let mut directories: Vec<_> = path.ancestors().skip(1).collect();
    // From the top: one that is made meanwhile is told of by the one above it.
    directories.reverse();
    for directory in directories {
        match inotify::add_watch(&watch, directory, events) {
            Ok(_) => {}
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => break,
            Err(e) => return Err(e.into()),
        }
    }
    Ok(watch)
}
