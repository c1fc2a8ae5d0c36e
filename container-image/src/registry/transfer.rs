//! One layer on its way: from a host, or the next one, over a channel into the store.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes};
use tokio::sync::{mpsc, watch};

use super::endpoint::{Endpoint, Failure, transport};
use super::error::PullError;
use super::progress::{Listener, Progress};
use super::retry::Retry;
use crate::digest::Digest;
use crate::layer::IngestError;
use crate::manifest::Layer;
use crate::store::{Ingest, LayerSlot, Slot, StoreError};

/// Pieces between the connection and the unpacking. A piece is what one read from the
/// connection gave, at most some hundred kilobytes.
const PIECES: usize = 16;
/// Progress is told at most this often for a layer.
const INTERVAL: Duration = Duration::from_millis(50);
/// After this many new bytes a broken connection counts as the first failure again.
const HEADWAY: u64 = 1 << 20;
/// How long to wait before looking again whether another pull is done with a layer.
const BUSY: Duration = Duration::from_millis(30);

/// All that the layers of one pull share.
pub(super) struct Transfer {
    pub(super) ingest: Arc<Ingest>,
    /// The hosts, the one to begin with first.
    pub(super) endpoints: Vec<Arc<Endpoint>>,
    pub(super) listener: Arc<Listener>,
    /// True when another layer has failed.
    pub(super) stop: watch::Receiver<bool>,
}

/// How a stream ended that did not fail.
enum End {
    Complete,
    /// Nobody takes the bytes any more: the store has an error to report.
    Refused,
}

impl Transfer {
    /// Brings one layer.
    pub(super) async fn layer(&self, layer: &Layer) -> Result<(), PullError> {
        let name = || layer.spec.digest.clone();
        // What an earlier attempt left may be damaged, by a power failure for one: then
        // all of it is fetched again, once.
        let mut doubted = false;
        loop {
            let Some(slot) = self.slot(layer).await? else {
                (self.listener)(Progress::Exists { layer: name() });
                return Ok(());
            };
            let continued = slot.wanted_from().is_some_and(|offset| offset > 0);
            match self.fill(layer, slot).await {
                Err(PullError::Store(StoreError::Ingest(IngestError::Digest { .. })))
                    if continued && !doubted =>
                {
                    doubted = true;
                }
                Err(error) => return Err(error),
                Ok(()) => {
                    (self.listener)(Progress::Done { layer: name() });
                    return Ok(());
                }
            }
        }
    }

    async fn slot(&self, layer: &Layer) -> Result<Option<LayerSlot>, PullError> {
        let mut told = false;
        loop {
            // No wait for a lock in here, but for that on the index, which is short.
            match self.ingest.try_layer(layer)? {
                Slot::Ready => return Ok(None),
                Slot::Open(slot) => return Ok(Some(slot)),
                Slot::Busy => {}
            }
            if !told {
                told = true;
                (self.listener)(Progress::Waiting {
                    layer: layer.spec.digest.clone(),
                });
            }
            tokio::time::sleep(BUSY).await;
            if *self.stop.borrow() {
                return Err(stopped());
            }
        }
    }

    async fn fill(&self, layer: &Layer, slot: LayerSlot) -> Result<(), PullError> {
        let spec = &layer.spec;
        let Some(offset) = slot.wanted_from() else {
            (self.listener)(Progress::Unpacking {
                layer: spec.digest.clone(),
            });
            return blocking(move || slot.fill(&mut io::empty())).await?;
        };
        let (pieces, arriving) = mpsc::channel(PIECES);
        let mut reader = Arriving {
            pieces: arriving,
            current: Bytes::new(),
            left: spec.size.saturating_sub(offset),
        };
        // Kept by the task, so that nobody collects what it writes if this future is dropped.
        let ingest = Arc::clone(&self.ingest);
        let filling = tokio::task::spawn_blocking(move || {
            let filled = slot.fill(&mut reader);
            drop(ingest);
            filled
        });
        let mut stop = self.stop.clone();
        let sent = tokio::select! {
            sent = self.send(&spec.digest, offset, spec.size, &pieces) => sent,
            _ = stop.wait_for(|stop| *stop) => Err(stopped()),
        };
        if sent.is_ok() {
            (self.listener)(Progress::Unpacking {
                layer: spec.digest.clone(),
            });
        }
        drop(pieces);
        let filled = joined(filling.await)?;
        match (sent, filled) {
            (Ok(_), filled) => Ok(filled?),
            // The store's own trouble goes before that of a stream nobody took.
            (Err(_), Err(error)) if !is_interruption(&error) => Err(error.into()),
            (Err(error), _) => Err(error),
        }
    }

