//! What names and ids are compared with in filters.

use regex_lite::Regex;

/// Docker takes it for a regular expression; what is none matches itself alone.
#[derive(Debug)]
pub(crate) struct Pattern {
    text: String,
    expression: Option<Regex>,
}

impl Pattern {
    pub(crate) fn new(text: String) -> Self {
        let expression = Regex::new(&text).ok();
        Self { text, expression }
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        self.text == text || self.expression.as_ref().is_some_and(|e| e.is_match(text))
    }
}
