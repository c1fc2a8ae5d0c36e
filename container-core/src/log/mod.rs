//! What a container wrote: `config` checks what was said about logging, `writer` is the monitor's
//! side, `reader` that of everybody who reads.
//!
//! ```text
//! <root>/containers/<id>/
//!     log.json               driver json-file: Docker's records, one a line; made at the first
//!     log.json.7 log.json.8  full ones, the newest has the highest number
//!     log.json.6.gz          compressed: at times both are there, and are the same
//!     log.json.8.gz.new      a compression under way
//!     log.local …            driver local, and what syslog and journald keep for `logs`
//! ```
//!
//! Only the monitor writes here. A number is never given twice while somebody reads, so a reader
//! that has finished one file knows which is the next, whatever was renamed, compressed or removed
//! meanwhile. What is in a file with a number does not change any more.

mod behind;
mod compress;
mod config;
mod error;
mod files;
mod follow;
mod journald;
mod json;
mod local;
mod piece;
mod reader;
mod remote;
mod size;
mod stretch;
mod syslog;
mod tag;
mod tail;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;

use crate::error::{Error, Result};
use crate::request::LogConfig;

pub use error::LogError;
pub use follow::LogReader;

pub(crate) use config::Settings;
pub(crate) use piece::Stamp;
pub(crate) use tag::Subject;
pub(crate) use writer::Writer;

/// What a container wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Logs {
    /// To standard output.
    pub stdout: Vec<u8>,
    /// To standard error.
    pub stderr: Vec<u8>,
}

/// Reads the log of a container as far as it is written.
pub(crate) fn read(dir: &Path, config: &LogConfig) -> Result<Logs> {
    let format = config::Format::of(config)?;
    let mut logs = Logs::default();
    let mut read = || {
        let mut reader = reader::Reader::open(dir, format, LogOptions::new())?;
        let mut lines = Vec::new();
        while reader.read(&mut lines)? {
            lines.drain(..).for_each(|line| logs.add(&line));
        }
        Ok(())
    };
    read().map_err(Error::io("read the log in", dir))?;
    Ok(logs)
}

impl Logs {
    fn add(&mut self, line: &LogLine) {
        let stream = match line.stream {
            LogStream::Stdout => &mut self.stdout,
            LogStream::Stderr => &mut self.stderr,
        };
        stream.extend_from_slice(&line.bytes);
    }
}

/// A stream that is logged. A terminal's is standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl LogStream {
    /// `stdout` or `stderr`
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    pub(crate) fn index(self) -> usize {
        match self {
            Self::Stdout => 0,
            Self::Stderr => 1,
        }
    }

    fn named(name: &str) -> Option<Self> {
        match name {
            "stdout" => Some(Self::Stdout),
            "stderr" => Some(Self::Stderr),
            _ => None,
        }
    }
}

/// A line of a log, or a piece of one: lines longer than 16 KiB come in several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Where it was written to.
    pub stream: LogStream,
    /// When it was read from the container.
    pub time: Timestamp,
    /// The text, with its newline if it has one.
    pub bytes: Vec<u8>,
    /// What the log options `labels`, `env` and `tag` added, when it was asked for.
    pub attributes: BTreeMap<String, String>,
}

/// Which part of a log to read.
///
/// ```
/// # use container_core::LogOptions;
/// let last_errors = LogOptions::new().stdout(false).tail(10);
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct LogOptions {
    stdout: bool,
    stderr: bool,
    follow: bool,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    tail: Option<u64>,
    details: bool,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            stdout: true,
            stderr: true,
            follow: false,
            since: None,
            until: None,
            tail: None,
            details: false,
        }
    }
}

impl LogOptions {
    /// All of it, so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether to read what went to standard output.
    pub fn stdout(mut self, yes: bool) -> Self {
        self.stdout = yes;
        self
    }

    /// Whether to read what went to standard error.
    pub fn stderr(mut self, yes: bool) -> Self {
        self.stderr = yes;
        self
    }

    /// Goes on with what is being written, until the container's end.
    pub fn follow(mut self, yes: bool) -> Self {
        self.follow = yes;
        self
    }

    /// Leaves out what is older.
    pub fn since(mut self, time: impl Into<Option<Timestamp>>) -> Self {
        self.since = time.into();
        self
    }

    /// Ends where it is newer; when following, at that time.
    pub fn until(mut self, time: impl Into<Option<Timestamp>>) -> Self {
        self.until = time.into();
        self
    }

    /// Begins with the last lines only: so many of both streams together, as Docker counts.
    pub fn tail(mut self, lines: impl Into<Option<u64>>) -> Self {
        self.tail = lines.into();
        self
    }

    /// Reads the attributes of each line, too.
    pub fn details(mut self, yes: bool) -> Self {
        self.details = yes;
        self
    }
}
