//! A tree's entries into an archive.

use std::collections::HashMap;
use std::io::Write;
use std::os::fd::OwnedFd;

use rustix::fs::{FileType, Stat};

use super::{Content, Tree, TreeError, walk};
use crate::tarball::{Entry, Fault, Kind, Writer};

/// What the names of files with several links may take in memory: hundreds of thousands.
const MAX_LINKS: usize = 64 << 20;

/// An archive being written of files that lie in directories.
pub(crate) struct Archiver<'a> {
    writer: Writer<'a>,
    /// Where files that have several names came first, by device and inode.
    links: HashMap<(u64, u64), Vec<u8>>,
    bytes: usize,
}

impl<'a> Archiver<'a> {
    pub(crate) fn new(output: &'a mut dyn Write) -> Self {
        Self {
            writer: Writer::new(output),
            links: HashMap::new(),
            bytes: 0,
        }
    }

    /// Writes what is `name` in `dir`, as `path`. What has gone meanwhile and what no archive
    /// knows (sockets) is left out. Of a directory only itself.
    pub(crate) fn add(
        &mut self,
        tree: Tree<'_>,
        (dir, name): (&OwnedFd, &[u8]),
        path: &[u8],
        stat: &Stat,
    ) -> Result<(), TreeError> {
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let shared = !is_directory && stat.st_nlink > 1;
        let id = (stat.st_dev, stat.st_ino);
        if shared && let Some(first) = self.links.get(&id) {
            let mut link = walk::bare(Kind::HardLink, path, stat);
            link.link.clone_from(first);
            return self.writer.entry(&link).map_err(TreeError::Write);
        }
        let Some(mut entry) = walk::entry(dir, name, path, stat)? else {
            return Ok(());
        };
        match entry.kind {
            Kind::File => {
                if !self.file(tree, (dir, name), entry)? {
                    return Ok(());
                }
            }
            kind => {
                if kind == Kind::Dir {
                    entry.path.push(b'/');
                }
                self.writer.entry(&entry).map_err(TreeError::Write)?;
            }
        }
        if shared {
            self.bytes += path.len() + 64;
            if self.bytes > MAX_LINKS {
                return Err(TreeError::refused(path, "there are too many hard links"));
            }
            self.links.insert(id, path.to_vec());
        }
        Ok(())
    }

    /// False when it has gone.
    fn file(
        &mut self,
        tree: Tree<'_>,
        (dir, name): (&OwnedFd, &[u8]),
        mut entry: Entry,
    ) -> Result<bool, TreeError> {
        let opened = tree.content(dir, name);
        let (mut file, stat) = match opened.map_err(TreeError::at("open", &entry.path))? {
            Content::File(file, stat) => (file, stat),
            Content::Gone => return Ok(false),
            Content::Covered => {
                (entry.size, entry.xattrs) = (0, Vec::new());
                let written = self.writer.entry(&entry).map(|()| true);
                return written.map_err(TreeError::Write);
            }
        };
        // What is written is what was opened; its size is that of this moment.
        entry.size = u64::try_from(stat.st_size).unwrap_or(0);
        self.writer.entry(&entry).map_err(TreeError::Write)?;
        let copied = self.writer.data(&mut file, entry.size);
        match copied {
            Ok(()) => Ok(true),
            Err(Fault::Read(error)) => Err(TreeError::at("read", &entry.path)(error)),
            Err(Fault::Write(error)) => Err(TreeError::Write(error)),
        }
    }

    /// An empty file: how layers say what is not there.
    pub(crate) fn mark(&mut self, path: Vec<u8>) -> Result<(), TreeError> {
        let mark = Entry {
            kind: Kind::File,
            path,
            link: Vec::new(),
            mode: 0,
            uid: 0,
            gid: 0,
            mtime: (0, 0),
            size: 0,
            device: (0, 0),
            xattrs: Vec::new(),
            sparse: None,
        };
        self.writer.entry(&mark).map_err(TreeError::Write)
    }

    pub(crate) fn finish(self) -> Result<(), TreeError> {
        self.writer.finish().map_err(TreeError::Write)
    }
}
