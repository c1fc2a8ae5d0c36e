//! When to try again, and after how long. Pure.

use std::time::Duration;

use jiff::Timestamp;

/// Longest wait that a registry may ask for; beyond, its answer is an error.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest wait that doubling leads to.
const CEILING: Duration = Duration::from_secs(20);

/// How stubborn to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Retry {
    /// Requests in all before giving up.
    pub(super) attempts: u32,
    /// The first wait; each further one is twice as long.
    pub(super) first: Duration,
}

impl Retry {
    /// The wait after `failed` attempts in a row (at least one), or `None` to give up.
    ///
    /// `jitter`, any number, shortens the wait by up to a quarter, so that clients which
    /// failed together do not come back together.
    pub(super) fn delay(
        self,
        failed: u32,
        asked: Option<Duration>,
        jitter: u32,
    ) -> Option<Duration> {
        if failed >= self.attempts {
            return None;
        }
        if let Some(asked) = asked {
            return (asked <= PATIENCE).then_some(asked);
        }
        let doubled = self
            .first
            .saturating_mul(1 << failed.saturating_sub(1).min(16));
        let wait = doubled.min(CEILING);
        Some(wait - wait / 1024 * (jitter % 256))
    }
}

/// Whether an answer of this status may be another one next time.
pub(super) fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..=599) && !matches!(status, 501 | 505)
}

/// The header Retry-After: seconds, or a date (RFC 9110, section 10.2.3).
pub(super) fn retry_after(header: &str, now: Timestamp) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(header).ok()?.timestamp();
    let wait = date.as_second().saturating_sub(now.as_second());
    Some(Duration::from_secs(u64::try_from(wait).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn waits_double_up_to_a_ceiling() {
        let retry = Retry {
            attempts: 9,
            first: SECOND,
        };
        let waits: Vec<_> = (1..=9).map(|n| retry.delay(n, None, 0)).collect();
        let seconds = |n| Some(Duration::from_secs(n));
        let expected = [1, 2, 4, 8, 16, 20, 20, 20].map(seconds);
        assert_eq!(waits[..8], expected);
        assert_eq!(waits[8], None);
        let jittered = retry.delay(1, None, 255).unwrap();
        assert!(jittered < SECOND && jittered > SECOND / 2, "{jittered:?}");
    }

    #[test]
    fn a_registry_may_ask_for_patience_but_not_for_ever() {
        let retry = Retry {
            attempts: 3,
            first: SECOND,
        };
        assert_eq!(retry.delay(1, Some(SECOND * 7), 9), Some(SECOND * 7));
        assert_eq!(retry.delay(1, Some(SECOND * 3600), 9), None);
    }

    #[test]
    fn retry_after_has_two_forms() {
        let now: Timestamp = "2015-10-21T07:27:00Z".parse().unwrap();
        assert_eq!(retry_after(" 5", now), Some(SECOND * 5));
        let date = retry_after("Wed, 21 Oct 2015 07:28:00 GMT", now);
        assert_eq!(date, Some(SECOND * 60));
        assert_eq!(
            retry_after("Wed, 21 Oct 2015 07:00:00 GMT", now),
            Some(Duration::ZERO)
        );
        assert_eq!(retry_after("soon", now), None);
    }

    #[test]
    fn which_answers_may_change() {
        assert!([429, 500, 502, 503, 504, 408].into_iter().all(is_transient));
        assert!(
            ![200, 400, 401, 403, 404, 416, 501]
                .into_iter()
                .any(is_transient)
        );
    }
}
