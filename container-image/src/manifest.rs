//! Manifests, indexes and configurations: the JSON documents that make an image.
//!
//! Everything here is pure: bytes in, checked data out. OCI documents and Docker's
//! v2s2 ones are read alike, as their fields have the same names; bytes are kept as they
//! came by whoever stores them, since their digest is their name.

use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest, MediaType};
use serde::Deserialize;

use crate::digest::{Algorithm, Digest, DigestError};
use crate::layer::LayerSpec;

/// Largest manifest or index that is read, in bytes: what registries must accept at
/// least (distribution-spec, "Pushing Manifests") and what containerd reads at most.
pub const MANIFEST_LIMIT: u64 = 4 << 20;
/// Largest configuration that is read, in bytes.
pub const CONFIG_LIMIT: u64 = 8 << 20;
/// More layers than any engine can stack; overlayfs itself ends at 500 lower layers
/// (`OVL_MAX_STACK`, Linux `fs/overlayfs/params.h`).
pub const LAYER_LIMIT: usize = 500;

/// Media type of Docker's image manifest, version 2 schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Media type of Docker's manifest list, its form of an index.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Media type of Docker's image configuration.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Media type of an OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Why a document of an image was not understood.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The bytes are not JSON, or a field is missing or of the wrong type.
    #[error("malformed {what}: {source}; the image is damaged or was built by a faulty tool")]
    Json {
        /// `image manifest`, `image index`, `image configuration`.
        what: &'static str,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A manifest of schema version 1, which Docker has given up.
    #[error(
        "the image has a manifest of schema version 1, which is not supported: pull it and push it again with a current tool to convert it"
    )]
    Schema1,
    /// A schema version that does not exist.
    #[error("unsupported manifest schema version {0}: expected 2")]
    SchemaVersion(u64),
    /// The document says two things about what it is, so two programs could read it differently (CVE-2021-41190).
    #[error("ambiguous manifest: {reason}; refused, as other tools may see another image in it")]
    Ambiguous {
        /// The contradiction.
        reason: String,
    },
    /// Not an image: a Helm chart, a signature, a plug-in.
    #[error("{media_type} is no container image, so it cannot be pulled or run as one")]
    NotAnImage {
        /// The media type that says so.
        media_type: String,
    },
    /// A media type that is not of the form `type/subtype` (RFC 6838, section 4.2).
    #[error("malformed manifest: {media_type:?} is not a media type")]
    MediaType {
        /// What stands in its place, cut to a length that is fit to print.
        media_type: String,
    },
    /// A digest that is malformed or of an algorithm that cannot be checked.
    #[error("malformed {what}: {source}")]
    Digest {
        /// Which document.
        what: &'static str,
        /// Why.
        source: DigestError,
    },
    /// Manifest and configuration disagree on the number of layers.
    #[error(
        "the image manifest has {blobs} layers and its configuration {diff_ids}: the image is inconsistent"
    )]
    LayerCount {
        /// Layers in the manifest.
        blobs: usize,
        /// Entries of `rootfs.diff_ids` in the configuration.
        diff_ids: usize,
    },
    /// More layers than can be mounted.
    #[error("the image has {count} layers; at most {LAYER_LIMIT} can be stacked")]
    TooManyLayers {
        /// How many there are.
        count: usize,
    },
    /// A document is larger than any honest one.
    #[error("{what} of {size} bytes is refused: the limit is {limit}")]
    TooLarge {
        /// Which document.
        what: &'static str,
        /// Its size, in bytes.
        size: u64,
        /// The limit, in bytes.
        limit: u64,
    },
}

/// What a name may stand for: one image, or a choice of images by platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// An image manifest.
    Image(Box<ImageManifest>),
    /// An index, or Docker's manifest list.
    Index(Box<ImageIndex>),
}

/// One layer of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The blob, and the digest of what is inside.
    pub spec: LayerSpec,
    /// The name of this layer on top of those below it (image-spec, config.md, "Layer ChainID").
    pub chain_id: Digest,
}

