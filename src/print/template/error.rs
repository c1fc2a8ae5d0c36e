//! What is wrong with a template, in Go's words.

/// Why a template cannot be printed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum TemplateError {
    /// It is no template.
    #[error("template: :{line}: {why}")]
    Parse { line: usize, why: String },
    /// It does not fit the data.
    #[error("template: :{line}:{column}: executing \"\" at <{context}>: {why}")]
    Execute {
        line: usize,
        column: usize,
        context: String,
        why: String,
    },
    /// It never ends, or prints too much.
    #[error("template: {0}")]
    Endless(&'static str),
    /// The data cannot be shown.
    #[error("template: {0}")]
    Data(String),
}
