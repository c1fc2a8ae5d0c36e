//! A process of ours and the connection to it.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use super::sys;
use crate::wire::Channel;

/// Clones this process (see [`sys::clone`]) and connects the two. Returns the new one's id, a
/// pidfd of it, and this end.
///
/// Each has its own end alone, though a clone has a copy of everything: that the other's closes is
/// how its death is heard.
pub(super) fn connected(
    flags: u64,
    cgroup: Option<BorrowedFd<'_>>,
    child: impl FnOnce(&Channel) -> i32,
) -> io::Result<(i32, OwnedFd, Channel)> {
    let (ours, theirs) = Channel::pair()?;
    let mut end = Some(ours);
    let (pid, pidfd) = sys::clone(flags, cgroup, || {
        end = None;
        child(&theirs)
    })?;
    // Only the new process, which has its own copy of this, has taken it away.
    let ours = end.ok_or(io::ErrorKind::BrokenPipe)?;
    Ok((pid, pidfd, ours))
}
