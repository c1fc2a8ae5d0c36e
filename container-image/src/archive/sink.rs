//! Where saved images go: a tar stream or a directory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::error::{ArchiveError, io_error};

pub(super) enum Sink<'a> {
    Tar(Box<tar::Builder<&'a mut dyn Write>>),
    Directory(PathBuf),
}

impl<'a> Sink<'a> {
    pub(super) fn tar(output: &'a mut dyn Write) -> Self {
        Self::Tar(Box::new(tar::Builder::new(output)))
    }

    /// Makes the directory; one that is there must be empty.
    pub(super) fn directory(path: &Path) -> Result<Self, ArchiveError> {
        fs::create_dir_all(path).map_err(io_error("create directory", path))?;
        let mut entries = fs::read_dir(path).map_err(io_error("list", path))?;
        if entries.next().is_some() {
            return Err(ArchiveError::NotEmpty {
                path: path.to_owned(),
            });
        }
        Ok(Self::Directory(path.to_owned()))
    }

    pub(super) fn make_directory(&mut self, name: &str) -> Result<(), ArchiveError> {
        match self {
            Self::Tar(builder) => {
                let mut header = header(tar::EntryType::Directory, 0o755, 0);
                builder
                    .append_data(&mut header, format!("{name}/"), io::empty())
                    .map_err(ArchiveError::Write)
            }
            Self::Directory(root) => {
                let path = root.join(name);
                fs::create_dir_all(&path).map_err(io_error("create directory", &path))
            }
        }
    }

    /// Writes a file of exactly `size` bytes. The caller makes sure that `data` has as many.
    pub(super) fn file(
        &mut self,
        name: &str,
        size: u64,
        data: &mut dyn Read,
    ) -> Result<(), ArchiveError> {
        match self {
            Self::Tar(builder) => {
                let mut header = header(tar::EntryType::Regular, 0o644, size);
                builder
                    .append_data(&mut header, name, data)
                    .map_err(ArchiveError::Write)
            }
            Self::Directory(root) => {
                let path = root.join(name);
                let mut file: File = OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o644)
                    .open(&path)
                    .map_err(io_error("create", &path))?;
                io::copy(data, &mut file).map_err(io_error("write", &path))?;
                Ok(())
            }
        }
    }

    pub(super) fn finish(self) -> Result<(), ArchiveError> {
        match self {
            Self::Tar(builder) => {
                let output = builder.into_inner().map_err(ArchiveError::Write)?;
                output.flush().map_err(ArchiveError::Write)
            }
            Self::Directory(_) => Ok(()),
        }
    }
}

/// A header that is the same whoever writes it, and when.
fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header
}
