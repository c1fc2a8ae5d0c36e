//! The rows of `history`.

use container_core::image::store::HistoryEntry;
use jiff::Timestamp;
use serde::Serialize;

use super::containers::shortened;
use super::{age, images, size};

/// How rows are made.
pub(crate) struct Options {
    pub(crate) human: bool,
    pub(crate) no_trunc: bool,
    pub(crate) now: Timestamp,
}

/// A row; the fields are those of Docker's templates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename = "*image.historyContext", rename_all = "PascalCase")]
pub(crate) struct Row {
    #[serde(rename = "ID")]
    pub(crate) id: String,
    pub(crate) created_at: String,
    pub(crate) created_since: String,
    pub(crate) created_by: String,
    pub(crate) size: String,
    pub(crate) comment: String,
}

/// How many characters of a command are shown.
const COMMAND: usize = 45;

/// The row of a step.
pub(crate) fn row(entry: &HistoryEntry, options: &Options) -> Row {
    let created_at = entry.created.map_or_else(
        || "N/A".to_owned(),
        |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    );
    let command = entry.created_by.replace(['\t', '\n'], " ");
    Row {
        id: match &entry.id {
            Some(id) => images::id(id, options.no_trunc),
            None => "<missing>".to_owned(),
        },
        created_since: match entry.created {
            Some(time) if options.human => age::ago(time, options.now),
            _ => created_at.clone(),
        },
        created_at,
        created_by: match options.no_trunc {
            true => command,
            false => shortened(&command, COMMAND),
        },
        size: if options.human {
            size::human(entry.size)
        } else {
            entry.size.to_string()
        },
        comment: entry.comment.clone(),
    }
}

/// The table of `docker history`.
pub(crate) const TABLE: &str =
    "table {{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";

/// The titles of its columns; with times as they are, the column of ages is one of times.
pub(crate) fn titles(human: bool) -> [(&'static str, &'static str); 6] {
    [
        ("Comment", "COMMENT"),
        ("CreatedAt", "CREATED AT"),
        ("CreatedBy", "CREATED BY"),
        ("CreatedSince", if human { "CREATED" } else { "CREATED AT" }),
        ("ID", "IMAGE"),
        ("Size", "SIZE"),
    ]
}
