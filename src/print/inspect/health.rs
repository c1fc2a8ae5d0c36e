//! Health checks, as asked for and as they went.

use container_core::request::Healthcheck;
use container_core::{Health, Probed};
use serde::Serialize;

use crate::print::template::Omit;

/// Docker's `container.HealthConfig`; times in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename = "container.HealthConfig", rename_all = "PascalCase")]
pub(super) struct HealthConfig {
    test: Omit<Vec<String>>,
    interval: Omit<u64>,
    timeout: Omit<u64>,
    start_period: Omit<u64>,
    start_interval: Omit<u64>,
    retries: Omit<u32>,
}

impl HealthConfig {
    pub(super) fn of(check: &Healthcheck) -> Self {
        let time = |time: std::time::Duration| Omit(u64::try_from(time.as_nanos()).unwrap_or(0));
        Self {
            test: Omit(check.test.clone()),
            interval: time(check.interval),
            timeout: time(check.timeout),
            start_period: time(check.start_period),
            start_interval: time(check.start_interval),
            retries: Omit(check.retries),
        }
    }

    /// This one, with the other's settings where it has none.
    pub(super) fn over(self, other: Self) -> Self {
        let time = |ours: Omit<u64>, theirs| if ours.0 == 0 { theirs } else { ours };
        Self {
            test: if self.test.0.is_empty() {
                other.test
            } else {
                self.test
            },
            interval: time(self.interval, other.interval),
            timeout: time(self.timeout, other.timeout),
            start_period: time(self.start_period, other.start_period),
            start_interval: time(self.start_interval, other.start_interval),
            retries: if self.retries.0 == 0 {
                other.retries
            } else {
                self.retries
            },
        }
    }
}

/// Docker's `types.Health`.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename = "types.Health", rename_all = "PascalCase")]
pub(super) struct Verdict {
    status: &'static str,
    failing_streak: u32,
    log: Vec<Probe>,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename = "types.HealthcheckResult", rename_all = "PascalCase")]
struct Probe {
    start: String,
    end: String,
    exit_code: i32,
    output: String,
}

impl Verdict {
    pub(super) fn of(health: &Health) -> Self {
        let probe = |probed: &Probed| Probe {
            start: probed.start.clone(),
            end: probed.end.clone(),
            exit_code: probed.exit_code,
            output: probed.output.clone(),
        };
        Self {
            status: health.status.as_str(),
            failing_streak: health.failing_streak,
            log: health.log.iter().map(probe).collect(),
        }
    }
}
