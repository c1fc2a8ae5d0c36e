//! Images on disk: an OCI image layout, and beside it every layer unpacked.
//!
//! ```text
//! <root>/
//!   oci-layout                  {"imageLayoutVersion":"1.0.0"}
//!   index.json                  the images and their names: one entry for each name
//!   blobs/<algorithm>/<hex>     manifests, configurations, layers as they were transferred
//!   layers/<chain id>/          a layer unpacked, never changed, for overlayfs to stack
//!   layers/<chain id>.size      the sum of its file sizes in bytes
//!   layers/new-<chain id>/      being unpacked; of a layer that is being made, by another number
//!   layers/old-<chain id>-…/    being removed
//!   ingest/<algorithm>-<hex>    the part of a blob that has come, locked by who fetches it
//!   ingest/layer-<chain id>     locked by who unpacks the layer
//!   ingest/blob-…               a blob whose digest is not known yet, locked by who writes it
//!   ingest/pin-…                what an unfinished ingest needs, locked by who does it
//!   ingest/index.json           the next index.json
//!   ingest/index.lock ingest/trash.lock
//! ```
//!
//! skopeo, umoci and crane read it as any layout: `skopeo inspect oci:<root>:busybox:latest`.
//! Of an image with a Docker manifest, which is kept as it came, they see an OCI form.
//!
//! # Order of things
//!
//! A blob is renamed into `blobs/` when all of it was written and checked, a layer into
//! `layers/` when all of it was unpacked, and `index.json` is replaced last. So a crash
//! at any instruction leaves the images as they were, and what it left half done is
//! continued by the next pull of the same image or removed by [`Store::prune`].
//! `index.json` and documents are made durable by fsync. Layers are not, as in Docker
//! and podman: after a power failure (not after a crash of any program) an image pulled in the last
//! half minute may want to be removed and pulled again.
//!
//! # Who may remove what
//!
//! All locks are `flock(2)`: they end with the process that holds them.
//!
//! - Names and content are removed only under `ingest/index.lock` held exclusively, which
//!   is held as well for replacing `index.json`.
//! - An [`Ingest`] lists what it needs in its pin file, under `ingest/index.lock` held
//!   shared, *before* it looks whether a blob or layer exists. What is listed in a pin
//!   file that is locked is not removed.
//! - A [`Lease`] is a shared lock on the image's manifest blob: one descriptor for an
//!   image, however many layers. An image is removed only by who gets that lock
//!   exclusively.
//! - A layer directory is first renamed to `old-…`, then removed without any lock but
//!   `ingest/trash.lock`.

mod draft;
mod error;
mod image;
mod index;
mod ingest;
mod layout;
mod lease;
mod made;
mod remove;
mod slot;
mod sweep;
mod tally;
mod twin;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::draft::{Draft, Step};
pub use self::error::{Conflict, StoreError};
pub use self::image::{HistoryEntry, Image, ImageSummary};
pub use self::ingest::{Ingest, NewBlob, Slot};
pub use self::lease::Lease;
pub use self::remove::{Pruned, Removal, RemoveOptions};
pub use self::slot::LayerSlot;

use self::error::io_error;
use self::index::Index;
use self::layout::{Layout, Lock, exists};
use crate::digest::Digest;
use crate::layer::{self, Unpacker};
use crate::reference::Reference;

/// The images in one directory. Cloning is cheap, and any number of threads and processes
/// may use the same directory at once.
///
/// ```no_run
/// use std::{path::Path, sync::Arc};
/// use container_image::{layer::Direct, store::Store};
///
/// let store = Store::open(Path::new("/var/lib/mini-docker"), Arc::new(Direct))?;
/// let image = store.find("busybox")?;
/// let lease = store.lease(&image)?; // nobody removes the image while this lives
/// let lower_dirs = store.rootfs(&image)?;
/// # Ok::<(), container_image::store::StoreError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Store {
    layout: Arc<Layout>,
    unpacker: Arc<dyn Unpacker>,
}

