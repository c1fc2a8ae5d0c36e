//! The way in: blobs arrive, layers are unpacked, an image is entered.
//!
//! Everything an [`Ingest`] has touched is pinned until it is dropped: no other process
//! collects it, though no image refers to it yet. See "Who may remove what" in [`super`].

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use oci_spec::image::{Descriptor, MediaType};

use super::error::{StoreError, io_error};
use super::image::Image;
use super::index::Index;
use super::layout::{Lock, exists, make_dirs, try_exclusive, unlink};
use super::slot::LayerSlot;
use super::{Store, layout, twin};
use crate::digest::{Algorithm, Digest, Hasher};
use crate::manifest::{self, CONFIG_LIMIT, DOCKER_MANIFEST, Document, Layer};
use crate::reference::Reference;

/// How long to wait before looking again whether another process is done with a layer.
pub(super) const BUSY: Duration = Duration::from_millis(20);

/// An image on its way into the store.
///
/// ```no_run
/// # use container_image::{manifest::Layer, store::{Store, StoreError}, Digest};
/// # fn example(store: &Store, layers: &[Layer], config: &[u8], manifest: &[u8],
/// #     media_type: &str) -> Result<(), Box<dyn std::error::Error>> {
/// let ingest = store.ingest()?;
/// ingest.put(config, &Digest::sha256(config))?;
/// for layer in layers {
///     if let Some(slot) = ingest.layer(layer)? {
///         let mut rest = match slot.wanted_from() {
///             Some(offset) => open_source(layer, offset)?,
///             None => Box::new(std::io::empty()), // the blob is here, only unpacked it is not
///         };
///         slot.fill(&mut *rest)?;
///     }
/// }
/// let image = ingest.commit(manifest, media_type, &["example:1".parse()?])?;
/// # Ok(()) }
/// # fn open_source(_: &Layer, _: u64) -> std::io::Result<Box<dyn std::io::Read + Send>> { Ok(Box::new(std::io::empty())) }
/// ```
#[derive(Debug)]
pub struct Ingest {
    pub(super) store: Store,
    pin: File,
    pin_path: PathBuf,
    pinned: Mutex<HashSet<Digest>>,
}

/// What stands between the caller and a layer.
#[derive(Debug)]
pub enum Slot {
    /// The layer is here, blob and directory.
    Ready,
    /// Another thread or process is at it: look again later.
    Busy,
    /// The caller is to bring it.
    Open(LayerSlot),
}

impl Ingest {
    pub(super) fn new(store: Store) -> Result<Self, StoreError> {
        // Whoever collects garbage holds this lock exclusively, so a pin file is never
        // seen between its creation and its locking.
        let _lock = Lock::shared(&store.layout.index_lock())?;
        let directory = store.layout.ingest();
        let named = tempfile::Builder::new()
            .prefix("pin-")
            .rand_bytes(12)
            .make_in(&directory, |path| {
                OpenOptions::new()
                    .append(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(path)
            })
            .map_err(io_error("create a file in", &directory))?;
        let (pin, path) = named.into_parts();
        let pin_path = path
            .keep()
            .map_err(|error| io_error("keep a file in", &directory)(error.error))?;
        try_exclusive(&pin).map_err(io_error("lock", &pin_path))?;
        Ok(Self {
            store,
            pin,
            pin_path,
            pinned: Mutex::default(),
        })
    }

    /// Keeps blobs and layers of these digests and chain ids from being collected for as
    /// long as this lives. Everything that goes through an `Ingest` is pinned by it
    /// anyway.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn pin<'a>(&self, digests: impl IntoIterator<Item = &'a Digest>) -> Result<(), StoreError> {
        let mut pinned = self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = String::new();
        let mut new = Vec::new();
        for digest in digests {
            if !pinned.contains(digest) && !new.contains(digest) {
                lines.push_str(digest.as_str());
                lines.push('\n');
                new.push(digest.clone());
            }
        }
        if new.is_empty() {
            return Ok(());
        }
        let _lock = Lock::shared(&self.store.layout.index_lock())?;
        (&self.pin)
            .write_all(lines.as_bytes())
            .map_err(io_error("write", &self.pin_path))?;
        pinned.extend(new);
        Ok(())
    }

