//! An image as it lies in the store, and what lists show of it.

use std::collections::HashMap;

use jiff::Timestamp;
use oci_spec::image::{Descriptor, ImageConfiguration, ImageManifest};

use super::Store;
use super::error::{StoreError, io_error};
use super::index::{Index, is_of};
use super::layout::read_limited;
use super::twin;
use crate::digest::Digest;
use crate::docker::{self, Additions};
use crate::manifest::{self, CONFIG_LIMIT, Document, Layer, MANIFEST_LIMIT};
use crate::platform::Platform;
use crate::reference::Reference;

/// An image in the store.
#[derive(Debug, Clone)]
pub struct Image {
    /// Docker's image id: the digest of the configuration.
    pub id: Digest,
    /// The digest of the manifest, under which `index.json` lists the image.
    pub manifest_digest: Digest,
    /// The manifest.
    pub manifest: ImageManifest,
    /// All names: tags first, then the names by digest under which it was pulled.
    pub names: Vec<Reference>,
    /// The configuration, as far as OCI defines it.
    pub config: ImageConfiguration,
    /// What Docker adds to it.
    pub additions: Additions,
    /// The layers, lowermost first.
    pub layers: Vec<Layer>,
    /// What the image is made for.
    pub platform: Platform,
    pub(super) entry: Descriptor,
}

impl Image {
    /// When the image was built, if its configuration tells.
    pub fn created(&self) -> Option<Timestamp> {
        timestamp(self.config.created().as_deref())
    }

    /// The names that have a tag: what Docker calls repo tags.
    pub fn tags(&self) -> impl Iterator<Item = &Reference> {
        self.names.iter().filter(|name| name.tag().is_some())
    }

    /// The names by digest: what Docker calls repo digests.
    pub fn repo_digests(&self) -> impl Iterator<Item = &Reference> {
        self.names.iter().filter(|name| name.tag().is_none())
    }
}

/// A row of `docker images`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ImageSummary {
    /// Docker's image id.
    pub id: Digest,
    /// The digest of the manifest.
    pub manifest_digest: Digest,
    /// All names: tags first, then names by digest.
    pub names: Vec<Reference>,
    /// When the image was built.
    pub created: Option<Timestamp>,
    /// The sum of the sizes of all files in all layers, in bytes.
    pub size: u64,
    /// The labels in the configuration.
    pub labels: HashMap<String, String>,
    /// What the image is made for.
    pub platform: Platform,
}

impl ImageSummary {
    /// Whether the image has no tag, so that `image prune` removes it.
    pub fn is_dangling(&self) -> bool {
        self.names.iter().all(|name| name.tag().is_none())
    }
}

/// A row of `docker history`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HistoryEntry {
    /// The image's id in the newest row; the steps before have no image of their own.
    pub id: Option<Digest>,
    /// When the step was done.
    pub created: Option<Timestamp>,
    /// The command.
    pub created_by: String,
    /// The sum of the sizes of the files that the step added, in bytes.
    pub size: u64,
    /// What the builder noted.
    pub comment: String,
    /// The image's tags, in the newest row.
    pub tags: Vec<Reference>,
}

impl Store {
    /// All images, newest first.
    ///
    /// An entry of `index.json` that cannot be read as an image is left out and traced:
    /// one damaged image must not hide the others.
    ///
    /// # Errors
    /// [`StoreError::Io`] or [`StoreError::Damaged`] for `index.json` itself.
    pub fn images(&self) -> Result<Vec<ImageSummary>, StoreError> {
        let index = Index::read(&self.layout)?;
        let mut rows: Vec<ImageSummary> = Vec::new();
        for image in self.readable(&index) {
            let labels = image.config.labels_of_config().cloned().unwrap_or_default();
            rows.push(ImageSummary {
                created: image.created(),
                size: self.size(&image)?,
                labels,
                id: image.id,
                manifest_digest: image.manifest_digest,
                names: image.names,
                platform: image.platform,
            });
        }
        rows.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
        Ok(rows)
    }

    /// Whether the index has an entry as it is now.
    fn is_entered(&self, entry: &Descriptor) -> bool {
        let same = |other: &Descriptor| other.digest() == entry.digest();
        Index::read(&self.layout).is_ok_and(|index| index.entries().iter().any(same))
    }

    /// Every image that can be read, once for each manifest.
    pub(super) fn readable(&self, index: &Index) -> Vec<Image> {
        let mut images: Vec<Image> = Vec::new();
        for (position, entry) in index.entries().iter().enumerate() {
            let earlier = &index.entries()[..position];
            if earlier.iter().any(|e| e.digest() == entry.digest()) {
                continue;
            }
            match self.load(index, entry) {
                Ok(image) => images.push(image),
                Err(error) if self.is_entered(entry) => {
                    tracing::warn!(digest = %entry.digest(), %error, "image left out of the list");
                }
                // Removed since the index was read.
                Err(_) => {}
            }
        }
        images
    }

