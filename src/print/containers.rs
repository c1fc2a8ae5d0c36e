//! The rows of `ps`.

use container_core::request::{Mount, MountPoint, MountSource};
use container_core::{Inspect, State, Status};
use jiff::Timestamp;
use serde::Serialize;

use super::age;
use super::inspect::network;
use super::rows::Titles;
use super::size;
use super::template::Labels;

/// The table of `docker ps`.
pub(crate) const TABLE: &str = "table {{.ID}}\\t{{.Image}}\\t{{.Command}}\\t{{.RunningFor}}\\t\
                                {{.Status}}\\t{{.Ports}}\\t{{.Names}}";

/// The same with `--size`.
pub(crate) const TABLE_WITH_SIZES: &str = "table {{.ID}}\\t{{.Image}}\\t{{.Command}}\\t\
     {{.RunningFor}}\\t{{.Status}}\\t{{.Ports}}\\t{{.Names}}\\t{{.Size}}";

/// `--format raw`.
pub(crate) const RAW: &str = "container_id: {{.ID}}\\nimage: {{.Image}}\\ncommand: {{.Command}}\\n\
     created_at: {{.CreatedAt}}\\nstate: {{- pad .State 1 0}}\\nstatus: {{- pad .Status 1 0}}\\n\
     names: {{.Names}}\\nlabels: {{- pad .Labels 1 0}}\\nports: {{- pad .Ports 1 0}}\\n";

/// The same with `--size`.
pub(crate) const RAW_WITH_SIZES: &str = "container_id: {{.ID}}\\nimage: {{.Image}}\\ncommand: \
     {{.Command}}\\ncreated_at: {{.CreatedAt}}\\nstate: {{- pad .State 1 0}}\\nstatus: \
     {{- pad .Status 1 0}}\\nnames: {{.Names}}\\nlabels: {{- pad .Labels 1 0}}\\nports: \
     {{- pad .Ports 1 0}}\\nsize: {{.Size}}\\n";

/// The titles of the columns.
pub(crate) const TITLES: &Titles = &[
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Labels", "LABELS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Mounts", "MOUNTS"),
    ("Names", "NAMES"),
    ("Networks", "NETWORKS"),
    ("Platform", "PLATFORM"),
    ("Ports", "PORTS"),
    ("RunningFor", "CREATED"),
    ("Size", "SIZE"),
    ("State", "STATE"),
    ("Status", "STATUS"),
];

/// How rows are made.
pub(crate) struct Options {
    pub(crate) no_trunc: bool,
    pub(crate) now: Timestamp,
}

/// A row; the fields are those of Docker's templates.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename = "*formatter.ContainerContext", rename_all = "PascalCase")]
pub(crate) struct Row {
    pub(crate) command: String,
    pub(crate) created_at: String,
    #[serde(rename = "ID")]
    pub(crate) id: String,
    pub(crate) image: String,
    pub(crate) label: Labels,
    pub(crate) labels: String,
    pub(crate) local_volumes: String,
    pub(crate) mounts: String,
    pub(crate) names: String,
    pub(crate) networks: &'static str,
    pub(crate) platform: Option<String>,
    pub(crate) ports: &'static str,
    pub(crate) running_for: String,
    pub(crate) size: String,
    pub(crate) state: &'static str,
    pub(crate) status: String,
}

/// How long a command may be, and the source of a mount.
const COMMAND: usize = 20;
const MOUNT: usize = 15;
/// How many digits of an id are shown.
const ID: usize = 12;

/// The beginning of an id.
pub(crate) fn short_id(id: &str) -> String {
    id.chars().take(ID).collect()
}

