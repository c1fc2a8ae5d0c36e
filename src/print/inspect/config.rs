//! `Config`: what an image or a container runs.

use std::collections::BTreeMap;

use container_core::image::store::Image;
use container_core::{Record, Request};
use serde::Serialize;
use serde_json::Value;

use super::health::HealthConfig;
use super::mounts::Flags;
use crate::print::template::{NilList, NilMap, Omit};

/// A member of a set that Go writes as a map: `"80/tcp": {}`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Member {}

/// Docker's `container.Config`.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename = "container.Config", rename_all = "PascalCase")]
pub(super) struct Config {
    pub(super) hostname: String,
    pub(super) domainname: String,
    pub(super) user: String,
    pub(super) attach_stdin: bool,
    pub(super) attach_stdout: bool,
    pub(super) attach_stderr: bool,
    pub(super) exposed_ports: Omit<BTreeMap<String, Member>>,
    pub(super) tty: bool,
    pub(super) open_stdin: bool,
    pub(super) stdin_once: bool,
    pub(super) env: NilList<String>,
    pub(super) cmd: NilList<String>,
    pub(super) healthcheck: Omit<Option<HealthConfig>>,
    pub(super) args_escaped: Omit<bool>,
    pub(super) image: String,
    pub(super) volumes: NilMap<Member>,
    pub(super) working_dir: String,
    pub(super) entrypoint: NilList<String>,
    pub(super) network_disabled: Omit<bool>,
    pub(super) mac_address: Omit<String>,
    pub(super) on_build: NilList<String>,
    pub(super) labels: Labels,
    pub(super) stop_signal: Omit<String>,
    pub(super) stop_timeout: Omit<Option<u64>>,
    pub(super) shell: Omit<Vec<String>>,
}

/// An image without labels has none, a container an empty map of them.
#[derive(Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Labels {
    Image(NilMap<String>),
    Container(BTreeMap<String, String>),
}

impl Default for Labels {
    fn default() -> Self {
        Self::Image(NilMap::default())
    }
}

/// A set that the OCI's configuration writes as a list or a map.
fn members(names: impl IntoIterator<Item = impl Into<String>>) -> BTreeMap<String, Member> {
    let names = names.into_iter();
    names.map(|name| (name.into(), Member {})).collect()
}

impl Config {
    /// What an image's configuration says.
    pub(super) fn of_image(image: &Image) -> Self {
        let Some(config) = image.config.config() else {
            return Self::default();
        };
        let list = |list: &Option<Vec<String>>| NilList(list.clone().unwrap_or_default());
        let labels = config.labels().iter().flatten();
        Self {
            user: config.user().clone().unwrap_or_default(),
            exposed_ports: Omit(members(config.exposed_ports().iter().flatten())),
            env: list(config.env()),
            cmd: list(config.cmd()),
            healthcheck: Omit(image.additions.healthcheck.as_ref().map(HealthConfig::of)),
            volumes: NilMap(members(config.volumes().iter().flatten())),
            working_dir: config.working_dir().clone().unwrap_or_default(),
            entrypoint: list(config.entrypoint()),
            on_build: NilList(image.additions.on_build.clone()),
            labels: Labels::Image(NilMap(
                labels
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .collect(),
            )),
            stop_signal: Omit(config.stop_signal().clone().unwrap_or_default()),
            shell: Omit(image.additions.shell.clone()),
            ..Self::default()
        }
    }

    /// What a container was given, and what it has of its image.
    pub(super) fn of_container(record: &Record, image: Option<&Image>, machine: &str) -> Self {
        let request = &record.request;
        let image = image.map(Self::of_image).unwrap_or_default();
        let given = |text: &Option<String>, otherwise: String| match text {
            Some(text) if !text.is_empty() => text.clone(),
            _ => otherwise,
        };
        let replaced = request.entrypoint.is_some() || !request.args.is_empty();
        Self {
            hostname: hostname(record, machine),
            domainname: given(&request.domainname, String::new()),
            user: given(&request.user, image.user),
            tty: request.tty,
            attach_stdin: request.attach_stdin,
            attach_stdout: request.attach_stdout,
            attach_stderr: request.attach_stderr,
            open_stdin: request.open_stdin,
            stdin_once: request.stdin_once,
            env: NilList(environment(request, image.env.0)),
            cmd: match replaced {
                true => NilList(request.args.clone()),
                false => image.cmd,
            },
            healthcheck: Omit(health(request, image.healthcheck.0)),
            image: request.image.clone(),
            working_dir: given(&request.workdir, image.working_dir),
            entrypoint: match &request.entrypoint {
                Some(entrypoint) => NilList(entrypoint.clone()),
                None => image.entrypoint,
            },
            labels: Labels::Container(request.labels.clone()),
            stop_signal: Omit(given(&request.stop_signal, image.stop_signal.0)),
            stop_timeout: Omit(request.stop_timeout),
            volumes: {
                let mut volumes = image.volumes;
                let places = Flags::of(&request.mounts).places;
                volumes.0.extend(members(&places));
                volumes
            },
            ..image
        }
    }
}

/// The host name: as asked, the machine's where it is shared, or the beginning of the id.
fn hostname(record: &Record, machine: &str) -> String {
    use container_core::Network;
    use container_core::request::NamespaceMode;
    let request = &record.request;
    match &request.hostname {
        Some(name) if !name.is_empty() => name.clone(),
        _ if request.network == Network::Host || request.uts == NamespaceMode::Host => {
            machine.to_owned()
        }
        _ => record.id.chars().take(12).collect(),
    }
}

/// The caller's variables, then those of the image that the caller has not set.
fn environment(request: &Request, image: Vec<String>) -> Vec<String> {
    fn name(entry: &str) -> &str {
        entry.split_once('=').map_or(entry, |(name, _)| name)
    }
    let mut env: Vec<String> = Vec::new();
    for entry in &request.env {
        match env.iter_mut().find(|known| name(known) == name(entry)) {
            Some(known) => known.clone_from(entry),
            None => env.push(entry.clone()),
        }
    }
    let from_image = image
        .into_iter()
        .filter(|entry| !request.env.iter().any(|set| name(set) == name(entry)));
    let mut all: Vec<String> = from_image.collect();
    env.retain(|entry| entry.contains('='));
    env.append(&mut all);
    env
}

/// The caller's health check over the image's.
fn health(request: &Request, image: Option<HealthConfig>) -> Option<HealthConfig> {
    match (&request.healthcheck, image) {
        (None, image) => image,
        (Some(asked), None) => Some(HealthConfig::of(asked)),
        (Some(asked), Some(image)) => Some(HealthConfig::of(asked).over(image)),
    }
}

/// The configuration blob's fields that are not in the OCI's type.
pub(super) fn text(document: &Value, name: &str) -> String {
    let text = document.get(name).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environments() {
        let request = Request {
            env: ["A=1", "B=2", "A=3", "GONE"].map(String::from).to_vec(),
            ..Request::default()
        };
        let image = ["PATH=/bin", "B=9", "GONE=x"].map(String::from).to_vec();
        assert_eq!(environment(&request, image), ["A=3", "B=2", "PATH=/bin"]);
    }
}
