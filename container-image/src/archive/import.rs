//! A root file system as an image of one layer.

use std::io::{self, Read, Write};
use std::path::Path;

use jiff::Timestamp;
use oci_spec::image::Config;
use serde_json::json;

use super::change;
use super::error::{ArchiveError, io_error};
use super::source::{Input, decompress};
use crate::digest::{Algorithm, Digest};
use crate::manifest::{self, Document, OCI_MANIFEST};
use crate::platform::Platform;
use crate::reference::Reference;
use crate::store::{Image, Ingest, Store};

/// What an imported image shall be.
#[derive(Debug, Clone)]
pub struct Import {
    /// Its name, if any.
    pub name: Option<Reference>,
    /// Dockerfile instructions: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME,
    /// WORKDIR.
    pub changes: Vec<String>,
    /// Noted in the image's history.
    pub message: String,
    /// What it is made for.
    pub platform: Platform,
    /// When it was made. The same time and bytes give the same image.
    pub created: Timestamp,
}

impl Default for Import {
    /// Nameless, for this machine, made now.
    fn default() -> Self {
        Self {
            name: None,
            changes: Vec::new(),
            message: String::new(),
            platform: Platform::host(),
            created: Timestamp::now(),
        }
    }
}

/// Makes an image of one layer of a tar archive of a root file system, plain or compressed with
/// gzip, zstd, xz or bzip2. The stream is read once and never held in memory.
///
/// # Errors
/// [`ArchiveError::Change`] for an instruction that is not understood, before anything is read;
/// [`ArchiveError::Empty`]; what is wrong with the archive.
pub fn import(store: &Store, input: Input<'_>, import: &Import) -> Result<Image, ArchiveError> {
    let mut config = Config::default();
    for instruction in &import.changes {
        change::apply(&mut config, instruction)?;
    }
    let ingest = store.ingest()?;
    let (diff_id, size) = match input {
        Input::Stream(stream) => store_plain(&ingest, stream, store.root())?,
        Input::Path(path) => {
            let mut file = std::fs::File::open(path).map_err(io_error("open", path))?;
            store_plain(&ingest, &mut file, store.root())?
        }
    };
    let config = json!({
        "created": import.created.to_string(),
        "architecture": import.platform.architecture(),
        "variant": import.platform.variant(),
        "os": import.platform.os(),
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": import.created.to_string(), "comment": import.message}],
    });
    let config = strip_nulls(config).to_string().into_bytes();
    let config_digest = Digest::sha256(&config);
    ingest.put(&config, &config_digest)?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": config_digest,
            "size": config.len(),
        },
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": diff_id,
            "size": size,
        }],
    });
    let manifest = manifest.to_string().into_bytes();
    let Document::Image(parsed) = manifest::parse(&manifest, Some(OCI_MANIFEST))? else {
        return Err(ArchiveError::NoImage);
    };
    for layer in manifest::layers(&parsed, &manifest::parse_config(&config)?)? {
        if let Some(slot) = ingest.layer(&layer)? {
            slot.fill(&mut io::empty())?;
        }
    }
    let names: Vec<Reference> = import.name.iter().cloned().collect();
    Ok(ingest.commit(&manifest, OCI_MANIFEST, &names)?)
}

/// Stores the plain bytes of a stream as a blob.
fn store_plain(
    ingest: &Ingest,
    stream: &mut dyn Read,
    root: &Path,
) -> Result<(Digest, u64), ArchiveError> {
    let mut plain = decompress(stream)?;
    let mut blob = ingest.new_blob(Algorithm::Sha256)?;
    let mut buffer = vec![0; 256 << 10];
    let mut empty = true;
    loop {
        match plain.read(&mut buffer) {
            Ok(0) if empty => return Err(ArchiveError::Empty),
            Ok(0) => return Ok(blob.finish()?),
            Ok(length) => {
                empty = false;
                blob.write_all(&buffer[..length])
                    .map_err(io_error("write a blob in", root))?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(ArchiveError::Read(error)),
        }
    }
}

fn strip_nulls(mut value: serde_json::Value) -> serde_json::Value {
    if let Some(object) = value.as_object_mut() {
        object.retain(|_, value| !value.is_null());
    }
    value
}
