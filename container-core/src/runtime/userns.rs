//! User namespaces: their maps, and how a rootless monitor gets into one.

use std::fmt::Write as _;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};

use nix::sched::CloneFlags;
use nix::unistd::{Gid, Uid};
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::child;
use crate::plan::{CLONE_NEWUSER, IdMaps};
use crate::request::IdMap;

fn text(maps: &[IdMap]) -> String {
    maps.iter().fold(String::new(), |mut text, m| {
        _ = writeln!(text, "{} {} {}", m.inside, m.outside, m.count);
        text
    })
}

/// Writes the maps of a process whose parent user namespace is ours.
pub(super) fn write_maps(pid: i32, maps: &IdMaps) -> io::Result<()> {
    std::fs::write(format!("/proc/{pid}/gid_map"), text(&maps.gids))?;
    std::fs::write(format!("/proc/{pid}/uid_map"), text(&maps.uids))
}

/// A user namespace with these maps, and nobody in it.
pub(super) fn with_maps(maps: &IdMaps) -> io::Result<OwnedFd> {
    let (pid, pidfd, ours) = child::connected(CLONE_NEWUSER, None, |theirs| {
        // Opened in there: `/proc` may be that of another PID namespace than ours, where this
        // process has another number.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        if let Ok(own) = rustix::fs::open("/proc/self", flags, Mode::empty()) {
            _ = theirs.send(&(), &[own.as_fd()]);
        }
        // Until it is killed.
        _ = theirs.receive::<()>();
        0
    })?;
    let made = ours.receive::<()>().and_then(|answer| {
        let own = answer.and_then(|((), mut fds)| fds.pop());
        let own = own.ok_or_else(|| io::Error::other("the new user namespace is gone"))?;
        for (file, maps) in [("gid_map", &maps.gids), ("uid_map", &maps.uids)] {
            let flags = OFlags::WRONLY | OFlags::CLOEXEC;
            let file = rustix::fs::openat(&own, file, flags, Mode::empty())?;
            // In one write(2): the kernel takes no second.
            rustix::io::write(&file, text(maps).as_bytes())?;
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&own, "ns/user", flags, Mode::empty())?)
    });
    _ = rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::KILL);
    _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None);
    made
}

/// Takes on ids 0 of the user namespace.
pub(super) fn become_root() -> nix::Result<()> {
    let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
    nix::unistd::setresgid(gid, gid, gid)?;
    nix::unistd::setresuid(uid, uid, uid)
}

/// The user namespace that a rootless process of ours lives in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Enter {
    /// A new one.
    Make(IdMaps),
    /// That of this process, which must be the same user's.
    Join(u32),
}

/// Moves this single-threaded process into a user namespace, and a mount namespace of its own.
pub(crate) fn enter(enter: &Enter) -> io::Result<()> {
    match enter {
        Enter::Make(maps) => unshare(maps),
        Enter::Join(pid) => {
            let namespace = std::fs::File::open(format!("/proc/{pid}/ns/user"))?;
            nix::sched::setns(namespace, CloneFlags::CLONE_NEWUSER)?;
            nix::sched::unshare(CloneFlags::CLONE_NEWNS)?;
            Ok(become_root()?)
        }
    }
}

/// Moves this single-threaded process into a user and a mount namespace of its own. A helper
/// process that stays outside maps the ids: with newuidmap and newgidmap when there are ranges,
/// else the caller's own id alone (user_namespaces(7)).
fn unshare(maps: &IdMaps) -> io::Result<()> {
    let pid = std::process::id();
    let (helper, _, ours) = child::connected(0, None, |theirs| {
        let result = match theirs.receive::<()>() {
            Ok(Some(_)) => map_from_outside(pid, maps).map_err(|e| e.to_string()),
            _ => Err("the namespace could not be made".to_owned()),
        };
        _ = theirs.send(&result, &[]);
        0
    })?;
    let made = nix::sched::unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS);
    let mapped = match made {
        Ok(()) => ours
            .send(&(), &[])
            .and_then(|()| ours.receive::<Result<(), String>>()),
        Err(e) => {
            drop(ours);
            _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(helper), None);
            return Err(refused(e));
        }
    };
    _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(helper), None);
    match mapped? {
        Some((Ok(()), _)) => {}
        Some((Err(why), _)) => return Err(io::Error::other(why)),
        None => {
            return Err(io::Error::other(
                "the process that maps ids ended unexpectedly",
            ));
        }
    }
    Ok(become_root()?)
}

fn refused(error: nix::errno::Errno) -> io::Error {
    match error {
        nix::errno::Errno::EPERM => io::Error::other(
            "this host forbids user namespaces to ordinary users (see sysctl \
             kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)",
        ),
        nix::errno::Errno::ENOSPC => {
            io::Error::other("the limit of user namespaces is reached (user.max_user_namespaces)")
        }
        e => e.into(),
    }
}

fn map_from_outside(pid: u32, maps: &IdMaps) -> io::Result<()> {
    if maps.uids.len() <= 1 && maps.gids.len() <= 1 {
        // One id each needs no privilege, once changing groups is given up.
        std::fs::write(format!("/proc/{pid}/setgroups"), "deny")?;
        std::fs::write(format!("/proc/{pid}/gid_map"), text(&maps.gids))?;
        return std::fs::write(format!("/proc/{pid}/uid_map"), text(&maps.uids));
    }
    let start = |program: &str, maps: &[IdMap]| {
        let numbers = maps.iter().flat_map(|m| [m.inside, m.outside, m.count]);
        Command::new(program)
            .arg(pid.to_string())
            .args(numbers.map(|n| n.to_string()))
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| io::Error::new(e.kind(), format!("{program} (package uidmap): {e}")))
    };
    // Both at once: each costs a start.
    let children = [
        ("newuidmap", start("newuidmap", &maps.uids)?),
        ("newgidmap", start("newgidmap", &maps.gids)?),
    ];
    for (name, child) in children {
        let output = child.wait_with_output()?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            return Err(io::Error::other(format!("{name}: {}", why.trim())));
        }
    }
    Ok(())
}
