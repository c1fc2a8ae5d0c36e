//! Sizes (`512m`, `1.5g`), processors (`1.5`) and plain numbers.

/// Why a number or size is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum NumberError {
    #[error("invalid size: '{0}' (use bytes or a number with b, k, m or g)")]
    Size(String),
    #[error("invalid suffix: '{0}' (use b, k, m, g, t or p)")]
    Suffix(String),
    #[error("failed to parse {0} as a rational number")]
    Cpus(String),
    #[error("value is too precise")]
    Precision,
    #[error("parsing {0:?}: invalid syntax (use true or false)")]
    Switch(String),
}

/// Bytes from `1024`, `512m`, `1.5GiB`: powers of 1024, as Docker reads memory.
pub(crate) fn bytes(text: &str) -> Result<u64, NumberError> {
    let bad = || NumberError::Size(text.to_owned());
    let end = text
        .rfind(|c: char| c.is_ascii_digit() || c == '.')
        .ok_or_else(bad)?
        + 1;
    let (number, suffix) = text.split_at(end);
    if !number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err(bad());
    }
    let number: f64 = number.parse().map_err(|_| bad())?;
    let suffix = suffix
        .strip_prefix(' ')
        .unwrap_or(suffix)
        .to_ascii_lowercase();
    let shift = match suffix.trim_end_matches("ib").trim_end_matches('b') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return Err(NumberError::Suffix(suffix)),
    };
    let size = number * (1u64 << shift) as f64;
    // Beyond 2^63 the kernel's interfaces have no number for it.
    if size >= i64::MAX as f64 {
        Err(bad())
    } else {
        Ok(size as u64)
    }
}

/// Bytes, or -1 for no limit (`--memory-swap`).
pub(crate) fn bytes_or_unlimited(text: &str) -> Result<i64, NumberError> {
    if text == "-1" {
        return Ok(-1);
    }
    bytes(text).map(|b| i64::try_from(b).unwrap_or(i64::MAX))
}

/// Processors: a decimal number with at most nine digits after the point (nanoseconds of a second).
pub(crate) fn cpus(text: &str) -> Result<f64, NumberError> {
    let value: f64 = text
        .parse()
        .map_err(|_| NumberError::Cpus(text.to_owned()))?;
    if !value.is_finite() {
        return Err(NumberError::Cpus(text.to_owned()));
    }
    let nano = value * 1e9;
    if (nano - nano.round()).abs() > 1e-6 * nano.abs().max(1.0) {
        return Err(NumberError::Precision);
    }
    Ok(value)
}

/// A switch's value, with the spellings of Go's `strconv.ParseBool`.
pub(crate) fn switch(text: &str) -> Result<bool, NumberError> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(NumberError::Switch(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, want) in [
            ("0", 0),
            ("1024", 1024),
            ("32b", 32),
            ("32B", 32),
            ("4k", 4096),
            ("512m", 512 << 20),
            ("512M", 512 << 20),
            ("512mb", 512 << 20),
            ("512MiB", 512 << 20),
            ("1g", 1 << 30),
            ("1.5g", 3 << 29),
            ("1 g", 1 << 30),
            ("2t", 2 << 40),
        ] {
            assert_eq!(bytes(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn wrong_sizes() {
        for text in ["", "q", "-1", "-5m", "1..2m", "1e3", "99999p", "m", "+5"] {
            assert_eq!(
                bytes(text),
                Err(NumberError::Size(text.to_owned())),
                "{text}"
            );
        }
        for (text, suffix) in [("12zz", "zz"), ("5mm", "mm"), ("1 gg", "gg"), ("5kk", "kk")] {
            assert_eq!(
                bytes(text),
                Err(NumberError::Suffix(suffix.to_owned())),
                "{text}"
            );
        }
    }

    #[test]
    fn swap() {
        assert_eq!(bytes_or_unlimited("-1"), Ok(-1));
        assert_eq!(bytes_or_unlimited("1g"), Ok(1 << 30));
        assert!(bytes_or_unlimited("-2").is_err());
    }

    #[test]
    fn processors() {
        assert_eq!(cpus("1.5"), Ok(1.5));
        assert_eq!(cpus("0.000000001"), Ok(1e-9));
        assert_eq!(cpus("abc"), Err(NumberError::Cpus("abc".into())));
        assert_eq!(cpus("inf"), Err(NumberError::Cpus("inf".into())));
        assert_eq!(cpus("0.0000000001"), Err(NumberError::Precision));
    }

    #[test]
    fn switches() {
        assert_eq!(switch("true"), Ok(true));
        assert_eq!(switch("0"), Ok(false));
        assert!(switch("maybe").is_err());
    }
}
