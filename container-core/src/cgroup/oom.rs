//! Being told that the kernel killed something for want of memory.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::poll::PollFlags;
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::{CgroupError, directory};

/// A pollable fd and the count behind it.
///
/// Poll [`fd`](Self::fd) for [`events`](Self::events); when it is ready, [`kills`](Self::kills)
/// counts, and makes it wait for the next.
#[derive(Debug)]
pub struct OomWatch {
    /// v1: the eventfd that the kernel writes; v2: none, the file itself can be polled.
    event: Option<EventFd>,
    counts: File,
    path: PathBuf,
}

impl OomWatch {
    /// v1: has `memory.oom_control` reported to an eventfd.
    pub(super) fn v1(group: &Path) -> Result<Option<Self>, CgroupError> {
        let Some(watch) = Self::open(group.join("memory.oom_control"))? else {
            return Ok(None);
        };
        let failed = |error: std::io::Error| CgroupError::io("watch", &watch.path, error);
        let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map_err(|error| failed(error.into()))?;
        let line = format!("{} {}", event.as_fd().as_raw_fd(), watch.counts.as_raw_fd());
        directory::write(&group.join("cgroup.event_control"), &line).map_err(failed)?;
        Ok(Some(OomWatch {
            event: Some(event),
            ..watch
        }))
    }

    /// v2: `memory.events`.
    pub(super) fn v2(group: &Path) -> Result<Option<Self>, CgroupError> {
        let mut watch = Self::open(group.join("memory.events"))?;
        if let Some(watch) = &mut watch {
            // A file of the kernel tells of changes since it was last read.
            watch.kills()?;
        }
        Ok(watch)
    }

    fn open(path: PathBuf) -> Result<Option<Self>, CgroupError> {
        match directory::open(&path) {
            Ok(counts) => Ok(Some(OomWatch {
                event: None,
                counts,
                path,
            })),
            Err(error) if directory::is_gone(&error) => Ok(None),
            Err(error) => Err(CgroupError::io("watch", path, error)),
        }
    }

    /// What to poll.
    pub fn fd(&self) -> BorrowedFd<'_> {
        match &self.event {
            Some(event) => event.as_fd(),
            None => self.counts.as_fd(),
        }
    }

    /// For what: `POLLIN` or `POLLPRI`.
    pub fn events(&self) -> PollFlags {
        if self.event.is_some() {
            PollFlags::POLLIN
        } else {
            PollFlags::POLLPRI
        }
    }

    /// How many processes were killed up to now, as
    /// [`Cgroup::oom_kills`](super::Cgroup::oom_kills) counts. Also true after the group has
    /// been removed: then it is 0.
    ///
    /// The kernel tells of v1's want of memory just before it kills: the count may follow.
    ///
    /// # Errors
    ///
    /// If the group cannot be read.
    pub fn kills(&mut self) -> Result<u64, CgroupError> {
        if let Some(event) = &self.event {
            // EAGAIN: nothing since.
            let _ = event.read();
        }
        let mut text = String::new();
        let read = self
            .counts
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.counts.read_to_string(&mut text));
        match read {
            Ok(_) => Ok(directory::value_of(&text, "oom_kill").unwrap_or(0)),
            Err(error) if directory::is_gone(&error) => Ok(0),
            Err(error) => Err(CgroupError::io("read", &self.path, error)),
        }
    }
}

impl From<OomWatch> for OwnedFd {
    fn from(watch: OomWatch) -> OwnedFd {
        match watch.event {
            Some(event) => event.into(),
            None => watch.counts.into(),
        }
    }
}
