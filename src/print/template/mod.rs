//! Go's templates, as `--format` takes them: text/template with Docker's functions, over data that
//! serde can write. What Go's templates accept is accepted, and what is wrong with one is said in
//! Go's words; only `define`, `template` and `block` are refused, and complex numbers.
//!
//! ```text
//! text ─lex→ tokens ─parse→ nodes ─execute over a Value→ text
//! ```
//!
//! A template comes from the caller, who may print what he likes to himself; still, how deeply it
//! is nested, how many steps it takes and how much it prints are bounded.

mod compare;
mod error;
mod escape;
mod execute;
mod function;
mod lex;
mod node;
mod parse;
mod printf;
mod quote;
mod serialize;
mod show;
#[cfg(test)]
mod tests;
mod value;

use std::collections::BTreeMap;
use std::rc::Rc;

use serde::Serialize;

pub(crate) use error::TemplateError;
use execute::{Missing, Part, Walk};
use node::Node;
use value::{Label, Map};
pub(crate) use value::{Labels, NilList, NilMap, Omit, Value};

/// A template, parsed.
#[derive(Debug)]
pub(crate) struct Template {
    text: String,
    nodes: Vec<Node>,
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        Ok(Self {
            nodes: parse::parse(text)?,
            text: text.to_owned(),
        })
    }

    /// Fills it in for a row: what a struct has not is an error, a key that a map has not is
    /// nothing.
    ///
    /// # Errors
    /// The template does not fit the data.
    pub(crate) fn fill(&self, data: &Value) -> Result<String, TemplateError> {
        let mut walk = Walk::new(&self.text, data.clone(), Missing::Nothing, Part::Row);
        walk.fill(&self.nodes)?;
        Ok(walk.out)
    }

    /// Fills it in for an object as `inspect` does: first with Go's names of the fields, and where
    /// that fails with JSON's, and then what is missing is an error.
    ///
    /// # Errors
    /// The template does not fit the data.
    pub(crate) fn inspect(&self, data: &Value) -> Result<String, TemplateError> {
        if let Ok(text) = self.fill(data) {
            return Ok(text);
        }
        let mut walk = Walk::new(&self.text, data.plain(), Missing::Error, Part::Row);
        walk.fill(&self.nodes)?;
        Ok(walk.out)
    }

    /// The header above rows that this template prints: the columns' titles in place of their
    /// values. What does not fit ends it.
    pub(crate) fn header(&self, titles: &Value) -> String {
        let mut walk = Walk::new(&self.text, titles.clone(), Missing::Nothing, Part::Header);
        // The rows have told what is wrong, if there were rows.
        let _ = walk.fill(&self.nodes);
        walk.out
    }
}

/// Data as templates see it.
///
/// # Errors
/// It cannot be put in JSON either.
pub(crate) fn value(data: &impl Serialize) -> Result<Value, TemplateError> {
    Value::of(data).map_err(|error| TemplateError::Data(error.to_string()))
}

/// A text in double quotes, with Go's escapes.
pub(crate) fn quoted(text: &str) -> String {
    quote::quote(text)
}

/// The titles of a table's columns, for [`Template::header`].
pub(crate) fn titles(titles: &[(&str, &str)]) -> Value {
    let mut entries: BTreeMap<String, Value> = titles
        .iter()
        .map(|(name, title)| ((*name).to_owned(), Value::text(*title)))
        .collect();
    entries.insert("Label".to_owned(), Value::Label(Label::Title));
    Value::Map(Rc::new(Map::typed(entries)))
}
