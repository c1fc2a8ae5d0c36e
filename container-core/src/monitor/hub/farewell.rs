//! What is still on its way to one who is attached when the container has ended. The monitor does
//! not wait for him: the kernel keeps it for him, or a small process does.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};

use super::client::Sink;
use crate::runtime::sys;

/// Sees to it that everything arrives that can. Returns the process that does.
pub(super) fn hand_over(mut sink: Sink) -> Option<i32> {
    sink.turn();
    sink.waits()?;
    sink.enlarge();
    sink.turn();
    sink.waits()?;
    // The monitor has one thread, so its copy may do anything. Where it cannot be made, what is
    // left is lost with the monitor.
    let process = sys::fork(|| i32::from(deliver(sink).is_err()));
    process.ok().map(|(pid, _)| pid)
}

/// Delivers until all is gone or nobody reads any more.
fn deliver(mut sink: Sink) -> io::Result<()> {
    sink.keep_alone()?;
    while let Some(fd) = sink.waits() {
        let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
        match rustix::event::poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        sink.turn();
    }
    Ok(())
}

impl Sink {
    /// Makes its pipe as large as the kernel allows.
    fn enlarge(&mut self) {
        if let Some(fd) = self.waits() {
            _ = rustix::pipe::fcntl_setpipe_size(fd, super::PIPE);
        }
    }

    /// Closes every descriptor of this process but its own.
    fn keep_alone(&mut self) -> io::Result<()> {
        let Some(fd) = self.waits() else {
            return Ok(());
        };
        // Under a number below all others.
        sys::replace_stream(fd, 1)?;
        sys::close_from(3, false)?;
        let fd: OwnedFd = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout().as_fd(), 3)?;
        if let Some(old) = self.replace(fd) {
            // Its number is another's by now.
            std::mem::forget(old);
        }
        // Whoever reads sees the end when the last of these is closed.
        sys::replace_stream(rustix::stdio::stdin().as_fd(), 1)
    }
}
