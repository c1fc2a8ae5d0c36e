//! Durations as Go writes them: `1m30s`, `1.5h`, `300ms`.

use std::time::Duration;

/// `None` for what is no duration, is negative, or too long for Go.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0i64;
    while !rest.is_empty() {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let (whole, after) = rest.split_at(digits(rest));
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => after.split_at(digits(after)),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let letters = after
            .bytes()
            .take_while(|b| !b.is_ascii_digit() && *b != b'.');
        let (unit, after) = after.split_at_checked(letters.count())?;
        let unit = unit_of(unit)?;
        let whole = match whole {
            "" => 0,
            whole => whole.parse::<i64>().ok()?.checked_mul(unit)?,
        };
        // Beyond a nanosecond nothing counts.
        let (mut part, mut scale) = (0i64, unit);
        for digit in fraction.bytes() {
            scale /= 10;
            part += i64::from(digit - b'0') * scale;
        }
        total = total.checked_add(whole)?.checked_add(part)?;
        rest = after;
    }
    u64::try_from(total).ok().map(Duration::from_nanos)
}

fn unit_of(name: &str) -> Option<i64> {
    Some(match name {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("5s", 5_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("300ms", 300_000_000),
            (".5s", 500_000_000),
            ("2µs", 2_000),
        ] {
            let expected = Duration::from_nanos(nanoseconds);
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        for bad in [
            "",
            "5",
            "s",
            "1x",
            "1s2",
            ".",
            "-",
            "9999999999h",
            "1 s",
            "1µ",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
