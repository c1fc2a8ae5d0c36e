//! A container's log: one JSON object a line, as Docker's json-file driver writes it:
//! `{"log":"text\n","stream":"stdout","time":"2026-01-02T03:04:05.000000006Z"}`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

pub(crate) const FILE: &str = "log.json";
/// Longer lines are split, as Docker does.
const MAX_LINE: usize = 16 << 10;

#[derive(Debug, Serialize, Deserialize)]
struct Entry<'a> {
    log: std::borrow::Cow<'a, str>,
    stream: &'a str,
    time: String,
}

/// What a container wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Logs {
    /// To standard output.
    pub stdout: Vec<u8>,
    /// To standard error.
    pub stderr: Vec<u8>,
}

/// Reads a container's log.
pub(crate) fn read(dir: &Path) -> Result<Logs> {
    let path = dir.join(FILE);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound && dir.exists() => {
            return Ok(Logs::default());
        }
        Err(e) => return Err(Error::io("read the log", path)(e)),
    };
    let mut logs = Logs::default();
    for line in BufReader::new(file).split(b'\n') {
        let line = line.map_err(Error::io("read the log", &path))?;
        // The last line may be in the making.
        let Ok(entry) = serde_json::from_slice::<Entry<'_>>(&line) else {
            continue;
        };
        let stream = if entry.stream == "stderr" {
            &mut logs.stderr
        } else {
            &mut logs.stdout
        };
        stream.extend_from_slice(entry.log.as_bytes());
    }
    Ok(logs)
}

/// Writes one stream's part of a log.
#[derive(Debug)]
pub(crate) struct Writer {
    stream: &'static str,
    partial: Vec<u8>,
}

impl Writer {
    pub(crate) fn new(stream: &'static str) -> Self {
        Self {
            stream,
            partial: Vec::new(),
        }
    }

    /// Takes what was read and writes the lines it completes.
    pub(crate) fn write(&mut self, file: &mut File, mut bytes: &[u8]) -> io::Result<()> {
        let mut out = Vec::new();
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            let (line, rest) = bytes.split_at(end + 1);
            if self.partial.is_empty() {
                self.entry(&mut out, line)?;
            } else {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(line);
                self.entry(&mut out, &whole)?;
            }
            bytes = rest;
        }
        self.partial.extend_from_slice(bytes);
        if self.partial.len() >= MAX_LINE {
            let whole = std::mem::take(&mut self.partial);
            self.entry(&mut out, &whole)?;
        }
        file.write_all(&out)
    }

    /// Writes a last line that has no newline.
    pub(crate) fn finish(&mut self, file: &mut File) -> io::Result<()> {
        let whole = std::mem::take(&mut self.partial);
        let mut out = Vec::new();
        if !whole.is_empty() {
            self.entry(&mut out, &whole)?;
        }
        file.write_all(&out)
    }

    fn entry(&self, out: &mut Vec<u8>, line: &[u8]) -> io::Result<()> {
        for part in line.chunks(MAX_LINE) {
            let log = String::from_utf8_lossy(part);
            serde_json::to_writer(
                &mut *out,
                &Entry {
                    log,
                    stream: self.stream,
                    time: crate::state::now(),
                },
            )?;
            out.push(b'\n');
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back_whole() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = File::create(dir.path().join(FILE)).unwrap();
        let (mut out, mut err) = (Writer::new("stdout"), Writer::new("stderr"));
        out.write(&mut file, b"one\ntw").unwrap();
        err.write(&mut file, b"bad\n").unwrap();
        out.write(&mut file, b"o\nlast \"x\"").unwrap();
        out.finish(&mut file).unwrap();
        err.finish(&mut file).unwrap();
        let logs = read(dir.path()).unwrap();
        assert_eq!(logs.stdout, b"one\ntwo\nlast \"x\"");
        assert_eq!(logs.stderr, b"bad\n");
    }

    #[test]
    fn endless_lines_are_split_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = File::create(dir.path().join(FILE)).unwrap();
        let mut out = Writer::new("stdout");
        for _ in 0..100 {
            out.write(&mut file, &[b'x'; 4096]).unwrap();
            assert!(out.partial.len() < MAX_LINE);
        }
        out.finish(&mut file).unwrap();
        assert_eq!(read(dir.path()).unwrap().stdout.len(), 100 * 4096);
    }
}
