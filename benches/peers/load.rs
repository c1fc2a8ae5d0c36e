//! How long a start takes while many are under way: 200 containers, 64 at a time, from eight processes.

use crate::figures::Figures;
use crate::prepare::Bench;
use crate::rounds::{run, shuffled};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

pub(crate) const CONTAINERS: usize = 200;
pub(crate) const AT_ONCE: usize = 64;
const PROCESSES: usize = 8;

/// Makes this program one of those that start containers.
pub(crate) const STARTER: &str = "--start-some";

pub(crate) fn measure(bench: &Bench, runs: usize, figures: &mut Figures) {
    eprintln!("-- s: 3 cases x {runs}");
    let engines = bench.engines();
    for _ in 0..runs {
        for engine in shuffled(&engines) {
            let (program, busybox) = (&engine.program, &engine.busybox);
            let start = format!(
                "{program} run -d --name pb-load-{{i}} --network none {busybox} sleep 100000"
            );
            let each = CONTAINERS / PROCESSES;
            let starters: Vec<_> = (0..PROCESSES)
                .map(|number| {
                    let this = std::env::current_exe().expect("the path of this program");
                    Command::new(this)
                        .arg(STARTER)
                        .args([number * each, each, AT_ONCE / PROCESSES].map(|n| n.to_string()))
                        .args(start.split(' '))
                        .envs(bench.environment.iter().cloned())
                        .stdin(Stdio::null())
                        .stdout(Stdio::piped())
                        .spawn()
                        .expect("start this program")
                })
                .collect();
            for starter in starters {
                let said = starter.wait_with_output().expect("wait for a starter");
                let times = String::from_utf8_lossy(&said.stdout);
                for time in times.lines().filter_map(|time| time.parse().ok()) {
                    figures.add("s", engine.name, time);
                }
            }
            let remove = format!("{program} rm -f $(seq -f pb-load-%g 0 {})", CONTAINERS - 1);
            if let Err(why) = run(bench, &remove, 0) {
                eprintln!("not removed: {why}");
            }
        }
    }
}

/// Starts containers from a number on, so many, some at a time, by the command that follows; prints how many
/// milliseconds each took.
pub(crate) fn start_some(mut arguments: impl Iterator<Item = String>) -> ExitCode {
    let mut number = || {
        let number = arguments.next().and_then(|number| number.parse().ok());
        number.expect("from, how many, how many at a time")
    };
    let (from, count, at_once): (usize, usize, usize) = (number(), number(), number());
    let words: Vec<String> = arguments.collect();
    let next = AtomicUsize::new(from);
    std::thread::scope(|threads| {
        for _ in 0..at_once {
            threads.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= from + count {
                        return;
                    }
                    let number = number.to_string();
                    let words = words.iter().map(|word| word.replace("{i}", &number));
                    let words: Vec<String> = words.collect();
                    let start = Instant::now();
                    let status = Command::new(&words[0])
                        .args(&words[1..])
                        .stdin(Stdio::null())
                        .stdout(Stdio::null())
                        .status()
                        .expect("start a container");
                    let took = start.elapsed().as_secs_f64() * 1000.0;
                    match status.success() {
                        true => println!("{took}"),
                        false => eprintln!("not counted, s, {}: {status}", words.join(" ")),
                    }
                }
            });
        }
    });
    ExitCode::SUCCESS
}
