//! What is there before anything is measured.

use crate::fifty;
use crate::support::{self, Registry};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Our side of the comparison, and the way to the others.
///
///     $PEERS/mini-docker-XXXXXX/
///       root/              our store, on the peers' disk
///       many/              another, of a thousand containers
///       skopeo/ umoci/     where those two put an image
///       lines              what containers write, for their logs
///       change/ floor      what is committed; the same by tar and gzip
///       cases  result      for peers-baseline.sh: what to run, what it measured
pub(crate) struct Bench {
    /// peers-baseline.sh
    pub(crate) tool: PathBuf,
    pub(crate) peers: PathBuf,
    /// What env.sh of the peers sets.
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// The peers' registry, with busybox and a Debian of one layer in it.
    pub(crate) registry: String,
    /// Ours, with an image of fifty layers.
    pub(crate) fifty: Registry,
    dir: tempfile::TempDir,
    /// `--run-root`: its path has to be short, for the sockets below it.
    run: tempfile::TempDir,
}

/// A program that takes Docker's arguments.
pub(crate) struct Engine {
    pub(crate) name: &'static str,
    /// With the options that go before a verb.
    pub(crate) program: String,
    /// What it calls busybox.
    pub(crate) busybox: String,
}

impl Bench {
    pub(crate) fn prepare() -> Result<Bench, String> {
        let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/tools/peers-baseline.sh");
        if !tool.exists() {
            return Err(format!("there is no {}", tool.display()));
        }
        let peers =
            std::env::var_os("PEERS").map_or_else(|| PathBuf::from("/tmp/peers"), PathBuf::from);
        let environment = environment(&peers)?;
        let registry = environment
            .iter()
            .find(|(name, _)| name == "PEERS_REGISTRY")
            .and_then(|(_, value)| value.to_str())
            .ok_or("env.sh of the peers names no registry")?
            .to_owned();
        let dir = tempfile::Builder::new()
            .prefix("mini-docker-")
            .tempdir_in(&peers)
            .map_err(|e| format!("a directory beside the peers: {e}"))?;
        let run = tempfile::Builder::new()
            .prefix("md-")
            .tempdir()
            .map_err(|e| format!("a run directory: {e}"))?;
        let fifty = Registry::start();
        let layout = fifty::layers().write(&dir.path().join("fifty"));
        fifty.push(&layout, fifty::NAME);
        let bench = Bench {
            tool,
            peers,
            environment,
            registry,
            fifty,
            dir,
            run,
        };
        support::run(&mut bench.ours(&["pull", &bench.busybox()])).ok();
        // A command that fails, or does nothing, is quick.
        for image in [&*bench.busybox(), "host"] {
            let run = ["run", "--rm", "--network", "none", image, "echo", "hi"];
            support::run(&mut bench.ours(&run)).ok().prints("hi\n");
        }
        Ok(bench)
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn busybox(&self) -> String {
        format!("{}/busybox:latest", self.registry)
    }

    /// Our program, with its store.
    pub(crate) fn program(&self) -> String {
        self.program_at("root")
    }

    /// The same, with a store by this name.
    pub(crate) fn program_at(&self, store: &str) -> String {
        format!(
            "{} --root {}/{store} --run-root {}/{store}",
            env!("CARGO_BIN_EXE_mini-docker"),
            self.dir.path().display(),
            self.run.path().display()
        )
    }

    pub(crate) fn ours(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(&self.program(), 0);
        command.args(arguments);
        command
    }

    /// Us, Docker and podman.
    pub(crate) fn engines(&self) -> [Engine; 3] {
        [
            Engine {
                name: "mini-docker",
                program: self.program(),
                busybox: self.busybox(),
            },
            Engine {
                name: "docker",
                // Debian's, not a newer one that may be installed beside it.
                program: "/usr/bin/docker".to_owned(),
                busybox: "busybox".to_owned(),
            },
            Engine {
                name: "podman",
                program: "podman".to_owned(),
                busybox: "localhost/busybox".to_owned(),
            },
        ]
    }

    /// A command line, of words or for a shell, in the peers' environment; `{i}` in it is this number.
    pub(crate) fn command(&self, line: &str, number: u64) -> Command {
        let line = line.replace("{i}", &number.to_string());
        let mut command = if line.contains(['\'', '"', '|', '&', ';', '<', '>', '$', '(']) {
            let mut shell = Command::new("sh");
            shell.args(["-c", &line]);
            shell
        } else {
            let mut words = line.split_whitespace();
            let mut command = Command::new(words.next().expect("a program"));
            command.args(words);
            command
        };
        command.envs(self.environment.iter().cloned());
        command
    }
}

/// What env.sh of the peers sets.
fn environment(peers: &Path) -> Result<Vec<(OsString, OsString)>, String> {
    let file = peers.join("env.sh");
    fs::metadata(&file).map_err(|e| {
        format!(
            "the peers are not up (peers-up.sh): {}: {e}",
            file.display()
        )
    })?;
    let shell = Command::new("sh")
        .args(["-c", ". \"$0\" && env -0"])
        .arg(&file)
        .output()
        .map_err(|e| format!("sh: {e}"))?;
    let pair = |entry: &[u8]| {
        let at = entry.iter().position(|byte| *byte == b'=')?;
        let text = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        Some((text(&entry[..at]), text(&entry[at + 1..])))
    };
    Ok(shell.stdout.split(|b| *b == 0).filter_map(pair).collect())
}
