//! `history`

use jiff::Timestamp;

use super::formatted_rows;
use crate::cli::image::HistoryArgs;
use crate::error::Error;
use crate::print;
use crate::print::history::{Options, row, table};
use crate::settings::Settings;

/// Shows how an image came about, newest step first.
pub(crate) fn run(settings: &Settings, args: HistoryArgs) -> Result<u8, Error> {
    let engine = settings.engine()?;
    let image = engine.store().find(&args.image)?;
    let options = Options {
        human: args.human,
        no_trunc: args.no_trunc,
        now: Timestamp::now(),
    };
    let entries = engine.store().history(&image)?;
    let rows: Vec<_> = entries.iter().map(|entry| row(entry, &options)).collect();
    let text = match args.format.as_deref() {
        None | Some("" | "table") if args.quiet => {
            rows.into_iter().map(|row| row.id + "\n").collect()
        }
        None | Some("" | "table") => table(&rows, args.human),
        Some(format) => formatted_rows(format, &rows)?,
    };
    print::out(&text).map(|()| 0)
}
