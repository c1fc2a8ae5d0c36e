//! Errands: small things that a process of the monitor's does inside the container.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::job::{Failure, News};
use super::supervise::{Phase, Supervisor};
use crate::runtime::{self, Errand};
use crate::wire::Channel;

/// A process on an errand. It answers its client itself.
#[derive(Debug)]
pub(super) struct Envoy {
    pid: i32,
    pidfd: OwnedFd,
}

impl AsFd for Envoy {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Supervisor {
    pub(super) fn errand(&mut self, client: &Channel, errand: &Errand) {
        let sent = match &self.phase {
            Phase::Waiting { .. } => Err(Failure::NotRunning),
            Phase::Running(run) => {
                let target = (run.first.pidfd.as_fd(), self.namespaces());
                runtime::errand(errand, target, client.as_fd(), answer)
                    .map_err(|e| Failure::Errand(e.into()))
            }
        };
        match sent {
            Ok((pid, pidfd)) => self.envoys.push(Envoy { pid, pidfd }),
            Err(failure) => _ = client.send(&News::Failed(failure), &[]),
        }
    }

    /// Collects those that are back; `last` when the container has ended.
    pub(super) fn turn_envoys(&mut self, last: bool) {
        self.envoys.retain(|envoy| {
            if last {
                _ = runtime::signal(&envoy.pidfd, libc::SIGKILL);
                runtime::wait(envoy.pid);
            }
            !last && runtime::try_wait(envoy.pid).is_none()
        });
    }
}

fn answer(client: &Channel, done: std::io::Result<Option<OwnedFd>>) {
    // A client that is gone wants no answer.
    _ = match done {
        Ok(fd) => {
            let fds: Vec<_> = fd.iter().map(AsFd::as_fd).collect();
            client.send(&News::Done, &fds)
        }
        Err(e) => client.send(&News::Failed(Failure::Errand(e.into())), &[]),
    };
}
