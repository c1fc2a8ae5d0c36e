//! Text out: tables, sizes, ages, templates, progress.

pub(crate) mod age;
pub(crate) mod containers;
pub(crate) mod df;
pub(crate) mod events;
pub(crate) mod history;
pub(crate) mod images;
pub(crate) mod info;
pub(crate) mod inspect;
pub(crate) mod log_lines;
pub(crate) mod processes;
pub(crate) mod progress;
pub(crate) mod rows;
pub(crate) mod size;
pub(crate) mod stats;
pub(crate) mod table;
pub(crate) mod template;
pub(crate) mod volumes;

use std::io::Write as _;

use crate::error::Error;

/// Writes to standard output.
pub(crate) fn out(text: &str) -> Result<(), Error> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(Error::Output)
}

/// Writes a line to standard error. There is nobody to tell when that fails.
pub(crate) fn err(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = writeln!(stderr, "{text}");
}
