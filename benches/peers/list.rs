//! `ps` where there are a thousand containers.

use crate::figures::Figures;
use crate::prepare::Bench;
use crate::rounds::{Case, rounds, run};
use std::fs;
use std::os::unix::fs::chown;

pub(crate) const CONTAINERS: usize = 1000;

/// Makes a thousand containers, eight at a time.
fn make(bench: &Bench, command: &str) {
    let make = format!("seq {CONTAINERS} | xargs -P 8 -I@ {command}");
    run(bench, &make, 0).expect("make containers");
}

fn remove(bench: &Bench, program: &str) {
    // Never more than a command line takes.
    let remove =
        format!("{program} ps -aq --filter name=pb-many | xargs -r -n 200 {program} rm -f");
    run(bench, &remove, 0).expect("remove containers");
}

pub(crate) fn measure(bench: &Bench, runs: usize, figures: &mut Figures) {
    let many = bench.program_at("many");
    let busybox = bench.busybox();
    let rootless = ordinary();
    eprintln!("-- p: making {CONTAINERS} containers, twice");
    run(bench, &format!("{many} pull {busybox}"), 0).expect("pull busybox");
    make(
        bench,
        &format!("{many} run -d --name pb-many-@ --network none {busybox} sleep 100000"),
    );
    let mut programs = vec![many.clone()];
    let mut cases = vec![
        Case::new("mini-docker", format!("{many} ps")),
        Case::new("mini-docker -a", format!("{many} ps -a")),
    ];
    if let Some((_dir, rootless)) = &rootless {
        make(
            bench,
            &format!("{rootless} create --name pb-many-@ host true"),
        );
        cases.push(Case::new(
            "mini-docker rootless",
            format!("{rootless} ps -a"),
        ));
        programs.push(rootless.clone());
    }
    // A list that leaves some out is quick.
    for program in &programs {
        let all = format!("test $({program} ps -aq | wc -l) = {CONTAINERS}");
        run(bench, &all, 0).expect("all are listed");
    }
    rounds(bench, "p", &cases, runs, figures);
    for program in &programs {
        remove(bench, program);
    }
}

/// Our program, run by the ordinary user that `tests/run` makes, if there is one, and a directory of that user's.
fn ordinary() -> Option<(tempfile::TempDir, String)> {
    const USER: &str = "mdtest";
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let line = users
        .lines()
        .find(|line| line.split(':').next() == Some(USER))?;
    let id = |field| line.split(':').nth(field)?.parse().ok();
    let (uid, gid) = (id(2)?, id(3)?);
    let dir = tempfile::Builder::new().prefix("md-").tempdir().ok()?;
    chown(dir.path(), Some(uid), Some(gid)).ok()?;
    // The original may lie where that user cannot go.
    fs::copy(
        env!("CARGO_BIN_EXE_mini-docker"),
        dir.path().join("program"),
    )
    .ok()?;
    let path = dir.path().display();
    let program = format!(
        "setpriv --reuid {uid} --regid {gid} --clear-groups env USER={USER} HOME={path} {path}/program --root {path}/root --run-root {path}/run"
    );
    Some((dir, program))
}
