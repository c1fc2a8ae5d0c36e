//! Starting a container's first process from the monitor.

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::{Fault, child, outside, process, steps, sys, userns};
use crate::cgroup::Join;
use crate::plan::{
    CLONE_NEWCGROUP, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, IdMaps, Namespace,
    Plan, Process, Source, Step,
};
use crate::wire::Channel;

/// One standard stream of a process to be started.
#[derive(Debug)]
pub(crate) enum Stdio {
    /// The container's own null device.
    Null,
    /// This descriptor.
    Fd(OwnedFd),
}

/// A started process.
#[derive(Debug)]
pub(crate) struct Launched {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
    /// The master of its terminal.
    pub(crate) terminal: Option<OwnedFd>,
}

/// What the new process tells before exec.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) enum News {
    Fault(Fault),
    Terminal,
    Ready,
    /// To the new process: what is to be mounted here comes beside.
    Tree(String),
}

/// The monitor, as the new process sees it.
pub(super) struct Monitor<'a>(&'a Channel);

impl Monitor<'_> {
    /// Waits until it is done; returns the network namespace that it may have made.
    pub(super) fn wait(&self) -> io::Result<Option<OwnedFd>> {
        match self.0.receive::<News>()? {
            Some((_, mut fds)) => Ok(fds.pop()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Gives it the master of the container's terminal.
    pub(super) fn hand_over(&self, master: &OwnedFd) -> io::Result<()> {
        self.0.send(&News::Terminal, &[master.as_fd()])
    }
}

/// Clones, carries the plan out in the new process, and returns when the program runs. What
/// `meanwhile` makes is there for the first bind mount.
pub(crate) fn launch<T, E: From<Fault>>(
    plan: &Plan,
    join: &Join,
    streams: &[Stdio; 3],
    meanwhile: impl FnOnce() -> Result<T, E>,
) -> Result<(Launched, T), E> {
    let new: u64 = plan
        .namespaces
        .iter()
        .filter(|n| n.join.is_none())
        .map(|n| n.flag)
        .sum();
    // The cgroup namespace is made once the process is in its cgroup: see Step::UnshareCgroup.
    let mut flags = new & !CLONE_NEWCGROUP;
    let home = way_back(flags);
    if home.is_some() {
        flags &= !CLONE_NEWNET;
    }
    let cgroup = match join {
        Join::Clone(fd) => Some(fd.as_fd()),
        _ => None,
    };
    let joined = JoinedPid::enter(&plan.namespaces)?;
    let (pid, pidfd, ours) = child::connected(flags, cgroup, |theirs| {
        let fault = match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            first_process(plan, join, streams, theirs)
        })) {
            Ok(Err(fault)) => fault,
            Err(_) => Fault::Setup {
                step: "set up".into(),
                reason: "panicked".into(),
            },
            Ok(Ok(never)) => match never {},
        };
        _ = theirs.send(&News::Fault(fault), &[]);
        1
    })
    .map_err(|e| namespace_fault("clone the first process", flags, &e))?;
    drop(joined);
    let finish = || -> Result<_, E> {
        let fault = Fault::at("write the maps of the user namespace");
        let maps = plan.id_maps.as_ref();
        maps.map_or(Ok(()), |maps| userns::write_maps(pid, maps))
            .map_err(fault)?;
        let made = meanwhile()?;
        if let Some(maps) = maps {
            give_streams(streams, maps);
            // The process waits for all this before it does anything.
            outside::furnish(plan, maps, &ours)?;
            _ = ours.send(&News::Ready, &[]);
        }
        let network = home.map(make_network).transpose()?;
        // A process that has failed meanwhile says why.
        let fds: Vec<_> = network.iter().map(AsFd::as_fd).collect();
        _ = ours.send(&News::Ready, &fds);
        Ok((follow(&ours)?, made))
    };
    match finish() {
        Ok((terminal, made)) => Ok((
            Launched {
                pid,
                pidfd,
                terminal,
            },
            made,
        )),
        Err(error) => {
            // It may be waiting for what does not come.
            _ = rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::KILL);
            _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None);
            Err(error)
        }
    }
}

/// Gives pipes to the root of a user namespace, so that it can open `/dev/stdout` again and hand
/// it to another user. Whether that works is no matter to who just writes.
pub(crate) fn give_streams(streams: &[Stdio; 3], maps: &IdMaps) {
    let Some((uid, gid)) = maps.outside((0, 0)) else {
        return;
    };
    for stream in streams {
        if let Stdio::Fd(fd) = stream
            && process::is_pipe(fd)
        {
            let (uid, gid) = (uid.into(), gid.into());
            _ = nix::unistd::fchown(fd, Some(uid), Some(gid));
        }
    }
}