/// Reads a manifest or an index.
///
/// `media_type` is what the descriptor or the registry says that the document is; the
/// document's own word must be of the same kind.
///
/// # Errors
/// [`ManifestError`], whatever the bytes are: this is where hostile documents end.
pub fn parse(bytes: &[u8], media_type: Option<&str>) -> Result<Document, ManifestError> {
    let shape: Shape = json(bytes, "image manifest")?;
    match shape.schema_version {
        2 => {}
        1 => return Err(ManifestError::Schema1),
        n => return Err(ManifestError::SchemaVersion(n)),
    }
    let by_fields = match (shape.manifests.is_some(), shape.is_manifest()) {
        (true, true) => {
            return Err(ManifestError::Ambiguous {
                reason: "it has both manifests and layers".to_owned(),
            });
        }
        (true, false) => Kind::Index,
        (false, _) => Kind::Image,
    };
    let own = shape.media_type.as_deref().map(kind).transpose()?.flatten();
    let said = media_type.map(kind).transpose()?.flatten();
    for claim in [own, said].into_iter().flatten() {
        if claim != by_fields {
            return Err(ManifestError::Ambiguous {
                reason: format!(
                    "its media type says {} but its fields are those of {}",
                    claim.name(),
                    by_fields.name()
                ),
            });
        }
    }
    match by_fields {
        Kind::Image => {
            let manifest: ImageManifest = json(bytes, "image manifest")?;
            check_descriptor(manifest.config())?;
            manifest.layers().iter().try_for_each(check_descriptor)?;
            manifest.subject().iter().try_for_each(check_descriptor)?;
            check_artifact_type(manifest.artifact_type().as_ref())?;
            Ok(Document::Image(Box::new(manifest)))
        }
        Kind::Index => {
            let index: ImageIndex = json(bytes, "image index")?;
            index.manifests().iter().try_for_each(check_descriptor)?;
            index.subject().iter().try_for_each(check_descriptor)?;
            check_artifact_type(index.artifact_type().as_ref())?;
            Ok(Document::Index(Box::new(index)))
        }
    }
}

/// Reads an image's configuration.
///
/// # Errors
/// [`ManifestError::Json`].
pub fn parse_config(bytes: &[u8]) -> Result<ImageConfiguration, ManifestError> {
    json(bytes, "image configuration")
}

/// The digest of a descriptor, as this library can check it.
///
/// # Errors
/// [`ManifestError::Digest`] for an algorithm that is not computed here.
pub fn digest_of(descriptor: &Descriptor) -> Result<Digest, ManifestError> {
    Digest::try_from(descriptor.digest()).map_err(|source| ManifestError::Digest {
        what: "image manifest",
        source,
    })
}

/// The layers of an image, lowermost first, with their chain ids.
///
/// # Errors
/// [`ManifestError::LayerCount`] if the two documents do not fit together,
/// [`ManifestError::NotAnImage`] if a layer is no archive, and what is wrong with a digest.
pub fn layers(
    manifest: &ImageManifest,
    config: &ImageConfiguration,
) -> Result<Vec<Layer>, ManifestError> {
    let diff_ids = config.rootfs().diff_ids();
    let blobs = manifest.layers();
    if blobs.len() != diff_ids.len() {
        return Err(ManifestError::LayerCount {
            blobs: blobs.len(),
            diff_ids: diff_ids.len(),
        });
    }
    if blobs.len() > LAYER_LIMIT {
        return Err(ManifestError::TooManyLayers { count: blobs.len() });
    }
    let mut layers: Vec<Layer> = Vec::with_capacity(blobs.len());
    for (blob, diff_id) in blobs.iter().zip(diff_ids) {
        if !is_layer(blob.media_type()) {
            return Err(ManifestError::NotAnImage {
                media_type: blob.media_type().to_string(),
            });
        }
        let diff_id: Digest = diff_id.parse().map_err(|source| ManifestError::Digest {
            what: "image configuration",
            source,
        })?;
        let chain_id = chain(layers.last().map(|below| &below.chain_id), &diff_id);
        layers.push(Layer {
            spec: LayerSpec {
                digest: digest_of(blob)?,
                size: blob.size(),
                media_type: blob.media_type().clone(),
                diff_id,
            },
            chain_id,
        });
    }
    Ok(layers)
}

/// The chain id of the layer with `diff_id` on top of the one with chain id `below`.
pub fn chain(below: Option<&Digest>, diff_id: &Digest) -> Digest {
    let Some(below) = below else {
        return diff_id.clone();
    };
    let mut hasher = Algorithm::Sha256.hasher();
    hasher.update(below.as_str().as_bytes());
    hasher.update(b" ");
    hasher.update(diff_id.as_str().as_bytes());
    hasher.finish()
}

/// Only what tells one kind of document from the other.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    schema_version: u64,
    media_type: Option<String>,
    manifests: Option<serde::de::IgnoredAny>,
    config: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
}

