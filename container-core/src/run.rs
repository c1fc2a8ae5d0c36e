//! The story of `run`, one type per arrow. The monitor tells the rest of it
//! (`monitor::supervise`).

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use container_image::store::Lease;

use crate::attach::{Attach, Attached, Pending};
use crate::cgroup::CgroupPath;
use crate::container::Container;
use crate::engine::{Base, Engine};
use crate::error::{Error, Result};
use crate::health;
use crate::host;
use crate::log;
use crate::machine;
use crate::monitor::client;
use crate::monitor::job::{Act, Entry, EntryKind, Job};
use crate::mountpoints;
use crate::mounts::{self, Mounted};
use crate::name;
use crate::plan::{self, IdMaps, Plan, User};
use crate::request::{IpcMode, Limits, NamespaceMode, Request, RestartPolicy, UserNamespace};
use crate::spec::{self, Company, EtcFiles, HostFacts, Input, Rootfs};
use crate::state::{self, Change, Inspect, Record, Status};
use crate::stdio::{self, Prepared, Stdio, Streams, Wanted};

/// Starts a new container of a request on an image.
pub(crate) async fn start(
    engine: &Engine,
    base: &Base,
    act: Act,
    request: Request,
    streams: Wanted,
    attach: Option<Attach>,
) -> Result<Container> {
    check(engine, &request)?;
    let mut ends = Ends::new(&request, streams, attach)?;
    let company = machine::company(engine, &request)?;
    let monitor = engine.monitor(company)?;
    let record = record(engine, base, request)?;
    launch(engine, base, (monitor, company), act, record, &mut ends).await
}

/// Makes a container without starting it.
pub(crate) async fn create(engine: &Engine, base: &Base, request: Request) -> Result<Container> {
    check(engine, &request)?;
    // With whom it shares namespaces is asked at its start.
    let company = Company::default();
    let monitor = engine.monitor(company)?;
    let record = record(engine, base, request)?;
    let (job, held, warnings) = job(engine, base, company, Act::Create, record)?;
    let leases = held.leases.iter().map(AsFd::as_fd);
    let fds: Vec<_> = leases.chain(held.locks.iter().map(AsFd::as_fd)).collect();
    client::make(monitor, &job, &fds).await?;
    let inspect = state::inspect(engine, &job.record.id)?;
    Ok(Container {
        warnings,
        ..Container::of(engine, &inspect)
    })
}

/// Starts a container that was made, or has ended, and attaches. One that runs is left alone.
pub(crate) async fn start_again(
    engine: &Engine,
    id: &str,
    attach: Option<Attach>,
) -> Result<Option<Attached>> {
    let mut attach = attach;
    let mut ends = None;
    loop {
        let Inspect { record, state } = state::inspect(engine, id)?;
        match state.status {
            Status::Running | Status::Restarting => {
                return match attach.take() {
                    Some(attach) => client::attach(engine, id, attach).await.map(Some),
                    None => Ok(None),
                };
            }
            Status::Paused => {
                return Err(Error::Paused {
                    id: id.to_owned(),
                    action: "starting it".into(),
                });
            }
            Status::Exited if record.request.auto_remove => {
                // Left by a monitor that was killed: it was to go with its end.
                let claim = state::claim_soon(engine, id).await?;
                state::remove(engine, id, true, &claim)?;
                let name = id.to_owned();
                return Err(Error::NoSuchContainer { name });
            }
            Status::Created | Status::Exited => {}
        }
        let base = base(engine, &record)?;
        let company = machine::company(engine, &record.request)?;
        let monitor = engine.monitor(company)?;
        let ends = match &mut ends {
            Some(ends) => ends,
            none => none.insert(Ends::new(
                &record.request,
                Wanted::default(),
                attach.take(),
            )?),
        };
        let monitor = (monitor, company);
        match launch(engine, &base, monitor, Act::Start, record, ends).await {
            Ok(mut container) => {
                container.detach().await?;
                return Ok(container.attached);
            }
            // Somebody holds it: its last monitor, which is about to go, or the next one.
            Err(Error::Busy { .. }) => match state::claim_soon(engine, id).await {
                Ok(claim) => drop(claim),
                Err(e @ Error::Busy { .. }) => {
                    if !state::inspect(engine, id)?.state.status.is_live() {
                        return Err(e);
                    }
                }
                Err(e) => return Err(e),
            },
            Err(e) => return Err(e),
        }
    }
}

/// What would be done to start a container again, and what must not go as long as that is used.
pub(crate) fn plan(engine: &Engine, record: Record) -> Result<(Plan, Vec<OwnedFd>)> {
    let base = base(engine, &record)?;
    let (job, held, _) = job(engine, &base, Company::default(), Act::Start, record)?;
    let leases = held.leases.into_iter().map(OwnedFd::from);
    let locks = held.locks.into_iter().map(OwnedFd::from);
    Ok((job.plan, leases.chain(locks).collect()))
}

