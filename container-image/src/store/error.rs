//! What can go wrong with images on disk.

use std::io;
use std::path::PathBuf;

use crate::digest::{Digest, DigestError};
use crate::layer::{IngestError, MakeError, UnpackError};
use crate::manifest::ManifestError;

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A system call failed: the disk is full, a right is missing.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was being done: `create directory`, `lock`.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The directory holds something else.
    #[error("{} is not an image store: {reason}; give another directory", root.display())]
    NotAStore {
        /// The directory given.
        root: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of the store does not hold what it must.
    #[error("{} is damaged: {reason}; remove the image and pull it again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No image here has this name or id.
    #[error("No such image: {name}")]
    NotFound {
        /// The name or id as given.
        name: String,
    },
    /// Several images have ids that begin like this.
    #[error("multiple images have ids beginning with {prefix}: give more digits")]
    Ambiguous {
        /// The prefix as given.
        prefix: String,
    },
    /// Neither a name nor an id.
    #[error(transparent)]
    Reference(#[from] crate::reference::ReferenceError),
    /// A manifest, index or configuration is malformed.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A digest is malformed.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// A layer was not taken in.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// A new layer was not made.
    #[error(transparent)]
    Make(#[from] MakeError),
    /// A layer's directory could not be removed.
    #[error("cannot remove layer directory {}: {source}", path.display())]
    RemoveLayer {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: UnpackError,
    },
    /// Bytes are not the ones their digest names.
    #[error("content named {expected} is in fact {actual}: it was damaged or replaced on the way")]
    Mismatch {
        /// The digest asked for.
        expected: Digest,
        /// The digest of what came.
        actual: Digest,
    },
    /// An image was to be committed before all of it was there.
    #[error("image is incomplete: {digest} is missing from the store; pull or load it again")]
    Incomplete {
        /// The blob, or the chain id of the layer.
        digest: Digest,
    },
    /// The image cannot be removed like this.
    #[error("conflict: {0}")]
    Conflict(Conflict),
}

/// Why an image is not removed. The texts are Docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Conflict {
    /// A container that runs has its files from the image.
    #[error(
        "unable to delete {image} (cannot be forced) - image is being used by running container {container}"
    )]
    Running {
        /// The image, short.
        image: String,
        /// The container, or `unknown` where only a lease tells of it.
        container: String,
    },
    /// A container that does not run needs the image to start again.
    #[error(
        "unable to delete {image} (must be forced) - image is being used by stopped container {container}"
    )]
    Stopped {
        /// The image, short.
        image: String,
        /// The container.
        container: String,
    },
    /// The last name of an image that a container uses was to go.
    #[error(
        "unable to remove repository reference {name:?} (must force) - container {container} is using its referenced image {image}"
    )]
    LastName {
        /// The name given.
        name: String,
        /// The container.
        container: String,
        /// The image, short.
        image: String,
    },
    /// An id was given, and the image has names in several repositories.
    #[error(
        "unable to delete {image} (must be forced) - image is referenced in multiple repositories"
    )]
    ManyNames {
        /// The image, short.
        image: String,
    },
}

/// Makes a [`StoreError::Io`] of a failed call.
pub(crate) fn io_error<E: Into<io::Error>>(
    action: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(E) -> StoreError {
    let path = path.into();
    move |source| StoreError::Io {
        action,
        path,
        source: source.into(),
    }
}
