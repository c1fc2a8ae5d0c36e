//! Health checks: what is to be run and what its result means. Pure; the monitor runs the
//! probes.

use std::time::Duration;

use container_image::docker::Healthcheck;
use serde::{Deserialize, Serialize};

use crate::state::{Health, HealthStatus, Probed};

/// Probes that are remembered, as Docker does.
const REMEMBERED: usize = 5;
/// Bytes of a probe's output that are remembered, as Docker does.
pub(crate) const MAX_OUTPUT: usize = 4096;

/// A health check with all defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Check {
    pub(crate) args: Vec<String>,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) start_period: Duration,
    pub(crate) start_interval: Duration,
    pub(crate) retries: u32,
}

/// The check of a container: the caller's settings, then the image's, then Docker's defaults.
/// `None` when there is none or it is switched off.
pub(crate) fn check(
    asked: Option<&Healthcheck>,
    image: Option<&Healthcheck>,
    shell: &[String],
) -> Option<Check> {
    let nothing = Healthcheck::default();
    let (asked, image) = (asked.unwrap_or(&nothing), image.unwrap_or(&nothing));
    let test = match asked.test.is_empty() {
        true => &image.test,
        false => &asked.test,
    };
    let args = match test.split_first()? {
        (kind, args) if kind == "CMD" && !args.is_empty() => args.to_vec(),
        (kind, [command, ..]) if kind == "CMD-SHELL" => {
            let mut args = match shell {
                [] => vec!["/bin/sh".to_owned(), "-c".to_owned()],
                shell => shell.to_vec(),
            };
            args.push(command.clone());
            args
        }
        // "NONE", and what no version of Docker runs either.
        _ => return None,
    };
    let time = |pick: fn(&Healthcheck) -> Duration, default| match (pick(asked), pick(image)) {
        (asked, _) if !asked.is_zero() => asked,
        (_, image) if !image.is_zero() => image,
        _ => Duration::from_secs(default),
    };
    Some(Check {
        args,
        interval: time(|h| h.interval, 30),
        timeout: time(|h| h.timeout, 30),
        start_period: time(|h| h.start_period, 0),
        start_interval: time(|h| h.start_interval, 5),
        retries: match (asked.retries, image.retries) {
            (0, 0) => 3,
            (0, image) => image,
            (asked, _) => asked,
        },
    })
}

impl Check {
    /// How long after one probe, or the start, the next is due.
    pub(crate) fn pause(&self, status: HealthStatus, up: Duration) -> Duration {
        match status {
            HealthStatus::Starting if up < self.start_period => self.start_interval,
            _ => self.interval,
        }
    }

    /// What the health is after a probe; `up` is how long the container had been running when
    /// the probe began.
    pub(crate) fn judge(&self, health: &mut Health, probed: Probed, up: Duration) {
        if probed.exit_code == 0 {
            health.failing_streak = 0;
            health.status = HealthStatus::Healthy;
        } else if health.status != HealthStatus::Starting || up >= self.start_period {
            // A failure while it starts is no failure.
            health.failing_streak += 1;
            if health.failing_streak >= self.retries {
                health.status = HealthStatus::Unhealthy;
            }
        }
        if health.log.len() == REMEMBERED {
            health.log.remove(0);
        }
        health.log.push(probed);
    }
}

impl Default for Health {
    fn default() -> Self {
        Self {
            status: HealthStatus::Starting,
            failing_streak: 0,
            log: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(words: &[&str]) -> Healthcheck {
        Healthcheck {
            test: words.iter().map(|w| (*w).to_owned()).collect(),
            ..Healthcheck::default()
        }
    }

    #[test]
    fn whose_check() {
        let image = test(&["CMD", "true"]);
        assert_eq!(check(None, None, &[]), None);
        assert_eq!(check(Some(&test(&["NONE"])), Some(&image), &[]), None);
        assert_eq!(check(None, Some(&image), &[]).unwrap().args, ["true"]);
        let shell = check(Some(&test(&["CMD-SHELL", "a b"])), Some(&image), &[]);
        assert_eq!(shell.unwrap().args, ["/bin/sh", "-c", "a b"]);
        let faster = Healthcheck {
            interval: Duration::from_secs(1),
            ..Healthcheck::default()
        };
        let both = check(Some(&faster), Some(&image), &[]).unwrap();
        assert_eq!((both.args.len(), both.interval.as_secs()), (1, 1));
        assert_eq!((both.timeout.as_secs(), both.retries), (30, 3));
    }

    #[test]
    fn verdicts() {
        let check = Check {
            start_period: Duration::from_secs(10),
            retries: 2,
            ..check(Some(&test(&["CMD", "x"])), None, &[]).unwrap()
        };
        let probed = |exit_code| Probed {
            start: String::new(),
            end: String::new(),
            exit_code,
            output: String::new(),
        };
        let mut health = Health::default();
        let mut judge = |code, up| {
            check.judge(&mut health, probed(code), Duration::from_secs(up));
            (health.status, health.failing_streak, health.log.len())
        };
        assert_eq!(judge(1, 5), (HealthStatus::Starting, 0, 1));
        assert_eq!(judge(1, 11), (HealthStatus::Starting, 1, 2));
        assert_eq!(judge(1, 12), (HealthStatus::Unhealthy, 2, 3));
        assert_eq!(judge(0, 13), (HealthStatus::Healthy, 0, 4));
        assert_eq!(judge(1, 14), (HealthStatus::Healthy, 1, 5));
        assert_eq!(judge(-1, 15), (HealthStatus::Unhealthy, 2, 5));
    }
}
