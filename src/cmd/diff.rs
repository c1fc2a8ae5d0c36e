//! `diff`

use std::fmt::Write as _;

use crate::cli::files::DiffArgs;
use crate::error::Error;
use crate::print;
use crate::settings::Settings;

/// Prints what a container has changed: a letter and a path each.
pub(crate) fn run(settings: &Settings, args: DiffArgs) -> Result<u8, Error> {
    let engine = settings.engine()?;
    let container = engine.get(&args.container)?;
    let changes = super::runtime()?.block_on(container.diff())?;
    let mut text = String::new();
    for change in changes {
        // Writing to a string cannot fail.
        _ = writeln!(text, "{} {}", change.kind.letter(), change.path.display());
    }
    print::out(&text).map(|()| 0)
}
