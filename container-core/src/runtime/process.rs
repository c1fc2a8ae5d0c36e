//! From the container's set-up to the program: limits, user, capabilities, filter, exec.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::unistd::{Gid, Uid};
use rustix::fs::{Mode, OFlags};

use super::resolve::{self, Links, Make};
use super::user::{self, Identity};
use super::{Fault, Stdio, command, init, mount, sys};
use crate::plan::{Process, User, rlimit_name};
use crate::wire::Channel;

/// What to do about a working directory that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cwd {
    /// Make it, for a container's first process.
    Made,
    /// Nothing: a further process needs one that is there.
    There,
}

/// Becomes the program. Returns only to say why it could not. The descriptors that `released`
/// names are those the process needs until exec; `--init` lets go of them at once.
pub(super) fn become_program(
    process: &Process,
    root: BorrowedFd<'_>,
    streams: &[Stdio; 3],
    terminal: Option<OwnedFd>,
    cwd: Cwd,
    monitor: &Channel,
) -> Result<std::convert::Infallible, Fault> {
    for (resource, soft, hard) in &process.rlimits {
        sys::set_rlimit(*resource, *soft, *hard)
            .map_err(|e| rlimit_fault(*resource, *soft, *hard, &e))?;
    }
    let identity = match &process.user {
        User::Numeric { uid, gid, groups } => Identity {
            uid: *uid,
            gid: *gid,
            groups: groups.clone(),
            home: "/".into(),
        },
        User::Lookup { user, groups } => user::lookup(root, user, groups)?,
    };
    let mut env = process.env.clone();
    if !env.iter().any(|e| e.starts_with("HOME=")) {
        env.push(format!("HOME={}", identity.home));
    }
    attach(streams, terminal, root, &identity).map_err(Fault::at("attach the standard streams"))?;
    // Failing is no harm: the filter forbids the calls, and the ring is nobody's secret.
    _ = sys::new_keyring();
    let entered = enter_directory(root, &process.cwd, cwd);
    let umask = process.umask.unwrap_or(0o022);
    rustix::process::umask(Mode::from_raw_mode(umask));

    // Without no_new_privs a filter needs CAP_SYS_ADMIN, so it comes first (seccomp(2)).
    if process.no_new_privileges {
        sys::no_new_privileges().map_err(Fault::at("set no_new_privs"))?;
    } else {
        filter(process)?;
    }
    become_user(process, &identity)?;
    // A container without its monitor is nobody's. Changing users clears this, so it comes after.
    tie(monitor)?;
    if let Err(first) = entered {
        // A directory that only the user may enter (a mount of theirs, say).
        enter_directory(root, &process.cwd, cwd).map_err(|_| cwd_fault(&process.cwd, &first))?;
    }
    inside(&process.cwd)?;
    if process.no_new_privileges {
        filter(process)?;
    }
    sys::close_from(3, true).map_err(Fault::at("close descriptors"))?;
    if process.init {
        init::fork_program()?;
    }
    // None is ignored: the monitor has seen to that when it came up, and it handles none.
    sys::unblock_signals();
    Err(command::execute(&process.args, &env))
}

/// Makes this process die with its monitor, whose end of the connection is the monitor's alone.
pub(super) fn tie(monitor: &Channel) -> Result<(), Fault> {
    let fault = Fault::at("tie the process to its monitor");
    match sys::die_with_parent() {
        Ok(()) if !monitor.is_hung_up() => Ok(()),
        // It died before that: no signal comes.
        Ok(()) => Err(fault(io::ErrorKind::BrokenPipe.into())),
        Err(error) => Err(fault(error)),
    }
}

fn filter(process: &Process) -> Result<(), Fault> {
    let Some(filter) = &process.seccomp else {
        return Ok(());
    };
    sys::install_filter(filter)
        .map(drop)
        .map_err(Fault::at("install the seccomp filter"))
}

fn rlimit_fault(resource: u32, soft: u64, hard: u64, error: &io::Error) -> Fault {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return Fault::setup(format!("set the limit {}", rlimit_name(resource)), error);
    }
    Fault::Setting {
        setting: "ulimit".into(),
        value: format!("{}={soft}:{hard}", rlimit_name(resource)),
        reason: "it is above the hard limit of the engine's process, which lacks CAP_SYS_RESOURCE"
            .into(),
    }
}

