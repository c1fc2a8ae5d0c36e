//! Commands, monitors and containers are killed at random moments. After each, the store is consistent: every container
//! is listed once with a true state, and no image, volume or process is lost or left.
//!
//! `CRASHES=2000` sets the number of kills, `CRASH_SEED=…` repeats a sequence of choices.

use crate::support::{Ran, Registry, Stage};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

const NAMES: [&str; 4] = ["ada", "bob", "cyd", "dov"];
const VOLUMES: [&str; 2] = ["one", "two"];

/// xorshift64*: the same seed gives the same choices on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        let n = usize::try_from(self.below(list.len() as u64)).unwrap();
        &list[n]
    }
}

/// A container as it is listed.
#[derive(Debug, Clone)]
struct Listed {
    id: String,
    name: String,
    status: String,
    pid: i32,
}

struct World {
    stage: Stage,
    random: Random,
    /// Images that a command has said to be there.
    images: BTreeSet<String>,
    /// Volumes that a command has said to be there.
    volumes: BTreeSet<String>,
}

impl World {
    fn operation(&mut self) -> Vec<String> {
        let name = (*self.random.of(&NAMES)).to_owned();
        let volume = *self.random.of(&VOLUMES);
        let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        let script = "trap 'exit 0' TERM; date > /etc/ran; while :; do sleep 0.05; done";
        let mount = format!("{volume}:/opt/{volume}");
        match self.random.below(14) {
            0 => words(&["create", "--name", &name, "host", "sh", "-c", script]),
            1 | 2 => words(&[
                "run", "-d", "--name", &name, "-v", &mount, "busybox", "sh", "-c", script,
            ]),
            3 => words(&[
                "run",
                "-d",
                "--name",
                &name,
                "--restart",
                "always",
                "busybox",
                "sleep",
                "0.1",
            ]),
            4 => words(&["run", "--rm", "-v", "/anonymous", "busybox", "true"]),
            5 => words(&["start", &name]),
            6 => words(&["stop", "-t", "1", &name]),
            7 => words(&["restart", "-t", "0", &name]),
            8 => words(&["exec", &name, "true"]),
            9 => words(&["rm", "-f", "-v", &name]),
            10 => words(&["update", "--restart", "no", &name]),
            11 => words(&["commit", &name, &format!("image-{name}")]),
            12 => words(&["volume", "create", volume]),
            _ => words(&["kill", &name]),
        }
    }

