//! Starting a further process in a running container.

use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sched::CloneFlags;
use serde::{Deserialize, Serialize};

use super::launch::prepare;
use super::{Fault, Launched, Stdio, child, process, sys, terminal};
use crate::cgroup::Join;
use crate::plan::Process;
use crate::wire::Channel;

#[derive(Debug, Serialize, Deserialize)]
enum News {
    Fault(Fault),
    Pid(i32),
    Terminal,
}

/// Joins the namespaces and the cgroup of the process behind `target` and runs `program` there.
///
/// Two processes are cloned: one joins, and as a process never changes its own PID namespace
/// (setns(2)) its child, made a sibling with CLONE_PARENT, becomes the program.
pub(crate) fn enter(
    target: BorrowedFd<'_>,
    namespaces: u64,
    join: &Join,
    program: &Process,
    streams: &[Stdio; 3],
    terminal: Option<Option<(u16, u16)>>,
) -> Result<Launched, Fault> {
    let cgroup = match join {
        Join::Clone(fd) => Some(fd.as_fd()),
        _ => None,
    };
    let (middle, _, ours) = child::connected(0, cgroup, |theirs| {
        if let Err(fault) = middle(target, namespaces, join, program, streams, terminal, theirs) {
            _ = theirs.send(&News::Fault(fault), &[]);
            return 1;
        }
        0
    })
    .map_err(Fault::at("clone"))?;
    let result = follow(&ours);
    _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(middle), None);
    match result {
        (Some(pid), terminal, None) => {
            let raw = rustix::process::Pid::from_raw(pid);
            let pidfd = raw.map_or(Err(rustix::io::Errno::SRCH), |pid| {
                // Our own child, not reaped yet: the number is still its own.
                rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())
            });
            let pidfd = pidfd.map_err(Fault::at("open the new process"))?;
            Ok(Launched {
                pid,
                pidfd,
                terminal,
            })
        }
        (pid, _, fault) => {
            if let Some(pid) = pid {
                _ = nix::sys::wait::waitpid(
                    nix::unistd::Pid::from_raw(pid),
                    Some(nix::sys::wait::WaitPidFlag::__WALL),
                );
            }
            Err(fault.unwrap_or_else(|| Fault::Setup {
                step: "start the process".into(),
                reason: "it ended without a word; the container may just have ended".into(),
            }))
        }
    }
}

/// Hears both processes to the end. The one that fails may be quicker than the other is with its
/// number; without that it would stay unreaped, and a PID namespace does not end before all in it
/// have been (pid_namespaces(7)).
fn follow(channel: &Channel) -> (Option<i32>, Option<OwnedFd>, Option<Fault>) {
    let (mut pid, mut terminal, mut fault) = (None, None, None);
    loop {
        match channel.receive::<News>() {
            Ok(Some((News::Pid(number), _))) => pid = Some(number),
            Ok(Some((News::Terminal, mut fds))) => terminal = fds.pop(),
            Ok(Some((News::Fault(said), _))) => _ = fault.get_or_insert(said),
            Ok(None) => return (pid, terminal, fault),
            Err(e) => {
                fault.get_or_insert_with(|| Fault::setup("hear from the new process", &e));
                return (pid, terminal, fault);
            }
        }
    }
}

fn middle(
    target: BorrowedFd<'_>,
    namespaces: u64,
    join: &Join,
    program: &Process,
    streams: &[Stdio; 3],
    terminal: Option<Option<(u16, u16)>>,
    channel: &Channel,
) -> Result<(), Fault> {
    prepare(program, join)?;
    let flags = CloneFlags::from_bits_truncate(i32::try_from(namespaces).unwrap_or(0));
    nix::sched::setns(target, flags).map_err(Fault::at("join the container's namespaces"))?;
    if flags.contains(CloneFlags::CLONE_NEWUSER) {
        super::userns::become_root().map_err(Fault::at("become root of the user namespace"))?;
    }
    let parent = u64::try_from(libc::CLONE_PARENT).unwrap_or(0);
    let (pid, _) = sys::clone(parent, None, || {
        let fault = match last(program, streams, terminal, channel) {
            Ok(never) => match never {},
            Err(fault) => fault,
        };
        _ = channel.send(&News::Fault(fault), &[]);
        1
    })
    .map_err(Fault::at("clone"))?;
    channel
        .send(&News::Pid(pid), &[])
        .map_err(Fault::at("report the process"))
}

fn last(
    program: &Process,
    streams: &[Stdio; 3],
    terminal: Option<Option<(u16, u16)>>,
    channel: &Channel,
) -> Result<Infallible, Fault> {
    nix::unistd::setsid().map_err(Fault::at("start a session"))?;
    let root = rustix::fs::open(
        "/",
        rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )
    .map_err(Fault::at("open the root directory"))?;
    let slave = match terminal {
        Some(size) => {
            let pair = terminal::open(root.as_fd(), size).map_err(Fault::at("open a terminal"))?;
            channel
                .send(&News::Terminal, &[pair.master.as_fd()])
                .map_err(Fault::at("hand the terminal over"))?;
            Some(pair.slave)
        }
        None => None,
    };
    process::become_program(
        program,
        root.as_fd(),
        streams,
        slave,
        process::Cwd::There,
        channel,
    )
}
