//! `info`

use container_core::{Status, cgroup};
use jiff::Timestamp;

use crate::cli::NAME;
use crate::cli::program::FormatArgs;
use crate::error::Error;
use crate::machine;
use crate::print;
use crate::print::events::moment;
use crate::print::info::{Info, Plugins, text};
use crate::settings::Settings;

/// Tells about engine and machine.
pub(crate) fn run(settings: &Settings, args: FormatArgs) -> Result<u8, Error> {
    let engine = settings.engine()?;
    let machine = rustix::system::uname();
    let containers = engine.containers()?;
    let standing = |wanted: &[Status]| {
        let standing = containers
            .iter()
            .filter(|c| wanted.contains(&c.state.status));
        standing.count()
    };
    let hierarchy = cgroup::detect();
    let (version, controllers) = match &hierarchy {
        Ok(hierarchy) => (hierarchy.version().to_string(), hierarchy.controllers()),
        Err(_) => (String::new(), Vec::new()),
    };
    let has = |controller: &str| controllers.iter().any(|known| known == controller);
    let limits = [
        ("memory", "No memory limit support"),
        ("cpu", "No cpu shares and quota support"),
        ("cpuset", "No cpuset support"),
        ("pids", "No pids limit support"),
    ];
    let missing = limits.iter().filter(|(controller, _)| !has(controller));
    let rootless = engine.is_rootless();
    let mut security_options = vec!["name=seccomp,profile=builtin"];
    security_options.extend(rootless.then_some("name=rootless"));
    security_options.push("name=cgroupns");
    let info = Info {
        containers: containers.len(),
        containers_running: standing(&[Status::Running, Status::Restarting]),
        containers_paused: standing(&[Status::Paused]),
        containers_stopped: standing(&[Status::Created, Status::Exited]),
        images: engine.store().images()?.len(),
        driver: "overlayfs",
        plugins: Plugins {
            volume: vec!["local"],
            network: vec!["host", "none"],
            log: vec!["journald", "json-file", "local", "none", "syslog"],
        },
        memory_limit: has("memory"),
        cpu_cfs_period: has("cpu"),
        cpu_cfs_quota: has("cpu"),
        cpu_shares: has("cpu"),
        cpu_set: has("cpuset"),
        pids_limit: has("pids"),
        debug: settings.debug(),
        oom_kill_disable: version == "1" && has("memory"),
        system_time: moment(Timestamp::now()),
        logging_driver: "json-file",
        cgroup_driver: "cgroupfs",
        cgroup_version: version,
        kernel_version: machine.release().to_string_lossy().into_owned(),
        operating_system: machine::operating_system(),
        os_type: "linux",
        architecture: machine.machine().to_string_lossy().into_owned(),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        mem_total: machine::memory(),
        docker_root_dir: engine.root().display().to_string(),
        run_root_dir: engine.run_root().display().to_string(),
        name: machine.nodename().to_string_lossy().into_owned(),
        server_version: env!("CARGO_PKG_VERSION"),
        default_runtime: NAME,
        // There is no daemon whose end containers could not outlive.
        live_restore_enabled: true,
        security_options,
        rootless,
        warnings: missing.map(|(_, warning)| (*warning).to_owned()).collect(),
    };
    let shown = match args.format.as_deref() {
        None | Some("") => text(&info),
        Some(format) => super::formatted(format, &info)?,
    };
    print::out(&shown).map(|()| 0)
}
