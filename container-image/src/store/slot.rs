//! A layer that is to be brought: its locks, the part of its blob that is here, and the
//! directory it is unpacked into.

use std::fs::{File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Store;
use super::error::{StoreError, io_error};
use super::ingest::Slot;
use super::layout::{Lock, exists, make_dirs, unlink};
use super::tally::Tallying;
use crate::digest::Digest;
use crate::layer::{self, IngestError};
use crate::manifest::Layer;

/// Bytes moved at once.
const CHUNK: usize = 256 << 10;

/// The right, and the duty, to bring a layer. Dropping it gives the right back; what has
/// arrived of the blob stays for the next who tries.
#[derive(Debug)]
pub struct LayerSlot {
    store: Store,
    layer: Layer,
    /// Held while the layer is not unpacked yet.
    unpack: Option<Transient>,
    blob: Blob,
}

#[derive(Debug)]
enum Blob {
    Present,
    Partial { file: Transient, have: u64 },
}

/// A locked file of ours below `ingest/`.
#[derive(Debug)]
struct Transient {
    lock: Lock,
    path: PathBuf,
    /// Whether the file has something in it that is worth keeping.
    keep: bool,
}

impl Transient {
    fn take(path: PathBuf) -> Result<Option<Self>, StoreError> {
        let lock = Lock::try_on_transient(&path)?;
        Ok(lock.map(|lock| Self {
            lock,
            path,
            keep: false,
        }))
    }
}

impl Drop for Transient {
    fn drop(&mut self) {
        // Unlinked while still locked: whoever waits for it looks at the path again.
        if !self.keep
            && let Err(error) = unlink(&self.path)
        {
            tracing::debug!(%error, "lock file left for the next prune");
        }
    }
}

impl LayerSlot {
    /// The layer's lock is always taken before the blob's, so that two who bring layers
    /// with the same blob cannot wait for each other.
    pub(super) fn open(store: &Store, layer: &Layer) -> Result<Slot, StoreError> {
        let layout = &store.layout;
        let directory = layout.layer(&layer.chain_id);
        let blob_path = layout.blob(&layer.spec.digest);
        let mut unpack = None;
        if !exists(&directory)? {
            let Some(lock) = Transient::take(layout.layer_lock(&layer.chain_id))? else {
                return Ok(Slot::Busy);
            };
            if !exists(&directory)? {
                unpack = Some(lock);
            }
        }
        let mut blob = Blob::Present;
        if !exists(&blob_path)? {
            let Some(mut file) = Transient::take(layout.partial(&layer.spec.digest))? else {
                return Ok(Slot::Busy);
            };
            if !exists(&blob_path)? {
                let path = &file.path;
                let mut have = file
                    .lock
                    .file
                    .metadata()
                    .map_err(io_error("examine", path))?
                    .len();
                if have > layer.spec.size {
                    file.lock
                        .file
                        .set_len(0)
                        .map_err(io_error("truncate", path))?;
                    have = 0;
                }
                file.keep = have > 0;
                blob = Blob::Partial { file, have };
            }
        }
        if unpack.is_none() && matches!(blob, Blob::Present) {
            return Ok(Slot::Ready);
        }
        Ok(Slot::Open(Self {
            store: store.clone(),
            layer: layer.clone(),
            unpack,
            blob,
        }))
    }

    /// From which byte on the blob is wanted; `None` if all of it is here and only its
    /// directory is missing.
    pub fn wanted_from(&self) -> Option<u64> {
        match &self.blob {
            Blob::Present => None,
            Blob::Partial { have, .. } => Some(*have),
        }
    }

    /// Completes the layer: stores `rest`, the blob's bytes from [`LayerSlot::wanted_from`]
    /// on, checks all of the blob and unpacks it on the way.
    ///
    /// If `rest` fails, what came before stays for the next attempt; if the blob turns
    /// out to be another than its digest says, all of it is removed.
    ///
    /// # Errors
    /// [`StoreError::Ingest`] with what is wrong with the layer, or [`StoreError::Io`].
    pub fn fill(self, rest: &mut (dyn Read + Send)) -> Result<(), StoreError> {
        let Self {
            store,
            layer,
            unpack,
            blob,
        } = self;
        let blob_path = store.layout.blob(&layer.spec.digest);
        match blob {
            Blob::Present => {
                let mut file = File::open(&blob_path).map_err(io_error("open", &blob_path))?;
                let filled = store.unpack_aside(&layer, &mut file);
                if filled.as_ref().is_err_and(is_corruption) {
                    // Damaged on disk: the next pull shall fetch it anew.
                    unlink(&blob_path)?;
                }
                filled?;
            }
            Blob::Partial { mut file, have } => {
                let mut tee = Tee {
                    file: &file.lock.file,
                    have,
                    at: 0,
                    limit: layer.spec.size,
                    rest,
                    failure: None,
                };
                let filled = match &unpack {
                    Some(_) => store.unpack_aside(&layer, &mut tee),
                    None => check(&layer, &mut tee),
                };
                let (at, failure) = (tee.at, tee.failure.take());
                if let Some(source) = failure {
                    file.keep = false;
                    return Err(io_error("write", &file.path)(source));
                }
                if let Err(error) = filled {
                    file.keep = at.max(have) > 0 && is_interruption(&error);
                    return Err(error);
                }
                if let Some(parent) = blob_path.parent() {
                    make_dirs(parent)?;
                }
                std::fs::rename(&file.path, &blob_path)
                    .map_err(io_error("name blob", &blob_path))?;
                file.keep = true;
            }
        }
        if unpack.is_some() {
            store.settle_layer(&layer)?;
        }
        Ok(())
    }
}

/// Whether what has arrived of the blob is worth keeping: only if it was the source that
/// failed. A full disk shall not stay full, and wrong bytes shall not be continued.
fn is_interruption(error: &StoreError) -> bool {
    matches!(error, StoreError::Ingest(IngestError::Read { .. }))
}

/// Whether the error says that the bytes are not the blob's.
fn is_corruption(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Ingest(IngestError::Size { .. } | IngestError::Digest { .. })
    )
}

