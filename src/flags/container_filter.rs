//! The filters of `ps`: which containers are listed. Several of one name: any of them, but all of
//! the labels.

use container_core::image::Digest;
use container_core::request::MountSource;
use container_core::{HealthStatus, Inspect};

use super::condition::Condition;
use super::filter::label_matches;
use super::pattern::Pattern;
use super::port::{self, PortRange};
use super::size;

/// Why a filter is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ContainerFilterError {
    #[error("Invalid filter '{0}'")]
    Name(String),
    #[error("Invalid filter '{name}={value}' (use {values})")]
    Value {
        name: &'static str,
        value: String,
        values: &'static str,
    },
    #[error("Invalid filter 'exited={0}' (use an exit code)")]
    Exited(String),
    #[error("Unrecognised filter value for health: {0} (use starting, healthy, unhealthy or none)")]
    Health(String),
    #[error("Invalid filter '{name}={value}': {source}")]
    Port {
        name: &'static str,
        value: String,
        source: port::PortError,
    },
}

/// The filters of one command.
#[derive(Debug, Default)]
pub(crate) struct ContainerFilters {
    /// Names or ids of images that containers come from.
    pub(crate) ancestor: Vec<String>,
    /// Names or ids of containers that were made later, earlier.
    pub(crate) before: Vec<String>,
    pub(crate) since: Vec<String>,
    exited: Vec<i32>,
    health: Vec<Option<HealthStatus>>,
    id: Vec<Pattern>,
    label: Vec<String>,
    name: Vec<Pattern>,
    network: Vec<String>,
    /// Ports that are exposed or published: none yet.
    ports: Vec<PortRange>,
    status: Vec<String>,
    volume: Vec<String>,
    task: Vec<bool>,
    isolation: Vec<String>,
}

/// What filters by other objects came to.
#[derive(Debug, Default)]
pub(crate) struct Related {
    /// The images that descend from an `ancestor`, if there is such a filter.
    pub(crate) images: Option<Vec<Digest>>,
    /// Made before this, after this (RFC 3339).
    pub(crate) before: Option<String>,
    pub(crate) since: Option<String>,
}

/// Words of `status`, with Docker's that no container of ours ever is.
const STATUSES: [&str; 7] = [
    "created",
    "restarting",
    "running",
    "removing",
    "paused",
    "exited",
    "dead",
];

impl ContainerFilters {
    /// Puts conditions together.
    ///
    /// # Errors
    /// One is unknown or has a value that it cannot have.
    pub(crate) fn new(conditions: Vec<Condition>) -> Result<Self, ContainerFilterError> {
        let mut filters = Self::default();
        for Condition { name, value } in conditions {
            filters.add(&name, value)?;
        }
        Ok(filters)
    }

    fn add(&mut self, name: &str, value: String) -> Result<(), ContainerFilterError> {
        use ContainerFilterError as E;
        match name {
            "ancestor" => self.ancestor.push(value),
            "before" => self.before.push(value),
            "since" => self.since.push(value),
            "exited" => match value.parse() {
                Ok(code) => self.exited.push(code),
                Err(_) => return Err(E::Exited(value)),
            },
            "expose" | "publish" => {
                let name = if name == "expose" {
                    "expose"
                } else {
                    "publish"
                };
                let range = port::range(&value);
                self.ports.push(range.map_err(|source| E::Port {
                    name,
                    value,
                    source,
                })?);
            }
            "health" => self.health.push(match value.as_str() {
                "none" => None,
                "starting" => Some(HealthStatus::Starting),
                "healthy" => Some(HealthStatus::Healthy),
                "unhealthy" => Some(HealthStatus::Unhealthy),
                _ => return Err(E::Health(value)),
            }),
            "id" => self.id.push(Pattern::new(value)),
            "isolation" => self.isolation.push(value),
            "is-task" => match size::switch(&value) {
                Ok(task) => self.task.push(task),
                Err(_) => {
                    return Err(E::Value {
                        name: "is-task",
                        value,
                        values: "true or false",
                    });
                }
            },
            "label" => self.label.push(value),
            "name" => self.name.push(Pattern::new(value)),
            "network" => self.network.push(value),
            "status" if STATUSES.contains(&value.as_str()) => self.status.push(value),
            "status" => {
                return Err(E::Value {
                    name: "status",
                    value,
                    values: "created, restarting, running, removing, paused, exited or dead",
                });
            }
            "volume" => self.volume.push(value),
            name => return Err(E::Name(name.to_owned())),
        }
        Ok(())
    }

    /// Whether containers that do not run are asked for.
    pub(crate) fn wants_all(&self) -> bool {
        !self.status.is_empty()
    }

