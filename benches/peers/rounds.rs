//! Cases that take turns, in a new random order every round, as peers-baseline.sh has it.

use crate::figures::Figures;
use crate::prepare::Bench;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// New for every run of every case.
static NUMBER: AtomicU64 = AtomicU64::new(1);

/// Command lines, as [`Bench::command`] takes them.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) before: Option<String>,
    /// What it is called and the command, one after the other. The case's time is the sum.
    pub(crate) timed: Vec<(&'static str, String)>,
    /// Not counted, before each command but the first.
    pub(crate) pause: Duration,
    pub(crate) after: Option<String>,
}

impl Case {
    pub(crate) fn new(name: impl Into<String>, timed: String) -> Case {
        Case {
            name: name.into(),
            before: None,
            timed: vec![("", timed)],
            pause: Duration::ZERO,
            after: None,
        }
    }

    pub(crate) fn after(mut self, command: String) -> Case {
        self.after = Some(command);
        self
    }

    fn run(&self, bench: &Bench) -> Result<Vec<f64>, String> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        if let Some(before) = &self.before {
            run(bench, before, number)?;
        }
        let mut times = Vec::new();
        let mut failed = None;
        for (place, (_, command)) in self.timed.iter().enumerate() {
            if place > 0 {
                std::thread::sleep(self.pause);
            }
            match run(bench, command, number) {
                Ok(time) => times.push(time),
                Err(why) => {
                    failed = Some(why);
                    break;
                }
            }
        }
        if let Some(after) = &self.after {
            // There may be nothing to clean up after a failure.
            _ = run(bench, after, number);
        }
        match failed {
            Some(why) => Err(why),
            None => Ok(times),
        }
    }
}

/// Runs a command line to its end; milliseconds.
pub(crate) fn run(bench: &Bench, line: &str, number: u64) -> Result<f64, String> {
    // A file: what is left running may keep it open.
    let mut errors: File = tempfile::tempfile().expect("a file for error messages");
    let mut command = bench.command(line, number);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(errors.try_clone().expect("another handle of a file"));
    let start = Instant::now();
    let status = command.status().map_err(|e| format!("{line}: {e}"))?;
    let took = start.elapsed().as_secs_f64() * 1000.0;
    if status.success() {
        return Ok(took);
    }
    let mut said = String::new();
    let _ = errors.seek(SeekFrom::Start(0));
    let _ = errors.read_to_string(&mut said);
    Err(format!("{line}: {status}: {}", said.trim_end()))
}

/// Runs all cases so many times, and once before to warm up.
pub(crate) fn rounds(
    bench: &Bench,
    section: &str,
    cases: &[Case],
    runs: usize,
    figures: &mut Figures,
) {
    eprintln!("-- {section}: {} cases x {runs}", cases.len());
    for round in 0..=runs {
        for case in shuffled(cases) {
            match case.run(bench) {
                Ok(_) if round == 0 => {}
                Ok(times) => {
                    for ((part, _), time) in case.timed.iter().zip(&times) {
                        if !part.is_empty() {
                            figures.add(section, &format!("{} {part}", case.name), *time);
                        }
                    }
                    figures.add(section, &case.name, times.iter().sum());
                }
                Err(why) => eprintln!("not counted, {section}, {}: {why}", case.name),
            }
        }
    }
}

pub(crate) fn shuffled<T>(items: &[T]) -> Vec<&T> {
    let mut left: Vec<&T> = items.iter().collect();
    let mut order = Vec::new();
    while !left.is_empty() {
        // Nanoseconds are random enough, for an order.
        let nanoseconds = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.subsec_nanos() as usize / 97);
        order.push(left.swap_remove(nanoseconds % left.len()));
    }
    order
}
