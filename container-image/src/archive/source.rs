//! An archive that can be read in any order: a directory, a tar file, or the temporary copy of
//! a stream.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::error::{ArchiveError, io_error};
use super::members::Members;
use crate::layer::compression::{Decompressed, Format};
use crate::store::Store;

/// Where an archive comes from.
pub enum Input<'a> {
    /// A file, or the directory of an OCI layout.
    Path(&'a Path),
    /// Bytes that can be read once, such as standard input.
    Stream(&'a mut dyn Read),
}

impl std::fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

pub(super) enum Source {
    Directory(OwnedFd),
    Tar(Arc<File>, Members),
}

impl Source {
    /// Opens `input`. What cannot be read in any order is copied, decompressed, to a nameless
    /// file in the store's directory, which has room for images if anything has.
    pub(super) fn open(input: Input<'_>, store: &Store) -> Result<Self, ArchiveError> {
        let spooled = match input {
            Input::Stream(stream) => spool(stream, store)?,
            Input::Path(path) => {
                let mut file = File::open(path).map_err(io_error("open", path))?;
                let kind = file
                    .metadata()
                    .map_err(io_error("examine", path))?
                    .file_type();
                if kind.is_dir() {
                    return Ok(Self::Directory(file.into()));
                }
                let mut first = [0; 6];
                let plain = kind.is_file()
                    && matches!(file.read_at(&mut first, 0), Ok(n) if Format::of(&first[..n]) == Format::Plain);
                if plain {
                    file
                } else {
                    spool(&mut file, store)?
                }
            }
        };
        let members = Members::scan(&spooled)?;
        Ok(Self::Tar(Arc::new(spooled), members))
    }

    /// The file `name`, or what is wrong with it.
    pub(super) fn file(&self, name: &str) -> Result<Section, ArchiveError> {
        match self {
            Self::Tar(file, members) => {
                let (at, size) = members.find(name)?;
                Ok(Section {
                    file: Arc::clone(file),
                    at,
                    end: at.saturating_add(size),
                })
            }
            Self::Directory(dir) => {
                let missing = || ArchiveError::Missing {
                    name: name.to_owned(),
                };
                // Not blocking, should it be a fifo.
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
                let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
                let opened = rustix::fs::openat2(dir, name, flags, Mode::empty(), resolve);
                let file = match opened {
                    Ok(file) => File::from(file),
                    Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => {
                        return Err(missing());
                    }
                    Err(error) => return Err(io_error("open", name)(error)),
                };
                let meta = file.metadata().map_err(io_error("examine", name))?;
                if !meta.is_file() {
                    return Err(missing());
                }
                Ok(Section {
                    file: Arc::new(file),
                    at: 0,
                    end: meta.len(),
                })
            }
        }
    }

    /// All of a small file; `None` if there is none.
    pub(super) fn document(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, ArchiveError> {
        let mut section = match self.file(name) {
            Err(ArchiveError::Missing { .. }) => return Ok(None),
            section => section?,
        };
        let size = section.size();
        if size > limit {
            return Err(ArchiveError::TooLarge {
                name: name.to_owned(),
                size,
                limit,
            });
        }
        let mut bytes = Vec::new();
        section
            .read_to_end(&mut bytes)
            .map_err(ArchiveError::Read)?;
        Ok(Some(bytes))
    }
}

fn spool(stream: &mut dyn Read, store: &Store) -> Result<File, ArchiveError> {
    let directory = store.root();
    let mut file = tempfile::tempfile_in(directory)
        .map_err(io_error("create a temporary file in", directory))?;
    let mut plain = decompress(stream)?;
    let mut buffer = vec![0; 256 << 10];
    loop {
        let length = match plain.read(&mut buffer) {
            Ok(0) => return Ok(file),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(ArchiveError::Read(error)),
        };
        io::Write::write_all(&mut file, &buffer[..length])
            .map_err(io_error("write a temporary file in", directory))?;
    }
}

/// The plain bytes of a stream that may be compressed.
pub(super) fn decompress<'a>(
    stream: &'a mut dyn Read,
) -> Result<Decompressed<impl BufRead + 'a>, ArchiveError> {
    // The first read of a pipe may give less than the bytes that tell the format.
    let mut first = Vec::with_capacity(6);
    (&mut *stream)
        .take(6)
        .read_to_end(&mut first)
        .map_err(ArchiveError::Read)?;
    let whole = io::Cursor::new(first).chain(BufReader::with_capacity(256 << 10, stream));
    Decompressed::new(whole).map_err(ArchiveError::Read)
}

/// A file of the archive, being read.
#[derive(Debug)]
pub(super) struct Section {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Section {
    pub(super) fn size(&self) -> u64 {
        self.end - self.at
    }

    /// Leaves out the first bytes.
    pub(super) fn skip(&mut self, bytes: u64) {
        self.at = self.at.saturating_add(bytes).min(self.end);
    }

    /// The compression, by the first bytes.
    pub(super) fn format(&self) -> Result<Format, ArchiveError> {
        let mut first = [0; 6];
        let length = usize::try_from(self.size()).map_or(6, |size| size.min(6));
        let length = self.file.read_at(&mut first[..length], self.at);
        Ok(Format::of(&first[..length.map_err(ArchiveError::Read)?]))
    }
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = usize::try_from(self.size()).map_or(buffer.len(), |s| s.min(buffer.len()));
        let length = self.file.read_at(&mut buffer[..length], self.at)?;
        self.at += length as u64;
        Ok(length)
    }
}
