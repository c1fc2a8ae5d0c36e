//! Sizes as Docker prints them: powers of 1000, three significant digits.

const UNITS: [&str; 9] = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];

/// `1.99MB`.
pub(crate) fn human(bytes: u64) -> String {
    with_digits(bytes, 3)
}

/// `1.986MB`: one digit more.
pub(crate) fn human_exact(bytes: u64) -> String {
    with_digits(bytes, 4)
}

fn with_digits(bytes: u64, digits: i32) -> String {
    let mut value = bytes as f64;
    let mut unit = 0;
    // More would round to another digit before the point: 999.5 of three, never of four.
    let full = (1000.0 - 0.5 * 10_f64.powi(3 - digits)).min(1000.0);
    while value >= if unit == 0 { 1000.0 } else { full } && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    // Where rounding fills the digits before the point, one less is left behind it.
    let filled = |places: i32| 10_f64.powi(places) - 0.5 * 10_f64.powi(places - digits);
    let before = (1..3).find(|places| value < filled(*places)).unwrap_or(3);
    let decimals = match unit {
        0 => 0,
        _ => usize::try_from(digits - before).unwrap_or(0),
    };
    let number = format!("{value:.decimals$}");
    let number = match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.'),
        false => &number,
    };
    format!("{number}{}", UNITS.get(unit).copied().unwrap_or_default())
}

/// `23.54GiB`, as `info` shows memory.
pub(crate) fn binary(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = match value {
        v if v < 10.0 => 3,
        v if v < 100.0 => 2,
        v if v < 1000.0 => 1,
        _ => 0,
    };
    let number = format!("{value:.decimals$}");
    let number = match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.'),
        false => &number,
    };
    format!("{number}{}", UNITS.get(unit).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, want) in [
            (0, "0B"),
            (1, "1B"),
            (999, "999B"),
            (1000, "1kB"),
            (1234, "1.23kB"),
            (10_000, "10kB"),
            (1_986_000, "1.99MB"),
            (9_996_000, "10MB"),
            (99_960_000, "100MB"),
            (116_561_757, "117MB"),
            (999_600_000, "1GB"),
            (1_000_000_000_000, "1TB"),
            (u64::MAX, "18.4EB"),
        ] {
            assert_eq!(human(bytes), want, "{bytes}");
        }
    }

    #[test]
    fn exact_sizes() {
        for (bytes, want) in [
            (0, "0B"),
            (58, "58B"),
            (1_985_688, "1.986MB"),
            (8_017_000, "8.017MB"),
            (126_600_000, "126.6MB"),
            (116_561_757, "116.6MB"),
            (999_960_000, "1GB"),
            (1_000_000, "1MB"),
        ] {
            assert_eq!(human_exact(bytes), want, "{bytes}");
        }
    }

    #[test]
    fn memory() {
        assert_eq!(binary(25_276_162_048), "23.54GiB");
        assert_eq!(binary(512), "512B");
        assert_eq!(binary(1 << 30), "1GiB");
    }
}
