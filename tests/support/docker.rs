//! Docker 20.10, Debian's, to compare with: the daemon that `DOCKER_HOST` names, else one of our own.

use super::images::Layout;
use super::ran::{Ran, run};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The release whose behaviour is the yardstick.
const RELEASE: &str = "20.10.";

/// A Docker daemon with one image of the test in it.
pub(crate) struct Docker {
    host: String,
    image: String,
    // Dropped last: the daemon is needed to remove the image.
    daemon: Option<Daemon>,
}

impl Docker {
    /// A daemon that has `image`, or why there can be none. Start it on the test's own thread.
    pub(crate) fn with(image: &Layout) -> Result<Docker, String> {
        let (host, daemon) = match std::env::var("DOCKER_HOST") {
            Ok(host) if version(&host).is_some_and(|v| v.starts_with(RELEASE)) => (host, None),
            _ => {
                let daemon = Daemon::start()?;
                (daemon.host(), Some(daemon))
            }
        };
        Ok(Docker::holding(image, host, daemon))
    }

    /// The same, never one that others started: its containers inherit limits and masks from this process, as ours do.
    pub(crate) fn of_our_own(image: &Layout) -> Result<Docker, String> {
        let daemon = Daemon::start()?;
        Ok(Docker::holding(image, daemon.host(), Some(daemon)))
    }

    fn holding(image: &Layout, host: String, daemon: Option<Daemon>) -> Docker {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "mini-docker-test-{}-{}:latest",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        let archive = tempfile::Builder::new()
            .prefix("md-docker-")
            .suffix(".tar")
            .tempfile()
            .expect("file for an archive");
        // skopeo makes archives only where there is no file.
        let path = archive.into_temp_path();
        fs::remove_file(&path).expect("free the name of an archive");
        run(Command::new("skopeo")
            .args(["--insecure-policy", "copy", "--quiet", &image.skopeo()])
            .arg(format!("docker-archive:{}:{name}", path.display())))
        .ok();
        let docker = Docker {
            host,
            image: name,
            daemon,
        };
        run(docker
            .command()
            .arg("load")
            .arg("--quiet")
            .arg("--input")
            .arg(&*path))
        .ok();
        docker
    }

    /// The name the image has there.
    pub(crate) fn image(&self) -> &str {
        &self.image
    }

    /// The address of the daemon.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Where a daemon of our own keeps what it keeps.
    pub(crate) fn data(&self) -> Option<PathBuf> {
        self.daemon
            .as_ref()
            .map(|daemon| daemon.dir.path().join("data"))
    }

    /// `docker`, whichever the PATH has, pointed at this daemon.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new("docker");
        command.args(["--host", &self.host]);
        command
    }

    /// The client of the daemon's release: a machine may have others, whose words are not the yardstick.
    pub(crate) fn client() -> &'static Path {
        static CLIENT: OnceLock<PathBuf> = OnceLock::new();
        CLIENT.get_or_init(|| {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let all = std::env::split_paths(&path).map(|dir| dir.join("docker"));
            all.filter(|program| program.exists())
                .find(|program| {
                    let output = Command::new(program).arg("--version").output();
                    output.is_ok_and(|output| {
                        String::from_utf8_lossy(&output.stdout)
                            .contains(&format!("version {RELEASE}"))
                    })
                })
                .unwrap_or_else(|| {
                    panic!("no client of Docker {RELEASE}x on the PATH (tests/run installs it)")
                })
        })
    }

    /// `docker run --rm --network none OPTIONS IMAGE COMMAND`.
    pub(crate) fn run(&self, options: &[&str], arguments: &[&str]) -> Ran {
        run(self
            .command()
            .args(["run", "--rm", "--network", "none"])
            .args(options)
            .arg(&self.image)
            .args(arguments))
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let _ = self
            .command()
            .args(["image", "rm", "--force", &self.image])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

fn version(host: &str) -> Option<String> {
    let output = Command::new("docker")
        .args(["--host", host, "version", "--format", "{{.Server.Version}}"])
        .stdin(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A daemon of our own.
///
///     <dir>/
///       data/  exec/       --data-root, --exec-root: its containerd lives there too
///       docker.sock  docker.pid  log
///
/// It has a network namespace to itself and touches no bridge and no firewall rule of the machine. It ends with the
/// thread that started it.
struct Daemon {
    process: Child,
    dir: TempDir,
}

impl Daemon {
    fn start() -> Result<Daemon, String> {
        if !super::is_root() {
            return Err("Docker's daemon needs root".to_owned());
        }
        let version = Command::new("dockerd").arg("--version").output();
        match version {
            Ok(output)
                if String::from_utf8_lossy(&output.stdout)
                    .contains(&format!("version {RELEASE}")) => {}
            Ok(output) => {
                let found = String::from_utf8_lossy(&output.stdout).trim().to_owned();
                return Err(format!(
                    "the comparison is with Docker {RELEASE}x; here is {found:?}"
                ));
            }
            Err(e) => panic!("dockerd: {e} (tests/run installs it)"),
        }
        let dir = tempfile::Builder::new()
            .prefix("md-dockerd-")
            .tempdir()
            .expect("directory for a Docker daemon");
        let log = File::create(dir.path().join("log")).expect("log of the Docker daemon");
        // In a network namespace of its own: told to have no bridge, a daemon deletes the machine's docker0, whoever's it is.
        let mut process = Command::new("unshare")
            .args([
                "--net",
                "--",
                "setpriv",
                "--pdeathsig",
                "TERM",
                "--",
                "dockerd",
            ])
            .arg("--data-root")
            .arg(dir.path().join("data"))
            .arg("--exec-root")
            .arg(dir.path().join("exec"))
            .arg("--pidfile")
            .arg(dir.path().join("docker.pid"))
            .args([
                "--bridge=none",
                "--iptables=false",
                "--ip-forward=false",
                "--ip-masq=false",
            ])
            .arg(format!(
                "--host=unix://{}/docker.sock",
                dir.path().display()
            ))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("another handle of a log"))
            .stderr(log)
            .spawn()
            .expect("start dockerd");
        let deadline = Instant::now() + Duration::from_secs(60);
        let host = format!("unix://{}/docker.sock", dir.path().display());
        while self::version(&host).is_none() {
            let ended = process
                .try_wait()
                .expect("wait for our own child")
                .is_some();
            if ended || Instant::now() > deadline {
                let said = fs::read_to_string(dir.path().join("log")).unwrap_or_default();
                let last: Vec<&str> = said.lines().rev().take(3).collect();
                drop(Daemon { process, dir });
                return Err(format!(
                    "Docker's daemon does not start on this machine: {}",
                    last.join(" / ")
                ));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Daemon { process, dir })
    }

    fn host(&self) -> String {
        format!("unix://{}/docker.sock", self.dir.path().display())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // SIGTERM, so that it ends its containerd and unmounts; SIGKILL if it does not obey.
        if let Some(pid) = rustix::process::Pid::from_raw(self.process.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
        // It leaves the network namespace that containers share with it, and more when it did not obey.
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
        for point in points.filter(|point| Path::new(point).starts_with(self.dir.path())) {
            let _ = Command::new("umount").args(["--lazy", point]).status();
        }
    }
}
