//! What a pull tells while it goes on.

use std::time::Duration;

use crate::digest::Digest;

/// One step of a pull. Layers are named by the digest of their blob.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// The manifest is known; the layers and their compressed sizes in bytes, lowermost first.
    Resolved {
        /// The digest of what the name stands for: of the index, if it is one.
        digest: Digest,
        /// Blobs and sizes.
        layers: Vec<(Digest, u64)>,
    },
    /// The layer is here already.
    Exists {
        /// The layer.
        layer: Digest,
    },
    /// Another pull is at this layer; its result will be used.
    Waiting {
        /// The layer.
        layer: Digest,
    },
    /// Bytes have arrived. The first event of a layer that is continued starts where the
    /// attempt before ended.
    Downloading {
        /// The layer.
        layer: Digest,
        /// Bytes here so far.
        current: u64,
        /// Bytes in all.
        total: u64,
    },
    /// A request failed and will be made again.
    Retrying {
        /// The layer; `None` for the manifest or the configuration.
        layer: Option<Digest>,
        /// How long is waited before.
        delay: Duration,
        /// What failed.
        reason: String,
    },
    /// All bytes are here; what is left of the unpacking goes on.
    Unpacking {
        /// The layer.
        layer: Digest,
    },
    /// The layer is complete.
    Done {
        /// The layer.
        layer: Digest,
    },
}

/// Who is told. Called from any thread; must not block.
pub(super) type Listener = dyn Fn(Progress) + Send + Sync;
