//! The same container here and in Docker.

use crate::support::{Docker, Layout, Stage, run};
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Engine {
    Ours,
    Docker,
}

/// Where a container stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Created,
    Running,
    Stopped,
}

pub(super) const BOTH: [Engine; 2] = [Engine::Ours, Engine::Docker];

/// One image and one running container of it in both engines.
pub(super) struct Pair {
    pub(super) stage: Stage,
    pub(super) docker: Docker,
    pub(super) image: String,
    name: String,
}

impl Pair {
    /// Makes a container of the image in both engines that runs `command`, or has, or will. In the options `{L}` stands
    /// for a local directory that each engine has its own of.
    pub(super) fn new(
        stage: Stage,
        image: &Layout,
        life: Life,
        options: &[&str],
        command: &[&str],
    ) -> Pair {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let docker = Docker::with(image).unwrap();
        let archive = stage.dir().join("work/image.tar");
        let mut skopeo = Command::new("skopeo");
        let to = format!("docker-archive:{}:test/pair:1", archive.display());
        skopeo.args(["--insecure-policy", "copy", "--quiet", &image.skopeo(), &to]);
        run(&mut skopeo).ok();
        fs::set_permissions(
            &archive,
            std::os::unix::fs::PermissionsExt::from_mode(0o644),
        )
        .unwrap();
        stage
            .run(["load", "-q", "-i", archive.to_str().unwrap()])
            .ok();
        let pair = Pair {
            stage,
            docker,
            image: "test/pair:1".to_owned(),
            name: format!("md-pair-{}-{number}", std::process::id()),
        };
        for engine in BOTH {
            let mut arguments = match life {
                Life::Created => vec!["create"],
                _ => vec!["run", "-d"],
            };
            arguments.extend(["--network", "none", "--name", "{C}"]);
            arguments.extend(options);
            arguments.push("{I}");
            arguments.extend(command);
            let output = pair.run(engine, &arguments, b"");
            assert!(
                output.status.success(),
                "{engine:?}: {}",
                text(&output.stderr)
            );
            if life == Life::Stopped {
                pair.ok(engine, &["kill", "{C}"]);
                pair.ok(engine, &["wait", "{C}"]);
            }
        }
        pair
    }

    /// The engine's own directory on this machine.
    pub(super) fn local(&self, engine: Engine) -> std::path::PathBuf {
        self.stage.dir().join(match engine {
            Engine::Ours => "work/ours",
            Engine::Docker => "docker",
        })
    }

    /// Runs a command line: `{C}` stands for the container, `{I}` for the image, `{L}` for the local directory.
    pub(super) fn run(&self, engine: Engine, arguments: &[&str], input: &[u8]) -> Output {
        let local = self.local(engine).display().to_string();
        let image = match engine {
            Engine::Ours => &self.image,
            Engine::Docker => self.docker.image(),
        };
        let arguments = arguments.iter().map(|argument| {
            argument
                .replace("{C}", &self.name)
                .replace("{I}", image)
                .replace("{L}", &local)
        });
        let mut command = match engine {
            Engine::Ours => self.stage.mini_docker(arguments),
            Engine::Docker => {
                let mut command = self.docker.command();
                command.args(arguments);
                command
            }
        };
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writer = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, &input));
        let output = child.wait_with_output().unwrap();
        // Who did not read has said why.
        _ = writer.join().unwrap();
        output
    }

    /// Asserts success and returns what was printed.
    #[track_caller]
    pub(super) fn ok(&self, engine: Engine, arguments: &[&str]) -> Vec<u8> {
        let output = self.run(engine, arguments, b"");
        assert!(
            output.status.success(),
            "{engine:?} {arguments:?}: {}",
            text(&output.stderr)
        );
        output.stdout
    }

    /// Waits until the container has made a file.
    pub(super) fn wait_for(&self, path: &str) {
        for engine in BOTH {
            let from = format!("{{C}}:{path}");
            let begin = std::time::Instant::now();
            while !self.run(engine, &["cp", &from, "-"], b"").status.success() {
                assert!(
                    begin.elapsed().as_secs() < 60,
                    "{engine:?} never makes {path}"
                );
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
    }

    /// What lies at a path in the container, a line each.
    pub(super) fn tree(&self, engine: Engine, path: &str) -> Vec<String> {
        listing(&self.ok(engine, &["cp", &format!("{{C}}:{path}"), "-"]))
    }

    /// What an engine says on its standard error, without what is its own in it.
    pub(super) fn words(&self, engine: Engine, output: &Output) -> String {
        let local = self.local(engine).display().to_string();
        let said = text(&output.stderr)
            .replace(&local, "L")
            .replace(&self.name, "C");
        let line = said
            .lines()
            // What a goroutine of Docker's client says of the pipe that another has closed.
            .find(|line| !line.starts_with("time="))
            .unwrap_or_default();
        let prefixes = [
            "mini-docker: ",
            "Error response from daemon: ",
            "Error processing tar file(exit status 1): ",
        ];
        let line = prefixes
            .iter()
            .fold(line, |line, p| line.strip_prefix(p).unwrap_or(line));
        line.to_owned()
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for engine in BOTH {
            _ = self.run(engine, &["rm", "-f", "{C}"], b"");
        }
    }
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The entries of a tar archive, a line each, sorted. Times are left out.
pub(super) fn listing(archive: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(archive);
    let mut lines: Vec<String> = archive
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            let header = entry.header();
            let link = entry.link_name_bytes().map(|l| format!(" -> {}", text(&l)));
            format!(
                "{} {:?} {:o} {}:{} {}{}",
                text(&entry.path_bytes())
                    .trim_start_matches('/')
                    .trim_end_matches('/'),
                header.entry_type(),
                header.mode().unwrap() & 0o7777,
                header.uid().unwrap(),
                header.gid().unwrap(),
                text(&content),
                link.unwrap_or_default(),
            )
        })
        .collect();
    lines.sort();
    lines
}

/// What lies in a directory of this machine, a line each, sorted. Times are left out.
pub(super) fn local_listing(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut pending = vec![root.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let kind = meta.file_type();
            let more = if kind.is_symlink() {
                format!("-> {}", fs::read_link(&path).unwrap().display())
            } else if kind.is_file() {
                format!(
                    "{} links, {}",
                    meta.nlink(),
                    text(&fs::read(&path).unwrap())
                )
            } else if kind.is_fifo() {
                "fifo".to_owned()
            } else {
                "directory".to_owned()
            };
            let inside = path.strip_prefix(root).unwrap().display().to_string();
            lines.push(format!("{inside} {:o} {more}", meta.mode()));
            if kind.is_dir() {
                pending.push(path);
            }
        }
    }
    lines.sort();
    lines
}

/// Asserts that two listings are the same, and shows where they differ.
#[track_caller]
pub(super) fn same(ours: &[String], docker: &[String], case: &str) {
    let only = |these: &[String], others: &[String]| -> Vec<String> {
        these
            .iter()
            .filter(|line| !others.contains(line))
            .cloned()
            .collect()
    };
    let (here, there) = (only(ours, docker), only(docker, ours));
    let differ = !here.is_empty() || !there.is_empty() || ours.len() != docker.len();
    assert!(
        !differ,
        "{case}\n  only here: {here:#?}\n  only in Docker: {there:#?}"
    );
}
