//! `--ulimit name=soft[:hard]`.

use container_core::request::Ulimit;

/// Why a limit is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum UlimitError {
    #[error("invalid ulimit argument: {0}")]
    NoValue(String),
    #[error("invalid ulimit type: {0}")]
    Name(String),
    #[error("parsing {0:?}: invalid syntax")]
    Number(String),
    #[error("too many limit value arguments - {0}, can only have up to two, `soft[:hard]`")]
    TooMany(String),
    #[error("ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}")]
    SoftAboveHard { soft: i64, hard: i64 },
}

/// The names of getrlimit(2), lower-case and without `RLIMIT_`.
const NAMES: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Reads one `--ulimit`. A single number is both limits; -1 is no limit.
pub(crate) fn parse(text: &str) -> Result<Ulimit, UlimitError> {
    let (name, values) = text
        .split_once('=')
        .ok_or_else(|| UlimitError::NoValue(text.to_owned()))?;
    if !NAMES.contains(&name) {
        return Err(UlimitError::Name(name.to_owned()));
    }
    let number = |text: &str| {
        text.parse::<i64>()
            .map_err(|_| UlimitError::Number(text.to_owned()))
    };
    let mut parts = values.split(':');
    let soft = number(parts.next().unwrap_or_default())?;
    let hard = parts.next().map_or(Ok(soft), number)?;
    if parts.next().is_some() {
        return Err(UlimitError::TooMany(values.to_owned()));
    }
    if hard != -1 && (soft == -1 || soft > hard) {
        return Err(UlimitError::SoftAboveHard { soft, hard });
    }
    Ok(Ulimit {
        name: name.to_owned(),
        soft,
        hard,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        for (text, soft, hard) in [
            ("nofile=1024:2048", 1024, 2048),
            ("nofile=1024", 1024, 1024),
            ("nofile=-1", -1, -1),
            ("nofile=5:-1", 5, -1),
        ] {
            assert_eq!(
                parse(text),
                Ok(Ulimit {
                    name: "nofile".into(),
                    soft,
                    hard
                }),
                "{text}"
            );
        }
    }

    #[test]
    fn wrong_limits() {
        for (text, want) in [
            ("nofile", "invalid ulimit argument: nofile"),
            ("foo=1", "invalid ulimit type: foo"),
            ("nofile=a", "parsing \"a\": invalid syntax"),
            ("nofile=5:", "parsing \"\": invalid syntax"),
            (
                "nofile=5:4",
                "ulimit soft limit must be less than or equal to hard limit: 5 > 4",
            ),
            (
                "nofile=5:4:3",
                "too many limit value arguments - 5:4:3, can only have up to two, `soft[:hard]`",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), want, "{text}");
        }
    }
}
