//! One run of a container's first process: its cgroup, its streams, the process.

use std::io;
use std::os::fd::OwnedFd;

use super::files::Files;
use super::hub::Hub;
use super::job::{Failure, Job};
use crate::cgroup::{self, Cgroup, CgroupError, Hierarchy, Join};
use crate::log::LogStream;
use crate::plan::Step;
use crate::request::RestartPolicy;
use crate::runtime::{self, Fault, Launched, Stdio};
use crate::stdio::Stream;

type Group = Option<Box<dyn Cgroup>>;

/// Begins a run: the cgroup, the streams, the first process, and what is made `meanwhile`.
pub(super) fn launch<T>(
    job: &mut Job,
    files: &Files,
    hub: &mut Hub,
    fds: &mut Vec<OwnedFd>,
    meanwhile: impl FnOnce() -> Result<T, Failure>,
) -> Result<(Launched, Group, T), Failure> {
    let group = group(job)?;
    let join = match &group {
        Some(group) => group.join().map_err(|e| Failure::Cgroup(e.to_string()))?,
        None => Join::Tasks(Vec::new()),
    };
    show_own_groups(job, &join);
    let kinds = job.streams;
    let given = kinds.iter().filter(|s| **s == Stream::Fd).count();
    let mut given = match files.record().request.restart {
        // Whoever reads these waits for their end.
        RestartPolicy::No => {
            let given: Vec<_> = fds.drain(..given.min(fds.len())).collect();
            job.streams = job
                .streams
                .map(|s| if s == Stream::Fd { Stream::Null } else { s });
            given
        }
        _ => {
            let given = fds.iter().take(given).map(OwnedFd::try_clone);
            let given = given.collect::<Result<Vec<_>, _>>();
            given.map_err(|e| Fault::setup("use the standard streams", &e))?
        }
    }
    .into_iter();
    let request = &files.record().request;
    let fault = |e: io::Error| Fault::setup("connect the standard streams", &e);
    let mut stream = |number: usize, logged| -> Result<Stdio, Failure> {
        Ok(match (kinds[number], logged) {
            (Stream::Null, _) => Stdio::Null,
            (Stream::Fd, _) => given.next().map_or(Stdio::Null, Stdio::Fd),
            // All three lead to the terminal.
            (Stream::Log, _) if request.tty => Stdio::Null,
            (Stream::Log, None) => Stdio::Fd(hub.input(request.stdin_once).map_err(fault)?),
            (Stream::Log, Some(stream)) => Stdio::Fd(hub.output(stream).map_err(fault)?),
        })
    };
    let streams = [
        stream(0, None)?,
        stream(1, Some(LogStream::Stdout))?,
        stream(2, Some(LogStream::Stderr))?,
    ];
    let (mut first, made) = runtime::launch(&job.plan, &join, &streams, meanwhile)?;
    if kinds[1] == Stream::Log
        && let Some(master) = first.terminal.take()
    {
        hub.terminal(master, request.open_stdin).map_err(fault)?;
    }
    Ok((first, group, made))
}

/// The container's cgroup with its limits. Going without is fine as long as nothing depends on
/// it; a limit that cannot be applied is an error.
fn group(job: &Job) -> Result<Option<Box<dyn Cgroup>>, Failure> {
    let make = || -> Result<Box<dyn Cgroup>, CgroupError> {
        let group = match &job.hierarchy {
            Some(hierarchy) => hierarchy.create(&job.cgroup)?,
            None => cgroup::detect()?.create(&job.cgroup)?,
        };
        let mut resources = job.resources.clone();
        if job.swap_implied && !group.limits_swap() {
            // Docker's default of as much swap as memory, where swap is not accounted for.
            if let Some(memory) = resources.memory_mut() {
                memory.set_swap(None);
            }
        }
        group.apply(&resources)?;
        Ok(group)
    };
    let error = match make() {
        Ok(group) => return Ok(Some(group)),
        Err(error) if !error.is_unavailable() => return Err(Failure::Cgroup(error.to_string())),
        Err(error) => error,
    };
    match &job.record.request.limits.names()[..] {
        [] => Ok(None),
        names => Err(Failure::Cgroup(format!(
            "cannot limit {}: {error}; or leave the limit out",
            names.join(", ")
        ))),
    }
}

/// Of cgroup v1's hierarchies, a container is shown those in which it has a group of its own: in
/// the others its place is the root, and it would see everybody's.
fn show_own_groups(job: &mut Job, join: &Join) {
    if !matches!(job.hierarchy, Some(Hierarchy::V1 { .. })) {
        return;
    }
    job.plan.steps.retain_mut(|step| match step {
        Step::CgroupMount { hierarchies, .. } => {
            hierarchies.retain(|(tree, _)| join.is_in(tree));
            !hierarchies.is_empty()
        }
        _ => true,
    });
}