/// A network namespace takes longer to make than all others together (0.6 ms on 6.18), so this
/// process makes it while the new one mounts. Its own namespace, to come back to; none where
/// there is no coming back (from inside a user namespace, setns(2)) or none is to be made.
fn way_back(flags: u64) -> Option<OwnedFd> {
    if flags & CLONE_NEWNET == 0 || flags & CLONE_NEWUSER != 0 {
        return None;
    }
    let home = own_network().ok()?;
    let kind = nix::sched::CloneFlags::CLONE_NEWNET;
    nix::sched::setns(&home, kind).ok()?;
    Some(home)
}

fn own_network() -> io::Result<OwnedFd> {
    Ok(std::fs::File::open("/proc/self/ns/net")?.into())
}

/// Makes a network namespace and comes back from it.
fn make_network(home: OwnedFd) -> Result<OwnedFd, Fault> {
    let kind = nix::sched::CloneFlags::CLONE_NEWNET;
    nix::sched::unshare(kind)
        .map_err(|e| namespace_fault("make the network namespace", CLONE_NEWNET, &e.into()))?;
    let made = own_network();
    nix::sched::setns(home, kind).map_err(Fault::at("come back from the network namespace"))?;
    made.map_err(Fault::at("open the network namespace"))
}

/// Fills the new volumes of a container that is made and not started, as Docker does.
pub(crate) fn populate(plan: &Plan) -> Result<(), Fault> {
    let fills = |step: &Step| matches!(step, Step::Prepare(m) if m.copy_up.is_some());
    let Some(last) = plan.steps.iter().rposition(fills) else {
        return Ok(());
    };
    let needed = |step: &&Step| match step {
        Step::Propagation(_) | Step::Root(_) => true,
        Step::Mount(mount) => matches!(mount.source, Source::Overlay(_)),
        step => fills(step),
    };
    let steps = plan.steps[..=last].iter().filter(needed);
    let steps: Vec<Step> = steps.cloned().map(lasting).collect();
    let (pid, _, ours) = child::connected(CLONE_NEWNS, None, |theirs| {
        let filled = process::tie(theirs)
            .and_then(|()| steps::run(&steps, &plan.process.user, &Monitor(theirs), Vec::new()));
        match filled {
            Ok(_) => 0,
            Err(fault) => {
                _ = theirs.send(&News::Fault(fault), &[]);
                1
            }
        }
    })
    .map_err(|e| namespace_fault("clone a process", CLONE_NEWNS, &e))?;
    let filled = follow(&ours).map(drop);
    _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None);
    filled
}

/// What a volatile overlay leaves cannot be mounted again; here it is to be, by the start.
fn lasting(mut step: Step) -> Step {
    let overlay = match &mut step {
        Step::Root(root) => root.overlay.as_mut(),
        Step::Mount(mount) | Step::Prepare(mount) => match &mut mount.source {
            Source::Overlay(overlay) => Some(overlay),
            _ => None,
        },
        _ => None,
    };
    if let Some(overlay) = overlay {
        overlay.options.retain(|option| option != "volatile");
    }
    step
}

/// Reads what the new process has to say until exec closes its end.
fn follow(channel: &Channel) -> Result<Option<OwnedFd>, Fault> {
    let mut terminal = None;
    loop {
        match channel.receive::<News>() {
            Ok(Some((News::Fault(fault), _))) => return Err(fault),
            Ok(Some((News::Terminal, mut fds))) => terminal = fds.pop(),
            Ok(Some((News::Ready | News::Tree(_), _))) => {}
            Ok(None) => return Ok(terminal),
            Err(e) => return Err(Fault::setup("hear from the new process", &e)),
        }
    }
}

fn namespace_fault(step: &str, flags: u64, error: &io::Error) -> Fault {
    let advice = match error.raw_os_error() {
        Some(libc::EPERM) if flags & CLONE_NEWUSER != 0 => {
            " (user namespaces are forbidden here: see sysctl kernel.unprivileged_userns_clone \
             and kernel.apparmor_restrict_unprivileged_userns)"
        }
        Some(libc::EPERM) => " (CAP_SYS_ADMIN is needed to make namespaces)",
        Some(libc::ENOSPC) => " (the limit of namespaces is reached: see /proc/sys/user)",
        Some(libc::EAGAIN) => " (the limit of processes is reached)",
        _ => "",
    };
    Fault::Setup {
        step: step.into(),
        reason: format!("{error}{advice}"),
    }
}