impl Store {
    /// Opens the store in `root`, and makes it if there is none. The directories made
    /// are for their owner only.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`] if the directory holds a layout of another version,
    /// [`StoreError::Io`] if it cannot be made or read.
    pub fn open(root: &Path, unpacker: Arc<dyn Unpacker>) -> Result<Self, StoreError> {
        let layout = Layout {
            root: std::path::absolute(root).map_err(io_error("find", root))?,
        };
        layout.init()?;
        Ok(Self {
            layout: Arc::new(layout),
            unpacker,
        })
    }

    /// The directory given to [`Store::open`], absolute.
    pub fn root(&self) -> &Path {
        &self.layout.root
    }

    /// What this store unpacks layers with.
    pub fn unpacker(&self) -> &Arc<dyn Unpacker> {
        &self.unpacker
    }

    /// Opens a blob for reading.
    ///
    /// # Errors
    /// [`StoreError::Incomplete`] if it is not here, [`StoreError::Io`].
    pub fn open_blob(&self, digest: &Digest) -> Result<File, StoreError> {
        let path = self.layout.blob(digest);
        match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StoreError::Incomplete {
                digest: digest.clone(),
            }),
            opened => opened.map_err(io_error("open", path)),
        }
    }

    /// Where a blob lies, or would lie.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.layout.blob(digest)
    }

    /// The image's layer directories for overlayfs: the uppermost first, as `lowerdir=`
    /// wants them. A directory that is missing is unpacked again from its blob.
    ///
    /// Hold a [`Lease`] as long as the directories are used.
    ///
    /// # Errors
    /// [`StoreError::Incomplete`] if a blob is missing too, or what failed in unpacking.
    pub fn rootfs(&self, image: &Image) -> Result<Vec<PathBuf>, StoreError> {
        let mut directories = Vec::with_capacity(image.layers.len());
        for layer in image.layers.iter().rev() {
            let directory = self.layout.layer(&layer.chain_id);
            if !exists(&directory)? {
                self.unpack_again(layer)?;
            }
            let is_bottom = layer::hides_all_below(&directory)
                .map_err(io_error("read attributes of", &directory))?;
            directories.push(directory);
            if is_bottom {
                break;
            }
        }
        Ok(directories)
    }

    fn unpack_again(&self, layer: &crate::manifest::Layer) -> Result<(), StoreError> {
        if let Some(slot) = self.ingest()?.layer(layer)? {
            if slot.wanted_from().is_some() {
                return Err(StoreError::Incomplete {
                    digest: layer.spec.digest.clone(),
                });
            }
            slot.fill(&mut io::empty())?;
        }
        Ok(())
    }

    /// Starts bringing an image in.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn ingest(&self) -> Result<Ingest, StoreError> {
        Ingest::new(self.clone())
    }

    /// Gives the image called `source` (a name, an id, or the beginning of one) the name
    /// `target` too. An image that had that name loses it.
    ///
    /// # Errors
    /// As [`Store::find`].
    pub fn tag(&self, source: &str, target: &Reference) -> Result<(), StoreError> {
        let lock = Lock::exclusive(&self.layout.index_lock())?;
        let mut index = Index::read(&self.layout)?;
        let image = self.find_in(&index, source)?;
        index.set(Some(target), &image.entry);
        index.write(&self.layout, &lock)
    }

    /// Enters names for an image that is here already, as a pull does that finds nothing
    /// new.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the image has been removed meanwhile, [`StoreError::Io`].
    pub fn add_names(&self, image: &Image, names: &[Reference]) -> Result<Image, StoreError> {
        let lock = Lock::exclusive(&self.layout.index_lock())?;
        let mut index = Index::read(&self.layout)?;
        let here = |entry: &oci_spec::image::Descriptor| entry.digest() == image.entry.digest();
        if !index.entries().iter().any(here) {
            return Err(StoreError::NotFound {
                name: image.id.to_string(),
            });
        }
        if names.iter().any(|name| !image.names.contains(name)) {
            for name in names {
                index.set(Some(name), &image.entry);
            }
            index.write(&self.layout, &lock)?;
        }
        self.load(&index, &image.entry)
    }
}
