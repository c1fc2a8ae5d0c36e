//! Finding what no image and no unfinished ingest needs, and removing it.

use std::collections::HashSet;
use std::fs::OpenOptions;

use super::Store;
use super::error::{StoreError, io_error};
use super::image::Image;
use super::index::Index;
use super::layout::{Lock, exists, is_at, names, read_limited, try_exclusive, unlink};
use super::twin;
use crate::digest::Digest;
use crate::manifest::{self, CONFIG_LIMIT, Document, MANIFEST_LIMIT};

/// Largest pin file read, in bytes: two lines for each of 500 layers are 80 kB.
const PIN_LIMIT: u64 = 16 << 20;

/// What may be removed if nothing needs it.
pub(super) enum Scope {
    /// These blobs and chain ids.
    Only(Vec<Digest>),
    /// All there is, leftovers included.
    Everything,
}

/// What was removed.
#[derive(Debug, Default)]
pub(super) struct Swept {
    /// Chain ids, uppermost layer first where the order is known.
    pub(super) layers: Vec<Digest>,
    pub(super) bytes: u64,
}

/// Everything that an image consists of.
pub(super) struct Extent {
    /// The digest in `index.json`.
    pub(super) entry: Digest,
    /// Blobs, then chain ids from the uppermost layer down.
    pub(super) digests: Vec<Digest>,
}

impl Store {
    pub(super) fn extent(&self, image: &Image) -> Extent {
        let entry =
            manifest::digest_of(&image.entry).unwrap_or_else(|_| image.manifest_digest.clone());
        let mut digests = vec![
            entry.clone(),
            image.manifest_digest.clone(),
            image.id.clone(),
        ];
        digests.extend(image.layers.iter().map(|layer| layer.spec.digest.clone()));
        digests.extend(
            image
                .layers
                .iter()
                .rev()
                .map(|layer| layer.chain_id.clone()),
        );
        Extent { entry, digests }
    }

    /// Removes what is in `scope` and not needed. Layer directories are only renamed: see
    /// [`Store::empty_trash`]. The caller holds the lock on `index.json` exclusively.
    pub(super) fn sweep(
        &self,
        index: &Index,
        _lock: &Lock,
        scope: &Scope,
    ) -> Result<Swept, StoreError> {
        let mut live = HashSet::new();
        for entry in index.entries() {
            if let Ok(digest) = manifest::digest_of(entry) {
                self.mark(&digest, &mut live);
            }
            if let Some(original) = twin::original(entry) {
                self.mark(&original, &mut live);
            }
        }
        self.mark_pinned(&mut live)?;
        let mut swept = Swept::default();
        match scope {
            Scope::Only(digests) => {
                for digest in digests {
                    if !live.contains(digest) {
                        self.discard_blob(digest, &mut swept)?;
                        self.discard_layer(digest, &mut swept)?;
                    }
                }
            }
            Scope::Everything => {
                for algorithm in names(&self.layout.blobs())? {
                    for hex in names(&self.layout.blobs().join(&algorithm))? {
                        if let Ok(digest) = format!("{algorithm}:{hex}").parse()
                            && !live.contains(&digest)
                        {
                            self.discard_blob(&digest, &mut swept)?;
                        }
                    }
                }
                self.sweep_layers(&live, &mut swept)?;
                self.sweep_leftovers(&live)?;
            }
        }
        Ok(swept)
    }

    /// Marks a document and all that it refers to. What cannot be read refers to nothing.
    fn mark(&self, digest: &Digest, live: &mut HashSet<Digest>) {
        if !live.insert(digest.clone()) {
            return;
        }
        let Ok(bytes) = read_limited(&self.layout.blob(digest), MANIFEST_LIMIT) else {
            return;
        };
        match manifest::parse(&bytes, None) {
            Ok(Document::Index(index)) => {
                for entry in index.manifests() {
                    if let Ok(child) = manifest::digest_of(entry) {
                        self.mark(&child, live);
                    }
                }
            }
            Ok(Document::Image(image)) => {
                let blobs = image.layers().iter().chain([image.config()]);
                live.extend(blobs.filter_map(|blob| manifest::digest_of(blob).ok()));
                let config = manifest::digest_of(image.config())
                    .ok()
                    .and_then(|id| read_limited(&self.layout.blob(&id), CONFIG_LIMIT).ok())
                    .and_then(|bytes| manifest::parse_config(&bytes).ok());
                if let Some(config) = config
                    && let Ok(layers) = manifest::layers(&image, &config)
                {
                    live.extend(layers.into_iter().map(|layer| layer.chain_id));
                }
            }
            Err(_) => {}
        }
    }

