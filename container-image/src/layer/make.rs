//! One pass from a new layer's tar stream to a compressed blob and a directory.
//!
//! ```text
//! tar ─read, hash─┬▶ chunks ─compress─▶ in order ─▶ blob
//!                 └▶ chunks ─unpack─▶ <dir>
//! ```
//!
//! Every chunk becomes a gzip member of its own (RFC 1952, section 2.2), so that all processors
//! can work on one layer. Where chunks end depends on nothing but the stream: the same layer gives
//! the same blob, whatever the machine.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use flate2::{Compression, write::GzEncoder};

use super::{MakeError, Unpacker};
use crate::digest::{Algorithm, Digest};

/// Bytes compressed by themselves: large enough that it costs next to nothing in size.
const CHUNK: usize = 1 << 20;
/// What gzip and Docker take.
const LEVEL: u32 = 6;
/// More threads than the stream can feed are of no use.
const MOST_WORKERS: usize = 8;

type Compressed = io::Result<Vec<u8>>;

/// A chunk to compress, and where the result goes.
struct Job {
    chunk: Arc<Vec<u8>>,
    reply: SyncSender<Compressed>,
}

/// Compresses `tar` into `blob` and unpacks it into the existing empty directory `dir`. Returns
/// the digest of the uncompressed bytes.
pub(crate) fn make(
    tar: &mut (dyn Read + Send),
    blob: &mut (dyn Write + Send),
    unpacker: &dyn Unpacker,
    dir: &Path,
) -> Result<Digest, MakeError> {
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let workers = workers.clamp(1, MOST_WORKERS);
    let (jobs, queue) = sync_channel::<Job>(workers);
    let (order, ordered) = sync_channel(2 * workers);
    let (plain, chunks) = sync_channel(2 * workers);
    let queue = &Mutex::new(queue);
    thread::scope(|scope| {
        let spawn = |name: &str| thread::Builder::new().name(name.to_owned());
        for _ in 0..workers {
            spawn("layer-deflate")
                .spawn_scoped(scope, || work(queue))
                .map_err(MakeError::Pipeline)?;
        }
        let writing = spawn("layer-write")
            .spawn_scoped(scope, || write(blob, ordered))
            .map_err(MakeError::Pipeline)?;
        let unpacking = spawn("layer-unpack")
            .spawn_scoped(scope, || {
                let mut tar = Chunks {
                    chunks,
                    current: Arc::default(),
                    at: 0,
                };
                unpacker.unpack(&mut tar, dir)
            })
            .map_err(MakeError::Pipeline)?;
        let read = read(tar, &jobs, &order, &plain);
        drop((jobs, order, plain));
        let died = || MakeError::Pipeline(io::Error::other("a thread panicked"));
        let written = writing.join().map_err(|_| died())?;
        let unpacked = unpacking.join().map_err(|_| died())?;
        // The nearest to the cause first: an end of the stream that came too early is an error of
        // those who unpack it too, and those who fail stop the reading.
        let digest = read.map_err(MakeError::Read)?;
        unpacked.map_err(MakeError::Unpack)?;
        written.map_err(MakeError::Write)?;
        digest.ok_or_else(|| MakeError::Pipeline(io::ErrorKind::BrokenPipe.into()))
    })
}

/// Reads the stream to its end; no digest if somebody does not want the rest.
fn read(
    tar: &mut dyn Read,
    jobs: &SyncSender<Job>,
    order: &SyncSender<Receiver<Compressed>>,
    plain: &SyncSender<Arc<Vec<u8>>>,
) -> io::Result<Option<Digest>> {
    let mut hasher = Algorithm::Sha256.hasher();
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        (&mut *tar).take(CHUNK as u64).read_to_end(&mut chunk)?;
        if chunk.is_empty() {
            return Ok(Some(hasher.finish()));
        }
        hasher.update(&chunk);
        let chunk = Arc::new(chunk);
        let (reply, result) = sync_channel(1);
        let job = Job {
            chunk: Arc::clone(&chunk),
            reply,
        };
        let sent = order.send(result).is_ok() && jobs.send(job).is_ok();
        if !sent || plain.send(chunk).is_err() {
            return Ok(None);
        }
    }
}

fn work(queue: &Mutex<Receiver<Job>>) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // No name and no time in the header.
        let mut member = GzEncoder::new(Vec::with_capacity(CHUNK / 2), Compression::new(LEVEL));
        let compressed = member.write_all(&job.chunk).and_then(|()| member.finish());
        // Who waited for it may have given up.
        _ = job.reply.send(compressed);
    }
}

fn write(blob: &mut dyn Write, ordered: Receiver<Receiver<Compressed>>) -> io::Result<()> {
    for result in ordered {
        // Without an answer the compressing thread has died, which its join tells.
        let compressed = result.recv().map_err(io::Error::other)??;
        blob.write_all(&compressed)?;
    }
    Ok(())
}

/// The chunks as a stream.
struct Chunks {
    chunks: Receiver<Arc<Vec<u8>>>,
    current: Arc<Vec<u8>>,
    at: usize,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.current.len() {
            match self.chunks.recv() {
                Ok(next) => (self.current, self.at) = (next, 0),
                Err(_) => return Ok(0),
            }
        }
        let rest = self.current.get(self.at..).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        self.at += length;
        Ok(length)
    }
}
