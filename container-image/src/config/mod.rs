//! What a container of an image does unless it is told otherwise: Docker's `Config` of an image.
//! Pure.

mod change;
mod duration;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use self::change::{ChangeError, apply};
pub use crate::docker::Healthcheck;

/// The part of an image's configuration that containers take over, Docker's own fields included.
/// What other programs write there beside is not kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RunConfig {
    /// `user`, `uid`, `user:group` or `uid:gid`.
    #[serde(skip_serializing_if = "is_empty", deserialize_with = "or_default")]
    pub user: String,
    /// `80/tcp`: what the program listens on.
    #[serde(
        skip_serializing_if = "BTreeSet::is_empty",
        serialize_with = "as_map",
        deserialize_with = "from_map"
    )]
    pub exposed_ports: BTreeSet<String>,
    /// `NAME=value`.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_default")]
    pub env: Vec<String>,
    /// Comes before the arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// The arguments where none are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Docker for Windows has quoted the arguments already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args_escaped: Option<bool>,
    /// Paths that get a volume.
    #[serde(
        skip_serializing_if = "BTreeSet::is_empty",
        serialize_with = "as_map",
        deserialize_with = "from_map"
    )]
    pub volumes: BTreeSet<String>,
    /// Where the program starts.
    #[serde(skip_serializing_if = "is_empty", deserialize_with = "or_default")]
    pub working_dir: String,
    /// Names and values of any meaning.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "or_default"
    )]
    pub labels: BTreeMap<String, String>,
    /// What asks the program to stop.
    #[serde(skip_serializing_if = "is_empty", deserialize_with = "or_default")]
    pub stop_signal: String,
    /// How to see whether the program is well (Docker's, not OCI's).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// Instructions for a build on top of this image (Docker's).
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_default")]
    pub on_build: Vec<String>,
    /// What runs commands in the shell form (Docker's).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
}

impl RunConfig {
    /// Takes over from an image what is not said here, as Docker does for a container: variables,
    /// labels, ports and volumes are added to; the image's arguments only go with its entry point.
    pub fn inherit(&mut self, image: &Self) {
        let text = |own: &mut String, theirs: &String| {
            if own.is_empty() {
                own.clone_from(theirs);
            }
        };
        text(&mut self.user, &image.user);
        text(&mut self.working_dir, &image.working_dir);
        text(&mut self.stop_signal, &image.stop_signal);
        self.exposed_ports
            .extend(image.exposed_ports.iter().cloned());
        self.volumes.extend(image.volumes.iter().cloned());
        for (label, value) in &image.labels {
            let entry = self.labels.entry(label.clone());
            entry.or_insert_with(|| value.clone());
        }
        let name = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
        let known: BTreeSet<String> = self.env.iter().map(|v| name(v)).collect();
        let new = image.env.iter().filter(|v| !known.contains(&name(v)));
        self.env.extend(new.cloned());
        if self.entrypoint.as_ref().is_none_or(Vec::is_empty) {
            if self.cmd.as_ref().is_none_or(Vec::is_empty) {
                self.cmd.clone_from(&image.cmd);
                self.args_escaped = image.args_escaped;
            }
            if self.entrypoint.is_none() {
                self.entrypoint.clone_from(&image.entrypoint);
            }
        }
        match (&mut self.healthcheck, &image.healthcheck) {
            (None, theirs) => self.healthcheck.clone_from(theirs),
            (Some(own), Some(theirs)) => own.inherit(theirs),
            (Some(_), None) => {}
        }
    }
}

fn is_empty(text: &str) -> bool {
    text.is_empty()
}

/// Go writes null for what is empty.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A set is an object whose values say nothing.
fn as_map<S: Serializer>(set: &BTreeSet<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(set.iter().map(|name| (name, BTreeMap::<(), ()>::new())))
}

fn from_map<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<String>, D::Error> {
    type Map = BTreeMap<String, serde::de::IgnoredAny>;
    let map: Map = or_default(deserializer)?;
    Ok(map.into_keys().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> RunConfig {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn go_documents_are_read_and_written() {
        let text = r#"{"Hostname":"x","User":"","ExposedPorts":{"80/tcp":{}},"Env":["A=1"],
            "Cmd":["sh"],"Volumes":null,"WorkingDir":"/w","Entrypoint":null,"OnBuild":null,
            "Labels":{},"Healthcheck":{"Test":["CMD-SHELL","true"],"Interval":5000000000}}"#;
        let written = serde_json::to_string(&parse(text)).unwrap();
        assert_eq!(
            written,
            r#"{"ExposedPorts":{"80/tcp":{}},"Env":["A=1"],"Cmd":["sh"],"WorkingDir":"/w","Healthcheck":{"Test":["CMD-SHELL","true"],"Interval":5000000000}}"#
        );
    }

    #[test]
    fn what_is_said_goes_before_the_image() {
        let image = parse(
            r#"{"User":"u","Env":["PATH=/bin","A=1"],"Cmd":["c"],"Entrypoint":["e"],
            "Labels":{"a":"1","b":"2"},"Volumes":{"/v":{}},"ExposedPorts":{"80/tcp":{}},
            "WorkingDir":"/w","StopSignal":"9","Healthcheck":{"Test":["NONE"],"Retries":3},
            "OnBuild":["RUN x"]}"#,
        );
        let inherited = |text: &str| {
            let mut config = parse(text);
            config.inherit(&image);
            config
        };
        let config = inherited(r#"{"Env":["A=2","B=3"],"Labels":{"b":"3"},"Cmd":["own"]}"#);
        assert_eq!(config.env, ["A=2", "B=3", "PATH=/bin"]);
        assert_eq!(config.labels["a"], "1");
        assert_eq!(config.labels["b"], "3");
        assert_eq!(config.cmd.unwrap(), ["own"]);
        assert_eq!(config.entrypoint.unwrap(), ["e"]);
        assert_eq!((&*config.user, &*config.working_dir), ("u", "/w"));
        // Triggers are for builds.
        assert!(config.on_build.is_empty());

        // Another entry point does not want the image's arguments; none at all neither.
        assert_eq!(inherited(r#"{"Entrypoint":["x"]}"#).cmd, None);
        let none = inherited(r#"{"Entrypoint":[]}"#);
        assert_eq!(
            (none.entrypoint.unwrap().len(), none.cmd.unwrap()),
            (0, vec!["c".to_owned()])
        );

        let health = inherited(r#"{"Healthcheck":{"Interval":7}}"#)
            .healthcheck
            .unwrap();
        let interval = health.interval.as_nanos();
        assert_eq!((&*health.test[0], interval, health.retries), ("NONE", 7, 3));
    }
}
