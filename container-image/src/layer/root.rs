//! The one way from a path in an archive to a directory of the layer.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::tree::Mounts;

/// A directory that paths cannot leave, whatever links lie in it.
pub(crate) struct Root<'fd> {
    fd: BorrowedFd<'fd>,
    mounts: Mounts,
    /// The directory last asked for: entries of one directory mostly follow each other.
    here: Option<(Vec<u8>, Rc<OwnedFd>)>,
}

impl<'fd> Root<'fd> {
    pub(crate) fn new(fd: BorrowedFd<'fd>, mounts: Mounts) -> Self {
        Self {
            fd,
            mounts,
            here: None,
        }
    }

    /// An O_PATH handle of the directory at a clean path; links inside the root are followed.
    pub(super) fn directory(&mut self, path: &[u8]) -> Result<Rc<OwnedFd>, Errno> {
        if let Some((known, fd)) = &self.here
            && known == path
        {
            return Ok(Rc::clone(fd));
        }
        let fd = Rc::new(self.open(path, OFlags::PATH)?);
        self.here = Some((path.to_vec(), Rc::clone(&fd)));
        Ok(fd)
    }

    /// Opens the directory at a clean path.
    pub(super) fn open(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { b"." } else { path };
        let flags = flags | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        if self.mounts == Mounts::Leave {
            resolve |= ResolveFlags::NO_XDEV;
        }
        // A rename or mount anywhere while `..` of a link is resolved gives EAGAIN.
        let mut result = Err(Errno::AGAIN);
        for _ in 0..1000 {
            result = rustix::fs::openat2(self.fd, path, flags, Mode::empty(), resolve);
            if !matches!(result, Err(Errno::AGAIN | Errno::INTR)) {
                break;
            }
        }
        result
    }

    /// Takes note of a directory just made.
    pub(super) fn remember(&mut self, path: &[u8], fd: Rc<OwnedFd>) {
        self.here = Some((path.to_vec(), fd));
    }

    /// To be called when a directory or link was removed: paths may lead elsewhere now.
    pub(super) fn forget(&mut self) {
        self.here = None;
    }
}

/// Opens the directory `name` in `parent`, which is not a link.
pub(super) fn child(parent: impl AsFd, name: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}
