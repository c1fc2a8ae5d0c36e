//! `events`

use jiff::ZonedDateTime;

use crate::cli::system::EventsArgs;
use crate::error::Error;
use crate::flags::event_filter::EventFilters;
use crate::flags::moment;
use crate::print;
use crate::print::events::{Message, line};
use crate::print::template::{self, Template};
use crate::settings::Settings;

/// Tells what happens, one line each, until it is interrupted or the time is up.
pub(crate) fn run(settings: &Settings, args: EventsArgs) -> Result<u8, Error> {
    let now = ZonedDateTime::now();
    let at = |text: Option<&str>| match text {
        None | Some("") => Ok(None),
        Some(text) => moment::parse(text, &now).map(Some),
    };
    let (since, until) = (at(args.since.as_deref())?, at(args.until.as_deref())?);
    let filters = EventFilters::new(args.filter)?;
    let template = match args.format.as_deref() {
        None | Some("") => None,
        Some("json") => Some("{{json .}}".to_owned()),
        Some(format) => Some(format.replace("\\t", "\t").replace("\\n", "\n")),
    };
    let template = template
        .map(|text| Template::parse(&text).map_err(Error::EventTemplate))
        .transpose()?;
    let engine = settings.engine()?;
    super::runtime()?.block_on(async {
        let mut events = engine.events(since, until)?;
        while let Some(event) = events.next().await? {
            if !filters.matches(&event) {
                continue;
            }
            let text = match &template {
                None => line(&event),
                Some(template) => {
                    let fill = |data| template.fill(&data);
                    let filled = template::value(&Message::of(event)).and_then(fill);
                    filled.map_err(Error::EventTemplate)? + "\n"
                }
            };
            print::out(&text)?;
        }
        Ok(0)
    })
}