fn first_process(
    plan: &Plan,
    join: &Join,
    streams: &[Stdio; 3],
    channel: &Channel,
) -> Result<Infallible, Fault> {
    let mut given = Vec::new();
    if plan.id_maps.is_some() {
        given = receive_mounts(channel)?;
        userns::become_root().map_err(Fault::at("become root of the user namespace"))?;
    }
    // Without its monitor it would wait for ever, or run on as nobody's. Becoming the user clears
    // this; it is set again then.
    process::tie(channel)?;
    join_namespaces(&plan.namespaces)?;
    prepare(&plan.process, join)?;
    let state = steps::run(&plan.steps, &plan.process.user, &Monitor(channel), given)?;
    let root = rustix::fs::open(
        "/",
        rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )
    .map_err(Fault::at("open the root directory"))?;
    process::become_program(
        &plan.process,
        root.as_fd(),
        streams,
        state.terminal,
        process::Cwd::Made,
        channel,
    )
}

/// What is mounted from outside, and with its end the word that the id maps are there.
fn receive_mounts(channel: &Channel) -> Result<Vec<(String, OwnedFd)>, Fault> {
    let step = "wait for the id maps";
    let mut given = Vec::new();
    loop {
        match channel.receive::<News>().map_err(Fault::at(step))? {
            Some((News::Tree(target), mut fds)) => {
                given.extend(fds.pop().map(|tree| (target, tree)));
            }
            Some((News::Ready, _)) => return Ok(given),
            _ => {
                return Err(Fault::Setup {
                    step: step.into(),
                    reason: "none came".into(),
                });
            }
        }
    }
}

/// Joins namespaces that exist already.
fn join_namespaces(namespaces: &[Namespace]) -> Result<(), Fault> {
    for (flag, path) in namespaces
        .iter()
        .filter_map(|n| Some((n.flag, n.join.as_ref()?)))
        // Its parent has joined that.
        .filter(|(flag, _)| *flag != CLONE_NEWPID)
    {
        if flag & CLONE_NEWUSER != 0 {
            return Err(Fault::Setup {
                step: format!("join the namespace {path}"),
                reason: "user namespaces can be made, but not joined yet".into(),
            });
        }
        join_namespace(flag, path)?;
    }
    Ok(())
}

fn join_namespace(flag: u64, path: &str) -> Result<(), Fault> {
    let fault = |reason: String| Fault::Setup {
        step: format!("join the namespace {path}"),
        reason,
    };
    let file = std::fs::File::open(path).map_err(|e| fault(e.to_string()))?;
    let flag = i32::try_from(flag).map_err(|e| fault(e.to_string()))?;
    let flag = nix::sched::CloneFlags::from_bits_truncate(flag);
    nix::sched::setns(file, flag).map_err(|e| fault(e.to_string()))
}

/// A process never changes its PID namespace, but that of its children (setns(2)): as long as
/// this lives, they are born in another one.
struct JoinedPid(Option<std::fs::File>);

impl JoinedPid {
    fn enter(namespaces: &[Namespace]) -> Result<Self, Fault> {
        let pid = namespaces.iter().find(|n| n.flag == CLONE_NEWPID);
        let Some(path) = pid.and_then(|n| n.join.as_ref()) else {
            return Ok(Self(None));
        };
        let own = std::fs::File::open("/proc/self/ns/pid");
        let own = own.map_err(Fault::at("open this process's PID namespace"))?;
        join_namespace(CLONE_NEWPID, path)?;
        Ok(Self(Some(own)))
    }
}

impl Drop for JoinedPid {
    fn drop(&mut self) {
        if let Some(own) = &self.0 {
            // Joining one's own is always allowed.
            _ = nix::sched::setns(own, nix::sched::CloneFlags::CLONE_NEWPID);
        }
    }
}

/// What a new process does first of all, whether it starts a container or joins one.
pub(super) fn prepare(process: &Process, join: &Join) -> Result<(), Fault> {
    nix::unistd::setsid().map_err(Fault::at("start a session"))?;
    if let Join::Tasks(trees) = join {
        for tree in trees {
            rustix::io::write(&tree.file, b"0").map_err(Fault::at("join the cgroup"))?;
        }
    }
    if let Some(adjust) = process.oom_score_adj {
        std::fs::write("/proc/self/oom_score_adj", adjust.to_string()).map_err(|e| {
            Fault::Setting {
                setting: "oom_score_adj".into(),
                value: adjust.to_string(),
                reason: format!("it cannot be set: {e} (lowering it needs CAP_SYS_RESOURCE)"),
            }
        })?;
    }
    sys::forbid_dumps().map_err(Fault::at("forbid dumps"))
}