impl Store {
    /// Unpacks into the directory beside the final one. On failure nothing stays of it.
    fn unpack_aside(&self, layer: &Layer, blob: &mut (dyn Read + Send)) -> Result<(), StoreError> {
        let aside = self.layout.layer_aside(&layer.chain_id);
        let remove = || {
            self.unpacker
                .remove(&aside)
                .map_err(|source| StoreError::RemoveLayer {
                    path: aside.clone(),
                    source,
                })
        };
        if exists(&aside)? {
            remove()?;
        }
        make_dirs(&aside)?;
        // What a root directory is that the archive does not mention. Not by mkdir, which
        // would apply the umask.
        std::fs::set_permissions(&aside, Permissions::from_mode(0o755))
            .map_err(io_error("set mode of", &aside))?;
        let tallying = Tallying {
            unpacker: &*self.unpacker,
            total: AtomicU64::new(0),
        };
        let unpacked = layer::ingest(blob, &layer.spec, &tallying, &aside)
            .map_err(StoreError::from)
            .and_then(|()| {
                let path = self.layout.layer_size(&layer.chain_id);
                std::fs::write(&path, tallying.total.load(Ordering::Relaxed).to_string())
                    .map_err(io_error("write", path))
            });
        if let Err(error) = unpacked {
            if let Err(left) = remove() {
                tracing::debug!(error = %left, "half-unpacked layer left for the next attempt");
            }
            return Err(error);
        }
        Ok(())
    }

    fn settle_layer(&self, layer: &Layer) -> Result<(), StoreError> {
        let aside = self.layout.layer_aside(&layer.chain_id);
        let directory = self.layout.layer(&layer.chain_id);
        std::fs::rename(&aside, &directory).map_err(io_error("name layer", directory))
    }
}

/// Reads the blob to its end, checking size and digest.
fn check(layer: &Layer, blob: &mut dyn Read) -> Result<(), StoreError> {
    let digest = &layer.spec.digest;
    let mut hasher = digest.hasher();
    let mut size = 0;
    let mut buf = vec![0; CHUNK];
    loop {
        let n = match blob.read(&mut buf) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => {
                return Err(IngestError::Read {
                    digest: digest.clone(),
                    source,
                }
                .into());
            }
        };
        hasher.update(&buf[..n]);
        size += n as u64;
        if size > layer.spec.size {
            break;
        }
    }
    if size != layer.spec.size {
        return Err(IngestError::Size {
            digest: digest.clone(),
            expected: layer.spec.size,
            actual: size,
        }
        .into());
    }
    let actual: Digest = hasher.finish();
    if actual != *digest {
        return Err(IngestError::Digest {
            expected: digest.clone(),
            actual,
        }
        .into());
    }
    Ok(())
}

/// The whole blob: first the bytes that are on disk, then those that arrive, which are
/// written to disk as they pass.
struct Tee<'a> {
    file: &'a File,
    /// How many bytes were there at the start.
    have: u64,
    at: u64,
    /// The blob's size: not a byte more goes to disk, whatever arrives.
    limit: u64,
    rest: &'a mut (dyn Read + Send),
    /// A failure of the disk, which is not one of the source.
    failure: Option<io::Error>,
}

impl Read for Tee<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at < self.have {
            let left = usize::try_from(self.have - self.at).unwrap_or(usize::MAX);
            let end = left.min(buf.len());
            let n = self.file.read_at(&mut buf[..end], self.at)?;
            if n == 0 && end > 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.at += n as u64;
            return Ok(n);
        }
        let n = self.rest.read(buf)?;
        let room = usize::try_from(self.limit.saturating_sub(self.at)).unwrap_or(usize::MAX);
        if let Err(error) = self.file.write_all_at(&buf[..n.min(room)], self.at) {
            let kind = error.kind();
            self.failure = Some(error);
            return Err(kind.into());
        }
        self.at += n as u64;
        Ok(n)
    }
}