    /// Whether the blob is here. It is pinned in any case.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn has(&self, digest: &Digest) -> Result<bool, StoreError> {
        self.pin([digest])?;
        exists(&self.store.layout.blob(digest))
    }

    /// Stores a small document.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] if `bytes` are not what `digest` names, or [`StoreError::Io`].
    pub fn put(&self, bytes: &[u8], digest: &Digest) -> Result<(), StoreError> {
        let mut hasher = digest.hasher();
        hasher.update(bytes);
        let actual = hasher.finish();
        if actual != *digest {
            return Err(StoreError::Mismatch {
                expected: digest.clone(),
                actual,
            });
        }
        if self.has(digest)? {
            return Ok(());
        }
        let mut blob = self.new_blob(digest.algorithm())?;
        blob.write_all(bytes)
            .map_err(io_error("write", &blob.path))?;
        blob.finish()?;
        Ok(())
    }

    /// Starts a blob whose digest is known only when it has been written.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn new_blob(&self, algorithm: Algorithm) -> Result<NewBlob<'_>, StoreError> {
        // As with pin files: never seen unlocked by a collector.
        let _lock = Lock::shared(&self.store.layout.index_lock())?;
        let directory = self.store.layout.ingest();
        let named = tempfile::Builder::new()
            .prefix("blob-")
            .rand_bytes(12)
            .make_in(&directory, |path| {
                OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(path)
            })
            .map_err(io_error("create a file in", &directory))?;
        try_exclusive(named.as_file()).map_err(io_error("lock", named.path()))?;
        let path = named.path().to_owned();
        Ok(NewBlob {
            ingest: self,
            named,
            path,
            hasher: algorithm.hasher(),
            size: 0,
        })
    }

    /// Asks for a layer without waiting.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn try_layer(&self, layer: &Layer) -> Result<Slot, StoreError> {
        self.pin([&layer.spec.digest, &layer.chain_id])?;
        LayerSlot::open(&self.store, layer)
    }

    /// Asks for a layer, waiting while another thread or process fetches or unpacks it.
    /// `None` means that it is here.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn layer(&self, layer: &Layer) -> Result<Option<LayerSlot>, StoreError> {
        loop {
            match self.try_layer(layer)? {
                Slot::Ready => return Ok(None),
                Slot::Open(slot) => return Ok(Some(slot)),
                Slot::Busy => std::thread::sleep(BUSY),
            }
        }
    }

    /// Enters the image under `names`, or without a name if there are none. A name that
    /// another image has is taken from it.
    ///
    /// The configuration and all layers must have been brought; `manifest` is stored as it is.
    /// This is the moment at which the image exists: `index.json` is replaced only after
    /// everything that it will refer to.
    ///
    /// # Errors
    /// [`StoreError::Incomplete`] if something is missing, [`StoreError::Manifest`] if the
    /// documents are malformed or disagree, [`StoreError::Io`].
    pub fn commit(
        &self,
        manifest: &[u8],
        media_type: &str,
        names: &[Reference],
    ) -> Result<Image, StoreError> {
        let digest = Digest::sha256(manifest);
        self.commit_as(manifest, media_type, &digest, names)
    }

    /// As [`Ingest::commit`], under the digest by which the manifest was asked for: it need
    /// not be of SHA-256.
    ///
    /// # Errors
    /// As [`Ingest::commit`], and [`StoreError::Mismatch`].
    pub fn commit_as(
        &self,
        manifest: &[u8],
        media_type: &str,
        digest: &Digest,
        names: &[Reference],
    ) -> Result<Image, StoreError> {
        let Document::Image(parsed) = manifest::parse(manifest, Some(media_type))? else {
            return Err(manifest::ManifestError::NotAnImage {
                media_type: media_type.to_owned(),
            }
            .into());
        };
        let config_digest = manifest::digest_of(parsed.config())?;
        let layout = &self.store.layout;
        let config_path = layout.blob(&config_digest);
        if !self.has(&config_digest)? {
            return Err(StoreError::Incomplete {
                digest: config_digest,
            });
        }
        let config = layout::read_limited(&config_path, CONFIG_LIMIT)
            .map_err(io_error("read", &config_path))?;
        let layers = manifest::layers(&parsed, &manifest::parse_config(&config)?)?;
        self.pin(layers.iter().flat_map(|l| [&l.spec.digest, &l.chain_id]))?;
        for layer in &layers {
            for (path, digest) in [
                (layout.blob(&layer.spec.digest), &layer.spec.digest),
                (layout.layer(&layer.chain_id), &layer.chain_id),
            ] {
                if !exists(&path)? {
                    return Err(StoreError::Incomplete {
                        digest: digest.clone(),
                    });
                }
            }
        }
        self.put(manifest, digest)?;
        let twin = (media_type == DOCKER_MANIFEST)
            .then(|| twin::of(&parsed))
            .flatten();
        let entry = match twin {
            Some(twin) => {
                let listed = Digest::sha256(&twin);
                self.put(&twin, &listed)?;
                let mut entry = self.entry(manifest::OCI_MANIFEST, &twin, &listed)?;
                let original = (twin::ORIGINAL.to_owned(), digest.to_string());
                entry.set_annotations(Some([original].into()));
                entry
            }
            None => self.entry(media_type, manifest, digest)?,
        };
        let lock = Lock::exclusive(&layout.index_lock())?;
        let mut index = Index::read(layout)?;
        for name in names {
            index.set(Some(name), &entry);
        }
        if names.is_empty() {
            index.set(None, &entry);
        }
        index.write(layout, &lock)?;
        self.store.load(&index, &entry)
    }
}

