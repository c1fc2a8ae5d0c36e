//! `history`

use jiff::Timestamp;

use crate::cli::image::HistoryArgs;
use crate::error::Error;
use crate::print;
use crate::print::history::{Options, TABLE, row, titles};
use crate::print::rows::is_default;
use crate::settings::Settings;

/// Shows how an image came about, newest step first.
pub(crate) fn run(settings: &Settings, args: HistoryArgs) -> Result<u8, Error> {
    let engine = settings.engine()?;
    let image = engine.store().find(&args.image).map_err(super::with_tag)?;
    let options = Options {
        human: args.human,
        no_trunc: args.no_trunc,
        now: Timestamp::now(),
    };
    let entries = engine.store().history(&image)?;
    let rows: Vec<_> = entries.iter().map(|entry| row(entry, &options)).collect();
    let titles = titles(args.human);
    let text = match args.format.as_deref() {
        format if is_default(format) && args.quiet => {
            rows.into_iter().map(|row| row.id + "\n").collect()
        }
        format if is_default(format) => print::rows::rows(TABLE, &titles, &rows)?,
        format => print::rows::rows(format.unwrap_or_default(), &titles, &rows)?,
    };
    print::out(&text).map(|()| 0)
}
