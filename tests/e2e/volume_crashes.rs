//! Processes are killed while a new volume is filled, and while volumes are removed. A volume is then whole or not
//! there, what is in it is the image's or the container's, and nothing is left over.
//!
//! `CRASHES=200` sets the number of kills of each kind.

use crate::support::{Layer, Layout, Recipe, Registry, Stage, run};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// How often each is killed.
fn rounds() -> u64 {
    let asked = std::env::var("CRASHES").ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or(12)
}

/// xorshift64*: the same moments every time, as far as a machine allows.
struct Random(u64);

impl Random {
    fn micros(&mut self, end: u64) -> Duration {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        Duration::from_micros(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % end)
    }
}

/// An image with many files in `/data`, each of its own size, and a volume there.
fn image() -> (tempfile::TempDir, Layout) {
    let dir = tempfile::tempdir().unwrap();
    let mut layer = Layer::busybox().owned_by(5, 6).dir("data", 0o2775);
    for n in 0..30 {
        layer = layer.dir(&format!("data/d{n}"), 0o750);
        for m in 0..20 {
            let content = vec![b'x'; n * 97 + m * 13];
            layer = layer.file(&format!("data/d{n}/f{m}"), 0o640, &content);
        }
        layer = layer.file(&format!("data/top{n}"), 0o4755, b"top");
        layer = layer.symlink(&format!("data/link{n}"), "d0/f0");
    }
    let recipe = Recipe::new().layer(layer);
    let layout = recipe
        .config("Volumes", json!({"/data": {}}))
        .write(dir.path());
    (dir, layout)
}

const SUM: &str = "cd /data; find . | sort | while read f; do stat -c '%n %F %a %u %g %s' $f; done | \
                   sed '/directory/s/ [0-9]*$//' | md5sum; find . -type f | sort | xargs cat | md5sum";

struct World {
    stage: Stage,
    reference: String,
    random: Random,
    // Dropped last.
    _registry: Registry,
    _layout: tempfile::TempDir,
}

impl World {
    fn new(stage: Stage) -> World {
        let (dir, layout) = image();
        let registry = Registry::start();
        let reference = registry.push(&layout, "crashes:x");
        stage.run(["pull", "-q", &reference]).ok();
        World {
            stage,
            reference,
            random: Random(0x9E37_79B9_7F4A_7C15),
            _registry: registry,
            _layout: dir,
        }
    }

    fn volumes(&self) -> PathBuf {
        self.stage.root().join("volumes")
    }

    fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.stage.mini_docker(arguments);
        let command = command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(Stdio::null()).spawn().unwrap()
    }

    fn sum(&self, options: &[&str]) -> String {
        let mut arguments = vec!["run", "--rm", "--network", "none"];
        arguments.extend(options);
        arguments.extend([&*self.reference, "sh", "-c", SUM]);
        self.stage.run(arguments).ok().stdout
    }

    /// Ends what is left of killed monitors, as the next engine would a few seconds later.
    fn tidy(&self) {
        let _ = fs::remove_file(self.stage.run_root().join("tidied"));
        self.stage.run(["volume", "ls", "-q"]).ok();
    }

    /// Waits for workers whose command was killed: they end by themselves.
    fn settle(&self) {
        let start = Instant::now();
        while !self.stage.processes().is_empty() && start.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills a command's monitor, or the command, or both; `filling` waits until something is being copied.
    fn kill(&mut self, child: &mut Child, filling: Option<&Path>, round: u64, within: u64) {
        if let Some(note) = filling {
            let start = Instant::now();
            while !note.exists() && start.elapsed() < Duration::from_secs(5) {
                std::hint::spin_loop();
            }
        }
        std::thread::sleep(self.random.micros(within));
        let pid = child.id().cast_signed();
        let mut victims = Vec::new();
        if !round.is_multiple_of(3) {
            victims.extend(children(pid));
        }
        if round % 3 != 1 {
            victims.push(pid);
        }
        for pid in victims {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        child.wait().unwrap();
    }
}

fn children(pid: i32) -> Vec<i32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let list = fs::read_to_string(path).unwrap_or_default();
    list.split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect()
}

/// A directory of a volume has this and nothing else.
fn assert_whole(volume: &Path) {
    let mut names: Vec<_> = fs::read_dir(volume)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["_data", "volume.json"], "{}", volume.display());
}

