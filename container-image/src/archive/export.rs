//! A root file system as a tar stream.

use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

use super::error::{ArchiveError, io_error};
use crate::layer::name;
use crate::tree::{self, Archiver, Mounts, Tree, TreeError};

/// Writes the tree below `root`, a merged root file system, as a tar archive.
///
/// See [`export_at`]: what is mounted below is left out, as in Docker.
///
/// # Errors
/// [`ArchiveError::Io`] if `root` cannot be opened, [`ArchiveError::Tree`].
pub fn export(root: &Path, output: &mut dyn Write) -> Result<(), ArchiveError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(root, flags, Mode::empty()).map_err(io_error("open", root))?;
    Ok(export_at(root.as_fd(), Mounts::Leave, output)?)
}

/// Writes the tree below a directory as a tar archive.
///
/// Owners, modes, times, extended attributes, hard links and device nodes are kept; sockets are
/// left out. Names are in byte order, so that the same tree gives the same bytes. Owners are
/// written as this process sees them: for a rootless container call it inside its user
/// namespace.
///
/// The tree may be in use. A file that shrinks while it is read is filled up with zeros; what
/// disappears is left out.
///
/// # Errors
/// [`TreeError`]; what `output` has is no complete archive then.
pub fn export_at(
    root: BorrowedFd<'_>,
    mounts: Mounts,
    output: &mut dyn Write,
) -> Result<(), TreeError> {
    let mut archiver = Archiver::new(output);
    below(Tree::new(root, mounts), b"", b"", &mut archiver)?;
    archiver.finish()
}

/// A directory whose entries are being written.
struct Level {
    path: Vec<u8>,
    names: std::vec::IntoIter<Vec<u8>>,
}

/// Writes all that is in the directory `top`, under the name `shown` instead of `top`.
pub(super) fn below(
    tree: Tree<'_>,
    top: &[u8],
    shown: &[u8],
    archiver: &mut Archiver<'_>,
) -> Result<(), TreeError> {
    let open = |path: &[u8]| tree.open(path).map_err(TreeError::at("open", path));
    let level = |path: Vec<u8>, fd: &_| {
        tree::names(fd, &path).map(|names| Level {
            path,
            names: names.into_iter(),
        })
    };
    let mut here = open(top)?;
    let mut levels = vec![level(top.to_vec(), &here)?];
    loop {
        let Some(current) = levels.last_mut() else {
            return Ok(());
        };
        let Some(name) = current.names.next() else {
            levels.pop();
            // Handles of all levels would run out in a deep tree.
            if let Some(above) = levels.last_mut() {
                match tree.open(&above.path) {
                    Ok(fd) => here = fd,
                    Err(error) if tree::is_gone(error) => above.names = Vec::new().into_iter(),
                    Err(error) => return Err(TreeError::at("open", &above.path)(error)),
                }
            }
            continue;
        };
        let path = name::join(&current.path, &name);
        let Some(stat) = tree::stat(&here, &name, &path)? else {
            continue;
        };
        let inside = path.strip_prefix(top).unwrap_or(&path);
        let inside = inside.strip_prefix(b"/").unwrap_or(inside);
        archiver.add(tree, (&here, &name), &name::join(shown, inside), &stat)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            continue;
        }
        match tree.open(&path) {
            Ok(fd) => {
                levels.push(level(path, &fd)?);
                here = fd;
            }
            Err(error) if tree::is_gone(error) => {}
            Err(error) => return Err(TreeError::at("open", &path)(error)),
        }
    }
}
