//! Another machine: pure cgroup v2, systemd, an ordinary user with a session, Debian's own kernel.

use super::ran::{Ran, run};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One at a time: each is a machine of 2 GB, emulated where there is no KVM.
static TURN: Mutex<()> = Mutex::new(());

/// Which machine.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// A virtual one with its own kernel and every controller.
    Virtual,
    /// The same user land on this machine's kernel: fast, but without the controllers that cgroup v1 has here.
    Native,
}

/// A machine that is fresh for each command.
pub(crate) struct Vm {
    tool: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

impl Vm {
    /// The machine, or why there is none: the tool `vm-run` lies beside the checkout or is named by `VM_RUN`.
    pub(crate) fn find() -> Result<Vm, String> {
        let tool = std::env::var_os("VM_RUN").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/tools/vm-run"),
            PathBuf::from,
        );
        if !tool.exists() {
            return Err(format!(
                "there is no virtual machine: no {} (or name the tool in VM_RUN)",
                tool.display()
            ));
        }
        if !super::is_root() {
            return Err("starting a virtual machine needs root".to_owned());
        }
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Vm { tool, _turn: turn })
    }

    /// Runs a shell script there as `user` (`root` or `dev`). `$MINI_DOCKER` is the program under test.
    pub(crate) fn shell(&self, kind: Kind, user: &str, script: &str) -> Ran {
        let program = Path::new(env!("CARGO_BIN_EXE_mini-docker"));
        let mut command = Command::new(&self.tool);
        if let Kind::Native = kind {
            command.arg("--native");
        }
        command
            .args(["--user", user, "--share"])
            .arg(program.parent().expect("the program lies in a directory"))
            .arg("--env")
            .arg(format!("MINI_DOCKER={}", program.display()))
            .args(["--", "sh", "-c", script]);
        run(&mut command)
    }
}
