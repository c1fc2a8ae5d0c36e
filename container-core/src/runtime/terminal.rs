//! A terminal from the container's own devpts.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::OFlags;
use rustix::mount::MoveMountFlags;
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use super::mount;
use super::resolve::{self, Links, Make};

/// Both sides of a terminal.
pub(super) struct Pair {
    pub(super) master: OwnedFd,
    pub(super) slave: OwnedFd,
}

pub(super) fn open(root: BorrowedFd<'_>, size: Option<(u16, u16)>) -> io::Result<Pair> {
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let master = resolve::open(root, "/dev/pts/ptmx", flags, Links::Refuse)?;
    rustix::pty::unlockpt(&master)?;
    // By descriptor, not by name: the name could lead elsewhere.
    let peer = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, peer)?;
    if let Some((rows, columns)) = size {
        resize(&master, rows, columns)?;
    }
    Ok(Pair { master, slave })
}

pub(crate) fn resize(terminal: impl AsFd, rows: u16, columns: u16) -> io::Result<()> {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    Ok(rustix::termios::tcsetwinsize(terminal, size)?)
}

/// Shows the terminal as `/dev/console`.
pub(super) fn console(root: BorrowedFd<'_>, slave: BorrowedFd<'_>) -> io::Result<()> {
    let target = resolve::ensure(root, "/dev/console", Make::File, Links::Refuse)?;
    let tree = mount::clone_tree(slave, "", false)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(rustix::mount::move_mount(&tree, "", &target, "", flags)?)
}
