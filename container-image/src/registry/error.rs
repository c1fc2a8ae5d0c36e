//! What can go wrong between a registry and the store.

use std::io;
use std::path::PathBuf;

use crate::digest::Digest;
use crate::manifest::ManifestError;
use crate::platform::PlatformError;
use crate::store::StoreError;

/// Why an image was not pulled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// The HTTP client could not be set up: the machine's certificates cannot be read.
    #[error("cannot set up the HTTP client: {reason}")]
    Client {
        /// What it said.
        reason: String,
    },
    /// A mirror's address is not a URL.
    #[error("invalid mirror {mirror:?}: write http://host[:port] or https://host[:port]")]
    Mirror {
        /// As given.
        mirror: String,
    },
    /// The registry could not be reached, or the connection broke again and again.
    #[error("cannot reach {url}: {reason}")]
    Transport {
        /// What was asked for.
        url: String,
        /// The last failure.
        reason: String,
    },
    /// The registry has no such image.
    #[error("{reference} not found: {message}")]
    NotFound {
        /// The image.
        reference: String,
        /// The registry's words.
        message: String,
    },
    /// The registry wants other credentials, or has no such repository: many do not tell which.
    #[error(
        "pull access denied for {reference}, repository does not exist or may require 'docker login': {message}"
    )]
    Denied {
        /// The image.
        reference: String,
        /// The registry's words.
        message: String,
    },
    /// Any other answer than the one asked for.
    #[error("{url} answered {status}: {message}")]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The registry's words.
        message: String,
    },
    /// The answer breaks the distribution specification.
    #[error("malformed answer from {url}: {reason}")]
    Protocol {
        /// What was asked for.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The token server named by the registry gave no token.
    #[error("cannot authenticate with {registry}: {reason}")]
    Authentication {
        /// The registry.
        registry: String,
        /// Why.
        reason: String,
    },
    /// The credentials could not be found out.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// A manifest or configuration is not the one its digest names.
    #[error(
        "{url} is {actual} where {expected} was asked for; it was damaged or replaced on the way"
    )]
    Digest {
        /// What was asked for.
        url: String,
        /// The digest asked for.
        expected: Digest,
        /// The digest of what came.
        actual: Digest,
    },
    /// A blob has another size than the manifest says.
    #[error("{url} has {actual} bytes where the manifest says {expected}")]
    Size {
        /// What was asked for.
        url: String,
        /// Bytes in the descriptor.
        expected: u64,
        /// Bytes offered, or received until it was too many.
        actual: u64,
    },
    /// The image is not made for the platform asked for.
    #[error("{reference}: {source}")]
    Platform {
        /// The image.
        reference: String,
        /// What is on offer.
        source: PlatformError,
    },
    /// The manifest, index or configuration is malformed.
    #[error("{reference}: {source}")]
    Manifest {
        /// The image.
        reference: String,
        /// What is wrong.
        source: ManifestError,
    },
    /// The image could not be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A task of the pull panicked, or the runtime is shutting down.
    #[error("the pull was stopped: {reason}")]
    Stopped {
        /// What the runtime said.
        reason: String,
    },
}

/// Why credentials could not be found out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// The file is there but cannot be read.
    #[error("cannot read credentials file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file is not what `docker login` or `podman login` writes.
    #[error("malformed credentials file {}: {reason}; log in again to have it rewritten", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file names a credential helper that is not installed or not runnable.
    #[error("cannot run credential helper {program}: {source}; install it or remove it from {}", path.display())]
    Start {
        /// `docker-credential-…`.
        program: String,
        /// The file that names it.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The helper failed.
    #[error("credential helper {program} failed: {reason}")]
    Helper {
        /// `docker-credential-…`.
        program: String,
        /// What it said.
        reason: String,
    },
}
