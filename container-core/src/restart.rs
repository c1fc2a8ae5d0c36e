//! Restart policies: what is to follow the end of a container's first process. Pure; the monitor
//! acts on it.

use std::time::Duration;

use crate::request::RestartPolicy;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(60);
/// A container that has run this long was not failing at the start: patience begins anew.
const STEADY: Duration = Duration::from_secs(10);

/// How one run of a container has ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    /// Its exit code.
    pub(crate) code: i32,
    /// How long it has run.
    pub(crate) ran: Duration,
    /// How often it has been restarted since it was started by hand.
    pub(crate) restarts: u32,
    /// How long it was waited before this run; zero before the first.
    pub(crate) waited: Duration,
}

/// How long to wait before the next run, or `None` when there is to be none. The waits are
/// Docker's: 100 ms, twice as long each time, a minute at most, from the start again after a run
/// of ten seconds.
pub(crate) fn next(policy: RestartPolicy, end: End) -> Option<Duration> {
    let again = match policy {
        RestartPolicy::No => false,
        RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
        RestartPolicy::OnFailure { max_retries } => {
            end.code != 0 && (max_retries == 0 || end.restarts < max_retries)
        }
    };
    again.then(|| match end.waited {
        waited if waited.is_zero() || end.ran >= STEADY => FIRST,
        waited => (waited * 2).min(LONGEST),
    })
}

/// Whether a container is to be started when the machine has booted.
pub(crate) fn after_boot(policy: RestartPolicy, code: i32, stopped_by_hand: bool) -> bool {
    match policy {
        RestartPolicy::No => false,
        RestartPolicy::Always => true,
        RestartPolicy::UnlessStopped => !stopped_by_hand,
        RestartPolicy::OnFailure { .. } => !stopped_by_hand && code != 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(code: i32, ran: u64, restarts: u32, waited: u64) -> End {
        End {
            code,
            ran: Duration::from_millis(ran),
            restarts,
            waited: Duration::from_millis(waited),
        }
    }

    #[test]
    fn policies() {
        let retries = |max_retries| RestartPolicy::OnFailure { max_retries };
        for (policy, end, want) in [
            (RestartPolicy::No, end(1, 5, 0, 0), None),
            (RestartPolicy::Always, end(0, 5, 0, 0), Some(100)),
            (RestartPolicy::Always, end(0, 5, 1, 100), Some(200)),
            (RestartPolicy::Always, end(0, 5, 9, 51_200), Some(60_000)),
            (RestartPolicy::Always, end(0, 5, 10, 60_000), Some(60_000)),
            (RestartPolicy::Always, end(0, 10_000, 10, 60_000), Some(100)),
            (RestartPolicy::UnlessStopped, end(7, 5, 0, 0), Some(100)),
            (retries(0), end(0, 5, 0, 0), None),
            (retries(0), end(1, 5, 1000, 60_000), Some(60_000)),
            (retries(2), end(1, 5, 1, 100), Some(200)),
            (retries(2), end(1, 5, 2, 200), None),
        ] {
            let want = want.map(Duration::from_millis);
            assert_eq!(next(policy, end), want, "{policy:?} {end:?}");
        }
    }

    #[test]
    fn boots() {
        let failure = RestartPolicy::OnFailure { max_retries: 0 };
        assert!(after_boot(RestartPolicy::Always, 0, true));
        assert!(after_boot(RestartPolicy::UnlessStopped, 0, false));
        assert!(!after_boot(RestartPolicy::UnlessStopped, 0, true));
        assert!(after_boot(failure, 137, false));
        assert!(!after_boot(failure, 0, false));
        assert!(!after_boot(RestartPolicy::No, 1, false));
    }
}