#[test]
fn filling_is_killed() {
    for stage in Stage::each() {
        let mut world = World::new(stage);
        let want = world.sum(&["--tmpfs", "/none"]);
        let (mut midway, mut begun) = (0, 0);
        for round in 0..rounds() {
            let mount = format!("v{round}:/data");
            let volume = world.volumes().join(format!("v{round}"));
            let note = volume.join("copying");
            let reference = world.reference.clone();
            let run = ["run", "--rm", "-v", &mount, &reference, "true"];
            let create = ["create", "-v", &mount, &reference, "true"];
            let mut child = world.start(if round % 4 == 3 { &create } else { &run });
            let filling = (round % 2 == 0).then_some(&*note);
            world.kill(
                &mut child,
                filling,
                round,
                if filling.is_some() { 20_000 } else { 60_000 },
            );
            begun += usize::from(volume.exists());
            midway += usize::from(note.exists());
            assert_eq!(world.sum(&["-v", &mount]), want, "round {round}");
            assert_whole(&volume);
            // It is the container's from now on.
            let change = [
                "run",
                "--rm",
                "-v",
                &mount,
                &reference,
                "sh",
                "-c",
                "rm -r /data/*; touch /data/mine",
            ];
            world.stage.run(change).ok();
            let list = ["run", "--rm", "-v", &mount, &reference, "ls", "-A", "/data"];
            world.stage.run(list).ok().prints("mine\n");
        }
        assert!(midway > 0, "of {begun} volumes {midway} were half filled");
        world.tidy();
        let listed = world.stage.run(["ps", "-aq"]).ok();
        if !listed.text().is_empty() {
            let mut remove = world.stage.mini_docker(["rm", "-f", "-v"]);
            run(remove.args(listed.text().lines())).ok();
        }
        world.stage.run(["volume", "prune", "-a", "-f"]).ok();
        assert_eq!(fs::read_dir(world.volumes()).unwrap().count(), 0);
        world.settle();
    }
}

#[test]
fn removal_is_killed() {
    for stage in Stage::each() {
        let mut world = World::new(stage);
        let want = world.sum(&["-v", "vv:/data"]);
        let mut gone = 0;
        for round in 0..rounds() {
            assert_eq!(world.sum(&["-v", "vv:/data"]), want, "round {round}");
            let mut child = world.start(&["volume", "rm", "vv"]);
            world.kill(&mut child, None, 2, 25_000);
            // It is whole or not there; what is left of it goes with the next that looks.
            let listed = world.stage.run(["volume", "ls", "-q"]).ok();
            match listed.text() {
                "vv" => assert_whole(&world.volumes().join("vv")),
                "" => gone += 1,
                other => panic!("{other}"),
            }
            world.tidy();
            let left = fs::read_dir(world.volumes()).unwrap().count();
            assert_eq!(left, listed.stdout.lines().count());
        }
        assert!(gone > 0, "none was removed");
        world.stage.run(["volume", "rm", "-f", "vv"]).ok();
        world.settle();
    }
}

#[test]
fn removal_of_containers_with_volumes_is_killed() {
    for stage in Stage::each() {
        let mut world = World::new(stage);
        let reference = world.reference.clone();
        let mut gone = 0;
        for round in 0..rounds() {
            let created = world
                .stage
                .run(["create", "-v", "/other", &reference, "true"]);
            let id = created.ok().text().to_owned();
            let mut child = world.start(&["rm", "-v", &id]);
            world.kill(&mut child, None, 2, 25_000);
            world.tidy();
            let containers = world.stage.run(["ps", "-aq", "--no-trunc"]).ok();
            let volumes = world.stage.run(["volume", "ls", "-q"]).ok();
            let (containers, volumes) = (containers.text(), volumes.stdout.lines().count());
            if containers.is_empty() {
                gone += 1;
                assert_eq!(
                    volumes, 0,
                    "round {round}: volumes are left of a container that is gone"
                );
            } else {
                assert_eq!((containers, volumes), (&*id, 2), "round {round}");
                world.stage.run(["rm", "-v", &id]).ok();
                world.stage.run(["volume", "ls", "-q"]).ok().prints("");
            }
        }
        assert!(gone > 0, "none was removed");
        world.settle();
    }
}
