//! What a program sees inside: the same as in Docker 20.10, but for the differences that are listed here with reasons.

use crate::support::{Docker, Layout, Registry, Stage, busybox, debian, not_run};
use std::collections::BTreeMap;

/// Prints what a process can see of its confinement, by sections that begin with `### NAME`. For busybox as for Debian.
const PROBE: &str = include_str!("probe.sh");

type Sections = BTreeMap<String, Vec<String>>;

fn sections(text: &str) -> Sections {
    let mut sections = Sections::new();
    let mut current = String::new();
    for line in text.lines() {
        match line.strip_prefix("### ") {
            Some(name) => current = name.to_owned(),
            None => sections
                .entry(current.clone())
                .or_default()
                .push(line.trim_end().to_owned()),
        }
    }
    sections
}

/// What one of the two has and the other has not: section, side and line.
fn differences(docker: &Sections, ours: &Sections) -> Vec<(String, &'static str, String)> {
    let mut found = Vec::new();
    let none = Vec::new();
    for name in docker
        .keys()
        .chain(ours.keys().filter(|name| !docker.contains_key(*name)))
    {
        let (theirs, mine) = (
            docker.get(name).unwrap_or(&none),
            ours.get(name).unwrap_or(&none),
        );
        for (side, has, lacks) in [("docker", theirs, mine), ("mini-docker", mine, theirs)] {
            found.extend(
                has.iter()
                    .filter(|line| !lacks.contains(line))
                    .map(|line| (name.clone(), side, line.clone())),
            );
        }
    }
    found
}

/// Where we differ from Docker 20.10 on purpose: section, how the line begins, why.
const ON_PURPOSE: &[(&str, &str, &str)] = &[
    ("mounts", "/proc/acpi ", MASK),
    ("mounts", "/proc/keys ", MASK),
    ("mounts", "/proc/timer_list ", MASK),
    ("mounts", "/proc/scsi ", MASK),
    ("mounts", "/sys/firmware ", MASK),
    ("mounts", "/proc/interrupts ", NEWER_MASK),
    ("mounts", "/sys/devices/virtual/powercap ", NEWER_MASK),
    ("masked", "/sys/devices/virtual/powercap ", NEWER_MASK),
    ("mounts", "/sys/fs/cgroup tmpfs ", CGROUPS),
    ("cgroups", "/sys/fs/cgroup/cpu cgroup", OWN_GROUPS),
    ("cgroups", "/sys/fs/cgroup/cpuset cgroup", OWN_GROUPS),
    ("cgroups", "/sys/fs/cgroup/hugetlb cgroup", OWN_GROUPS),
    ("cgroups", "/sys/fs/cgroup/systemd cgroup", OWN_GROUPS),
    ("cgroups", "cpu", OWN_GROUPS),
    ("cgroups", "cpuset", OWN_GROUPS),
    ("cgroups", "hugetlb", OWN_GROUPS),
    ("cgroups", "systemd", OWN_GROUPS),
    // /sys/fs/cgroup once more: an ordinary user meets the permissions before the read-only mount.
    ("readonly", "Permission denied", CGROUPS),
];
/// More, with `--init`.
const WITH_INIT: &[(&str, &str, &str)] = &[
    ("mounts", "/sbin/docker-init ", INIT),
    ("pid", "docker-init", INIT),
    ("pid", "init", INIT),
    ("status", "SigIgn ", INIT),
    ("files", "/dev/null", INIT),
];
const MASK: &str =
    "a mask is read-only, nosuid and noexec throughout: less to write to and to execute";
const NEWER_MASK: &str = "the list of masked paths is that of newer releases of Docker";
const CGROUPS: &str = "the directory above the cgroup v1 hierarchies is read-only, as they are";
const OWN_GROUPS: &str = "a container has a group in the v1 hierarchies that count or limit something of it; the \
    others are not shown, as its place there is the root";
const INIT: &str = "--init is a process of ours, not a program mounted into the container; it is not dumpable, so that \
    nobody inside looks at its files";

fn compare(image: &Layout, options: &[&str]) {
    let docker = match Docker::of_our_own(image) {
        Ok(docker) => docker,
        Err(why) => not_run!("{why}"),
    };
    let registry = Registry::start();
    let reference = registry.push(image, "compared:x");
    let stage = Stage::new();
    let theirs = docker.run(options, &["sh", "-c", PROBE]);
    let mut arguments = vec!["run", "--rm", "--network", "none"];
    arguments.extend(options);
    arguments.extend([reference.as_str(), "sh", "-c", PROBE]);
    let ours = stage.run(arguments);
    for ran in [&theirs, &ours] {
        assert!(
            ran.stdout.contains("### denied"),
            "the probe did not reach its end: {ran}"
        );
    }
    let found = differences(&sections(&theirs.stdout), &sections(&ours.stdout));
    let with_init = if options.contains(&"--init") {
        WITH_INIT
    } else {
        &[]
    };
    let reason = |section: &str, line: &str| {
        ON_PURPOSE
            .iter()
            .chain(with_init)
            .find(|(of, begins, _)| *of == section && line.starts_with(begins))
            .map(|(.., why)| *why)
    };
    let mut unexplained = Vec::new();
    for (section, side, line) in &found {
        match reason(section, line) {
            Some(why) => eprintln!("{section}: only in {side}: {line}\n    because {why}"),
            None => unexplained.push(format!("{section}: only in {side}: {line}")),
        }
    }
    assert!(
        unexplained.is_empty(),
        "differences from Docker without a reason:\n  {}\nDocker said: {theirs}\nmini-docker said: {ours}",
        unexplained.join("\n  ")
    );
}

#[test]
fn busybox_sees_what_it_sees_in_docker() {
    compare(&busybox(), &[]);
}

#[test]
fn debian_sees_what_it_sees_in_docker() {
    compare(&debian(), &[]);
}

#[test]
fn an_ordinary_user_inside() {
    compare(&busybox(), &["-u", "www-data"]);
    compare(&busybox(), &["-u", "1234:5678"]);
}

#[test]
fn a_read_only_root() {
    compare(&busybox(), &["--read-only", "--tmpfs", "/tmp"]);
}

#[test]
fn fewer_privileges() {
    compare(
        &busybox(),
        &[
            "--security-opt",
            "no-new-privileges",
            "--cap-drop",
            "ALL",
            "--cap-add",
            "CHOWN",
        ],
    );
}

#[test]
fn more_settings() {
    let options = [
        "-h",
        "named",
        "-w",
        "/made/here",
        "-e",
        "A=1",
        "-e",
        "HOME=/tmp",
        "--ulimit",
        "nofile=100:200",
        "--init",
    ];
    compare(&busybox(), &options);
}

#[test]
fn without_a_filter() {
    compare(&busybox(), &["--security-opt", "seccomp=unconfined"]);
}
