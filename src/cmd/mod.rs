//! One file a verb: its flags become calls of the library, what comes back becomes text.

pub(crate) mod attach;
pub(crate) mod commit;
pub(crate) mod completion;
mod confirm;
pub(crate) mod cp;
pub(crate) mod create;
pub(crate) mod df;
pub(crate) mod diff;
mod each;
pub(crate) mod events;
pub(crate) mod exec;
pub(crate) mod export;
pub(crate) mod history;
pub(crate) mod images;
pub(crate) mod import;
pub(crate) mod info;
pub(crate) mod inspect;
pub(crate) mod load;
pub(crate) mod logs;
pub(crate) mod man;
mod output;
pub(crate) mod pause;
pub(crate) mod port;
pub(crate) mod prune;
pub(crate) mod ps;
pub(crate) mod pull;
pub(crate) mod rename;
mod request;
pub(crate) mod rm;
pub(crate) mod rmi;
pub(crate) mod run;
pub(crate) mod save;
pub(crate) mod start;
pub(crate) mod start_all;
pub(crate) mod stats;
pub(crate) mod stop;
pub(crate) mod tag;
pub(crate) mod top;
pub(crate) mod update;
pub(crate) mod version;
pub(crate) mod volume;
pub(crate) mod wait;

use container_core::image::Reference;
use container_core::image::store::StoreError;
use serde::Serialize;
use tokio::runtime::{Builder, Runtime};

use crate::error::Error;
use crate::print::template::{self, Template};

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

/// An image that is not there, by the name that was looked for: with the tag that was meant.
fn with_tag(error: StoreError) -> StoreError {
    match error {
        StoreError::NotFound { name } => StoreError::NotFound {
            name: match name.parse::<Reference>() {
                Ok(reference) => reference.familiar(),
                Err(_) => name,
            },
        },
        error => error,
    }
}

/// One object as `--format` wants it, with a line's end: JSON on one line, or a template filled.
fn formatted(format: &str, object: &impl Serialize) -> Result<String, Error> {
    let format = if format == "json" {
        "{{json .}}"
    } else {
        format
    };
    let template = Template::parse(format).map_err(Error::ObjectTemplate)?;
    let filled = template::value(object).and_then(|data| template.fill(&data));
    let mut text = filled.map_err(Error::Unfilled)?;
    text.push('\n');
    Ok(text)
}
