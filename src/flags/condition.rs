//! One `--filter`: `name=value`.

/// A filter, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// Why it is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ConditionError {
    #[error("bad format of filter (expected name=value)")]
    Format,
}

/// Takes a filter apart. Names are of any case.
///
/// # Errors
/// There is no `=` in it.
pub(crate) fn parse(text: &str) -> Result<Condition, ConditionError> {
    let (name, value) = text.split_once('=').ok_or(ConditionError::Format)?;
    Ok(Condition {
        name: name.trim().to_ascii_lowercase(),
        value: value.trim().to_owned(),
    })
}
