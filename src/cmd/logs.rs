//! `logs`

use container_core::{LogOptions, LogStream};
use jiff::ZonedDateTime;

use crate::cli::streams::LogsArgs;
use crate::error::Error;
use crate::flags::moment;
use crate::print::log_lines::Printer;
use crate::settings::Settings;

/// Prints what a container has written, and goes on printing when told to.
pub(crate) fn run(settings: &Settings, args: LogsArgs) -> Result<u8, Error> {
    let now = ZonedDateTime::now();
    let at = |flag, text: Option<&str>| match text {
        None | Some("") => Ok(None),
        Some(text) => moment::parse(text, &now)
            .map(Some)
            .map_err(|reason| Error::MomentOf { flag, reason }),
    };
    let options = LogOptions::new()
        .follow(args.follow)
        .details(args.details)
        .since(at("since", args.since.as_deref())?)
        .until(at("until", args.until.as_deref())?)
        // What is no number means all, as Docker has it.
        .tail(args.tail.parse::<u64>().ok());
    let container = settings.engine()?.get(&args.container)?;
    super::runtime()?.block_on(async {
        let mut reader = container.logs(options).await?;
        let mut printer = Printer::new(args.timestamps, args.details);
        while let Some(line) = reader.next().await? {
            match line.stream {
                LogStream::Stdout => printer.out(&line)?,
                LogStream::Stderr => printer.err(&line)?,
            }
            if reader.ready() == 0 {
                printer.flush()?;
            }
        }
        printer.flush()?;
        Ok(0)
    })
}
