//! Images into archives that Docker, podman, skopeo and containerd read.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use oci_spec::image::MediaType;
use serde_json::{Value, json};

use super::error::{ArchiveError, io_error};
use super::load::{FULL_NAME, REF_NAME, blob};
use super::sink::Sink;
use crate::digest::{Digest, Hasher};
use crate::layer::compression::{Decompressed, Format as Compression};
use crate::manifest::{OCI_INDEX, OCI_MANIFEST};
use crate::reference::Reference;
use crate::store::{Image, Lease, Store};

/// The form of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Format {
    /// What `docker save` writes, with an OCI layout inside as Docker 25 and later have it.
    /// Layers are gzip or plain, since `docker load` before 23 reads no zstd.
    #[default]
    Docker,
    /// An OCI layout in a tar archive, the manifests as they were pulled.
    Oci,
}

/// An image to save, and the names that it shall have in the archive.
#[derive(Debug, Clone)]
pub struct Selection {
    /// The image.
    pub image: Image,
    /// Its names; may be empty.
    pub names: Vec<Reference>,
}

/// Finds what `docker save NAME…` means: a name stands for the image with that name, an id for
/// one without names. An image named several times appears once, with all the names given.
///
/// # Errors
/// [`ArchiveError::Store`] if there is no such image.
pub fn select(store: &Store, names: &[&str]) -> Result<Vec<Selection>, ArchiveError> {
    let mut selected: Vec<Selection> = Vec::new();
    for name in names {
        let image = store.find(name)?;
        let name = name.parse().ok().filter(|name| image.names.contains(name));
        let name = name.filter(|name: &Reference| name.tag().is_some());
        let known = |s: &&mut Selection| s.image.manifest_digest == image.manifest_digest;
        match selected.iter_mut().find(known) {
            Some(known) => {
                let new = name.filter(|name| !known.names.contains(name));
                known.names.extend(new);
            }
            None => selected.push(Selection {
                names: name.into_iter().collect(),
                image,
            }),
        }
    }
    Ok(selected)
}

/// Writes images as one tar archive.
///
/// The output is deterministic: no clock, host or order of blobs shows in it.
///
/// # Errors
/// [`ArchiveError`]; what was written then is no complete archive.
pub fn save(
    store: &Store,
    images: &[Selection],
    format: Format,
    output: &mut dyn Write,
) -> Result<(), ArchiveError> {
    write(store, images, format, Sink::tar(output))
}

/// Writes images as an OCI layout into the directory `path`, which is made, or empty.
///
/// # Errors
/// [`ArchiveError::NotEmpty`], or what fails; the directory is incomplete then.
pub fn save_directory(
    store: &Store,
    images: &[Selection],
    path: &Path,
) -> Result<(), ArchiveError> {
    write(store, images, Format::Oci, Sink::directory(path)?)
}

/// What goes to `blobs/`.
enum Blob {
    Bytes(Vec<u8>),
    /// As it lies in the store.
    Stored(u64),
    /// Decompressed from the stored blob of this digest.
    Plain(Digest, u64),
}

fn write(
    store: &Store,
    images: &[Selection],
    format: Format,
    mut sink: Sink<'_>,
) -> Result<(), ArchiveError> {
    // Nobody may remove an image half of which is written.
    let leases = images.iter().map(|selection| store.lease(&selection.image));
    let _leases: Vec<Lease> = leases.collect::<Result<_, _>>()?;
    let mut blobs = BTreeMap::new();
    let mut entries = Vec::new();
    let mut docker = Vec::new();
    for selection in images {
        let entry = collect(store, &selection.image, format, &mut blobs)?;
        let tags: Vec<String> = selection.names.iter().map(Reference::familiar).collect();
        docker.push(json!({
            "Config": blob(&selection.image.id),
            "RepoTags": tags,
            "Layers": entry.layers.iter().map(blob).collect::<Vec<_>>(),
        }));
        if selection.names.is_empty() {
            entries.push(entry.descriptor.clone());
        }
        for name in &selection.names {
            let mut descriptor = entry.descriptor.clone();
            descriptor["annotations"] = json!({
                FULL_NAME: name.to_string(),
                REF_NAME: name.familiar(),
            });
            entries.push(descriptor);
        }
    }
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries});
    // First the small ones, so that who reads a stream knows what comes.
    document(
        &mut sink,
        "oci-layout",
        &json!({"imageLayoutVersion": "1.0.0"}),
    )?;
    document(&mut sink, "index.json", &index)?;
    if format == Format::Docker {
        document(&mut sink, "manifest.json", &Value::from(docker))?;
    }
    sink.make_directory("blobs")?;
    let mut algorithm = None;
    for (digest, content) in &blobs {
        if algorithm != Some(digest.algorithm()) {
            sink.make_directory(&format!("blobs/{}", digest.algorithm()))?;
            algorithm = Some(digest.algorithm());
        }
        write_blob(store, &mut sink, digest, content)?;
    }
    sink.finish()
}

struct Entry {
    descriptor: Value,
    /// Digests of the layers as they are in the archive, lowermost first.
    layers: Vec<Digest>,
}