impl Shape {
    fn is_manifest(&self) -> bool {
        self.config.is_some() || self.layers.is_some()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Image,
    Index,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Image => "an image manifest",
            Self::Index => "an index",
        }
    }
}

/// What a media type says; `None` if it says nothing, as the generic ones that plain web servers send.
fn kind(media_type: &str) -> Result<Option<Kind>, ManifestError> {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    match essence {
        OCI_MANIFEST | DOCKER_MANIFEST => Ok(Some(Kind::Image)),
        OCI_INDEX | DOCKER_LIST => Ok(Some(Kind::Index)),
        "" | "application/json" | "application/octet-stream" | "text/plain" => Ok(None),
        _ if essence.starts_with("application/vnd.docker.distribution.manifest.v1+") => {
            Err(ManifestError::Schema1)
        }
        _ => Err(ManifestError::NotAnImage {
            media_type: essence.chars().take(200).collect(),
        }),
    }
}

/// Whether a layer of this media type is a file system archive.
fn is_layer(media_type: &MediaType) -> bool {
    let name = media_type.as_ref();
    name.starts_with("application/vnd.oci.image.layer.")
        || name.starts_with("application/vnd.docker.image.rootfs.")
        // Docker's own name for layers in archives of `docker save`.
        || name == "application/vnd.docker.container.image.rootfs.diff+x-gtar"
        || name == "application/x-tar"
}

fn json<'a, T: Deserialize<'a>>(bytes: &'a [u8], what: &'static str) -> Result<T, ManifestError> {
    serde_json::from_slice(bytes).map_err(|source| ManifestError::Json { what, source })
}

fn check_descriptor(descriptor: &Descriptor) -> Result<(), ManifestError> {
    check_media_type(descriptor.media_type())?;
    check_artifact_type(descriptor.artifact_type().as_ref())
}

fn check_artifact_type(media_type: Option<&MediaType>) -> Result<(), ManifestError> {
    media_type.map_or(Ok(()), check_media_type)
}

fn check_media_type(media_type: &MediaType) -> Result<(), ManifestError> {
    let name = media_type.as_ref();
    let part = |part: &str| {
        let mut bytes = part.bytes();
        part.len() <= 127
            && bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
            && bytes.all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    match name.split_once('/') {
        Some((kind, subtype)) if part(kind) && part(subtype) => Ok(()),
        _ => Err(ManifestError::MediaType {
            media_type: name.chars().take(200).collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_that_is_two_things_is_refused() {
        let d = format!("sha256:{}", "0".repeat(64));
        let descriptor = format!(r#"{{"mediaType":"{OCI_MANIFEST}","size":1,"digest":"{d}"}}"#);
        let both =
            format!(r#"{{"schemaVersion":2,"manifests":[],"config":{descriptor},"layers":[]}}"#);
        assert!(matches!(
            parse(both.as_bytes(), None),
            Err(ManifestError::Ambiguous { .. })
        ));
        let index = r#"{"schemaVersion":2,"manifests":[]}"#;
        assert!(matches!(
            parse(index.as_bytes(), Some(OCI_MANIFEST)),
            Err(ManifestError::Ambiguous { .. })
        ));
        assert!(parse(index.as_bytes(), Some("application/json; charset=utf-8")).is_ok());
    }

    #[test]
    fn old_and_foreign_documents_are_named() {
        assert!(matches!(
            parse(br#"{"schemaVersion":1,"fsLayers":[]}"#, None),
            Err(ManifestError::Schema1)
        ));
        assert!(matches!(
            parse(br#"{"schemaVersion":3}"#, None),
            Err(ManifestError::SchemaVersion(3))
        ));
        assert!(matches!(
            parse(br#"{"schemaVersion":2}"#, Some("text/html")),
            Err(ManifestError::NotAnImage { .. })
        ));
        assert!(matches!(
            parse(b"<html>", None),
            Err(ManifestError::Json { .. })
        ));
        let deep = "[".repeat(100_000);
        assert!(matches!(
            parse(deep.as_bytes(), None),
            Err(ManifestError::Json { .. })
        ));
    }

    #[test]
    fn chain_ids_are_those_of_the_specification() {
        let a = Digest::sha256(b"a");
        let b = Digest::sha256(b"b");
        assert_eq!(chain(None, &a), a);
        assert_eq!(chain(Some(&a), &b), Digest::sha256(format!("{a} {b}")));
    }
}
