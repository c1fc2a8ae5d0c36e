//! A test's own place: a store, a run directory and a user that no other test shares.
//!
//!     /tmp/md-stage-XXXXXX/
//!       root/          given as --root
//!       run/           given as --run-root
//!       home/          $HOME
//!       xdg/           $XDG_RUNTIME_DIR, 0700
//!       work/          for the test's own files; the working directory of its commands
//!       bin/           a copy of the program, where the user cannot reach the original

use super::leaks::Leaks;
use super::ran::{Ran, run, run_with_input};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// The ordinary user that `tests/run` makes where the tests run as root: with ranges of subordinate ids and nothing else.
const USER: &str = "mdtest";
/// "A second later nothing is left", on a machine that runs all the tests at once.
const LEFT_LIMIT: Duration = Duration::from_secs(2);

/// Who runs the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// Whoever runs the tests.
    Own,
    /// An ordinary user, while root runs the tests.
    Ordinary { uid: u32, gid: u32 },
}

/// See the module. When dropped it shows that nothing was left behind, and removes itself.
pub(crate) struct Stage {
    dir: TempDir,
    identity: Identity,
    program: PathBuf,
    leaks: Leaks,
}

impl Stage {
    /// A stage for whoever runs the tests: root in CI.
    pub(crate) fn new() -> Stage {
        Stage::of(Identity::Own)
    }

    /// A stage for an ordinary user: the one that runs the tests, or `mdtest` if that is root.
    pub(crate) fn rootless() -> Stage {
        if !super::is_root() {
            return Stage::new();
        }
        let passwd = fs::read_to_string("/etc/passwd").expect("read /etc/passwd");
        let line = passwd
            .lines()
            .find(|line| line.starts_with(&format!("{USER}:")));
        let fields: Vec<&str> = line
            .unwrap_or_else(|| panic!("there is no user {USER}: `tests/run` makes it (useradd --no-create-home {USER})"))
            .split(':')
            .collect();
        let id = |field: usize| fields[field].parse().expect("a number in /etc/passwd");
        Stage::of(Identity::Ordinary {
            uid: id(2),
            gid: id(3),
        })
    }

    /// One stage of each kind that there is: what holds for root has to hold for an ordinary user.
    pub(crate) fn each() -> Vec<Stage> {
        if super::is_root() {
            vec![Stage::new(), Stage::rootless()]
        } else {
            vec![Stage::new()]
        }
    }

    fn of(identity: Identity) -> Stage {
        let dir = tempfile::Builder::new()
            .prefix("md-stage-")
            .tempdir()
            .expect("directory for a stage");
        set_mode(dir.path(), 0o755);
        let built = PathBuf::from(env!("CARGO_BIN_EXE_mini-docker"));
        let mut program = built.clone();
        for (name, mode) in [
            ("root", 0o755),
            ("run", 0o755),
            ("home", 0o755),
            ("xdg", 0o700),
            ("work", 0o755),
        ] {
            let path = dir.path().join(name);
            fs::create_dir(&path).expect("directory of a stage");
            set_mode(&path, mode);
            if let Identity::Ordinary { uid, gid } = identity {
                chown(&path, Some(uid), Some(gid)).expect("give a stage to its user");
            }
        }
        if matches!(identity, Identity::Ordinary { .. }) && !all_may_execute(&built) {
            let bin = dir.path().join("bin");
            fs::create_dir(&bin).expect("directory of a stage");
            program = bin.join("mini-docker");
            fs::copy(&built, &program).expect("copy the program");
            set_mode(&bin, 0o755);
            set_mode(&program, 0o755);
        }
        let leaks = Leaks::watch(dir.path());
        Stage {
            dir,
            identity,
            program,
            leaks,
        }
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// Whether the program runs without root's powers here.
    pub(crate) fn is_rootless(&self) -> bool {
        self.identity != Identity::Own || !super::is_root()
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The store: `--root`.
    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// Where sockets and locks go: `--run-root`.
    pub(crate) fn run_root(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    /// The executable file of the program, as this stage's user starts it.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// A file for the program to read, owned by the stage's user.
    pub(crate) fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.dir.path().join("work").join(name);
        fs::write(&path, content).expect("write a file of a stage");
        if let Identity::Ordinary { uid, gid } = self.identity {
            chown(&path, Some(uid), Some(gid)).expect("give a file to the stage's user");
        }
        path
    }

    /// Any program, as this stage's user and in its surroundings.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("HOME", self.dir.path().join("home"))
            .env("XDG_RUNTIME_DIR", self.dir.path().join("xdg"))
            .env("RUST_BACKTRACE", "1")
            .current_dir(self.dir.path().join("work"));
        if let Identity::Ordinary { uid, gid } = self.identity {
            // std drops root's supplementary groups when it changes the user.
            command.uid(uid).gid(gid);
        }
        command
    }

    /// `mini-docker --root … --run-root … ARGUMENTS`, for a test that starts it itself.
    pub(crate) fn mini_docker<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = self.command(&self.program);
        command
            .arg("--root")
            .arg(self.root())
            .arg("--run-root")
            .arg(self.run_root())
            .args(arguments);
        command
    }

    /// Runs `mini-docker` with these arguments to its end.
    #[track_caller]
    pub(crate) fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Ran {
        run(&mut self.mini_docker(arguments))
    }

    /// The same with something on its standard input.
    #[track_caller]
    pub(crate) fn run_with_input<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
        input: &[u8],
    ) -> Ran {
        run_with_input(&mut self.mini_docker(arguments), input)
    }

    /// Asserts that no container has left anything here. `limit` zero: not even for a moment.
    #[track_caller]
    pub(crate) fn assert_clean(&self, limit: Duration) {
        self.leaks.assert_none(limit);
    }

    /// Living processes of this stage.
    pub(crate) fn processes(&self) -> Vec<(u32, String)> {
        self.leaks.processes()
    }

    /// Ends what is left of this stage, so that a failed test leaves nothing to the next.
    fn sweep(&self) {
        for (pid, _) in self.leaks.processes() {
            if let Some(pid) = rustix::process::Pid::from_raw(pid.cast_signed()) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
        for point in points.filter(|point| Path::new(point).starts_with(self.dir.path())) {
            let _ = Command::new("umount").args(["--lazy", point]).status();
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let left = if std::thread::panicking() {
            Vec::new()
        } else {
            self.leaks.left_after(LEFT_LIMIT)
        };
        if !left.is_empty() || std::thread::panicking() {
            self.sweep();
        }
        // Layers that an ordinary user unpacked belong to its subordinate ids: only a user namespace may remove them.
        if !super::is_root() && fs::remove_dir_all(self.dir.path()).is_err() {
            let inside = ["--user", "--map-root-user", "--map-auto", "rm", "-rf", "--"];
            let _ = Command::new("unshare")
                .args(inside)
                .arg(self.dir.path())
                .status();
        }
        assert!(
            left.is_empty(),
            "left behind {LEFT_LIMIT:?} after the test:\n  {}",
            left.join("\n  ")
        );
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set a mode");
}

/// Whether everybody may execute the file and pass every directory above it.
fn all_may_execute(path: &Path) -> bool {
    path.ancestors()
        .all(|part| fs::metadata(part).is_ok_and(|data| data.mode() & 0o001 != 0))
}
