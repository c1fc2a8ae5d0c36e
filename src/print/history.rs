//! The rows of `history`.

use container_core::image::store::HistoryEntry;
use jiff::Timestamp;
use serde::Serialize;

use super::{age, images, size, table};

/// How rows are made.
pub(crate) struct Options {
    pub(crate) human: bool,
    pub(crate) no_trunc: bool,
    pub(crate) now: Timestamp,
}

/// A row; the fields are those of Docker's templates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
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

fn shortened(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(limit - 1).collect();
    short.push('…');
    short
}

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
pub(crate) fn table(rows: &[Row], human: bool) -> String {
    let created = if human { "CREATED" } else { "CREATED AT" };
    let cells = rows.iter().map(|row| {
        let row = row.clone();
        vec![
            row.id,
            row.created_since,
            row.created_by,
            row.size,
            row.comment,
        ]
    });
    table::table(
        &["IMAGE", created, "CREATED BY", "SIZE", "COMMENT"],
        &cells.collect::<Vec<_>>(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_commands() {
        assert_eq!(shortened("short", 45), "short");
        let long = "x".repeat(46);
        assert_eq!(shortened(&long, 45), format!("{}…", "x".repeat(44)));
        assert_eq!(shortened(&"ä".repeat(45), 45), "ä".repeat(45));
    }
}
