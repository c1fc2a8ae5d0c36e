//! Ages as Docker prints them.

use jiff::Timestamp;

/// `2 hours ago`; what lies ahead is less than a second ago.
pub(crate) fn ago(then: Timestamp, now: Timestamp) -> String {
    format!("{} ago", since(then, now))
}

/// `2 hours`; what lies ahead is less than a second.
pub(crate) fn since(then: Timestamp, now: Timestamp) -> String {
    let seconds = then.duration_until(now).as_secs();
    human(u64::try_from(seconds).unwrap_or(0))
}

fn human(seconds: u64) -> String {
    let minutes = seconds / 60;
    let hours = (seconds + 1800) / 3600;
    let days = hours / 24;
    match (seconds, minutes, hours) {
        (0, ..) => "Less than a second".to_owned(),
        (1, ..) => "1 second".to_owned(),
        (s, 0, _) => format!("{s} seconds"),
        (_, 1, _) => "About a minute".to_owned(),
        (_, m, _) if m < 60 => format!("{m} minutes"),
        (.., 1) => "About an hour".to_owned(),
        (.., h) if h < 48 => format!("{h} hours"),
        (.., h) if h < 24 * 14 => format!("{days} days"),
        (.., h) if h < 24 * 60 => format!("{} weeks", days / 7),
        (.., h) if h < 24 * 365 * 2 => format!("{} months", days / 30),
        _ => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

/// `2026-11-23 20:43:25 +0000 UTC`.
pub(crate) fn absolute(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        for (seconds, want) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (3599, "59 minutes"),
            (3600, "About an hour"),
            (5399, "About an hour"),
            (5400, "2 hours"),
            (3600 * 47, "47 hours"),
            (3600 * 48, "2 days"),
            (3600 * 24 * 13, "13 days"),
            (3600 * 24 * 14, "2 weeks"),
            (3600 * 24 * 59, "8 weeks"),
            (3600 * 24 * 60, "2 months"),
            (3600 * 24 * 729, "24 months"),
            (3600 * 24 * 730, "2 years"),
        ] {
            assert_eq!(human(seconds), want, "{seconds}");
        }
    }

    #[test]
    fn times() {
        let time: Timestamp = "2026-11-23T20:43:25.3Z".parse().unwrap();
        let later: Timestamp = "2026-11-23T22:43:25Z".parse().unwrap();
        assert_eq!(absolute(time), "2026-11-23 20:43:25 +0000 UTC");
        assert_eq!(ago(time, later), "2 hours ago");
        assert_eq!(ago(later, time), "Less than a second ago");
    }
}