    /// Starts an operation, kills something after a while, and waits for the command's end. True when it succeeded.
    fn crash(&mut self, operation: &[String], containers: &[Listed]) -> bool {
        let mut command = self.stage.mini_docker(operation);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.spawn().expect("start mini-docker");
        std::thread::sleep(Duration::from_micros(self.random.below(40_000)));
        let cli = child.id().cast_signed();
        let mut victims = Vec::new();
        match self.random.below(5) {
            0 => victims.push(cli),
            1 => victims.extend(children(cli)),
            2 => {
                victims.extend(children(cli));
                victims.push(cli);
            }
            3 if !containers.is_empty() => victims.push(self.random.of(containers).pid),
            _ if !containers.is_empty() => victims.extend(parent(self.random.of(containers).pid)),
            _ => {}
        }
        for pid in victims.iter().copied().filter(|pid| *pid > 1) {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        // One that was killed is the kernel's to end.
        let killed = victims.contains(&cli);
        let start = Instant::now();
        while killed || start.elapsed() < Duration::from_secs(30) {
            if let Some(status) = child.try_wait().expect("wait for mini-docker") {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut pids: Vec<i32> = vec![cli];
        pids.extend(children(cli));
        pids.extend(self.stage.processes().iter().map(|p| p.0.cast_signed()));
        let all: String = pids.into_iter().map(describe).collect();
        let _ = child.kill();
        let _ = child.wait();
        panic!("{operation:?}, of which {victims:?} were killed, hangs:\n{all}");
    }

    /// What is listed, and that it is true.
    fn look(&self) -> Vec<Listed> {
        let format = "{{.ID}} {{.Names}} {{.State}}";
        let ran = self
            .stage
            .run(["ps", "-a", "--no-trunc", "--format", format])
            .ok();
        let mut containers = Vec::new();
        for line in ran.stdout.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [id, name, _] = words[..] else {
                panic!("not a line of ps: {line}");
            };
            containers.push(self.inspect(id, name));
        }
        let containers: Vec<Listed> = containers.into_iter().flatten().collect();
        for by in [|c: &Listed| c.id.clone(), |c: &Listed| c.name.clone()] {
            let distinct: BTreeSet<String> = containers.iter().map(by).collect();
            assert_eq!(
                distinct.len(),
                containers.len(),
                "listed twice: {containers:?}"
            );
        }
        containers
    }

    /// `None` when it has gone meanwhile: a monitor may just be finishing what it was asked.
    fn inspect(&self, id: &str, name: &str) -> Option<Listed> {
        let start = Instant::now();
        loop {
            let format = "{{.State.Status}} {{.State.Pid}}";
            let ran = self
                .stage
                .run(["inspect", "--type", "container", "-f", format, id]);
            if ran.code() != 0 {
                assert!(ran.stderr.contains("No such container"), "{ran}");
                return None;
            }
            let text = ran.text();
            let (status, pid) = text.split_once(' ').expect("two words");
            let pid: i32 = pid.parse().expect("a pid");
            let is_true = match status {
                "running" | "paused" => is_alive(pid),
                _ => pid == 0,
            };
            if is_true {
                let (id, name) = (id.to_owned(), name.to_owned());
                let status = status.to_owned();
                return Some(Listed {
                    id,
                    name,
                    status,
                    pid,
                });
            }
            // It may have ended in this moment; its monitor says so in the next.
            assert!(
                start.elapsed() < Duration::from_secs(5),
                "{name} is said to be {status} with process {pid}"
            );
        }
    }

    /// Nothing that was there is lost.
    fn nothing_is_lost(&self) {
        let images: BTreeMap<String, String> =
            self.lines(&["images", "--format", "{{.Repository}} {{.ID}}"]);
        for image in &self.images {
            assert!(images.contains_key(image), "{image} is lost: {images:?}");
        }
        let volumes: BTreeMap<String, String> =
            self.lines(&["volume", "ls", "--format", "{{.Name}} {{.Driver}}"]);
        for volume in &self.volumes {
            assert!(
                volumes.contains_key(volume),
                "{volume} is lost: {volumes:?}"
            );
        }
    }

    fn lines(&self, arguments: &[&str]) -> BTreeMap<String, String> {
        let ran: Ran = self.stage.run(arguments).ok();
        let pair = |line: &str| {
            let (first, second) = line.split_once(' ')?;
            Some((first.to_owned(), second.to_owned()))
        };
        ran.stdout.lines().filter_map(pair).collect()
    }

    /// Everything is removed; then nothing may be left.
    fn end(self) {
        for container in self.look() {
            let ran = self.stage.run(["rm", "-f", "-v", &container.id]);
            assert!(
                ran.code() == 0 || ran.stderr.contains("No such container"),
                "{ran}"
            );
        }
        for volume in self
            .lines(&["volume", "ls", "--format", "{{.Name}} {{.Driver}}"])
            .keys()
        {
            self.stage.run(["volume", "rm", volume]).ok();
        }
        // Leftovers are looked for when nobody has lately.
        let _ = fs::remove_file(self.stage.run_root().join("tidied"));
        self.stage.run(["ps", "-a", "-q"]).ok().prints("");
        for place in ["containers", "names", "volumes"] {
            // A volume that was being made is swept when it is a minute old.
            let half = |path: &Path| path.to_string_lossy().contains("/.new-");
            let entries = fs::read_dir(self.stage.root().join(place));
            let entries = entries.into_iter().flatten().flatten().map(|e| e.path());
            let left: Vec<_> = entries.filter(|path| !half(path)).collect();
            assert!(left.is_empty(), "left in {place}: {left:?}");
        }
        let left = fs::read_dir(self.stage.run_root()).unwrap().flatten();
        // What is half made or half removed is swept when it is a minute old.
        let swept = |path: &Path| path.extension().is_some_and(|e| e == "new" || e == "old");
        let left: Vec<_> = left
            .map(|e| e.path())
            .filter(|path| path.is_dir() && !swept(path))
            .collect();
        assert!(left.is_empty(), "left of runs: {left:?}");
    }
}

fn children(pid: i32) -> Vec<i32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_whitespace()
                .filter_map(|p| p.parse().ok())
                .collect::<Vec<i32>>()
        })
        .collect()
}

