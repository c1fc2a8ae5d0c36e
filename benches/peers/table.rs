//! The ratios and what they should be.

use crate::figures::Figures;
use crate::{life, list, load, logs};
use std::fmt::Write as _;

/// Whom we are compared with: its name, its figure, and the most that ours may be of it.
type Row<'a> = (&'a str, Option<f64>, Option<f64>);

/// The text, one group of rows a comparison.
#[derive(Default)]
struct Table(String);

impl Table {
    fn group(&mut self, title: &str, unit: &str, ours: Option<f64>, rows: &[Row<'_>]) {
        let Some(ours) = ours else { return };
        let _ = write!(
            self.0,
            "\n## {title}: {ours:.2} {unit}\n\n| peer | {unit} | ratio | goal | |\n|---|--:|--:|--:|---|\n"
        );
        for (name, theirs, goal) in rows {
            let Some(theirs) = theirs else { continue };
            let ratio = ours / theirs;
            let (goal, verdict) = goal.map_or((String::new(), ""), |goal| {
                let verdict = if ratio <= goal { "met" } else { "missed" };
                (format!("≤ {goal}"), verdict)
            });
            let _ = writeln!(
                self.0,
                "| {name} | {theirs:.2} | {ratio:.3} | {goal} | {verdict} |"
            );
        }
    }
}

pub(crate) fn of(figures: &Figures) -> String {
    let mut table = Table("\n# mini-docker against its peers\n".to_owned());
    starts(&mut table, figures);
    pulls(&mut table, figures);
    life_of_one(&mut table, figures);
    many(&mut table, figures);
    bytes(&mut table, figures);
    table.group(
        "memory (PSS) of the monitor of a container",
        "MiB",
        figures.median("d", "mini-docker"),
        &[
            ("what it should be", Some(0.5), Some(1.0)),
            ("conmon", figures.median("d", "conmon"), None),
            (
                "containerd-shim",
                figures.median("d", "containerd-shim-runc-v2"),
                None,
            ),
        ],
    );
    table.0
}

fn starts(table: &mut Table, figures: &Figures) {
    let peer = |case| figures.median("a", case);
    for ours in ["mini-docker", "mini-docker host"] {
        table.group(
            &format!("run --rm … true, {ours}"),
            "ms",
            peer(ours),
            &[
                ("bubblewrap", peer("bwrap"), None),
                ("crun, ready bundle", peer("crun"), Some(0.5)),
                ("runc, ready bundle", peer("runc"), None),
                ("youki, ready bundle", peer("youki"), None),
                ("podman --network none", peer("podman-none"), None),
                ("docker --network none", peer("docker-none"), Some(0.03)),
            ],
        );
    }
    let peer = |case| figures.median("c", case);
    table.group(
        "exec … true",
        "ms",
        peer("mini-docker"),
        &[
            ("crun", peer("crun"), Some(0.6)),
            ("runc", peer("runc"), None),
            ("youki", peer("youki"), None),
            ("podman", peer("podman"), None),
            ("docker", peer("docker"), None),
        ],
    );
}

fn pulls(table: &mut Table, figures: &Figures) {
    let peer = |case| figures.median("e", case);
    table.group(
        "pull and unpack, 120 MB in one layer",
        "ms",
        peer("one: mini-docker"),
        &[
            ("curl, tar xz", peer("floor: curl, tar xz"), Some(1.0)),
            (
                "best peer",
                figures.best("e", &["one: skopeo+umoci", "podman", "docker"]),
                Some(0.5),
            ),
            ("skopeo+umoci", peer("one: skopeo+umoci"), None),
            ("podman", peer("podman"), None),
            ("docker", peer("docker"), None),
        ],
    );
    table.group(
        "pull and unpack, 50 layers",
        "ms",
        peer("fifty: mini-docker"),
        &[
            (
                "best peer",
                figures.best(
                    "e",
                    &["fifty: skopeo+umoci", "fifty: podman", "fifty: docker"],
                ),
                Some(0.5),
            ),
            ("skopeo+umoci", peer("fifty: skopeo+umoci"), None),
            ("podman", peer("fifty: podman"), None),
            ("docker", peer("fifty: docker"), None),
        ],
    );
}

fn life_of_one(table: &mut Table, figures: &Figures) {
    let part = |engine: &str, part: &str| figures.median("b", &format!("{engine} {part}"));
    for name in life::PARTS {
        table.group(
            name,
            "ms",
            part("mini-docker", name),
            &[
                ("docker", part("docker", name), None),
                ("podman", part("podman", name), None),
            ],
        );
    }
    table.group(
        "run -d, stop and rm together",
        "ms",
        figures.median("b", "mini-docker"),
        &[
            ("docker", figures.median("b", "docker"), Some(0.05)),
            ("podman", figures.median("b", "podman"), None),
        ],
    );
}

fn many(table: &mut Table, figures: &Figures) {
    let peer = |case| figures.median("i", case);
    table.group(
        "50 starts at once",
        "ms",
        peer("mini-docker"),
        &[
            ("crun, ready bundle", peer("crun"), Some(1.0)),
            ("runc, ready bundle", peer("runc"), None),
            ("youki, ready bundle", peer("youki"), None),
            ("podman --network none", peer("podman-none"), None),
            ("docker --network none", peer("docker-none"), Some(0.05)),
        ],
    );
    for percent in [50, 99] {
        let peer = |engine| figures.percentile("s", engine, percent);
        table.group(
            &format!(
                "run -d, {} at once, p{percent} of {}",
                load::AT_ONCE,
                load::CONTAINERS
            ),
            "ms",
            peer("mini-docker"),
            &[
                ("podman", peer("podman"), None),
                ("docker", peer("docker"), None),
            ],
        );
    }
    let peer = |case| figures.median("p", case);
    for (what, case) in [
        ("ps, all running", "mini-docker"),
        ("ps -a, all running", "mini-docker -a"),
        ("ps -a, ordinary user, none running", "mini-docker rootless"),
    ] {
        table.group(
            &format!("{} containers, {what}", list::CONTAINERS),
            "ms",
            peer(case),
            &[("what it should be", Some(50.0), Some(1.0))],
        );
    }
}

fn bytes(table: &mut Table, figures: &Figures) {
    let peer = |case| figures.median("l", case);
    for (driver, ours, goal) in [
        ("json-file", "mini-docker", Some(0.333)),
        ("local", "mini-docker local", None),
        ("none", "mini-docker none", None),
    ] {
        let megabytes = f64::from(logs::MEGABYTES);
        let rate = peer(ours).map_or(0.0, |time| megabytes * 1000.0 / time);
        table.group(
            &format!("{megabytes} MB written to the log, {driver}, {rate:.0} MB/s"),
            "ms",
            peer(ours),
            &[
                ("docker json-file", peer("docker"), goal),
                ("docker local", peer("docker local"), None),
                ("docker none", peer("docker none"), None),
                ("podman k8s-file", peer("podman"), None),
            ],
        );
    }
    let peer = |case| figures.median("m", case);
    table.group(
        "commit of 200 MB",
        "ms",
        peer("mini-docker"),
        &[
            (
                "tar | gzip -6, on one processor",
                peer("tar, gzip"),
                Some(1.0),
            ),
            ("tar", peer("tar"), None),
            ("docker, uncompressed", peer("docker"), None),
            ("podman, uncompressed", peer("podman"), None),
        ],
    );
}
