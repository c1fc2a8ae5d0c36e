//! One table: how long we take and how much memory we hold, against the engines people know.
//!
//!     cargo bench                        all of it, 20 rounds
//!     cargo bench -- --runs 5            fewer rounds
//!     cargo bench -- --only a            only: a run, d memory, e pull
//!
//! The peers and what measures them are not part of this project: `peers-up.sh` brings them up and
//! `peers-baseline.sh` runs them, with our commands as more cases in the same rounds, so that noise falls on all
//! alike. Both are looked for in `../shared/tools`; `PEERS` names the directory of the peers. Our store lies on the
//! same disk as theirs.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program that measures programs"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;
use support::{Layer, Recipe, Registry};

fn main() -> ExitCode {
    let mut options = Options {
        runs: "20".to_owned(),
        only: "a,d,e".to_owned(),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--runs" => options.runs = arguments.next().expect("--runs takes a number"),
            "--only" => options.only = arguments.next().expect("--only takes letters: a,d,e"),
            // cargo adds it.
            "--bench" => {}
            other => {
                eprintln!("cargo bench -- [--runs N] [--only a,d,e]: what is {other:?}?");
                return ExitCode::from(2);
            }
        }
    }
    match Bench::prepare() {
        Ok(bench) => {
            println!("{}", bench.measure(&options));
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("nothing was measured: {why}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    runs: String,
    only: String,
}

/// Our side of the comparison.
///
///     $PEERS/mini-docker-XXXXXX/
///       root/              our store, on the peers' disk
///       skopeo/ umoci/     where those two put an image
///       cases  result      for peers-baseline.sh: what to run, what it measured
struct Bench {
    tool: PathBuf,
    peers: PathBuf,
    /// The peers' registry, with busybox and a Debian of one layer in it.
    registry: String,
    /// Ours, with an image of fifty layers.
    fifty: Registry,
    dir: tempfile::TempDir,
    /// `--run-root`: its path has to be short, for the sockets below it.
    run: tempfile::TempDir,
}

impl Bench {
    fn prepare() -> Result<Bench, String> {
        let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/tools/peers-baseline.sh");
        if !tool.exists() {
            return Err(format!("there is no {}", tool.display()));
        }
        let peers =
            std::env::var_os("PEERS").map_or_else(|| PathBuf::from("/tmp/peers"), PathBuf::from);
        let settings = fs::read_to_string(peers.join("env.sh")).map_err(|e| {
            format!(
                "the peers are not up (peers-up.sh): {}/env.sh: {e}",
                peers.display()
            )
        })?;
        let registry = settings
            .split_whitespace()
            .find_map(|word| word.strip_prefix("PEERS_REGISTRY="))
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
        let layout = fifty_layers().write(&dir.path().join("fifty"));
        fifty.push(&layout, "fifty:x");
        let bench = Bench {
            tool,
            peers,
            registry,
            fifty,
            dir,
            run,
        };
        support::run(&mut bench.ours(&["pull", &bench.busybox()])).ok();
        // A command that fails, or does nothing, is quick.
        for image in [&*bench.busybox(), "host"] {
            support::run(&mut bench.ours(&[
                "run",
                "--rm",
                "--network",
                "none",
                image,
                "echo",
                "hi",
            ]))
            .ok()
            .prints("hi\n");
        }
        Ok(bench)
    }

    fn busybox(&self) -> String {
        format!("{}/busybox:latest", self.registry)
    }

    fn program(&self) -> String {
        let dir = self.dir.path().display();
        format!(
            "{} --root {dir}/root --run-root {}",
            env!("CARGO_BIN_EXE_mini-docker"),
            self.run.path().display()
        )
    }

    fn ours(&self, arguments: &[&str]) -> Command {
        let program = self.program();
        let mut words = program.split(' ');
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words).args(arguments);
        command
    }

    /// Our cases, as peers-baseline.sh takes them: section, name, before, timed, after.
    fn cases(&self) -> String {
        let (ours, dir) = (self.program(), self.dir.path().display());
        let busybox = self.busybox();
        let one = format!("{}/debian-pull:one", self.registry);
        let fifty = self.fifty.reference("fifty:x");
        let mut cases = format!(
            "a\tmini-docker\t-\t{ours} run --rm --network none {busybox} true\t-\n\
             a\tmini-docker host\t-\t{ours} run --rm --network none host true\t-\n"
        );
        for (name, image) in [("one", &one), ("fifty", &fifty)] {
            let clear = format!("rm -rf {dir}/skopeo {dir}/umoci");
            let remove = format!("{ours} rmi {image}");
            let _ = write!(
                cases,
                "e\t{name}: mini-docker\t{remove}\t{ours} pull {image}\t{remove}\n\
                 e\t{name}: skopeo+umoci\t{clear}\tskopeo copy -q --src-tls-verify=false docker://{image} oci:{dir}/skopeo:x && umoci unpack --image {dir}/skopeo:x {dir}/umoci\t{clear}\n"
            );
        }
        let _ = write!(
            cases,
            "e\tfifty: podman\tpodman rmi -f {fifty}\tpodman pull -q --tls-verify=false {fifty}\tpodman rmi -f {fifty}\n\
             e\tfifty: docker\tdocker rmi -f {fifty}\tdocker pull -q {fifty}\tdocker rmi -f {fifty}\n"
        );
        cases
    }

    fn measure(&self, options: &Options) -> String {
        let (cases, result) = (
            self.dir.path().join("cases"),
            self.dir.path().join("result"),
        );
        fs::write(&cases, self.cases()).expect("write the cases");
        let status = Command::new(&self.tool)
            .arg("--root")
            .arg(&self.peers)
            .args(["--runs", &options.runs, "--only", &options.only, "--extra"])
            .arg(&cases)
            .arg("--json")
            .arg(&result)
            .stdin(Stdio::null())
            .status()
            .expect("run peers-baseline.sh");
        assert!(status.success(), "peers-baseline.sh failed: {status}");
        let result: Value = serde_json::from_slice(&fs::read(result).expect("read the result"))
            .expect("a JSON result");
        let monitor = options.only.contains('d').then(|| self.monitor_pss());
        table(&result, monitor)
    }

    /// The median PSS, in MiB, of the monitors of ten idle containers.
    fn monitor_pss(&self) -> f64 {
        let mut attached: Vec<Child> = (0..10)
            .map(|_| {
                self.ours(&[
                    "run",
                    "--rm",
                    "--network",
                    "none",
                    &self.busybox(),
                    "sleep",
                    "100000",
                ])
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

/// Busybox and 49 layers of twenty files, half of each as good as random: about 20 MB of gzip.
fn fifty_layers() -> Recipe {
    let mut state = 1_u64;
    let mut recipe = Recipe::new().layer(Layer::busybox());
    for number in 1..50 {
        let mut layer = Layer::new()
            .dir("data", 0o755)
            .dir(&format!("data/{number}"), 0o755);
        for file in 0..20 {
            let mut content = vec![b'x'; 40_000];
            for byte in &mut content[..20_000] {
                // xorshift: the same image every time.
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                *byte = state.to_le_bytes()[3];
            }
            layer = layer.file(&format!("data/{number}/{file}"), 0o644, &content);
        }
        recipe = recipe.layer(layer);
    }
    recipe
}

/// The ratios and what they should be.
fn table(result: &Value, monitor: Option<f64>) -> String {
    let median = |section: &str, case: &str| {
        let mut times: Vec<f64> = result[section]["cases"][case]["s"]
            .as_array()?
            .iter()
            .filter_map(Value::as_f64)
            .collect();
        times.sort_by(f64::total_cmp);
        let (low, high) = (
            times.get(times.len().checked_sub(1)? / 2)?,
            times.get(times.len() / 2)?,
        );
        Some((low + high) / 2.0 * 1000.0)
    };
    let memory = |begins: &str| {
        let row = result["d"]
            .as_array()?
            .iter()
            .find(|row| row[0].as_str().is_some_and(|name| name.starts_with(begins)))?;
        row[3].as_f64()
    };
    let mut text = String::from("\n# mini-docker against its peers\n");
    let mut group = |title: &str,
                     unit: &str,
                     ours: Option<f64>,
                     peers: &[(&str, Option<f64>, Option<f64>)]| {
        let Some(ours) = ours else { return };
        let _ = write!(
            text,
            "\n## {title}: {ours:.2} {unit}\n\n| peer | {unit} | ratio | goal | |\n|---|--:|--:|--:|---|\n"
        );
        for (name, theirs, goal) in peers {
            let Some(theirs) = theirs else { continue };
            let ratio = ours / theirs;
            let (goal, verdict) = goal.map_or((String::new(), ""), |goal| {
                (
                    format!("≤ {goal}"),
                    if ratio <= goal { "met" } else { "missed" },
                )
            });
            let _ = writeln!(
                text,
                "| {name} | {theirs:.2} | {ratio:.3} | {goal} | {verdict} |"
            );
        }
    };
    for ours in ["mini-docker", "mini-docker host"] {
        let peer = |case: &'static str| median("a", case);
        group(
            &format!("run --rm … true, {ours}"),
            "ms",
            median("a", ours),
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
    let best = |cases: &[&str]| {
        cases
            .iter()
            .filter_map(|case| median("e", case))
            .min_by(f64::total_cmp)
    };
    group(
        "pull and unpack, 120 MB in one layer",
        "ms",
        median("e", "one: mini-docker"),
        &[
            (
                "curl, tar xz",
                median("e", "floor: curl, tar xz"),
                Some(1.0),
            ),
            (
                "best peer",
                best(&["one: skopeo+umoci", "podman", "docker"]),
                Some(0.5),
            ),
            ("skopeo+umoci", median("e", "one: skopeo+umoci"), None),
            ("podman", median("e", "podman"), None),
            ("docker", median("e", "docker"), None),
        ],
    );
    group(
        "pull and unpack, 50 layers",
        "ms",
        median("e", "fifty: mini-docker"),
        &[
            (
                "best peer",
                best(&["fifty: skopeo+umoci", "fifty: podman", "fifty: docker"]),
                Some(0.5),
            ),
            ("skopeo+umoci", median("e", "fifty: skopeo+umoci"), None),
            ("podman", median("e", "fifty: podman"), None),
            ("docker", median("e", "fifty: docker"), None),
        ],
    );
    group(
        "memory (PSS) of the monitor of a container, goal 0.5 MiB",
        "MiB",
        monitor,
        &[
            ("conmon", memory("conmon"), None),
            ("containerd-shim", memory("containerd-shim"), None),
        ],
    );
    text
}
