//! Files and directories as they are copied between file systems.

use std::io::{Read, Write};
use std::os::fd::BorrowedFd;

use rustix::fs::FileType;
use rustix::io::Errno;

use super::ArchiveError;
use super::export::below;
use super::source::decompress;
use crate::layer::root::Root;
use crate::layer::unpack::{Sense, unpack_as};
use crate::layer::{UnpackOptions, name};
use crate::tarball::{Entry, Kind, Writer};
use crate::tree::{self, Archiver, Mounts, Tree, TreeError};

/// Writes what is `name` in the directory `parent`, and all below it, as a tar archive in which it
/// is called `shown`; without that name, what is below it has no name of a directory before its
/// own. With `.` for a name it is `parent` itself. A link is not followed. What is mounted below
/// belongs to it.
///
/// # Errors
/// [`TreeError::Io`] if there is no such file, else as
/// [`export_at`](super::export_at).
pub fn pack(
    parent: BorrowedFd<'_>,
    name: &[u8],
    shown: &[u8],
    output: &mut dyn Write,
) -> Result<(), TreeError> {
    let tree = Tree::new(parent, Mounts::Enter);
    let top: &[u8] = if name == b"." { b"" } else { name };
    let dir = tree.open(b"").map_err(TreeError::at("open", name))?;
    let stat = tree::stat(&dir, name, name)?;
    let stat = stat.ok_or_else(|| TreeError::at("examine", name)(Errno::NOENT))?;
    let mut archiver = Archiver::new(output);
    archiver.add(tree, (&dir, name), shown, &stat)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        below(tree, top, shown, &mut archiver)?;
    }
    archiver.finish()
}

/// Unpacks a tar archive, plain or compressed, into the directory `at`, a clean path inside
/// `root`. Links on the way to it and below are followed, and never out of `root`.
///
/// What is there is replaced, but no directory by anything else nor the other way round.
///
/// # Errors
/// [`ArchiveError::Unpack`] with what is wrong with an entry, [`ArchiveError::Read`]. What came
/// before in the archive has been unpacked.
pub fn extract(
    tar: &mut dyn Read,
    root: BorrowedFd<'_>,
    at: &[u8],
    options: &UnpackOptions,
) -> Result<(), ArchiveError> {
    let mut plain = decompress(tar)?;
    let at = name::clean(at).unwrap_or_default();
    let root = Root::new(root, Mounts::Enter);
    Ok(unpack_as(Sense::Files(at), &mut plain, root, options)?)
}

/// An archive of one file, which belongs to root and is as old as this moment.
pub fn of_file(name: &str, mode: u32, content: &[u8]) -> Vec<u8> {
    let now = jiff::Timestamp::now();
    let entry = Entry {
        kind: Kind::File,
        path: name.as_bytes().to_vec(),
        link: Vec::new(),
        mode,
        uid: 0,
        gid: 0,
        mtime: (now.as_second(), 0),
        size: content.len() as u64,
        device: (0, 0),
        xattrs: Vec::new(),
        sparse: None,
    };
    let mut archive = Vec::with_capacity(content.len() + 4096);
    let mut writer = Writer::new(&mut archive);
    // Memory takes all that is written to it.
    _ = writer.entry(&entry);
    _ = writer.data(&mut &*content, entry.size);
    _ = writer.finish();
    archive
}
