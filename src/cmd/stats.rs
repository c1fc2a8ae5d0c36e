//! `stats`

use std::collections::HashMap;
use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use container_core::cgroup::Stats;
use container_core::{Container, Engine, Error as CoreError};
use tokio::time::{MissedTickBehavior, interval};

use crate::cli::container::StatsArgs;
use crate::error::Error;
use crate::machine;
use crate::print::containers::short_id;
use crate::print::rows::is_default;
use crate::print::stats::{Counted, Names, Row, TABLE, TITLES, Used, row};
use crate::print::{self, rows};
use crate::settings::Settings;

/// Docker looks once a second.
const PERIOD: Duration = Duration::from_secs(1);
/// To the upper left corner; what is left of the line; what is left of the screen.
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K\n";
const CLEAR: &str = "\x1b[J";

/// Shows what containers use: once, or once a second until it is interrupted.
pub(crate) fn run(settings: &Settings, args: StatsArgs) -> Result<u8, Error> {
    let format = match args.format.as_deref() {
        format if is_default(format) => TABLE,
        format => format.unwrap_or_default(),
    };
    let engine = settings.engine()?;
    let mut watch = Watch {
        memory: machine::memory(),
        seen: HashMap::new(),
        args: &args,
        engine,
    };
    // Who is named has to be there; who comes later is shown when it comes.
    watch.look(true)?;
    super::runtime()?.block_on(async {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            // Two looks give a share of time.
            ticks.tick().await;
            let text = rows::rows(format, TITLES, &watch.look(false)?)?;
            if args.no_stream {
                return print::out(&text).map(|()| 0);
            }
            print::out(&match io::stdout().is_terminal() {
                true => format!("{HOME}{}{CLEAR}", text.replace('\n', CLEAR_LINE)),
                false => text,
            })?;
        }
    })
}

/// Looks again and again.
struct Watch<'a> {
    engine: Engine,
    args: &'a StatsArgs,
    /// The machine's.
    memory: u64,
    /// When each was looked at, and what processor time it had used by then.
    seen: HashMap<String, (Instant, Duration)>,
}

impl Watch<'_> {
    fn look(&mut self, first: bool) -> Result<Vec<Row>, Error> {
        let mut shown = Vec::new();
        if !self.args.containers.is_empty() {
            for name in &self.args.containers {
                match self.engine.get(name) {
                    Ok(container) => shown.push(self.row(name.clone(), &container)),
                    // One that was there has been removed.
                    Err(_) if !first => {}
                    Err(error) => return Err(error.into()),
                }
            }
            return Ok(shown);
        }
        let listed = match self.args.all {
            true => self.engine.containers()?,
            false => self.engine.running()?,
        };
        for inspect in listed {
            let id = inspect.record.id;
            if let Ok(container) = self.engine.get(&id) {
                shown.push(self.row(short_id(&id), &container));
            }
        }
        Ok(shown)
    }

    fn row(&mut self, called: String, container: &Container) -> Row {
        let now = Instant::now();
        let stats = match container.stats() {
            // An ordinary user's containers have no cgroup where none is delegated.
            Ok(Stats {
                memory: None,
                cpu: None,
                pids: None,
                ..
            }) => Counted::Unknown,
            Ok(stats) => Counted::Figures(Box::new(stats)),
            Err(CoreError::NotRunning { .. } | CoreError::NoSuchContainer { .. }) => Counted::Ended,
            Err(_) => Counted::Unknown,
        };
        let cpu = match &stats {
            Counted::Figures(stats) => stats.cpu.map(|cpu| cpu.usage),
            Counted::Ended | Counted::Unknown => None,
        };
        let total = cpu.unwrap_or_default();
        let (then, before) = self
            .seen
            .insert(container.id().to_owned(), (now, total))
            .unwrap_or((now, total));
        let used = Used {
            cpu: total.saturating_sub(before),
            passed: now.duration_since(then),
            stats,
        };
        let names = Names {
            container: called,
            id: match self.args.no_trunc {
                true => container.id().to_owned(),
                false => short_id(container.id()),
            },
            name: container.name().to_owned(),
        };
        row(names, &used, self.memory)
    }
}
