//! Images out of archives: what `docker save`, `podman save`, skopeo and BuildKit write.

use std::collections::HashMap;
use std::io::{self, Read};

use oci_spec::image::Descriptor;
use serde::Deserialize;

use super::error::ArchiveError;
use super::source::{Input, Source};
use crate::digest::{Algorithm, Digest};
use crate::layer::compression::Format;
use crate::manifest::{self, CONFIG_LIMIT, Document, MANIFEST_LIMIT, OCI_INDEX, OCI_MANIFEST};
use crate::platform::Platform;
use crate::reference::Reference;
use crate::store::{Image, Store};

/// The name of an image with its registry, as containerd and Docker write it.
pub(super) const FULL_NAME: &str = "io.containerd.image.name";
/// The name of an image (image-spec, annotations.md): a tag, or more than that.
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// What BuildKit attaches to images and enters as if it were one.
const ATTACHED: &str = "vnd.docker.reference.type";
/// Media type of an OCI image configuration.
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// More images in one archive than anyone saves.
const MAX_IMAGES: usize = 10_000;

/// An image that came out of an archive.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The image in the store.
    pub image: Image,
    /// The names it has in the archive, now its names in the store; may be empty.
    pub names: Vec<Reference>,
}

/// Brings all images of an archive into the store.
///
/// The archive is a `docker save` tar, an OCI layout in a tar, either of them compressed with
/// gzip, zstd, xz or bzip2, or the directory of an OCI layout. Of an image for several platforms
/// the one for this machine is taken. Memory is bounded; a stream takes its (decompressed) size
/// on the store's disk while it is loaded.
///
/// ```no_run
/// use std::path::Path;
/// use container_image::archive::{Input, load};
/// # fn example(store: &container_image::Store) -> Result<(), Box<dyn std::error::Error>> {
/// for loaded in load(store, Input::Path(Path::new("busybox.tar")))? {
///     println!("{} {:?}", loaded.image.id, loaded.names);
/// }
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`ArchiveError`]; the images before the one at fault are in the store then.
pub fn load(store: &Store, input: Input<'_>) -> Result<Vec<Loaded>, ArchiveError> {
    let source = Source::open(input, store)?;
    let docker = docker_entries(&source)?;
    let found = match source.document("index.json", MANIFEST_LIMIT)? {
        Some(index) => oci_images(&source, &index, docker.as_deref().unwrap_or_default())?,
        None => docker_images(&source, docker.ok_or(ArchiveError::NoImage)?)?,
    };
    if found.is_empty() {
        return Err(ArchiveError::NoImage);
    }
    found
        .into_iter()
        .map(|found| bring_in(store, &source, found))
        .collect()
}

/// An image in the archive: its documents, and the files its layers are in.
struct Found {
    manifest: Vec<u8>,
    media_type: String,
    config: Vec<u8>,
    layers: Vec<String>,
    names: Vec<Reference>,
}

fn bring_in(store: &Store, source: &Source, found: Found) -> Result<Loaded, ArchiveError> {
    let ingest = store.ingest()?;
    let Document::Image(parsed) = manifest::parse(&found.manifest, Some(&found.media_type))? else {
        return Err(ArchiveError::NoImage);
    };
    ingest.put(&found.config, &manifest::digest_of(parsed.config())?)?;
    let config = manifest::parse_config(&found.config)?;
    let layers = manifest::layers(&parsed, &config)?;
    for (layer, name) in layers.iter().zip(&found.layers) {
        let Some(slot) = ingest.layer(layer)? else {
            continue;
        };
        match slot.wanted_from() {
            None => slot.fill(&mut io::empty())?,
            Some(from) => {
                let mut section = source.file(name)?;
                section.skip(from);
                slot.fill(&mut section)?;
            }
        }
    }
    Ok(Loaded {
        image: ingest.commit(&found.manifest, &found.media_type, &found.names)?,
        names: found.names,
    })
}

/// An entry of Docker's manifest.json.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerEntry {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl DockerEntry {
    fn names(&self) -> Result<Vec<Reference>, ArchiveError> {
        let tags = self.repo_tags.iter().flatten();
        Ok(tags.map(|tag| tag.parse()).collect::<Result<_, _>>()?)
    }

    /// The digits of the configuration's digest: `<hex>.json` or `blobs/sha256/<hex>`.
    fn config_hex(&self) -> &str {
        let name = self.config.rsplit('/').next().unwrap_or_default();
        name.strip_suffix(".json").unwrap_or(name)
    }
}