/// The directories that a container's root file system is made of, and what was made in them.
pub(crate) fn snapshot(engine: &Engine, record: &Record) -> Result<Snapshot> {
    let base = base(engine, record)?;
    rootfs(engine, &base, &engine.container_dir(&record.id))
}

/// The directories that a container writes to.
pub(crate) fn private_dirs(engine: &Engine, record: &Record) -> Vec<PathBuf> {
    let dir = engine.container_dir(&record.id);
    match &record.image {
        Some(_) => vec![dir.join("rw/upper")],
        None => host::private_dirs(&dir),
    }
}

/// What `update` changes, checked: the limits merged with those there are.
pub(crate) async fn update(
    engine: &Engine,
    mut record: Record,
    limits: Option<Limits>,
    restart: Option<RestartPolicy>,
) -> Result<Change> {
    if record.request.auto_remove && restart.is_some_and(|r| r != RestartPolicy::No) {
        return Err(auto_remove_and_restart());
    }
    let Some(limits) = limits else {
        return Ok(Change::Update {
            limits: None,
            restart,
        });
    };
    let merged = record.request.limits.clone().with(limits);
    record.request.limits = merged.clone();
    let base = base(engine, &record)?;
    let (job, ..) = job(engine, &base, Company::default(), Act::Start, record)?;
    let mut resources = job.resources;
    // The devices stay as they are.
    resources.set_devices(None);
    Ok(Change::Update {
        limits: Some(Box::new((merged, resources))),
        restart,
    })
}

fn auto_remove_and_restart() -> Error {
    Error::Setting {
        setting: "restart",
        value: "a policy".into(),
        reason: "a container that is removed at its end (auto_remove, --rm) cannot be restarted"
            .into(),
    }
}

/// What no later stage would notice.
fn check(engine: &Engine, request: &Request) -> Result<()> {
    if request.auto_remove && request.restart != RestartPolicy::No {
        return Err(auto_remove_and_restart());
    }
    if request.userns != UserNamespace::Host && engine.is_rootless() {
        return Err(Error::Setting {
            setting: "userns",
            value: if is_auto(request) { "auto" } else { "mapped" }.into(),
            reason: "as an ordinary user all containers are in one user namespace, where root is \
                     you; a further one takes id-mapped mounts of the layers, which only the \
                     machine's root may make (mount_setattr(2))"
                .into(),
        });
    }
    Ok(())
}

/// The image that a container was made of.
fn base(engine: &Engine, record: &Record) -> Result<Base> {
    Ok(match &record.image {
        None => Base::Host,
        Some(id) => Base::Image(Box::new(engine.store().find(id.as_ref())?)),
    })
}

fn config(base: &Base) -> Option<&oci_spec::image::Config> {
    match base {
        Base::Host => None,
        Base::Image(image) => image.config.config().as_ref(),
    }
}

/// A new container's record. Its arguments and its cgroup are filled in when they are known.
fn record(engine: &Engine, base: &Base, mut request: Request) -> Result<Record> {
    let id = name::new_id()?;
    let name = name::choose(request.name.take())?;
    inherit_labels(&mut request, config(base));
    // Whose namespaces they are stays true when that container gets another name.
    if let NamespaceMode::Container(other) = &mut request.pid {
        *other = state::find(engine, other)?;
    }
    if let IpcMode::Container(other) = &mut request.ipc {
        *other = state::find(engine, other)?;
    }
    let mounts = mounts::points(engine, &request, config(base))?;
    Ok(Record {
        id,
        name,
        created: state::now(),
        image: match base {
            Base::Host => None,
            Base::Image(image) => Some(image.id.clone()),
        },
        cgroup: PathBuf::new(),
        args: Vec::new(),
        request,
        mounts,
        id_maps: None,
    })
}

fn is_auto(request: &Request) -> bool {
    matches!(request.userns, UserNamespace::Auto { .. })
}

/// The maps of a container's own user namespace, if it is to have one; when it has no range yet,
/// those of any, and where the monitor finds one.
fn id_maps(record: &Record) -> Result<(Option<IdMaps>, Option<state::Pool>)> {
    if record.id_maps.is_some() {
        return Ok((record.id_maps.clone(), None));
    }
    match &record.request.userns {
        UserNamespace::Host => Ok((None, None)),
        UserNamespace::Mapped { uids, gids } => {
            let (uids, gids) = (uids.clone(), gids.clone());
            Ok((Some(IdMaps { uids, gids }), None))
        }
        UserNamespace::Auto { size } => {
            let pool = machine::id_ranges(*size)?;
            let any = pool.any().ok_or_else(|| Error::Setting {
                setting: "userns",
                value: "auto".into(),
                reason: "/etc/subuid and /etc/subgid name ranges for `containers` (or root), but \
                         none is long enough: give them 65536 ids or more, or none"
                    .into(),
            })?;
            Ok((Some(any), Some(pool)))
        }
    }
}