/// Puts all blobs of an image on the list.
fn collect(
    store: &Store,
    image: &Image,
    format: Format,
    blobs: &mut BTreeMap<Digest, Blob>,
) -> Result<Entry, ArchiveError> {
    let mut layers = Vec::new();
    let mut rewritten = HashMap::new();
    for layer in &image.layers {
        let stored = &layer.spec.digest;
        if format == Format::Docker && !suits_docker(store, stored)? {
            let plain = &layer.spec.diff_id;
            let size = match blobs.get(plain) {
                Some(Blob::Plain(_, size) | Blob::Stored(size)) => *size,
                _ => plain_size(store, stored)?,
            };
            blobs.insert(plain.clone(), Blob::Plain(stored.clone(), size));
            rewritten.insert(stored.clone(), (plain.clone(), size));
            layers.push(plain.clone());
        } else {
            blobs.insert(stored.clone(), Blob::Stored(layer.spec.size));
            layers.push(stored.clone());
        }
    }
    let config_size = image.manifest.config().size();
    blobs.insert(image.id.clone(), Blob::Stored(config_size));
    let mut manifest = Vec::new();
    let path = store.blob_path(&image.manifest_digest);
    store
        .open_blob(&image.manifest_digest)?
        .read_to_end(&mut manifest)
        .map_err(io_error("read", path))?;
    let declared = image
        .manifest
        .media_type()
        .as_ref()
        .map(MediaType::to_string);
    let mut media_type = declared.unwrap_or_else(|| OCI_MANIFEST.to_owned());
    let mut digest = image.manifest_digest.clone();
    if !rewritten.is_empty() {
        manifest = rewrite(&manifest, &rewritten)?;
        digest = Digest::sha256(&manifest);
        media_type = OCI_MANIFEST.to_owned();
    }
    let descriptor = json!({
        "mediaType": media_type,
        "digest": digest,
        "size": manifest.len(),
        "platform": {
            "architecture": image.platform.architecture(),
            "os": image.platform.os(),
        },
    });
    blobs.insert(digest, Blob::Bytes(manifest));
    Ok(Entry { descriptor, layers })
}

/// The manifest with plain layers in place of the ones that Docker cannot read.
fn rewrite(
    manifest: &[u8],
    rewritten: &HashMap<Digest, (Digest, u64)>,
) -> Result<Vec<u8>, ArchiveError> {
    let parse = |source| ArchiveError::Json {
        name: "manifest".to_owned(),
        source,
    };
    let mut manifest: Value = serde_json::from_slice(manifest).map_err(parse)?;
    manifest["mediaType"] = OCI_MANIFEST.into();
    for layer in manifest["layers"].as_array_mut().into_iter().flatten() {
        let digest = layer["digest"].as_str().and_then(|text| text.parse().ok());
        if let Some((plain, size)) = digest.and_then(|digest: Digest| rewritten.get(&digest)) {
            *layer = json!({
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": plain,
                "size": size,
            });
        }
    }
    Ok(manifest.to_string().into_bytes())
}

fn suits_docker(store: &Store, digest: &Digest) -> Result<bool, ArchiveError> {
    let mut first = Vec::new();
    store
        .open_blob(digest)?
        .take(6)
        .read_to_end(&mut first)
        .map_err(io_error("read", store.blob_path(digest)))?;
    Ok(matches!(
        Compression::of(&first),
        Compression::Plain | Compression::Gzip
    ))
}

fn open_plain(
    store: &Store,
    digest: &Digest,
) -> Result<Decompressed<BufReader<File>>, ArchiveError> {
    let file = BufReader::with_capacity(256 << 10, store.open_blob(digest)?);
    Decompressed::new(file).map_err(io_error("decompress", store.blob_path(digest)))
}

fn plain_size(store: &Store, digest: &Digest) -> Result<u64, ArchiveError> {
    io::copy(&mut open_plain(store, digest)?, &mut io::sink())
        .map_err(io_error("decompress", store.blob_path(digest)))
}

fn document(sink: &mut Sink<'_>, name: &str, value: &Value) -> Result<(), ArchiveError> {
    let bytes = value.to_string();
    sink.file(name, bytes.len() as u64, &mut bytes.as_bytes())
}

fn write_blob(
    store: &Store,
    sink: &mut Sink<'_>,
    digest: &Digest,
    content: &Blob,
) -> Result<(), ArchiveError> {
    let name = blob(digest);
    match content {
        Blob::Bytes(bytes) => sink.file(&name, bytes.len() as u64, &mut &bytes[..]),
        Blob::Stored(size) => {
            let file = store.open_blob(digest)?;
            checked(store, sink, digest, *size, file)
        }
        Blob::Plain(stored, size) => {
            let plain = open_plain(store, stored)?;
            checked(store, sink, digest, *size, plain)
        }
    }
}

/// Writes a blob and makes sure that it was the right one: an archive must not spread damage.
fn checked(
    store: &Store,
    sink: &mut Sink<'_>,
    digest: &Digest,
    size: u64,
    data: impl Read,
) -> Result<(), ArchiveError> {
    let damaged = |reason| ArchiveError::Damaged {
        path: store.blob_path(digest),
        reason,
    };
    let mut reader = Hashing {
        data: data.take(size),
        hasher: digest.hasher(),
        left: size,
    };
    let written = sink.file(&blob(digest), size, &mut reader);
    if reader.left > 0 && written.is_ok() {
        return Err(damaged("it is shorter than its descriptor says"));
    }
    written?;
    if reader.hasher.finish() != *digest {
        return Err(damaged("its bytes are not the ones its digest names"));
    }
    Ok(())
}

struct Hashing<R> {
    data: R,
    hasher: Hasher,
    left: u64,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.data.read(buffer)?;
        self.hasher.update(&buffer[..length]);
        self.left -= length as u64;
        Ok(length)
    }
}
