//! One of the two programs, and the place where its command lines run.
//!
//!     <place>/
//!       bin/           the program as `docker`, and the helpers below
//!       home/          $HOME: nobody's configuration
//!       <case>/        a case's working directory

use super::masks::Masks;
use super::script::{Case, Step};
use crate::support::{Docker, Ran, Stage, run};
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Seconds for a command line; what takes longer hangs.
const LIMIT: &str = "60";

/// What scripts wait with: `ready NAME` until the container has written that word, `becomes NAME TEMPLATE VALUE` until
/// `inspect` says so, `gone NAME` until there is no such container. They give up after a while.
const HELPERS: &[(&str, &str)] = &[
    (
        "ready",
        "#!/bin/sh\nfor i in $(seq 200); do docker logs $1 2>&1 | grep -q ready && exit; sleep 0.05; done\n\
        echo $1 is not ready; exit 1\n",
    ),
    (
        "gone",
        "#!/bin/sh\nfor i in $(seq 200); do docker inspect $1 >/dev/null 2>&1 || exit 0; sleep 0.05; done\n\
        echo $1 is still there; exit 1\n",
    ),
    (
        "becomes",
        "#!/bin/sh\nfor i in $(seq 200); do is=$(docker inspect -f \"$2\" $1)\n\
        [ \"$is\" = \"$3\" ] && exit; sleep 0.05; done\necho $1 is $is, not $3; exit 1\n",
    ),
];

pub(super) struct Side {
    place: TempDir,
    environment: Vec<(&'static str, OsString)>,
    /// What the masks take for this program's store.
    stores: Vec<PathBuf>,
}

impl Side {
    pub(super) fn docker(docker: &Docker) -> Side {
        let environment = vec![("DOCKER_HOST", docker.host().into())];
        let stores = docker.data().into_iter().collect();
        Side::of(Docker::client(), environment, stores)
    }

    pub(super) fn ours(stage: &Stage) -> Side {
        let environment = vec![
            ("MINI_DOCKER_ROOT", stage.root().into()),
            ("MINI_DOCKER_RUN", stage.run_root().into()),
        ];
        Side::of(
            stage.program(),
            environment,
            vec![stage.root(), stage.run_root()],
        )
    }

    fn of(
        program: &Path,
        environment: Vec<(&'static str, OsString)>,
        stores: Vec<PathBuf>,
    ) -> Side {
        let place = tempfile::Builder::new()
            .prefix("md-equal-")
            .tempdir()
            .expect("a place for command lines");
        for dir in ["bin", "home"] {
            fs::create_dir(place.path().join(dir)).expect("a directory of a side");
        }
        let bin = place.path().join("bin");
        symlink(program, bin.join("docker")).expect("a name for the program");
        for (name, script) in HELPERS {
            let path = bin.join(name);
            fs::write(&path, script).expect("write a helper");
            fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("set a mode");
        }
        Side {
            place,
            environment,
            stores,
        }
    }

    /// Runs a case to its end; what each line gave, masked.
    pub(super) fn play(&self, case: &Case) -> Vec<Outcome> {
        let directory = self.place.path().join(case.name.replace(' ', "-"));
        fs::create_dir(&directory).expect("a case's directory");
        let mut masks = Masks::new(&directory, &self.stores);
        case.steps
            .iter()
            .map(|step| Outcome::of(step, &self.run(&directory, &step.line), &mut masks))
            .collect()
    }

    /// Runs a line for the shell where no case is.
    #[track_caller]
    pub(super) fn shell(&self, line: &str) -> Ran {
        self.run(self.place.path(), line)
    }

    #[track_caller]
    fn run(&self, directory: &Path, line: &str) -> Ran {
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=5", LIMIT, "sh", "-c", line])
            .env_clear()
            .env(
                "PATH",
                format!(
                    "{}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                    self.place.path().display()
                ),
            )
            .env("N", "--network none")
            .env("HOME", self.place.path().join("home"))
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(directory);
        run(&mut command)
    }
}

/// What a command line gave, in the words that both have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) code: i32,
    pub(super) out: String,
    pub(super) err: String,
}

impl Outcome {
    fn of(step: &Step, ran: &Ran, masks: &mut Masks) -> Outcome {
        let mut out = masks.apply(&ran.stdout);
        if step.sorted {
            let mut lines: Vec<&str> = out.lines().collect();
            lines.sort_unstable();
            out = lines.join("\n");
        }
        Outcome {
            code: ran.code(),
            out,
            err: Masks::message(&masks.apply(&ran.stderr)),
        }
    }
}
