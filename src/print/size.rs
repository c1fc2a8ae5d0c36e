//! Sizes as Docker prints them: powers of 1000, three significant digits.

const UNITS: [&str; 9] = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];

/// `1.99MB`.
pub(crate) fn human(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = 0;
    // 999.5 and more would round to four digits.
    while value >= if unit == 0 { 1000.0 } else { 999.5 } && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let decimals = if unit == 0 || value >= 99.95 {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
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
    fn memory() {
        assert_eq!(binary(25_276_162_048), "23.54GiB");
        assert_eq!(binary(512), "512B");
        assert_eq!(binary(1 << 30), "1GiB");
    }
}