/// What keeps things that a container needs from being removed.
#[derive(Debug)]
struct Held {
    /// Images, as long as it lives.
    leases: Vec<Lease>,
    /// Volumes, until its record names them.
    locks: Vec<File>,
}

/// request ─snapshot→ Rootfs ─spec::compile→ Spec ─plan::lower→ Plan: a monitor's job, and what
/// goes with it. Pure but for what is looked up here and the directories of `-v`.
fn job(
    engine: &Engine,
    base: &Base,
    company: Company,
    act: Act,
    mut record: Record,
) -> Result<(Job, Held, Vec<String>)> {
    let id = record.id.clone();
    let (rootfs, entries, lease) = rootfs(engine, base, &engine.container_dir(&id))?;
    let request = &record.request;
    let mut mounted = Mounted::look_up(engine, act, &record)?;
    let devices = machine::devices(request)?;
    let block_devices = machine::block_devices(&request.limits)?;
    let mut facts = machine::facts(engine)?;
    let (id_maps, ranges) = id_maps(&record)?;
    if id_maps.is_some() {
        // Inside a user namespace all are there to be given.
        facts.host.capabilities = u64::MAX;
    }
    let run = engine.run_dir(&id);
    let etc = EtcFiles {
        hosts: run.join("hosts"),
        hostname: run.join("hostname"),
        resolv_conf: run.join("resolv.conf"),
    };
    let config = config(base);
    let compiled = spec::compile(&Input {
        id: &id,
        request,
        config,
        mounts: &record.mounts,
        sources: &mounted.facts,
        rootfs: &rootfs,
        etc: &etc,
        host: &facts.host,
        id_maps: id_maps.as_ref(),
        company,
        devices: &devices,
        block_devices: &block_devices,
    })?;
    let spec = compiled.spec;
    let mut plan = plan::lower(&spec, &facts.plan)?;
    plan.process.init = request.init;
    if let User::Lookup { groups, .. } = &mut plan.process.user {
        groups.clone_from(&request.group_add);
    }
    let linux = spec.linux().clone().unwrap_or_default();
    let cgroup = CgroupPath::new(linux.cgroups_path().clone().unwrap_or_default())?;
    let additions = match base {
        Base::Host => None,
        Base::Image(image) => Some(&image.additions),
    };
    let check = health::check(
        request.healthcheck.as_ref(),
        additions.and_then(|a| a.healthcheck.as_ref()),
        additions.map_or(&[], |a| &a.shell),
    );
    let log = log_settings(&record, &plan.process, &facts.host)?;
    let job = Job {
        act,
        log,
        root: engine.root().to_owned(),
        run: engine.run_root().to_owned(),
        entries,
        etc: etc_files(request, &id, &facts.host)?.into(),
        resources: linux.resources().clone().unwrap_or_default(),
        hierarchy: facts.hierarchy,
        swap_implied: request.limits.memory_swap.is_none(),
        streams: Default::default(),
        attach: None,
        stop_signal: stop_signal(request, config)?,
        stop_timeout: request.stop_timeout.unwrap_or(10),
        check,
        capabilities: facts.host.capabilities,
        volumes: std::mem::take(&mut mounted.volumes),
        volume_locks: mounted.locks.len(),
        ranges,
        record: {
            if act != Act::Start {
                record.cgroup = cgroup.clone().into();
                // That of a range is known when the monitor has one.
                record.id_maps = id_maps.filter(|_| !is_auto(&record.request));
            }
            record.args.clone_from(&plan.process.args);
            record
        },
        cgroup,
        plan,
    };
    let held = Held {
        leases: lease.into_iter().chain(mounted.leases).collect(),
        locks: mounted.locks,
    };
    Ok((job, held, compiled.warnings))
}

/// How what the container writes is logged.
fn log_settings(
    record: &Record,
    process: &plan::Process,
    host: &HostFacts,
) -> Result<log::Settings> {
    let image = record.image.as_ref().map(ToString::to_string);
    let subject = log::Subject {
        id: &record.id,
        name: &record.name,
        image: &record.request.image,
        image_id: image.as_deref().unwrap_or_default(),
        args: &process.args,
        labels: &record.request.labels,
        env: &process.env,
        hostname: &host.hostname,
    };
    Ok(log::Settings::new(&record.request.log, &subject)?)
}