/// Puts the streams in place: the terminal, what was passed in, or the container's own null
/// device (the host's could be changed through the descriptor).
fn attach(
    streams: &[Stdio; 3],
    terminal: Option<OwnedFd>,
    root: BorrowedFd<'_>,
    identity: &Identity,
) -> io::Result<()> {
    let owner = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    if let Some(terminal) = terminal {
        sys::set_controlling_terminal(terminal.as_fd())?;
        // Best effort, as in runc: the group stays tty's.
        _ = nix::unistd::fchown(&terminal, Some(owner.0), None);
        for number in 0..3 {
            sys::replace_stream(terminal.as_fd(), number)?;
        }
        return Ok(());
    }
    let mut null = None;
    for (stream, number) in streams.iter().zip(0..) {
        match stream {
            Stdio::Fd(fd) => {
                // So that the user can reopen /dev/stdout; regular files are never passed in.
                if identity.uid != 0 && is_pipe(fd) {
                    _ = nix::unistd::fchown(fd, Some(owner.0), None);
                }
                sys::replace_stream(fd.as_fd(), number)?;
            }
            Stdio::Null => {
                let null = match &mut null {
                    Some(null) => null,
                    empty => {
                        mount::null_device(root)?;
                        let flags = OFlags::RDWR | OFlags::NOCTTY;
                        empty.insert(resolve::open(root, "/dev/null", flags, Links::Refuse)?)
                    }
                };
                sys::replace_stream(null.as_fd(), number)?;
            }
        }
    }
    Ok(())
}

pub(super) fn is_pipe(fd: &OwnedFd) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|s| rustix::fs::FileType::from_raw_mode(s.st_mode).is_fifo())
}

fn enter_directory(root: BorrowedFd<'_>, path: &str, cwd: Cwd) -> io::Result<()> {
    let dir = match cwd {
        Cwd::Made => resolve::ensure(root, path, Make::Directory, Links::Follow)?,
        Cwd::There => resolve::open(root, path, OFlags::PATH | OFlags::DIRECTORY, Links::Follow)?,
    };
    Ok(rustix::process::fchdir(&dir)?)
}

fn cwd_fault(path: &str, error: &io::Error) -> Fault {
    Fault::Setting {
        setting: "workdir".into(),
        value: path.to_owned(),
        reason: format!("it cannot be entered: {error}"),
    }
}

/// The working directory must have a path inside the root (CVE-2024-21626); the kernel reports
/// one outside as "(unreachable)".
fn inside(path: &str) -> Result<(), Fault> {
    let real = rustix::process::getcwd(Vec::new()).map_err(|e| cwd_fault(path, &e.into()))?;
    if real.to_bytes().starts_with(b"/") {
        return Ok(());
    }
    Err(Fault::Setting {
        setting: "workdir".into(),
        value: path.to_owned(),
        reason: "it leads out of the container".into(),
    })
}

/// Changes to the user, with exactly the capabilities of the plan (capabilities(7), "Effect of
/// user ID changes").
fn become_user(process: &Process, identity: &Identity) -> Result<(), Fault> {
    let sets = &process.capabilities;
    sys::drop_bounding(sets.bounding).map_err(Fault::at("limit the capabilities"))?;
    sys::keep_capabilities().map_err(Fault::at("keep capabilities"))?;
    let groups: Vec<_> = identity.groups.iter().map(|g| Gid::from_raw(*g)).collect();
    match nix::unistd::setgroups(&groups) {
        // A user namespace without /etc/subgid may not change groups (user_namespaces(7)): a
        // failure only for groups that the caller wants.
        Err(nix::errno::Errno::EPERM) if !wants_groups(&process.user) => {}
        result => result.map_err(Fault::at("set the supplementary groups"))?,
    }
    let gid = Gid::from_raw(identity.gid);
    nix::unistd::setresgid(gid, gid, gid).map_err(|e| id_fault("group", identity.gid, e))?;
    let uid = Uid::from_raw(identity.uid);
    nix::unistd::setresuid(uid, uid, uid).map_err(|e| id_fault("user", identity.uid, e))?;
    sys::set_capabilities(sets).map_err(Fault::at("set the capabilities"))
}

fn wants_groups(user: &User) -> bool {
    match user {
        User::Numeric { groups, .. } => !groups.is_empty(),
        User::Lookup { groups, .. } => !groups.is_empty(),
    }
}

fn id_fault(kind: &str, id: u32, error: nix::errno::Errno) -> Fault {
    if error != nix::errno::Errno::EINVAL {
        return Fault::setup(format!("become {kind} {id}"), &error.into());
    }
    Fault::Setting {
        setting: "user".into(),
        value: id.to_string(),
        reason: format!(
            "this {kind} id does not exist in the container's user namespace; add a range to \
             /etc/subuid and /etc/subgid"
        ),
    }
}
