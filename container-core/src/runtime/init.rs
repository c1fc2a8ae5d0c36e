//! The small init of `--init`: PID 1 that forwards signals to the program, reaps orphans and
//! ends as the program ended.

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::{Fault, sys};

/// Returns in a new process, which goes on to become the program; the caller stays behind.
pub(super) fn fork_program() -> Result<(), Fault> {
    let all = SigSet::all();
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&all), None).map_err(Fault::at("block signals"))?;
    // The child runs on from here, so the clone is written the other way round: the parent is
    // what does not return.
    match nix_fork().map_err(Fault::at("fork"))? {
        None => {
            // A group of its own, so that a terminal's signals reach the program, not init.
            _ = nix::unistd::setpgid(Pid::from_raw(0), Pid::from_raw(0));
            _ = rustix_foreground();
            Ok(())
        }
        Some(child) => watch(child, &all),
    }
}

#[allow(unsafe_code)]
fn nix_fork() -> nix::Result<Option<Pid>> {
    // SAFETY: this process has a single thread.
    Ok(match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Parent { child } => Some(child),
        nix::unistd::ForkResult::Child => None,
    })
}

/// Takes the terminal for the program's group, when there is a terminal.
fn rustix_foreground() -> rustix::io::Result<()> {
    let stdin = rustix::stdio::stdin();
    if rustix::termios::isatty(stdin) {
        rustix::termios::tcsetpgrp(stdin, rustix::process::getpgrp())?;
    }
    Ok(())
}

fn watch(child: Pid, all: &SigSet) -> ! {
    _ = sys::forbid_dumps();
    // The launching process waits for these to be closed by exec.
    _ = sys::close_from(3, false);
    sys::set_name(c"init");
    loop {
        match all.wait() {
            Ok(Signal::SIGCHLD) => reap(child),
            Ok(signal) => _ = nix::sys::signal::kill(child, signal),
            Err(_) => {}
        }
    }
}

fn reap(child: Pid) {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == child => sys::exit(code),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => {
                sys::exit(128 + signal as i32)
            }
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return,
        }
    }
}