/// ─monitor→ a running container
async fn launch(
    engine: &Engine,
    base: &Base,
    (monitor, company): (client::Idle, Company),
    act: Act,
    record: Record,
    ends: &mut Ends,
) -> Result<Container> {
    let (mut job, held, warnings) = job(engine, base, company, act, record)?;
    let Ends { prepared, pending } = ends;
    job.streams = prepared.streams;
    job.attach = pending.as_ref().map(|pending| pending.attach);
    let mut fds: Vec<_> = prepared.passed.iter().map(AsFd::as_fd).collect();
    fds.extend(held.leases.iter().map(AsFd::as_fd));
    fds.extend(pending.iter().flat_map(Pending::descriptors));
    fds.extend(held.locks.iter().map(AsFd::as_fd));
    let (mut link, pid, terminal) = client::launch(monitor, &job, &fds).await?;
    prepared.passed.clear();
    link.set_pumps(prepared.start_pumps()?);
    let pending = pending.take();
    let attached = pending.map(|pending| pending.begin(&job.record.id));
    Ok(Container {
        id: job.record.id,
        name: job.record.name,
        pid,
        warnings,
        engine: engine.clone(),
        link: Some(link),
        pumps: None,
        streams: Streams {
            terminal,
            ..std::mem::take(&mut prepared.ours)
        },
        attached: attached.transpose()?,
    })
}

/// This side of a container's streams.
struct Ends {
    prepared: Prepared,
    /// Who is attached from the beginning.
    pending: Option<Pending>,
}

impl Ends {
    fn new(request: &Request, streams: Wanted, attach: Option<Attach>) -> Result<Self> {
        let stdin = if request.open_stdin {
            Stdio::Log
        } else {
            Stdio::Null
        };
        let mut streams = streams.or(stdin, Stdio::Log);
        if request.tty && !matches!(streams.stdout, Some(Stdio::Log)) {
            // Then its terminal is handed out, and is all there is.
            streams = Wanted::default();
        }
        Ok(Self {
            prepared: stdio::prepare(streams)?,
            pending: attach.map(Pending::new).transpose()?,
        })
    }
}

/// The kernel's limit of lower directories (fs/overlayfs/params.h).
const MAX_LAYERS: usize = 500;

pub(crate) type Snapshot = (Rootfs, Vec<Entry>, Option<Lease>);

fn rootfs(engine: &Engine, base: &Base, dir: &Path) -> Result<Snapshot> {
    let directory = |path: &str, mode| Entry {
        path: path.to_owned(),
        kind: EntryKind::Directory(mode),
    };
    let mut entries = vec![directory("rw", 0o700)];
    let image = match base {
        Base::Host => {
            let (rootfs, more) = host::rootfs(dir)?;
            entries.extend(more);
            return Ok((rootfs, entries, None));
        }
        Base::Image(image) => image,
    };
    // The lease first: what it covers cannot go away any more.
    let lease = engine.store().lease(image)?;
    let mut lower = engine.store().rootfs(image)?;
    if lower.len() < MAX_LAYERS {
        lower.push(mountpoints::directory(engine.root())?);
    }
    entries.extend([directory("rw/upper", 0o755), directory("rw/work", 0o700)]);
    let rootfs = Rootfs::Layers {
        target: dir.join("rw"),
        lower,
        upper: dir.join("rw/upper"),
        work: dir.join("rw/work"),
    };
    Ok((rootfs, entries, Some(lease)))
}

fn etc_files(request: &Request, id: &str, host: &HostFacts) -> Result<[Entry; 3]> {
    let file = |path: &str, content| Entry {
        path: path.to_owned(),
        kind: EntryKind::File(content),
    };
    let etc = machine::EtcOfHost::read(request);
    let hostname = spec::hostname(request, id, host);
    Ok([
        file("hosts", etc.hosts(request)?),
        file("hostname", format!("{hostname}\n")),
        file("resolv.conf", etc.resolv_conf(request)),
    ])
}

/// The image's labels are the container's, unless the caller has given one another value.
fn inherit_labels(request: &mut Request, config: Option<&oci_spec::image::Config>) {
    let labels = config
        .and_then(|c| c.labels().as_ref())
        .into_iter()
        .flatten();
    for (name, value) in labels {
        let label = request.labels.entry(name.clone());
        label.or_insert_with(|| value.clone());
    }
}

fn stop_signal(request: &Request, config: Option<&oci_spec::image::Config>) -> Result<i32> {
    let from_image = config.and_then(|c| c.stop_signal().clone());
    let name = request
        .stop_signal
        .clone()
        .or(from_image)
        .filter(|s| !s.is_empty());
    let Some(name) = name else { return Ok(15) };
    spec::signal_number(&name).ok_or_else(|| Error::Setting {
        setting: "stop_signal",
        reason: format!("Invalid signal: {name}"),
        value: name,
    })
}
