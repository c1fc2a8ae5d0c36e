//! The lock of a container: `<run>/<id>/lock`.
//!
//! Its monitor holds it from before there is anything to own until all is written. Without a
//! monitor, whoever changes, starts or removes the container takes it first. It is a lock of the
//! open file description (fcntl(2), `F_OFD_SETLK`), which can be looked at without being taken:
//! looking must not keep a monitor from starting.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nix::fcntl::{FcntlArg, fcntl};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use super::LOCK;

/// Ending of a run directory that is being removed.
pub(super) const OLD: &str = "old";
/// Ending of one that is being made.
pub(super) const NEW: &str = "new";

/// A held lock. Dropping it removes the run directory and lets go.
#[derive(Debug)]
pub(crate) struct Claim {
    run: PathBuf,
    /// Whoever had it before was killed, and may have left more than the directory.
    inherited: bool,
    /// The directory stays, so that the next holder inherits.
    stays: AtomicBool,
    _lock: File,
}

fn whole_file(kind: i32) -> libc::flock {
    libc::flock {
        l_type: i16::try_from(kind).unwrap_or_default(),
        l_whence: i16::try_from(libc::SEEK_SET).unwrap_or_default(),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

/// True when somebody holds the lock of this run directory.
pub(crate) fn is_held(run: &Path) -> bool {
    let Ok(file) = File::open(run.join(LOCK)) else {
        return false;
    };
    let mut lock = whole_file(libc::F_RDLCK);
    fcntl(file.as_fd(), FcntlArg::F_OFD_GETLK(&mut lock)).is_ok()
        && i32::from(lock.l_type) != libc::F_UNLCK
}

/// False when somebody else has it.
fn lock(file: &File) -> io::Result<bool> {
    let lock = whole_file(libc::F_WRLCK);
    match fcntl(file.as_fd(), FcntlArg::F_OFD_SETLK(&lock)) {
        Ok(_) => Ok(true),
        Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

impl Claim {
    fn new(run: &Path, inherited: bool, lock: File) -> Self {
        Self {
            run: run.to_owned(),
            inherited,
            stays: AtomicBool::new(false),
            _lock: lock,
        }
    }

    /// Whether the last holder was killed, and may have left processes and a cgroup.
    pub(crate) fn is_inherited(&self) -> bool {
        self.inherited
    }

    /// Leaves the directory for the next holder, who is to end what could not be ended now.
    pub(crate) fn bequeath(&self) {
        self.stays.store(true, Ordering::Relaxed);
    }

    /// Takes the lock if nobody has it, making the run directory; what a killed monitor left in
    /// it is removed. `None` when somebody holds it.
    pub(crate) fn take(run: &Path) -> io::Result<Option<Self>> {
        loop {
            if let Some(claim) = Self::fresh(run)? {
                return Ok(Some(claim));
            }
            let path = run.join(LOCK);
            let opened = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path);
            let file = match opened {
                Ok(file) => file,
                // Its last holder has just removed the directory.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            };
            if !lock(&file)? {
                return Ok(None);
            }
            // The file may have been removed between open and lock: then it locks nothing.
            let same = |there: fs::Metadata| {
                file.metadata()
                    .is_ok_and(|ours| (ours.dev(), ours.ino()) == (there.dev(), there.ino()))
            };
            if !fs::metadata(&path).is_ok_and(same) {
                continue;
            }
            let claim = Self::new(run, true, file);
            if let Err(e) = claim.clear() {
                claim.bequeath();
                return Err(e);
            }
            return Ok(Some(claim));
        }
    }

    /// Makes the directory where there is none. It appears with its lock held, so that nobody
    /// takes it for one that was left.
    fn fresh(run: &Path) -> io::Result<Option<Self>> {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let (process, nth) = (std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let aside = run.with_extension(format!("{process}.{nth}.{NEW}"));
        if let Err(e) = DirBuilder::new().mode(0o700).create(&aside) {
            if e.kind() != io::ErrorKind::AlreadyExists {
                return Err(e);
            }
            // Left by one that was killed and had our process id.
            fs::remove_dir_all(&aside)?;
            return Self::fresh(run);
        }
        let undo = |e| {
            _ = fs::remove_dir_all(&aside);
            e
        };
        let file = File::create(aside.join(LOCK)).map_err(undo)?;
        lock(&file).map_err(undo)?;
        match fs::rename(&aside, run) {
            Ok(()) => Ok(Some(Self::new(run, false, file))),
            Err(e) => {
                let e = undo(e);
                match e.raw_os_error() {
                    Some(libc::ENOTEMPTY | libc::EEXIST) => Ok(None),
                    _ => Err(e),
                }
            }
        }
    }

    /// Waits until the lock may have changed hands; an error after a while. An open lock file is
    /// closed, and a run directory moved, when its holder is done, however it ends. Blocks.
    pub(crate) fn released(run: &Path) -> io::Result<()> {
        const PATIENCE: Timespec = Timespec {
            tv_sec: 10,
            tv_nsec: 0,
        };
        let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let lock = run.join(LOCK);
        for (path, events) in [
            (lock.as_path(), WatchFlags::CLOSE_WRITE),
            (run, WatchFlags::MOVE_SELF | WatchFlags::DELETE_SELF),
        ] {
            match inotify::add_watch(&watch, path, events) {
                Ok(_) => {}
                Err(rustix::io::Errno::NOENT) => return Ok(()),
                Err(e) => return Err(e.into()),
            }
        }
        if !is_held(run) {
            return Ok(());
        }
        let mut fds = [PollFd::new(&watch, PollFlags::IN)];
        match rustix::event::poll(&mut fds, Some(&PATIENCE)) {
            Ok(0) => Err(io::ErrorKind::TimedOut.into()),
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    fn clear(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.run)? {
            let entry = entry?;
            if entry.file_name() != LOCK {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    pub(crate) fn run(&self) -> &Path {
        &self.run
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if *self.stays.get_mut() {
            return;
        }
        // Out of the way first: the next holder may make its own while this one goes.
        let old = self.run.with_extension(OLD);
        if fs::rename(&self.run, &old).is_err() {
            _ = fs::remove_dir_all(&old);
            _ = fs::rename(&self.run, &old);
        }
        _ = fs::remove_dir_all(&old);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("c");
        assert!(!is_held(&run));
        let claim = Claim::take(&run).unwrap().unwrap();
        assert!(is_held(&run));
        assert!(Claim::take(&run).unwrap().is_none());
        drop(claim);
        assert!(!is_held(&run) && !run.exists());
        assert!(Claim::take(&run).unwrap().is_some());
    }

    #[test]
    fn looking_takes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("c");
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    is_held(&run);
                }
            });
            for _ in 0..2000 {
                assert!(Claim::take(&run).unwrap().is_some());
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }

    #[test]
    fn leftovers_go() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("c");
        fs::create_dir(&run).unwrap();
        fs::write(run.join("hosts"), "x").unwrap();
        fs::write(run.join(LOCK), "").unwrap();
        let claim = Claim::take(&run).unwrap().unwrap();
        assert!(claim.is_inherited() && !run.join("hosts").exists());
        claim.bequeath();
        drop(claim);
        let claim = Claim::take(&run).unwrap().unwrap();
        assert!(claim.is_inherited());
        drop(claim);
        assert!(!run.exists());
        assert!(!Claim::take(&run).unwrap().unwrap().is_inherited());
    }
}