/// At most so many characters, the last an ellipsis where some were left out.
pub(crate) fn shortened(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(limit.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// The row of a container. `image` is what its image is called now; `sizes` are those of its
/// changes and of all its files.
pub(crate) fn row(
    container: &Inspect,
    image: String,
    sizes: Option<(u64, u64)>,
    options: &Options,
) -> Row {
    let Inspect { record, state } = container;
    let command = command(&record.args);
    let created = timestamp(&record.created).unwrap_or(Timestamp::UNIX_EPOCH);
    let flag = |mount: &Mount| {
        // Docker shows what `--tmpfs` mounts nowhere else either.
        matches!(mount.source, MountSource::Tmpfs { .. }) && mount.spec.is_some()
    };
    let mounts = record.mounts.iter().filter(|point| !flag(&point.mount));
    let mounts = mounts.map(|point| {
        let source = match &point.mount.source {
            MountSource::Bind(bind) => bind.path.to_string_lossy().into_owned(),
            MountSource::Volume(volume) => volume.name.clone().unwrap_or_default(),
            MountSource::Image(image) => image.image.clone(),
            MountSource::Tmpfs { .. } => String::new(),
        };
        match options.no_trunc {
            true => source,
            false => shortened(&source, MOUNT),
        }
    });
    let volumes = record.mounts.iter().filter_map(MountPoint::volume);
    let labels = &record.request.labels;
    let pairs = labels.iter().map(|(name, value)| format!("{name}={value}"));
    Row {
        command: super::template::quoted(&match options.no_trunc {
            true => command,
            false => shortened(&command, COMMAND),
        }),
        created_at: age::absolute(created),
        id: match options.no_trunc {
            true => record.id.clone(),
            false => short_id(&record.id),
        },
        image,
        label: Labels(labels.clone()),
        labels: pairs.collect::<Vec<_>>().join(","),
        local_volumes: volumes.count().to_string(),
        mounts: mounts.collect::<Vec<_>>().join(","),
        names: record.name.clone(),
        networks: network::name(&record.request.network),
        platform: None,
        ports: "",
        running_for: age::ago(created, options.now),
        size: match sizes {
            Some((changes, all)) if all > 0 => {
                format!("{} (virtual {})", size::human(changes), size::human(all))
            }
            Some((changes, _)) => size::human(changes),
            None => size::human(0),
        },
        state: state.status.as_str(),
        status: status(state, options.now),
    }
}

/// A command line as Docker tells it: an argument with a space in quotes, the program as it is.
fn command(args: &[String]) -> String {
    let mut words = args.iter();
    let mut line = words.next().cloned().unwrap_or_default();
    for word in words {
        let quote = if word.contains(' ') { "'" } else { "" };
        line.push_str(&format!(" {quote}{word}{quote}"));
    }
    line
}

/// A time of a record, which is empty for what has not happened.
pub(crate) fn timestamp(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// `Up 2 minutes (healthy)`, `Exited (0) 3 days ago`.
pub(crate) fn status(state: &State, now: Timestamp) -> String {
    let since = |time: &str| age::since(timestamp(time).unwrap_or(now), now);
    let code = state.exit.as_ref().map_or(0, |exit| exit.code);
    match state.status {
        Status::Created => "Created".to_owned(),
        Status::Running => {
            let health = match state.health.as_ref().map(|health| health.status.as_str()) {
                None => String::new(),
                Some("starting") => " (health: starting)".to_owned(),
                Some(verdict) => format!(" ({verdict})"),
            };
            format!("Up {}{health}", since(&state.started))
        }
        Status::Paused => format!("Up {} (Paused)", since(&state.started)),
        Status::Restarting => format!("Restarting ({code}) {} ago", since(&state.finished)),
        Status::Exited => format!("Exited ({code}) {} ago", since(&state.finished)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use container_core::{ExitStatus, Health, HealthStatus};

    #[test]
    fn statuses() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let state = |status| State {
            status,
            started: "2026-11-23T11:57:59.000000001Z".into(),
            finished: "2026-11-23T09:00:00Z".into(),
            exit: Some(ExitStatus {
                code: 137,
                signal: Some(9),
                oom_killed: false,
                ..ExitStatus::default()
            }),
            ..State::default()
        };
        let healthy = |verdict| State {
            health: Some(Health {
                status: verdict,
                failing_streak: 0,
                log: Vec::new(),
            }),
            ..state(Status::Running)
        };
        for (state, want) in [
            (state(Status::Created), "Created"),
            (state(Status::Running), "Up 2 minutes"),
            (state(Status::Paused), "Up 2 minutes (Paused)"),
            (state(Status::Restarting), "Restarting (137) 3 hours ago"),
            (state(Status::Exited), "Exited (137) 3 hours ago"),
            (
                healthy(HealthStatus::Starting),
                "Up 2 minutes (health: starting)",
            ),
            (healthy(HealthStatus::Healthy), "Up 2 minutes (healthy)"),
            (healthy(HealthStatus::Unhealthy), "Up 2 minutes (unhealthy)"),
        ] {
            assert_eq!(status(&state, now), want);
        }
    }

    #[test]
    fn command_lines() {
        let args = |args: &[&str]| args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>();
        assert_eq!(command(&args(&["a b", "c d", "e", ""])), "a b 'c d' e ");
        assert_eq!(command(&args(&["sh"])), "sh");
        assert_eq!(command(&[]), "");
    }

    #[test]
    fn what_is_too_long() {
        assert_eq!(shortened("short", 20), "short");
        assert_eq!(
            shortened(&"x".repeat(21), 20),
            format!("{}…", "x".repeat(19))
        );
        assert_eq!(shortened(&"ä".repeat(20), 20), "ä".repeat(20));
    }
}