fn docker_entries(source: &Source) -> Result<Option<Vec<DockerEntry>>, ArchiveError> {
    let name = "manifest.json";
    let Some(bytes) = source.document(name, MANIFEST_LIMIT)? else {
        return Ok(None);
    };
    let entries: Vec<DockerEntry> = json(name, &bytes)?;
    if entries.len() > MAX_IMAGES {
        return Err(ArchiveError::TooLarge {
            name: name.to_owned(),
            size: entries.len() as u64,
            limit: MAX_IMAGES as u64,
        });
    }
    Ok(Some(entries))
}

/// Makes manifests for images that have none: Docker's archives name files only.
fn docker_images(source: &Source, entries: Vec<DockerEntry>) -> Result<Vec<Found>, ArchiveError> {
    let mut found = Vec::with_capacity(entries.len());
    // Images share layers, which are read once to learn their digests.
    let mut known = HashMap::new();
    for entry in entries {
        let config = required(source, &entry.config, CONFIG_LIMIT)?;
        let parsed = manifest::parse_config(&config)?;
        let diff_ids = parsed.rootfs().diff_ids();
        if diff_ids.len() != entry.layers.len() {
            return Err(manifest::ManifestError::LayerCount {
                blobs: entry.layers.len(),
                diff_ids: diff_ids.len(),
            }
            .into());
        }
        let mut layers = Vec::with_capacity(entry.layers.len());
        for (name, diff_id) in entry.layers.iter().zip(diff_ids) {
            if !known.contains_key(name) {
                known.insert(name.clone(), docker_layer(source, name, diff_id)?);
            }
            layers.extend(known.get(name).cloned());
        }
        let config_descriptor = serde_json::json!({
            "mediaType": OCI_CONFIG,
            "digest": Digest::sha256(&config),
            "size": config.len(),
        });
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": config_descriptor,
            "layers": layers,
        });
        found.push(Found {
            manifest: manifest.to_string().into_bytes(),
            media_type: OCI_MANIFEST.to_owned(),
            config,
            names: entry.names()?,
            layers: entry.layers,
        });
    }
    Ok(found)
}

/// The descriptor of a layer in a Docker archive.
fn docker_layer(
    source: &Source,
    name: &str,
    diff_id: &str,
) -> Result<serde_json::Value, ArchiveError> {
    let mut section = source.file(name)?;
    let size = section.size();
    let (suffix, digest) = match section.format()? {
        // Then the blob's digest is the diff id, which is checked when it is unpacked.
        Format::Plain => ("", diff_id.to_owned()),
        format @ (Format::Gzip | Format::Zstd) => {
            let mut hasher = Algorithm::Sha256.hasher();
            let mut buffer = vec![0; 256 << 10];
            loop {
                match section.read(&mut buffer).map_err(ArchiveError::Read)? {
                    0 => break,
                    length => hasher.update(&buffer[..length]),
                }
            }
            let suffix = if format == Format::Gzip {
                "+gzip"
            } else {
                "+zstd"
            };
            (suffix, hasher.finish().to_string())
        }
        format => {
            return Err(ArchiveError::Compression {
                name: name.to_owned(),
                format: format.name(),
            });
        }
    };
    Ok(serde_json::json!({
        "mediaType": format!("application/vnd.oci.image.layer.v1.tar{suffix}"),
        "digest": digest,
        "size": size,
    }))
}

fn oci_images(
    source: &Source,
    index: &[u8],
    docker: &[DockerEntry],
) -> Result<Vec<Found>, ArchiveError> {
    let Document::Index(index) = manifest::parse(index, Some(OCI_INDEX))? else {
        return Err(ArchiveError::NoImage);
    };
    let mut found: Vec<Found> = Vec::new();
    let mut by_digest: HashMap<Digest, usize> = HashMap::new();
    for entry in index.manifests().iter().take(MAX_IMAGES) {
        if annotation(entry, ATTACHED).is_some() {
            continue;
        }
        let digest = manifest::digest_of(entry)?;
        let position = match by_digest.get(&digest) {
            Some(position) => *position,
            None => {
                let Some(image) = oci_image(source, entry, 0)? else {
                    continue;
                };
                found.push(image);
                by_digest.insert(digest, found.len() - 1);
                found.len() - 1
            }
        };
        let Some(image) = found.get_mut(position) else {
            continue;
        };
        for name in oci_names(entry, &image.config, docker)? {
            if !image.names.contains(&name) {
                image.names.push(name);
            }
        }
    }
    Ok(found)
}

