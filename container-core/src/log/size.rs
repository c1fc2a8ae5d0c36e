//! Sizes as Docker's log options spell them.

/// `10k` is 10,000 bytes.
pub(super) fn decimal(text: &str) -> Option<u64> {
    parse(text, 1000.0)
}

/// `10k` is 10,240 bytes.
pub(super) fn binary(text: &str) -> Option<u64> {
    parse(text, 1024.0)
}

/// A number, perhaps a space, perhaps one of `kmgtp`, perhaps an `i`, perhaps a `b`, in any case of
/// letters.
fn parse(text: &str, base: f64) -> Option<u64> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    if !number.starts_with(|c: char| c.is_ascii_digit()) || number.ends_with('.') {
        return None;
    }
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let unit = unit.strip_suffix('i').unwrap_or(unit);
    let power = match unit {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    let bytes = number.parse::<f64>().ok()? * base.powi(power);
    // From f64, `as` saturates; beyond 2^53 a size of a log file is nothing anybody means.
    (bytes < 9.0e15).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_dockers() {
        for (text, bytes) in [
            ("10", 10),
            ("10k", 10_000),
            ("10K", 10_000),
            ("1.5k", 1500),
            ("10 m", 10_000_000),
            ("10MB", 10_000_000),
            ("10MiB", 10_000_000),
            ("2g", 2_000_000_000),
            ("0", 0),
        ] {
            assert_eq!(decimal(text), Some(bytes), "{text}");
        }
        assert_eq!(binary("10k"), Some(10_240));
        for text in [
            "", "x", "-1", "1.", ".5", "1.2.3", "k", "1kk", "1x", "9999p",
        ] {
            assert_eq!(decimal(text), None, "{text}");
        }
    }
}
