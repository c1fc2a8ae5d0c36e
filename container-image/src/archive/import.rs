//! A root file system as an image of one layer.

use std::io::{self, Read, Write};
use std::path::Path;

use jiff::Timestamp;
use oci_spec::image::MediaType;

use super::error::{ArchiveError, io_error};
use super::source::{Input, decompress};
use crate::config::{self, RunConfig};
use crate::digest::{Algorithm, Digest};
use crate::layer::LayerSpec;
use crate::manifest::Layer;
use crate::platform::Platform;
use crate::reference::Reference;
use crate::store::{Draft, Image, Ingest, Step, Store};

/// What an imported image shall be.
#[derive(Debug, Clone)]
pub struct Import {
    /// Its name, if any.
    pub name: Option<Reference>,
    /// Dockerfile instructions, as [`config::apply`] takes them.
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
    let mut config = RunConfig::default();
    config::apply(&mut config, import.changes.iter().map(String::as_str))?;
    let ingest = store.ingest()?;
    let (diff_id, size) = match input {
        Input::Stream(stream) => store_plain(&ingest, stream, store.root())?,
        Input::Path(path) => {
            let mut file = std::fs::File::open(path).map_err(io_error("open", path))?;
            store_plain(&ingest, &mut file, store.root())?
        }
    };
    // What is imported is kept as it is: the blob is the plain archive.
    let layer = Layer {
        spec: LayerSpec {
            digest: diff_id.clone(),
            size,
            media_type: MediaType::ImageLayer,
            diff_id: diff_id.clone(),
        },
        chain_id: diff_id,
    };
    if let Some(slot) = ingest.layer(&layer)? {
        slot.fill(&mut io::empty())?;
    }
    let mut draft = Draft::new(&import.platform);
    draft.set_run_config(&config);
    let step = Step {
        created: import.created,
        comment: import.message.clone(),
        ..Step::default()
    };
    draft.add(&step, Some(&layer));
    let names: Vec<Reference> = import.name.iter().cloned().collect();
    Ok(draft.commit(&ingest, &names)?)
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