    /// Marks what unfinished ingests need, and removes the pin files of dead ones.
    fn mark_pinned(&self, live: &mut HashSet<Digest>) -> Result<(), StoreError> {
        for name in names(&self.layout.ingest())? {
            if !name.starts_with("pin-") {
                continue;
            }
            let path = self.layout.ingest().join(name);
            if self.abandoned(&path)? {
                unlink(&path)?;
                continue;
            }
            let Ok(pinned) = read_limited(&path, PIN_LIMIT) else {
                continue;
            };
            let lines = String::from_utf8_lossy(&pinned);
            live.extend(lines.lines().filter_map(|line| line.parse::<Digest>().ok()));
        }
        Ok(())
    }

    /// Whether nobody holds the lock on a file below `ingest/`.
    fn abandoned(&self, path: &std::path::Path) -> Result<bool, StoreError> {
        let file = match OpenOptions::new().read(true).open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            opened => opened.map_err(io_error("open", path))?,
        };
        Ok(try_exclusive(&file).map_err(io_error("lock", path))?
            && is_at(&file, path).map_err(io_error("examine", path))?)
    }

    fn discard_blob(&self, digest: &Digest, swept: &mut Swept) -> Result<(), StoreError> {
        let path = self.layout.blob(digest);
        match std::fs::symlink_metadata(&path) {
            Ok(found) => swept.bytes += found.len(),
            Err(_) => return Ok(()),
        }
        unlink(&path)
    }

    fn discard_layer(&self, chain_id: &Digest, swept: &mut Swept) -> Result<(), StoreError> {
        let directory = self.layout.layer(chain_id);
        if !exists(&directory)? {
            return Ok(());
        }
        self.discard_directory(&directory, chain_id.hex())?;
        let size = self.layout.layer_size(chain_id);
        swept.bytes += read_limited(&size, 64)
            .ok()
            .and_then(|text| std::str::from_utf8(&text).ok()?.trim().parse::<u64>().ok())
            .unwrap_or(0);
        unlink(&size)?;
        swept.layers.push(chain_id.clone());
        Ok(())
    }

    fn discard_directory(&self, directory: &std::path::Path, hex: &str) -> Result<(), StoreError> {
        // An empty directory of a name nobody else has; renaming replaces it.
        let trash = tempfile::Builder::new()
            .prefix(&format!("old-{hex}-"))
            .tempdir_in(self.layout.layers())
            .map_err(io_error("create a directory in", self.layout.layers()))?
            .keep();
        std::fs::rename(directory, &trash).map_err(io_error("discard", directory))
    }

    fn sweep_layers(&self, live: &HashSet<Digest>, swept: &mut Swept) -> Result<(), StoreError> {
        for name in names(&self.layout.layers())? {
            let hex = name.strip_prefix("new-").unwrap_or(&name);
            let hex = hex.strip_suffix(".size").unwrap_or(hex);
            // Every chain id has the algorithm of its diff ids, or SHA-256.
            let Some(chain_id) = ["sha256", "sha512"]
                .iter()
                .find_map(|algorithm| format!("{algorithm}:{hex}").parse::<Digest>().ok())
            else {
                continue;
            };
            if live.contains(&chain_id) {
                continue;
            }
            if name.starts_with("new-") {
                self.discard_directory(&self.layout.layers().join(&name), hex)?;
            } else if name.ends_with(".size") {
                if !exists(&self.layout.layer(&chain_id))? {
                    unlink(&self.layout.layer_size(&chain_id))?;
                }
            } else {
                self.discard_layer(&chain_id, swept)?;
            }
        }
        Ok(())
    }

    /// Removes what interrupted ingests left in `ingest/`.
    fn sweep_leftovers(&self, live: &HashSet<Digest>) -> Result<(), StoreError> {
        for name in names(&self.layout.ingest())? {
            let pinned = name
                .replacen('-', ":", 1)
                .parse::<Digest>()
                .map(|digest| live.contains(&digest));
            let transient = name.starts_with("blob-") || name.starts_with("layer-");
            let path = self.layout.ingest().join(&name);
            if (pinned == Ok(false) || transient) && self.abandoned(&path)? {
                unlink(&path)?;
            }
        }
        Ok(())
    }

    /// Removes the directories that were discarded, also those that a crash left.
    pub(super) fn empty_trash(&self) -> Result<(), StoreError> {
        let is_trash = |name: &String| name.starts_with("old-");
        let directory = self.layout.layers();
        if !names(&directory)?.iter().any(is_trash) {
            return Ok(());
        }
        let _lock = Lock::exclusive(&self.layout.trash_lock())?;
        for name in names(&directory)?.into_iter().filter(is_trash) {
            let path = directory.join(name);
            self.unpacker
                .remove(&path)
                .map_err(|source| StoreError::RemoveLayer { path, source })?;
        }
        Ok(())
    }
}
