//! Compressing a full file, in a process of its own: the monitor must not wait for it.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;

use super::config::Format;
use crate::runtime::{self, sys};

/// The end of a name that is being written to.
const ASIDE: &str = "gz.new";

/// A compression under way. Dropping it gives it up.
#[derive(Debug)]
pub(super) struct Compression {
    pub(super) number: u64,
    output: PathBuf,
    pid: Option<i32>,
    process: OwnedFd,
}

/// Starts compressing a file, beside it.
pub(super) fn start(input: PathBuf, number: u64) -> io::Result<Compression> {
    let mut output = input.clone().into_os_string();
    output.push(".");
    output.push(ASIDE);
    let output = PathBuf::from(output);
    // The monitor has one thread, so its copy may do anything.
    let (pid, process) = sys::fork(|| {
        // The container's streams and the lock must not be held open here.
        let done = sys::close_from(3, false)
            .and_then(|()| sys::die_with_parent())
            .and_then(|()| compress(&input, &output));
        i32::from(done.is_err())
    })?;
    Ok(Compression {
        number,
        output,
        pid: Some(pid),
        process,
    })
}

fn compress(input: &Path, output: &Path) -> io::Result<()> {
    // Whatever the container does is more urgent.
    _ = rustix::process::nice(19);
    let mut input = File::open(input)?;
    let output = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o640)
        .open(output)?;
    let mut encoder = GzEncoder::new(output, flate2::Compression::default());
    io::copy(&mut input, &mut encoder)?;
    encoder.finish().map(drop)
}

impl Compression {
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.process.as_fd()
    }

    pub(super) fn output(&self) -> &Path {
        &self.output
    }

    /// Whether it succeeded, when it is done.
    pub(super) fn done(&mut self) -> Option<bool> {
        let status = runtime::try_wait(self.pid?)?;
        self.pid = None;
        Some(status.success())
    }
}

impl Drop for Compression {
    fn drop(&mut self) {
        if let Some(pid) = self.pid {
            _ = rustix::process::pidfd_send_signal(&self.process, rustix::process::Signal::KILL);
            runtime::wait(pid);
            _ = fs::remove_file(&self.output);
        }
    }
}

/// Removes what compressions of a killed monitor left.
pub(super) fn clear(dir: &Path, format: Format) {
    // What cannot be listed cannot be written to either: whoever writes finds out.
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(format.file()) && name.ends_with(ASIDE) {
            _ = fs::remove_file(entry.path());
        }
    }
}
