//! The story of `run`, one type per arrow. The monitor tells the rest of it
//! (`monitor::supervise`).

use std::os::fd::AsFd;
use std::path::Path;

use crate::cgroup::CgroupPath;
use crate::container::Container;
use crate::engine::{Base, Engine};
use crate::error::{Error, Result};
use crate::host;
use crate::machine;
use crate::monitor::client;
use crate::monitor::job::{Entry, EntryKind, Job};
use crate::name;
use crate::plan::{self, User};
use crate::request::{MountSource, Request, UserNamespace};
use crate::spec::{self, EtcFiles, HostFacts, Input, Rootfs};
use crate::state::{self, Record};
use crate::stdio::{self, Streams};

/// Starts a container of a request on an image.
pub(crate) async fn start(
    engine: &Engine,
    base: &Base,
    mut request: Request,
    streams: Streams,
) -> Result<Container> {
    if request.userns != UserNamespace::Host {
        return Err(Error::Setting {
            setting: "userns",
            value: format!("{:?}", request.userns),
            reason: "a user namespace of the container's own takes layers with mapped owners, \
                     which are not there yet; as an ordinary user all containers are in one"
                .into(),
        });
    }
    let monitor = client::spawn(engine.launcher())?;
    let id = name::new_id()?;
    let name = name::choose(request.name.take())?;
    let dir = engine.container_dir(&id);

    // image ─snapshot→ Rootfs: directories to stack, nothing mounted
    let (rootfs, entries, lease) = rootfs(engine, base, &dir)?;

    // ─spec::compile→ Spec, ─plan::lower→ Plan: pure; what they must know is looked up here
    make_sources(&request)?;
    let devices = machine::devices(&request)?;
    let block_devices = machine::block_devices(&request.limits)?;
    let facts = machine::facts(engine)?;
    let run = engine.run_dir(&id);
    let etc = EtcFiles {
        hosts: run.join("hosts"),
        hostname: run.join("hostname"),
        resolv_conf: run.join("resolv.conf"),
    };
    let config = match base {
        Base::Host => None,
        Base::Image(image) => image.config.config().as_ref(),
    };
    inherit_labels(&mut request, config);
    let compiled = spec::compile(&Input {
        id: &id,
        request: &request,
        config,
        rootfs: &rootfs,
        etc: &etc,
        host: &facts.host,
        devices: &devices,
        block_devices: &block_devices,
    })?;
    let spec = compiled.spec;
    let mut plan = plan::lower(&spec, &facts.plan)?;
    plan.process.init = request.init;
    if let User::Lookup { groups, .. } = &mut plan.process.user {
        groups.clone_from(&request.group_add);
    }

    // ─monitor→ a running container
    let linux = spec.linux().clone().unwrap_or_default();
    let cgroup = CgroupPath::new(linux.cgroups_path().clone().unwrap_or_default())?;
    let stop_signal = stop_signal(&request, config)?;
    let mut prepared = stdio::prepare(streams)?;
    let job = Job {
        root: engine.root().to_owned(),
        run: engine.run_root().to_owned(),
        entries,
        etc: etc_files(&request, &id, &facts.host)?.into(),
        cgroup: cgroup.clone(),
        resources: linux.resources().clone().unwrap_or_default(),
        hierarchy: facts.hierarchy,
        swap_implied: request.limits.memory_swap.is_none(),
        streams: prepared.streams,
        stop_signal,
        stop_timeout: request.stop_timeout.unwrap_or(10),
        record: Record {
            id: id.clone(),
            name: name.clone(),
            created: state::now(),
            image: match base {
                Base::Host => None,
                Base::Image(image) => Some(image.id.clone()),
            },
            cgroup: cgroup.into(),
            args: plan.process.args.clone(),
            request,
        },
        plan,
    };
    let mut fds: Vec<_> = prepared.passed.iter().map(AsFd::as_fd).collect();
    fds.extend(lease.iter().map(AsFd::as_fd));
    let (mut link, pid, terminal) = client::launch(monitor, &job, &fds).await?;
    prepared.passed.clear();
    link.set_pumps(prepared.start_pumps()?);
    Ok(Container {
        id,
        name,
        pid,
        warnings: compiled.warnings,
        engine: engine.clone(),
        link,
        stdin: prepared.stdin,
        stdout: prepared.stdout,
        stderr: prepared.stderr,
        terminal,
    })
}

type Snapshot = (Rootfs, Vec<Entry>, Option<container_image::store::Lease>);

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
    let lower = engine.store().rootfs(image)?;
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

/// `docker run -v` makes a source directory that is missing.
fn make_sources(request: &Request) -> Result<()> {
    for mount in &request.mounts {
        if let MountSource::Bind {
            path, create: true, ..
        } = &mount.source
            && !path.exists()
        {
            std::fs::create_dir_all(path).map_err(Error::io("make the directory", path))?;
        }
    }
    Ok(())
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
        value: name,
        reason: "no such signal (see signal(7))".into(),
    })
}
