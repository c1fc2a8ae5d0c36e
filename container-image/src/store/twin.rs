//! Docker's manifests in an OCI layout.
//!
//! A manifest keeps its bytes, since its digest is its name. But tools that read OCI
//! layouts (skopeo for one) look only at entries of OCI's media types. So `index.json` lists an
//! OCI manifest of the same configuration and layers, and notes the digest of the
//! original in an annotation: other tools see the one, this library the other.

use oci_spec::image::{Descriptor, ImageManifest, MediaType};

use crate::digest::Digest;
use crate::manifest::{DOCKER_CONFIG, OCI_MANIFEST};

/// The annotation that leads from the OCI form to the original.
pub(super) const ORIGINAL: &str = "io.github.mini-docker.manifest";

/// The OCI form of a Docker manifest; always the same for the same manifest. `None` if
/// OCI has no word for something in it.
pub(super) fn of(manifest: &ImageManifest) -> Option<Vec<u8>> {
    let config = match manifest.config().media_type().as_ref() {
        DOCKER_CONFIG => MediaType::ImageConfig,
        _ => return None,
    };
    let layers: Option<Vec<_>> = manifest.layers().iter().map(layer).collect();
    let twin = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(manifest.config(), &config),
        "layers": layers?,
    });
    serde_json::to_vec(&twin).ok()
}

/// The OCI form of a layer's descriptor, if there is one.
pub(super) fn layer(layer: &Descriptor) -> Option<serde_json::Value> {
    let media_type = translated(layer.media_type().as_ref())?;
    Some(descriptor(layer, &media_type))
}

/// The digest of the original, if the entry is an OCI form.
pub(super) fn original(entry: &Descriptor) -> Option<Digest> {
    entry.annotations().as_ref()?.get(ORIGINAL)?.parse().ok()
}

fn descriptor(of: &Descriptor, media_type: &MediaType) -> serde_json::Value {
    serde_json::json!({
        "mediaType": media_type.as_ref(),
        "digest": of.digest().as_ref(),
        "size": of.size(),
    })
}

fn translated(media_type: &str) -> Option<MediaType> {
    Some(match media_type {
        "application/vnd.docker.image.rootfs.diff.tar" => MediaType::ImageLayer,
        "application/vnd.docker.image.rootfs.diff.tar.gzip" => MediaType::ImageLayerGzip,
        "application/vnd.docker.image.rootfs.diff.tar.zstd" => MediaType::ImageLayerZstd,
        "application/vnd.docker.image.rootfs.foreign.diff.tar" => {
            MediaType::ImageLayerNonDistributable
        }
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => {
            MediaType::ImageLayerNonDistributableGzip
        }
        other if other.starts_with("application/vnd.oci.image.layer.") => MediaType::from(other),
        _ => return None,
    })
}
