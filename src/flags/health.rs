//! `--health-*` and `--no-healthcheck`.

use std::time::Duration;

use container_core::request::Healthcheck;

/// What the flags say.
#[derive(Debug, Default)]
pub(crate) struct HealthFlags {
    pub(crate) cmd: Option<String>,
    pub(crate) interval: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) start_period: Option<Duration>,
    pub(crate) start_interval: Option<Duration>,
    pub(crate) retries: Option<i64>,
    pub(crate) none: bool,
}

/// Why they make no check.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum HealthError {
    #[error("--no-healthcheck conflicts with --health-* options")]
    Conflict,
    #[error("--health-retries cannot be negative")]
    Retries,
    #[error("{0} in Healthcheck cannot be less than 1ms")]
    Short(&'static str),
}

/// The check that the flags make, if any.
///
/// # Errors
/// They contradict each other, or a time is too short to be meant.
pub(crate) fn check(flags: HealthFlags) -> Result<Option<Healthcheck>, HealthError> {
    let set = |time: Option<Duration>| time.filter(|time| !time.is_zero());
    let cmd = flags.cmd.filter(|cmd| !cmd.is_empty());
    let times = [
        ("Interval", set(flags.interval)),
        ("Timeout", set(flags.timeout)),
        ("StartPeriod", set(flags.start_period)),
        ("StartInterval", set(flags.start_interval)),
    ];
    let retries = flags.retries.unwrap_or(0);
    let any = cmd.is_some() || retries != 0 || times.iter().any(|(_, time)| time.is_some());
    match (flags.none, any) {
        (true, true) => return Err(HealthError::Conflict),
        (true, false) => {
            return Ok(Some(Healthcheck {
                test: vec!["NONE".to_owned()],
                ..Healthcheck::default()
            }));
        }
        (false, false) => return Ok(None),
        (false, true) => {}
    }
    let short = |(_, time): &&(_, Option<Duration>)| {
        time.is_some_and(|time| time < Duration::from_millis(1))
    };
    if let Some((name, _)) = times.iter().find(short) {
        return Err(HealthError::Short(name));
    }
    let [interval, timeout, start_period, start_interval] =
        times.map(|(_, time)| time.unwrap_or_default());
    Ok(Some(Healthcheck {
        test: cmd.map_or_else(Vec::new, |cmd| vec!["CMD-SHELL".to_owned(), cmd]),
        interval,
        timeout,
        start_period,
        start_interval,
        retries: u32::try_from(retries).map_err(|_| HealthError::Retries)?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks() {
        assert_eq!(check(HealthFlags::default()), Ok(None));
        let none = HealthFlags {
            none: true,
            ..HealthFlags::default()
        };
        assert_eq!(check(none).unwrap().unwrap().test, ["NONE"]);
        let asked = check(HealthFlags {
            cmd: Some("true".into()),
            interval: Some(Duration::from_secs(1)),
            retries: Some(3),
            ..HealthFlags::default()
        });
        let want = Healthcheck {
            test: vec!["CMD-SHELL".into(), "true".into()],
            interval: Duration::from_secs(1),
            retries: 3,
            ..Healthcheck::default()
        };
        assert_eq!(asked, Ok(Some(want)));
        let conflict = HealthFlags {
            none: true,
            retries: Some(1),
            ..HealthFlags::default()
        };
        assert_eq!(check(conflict), Err(HealthError::Conflict));
        let negative = HealthFlags {
            retries: Some(-1),
            ..HealthFlags::default()
        };
        assert_eq!(check(negative), Err(HealthError::Retries));
        let short = HealthFlags {
            timeout: Some(Duration::from_micros(1)),
            ..HealthFlags::default()
        };
        assert_eq!(check(short), Err(HealthError::Short("Timeout")));
    }
}