    /// Whether a container is listed.
    pub(crate) fn matches(&self, container: &Inspect, related: &Related) -> bool {
        let Inspect { record, state } = container;
        fn any<T>(wanted: &[T], is: impl Fn(&T) -> bool) -> bool {
            wanted.is_empty() || wanted.iter().any(is)
        }
        let health = state.health.as_ref().map(|health| health.status);
        let ended = !state.status.is_live() && !state.started.is_empty();
        let code = state.exit.as_ref().map_or(0, |exit| exit.code);
        let mounted = |wanted: &String| {
            record.mounts.iter().any(|point| {
                let from = match &point.mount.source {
                    MountSource::Bind(bind) => bind.path.to_str() == Some(wanted),
                    MountSource::Volume(volume) => volume.name.as_ref() == Some(wanted),
                    MountSource::Image(_) | MountSource::Tmpfs { .. } => false,
                };
                from || point.mount.target == *wanted
            })
        };
        any(&self.id, |pattern| pattern.matches(&record.id))
            && any(&self.name, |pattern| {
                // Docker compares with and without the slash before a name.
                pattern.matches(&record.name) || pattern.matches(&format!("/{}", record.name))
            })
            && self
                .label
                .iter()
                .all(|label| label_matches(label, &record.request.labels))
            && any(&self.status, |status| state.status.as_str() == status)
            && any(&self.exited, |wanted| ended && code == *wanted)
            && any(&self.health, |wanted| health == *wanted)
            && any(&self.network, |network| {
                crate::print::inspect::network::name(&record.request.network) == network
            })
            && any(&self.volume, mounted)
            && any(&self.task, |task| !task)
            && any(&self.isolation, |wanted| {
                matches!(wanted.as_str(), "" | "default")
            })
            && self.ports.is_empty()
            && related
                .images
                .as_ref()
                .is_none_or(|images| record.image.as_ref().is_some_and(|i| images.contains(i)))
            && related
                .before
                .as_ref()
                .is_none_or(|then| record.created < *then)
            && related
                .since
                .as_ref()
                .is_none_or(|then| record.created > *then)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use container_core::{ExitStatus, Record, Request, State, Status};

    fn container(name: &str, state: State) -> Inspect {
        Inspect {
            record: Record {
                id: "c0cac5f46dc0".repeat(6),
                name: name.to_owned(),
                created: "2026-11-23T00:00:00Z".to_owned(),
                image: None,
                cgroup: "x".into(),
                args: Vec::new(),
                request: Request {
                    labels: [
                        ("a".to_owned(), "1".to_owned()),
                        ("b".to_owned(), String::new()),
                    ]
                    .into(),
                    ..Request::default()
                },
                mounts: Vec::new(),
                id_maps: None,
            },
            state,
        }
    }

    fn exited(code: i32) -> State {
        State {
            status: Status::Exited,
            started: "2026-11-23T00:00:01Z".to_owned(),
            exit: Some(ExitStatus {
                code,
                signal: None,
                oom_killed: false,
                ..ExitStatus::default()
            }),
            ..State::default()
        }
    }

    fn filters(conditions: &[&str]) -> Result<ContainerFilters, ContainerFilterError> {
        let conditions = conditions
            .iter()
            .map(|text| super::super::condition::parse(text).unwrap());
        ContainerFilters::new(conditions.collect())
    }

    #[test]
    fn which_are_listed() {
        let web = container("web-1", exited(3));
        for (conditions, want) in [
            (&[][..], true),
            (&["name=web"], true),
            (&["name=^/web-1$"], true),
            (&["name=^eb"], false),
            (&["name=["], false),
            (&["name=x", "name=1$"], true),
            (&["id=^c0ca"], true),
            (&["id=cac5"], true),
            (&["id=^ac"], false),
            (&["label=a"], true),
            (&["label=a=1", "label=b"], true),
            (&["label=a=1", "label=c"], false),
            (&["status=exited", "status=running"], true),
            (&["status=running"], false),
            (&["status=dead"], false),
            (&["exited=3"], true),
            (&["exited=0"], false),
            (&["health=none"], true),
            (&["health=healthy"], false),
            (&["network=none"], true),
            (&["network=bridge"], false),
            (&["publish=80"], false),
            (&["expose=80-90/udp"], false),
            (&["volume=/x"], false),
            (&["is-task=false"], true),
            (&["is-task=true"], false),
            (&["isolation=default"], true),
            (&["NAME=web"], true),
        ] {
            let matched = filters(conditions)
                .unwrap()
                .matches(&web, &Related::default());
            assert_eq!(matched, want, "{conditions:?}");
        }
        let never_ran = container("x", State::default());
        assert!(
            !filters(&["exited=0"])
                .unwrap()
                .matches(&never_ran, &Related::default())
        );
        let between = Related {
            since: Some("2026-11-22T00:00:00Z".into()),
            before: Some("2026-11-24T00:00:00Z".into()),
            images: None,
        };
        assert!(filters(&[]).unwrap().matches(&web, &between));
        let of_others = Related {
            images: Some(Vec::new()),
            ..Related::default()
        };
        assert!(!filters(&[]).unwrap().matches(&web, &of_others));
    }

    #[test]
    fn wrong_filters() {
        for (condition, want) in [
            ("foo=bar", "Invalid filter 'foo'"),
            ("exited=x", "Invalid filter 'exited=x' (use an exit code)"),
            (
                "health=x",
                "Unrecognised filter value for health: x (use starting, healthy, unhealthy or none)",
            ),
            (
                "is-task=x",
                "Invalid filter 'is-task=x' (use true or false)",
            ),
            (
                "status=up",
                "Invalid filter 'status=up' (use created, restarting, running, removing, paused, exited or dead)",
            ),
        ] {
            assert_eq!(filters(&[condition]).unwrap_err().to_string(), want);
        }
        assert!(filters(&["publish=x"]).is_err());
        assert!(super::super::condition::parse("foo").is_err());
    }
}