impl Ingest {
    fn entry(
        &self,
        media_type: &str,
        bytes: &[u8],
        digest: &Digest,
    ) -> Result<Descriptor, StoreError> {
        let parsed = digest
            .as_str()
            .parse::<oci_spec::image::Digest>()
            .map_err(|error| StoreError::Damaged {
                path: self.store.layout.blob(digest),
                reason: error.to_string(),
            })?;
        let media_type = MediaType::from(media_type);
        Ok(Descriptor::new(media_type, bytes.len() as u64, parsed))
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        // Left behind, it would be collected: it is only unlocked rubbish.
        if let Err(error) = unlink(&self.pin_path) {
            tracing::debug!(%error, "pin file left for the next prune");
        }
    }
}

/// A blob being written whose digest is not known yet. Dropped unfinished, it is removed.
#[derive(Debug)]
pub struct NewBlob<'a> {
    ingest: &'a Ingest,
    named: tempfile::NamedTempFile<File>,
    path: PathBuf,
    hasher: Hasher,
    size: u64,
}

impl NewBlob<'_> {
    /// Gives the blob its name. Returns the digest and the size in bytes.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn finish(self) -> Result<(Digest, u64), StoreError> {
        let digest = self.hasher.finish();
        let target = self.ingest.store.layout.blob(&digest);
        if self.ingest.has(&digest)? {
            return Ok((digest, self.size));
        }
        self.named
            .as_file()
            .sync_data()
            .map_err(io_error("sync", &self.path))?;
        if let Some(parent) = target.parent() {
            make_dirs(parent)?;
        }
        self.named
            .persist(&target)
            .map_err(|error| io_error("name blob", &target)(error.error))?;
        Ok((digest, self.size))
    }
}

impl Write for NewBlob<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.named.as_file_mut().write(buf)?;
        self.hasher.update(&buf[..n]);
        self.size += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
