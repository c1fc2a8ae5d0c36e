//! The terminal this program runs on: its size, its raw mode, and what is pumped between it and a
//! container's terminal.

pub(crate) mod console;
pub(crate) mod pump;
pub(crate) mod raw;
pub(crate) mod session;
pub(crate) mod signals;

use std::os::fd::AsFd;

/// Rows and columns of a terminal.
pub(crate) fn size(fd: impl AsFd) -> Option<(u16, u16)> {
    let size = rustix::termios::tcgetwinsize(fd).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}

/// Makes one terminal as large as another.
pub(crate) fn copy_size(from: impl AsFd, to: impl AsFd) {
    // A terminal that cannot be resized keeps its size: nobody is served by an end here.
    if let Ok(size) = rustix::termios::tcgetwinsize(from) {
        let _ = rustix::termios::tcsetwinsize(to, size);
    }
}
