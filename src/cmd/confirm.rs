//! The question before much is removed.

use std::io::{self, BufRead as _};

use crate::error::Error;
use crate::print;

/// Asks on the terminal, unless it is forced. What is not a yes is a no.
///
/// # Errors
/// No; the answer cannot be read.
pub(super) fn confirm(force: bool, question: &str, verb: &'static str) -> Result<(), Error> {
    if force {
        return Ok(());
    }
    print::out(&format!(
        "{question}Are you sure you want to continue? [y/N] "
    ))?;
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|source| Error::System {
            action: "read the answer",
            source,
        })?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Error::Cancelled(verb)),
    }
}
