//! The same command lines given to Docker 20.10 and to us: exit codes, output, error messages, `inspect` and what is on
//! disk afterwards are the same, but for the differences that `known` lists with their reasons. A difference that is
//! listed and has gone fails, too.
//!
//! The command lines are in the text files beside this one, by nouns; `script` says how they are written.

mod json;
mod known;
mod masks;
mod report;
mod script;
mod side;

use crate::support::{Docker, Stage, busybox, not_run};
use report::Report;
use script::Case;
use side::Side;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Scripts, each with its test below.
const SCRIPTS: &[&str] = &[
    RUN, LIFECYCLE, EXEC, LOGS, PS, INSPECT, VOLUMES, FILES, SYSTEM, ERRORS,
];
const RUN: &str = include_str!("run.txt");
const LIFECYCLE: &str = include_str!("lifecycle.txt");
const EXEC: &str = include_str!("exec.txt");
const LOGS: &str = include_str!("logs.txt");
const PS: &str = include_str!("ps.txt");
const INSPECT: &str = include_str!("inspect.txt");
const VOLUMES: &str = include_str!("volumes.txt");
const FILES: &str = include_str!("files.txt");
const SYSTEM: &str = include_str!("system.txt");
const ERRORS: &str = include_str!("errors.txt");

/// Cases at once: Docker waits more than it computes.
const AT_ONCE: usize = 3;

#[test]
fn run_and_its_flags() {
    compare(RUN);
}

#[test]
fn from_create_to_rm() {
    compare(LIFECYCLE);
}

#[test]
fn further_processes() {
    compare(EXEC);
}

#[test]
fn logs_and_attach() {
    compare(LOGS);
}

#[test]
fn lists_of_containers() {
    compare(PS);
}

#[test]
fn inspect_in_full() {
    compare(INSPECT);
}

#[test]
fn volumes_and_mounts() {
    compare(VOLUMES);
}

#[test]
fn files_and_images() {
    compare(FILES);
}

#[test]
fn prunes_figures_and_events() {
    compare(SYSTEM);
}

#[test]
fn errors_and_usage() {
    compare(ERRORS);
}

#[test]
fn reasons_are_given_once_and_used() {
    let mut used = BTreeSet::new();
    let mut lines = 0;
    for case in SCRIPTS.iter().flat_map(|text| script::parse(text)) {
        lines += case
            .steps
            .iter()
            .filter(|step| step.line.contains("docker "))
            .count();
        used.extend(
            case.steps
                .into_iter()
                .flat_map(|step| step.differs)
                .map(|(_, why)| why),
        );
    }
    let given: BTreeSet<String> = known::LINES
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    assert_eq!(given.len(), known::LINES.len(), "a reason is given twice");
    assert_eq!(
        used, given,
        "reasons that scripts name (left) and that the table gives (right)"
    );
    assert!(lines >= 150, "{lines} command lines are compared");
}

/// Plays a script on both sides and asserts that the outcomes are the same.
fn compare(text: &str) {
    let image = busybox();
    let docker = match Docker::of_our_own(&image) {
        Ok(docker) => docker,
        Err(why) => not_run!("{why}"),
    };
    let stage = Stage::new();
    let (theirs, ours) = (Side::docker(&docker), Side::ours(&stage));
    // The same image under the same name in both.
    let archive = stage.dir().join("work/box.tar");
    let archive = archive.display();
    let save = format!(
        "docker tag {0} box && docker rmi {0} && docker save -o {archive} box",
        docker.image()
    );
    theirs.shell(&save).ok();
    ours.shell(&format!("docker load -q -i {archive}")).ok();

    let (first, rest): (Vec<Case>, Vec<Case>) = script::parse(text)
        .into_iter()
        .partition(|case| case.name == "setup");
    let report = Mutex::new(Report::default());
    for cases in [first, rest] {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE.min(cases.len()) {
                scope.spawn(|| {
                    while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let (theirs, ours) = (theirs.play(case), ours.play(case));
                        let mut report = report.lock().expect("no thread panicked");
                        report.case(case, &theirs, &ours);
                    }
                });
            }
        });
    }
    let clean =
        "docker ps -aq | xargs -r docker rm -fv; docker volume ls -q | xargs -r docker volume rm";
    theirs.shell(clean).ok();
    ours.shell(clean).ok();
    report
        .into_inner()
        .expect("no thread panicked")
        .assert_nothing();
}
