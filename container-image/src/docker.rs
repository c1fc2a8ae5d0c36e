//! What Docker writes into an image's configuration beyond what OCI defines.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Docker's additions to the `config` of an image's configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Additions {
    /// `HEALTHCHECK`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// `SHELL`: what runs commands in shell form, `/bin/sh -c` when empty.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub shell: Vec<String>,
    /// `ONBUILD`
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub on_build: Vec<String>,
}

/// A health check, of an image or asked for a container. What is empty or zero is inherited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Healthcheck {
    /// `["NONE"]` for none, `["CMD", arguments…]`, or `["CMD-SHELL", command]`.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    /// From the end of one probe to the start of the next.
    #[serde(with = "nanoseconds", skip_serializing_if = "Duration::is_zero")]
    pub interval: Duration,
    /// A probe that takes longer has failed.
    #[serde(with = "nanoseconds", skip_serializing_if = "Duration::is_zero")]
    pub timeout: Duration,
    /// Failures in this time from the start do not count.
    #[serde(with = "nanoseconds", skip_serializing_if = "Duration::is_zero")]
    pub start_period: Duration,
    /// The interval in that time.
    #[serde(with = "nanoseconds", skip_serializing_if = "Duration::is_zero")]
    pub start_interval: Duration,
    /// Failures in a row that make it unhealthy.
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: u32,
}

impl Healthcheck {
    /// Takes over what is not said here.
    pub fn inherit(&mut self, other: &Self) {
        if self.test.is_empty() {
            self.test.clone_from(&other.test);
        }
        for (own, theirs) in [
            (&mut self.interval, other.interval),
            (&mut self.timeout, other.timeout),
            (&mut self.start_period, other.start_period),
            (&mut self.start_interval, other.start_interval),
        ] {
            if own.is_zero() {
                *own = theirs;
            }
        }
        if self.retries == 0 {
            self.retries = other.retries;
        }
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Go writes an empty list as `null`.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

mod nanoseconds {
    use super::*;

    pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(i64::try_from(time.as_nanos()).unwrap_or(i64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        // Go's durations have a sign; a time below zero is none.
        let nanoseconds = i64::deserialize(from)?;
        Ok(Duration::from_nanos(
            u64::try_from(nanoseconds).unwrap_or(0),
        ))
    }
}

#[derive(Deserialize)]
struct Configuration {
    #[serde(default)]
    config: Option<Additions>,
}

/// Docker's additions in an image's configuration. What is not as Docker writes it is ignored,
/// as OCI has it.
pub fn additions(configuration: &[u8]) -> Additions {
    // Few images have any: looking for the words is quicker than parsing all once more.
    let mentions = |word: &[u8]| configuration.windows(word.len()).any(|at| at == word);
    if !mentions(b"\"Healthcheck\"") && !mentions(b"\"Shell\"") && !mentions(b"\"OnBuild\"") {
        return Additions::default();
    }
    serde_json::from_slice::<Configuration>(configuration)
        .ok()
        .and_then(|c| c.config)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read() {
        let found = additions(
            br#"{"config":{"Cmd":["sh"],"OnBuild":null,"Shell":["/bin/bash","-c"],
            "Healthcheck":{"Test":["CMD","true"],"Interval":5000000000,"Retries":2}}}"#,
        );
        assert_eq!(found.shell, ["/bin/bash", "-c"]);
        let check = found.healthcheck.unwrap();
        assert_eq!(check.test, ["CMD", "true"]);
        assert_eq!((check.interval.as_secs(), check.retries), (5, 2));
        assert_eq!(check.timeout, Duration::ZERO);
        assert_eq!(additions(b"{}"), Additions::default());
        assert_eq!(
            additions(br#"{"config":{"Healthcheck":7}}"#),
            Additions::default()
        );
        assert_eq!(
            additions(br#"{"config":null,"x":"\"Shell\""}"#),
            Additions::default()
        );
    }

    #[test]
    fn written_as_docker_does() {
        let check = Healthcheck {
            test: vec!["NONE".into()],
            interval: Duration::from_secs(1),
            ..Healthcheck::default()
        };
        assert_eq!(
            serde_json::to_string(&check).unwrap(),
            r#"{"Test":["NONE"],"Interval":1000000000}"#
        );
    }
}
