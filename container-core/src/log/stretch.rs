//! One file of a log, read in chunks and taken apart into records.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::LogLine;
use super::config::Format;
use super::files;
use super::json;
use super::local::{self, Frame};

/// What is read at once.
const CHUNK: usize = 256 << 10;
/// No record is longer: 16 KiB of text, escaped, and 64 KiB of names. Longer lines are no records.
const MAX_RECORD: usize = 1 << 20;

/// Where bytes come from.
#[derive(Debug)]
pub(super) enum Source {
    Plain(File),
    Compressed(Box<MultiGzDecoder<BufReader<File>>>),
}

impl Source {
    /// Opens a full file, however it is there. None when it was removed.
    pub(super) fn open(dir: &Path, format: Format, number: u64) -> io::Result<Option<Self>> {
        // In this order: it may be compressed between the two looks, never the other way round.
        match File::open(files::full(dir, format, number)) {
            Ok(file) => return Ok(Some(Self::Plain(file))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        match File::open(files::compressed(dir, format, number)) {
            Ok(file) => {
                let decoder = MultiGzDecoder::new(BufReader::new(file));
                Ok(Some(Self::Compressed(Box::new(decoder))))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Passes over the beginning.
    pub(super) fn skip(&mut self, bytes: u64) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.seek(SeekFrom::Start(bytes)).map(drop),
            // One that is cut off ends where it ends.
            Self::Compressed(file) => {
                _ = io::copy(&mut file.take(bytes), &mut io::sink());
                Ok(())
            }
        }
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.read(buffer),
            // Cut off or garbage: what came before it is good.
            Self::Compressed(file) => file.read(buffer).or_else(|error| {
                tracing::warn!(%error, "a compressed log ends early");
                Ok(0)
            }),
        }
    }
}

/// A file being read.
#[derive(Debug)]
pub(super) struct Stretch {
    source: Source,
    buffer: Vec<u8>,
    /// What of the buffer is not taken yet.
    unread: std::ops::Range<usize>,
    /// Inside a line that is too long.
    skipping: bool,
    /// Garbage without end.
    broken: bool,
}

impl Stretch {
    pub(super) fn new(source: Source) -> Self {
        Self {
            source,
            buffer: Vec::new(),
            unread: 0..0,
            skipping: false,
            broken: false,
        }
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.buffer.capacity()
    }

    pub(super) fn inode(&self) -> io::Result<Option<u64>> {
        match &self.source {
            Source::Plain(file) => Ok(Some(file.metadata()?.ino())),
            Source::Compressed(_) => Ok(None),
        }
    }

    /// Reads on. False at the end, for now.
    pub(super) fn fill(&mut self) -> io::Result<bool> {
        if self.broken {
            return Ok(false);
        }
        self.buffer.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        self.buffer.resize(self.unread.end + CHUNK, 0);
        let read = loop {
            match self.source.read(&mut self.buffer[self.unread.end..]) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        self.unread.end += read;
        if read == 0 {
            self.shrink()?;
            self.buffer.truncate(self.unread.end);
        }
        Ok(read > 0)
    }

    /// A writer whose disk was full takes back the record that it could not write whole.
    fn shrink(&mut self) -> io::Result<()> {
        let Source::Plain(file) = &mut self.source else {
            return Ok(());
        };
        let length = file.metadata()?.len();
        if file.stream_position()? > length {
            file.seek(SeekFrom::Start(length))?;
            self.unread = 0..0;
        }
        Ok(())
    }

    /// The next record in the buffer. What is none is passed over.
    pub(super) fn next(&mut self, format: Format, details: bool) -> Option<LogLine> {
        match format {
            Format::Json => self.next_json(details),
            Format::Local => self.next_local(),
        }
    }

    fn next_json(&mut self, details: bool) -> Option<LogLine> {
        loop {
            let unread = &self.buffer[self.unread.clone()];
            let Some(end) = memchr::memchr(b'\n', unread) else {
                if unread.len() > MAX_RECORD || self.skipping {
                    self.skipping = true;
                    self.unread.start = self.unread.end;
                }
                return None;
            };
            let line = &unread[..end];
            self.unread.start += end + 1;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            match json::parse(line, details) {
                Some(line) => return Some(line),
                None => tracing::debug!("passed over what is no record of a log"),
            }
        }
    }

    fn next_local(&mut self) -> Option<LogLine> {
        while !self.broken {
            match local::frame(&self.buffer[self.unread.clone()]) {
                Frame::Record(length, line) => {
                    self.unread.start += length;
                    if line.is_some() {
                        return line;
                    }
                }
                Frame::Incomplete => return None,
                Frame::Garbage => {
                    tracing::warn!("a log has garbage in it: the rest of its file is passed over");
                    self.broken = true;
                }
            }
        }
        None
    }
}
