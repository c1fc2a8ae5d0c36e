//! One table: how long we take and how much memory we hold, against the engines people know.
//!
//!     cargo bench                        all of it, 20 rounds
//!     cargo bench -- --runs 5            fewer rounds
//!     cargo bench -- --only a,c          only these:
//!
//! | letter | what | where |
//! |---|---|---|
//! | a c d e i | run, exec, memory, pull, 50 starts at once | `baseline`: in the rounds of peers-baseline.sh |
//! | b | run -d, stop, rm | `life` |
//! | l | 200 MB of log | `logs` |
//! | m | commit of 200 MB | `commit` |
//! | p | ps of 1,000 containers | `list` |
//! | s | starts under load | `load` |
//!
//! The peers and what measures them are not part of this project: `peers-up.sh` brings them up and
//! `peers-baseline.sh` runs them, with our commands as more cases in the same rounds, so that noise falls on all
//! alike; what it does not measure takes turns in rounds of our own (`rounds`). Both are looked for in
//! `../shared/tools`; `PEERS` names the directory of the peers. Our store lies on the same disk as theirs.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program that measures programs"
)]

#[path = "../../tests/support/mod.rs"]
mod support;

mod baseline;
mod commit;
mod fifty;
mod figures;
mod life;
mod list;
mod load;
mod logs;
mod memory;
mod prepare;
mod rounds;
mod table;

use figures::Figures;
use prepare::Bench;
use std::process::ExitCode;

const SECTIONS: &str = "a,b,c,d,e,i,l,m,p,s";

fn main() -> ExitCode {
    let mut options = Options {
        runs: 20,
        only: SECTIONS.to_owned(),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--runs" => {
                let runs = arguments.next().and_then(|runs| runs.parse().ok());
                options.runs = runs.expect("--runs takes a number");
            }
            "--only" => options.only = arguments.next().expect("--only takes letters: a,d,e"),
            load::STARTER => return load::start_some(arguments),
            // cargo adds it.
            "--bench" => {}
            other => {
                eprintln!("cargo bench -- [--runs N] [--only {SECTIONS}]: what is {other:?}?");
                return ExitCode::from(2);
            }
        }
    }
    match Bench::prepare() {
        Ok(bench) => {
            println!("{}", measure(&bench, &options));
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("nothing was measured: {why}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    runs: usize,
    only: String,
}

impl Options {
    fn wants(&self, letter: char) -> bool {
        self.only.contains(letter)
    }

    /// How often to do what takes seconds.
    fn heavy(&self) -> usize {
        (self.runs / 3).clamp(1, 7)
    }
}

fn measure(bench: &Bench, options: &Options) -> String {
    let mut figures = Figures::default();
    baseline::measure(bench, options, &mut figures);
    if options.wants('d') {
        figures.add("d", "mini-docker", memory::monitor(bench));
    }
    if options.wants('b') {
        life::measure(bench, options.runs, &mut figures);
    }
    if options.wants('l') {
        logs::measure(bench, options.heavy(), &mut figures);
    }
    if options.wants('m') {
        commit::measure(bench, options.heavy(), &mut figures);
    }
    if options.wants('p') {
        list::measure(bench, options.runs, &mut figures);
    }
    if options.wants('s') {
        load::measure(bench, options.heavy().min(3), &mut figures);
    }
    table::of(&figures)
}
