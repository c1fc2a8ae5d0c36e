//! One pass from compressed bytes to a directory.
//!
//! ```text
//! blob ─read, count, hash─▶ pipe ─decompress, hash─▶ pipe ─unpack─▶ <dir>
//!      the caller's thread       a second thread          a third
//! ```

use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::compression::Decompressed;
use super::pipe::{self, Buffer, Sink, Source};
use super::{IngestError, LayerSpec, UnpackError, Unpacker};
use crate::digest::{Digest, Hasher};

/// Takes a layer in, in one pass: checks size and digest of the compressed bytes as they arrive,
/// decompresses, checks the diff id and unpacks into the existing empty directory `dir`.
///
/// Memory is bounded (some MiB, and zstd's window) whatever the size of the layer. Nothing is
/// known to be true before this returns `Ok`: `dir` must not be used until then.
///
/// # Errors
/// [`IngestError`]; `dir` is then in an undefined state and wants [`Unpacker::remove`]. Where
/// damaged bytes cause several errors, the one nearest to the cause is given: a wrong digest
/// rather than the broken archive that follows from it.
pub fn ingest(
    blob: &mut (dyn Read + Send),
    spec: &LayerSpec,
    unpacker: &dyn Unpacker,
    dir: &Path,
) -> Result<(), IngestError> {
    let digest = || spec.digest.clone();
    let no_thread = |source| IngestError::Pipeline {
        digest: digest(),
        source,
    };
    // Set when what follows will not get better by reading on, as with a full disk.
    let stop = AtomicBool::new(false);
    let (blob_source, blob_sink) = pipe::pipe();
    let (tar_source, tar_sink) = pipe::pipe();
    let (received, decompressed, unpacked) = thread::scope(|scope| {
        let decompressing = thread::Builder::new()
            .name("layer-inflate".to_owned())
            .spawn_scoped(scope, || {
                decompress(blob_sink, tar_source, spec.diff_id.hasher())
            })
            .map_err(no_thread)?;
        let unpacking = thread::Builder::new()
            .name("layer-unpack".to_owned())
            .spawn_scoped(scope, || {
                let mut tar = tar_sink;
                let result = unpacker.unpack(&mut tar, dir);
                stop.store(is_hopeless(&result), Ordering::Relaxed);
                result
            })
            .map_err(no_thread)?;
        let received = receive(blob, spec, blob_source, &stop);
        let died = || no_thread(io::Error::other("a thread panicked"));
        Ok((
            received,
            decompressing.join().map_err(|_| died())?,
            unpacking.join().map_err(|_| died())?,
        ))
    })?;
    // Errors first where they began. A stop is due to what comes last.
    let complete = received?;
    if !complete || is_hopeless(&unpacked) {
        unpacked.map_err(|source| IngestError::Unpack {
            digest: digest(),
            source,
        })?;
        return Ok(());
    }
    let diff_id = decompressed.map_err(|(format, source)| IngestError::Decompress {
        digest: digest(),
        format,
        source,
    })?;
    unpacked.map_err(|source| IngestError::Unpack {
        digest: digest(),
        source,
    })?;
    match diff_id {
        Some(actual) if actual == spec.diff_id => Ok(()),
        Some(actual) => Err(IngestError::DiffId {
            digest: digest(),
            expected: spec.diff_id.clone(),
            actual,
        }),
        None => Err(no_thread(io::Error::other(
            "the unpacker stopped before the end of the archive",
        ))),
    }
}

/// Whether the machine is at fault. Any other error may come from bytes that were damaged on the
/// way, which only the digest of all of them tells.
fn is_hopeless(result: &Result<(), UnpackError>) -> bool {
    use io::ErrorKind::{OutOfMemory, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let Err(UnpackError::Io { source, .. }) = result else {
        return false;
    };
    matches!(
        source.kind(),
        StorageFull | QuotaExceeded | ReadOnlyFilesystem | OutOfMemory
    )
}

/// Reads the blob to its end and checks it; false if told to stop.
fn receive(
    blob: &mut (dyn Read + Send),
    spec: &LayerSpec,
    source: Source,
    stop: &AtomicBool,
) -> Result<bool, IngestError> {
    let mut hasher = spec.digest.hasher();
    let mut size = 0u64;
    let mut source = Some(source);
    let mut spare = None;
    let mut ended = false;
    while !ended && size <= spec.size {
        if stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let fresh = source.as_ref().and_then(Source::buffer);
        let mut buffer = fresh.or(spare.take()).unwrap_or_else(Buffer::new);
        ended = buffer.fill(blob).map_err(|error| IngestError::Read {
            digest: spec.digest.clone(),
            source: error,
        })?;
        size += buffer.filled().len() as u64;
        hasher.update(buffer.filled());
        // When no one wants the bytes any more, their digest may still tell why.
        let sent = match &source {
            Some(open) => open.send(buffer),
            None => Err(buffer),
        };
        if let Err(back) = sent {
            (source, spare) = (None, Some(back));
        }
    }
    if size != spec.size {
        return Err(IngestError::Size {
            digest: spec.digest.clone(),
            expected: spec.size,
            actual: size,
        });
    }
    let actual = hasher.finish();
    if actual != spec.digest {
        return Err(IngestError::Digest {
            expected: spec.digest.clone(),
            actual,
        });
    }
    Ok(true)
}

/// Decompresses to the end and gives the digest; `None` if the unpacker stopped reading, which
/// has its own error to report.
fn decompress(
    blob: Sink,
    tar: Source,
    mut hasher: Hasher,
) -> Result<Option<Digest>, (&'static str, io::Error)> {
    let mut decoder = Decompressed::new(blob).map_err(|error| ("zstd", error))?;
    let mut ended = false;
    while !ended {
        let Some(mut buffer) = tar.buffer() else {
            return Ok(None);
        };
        ended = buffer
            .fill(&mut decoder)
            .map_err(|error| (decoder.format().name(), error))?;
        hasher.update(buffer.filled());
        if tar.send(buffer).is_err() {
            return Ok(None);
        }
    }
    Ok(Some(hasher.finish()))
}
