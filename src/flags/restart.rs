//! `--restart`: `no`, `on-failure[:times]`, `always`, `unless-stopped`.

use container_core::request::RestartPolicy;

/// Why it is no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum RestartError {
    #[error("invalid restart policy format: no policy provided before colon")]
    NoPolicy,
    #[error("invalid restart policy format: maximum retry count must be an integer")]
    Retries,
    #[error("maximum retry count cannot be negative")]
    Negative,
    #[error("maximum retry count cannot be used with restart policy '{0}'")]
    RetriesOf(String),
    #[error("invalid restart policy '{0}' (use no, on-failure[:times], always or unless-stopped)")]
    Unknown(String),
}

/// A policy; an empty text is `no`.
///
/// # Errors
/// It is none.
pub(crate) fn parse(text: &str) -> Result<RestartPolicy, RestartError> {
    let (name, retries) = match text.split_once(':') {
        Some(("", _)) => return Err(RestartError::NoPolicy),
        Some((name, retries)) => (name, retries),
        None => (text, ""),
    };
    let retries = match retries {
        "" => 0,
        retries => retries.parse::<i64>().map_err(|_| RestartError::Retries)?,
    };
    let policy = match name {
        "" | "no" => RestartPolicy::No,
        "always" => RestartPolicy::Always,
        "unless-stopped" => RestartPolicy::UnlessStopped,
        "on-failure" => match u32::try_from(retries) {
            Ok(max_retries) => return Ok(RestartPolicy::OnFailure { max_retries }),
            Err(_) if retries < 0 => return Err(RestartError::Negative),
            Err(_) => return Err(RestartError::Retries),
        },
        name => return Err(RestartError::Unknown(name.to_owned())),
    };
    match retries {
        0 => Ok(policy),
        _ => Err(RestartError::RetriesOf(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies() {
        let failure = |max_retries| RestartPolicy::OnFailure { max_retries };
        for (text, want) in [
            ("", Ok(RestartPolicy::No)),
            ("no", Ok(RestartPolicy::No)),
            ("always", Ok(RestartPolicy::Always)),
            ("unless-stopped", Ok(RestartPolicy::UnlessStopped)),
            ("on-failure", Ok(failure(0))),
            ("on-failure:3", Ok(failure(3))),
            ("on-failure:-1", Err(RestartError::Negative)),
            ("on-failure:x", Err(RestartError::Retries)),
            ("always:3", Err(RestartError::RetriesOf("always".into()))),
            ("no:3", Err(RestartError::RetriesOf("no".into()))),
            (":3", Err(RestartError::NoPolicy)),
            ("foo", Err(RestartError::Unknown("foo".into()))),
        ] {
            assert_eq!(parse(text), want, "{text}");
        }
    }
}