/// The image that an entry of an index leads to, through further indexes if need be.
fn oci_image(
    source: &Source,
    entry: &Descriptor,
    depth: u32,
) -> Result<Option<Found>, ArchiveError> {
    const MAX_DEPTH: u32 = 4;
    let digest = manifest::digest_of(entry)?;
    let bytes = required(source, &blob(&digest), MANIFEST_LIMIT)?;
    check(&bytes, &digest)?;
    let media_type = entry.media_type().to_string();
    match manifest::parse(&bytes, Some(&media_type))? {
        Document::Index(_) if depth == MAX_DEPTH => Err(ArchiveError::Refused {
            name: blob(&digest),
            reason: "indexes are nested too deep",
        }),
        Document::Index(index) => {
            let chosen = Platform::host().choose(&index)?;
            oci_image(source, chosen, depth + 1)
        }
        Document::Image(parsed) => {
            let config_digest = manifest::digest_of(parsed.config())?;
            let config = required(source, &blob(&config_digest), CONFIG_LIMIT)?;
            let digests = parsed.layers().iter().map(manifest::digest_of);
            let layers = digests.map(|digest| Ok(blob(&digest?)));
            Ok(Some(Found {
                layers: layers.collect::<Result<_, ArchiveError>>()?,
                manifest: bytes,
                media_type,
                config,
                names: Vec::new(),
            }))
        }
    }
}

/// The names of an entry: the full one; else those of Docker's manifest.json beside it; else
/// what the OCI annotation says, unless that is but a tag.
fn oci_names(
    entry: &Descriptor,
    config: &[u8],
    docker: &[DockerEntry],
) -> Result<Vec<Reference>, ArchiveError> {
    if let Some(name) = annotation(entry, FULL_NAME) {
        return Ok(vec![name.parse()?]);
    }
    let hex = Digest::sha256(config);
    if let Some(entry) = docker.iter().find(|entry| entry.config_hex() == hex.hex()) {
        return entry.names();
    }
    let name = annotation(entry, REF_NAME).filter(|name| !is_bare_tag(name));
    Ok(name
        .and_then(|name| name.parse().ok())
        .into_iter()
        .collect())
}

/// Whether a name can only be meant as a tag: `latest`, `1.36`, `v2`.
fn is_bare_tag(name: &str) -> bool {
    let version = name.strip_prefix('v').unwrap_or(name);
    name == "latest"
        || version.starts_with(|c: char| c.is_ascii_digit()) && !name.contains(['/', ':', '@'])
}

fn annotation<'a>(entry: &'a Descriptor, key: &str) -> Option<&'a str> {
    entry.annotations().as_ref()?.get(key).map(String::as_str)
}

/// Where an OCI layout has a blob.
pub(super) fn blob(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}

fn required(source: &Source, name: &str, limit: u64) -> Result<Vec<u8>, ArchiveError> {
    source
        .document(name, limit)?
        .ok_or_else(|| ArchiveError::Missing {
            name: name.to_owned(),
        })
}

fn check(bytes: &[u8], expected: &Digest) -> Result<(), ArchiveError> {
    let mut hasher = expected.hasher();
    hasher.update(bytes);
    let actual = hasher.finish();
    if actual == *expected {
        return Ok(());
    }
    Err(crate::store::StoreError::Mismatch {
        expected: expected.clone(),
        actual,
    }
    .into())
}

fn json<'a, T: Deserialize<'a>>(name: &str, bytes: &'a [u8]) -> Result<T, ArchiveError> {
    serde_json::from_slice(bytes).map_err(|source| ArchiveError::Json {
        name: name.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_not_taken_for_names() {
        for tag in ["latest", "1.36", "v2", "2024-01-01"] {
            assert!(is_bare_tag(tag), "{tag}");
        }
        for name in [
            "busybox",
            "vim",
            "busybox:1.36",
            "127.0.0.1:5000/a",
            "1password/cli",
        ] {
            assert!(!is_bare_tag(name), "{name}");
        }
    }
}
