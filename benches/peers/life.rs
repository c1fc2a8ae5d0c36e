//! The life of a detached container: started, stopped, removed. It obeys SIGTERM at once.

use crate::figures::Figures;
use crate::prepare::Bench;
use crate::rounds::{Case, rounds};
use std::time::Duration;

/// What idle containers run, here and in peers-baseline.sh.
pub(crate) const IDLE: &str = "trap exit TERM; sleep 100000 & wait";

pub(crate) const PARTS: [&str; 3] = ["run -d", "stop", "rm"];

pub(crate) fn measure(bench: &Bench, runs: usize, figures: &mut Figures) {
    let cases = bench.engines().map(|engine| {
        let (program, busybox) = (&engine.program, &engine.busybox);
        let run = format!(
            "exec {program} run -d --name pb-{{i}} --network none {busybox} sh -c '{IDLE}'"
        );
        let [run_d, stop, rm] = PARTS;
        Case {
            name: engine.name.to_owned(),
            before: None,
            timed: vec![
                (run_d, run),
                (stop, format!("{program} stop pb-{{i}}")),
                (rm, format!("{program} rm pb-{{i}}")),
            ],
            // Until the shell has set its trap: without, the first process is deaf to SIGTERM.
            pause: Duration::from_millis(200),
            after: Some(format!("{program} rm -f pb-{{i}}")),
        }
    });
    rounds(bench, "b", &cases, runs, figures);
}
