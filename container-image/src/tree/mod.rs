//! Reading a directory tree that somebody else may be changing: by directory handles, through no
//! link, and never more than a regular file is opened.

mod archiver;
mod error;
mod walk;

pub(crate) use self::archiver::Archiver;
pub use self::error::TreeError;
pub(crate) use self::walk::{attributes, names, stat, xattr};

use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

/// Whether what is mounted below the root of a tree belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mounts {
    /// It does.
    Enter,
    /// A mount point is but an empty directory or file.
    Leave,
}

/// A tree and how far it reaches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tree<'fd> {
    root: BorrowedFd<'fd>,
    mounts: Mounts,
}

/// What is behind a name that was a regular file's when it was examined.
pub(crate) enum Content {
    /// It, and what it is now.
    File(File, Stat),
    /// Something is mounted over it.
    Covered,
    /// Gone, or something else.
    Gone,
}

impl<'fd> Tree<'fd> {
    pub(crate) fn new(root: BorrowedFd<'fd>, mounts: Mounts) -> Self {
        Self { root, mounts }
    }

    fn resolve(self) -> ResolveFlags {
        let flags = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        match self.mounts {
            Mounts::Enter => flags,
            Mounts::Leave => flags | ResolveFlags::NO_XDEV,
        }
    }

    /// Opens a directory for listing, by its clean path.
    pub(crate) fn open(self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { b"." } else { path };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat2(self.root, path, flags, Mode::empty(), self.resolve())
    }

    /// Opens a regular file. What it is was looked at through the very descriptor that is then
    /// opened: a device put in its place has an effect by being opened.
    pub(crate) fn content(self, dir: &OwnedFd, name: &[u8]) -> Result<Content, Errno> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = match rustix::fs::openat2(dir, name, flags, Mode::empty(), self.resolve()) {
            Ok(handle) => handle,
            Err(Errno::NOENT | Errno::LOOP) => return Ok(Content::Gone),
            Err(Errno::XDEV) => return Ok(Content::Covered),
            Err(error) => return Err(error),
        };
        let stat = rustix::fs::fstat(&handle)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(Content::Gone);
        }
        let link = format!("/proc/self/fd/{}", handle.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = rustix::fs::open(link, flags, Mode::empty())?;
        Ok(Content::File(File::from(file), stat))
    }
}

/// Whether an error in opening a directory says that it is not, or no longer, one of the tree: a
/// mount point, gone, or replaced.
pub(crate) fn is_gone(error: Errno) -> bool {
    matches!(
        error,
        Errno::XDEV | Errno::NOENT | Errno::NOTDIR | Errno::LOOP
    )
}
