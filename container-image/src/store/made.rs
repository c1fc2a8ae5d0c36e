//! Layers that are made here: their names are known when all of their bytes are.

use std::fs::Permissions;
use std::io::Read;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use oci_spec::image::MediaType;

use super::Store;
use super::error::{StoreError, io_error};
use super::ingest::{BUSY, Ingest};
use super::layout::{Lock, exists, make_dirs, unlink};
use super::tally::Tallying;
use crate::digest::{Algorithm, Digest};
use crate::layer::{self, LayerSpec};
use crate::manifest::{self, Layer};

/// The digest of an archive without entries: two blocks of zeros.
const EMPTY: &str = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";

impl Ingest {
    /// Makes a layer of a plain tar stream, on top of the layer with chain id `below`: compressed
    /// with gzip into a blob, and unpacked, in one pass. The same stream gives the same blob.
    /// `None` if the archive has no entries.
    ///
    /// A crash at any point leaves what the next [`Store::prune`] removes.
    ///
    /// # Errors
    /// [`StoreError::Make`] with what failed, [`StoreError::Io`].
    pub fn new_layer(
        &self,
        tar: &mut (dyn Read + Send),
        below: Option<&Digest>,
    ) -> Result<Option<Layer>, StoreError> {
        let store = &self.store;
        // A name that nobody else has, pinned as if it were the layer's.
        let own = random_digest()?;
        self.pin([&own])?;
        let aside = Aside {
            store,
            path: &store.layout.layer_aside(&own),
        };
        make_dirs(aside.path)?;
        std::fs::set_permissions(aside.path, Permissions::from_mode(0o755))
            .map_err(io_error("set mode of", aside.path))?;
        let tallying = Tallying {
            unpacker: &*store.unpacker,
            total: AtomicU64::new(0),
        };
        let mut blob = self.new_blob(Algorithm::Sha256)?;
        let diff_id = layer::make(tar, &mut blob, &tallying, aside.path)?;
        if diff_id.as_str() == EMPTY {
            return Ok(None);
        }
        let (digest, size) = blob.finish()?;
        let chain_id = manifest::chain(below, &diff_id);
        let layer = Layer {
            spec: LayerSpec {
                digest,
                size,
                media_type: MediaType::ImageLayerGzip,
                diff_id,
            },
            chain_id,
        };
        self.pin([&layer.chain_id])?;
        aside.settle(&layer.chain_id, tallying.total.load(Ordering::Relaxed))?;
        Ok(Some(layer))
    }
}

fn random_digest() -> Result<Digest, StoreError> {
    let mut bytes = [0; 32];
    // Never less than what was asked for, up to 256 bytes (getrandom(2)).
    rustix::io::retry_on_intr(|| {
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
    })
    .map_err(io_error("read", "/dev/urandom"))?;
    Ok(Digest::sha256(bytes))
}

/// The directory of a layer that has no name yet. Removed when dropped.
struct Aside<'a> {
    store: &'a Store,
    path: &'a Path,
}

impl Aside<'_> {
    /// Gives it its name, unless it is here already.
    fn settle(&self, chain_id: &Digest, total: u64) -> Result<(), StoreError> {
        let layout = &self.store.layout;
        let directory = layout.layer(chain_id);
        let lock = layout.layer_lock(chain_id);
        // Whoever unpacks the same layer holds this until its directory is there.
        let _lock = loop {
            match Lock::try_on_transient(&lock)? {
                Some(held) => break held,
                None => std::thread::sleep(BUSY),
            }
        };
        if !exists(&directory)? {
            let size = layout.layer_size(chain_id);
            std::fs::write(&size, total.to_string()).map_err(io_error("write", &size))?;
            std::fs::rename(self.path, &directory).map_err(io_error("name layer", &directory))?;
        }
        unlink(&lock)
    }
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.store.unpacker.remove(self.path) {
            tracing::debug!(%error, "directory of a layer left for the next prune");
        }
    }
}
