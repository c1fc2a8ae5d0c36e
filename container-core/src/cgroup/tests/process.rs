//! Processes that start inside a group, as the executor will start them.

use std::ffi::CString;
use std::os::fd::AsRawFd;

use crate::cgroup::Join;

/// Killed and reaped when dropped.
pub(super) struct Process {
    pub(super) pid: i32,
    reaped: bool,
}

/// A shell.
pub(super) fn spawn(join: &Join, script: &str) -> Process {
    start(join, script, false)
}

/// One whose complaints are expected.
pub(super) fn spawn_quietly(join: &Join, script: &str) -> Process {
    start(join, script, true)
}

#[allow(
    clippy::disallowed_methods,
    reason = "stands for the executor; the child only makes system calls"
)]
fn start(join: &Join, script: &str, quiet: bool) -> Process {
    let words = ["sh", "-c", script].map(|word| CString::new(word).unwrap());
    let arguments = [
        words[0].as_ptr(),
        words[1].as_ptr(),
        words[2].as_ptr(),
        std::ptr::null(),
    ];
    let mut clone = libc::clone_args {
        // Returns when the child has come to its exec, so is in the group.
        flags: libc::CLONE_VFORK as u64,
        pidfd: 0,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: libc::SIGCHLD as u64,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: 0,
    };
    let mut tasks = &[][..];
    match join {
        Join::Clone(directory) => {
            // CLONE_INTO_CGROUP, which libc has too narrow.
            clone.flags |= 0x2_0000_0000;
            clone.cgroup = u64::try_from(directory.as_raw_fd()).unwrap();
        }
        Join::Tasks(trees) => tasks = trees,
    }
    // SAFETY: without a stack it is a fork, and the child below only makes system calls.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const clone, size_of_val(&clone)) };
    if pid == 0 {
        // SAFETY: valid fds, strings and a list that ends with a null.
        unsafe {
            for tree in tasks {
                if libc::write(tree.file.as_raw_fd(), c"0".as_ptr().cast(), 1) != 1 {
                    libc::_exit(99);
                }
            }
            if quiet {
                let null = libc::open(c"/dev/null".as_ptr(), libc::O_WRONLY);
                libc::dup2(null, 2);
            }
            libc::execv(c"/bin/sh".as_ptr(), arguments.as_ptr());
            libc::_exit(98);
        }
    }
    assert!(pid > 0, "clone3: {}", std::io::Error::last_os_error());
    Process {
        pid: i32::try_from(pid).unwrap(),
        reaped: false,
    }
}

impl Process {
    /// The exit code, or the signal as an error.
    pub(super) fn wait(&mut self) -> Result<i32, i32> {
        let mut status = 0;
        // SAFETY: waits for a child of this process.
        let waited = unsafe { libc::waitpid(self.pid, &raw mut status, 0) };
        assert_eq!(waited, self.pid, "{}", std::io::Error::last_os_error());
        self.reaped = true;
        if libc::WIFSIGNALED(status) {
            Err(libc::WTERMSIG(status))
        } else {
            Ok(libc::WEXITSTATUS(status))
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.reaped {
            // SAFETY: a child that has not been waited for, so the number is still its own.
            unsafe { libc::kill(self.pid, libc::SIGKILL) };
            let _ = self.wait();
        }
    }
}