    /// Sends the blob's bytes from `at` on, over as many connections as it takes.
    async fn send(
        &self,
        digest: &Digest,
        mut at: u64,
        size: u64,
        pieces: &mpsc::Sender<Bytes>,
    ) -> Result<End, PullError> {
        let mut told = Told {
            listener: &*self.listener,
            layer: digest,
            total: size,
            last: None,
        };
        told.tell(at);
        let mut last = None;
        for endpoint in &self.endpoints {
            let mut failed = 0;
            while at < size {
                let before = at;
                let failure = match stream(endpoint, digest, &mut at, size, pieces, &mut told).await
                {
                    Ok(End::Complete) => break,
                    Ok(End::Refused) => return Ok(End::Refused),
                    Err(failure) => failure,
                };
                if at - before >= HEADWAY {
                    failed = 0;
                }
                failed += 1;
                match wait(endpoint.retry, failed, &failure) {
                    Some(delay) => {
                        (self.listener)(Progress::Retrying {
                            layer: Some(digest.clone()),
                            delay,
                            reason: failure.error.to_string(),
                        });
                        tokio::time::sleep(delay).await;
                    }
                    None => {
                        last = Some(failure.error);
                        break;
                    }
                }
            }
            if at == size {
                return Ok(End::Complete);
            }
        }
        Err(last.unwrap_or_else(stopped))
    }
}

/// One connection's worth of a blob.
async fn stream(
    endpoint: &Endpoint,
    digest: &Digest,
    at: &mut u64,
    size: u64,
    pieces: &mpsc::Sender<Bytes>,
    told: &mut Told<'_>,
) -> Result<End, Failure> {
    let url = endpoint.url("blobs", digest.as_str());
    let (mut response, mut skip) = endpoint.blob(&url, *at, size).await?;
    loop {
        let chunk = response.chunk().await.map_err(|e| transport(&url, &e))?;
        let Some(mut chunk) = chunk else {
            if *at == size {
                return Ok(End::Complete);
            }
            return Err(Failure::transient(PullError::Transport {
                url,
                reason: format!("the answer ended at byte {at} of {size}"),
            }));
        };
        let passed = skip.min(chunk.len() as u64);
        skip -= passed;
        chunk.advance(usize::try_from(passed).unwrap_or(chunk.len()));
        if chunk.is_empty() {
            continue;
        }
        let sum = *at + chunk.len() as u64;
        if sum > size {
            return Err(PullError::Size {
                url,
                expected: size,
                actual: sum,
            }
            .into());
        }
        if pieces.send(chunk).await.is_err() {
            return Ok(End::Refused);
        }
        *at = sum;
        told.tell(sum);
    }
}

/// Tells of progress, but not of every piece.
struct Told<'a> {
    listener: &'a Listener,
    layer: &'a Digest,
    total: u64,
    last: Option<Instant>,
}

impl Told<'_> {
    fn tell(&mut self, current: u64) {
        let due = self.last.is_none_or(|last| last.elapsed() >= INTERVAL);
        if due || current == self.total {
            self.last = Some(Instant::now());
            (self.listener)(Progress::Downloading {
                layer: self.layer.clone(),
                current,
                total: self.total,
            });
        }
    }
}

/// The store's end of the channel. It ends well only after the last byte: when the other
/// end is gone before, that is an interruption.
struct Arriving {
    pieces: mpsc::Receiver<Bytes>,
    current: Bytes,
    left: u64,
}

impl Read for Arriving {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buf.len() {
            if self.current.is_empty() {
                if self.left == 0 {
                    break;
                }
                // Whatever has arrived is given at once, to be written in one go.
                let next = match self.pieces.try_recv() {
                    Ok(piece) => Some(piece),
                    Err(_) if filled > 0 => break,
                    Err(_) => self.pieces.blocking_recv(),
                };
                self.current = next.ok_or(io::ErrorKind::ConnectionAborted)?;
                self.left = self.left.saturating_sub(self.current.len() as u64);
            }
            let n = self.current.len().min(buf.len() - filled);
            self.current.copy_to_slice(&mut buf[filled..filled + n]);
            filled += n;
        }
        Ok(filled)
    }
}

fn is_interruption(error: &StoreError) -> bool {
    matches!(error, StoreError::Ingest(IngestError::Read { .. }))
}

/// How long to wait after a failure; `None` to give up.
pub(super) fn wait(retry: Retry, failed: u32, failure: &Failure) -> Option<Duration> {
    if !failure.transient {
        return None;
    }
    // Any number will do that differs between processes.
    let jitter = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |now| now.subsec_micros());
    retry.delay(failed, failure.wait, jitter)
}

fn stopped() -> PullError {
    PullError::Stopped {
        reason: "another layer failed".to_owned(),
    }
}

/// Runs what waits for the disk where it holds nobody up.
pub(super) async fn blocking<T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<Result<T, PullError>, PullError>
where
    T: Send + 'static,
    E: Into<PullError> + Send + 'static,
{
    Ok(joined(tokio::task::spawn_blocking(work).await)?.map_err(Into::into))
}

pub(super) fn joined<T>(result: Result<T, tokio::task::JoinError>) -> Result<T, PullError> {
    result.map_err(|error| PullError::Stopped {
        reason: error.to_string(),
    })
}
