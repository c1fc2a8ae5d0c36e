//! What can go wrong with images and root file systems as archives.

use std::io;
use std::path::PathBuf;

use crate::config::ChangeError;
use crate::layer::UnpackError;
use crate::manifest::ManifestError;
use crate::platform::PlatformError;
use crate::reference::ReferenceError;
use crate::store::StoreError;
use crate::tree::TreeError;

/// Why an archive was not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// A system call failed: the disk is full, a right is missing.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was being done: `open`, `create`.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The stream that the archive comes from failed, or does not decompress.
    #[error("cannot read the archive: {0}")]
    Read(#[source] io::Error),
    /// The stream that the archive goes to failed.
    #[error("cannot write the archive: {0}")]
    Write(#[source] io::Error),
    /// The bytes are no tar archive, or a damaged one.
    #[error("malformed tar archive at byte {offset}: {reason}; it is damaged or no tar archive")]
    Malformed {
        /// Where.
        offset: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// There is no image in it.
    #[error(
        "no image in the archive: it has neither a manifest.json (docker save) nor an index.json (OCI layout); to make an image of a root file system, import it"
    )]
    NoImage,
    /// A file that the archive itself names is not there.
    #[error(
        "the archive lacks {name:?}, which it refers to; it is incomplete, save the image again"
    )]
    Missing {
        /// The file.
        name: String,
    },
    /// A name in the archive is hostile.
    #[error("refused name {name:?} in the archive: {reason}")]
    Refused {
        /// The name.
        name: String,
        /// Why.
        reason: &'static str,
    },
    /// A document is larger than any honest one.
    #[error("{name} in the archive has {size} bytes; more than {limit} are refused")]
    TooLarge {
        /// The file.
        name: String,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A document is not what it should be.
    #[error("malformed {name} in the archive: {source}")]
    Json {
        /// The file.
        name: String,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A layer has a compression that no manifest can name.
    #[error(
        "layer {name:?} in the archive is compressed with {format}; only gzip and zstd are known for layers"
    )]
    Compression {
        /// The file.
        name: String,
        /// The format.
        format: &'static str,
    },
    /// Blob and descriptor disagree: the store is damaged.
    #[error("blob {} has changed while it was saved: {reason}; pull the image again", path.display())]
    Damaged {
        /// The blob.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// There is something where a new directory should be.
    #[error("{} exists and is not empty: give a directory that does not exist", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// A `--change` instruction was not understood.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// There was nothing to import.
    #[error("nothing to import: the stream is empty")]
    Empty,
    /// No image for this machine in an index.
    #[error(transparent)]
    Platform(#[from] PlatformError),
    /// A name in the archive is malformed.
    #[error("the archive has a malformed image name: {0}")]
    Reference(#[from] ReferenceError),
    /// A manifest or configuration is malformed.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A directory tree could not be read or written out.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// An entry could not be unpacked.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// The store failed, or a layer was refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes an [`ArchiveError::Io`] of a failed call.
pub(super) fn io_error<E: Into<io::Error>>(
    action: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(E) -> ArchiveError {
    let path = path.into();
    move |source| ArchiveError::Io {
        action,
        path,
        source: source.into(),
    }
}
