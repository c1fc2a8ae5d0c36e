//! Tar streams, as the archives of images use them: read v7, ustar, PAX and GNU, written ustar and
//! PAX.
//!
//! The parser is our own, since archives come from strangers: every header field is checked, what
//! is held in memory has a fixed bound, the data of an entry is lent out of one buffer without
//! being copied, and where the format leaves a choice this takes the one of Go's `archive/tar`,
//! so that Docker, containerd and this program see the same files in the same bytes. The `tar`
//! crate takes malformed PAX records and negative numbers without a word and has no sparse 1.0.

mod header;
mod pax;
mod reader;
mod sparse;
mod writer;

use std::io;

pub(crate) use self::reader::Reader;
pub(crate) use self::sparse::Segment;
pub(crate) use self::writer::{Fault, Writer};

/// One block of a tar stream, in bytes.
pub(crate) const BLOCK: usize = 512;

/// What an extended header, a long name or a sparse map may take, in bytes (as Go has it).
const MAX_EXTENSION: u64 = 1 << 20;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    HardLink,
    Symlink,
    Char,
    Block,
    Dir,
    Fifo,
}

/// One entry, with all its extended headers taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    /// As written, so possibly absolute, with `..`, or not UTF-8; without NUL.
    pub(crate) path: Vec<u8>,
    /// Target of a symbolic or hard link.
    pub(crate) link: Vec<u8>,
    /// Permission bits with setuid, setgid and sticky.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Seconds and nanoseconds since the epoch.
    pub(crate) mtime: (i64, u32),
    /// Bytes of the file when unpacked.
    pub(crate) size: u64,
    /// Major and minor number of a device node.
    pub(crate) device: (u32, u32),
    pub(crate) xattrs: Vec<Xattr>,
    /// Where the stored data goes, if the file has holes.
    pub(crate) sparse: Option<Vec<Segment>>,
}

/// Name and value of an extended attribute.
pub(crate) type Xattr = (Vec<u8>, Vec<u8>);

/// Why a tar stream cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TarError {
    #[error("{0}")]
    Read(#[source] io::Error),
    #[error("at byte {offset}: {reason}")]
    Malformed { offset: u64, reason: &'static str },
}
