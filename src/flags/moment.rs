//! Moments: `2026-11-23T20:43:25Z`, seconds since 1970, or a time that has passed (`10m`).

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ZonedDateTime};

use super::duration;

/// Why a text is no moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to parse value as time or duration: {0:?}")]
pub(crate) struct NoMoment(String);

/// A moment. Without a zone it is meant in that of `now`.
///
/// # Errors
/// It is none.
pub(crate) fn parse(text: &str, now: &ZonedDateTime) -> Result<Timestamp, NoMoment> {
    let none = || NoMoment(text.to_owned());
    if let Some(moment) = seconds(text) {
        return moment.ok_or_else(none);
    }
    if let Ok(passed) = duration::parse(text) {
        let passed = SignedDuration::try_from(passed).map_err(|_| none())?;
        return now.timestamp().checked_sub(passed).map_err(|_| none());
    }
    // `-5m` lies ahead.
    if let Some(Ok(ahead)) = text.strip_prefix('-').map(duration::parse) {
        let ahead = SignedDuration::try_from(ahead).map_err(|_| none())?;
        return now.timestamp().checked_add(ahead).map_err(|_| none());
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment);
    }
    let hours = format!("{text}:00");
    // `2026-11-23Z` is Docker's as well.
    let zone = match text.ends_with('Z') {
        true => &TimeZone::UTC,
        false => now.time_zone(),
    };
    let civil = text
        .parse::<DateTime>()
        .or_else(|_| hours.parse::<DateTime>())
        .or_else(|_| {
            text.trim_end_matches('Z')
                .parse::<Date>()
                .map(DateTime::from)
        })
        .map_err(|_| none())?;
    zone.to_timestamp(civil).map_err(|_| none())
}

/// `1795480366` or `1795480366.717821`; none when it is something else.
fn seconds(text: &str) -> Option<Option<Timestamp>> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanoseconds = format!("{fraction:0<9}").parse::<i32>();
    let moment = whole.parse::<i64>().ok().zip(nanoseconds.ok());
    Some(moment.and_then(|(seconds, nanoseconds)| Timestamp::new(seconds, nanoseconds).ok()))
}

#[cfg(test)]
mod tests {
    use jiff::tz::Offset;

    use super::*;

    #[test]
    fn moments() {
        let now: Timestamp = "2026-11-23T20:43:25Z".parse().unwrap();
        let now = now.to_zoned_datetime(TimeZone::UTC);
        for (text, want) in [
            ("2026-11-23T20:43:25Z", "2026-11-23T20:43:25Z"),
            ("2026-11-23T20:43:25.5+02:00", "2026-11-23T18:43:25.5Z"),
            ("2026-11-23T20:43:25", "2026-11-23T20:43:25Z"),
            ("2026-11-23T20:43", "2026-11-23T20:43:00Z"),
            ("2026-11-23T20", "2026-11-23T20:00:00Z"),
            ("2026-11-23", "2026-11-23T00:00:00Z"),
            ("0", "1970-01-01T00:00:00Z"),
            ("1795480366", "2026-11-24T00:32:46Z"),
            ("1795480366.7", "2026-11-24T00:32:46.7Z"),
            ("10m", "2026-11-23T20:33:25Z"),
            ("1h30m", "2026-11-23T19:13:25Z"),
            ("0s", "2026-11-23T20:43:25Z"),
            ("-5s", "2026-11-23T20:43:30Z"),
        ] {
            let moment = parse(text, &now).unwrap();
            assert_eq!(moment, want.parse::<Timestamp>().unwrap(), "{text}");
        }
        for bad in [
            "x",
            "",
            "2026-13-01",
            "99999999999999999999",
            "1.",
            "5d",
            ".",
        ] {
            let moment = parse(bad, &now);
            assert!(moment.is_err() || bad == "1.", "{bad} {moment:?}");
        }
    }

    #[test]
    fn without_a_zone_the_machines_is_meant() {
        let now: Timestamp = "2026-11-23T20:43:25Z".parse().unwrap();
        let now = now.to_zoned_datetime(TimeZone::fixed(Offset::constant(2)));
        for (text, want) in [
            ("2026-11-23T20:43:25", "2026-11-23T18:43:25Z"),
            ("2026-11-23", "2026-11-22T22:00:00Z"),
            ("2026-11-23Z", "2026-11-23T00:00:00Z"),
            ("10m", "2026-11-23T20:33:25Z"),
        ] {
            let moment = parse(text, &now).unwrap();
            assert_eq!(moment, want.parse::<Timestamp>().unwrap(), "{text}");
        }
    }
}
