//! How much memory a container's monitor holds.

use crate::prepare::Bench;
use std::fs;
use std::process::{Child, Stdio};
use std::time::Duration;

/// The median PSS, in MiB, of the monitors of ten idle containers.
pub(crate) fn monitor(bench: &Bench) -> f64 {
    let image = bench.busybox();
    let run = [
        "run",
        "--rm",
        "--network",
        "none",
        &*image,
        "sleep",
        "100000",
    ];
    let mut attached: Vec<Child> = (0..10)
        .map(|_| {
            bench
                .ours(&run)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .expect("start an idle container")
        })
        .collect();
    std::thread::sleep(Duration::from_secs(2));
    // CLI, its child the monitor, whose child is the container.
    let monitors = attached.iter().flat_map(|cli| children(cli.id()));
    let mut sizes: Vec<f64> = monitors
        .filter(|pid| !children(*pid).is_empty())
        .filter_map(pss)
        .collect();
    for cli in &mut attached {
        // The death of its owner ends a container.
        let _ = cli.kill();
        let _ = cli.wait();
    }
    assert_eq!(sizes.len(), attached.len(), "one monitor a container");
    sizes.sort_by(f64::total_cmp);
    sizes[sizes.len() / 2]
}

fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

fn pss(pid: u32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim()
        .trim_end_matches(" kB")
        .parse::<f64>()
        .ok()
        .map(|kilobytes| kilobytes / 1024.0)
}
