//! A machine goes down with containers running, by the loss of its power or in order, and comes up again.

use crate::support::Stage;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

/// Name, policy, whether it was stopped by hand before, whether it runs after the boot: as with Docker's daemon.
const CONTAINERS: [(&str, &str, bool, bool); 6] = [
    ("always", "always", false, true),
    ("always-stopped", "always", true, true),
    ("unless-stopped", "unless-stopped", false, true),
    ("unless-stopped-stopped", "unless-stopped", true, false),
    ("on-failure", "on-failure:3", false, true),
    ("no", "no", false, false),
];

#[test]
fn the_power_is_lost() {
    boots(Signal::KILL);
}

#[test]
fn the_machine_is_shut_down() {
    // What systemd sends to what its unit has left running.
    boots(Signal::TERM);
}

fn boots(signal: Signal) {
    for stage in Stage::each() {
        for (name, policy, stopped, _) in CONTAINERS {
            let script = "trap 'exit 7' TERM; echo x >> /etc/runs; while :; do sleep 0.05; done";
            let command = [
                "run",
                "-d",
                "--name",
                name,
                "--restart",
                policy,
                "-v",
                "kept:/etc/kept",
                "host",
                "sh",
                "-c",
                script,
            ];
            stage.run(command).ok();
            if stopped {
                stage.run(["stop", "-t", "0", name]).ok();
            }
        }
        down(&stage, signal);
        // Before anything is started, everything is listed as what it is.
        for (name, status) in listed(&stage) {
            assert_eq!(status, "exited", "{name}");
        }
        let ran = stage.run(["system", "start"]).ok();
        let mut started: Vec<&str> = ran.stdout.lines().collect();
        started.sort_unstable();
        let listed = listed(&stage);
        for (name, _, _, up) in CONTAINERS {
            let expected = if up { "running" } else { "exited" };
            assert_eq!(listed[name], expected, "{name}; {ran}");
        }
        assert_eq!(started.len(), 4, "{ran}");
        // What they had written is there.
        stage
            .run(["exec", "always", "grep", "-c", "x", "/etc/runs"])
            .ok()
            .prints("2\n");
        stage.run(["volume", "ls", "-q"]).ok().prints("kept\n");
        // A second time there is nothing to do.
        stage.run(["system", "start"]).ok().prints("");
        for (name, ..) in CONTAINERS {
            stage.run(["rm", "-f", name]).ok();
        }
        stage.run(["volume", "rm", "kept"]).ok();
    }
}

/// Ends every monitor and empties what is in memory only.
fn down(stage: &Stage, signal: Signal) {
    let processes = stage.processes();
    for (pid, _) in processes
        .iter()
        .filter(|(_, why)| why.contains("mini-docker-monitor"))
    {
        let pid = Pid::from_raw(pid.cast_signed()).expect("a pid");
        let _ = kill_process(pid, signal);
    }
    let start = Instant::now();
    while !stage.processes().is_empty() {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "{:?}",
            stage.processes()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    for entry in fs::read_dir(stage.run_root()).unwrap().flatten() {
        let path = entry.path();
        let removed = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.unwrap();
    }
}

fn listed(stage: &Stage) -> BTreeMap<String, String> {
    let ran = stage
        .run(["ps", "-a", "--format", "{{.Names}} {{.State}}"])
        .ok();
    let pair = |line: &str| {
        line.split_once(' ')
            .map(|(name, state)| (name.to_owned(), state.to_owned()))
    };
    ran.stdout.lines().filter_map(pair).collect()
}
