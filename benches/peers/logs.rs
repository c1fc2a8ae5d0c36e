//! How fast a container can write its log: 200 MB of lines of a hundred bytes, from a file, so that making them
//! costs nothing.

use crate::figures::Figures;
use crate::prepare::Bench;
use crate::rounds::{Case, rounds, run};
use std::fs::File;
use std::io::{BufWriter, Write as _};

pub(crate) const MEGABYTES: u32 = 200;

pub(crate) fn measure(bench: &Bench, runs: usize, figures: &mut Figures) {
    let lines = bench.dir().join("lines");
    let mut file = BufWriter::new(File::create(&lines).expect("make a file of lines"));
    for line in 0..MEGABYTES * 10_000 {
        writeln!(file, "{line:099}").expect("write lines");
    }
    file.into_inner().expect("write lines");
    let lines = lines.display();

    let [ours, docker, podman] = bench.engines();
    let wait = "wait";
    // It looks every quarter of a second unless told.
    let podmans_wait = "wait --interval 10ms";
    // It keeps a hundred megabytes unless told.
    let local = "local --log-opt max-size=1g";
    let cases = [
        ("mini-docker", &ours, "json-file", wait),
        ("mini-docker local", &ours, local, wait),
        ("mini-docker none", &ours, "none", wait),
        ("docker", &docker, "json-file", wait),
        ("docker local", &docker, local, wait),
        ("docker none", &docker, "none", wait),
        ("podman", &podman, "k8s-file", podmans_wait),
    ];
    let start = |engine: &crate::prepare::Engine, driver: &str| {
        format!(
            "{} run -d --name pb-{{i}} --network none --log-driver {driver} -v {lines}:/lines:ro {} cat /lines",
            engine.program, engine.busybox
        )
    };
    // What loses lines is quick.
    for driver in ["json-file", local] {
        let (start, program) = (start(&ours, driver), &ours.program);
        let check = format!("{start} && {program} logs -f pb-0 | cmp - {lines}");
        run(bench, &check, 0).expect("the log is what was written");
        run(bench, &format!("{program} rm pb-0"), 0).expect("remove a container");
    }
    let cases = cases.map(|(name, engine, driver, wait)| {
        let (start, program) = (start(engine, driver), &engine.program);
        Case::new(name, format!("{start} && {program} {wait} pb-{{i}}"))
            .after(format!("{program} rm -f pb-{{i}}"))
    });
    rounds(bench, "l", &cases, runs, figures);
}
