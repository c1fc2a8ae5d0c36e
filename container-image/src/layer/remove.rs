//! Removes trees that others may have filled, through directory handles.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::{UnpackError, io_error};

/// How many directory handles are held: deeper trees are folded up, since a container can make
/// ones deeper than any limit on open files.
const MAX_DEPTH: usize = 32;

/// Removes the tree at `dir`, and `dir` itself. See [`Unpacker::remove`](super::Unpacker::remove).
///
/// # Errors
/// [`UnpackError::Io`]; part of the tree may be gone.
pub fn remove_tree(dir: &Path) -> Result<(), UnpackError> {
    let error = |error| io_error("remove directory", dir.as_os_str().as_bytes(), error);
    let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) else {
        return Err(error(Errno::INVAL));
    };
    let parent = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = match rustix::fs::open(parent, flags, Mode::empty()) {
        Ok(parent) => parent,
        Err(Errno::NOENT) => return Ok(()),
        Err(cause) => return Err(error(cause)),
    };
    match remove_at(parent.as_fd(), name.as_bytes()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(cause) => Err(error(cause)),
    }
}

/// Removes the directory `name` in `parent` with all below it.
pub(super) fn remove_at(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Err(Errno::NOTEMPTY | Errno::EXIST | Errno::ACCESS) => {}
        result => return result,
    }
    let top = open(parent, name)?;
    let mut folded = 0;
    // Folding moves directories to the top while it is being listed: until none is left.
    loop {
        let before = folded;
        empty(&top, &mut folded)?;
        match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) if folded > before => {}
            result => return result,
        }
    }
}

struct Level {
    /// Its handle is also what its entries are removed by.
    entries: Dir,
    /// Its name in the level above.
    name: Vec<u8>,
}

/// Removes all that is in `top`.
fn empty(top: &OwnedFd, folded: &mut u64) -> Result<(), Errno> {
    let mut levels = vec![Level {
        entries: Dir::read_from(top)?,
        name: Vec::new(),
    }];
    loop {
        let depth = levels.len();
        let Some(level) = levels.last_mut() else {
            return Ok(());
        };
        let Some(entry) = level.entries.next() else {
            let Some(done) = levels.pop() else {
                return Ok(());
            };
            if let Some(above) = levels.last() {
                remove_entry(above.entries.fd()?, &done.name, AtFlags::REMOVEDIR)?;
            }
            continue;
        };
        let entry = entry?;
        let directory = level.entries.fd()?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        // A file system that does not tell the type gets both tried.
        if entry.file_type() != FileType::Directory {
            match remove_entry(directory, name, AtFlags::empty()) {
                Err(Errno::ISDIR) => {}
                result => {
                    result?;
                    continue;
                }
            }
        }
        match remove_entry(directory, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            result => {
                result?;
                continue;
            }
        }
        let below = open(directory, name)?;
        if depth < MAX_DEPTH {
            let entries = Dir::new(below)?;
            let name = name.to_vec();
            levels.push(Level { entries, name });
        } else {
            fold(directory, name, top, folded)?;
        }
    }
}

/// Moves a directory from deep down to the top.
fn fold(
    directory: BorrowedFd<'_>,
    name: &[u8],
    top: &OwnedFd,
    folded: &mut u64,
) -> Result<(), Errno> {
    loop {
        *folded += 1;
        let place = format!(".removing-{folded}");
        let flags = rustix::fs::RenameFlags::NOREPLACE;
        match rustix::fs::renameat_with(directory, name, top, place.as_str(), flags) {
            Err(Errno::EXIST) => {}
            result => return result,
        }
    }
}

fn remove_entry(dir: BorrowedFd<'_>, name: &[u8], flags: AtFlags) -> Result<(), Errno> {
    match rustix::fs::unlinkat(dir, name, flags) {
        // The owner of a directory may have taken the right to write away from itself.
        Err(Errno::ACCESS) => {
            rustix::fs::fchmod(dir, Mode::RWXU)?;
            rustix::fs::unlinkat(dir, name, flags)
        }
        // Someone else was faster.
        Err(Errno::NOENT) => Ok(()),
        result => result,
    }
}

/// Opens a directory for listing; neither through a link nor into another mount.
fn open(parent: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
    let open = |flags| rustix::fs::openat2(parent, name, flags, Mode::empty(), resolve);
    match open(flags | OFlags::RDONLY) {
        Err(Errno::ACCESS) => {
            let handle = File::from(open(flags | OFlags::PATH)?);
            let link = format!("/proc/self/fd/{}", handle.as_raw_fd());
            rustix::fs::chmod(link, Mode::RWXU)?;
            open(flags | OFlags::RDONLY)
        }
        result => result,
    }
}
