//! Times as Go reads them: `1h30m`, `1.5s`, `300ms`.

use std::time::Duration;

/// Why it is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum DurationError {
    #[error("time: invalid duration {0:?}")]
    Invalid(String),
    #[error("time: missing unit in duration {0:?}")]
    Unit(String),
    #[error("time: unknown unit {unit:?} in duration {text:?}")]
    UnknownUnit { unit: String, text: String },
    #[error("it cannot be negative")]
    Negative,
}

/// A time from a text of numbers with units.
///
/// # Errors
/// It is none, or is negative.
pub(crate) fn parse(text: &str) -> Result<Duration, DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = 0_f64;
    // Whole nanoseconds are counted apart, so that they stay exact.
    let mut nanoseconds = 0_u64;
    while !rest.is_empty() && rest != "0" {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        if number.trim_matches('.').is_empty() || number.matches('.').count() > 1 {
            return Err(invalid());
        }
        let unit = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let scale = match unit {
            "" => return Err(DurationError::Unit(text.to_owned())),
            "ns" => 1_u64,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            unit => {
                return Err(DurationError::UnknownUnit {
                    unit: unit.to_owned(),
                    text: text.to_owned(),
                });
            }
        };
        match number.parse::<u64>() {
            Ok(number) => {
                let more = number.checked_mul(scale).ok_or_else(invalid)?;
                nanoseconds = nanoseconds.checked_add(more).ok_or_else(invalid)?;
            }
            Err(_) => total += number.parse::<f64>().map_err(|_| invalid())? * scale as f64,
        }
        rest = after;
    }
    let fraction = total.round();
    // Go's durations end at 292 years.
    if fraction >= i64::MAX as f64 || nanoseconds > i64::MAX as u64 {
        return Err(invalid());
    }
    let time = Duration::from_nanos(nanoseconds.saturating_add(fraction as u64));
    match negative && !time.is_zero() {
        true => Err(DurationError::Negative),
        false => Ok(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("-0", 0),
            ("5s", 5_000_000_000),
            ("+5s", 5_000_000_000),
            ("1h2m3s", 3_723_000_000_000),
            ("1.5s", 1_500_000_000),
            (".5m", 30_000_000_000),
            ("300ms", 300_000_000),
            ("1us1ns", 1001),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_nanos(nanoseconds)), "{text}");
        }
        for (text, want) in [
            ("x", "time: invalid duration \"x\""),
            ("", "time: invalid duration \"\""),
            ("5", "time: missing unit in duration \"5\""),
            ("5d", "time: unknown unit \"d\" in duration \"5d\""),
            ("1..5s", "time: invalid duration \"1..5s\""),
            ("99999999999h", "time: invalid duration \"99999999999h\""),
            ("-1s", "it cannot be negative"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), want, "{text}");
        }
    }
}