    /// The image of this name, id, or beginning of an id.
    ///
    /// A name goes before an id. This is what every start of a container does first:
    /// for a name it reads three files.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Ambiguous`], [`StoreError::Reference`] for
    /// what is neither name nor id, or what is wrong with the image's files.
    pub fn find(&self, name: &str) -> Result<Image, StoreError> {
        self.find_in(&Index::read(&self.layout)?, name)
    }

    /// The image of exactly this name.
    ///
    /// # Errors
    /// What is wrong with the image's files. That there is none is no error.
    pub fn find_reference(&self, name: &Reference) -> Result<Option<Image>, StoreError> {
        let index = Index::read(&self.layout)?;
        match index.lookup(name) {
            Some(entry) => self.load(&index, entry).map(Some),
            None => Ok(None),
        }
    }

    /// The image with this manifest.
    ///
    /// # Errors
    /// What is wrong with the image's files. That there is none is no error.
    pub fn find_manifest(&self, digest: &Digest) -> Result<Option<Image>, StoreError> {
        let index = Index::read(&self.layout)?;
        let entry = index.entries().iter().find(|entry| is_of(entry, digest));
        match entry {
            Some(entry) => self.load(&index, entry).map(Some),
            None => Ok(None),
        }
    }

    pub(super) fn find_in(&self, index: &Index, name: &str) -> Result<Image, StoreError> {
        let reference = name.parse::<Reference>();
        if let Ok(reference) = &reference
            && let Some(entry) = index.lookup(reference)
        {
            return self.load(index, entry);
        }
        let Some(prefix) = id_prefix(name) else {
            return Err(match reference {
                Ok(_) => StoreError::NotFound {
                    name: name.to_owned(),
                },
                Err(error) => error.into(),
            });
        };
        let mut found: Option<Image> = None;
        for image in self.readable(index) {
            let hit = image.id.hex().starts_with(prefix)
                || image.manifest_digest.hex().starts_with(prefix);
            match &found {
                Some(first) if hit && first.id != image.id => {
                    return Err(StoreError::Ambiguous {
                        prefix: name.to_owned(),
                    });
                }
                None if hit => found = Some(image),
                _ => {}
            }
        }
        found.ok_or_else(|| StoreError::NotFound {
            name: name.to_owned(),
        })
    }

    /// Reads the image that an entry of `index.json` leads to.
    pub(super) fn load(&self, index: &Index, entry: &Descriptor) -> Result<Image, StoreError> {
        let entry_digest = manifest::digest_of(entry)?;
        let original = twin::original(entry);
        // Of an original the entry does not give the media type; the document does.
        let mut media_type = original.is_none().then(|| entry.media_type().to_string());
        let mut digest = original.unwrap_or_else(|| entry_digest.clone());
        let bytes = self.document(&digest, MANIFEST_LIMIT)?;
        let manifest = match manifest::parse(&bytes, media_type.as_deref())? {
            Document::Image(manifest) => manifest,
            Document::Index(choice) => {
                // Only other tools put an index here: ours enter the manifest they chose.
                let chosen =
                    Platform::host()
                        .choose(&choice)
                        .map_err(|error| StoreError::Damaged {
                            path: self.layout.blob(&digest),
                            reason: error.to_string(),
                        })?;
                digest = manifest::digest_of(chosen)?;
                media_type = Some(chosen.media_type().to_string());
                let bytes = self.document(&digest, MANIFEST_LIMIT)?;
                match manifest::parse(&bytes, media_type.as_deref())? {
                    Document::Image(manifest) => manifest,
                    Document::Index(_) => {
                        return Err(StoreError::Damaged {
                            path: self.layout.blob(&digest),
                            reason: "an index within an index".to_owned(),
                        });
                    }
                }
            }
        };
        let id = manifest::digest_of(manifest.config())?;
        let configuration = self.document(&id, CONFIG_LIMIT)?;
        let config = manifest::parse_config(&configuration)?;
        let layers = manifest::layers(&manifest, &config)?;
        Ok(Image {
            additions: docker::additions(&configuration),
            names: index.names(&entry_digest),
            platform: Platform::of_config(&config),
            id,
            manifest_digest: digest,
            manifest: *manifest,
            config,
            layers,
            entry: entry.clone(),
        })
    }