/// What a process is, what its threads wait for, and what it has open.
fn describe(pid: i32) -> String {
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let list = |dir: &str| {
        let entries = fs::read_dir(format!("/proc/{pid}/{dir}"));
        entries.into_iter().flatten().flatten().map(|e| e.path())
    };
    let line = read("cmdline").replace('\0', " ");
    let state = stat(pid);
    let mut text = format!("{pid} {line}: {state:?}\n");
    for task in list("task") {
        for file in ["wchan", "syscall", "stack"] {
            let what = fs::read_to_string(task.join(file)).unwrap_or_default();
            text.push_str(&format!("  {what}\n"));
        }
    }
    for fd in list("fd") {
        let to = fs::read_link(&fd).unwrap_or_default();
        text.push_str(&format!("  {} -> {}\n", fd.display(), to.display()));
    }
    text
}

fn stat(pid: i32) -> Option<(char, i32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((state, fields.next()?.parse().ok()?))
}

fn parent(pid: i32) -> Option<i32> {
    stat(pid).map(|(_, parent)| parent)
}

fn is_alive(pid: i32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != 'Z')
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable)
        .ok()
        .map_or(otherwise, |text| text.parse().expect("a number"))
}

#[test]
fn killed_at_any_moment() {
    let registry = Registry::start();
    let reference = registry.push(&crate::support::busybox(), "busybox:one");
    let stages = Stage::each();
    let rounds = number("CRASHES", 80) / stages.len() as u64;
    for stage in stages {
        stage.run(["pull", &reference]).ok();
        stage.run(["tag", &reference, "busybox"]).ok();
        let seed = number("CRASH_SEED", u64::from(std::process::id()) | 1 << 40);
        eprintln!("CRASH_SEED={seed}");
        let mut world = World {
            stage,
            random: Random(seed),
            images: BTreeSet::from(["busybox".to_owned()]),
            volumes: BTreeSet::new(),
        };
        let mut containers = Vec::new();
        for round in 0..rounds {
            let operation = world.operation();
            let running: Vec<Listed> = containers
                .iter()
                .filter(|c: &&Listed| c.pid > 1)
                .cloned()
                .collect();
            let succeeded = world.crash(&operation, &running);
            match (operation[0].as_str(), succeeded) {
                ("commit", true) => _ = world.images.insert(operation[2].clone()),
                ("volume", true) => _ = world.volumes.insert(operation[2].clone()),
                _ => {}
            }
            containers = world.look();
            if round % 10 == 0 {
                world.nothing_is_lost();
            }
        }
        world.nothing_is_lost();
        // Each container that is left can still be used.
        for container in world.look().iter().filter(|c| c.status == "exited") {
            let ran = world.stage.run(["start", &container.id]);
            // What was left of one that goes with its end has gone now.
            let gone = ran.stderr.contains("No such container");
            assert!(ran.code() == 0 || gone, "{ran}");
        }
        world.end();
    }
}
