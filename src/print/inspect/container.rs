//! `container inspect`: a container as Docker's API shows it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use container_core::image::store::Image;
use container_core::{Inspect, State, Status};
use serde::Serialize;

use super::config::Config;
use super::health::Verdict;
use super::host_config::HostConfig;
use super::image::{DRIVER, GraphDriver};
use super::mounts::MountShown;
use super::network::NetworkSettings;
use crate::print::template::{self, NilList, Omit, TemplateError, Value};

/// Go's zero time: what has not happened.
pub(crate) const NEVER: &str = "0001-01-01T00:00:00Z";

/// What the container does not say itself.
pub(crate) struct Facts<'a> {
    /// Its image; none for `host`, or when it is gone.
    pub(crate) image: Option<&'a Image>,
    /// The directories of the image's layers, uppermost first.
    pub(crate) lower: Vec<PathBuf>,
    /// Its directories, in the store and for what lives until the next boot.
    pub(crate) directory: PathBuf,
    pub(crate) run_directory: PathBuf,
    /// Where volumes lie.
    pub(crate) volumes: PathBuf,
    /// The machine's host name.
    pub(crate) machine: String,
    /// With `--size`: of its changes, and of all.
    pub(crate) sizes: Option<(u64, u64)>,
}

/// Docker's `types.ContainerJSON`.
#[derive(Debug, Serialize)]
#[serde(rename = "types.ContainerJSON", rename_all = "PascalCase")]
struct Shown {
    id: String,
    created: String,
    path: String,
    args: Vec<String>,
    state: StateShown,
    image: String,
    resolv_conf_path: PathBuf,
    hostname_path: PathBuf,
    hosts_path: PathBuf,
    log_path: PathBuf,
    name: String,
    restart_count: u32,
    driver: &'static str,
    platform: &'static str,
    mount_label: String,
    process_label: String,
    app_armor_profile: String,
    #[serde(rename = "ExecIDs")]
    exec_ids: NilList<String>,
    host_config: HostConfig,
    graph_driver: GraphDriver,
    size_rw: Omit<Option<u64>>,
    size_root_fs: Omit<Option<u64>>,
    mounts: Vec<MountShown>,
    config: Config,
    network_settings: NetworkSettings,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename = "types.ContainerState", rename_all = "PascalCase")]
struct StateShown {
    status: &'static str,
    running: bool,
    paused: bool,
    restarting: bool,
    #[serde(rename = "OOMKilled")]
    oom_killed: bool,
    dead: bool,
    pid: u32,
    exit_code: i32,
    error: String,
    started_at: String,
    finished_at: String,
    health: Omit<Option<Verdict>>,
}

/// The object of one container.
///
/// # Errors
/// It cannot be put in JSON.
pub(crate) fn container(container: &Inspect, facts: Facts<'_>) -> Result<Value, TemplateError> {
    let Inspect { record, state } = container;
    let (path, args) = match record.args.split_first() {
        Some((path, args)) => (path.clone(), args.to_vec()),
        None => (String::new(), Vec::new()),
    };
    template::value(&Shown {
        id: record.id.clone(),
        created: record.created.clone(),
        path,
        args,
        state: StateShown::of(state),
        image: match &record.image {
            Some(id) => id.to_string(),
            None => record.request.image.clone(),
        },
        resolv_conf_path: facts.run_directory.join("resolv.conf"),
        hostname_path: facts.run_directory.join("hostname"),
        hosts_path: facts.run_directory.join("hosts"),
        log_path: match record.request.log.driver.as_str() {
            "json-file" => facts.directory.join("log.json"),
            _ => PathBuf::new(),
        },
        name: format!("/{}", record.name),
        restart_count: state.restarts,
        driver: DRIVER,
        platform: "linux",
        mount_label: String::new(),
        process_label: String::new(),
        app_armor_profile: String::new(),
        exec_ids: NilList::default(),
        host_config: HostConfig::of(&record.request),
        graph_driver: graph_driver(&facts.directory, &facts.lower),
        size_rw: Omit(facts.sizes.map(|(changes, _)| changes)),
        size_root_fs: Omit(facts.sizes.map(|(_, all)| all)),
        mounts: MountShown::all(record, &facts.volumes),
        config: Config::of_container(record, facts.image, &facts.machine),
        network_settings: NetworkSettings::of(&record.request.network),
    })
}

fn graph_driver(directory: &Path, lower: &[PathBuf]) -> GraphDriver {
    let changes = |name: &str| directory.join("rw").join(name).display().to_string();
    let lower: Vec<_> = lower.iter().map(|dir| dir.to_string_lossy()).collect();
    GraphDriver {
        data: BTreeMap::from([
            ("LowerDir", lower.join(":")),
            ("MergedDir", directory.join("rw").display().to_string()),
            ("UpperDir", changes("upper")),
            ("WorkDir", changes("work")),
        ]),
        name: DRIVER,
    }
}

impl StateShown {
    fn of(state: &State) -> Self {
        let time = |time: &String| match time.is_empty() {
            true => NEVER.to_owned(),
            false => time.clone(),
        };
        let exit = state.exit.as_ref().filter(|_| match state.status {
            Status::Running | Status::Paused => false,
            Status::Created | Status::Restarting | Status::Exited => true,
        });
        Self {
            status: state.status.as_str(),
            // To Docker, what is paused or about to restart runs too.
            running: state.status.is_live(),
            paused: state.status == Status::Paused,
            restarting: state.status == Status::Restarting,
            oom_killed: exit.is_some_and(|exit| exit.oom_killed),
            dead: false,
            pid: state.pid,
            exit_code: exit.map_or(0, |exit| exit.code),
            error: state.error.clone(),
            started_at: time(&state.started),
            finished_at: time(&state.finished),
            health: Omit(state.health.as_ref().map(Verdict::of)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use container_core::ExitStatus;

    #[test]
    fn states() {
        let exit = |code| {
            Some(ExitStatus {
                code,
                signal: None,
                oom_killed: true,
                ..ExitStatus::default()
            })
        };
        let of = |status, exit| {
            let shown = StateShown::of(&State {
                status,
                exit,
                ..State::default()
            });
            (
                shown.running,
                shown.paused,
                shown.restarting,
                shown.exit_code,
                shown.oom_killed,
            )
        };
        assert_eq!(of(Status::Created, None), (false, false, false, 0, false));
        assert_eq!(of(Status::Running, exit(1)), (true, false, false, 0, false));
        assert_eq!(of(Status::Paused, None), (true, true, false, 0, false));
        assert_eq!(
            of(Status::Restarting, exit(3)),
            (true, false, true, 3, true)
        );
        assert_eq!(of(Status::Exited, exit(3)), (false, false, false, 3, true));
        assert_eq!(StateShown::of(&State::default()).started_at, NEVER);
    }
}
