//! Large buffers that go round between two threads, so that nothing is allocated on the way.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, SendError, SyncSender, sync_channel};

/// Bytes of a buffer.
const SIZE: usize = 512 * 1024;
/// Buffers on the way: enough to bridge a slow directory or a slow packet.
const DEPTH: usize = 4;

/// Bytes on their way.
pub(super) struct Buffer {
    bytes: Box<[u8]>,
    length: usize,
}

impl Buffer {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; SIZE].into_boxed_slice(),
            length: 0,
        }
    }

    pub(super) fn filled(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Takes from `source` until the buffer is full or the stream ends; tells whether it ended.
    pub(super) fn fill(&mut self, source: &mut (impl Read + ?Sized)) -> io::Result<bool> {
        self.length = 0;
        while self.length < SIZE {
            match source.read(&mut self.bytes[self.length..]) {
                Ok(0) => return Ok(true),
                Ok(read) => self.length += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }
}

/// A bounded pipe between threads. Dropping the source ends the stream.
pub(super) fn pipe() -> (Source, Sink) {
    let (full, filled) = sync_channel(DEPTH);
    let (empty, emptied) = sync_channel(DEPTH);
    let source = Source {
        full,
        emptied,
        made: Cell::new(0),
    };
    let sink = Sink {
        filled,
        empty,
        current: None,
        at: 0,
    };
    (source, sink)
}

/// The writing end.
pub(super) struct Source {
    full: SyncSender<Buffer>,
    emptied: Receiver<Buffer>,
    made: Cell<usize>,
}

impl Source {
    /// An empty buffer, when one is free; `None` when no one reads any more.
    pub(super) fn buffer(&self) -> Option<Buffer> {
        if self.made.get() < DEPTH {
            // A small layer needs one, not all of them.
            self.made.set(self.made.get() + 1);
            return Some(Buffer::new());
        }
        self.emptied.recv().ok()
    }

    /// Hands a buffer over; gives it back when no one reads any more.
    pub(super) fn send(&self, buffer: Buffer) -> Result<(), Buffer> {
        self.full.send(buffer).map_err(|SendError(buffer)| buffer)
    }
}

/// The reading end.
pub(super) struct Sink {
    filled: Receiver<Buffer>,
    empty: SyncSender<Buffer>,
    current: Option<Buffer>,
    at: usize,
}

impl BufRead for Sink {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        // An empty buffer may come last.
        while self.current.as_ref().is_none_or(|b| b.length == self.at) {
            if let Some(done) = self.current.take() {
                // The other end may have ended the stream already.
                let _ = self.empty.send(done);
            }
            self.at = 0;
            match self.filled.recv() {
                Ok(next) => self.current = Some(next),
                Err(_) => return Ok(&[]),
            }
        }
        let current = self.current.as_ref().map_or(&[][..], Buffer::filled);
        Ok(&current[self.at..])
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount;
    }
}

impl Read for Sink {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(buffer.len());
        buffer[..length].copy_from_slice(&available[..length]);
        self.consume(length);
        Ok(length)
    }
}
