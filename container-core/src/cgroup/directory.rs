//! A group's directory and its files, whatever the version.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::CgroupError;

/// The kernel's files are small, but for the list of a great many processes.
const FILE_LIMIT: u64 = 16 << 20;

/// Writes what the kernel takes in one write(2).
pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    open_to_write(path)?.write_all(text.as_bytes())
}

pub(super) fn open_to_write(path: &Path) -> io::Result<File> {
    // Never O_CREAT, which the kernel answers with EACCES where it means that there is no such file.
    OpenOptions::new().write(true).open(path)
}

pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_CLOEXEC)
        .open(path)
}

pub(super) fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open(path)?.take(FILE_LIMIT).read_to_string(&mut text)?;
    Ok(text)
}

/// `None` if there is no such file, or no such group (any more).
pub(super) fn read_if_any(path: &Path) -> Result<Option<String>, CgroupError> {
    match read(path) {
        Ok(text) => Ok(Some(text)),
        // ENODEV: opened before the group was removed. EOPNOTSUPP: not for this kind of group.
        Err(error) if is_gone(&error) || error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(None),
        Err(error) => Err(CgroupError::io("read", path, error)),
    }
}

pub(super) fn is_gone(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENODEV)
}

/// `key value` lines.
pub(super) fn value_of(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        line.strip_prefix(key)?
            .strip_prefix(' ')?
            .trim()
            .parse()
            .ok()
    })
}

/// The groups right below.
fn children(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// The group and all below it, parents first. Those that vanish meanwhile are left out.
fn tree(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut all = vec![directory.to_owned()];
    let mut at = 0;
    while at < all.len() {
        match children(&all[at]) {
            Ok(below) => all.extend(below),
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error),
        }
        at += 1;
    }
    Ok(all)
}

/// The processes of the group and of those below it, each once, sorted.
pub(super) fn processes(directory: &Path) -> Result<Vec<i32>, CgroupError> {
    let failed = |error| CgroupError::io("list the processes of", directory, error);
    let mut found = Vec::new();
    for group in tree(directory).map_err(failed)? {
        let text = match read(&group.join("cgroup.procs")) {
            Ok(text) => text,
            Err(error) if is_gone(&error) => continue,
            // A threaded group of v2: its processes are listed where the domain begins.
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => continue,
            Err(error) => return Err(failed(error)),
        };
        // 0 is one that this pid namespace cannot see.
        found.extend(
            text.lines()
                .filter_map(|line| line.parse().ok())
                .filter(|pid: &i32| *pid > 0),
        );
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Sends SIGKILL; one that has ended meanwhile is as well.
pub(super) fn kill_each(group: &Path, processes: &[i32]) -> Result<(), CgroupError> {
    for pid in processes {
        match kill(Pid::from_raw(*pid), Signal::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => return Err(CgroupError::io("kill the processes of", group, error)),
        }
    }
    Ok(())
}

/// Makes a group, and those above it that are missing. `made` is called for each, from above.
pub(super) fn make(
    root: &Path,
    path: &Path,
    made: &dyn Fn(&Path) -> io::Result<()>,
) -> Result<PathBuf, CgroupError> {
    let directory = root.join(path);
    // Somebody who tidies up can take a parent away just after it was made.
    for _ in 0..16 {
        match fs::create_dir(&directory) {
            Ok(()) => {
                made(&directory).map_err(|error| CgroupError::io("set up", &directory, error))?;
                return Ok(directory);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return match processes(&directory)?.first() {
                    Some(process) => Err(CgroupError::InUse {
                        path: directory,
                        process: *process,
                    }),
                    None => Ok(directory),
                };
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let mut parent = root.to_owned();
                for name in path.parent().into_iter().flat_map(Path::iter) {
                    parent.push(name);
                    match fs::create_dir(&parent) {
                        Ok(()) => made(&parent)
                            .map_err(|error| CgroupError::io("set up", &parent, error))?,
                        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                        Err(error) => {
                            return Err(CgroupError::io("make the cgroup", parent, error));
                        }
                    }
                }
            }
            Err(error) => return Err(CgroupError::io("make the cgroup", directory, error)),
        }
    }
    Err(CgroupError::io(
        "make the cgroup",
        directory,
        io::Error::from(ErrorKind::NotFound),
    ))
}

/// Removes a group with those below it. `wait` waits for a change of the group for some time.
///
/// The common case is one rmdir(2).
pub(super) fn remove(
    directory: &Path,
    within: Duration,
    wait: &dyn Fn(&Path, Duration),
) -> Result<(), CgroupError> {
    let deadline = Instant::now() + within;
    let mut pause = Duration::from_micros(100);
    loop {
        let failed = match fs::remove_dir(directory) {
            Ok(()) => return Ok(()),
            Err(error) if is_gone(&error) => return Ok(()),
            Err(error) => error,
        };
        // EBUSY is both "has processes" and "has groups below"; ENOTEMPTY some kernels' latter.
        if !matches!(failed.raw_os_error(), Some(libc::EBUSY | libc::ENOTEMPTY)) {
            return Err(CgroupError::io("remove the cgroup", directory, failed));
        }
        let below = tree(directory).unwrap_or_default();
        let removed = below
            .iter()
            .skip(1)
            .rev()
            .filter(|group| fs::remove_dir(group).is_ok())
            .count();
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(CgroupError::Busy {
                doing: "removing it",
                path: directory.to_owned(),
                processes: processes(directory).unwrap_or_default(),
                waited: within,
            });
        }
        if removed == 0 {
            wait(directory, pause.min(left));
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }
}
