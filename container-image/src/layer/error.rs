//! What can go wrong between a layer's compressed bytes and its directory.

use std::io;
use std::path::PathBuf;

use crate::digest::Digest;

/// Why a tar stream was not unpacked, or a tree not removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// A system call failed: the disk is full, a right is missing, a name is too long.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was being done: `create file`, `set owner of`.
        action: &'static str,
        /// The path inside the layer, or of the directory itself.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The stream that delivers the archive failed.
    #[error("cannot read the layer's tar stream: {0}")]
    Read(#[source] io::Error),
    /// The archive breaks the tar format.
    #[error(
        "malformed tar archive at byte {offset}: {reason}; the image is damaged or hostile, get it again from its source"
    )]
    Malformed {
        /// Where the offending header begins, in the uncompressed stream.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// An entry is well-formed but must not, or cannot, be unpacked.
    #[error("refused archive entry {}: {reason}", path.display())]
    Refused {
        /// The entry's name.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Files are copied where others are, and a directory meets something else.
    #[error(
        "cannot overwrite {} {} with {}", kind(*directory), path.display(), kind(!*directory)
    )]
    Overwrite {
        /// Where.
        path: PathBuf,
        /// What is there is the directory.
        directory: bool,
    },
    /// The process that unpacks on our behalf failed (rootless).
    #[error("the layer unpacking process failed: {reason}")]
    Worker {
        /// What it said, or how it ended.
        reason: String,
    },
}

fn kind(directory: bool) -> &'static str {
    match directory {
        true => "directory",
        false => "non-directory",
    }
}

/// Why a layer was not taken in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IngestError {
    /// The source of the compressed bytes failed (a connection, a file).
    #[error("cannot read layer {digest}: {source}")]
    Read {
        /// The layer.
        digest: Digest,
        /// What the source said.
        source: io::Error,
    },
    /// More or fewer bytes came than the descriptor says.
    #[error(
        "layer {digest} has {actual} bytes where its descriptor says {expected}; pull the image again"
    )]
    Size {
        /// The layer.
        digest: Digest,
        /// Bytes in the descriptor.
        expected: u64,
        /// Bytes that came; reading stops soon after the expected size.
        actual: u64,
    },
    /// The bytes are not the ones the descriptor names.
    #[error(
        "layer {expected} arrived as {actual}; it was damaged or replaced on the way, pull the image again"
    )]
    Digest {
        /// The digest in the descriptor.
        expected: Digest,
        /// The digest of what came.
        actual: Digest,
    },
    /// The bytes are the right ones but do not decompress.
    #[error("cannot decompress layer {digest} as {format}: {source}")]
    Decompress {
        /// The layer.
        digest: Digest,
        /// `gzip`, `zstd`.
        format: &'static str,
        /// What the decoder said.
        source: io::Error,
    },
    /// The uncompressed bytes are not the ones the image's config names.
    #[error(
        "layer {digest} unpacks to {actual} where the image config says {expected}; the image is inconsistent"
    )]
    DiffId {
        /// The layer.
        digest: Digest,
        /// The diff id in the config.
        expected: Digest,
        /// The digest of the uncompressed bytes.
        actual: Digest,
    },
    /// The archive could not be unpacked.
    #[error("cannot unpack layer {digest}: {source}")]
    Unpack {
        /// The layer.
        digest: Digest,
        /// Why.
        source: UnpackError,
    },
    /// A thread of the pipeline could not be started or died.
    #[error("cannot run the unpacking pipeline of layer {digest}: {source}")]
    Pipeline {
        /// The layer.
        digest: Digest,
        /// What the system said.
        source: io::Error,
    },
}

/// Why a new layer was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MakeError {
    /// The stream that the layer comes from failed.
    #[error("cannot read the new layer: {0}")]
    Read(#[source] io::Error),
    /// Its blob could not be written.
    #[error("cannot write the new layer: {0}")]
    Write(#[source] io::Error),
    /// Its directory could not be made.
    #[error("cannot unpack the new layer: {0}")]
    Unpack(#[source] UnpackError),
    /// A thread could not be started or died.
    #[error("cannot run the pipeline of the new layer: {0}")]
    Pipeline(#[source] io::Error),
}
