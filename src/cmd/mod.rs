//! One file a verb: its flags become calls of the library, what comes back becomes text.

pub(crate) mod completion;
pub(crate) mod history;
pub(crate) mod images;
pub(crate) mod import;
pub(crate) mod info;
pub(crate) mod inspect;
pub(crate) mod load;
pub(crate) mod man;
pub(crate) mod prune;
pub(crate) mod pull;
pub(crate) mod rmi;
pub(crate) mod run;
pub(crate) mod save;
pub(crate) mod start_all;
pub(crate) mod tag;
pub(crate) mod version;

use container_core::image::Reference;
use serde::Serialize;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use crate::error::Error;
use crate::print::template::{self, TemplateError};

/// A runtime on this thread: starting more threads would take longer than a container's start.
fn runtime() -> Result<Runtime, Error> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Error::System {
            action: "start the runtime",
            source,
        })
}

/// An image's name.
fn reference(text: &str) -> Result<Reference, Error> {
    text.parse().map_err(Error::Reference)
}

/// One object as `--format` wants it, with a line's end: JSON on one line, or a template filled.
fn formatted(format: &str, object: &Value) -> Result<String, TemplateError> {
    let mut text = match format {
        "json" => object.to_string(),
        template => template::fill(template, object)?,
    };
    text.push('\n');
    Ok(text)
}

/// Rows as `--format` wants them, one a line.
fn formatted_rows<T: Serialize>(format: &str, rows: &[T]) -> Result<String, Error> {
    let mut text = String::new();
    for row in rows {
        let object = serde_json::to_value(row).map_err(Error::Json)?;
        text.push_str(&formatted(format, &object)?);
    }
    Ok(text)
}
