//! Collects monitors that nobody waits for, so that no zombie is left in the embedder. Only
//! children of the library's own are ever waited for.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, channel};

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, PidfdFlags};

/// A child that is collected whatever becomes of its owner.
#[derive(Debug)]
pub(crate) struct Guard(Option<Child>);

impl Guard {
    pub(crate) fn new(child: Child) -> Self {
        Self(Some(child))
    }

    /// Waits for a child that is about to end.
    pub(crate) fn wait(mut self) {
        if let Some(mut child) = self.0.take() {
            _ = child.wait();
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(child) = self.0.take() {
            later(child);
        }
    }
}

/// Collects a child when it ends; does not wait for that.
fn later(mut child: Child) {
    if !matches!(child.try_wait(), Ok(None)) {
        return;
    }
    static REAPER: OnceLock<Option<(Sender<Child>, UnixStream)>> = OnceLock::new();
    // Without a thread the child stays a zombie until this process ends.
    if let Some((sender, wake)) = REAPER.get_or_init(start) {
        _ = sender.send(child);
        // A full buffer means that the thread is about to look anyway.
        _ = rustix::io::write(wake, &[0]);
    }
}

fn start() -> Option<(Sender<Child>, UnixStream)> {
    let (wake, woken) = UnixStream::pair().ok()?;
    wake.set_nonblocking(true).ok()?;
    woken.set_nonblocking(true).ok()?;
    let (sender, receiver) = channel();
    std::thread::Builder::new()
        .name("container-reaper".into())
        .spawn(move || {
            // The embedder's signal handlers are none of this thread's business.
            _ = nix::sys::signal::SigSet::all().thread_block();
            run(&receiver, &woken);
        })
        .ok()?;
    Some((sender, wake))
}

fn run(receiver: &Receiver<Child>, woken: &UnixStream) {
    let mut children: Vec<(Child, OwnedFd)> = Vec::new();
    loop {
        let mut fds = vec![PollFd::new(woken, PollFlags::IN)];
        fds.extend(
            children
                .iter()
                .map(|(_, fd)| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)),
        );
        _ = rustix::event::poll(&mut fds, None);
        drop(fds);
        let mut bytes = [0; 64];
        while rustix::io::read(woken, &mut bytes).is_ok_and(|n| n == bytes.len()) {}
        for child in receiver.try_iter() {
            let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            // Gone already, or collected by a handler of the embedder's: nothing to wait for.
            let Some(pid) = pid else { continue };
            if let Ok(fd) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
                children.push((child, fd));
            }
        }
        children.retain_mut(|(child, _)| matches!(child.try_wait(), Ok(None)));
    }
}