    fn document(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, StoreError> {
        let path = self.layout.blob(digest);
        match read_limited(&path, limit) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(StoreError::Incomplete {
                    digest: digest.clone(),
                })
            }
            read => read.map_err(io_error("read", path)),
        }
    }

    /// The sum of the sizes of all files in all layers, in bytes: what Docker shows.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn size(&self, image: &Image) -> Result<u64, StoreError> {
        image.layers.iter().try_fold(0_u64, |sum, layer| {
            Ok(sum.saturating_add(self.layer_size(layer)?))
        })
    }

    /// The sum of a layer's file sizes; of one never unpacked, the size of its blob.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn layer_size(&self, layer: &Layer) -> Result<u64, StoreError> {
        let path = self.layout.layer_size(&layer.chain_id);
        match read_limited(&path, 64) {
            Ok(text) => Ok(std::str::from_utf8(&text)
                .ok()
                .and_then(|text| text.trim().parse().ok())
                .unwrap_or(layer.spec.size)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(layer.spec.size),
            Err(error) => Err(io_error("read", path)(error)),
        }
    }

    /// How the image came about, newest step first.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn history(&self, image: &Image) -> Result<Vec<HistoryEntry>, StoreError> {
        let mut sizes = Vec::with_capacity(image.layers.len());
        for layer in &image.layers {
            sizes.push(self.layer_size(layer)?);
        }
        let mut rows = steps(&image.config, &sizes);
        if let Some(newest) = rows.first_mut() {
            newest.id = Some(image.id.clone());
            newest.tags = image.tags().cloned().collect();
        }
        Ok(rows)
    }
}

/// Matches the recorded steps with the layers. Layers that no step claims stand below
/// all steps: builders that squash or import record less than they do.
fn steps(config: &ImageConfiguration, sizes: &[u64]) -> Vec<HistoryEntry> {
    let none = Vec::new();
    let recorded = config.history().as_ref().unwrap_or(&none);
    let claimed = recorded
        .iter()
        .filter(|step| !step.empty_layer().unwrap_or(false))
        .count();
    let unclaimed = sizes.len().saturating_sub(claimed);
    let mut sizes = sizes.iter().copied();
    let mut rows: Vec<HistoryEntry> = sizes
        .by_ref()
        .take(unclaimed)
        .map(|size| HistoryEntry {
            id: None,
            created: timestamp(config.created().as_deref()),
            created_by: String::new(),
            size,
            comment: String::new(),
            tags: Vec::new(),
        })
        .collect();
    for step in recorded {
        let empty = step.empty_layer().unwrap_or(false);
        rows.push(HistoryEntry {
            id: None,
            created: timestamp(step.created().as_deref()),
            created_by: step.created_by().clone().unwrap_or_default(),
            size: if empty { 0 } else { sizes.next().unwrap_or(0) },
            comment: step.comment().clone().unwrap_or_default(),
            tags: Vec::new(),
        });
    }
    rows.reverse();
    rows
}

fn timestamp(text: Option<&str>) -> Option<Timestamp> {
    text?.parse().ok()
}

/// The digits of what may be an id: `sha256:` may stand before them.
fn id_prefix(name: &str) -> Option<&str> {
    let digits = name.strip_prefix("sha256:").unwrap_or(name);
    let valid = !digits.is_empty()
        && digits.len() <= 64
        && digits
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    valid.then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(history: serde_json::Value) -> ImageConfiguration {
        serde_json::from_value(serde_json::json!({
            "architecture": "amd64", "os": "linux",
            "created": "2024-05-01T10:00:00.123456789Z",
            "rootfs": {"type": "layers", "diff_ids": []},
            "history": history,
        }))
        .unwrap()
    }

    #[test]
    fn steps_are_matched_with_layers() {
        let config = config(serde_json::json!([
            {"created_by": "ADD rootfs"},
            {"created_by": "ENV A=1", "empty_layer": true},
            {"created_by": "RUN x", "created": "2024-01-01T00:00:00+02:00"},
        ]));
        let sizes = |layers: &[u64]| -> Vec<u64> {
            steps(&config, layers).iter().map(|row| row.size).collect()
        };
        assert_eq!(sizes(&[10, 20]), [20, 0, 10]);
        assert_eq!(sizes(&[1, 10, 20]), [20, 0, 10, 1]);
        assert_eq!(sizes(&[]), [0, 0, 0]);
        let rows = steps(&config, &[10, 20]);
        assert_eq!(rows[0].created, "2023-12-31T22:00:00Z".parse().ok());
    }

    #[test]
    fn an_image_without_history_has_a_row_for_each_layer() {
        let rows = steps(&config(serde_json::Value::Null), &[3, 4]);
        assert_eq!(rows.iter().map(|row| row.size).collect::<Vec<_>>(), [4, 3]);
        assert!(rows[0].created.is_some());
    }

    #[test]
    fn ids_are_told_from_names() {
        assert_eq!(id_prefix("sha256:ab"), Some("ab"));
        assert_eq!(id_prefix("ab12"), Some("ab12"));
        for name in ["", "sha256:", "xyz", "AB", "ab:latest"] {
            assert_eq!(id_prefix(name), None, "{name}");
        }
    }
}
