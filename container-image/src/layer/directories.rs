//! What is still to be done to directories when all entries are in place: their times change
//! with each entry in them, their modes may forbid entering them, their groups and default ACLs
//! would be inherited, and a mark of opacity may come before the directory itself.

use std::collections::BTreeMap;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::attributes::{Attributes, Target};
use super::root::Root;
use super::{OverlayXattrs, UnpackError, UnpackOptions, io_error, refused};
use crate::tarball::Xattr;

/// What the records may take in memory: some millions of directories.
const MAX_BYTES: usize = 256 << 20;

/// Directories by their clean path in the archive.
#[derive(Default)]
pub(super) struct Directories {
    records: BTreeMap<Vec<u8>, Record>,
    bytes: usize,
}

#[derive(Default)]
struct Record {
    /// Tells the directory from a later one that a changed link puts at the same path.
    inode: u64,
    /// None: another path of the same directory has them.
    attributes: Option<Attributes>,
    xattrs: Vec<Xattr>,
    opaque: bool,
}

impl Directories {
    /// Records the attributes that the directory at `path` will have.
    pub(super) fn set(
        &mut self,
        path: &[u8],
        inode: u64,
        attributes: Attributes,
        xattrs: Vec<Xattr>,
    ) -> Result<(), UnpackError> {
        self.bytes += xattrs
            .iter()
            .map(|(n, v)| n.len() + v.len() + 64)
            .sum::<usize>();
        let record = self.record(path, inode)?;
        record.attributes = Some(attributes);
        record.xattrs = xattrs;
        Ok(())
    }

    /// Records that the directory at `path` hides those of the layers below.
    pub(super) fn set_opaque(&mut self, path: &[u8], inode: u64) -> Result<(), UnpackError> {
        self.record(path, inode)?.opaque = true;
        Ok(())
    }

    /// Drops what is known of a directory that was removed, and of all below it.
    pub(super) fn forget(&mut self, path: &[u8]) {
        self.records.remove(path);
        let below = [path, b"/"].concat();
        let doomed: Vec<_> = self
            .records
            .range(below.clone()..)
            .map(|(path, _)| path)
            .take_while(|path| path.starts_with(&below))
            .cloned()
            .collect();
        for path in doomed {
            self.records.remove(&path);
        }
    }

    fn record(&mut self, path: &[u8], inode: u64) -> Result<&mut Record, UnpackError> {
        if !self.records.contains_key(path) {
            self.bytes += path.len() + size_of::<Record>() + 64;
        }
        if self.bytes > MAX_BYTES {
            return Err(refused(path, "the layer has too many directories"));
        }
        let record = self.records.entry(path.to_vec()).or_default();
        if record.inode != inode {
            *record = Record {
                inode,
                ..Record::default()
            };
        }
        Ok(record)
    }

    /// Gives all directories what was recorded, children before their parents.
    pub(super) fn apply(
        self,
        root: &Root<'_>,
        options: &UnpackOptions,
        own: (u32, u32),
    ) -> Result<(), UnpackError> {
        for (path, record) in self.records.into_iter().rev() {
            let fd = match root.open(&path, OFlags::RDONLY) {
                Ok(fd) => fd,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                Err(error) => return Err(io_error("open directory", &path, error)),
            };
            let stat = rustix::fs::fstat(&fd);
            let stat = stat.map_err(|error| io_error("examine directory", &path, error))?;
            if stat.st_ino != record.inode {
                continue;
            }
            let target = Target::Open(&fd);
            if record.opaque {
                let name = match options.overlay_xattrs {
                    OverlayXattrs::Trusted => "trusted.overlay.opaque",
                    OverlayXattrs::User => "user.overlay.opaque",
                };
                rustix::fs::fsetxattr(&fd, name, b"y", rustix::fs::XattrFlags::empty())
                    .map_err(|error| io_error("mark as opaque directory", &path, error))?;
            }
            target.set_xattrs(&record.xattrs, &path)?;
            if let Some(attributes) = &record.attributes {
                // Of the directory's own owner until now.
                target.set(attributes, options.owners, own, &path)?;
            }
        }
        Ok(())
    }
}
