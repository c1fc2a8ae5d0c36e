//! The files of a log, from the side that writes them.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::compress::{self, Compression};
use super::config::{Format, Limits};
use super::local;

/// A log on disk, made at its first record.
#[derive(Debug)]
pub(super) struct Files {
    dir: PathBuf,
    format: Format,
    limits: Limits,
    current: Option<Current>,
    /// The full ones, oldest first.
    full: VecDeque<u64>,
    next: u64,
    compression: Option<Compression>,
}

#[derive(Debug)]
struct Current {
    file: File,
    size: u64,
}

/// The path of a full file.
pub(super) fn full(dir: &Path, format: Format, number: u64) -> PathBuf {
    dir.join(format!("{}.{number}", format.file()))
}

/// The path of a full file, compressed.
pub(super) fn compressed(dir: &Path, format: Format, number: u64) -> PathBuf {
    dir.join(format!("{}.{number}.gz", format.file()))
}

/// The numbers of the full files of a log, oldest first.
pub(super) fn numbers(dir: &Path, format: Format) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let number: Option<u64> = name.to_str().and_then(|name| {
            let number = name.strip_prefix(format.file())?.strip_prefix('.')?;
            number.strip_suffix(".gz").unwrap_or(number).parse().ok()
        });
        numbers.extend(number);
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

impl Files {
    pub(super) fn new(dir: &Path, format: Format, limits: Limits) -> Self {
        Self {
            dir: dir.to_owned(),
            format,
            limits,
            current: None,
            full: VecDeque::new(),
            next: 1,
            compression: None,
        }
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// Writes whole records. What cannot be written (the disk is full) is lost: a log must not
    /// stop its container.
    pub(super) fn append(&mut self, records: &[u8]) {
        if records.is_empty() {
            return;
        }
        let Ok(current) = self.current() else { return };
        match current.file.write_all(records) {
            Ok(()) => current.size += records.len() as u64,
            // What a reader would take for the beginning of the next record goes again.
            Err(_) => _ = current.file.set_len(current.size),
        }
    }

    /// Whether a new file is due before the next record, after `pending` more bytes.
    pub(super) fn is_full(&mut self, pending: usize) -> bool {
        let Some(limit) = self.limits.size else {
            return false;
        };
        self.current()
            .is_ok_and(|current| current.size + pending as u64 >= limit)
    }

    /// Begins a new file.
    pub(super) fn rotate(&mut self) {
        let path = self.dir.join(self.format.file());
        let done = if self.limits.files < 2 {
            fs::remove_file(&path)
        } else {
            let number = self.next;
            fs::rename(&path, full(&self.dir, self.format, number)).inspect(|()| {
                self.next += 1;
                self.full.push_back(number);
            })
        };
        if done.is_err() {
            // A file that cannot be put aside is written on, rather than tried again at every line.
            self.limits.size = None;
            return;
        }
        self.current = None;
        self.prune();
        self.compress();
    }

    fn prune(&mut self) {
        while self.full.len() as u64 >= u64::from(self.limits.files) {
            let Some(oldest) = self.full.pop_front() else {
                return;
            };
            // One of the two is there.
            _ = fs::remove_file(full(&self.dir, self.format, oldest));
            _ = fs::remove_file(compressed(&self.dir, self.format, oldest));
        }
    }

    fn compress(&mut self) {
        if !self.limits.compress || self.compression.is_some() {
            return;
        }
        // The newest: the others are nearer to their end.
        let Some(number) = self.full.back().copied() else {
            return;
        };
        let path = full(&self.dir, self.format, number);
        if path.exists() {
            self.compression = compress::start(path, number).ok();
        }
    }

    /// What becomes readable when a compression is done.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.compression.as_ref().map(Compression::descriptor)
    }

    /// Puts a compressed file in its place, when it is done.
    pub(super) fn turn(&mut self) {
        let Some(compression) = &mut self.compression else {
            return;
        };
        let Some(success) = compression.done() else {
            return;
        };
        let number = compression.number;
        let place = compressed(&self.dir, self.format, number);
        // It may have been removed meanwhile.
        if success && self.full.contains(&number) {
            if fs::rename(compression.output(), place).is_ok() {
                _ = fs::remove_file(full(&self.dir, self.format, number));
            }
        } else {
            _ = fs::remove_file(compression.output());
        }
        self.compression = None;
        if success {
            self.compress();
        }
    }

    /// No more is written for now. A compression under way is given up.
    pub(super) fn finish(&mut self) {
        self.turn();
        self.compression = None;
        self.current = None;
    }

    fn current(&mut self) -> io::Result<&mut Current> {
        match &mut self.current {
            Some(_) => {}
            none => {
                let path = self.dir.join(self.format.file());
                let file = OpenOptions::new()
                    .read(true)
                    .append(true)
                    .create(true)
                    .mode(0o640)
                    .open(&path)?;
                let size = mend(&file, self.format)?;
                *none = Some(Current { file, size });
                if self.limits.size.is_some() {
                    self.full = numbers(&self.dir, self.format)?.into();
                    let newest = self.full.back().copied().unwrap_or(0);
                    self.next = self.next.max(newest.saturating_add(1));
                    compress::clear(&self.dir, self.format);
                    self.prune();
                }
            }
        }
        self.current
            .as_mut()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// Makes a log end with a whole record: its last writer may have been killed. Returns its size.
fn mend(file: &File, format: Format) -> io::Result<u64> {
    let size = file.metadata()?.len();
    if size == 0 {
        return Ok(0);
    }
    match format {
        Format::Json => {
            let mut last = [0];
            file.read_exact_at(&mut last, size - 1)?;
            if last == *b"\n" {
                return Ok(size);
            }
            (&*file).write_all(b"\n")?;
            Ok(size + 1)
        }
        Format::Local => {
            let frame = local::LENGTH as u64;
            let length_at = |at: u64| -> io::Result<Option<u64>> {
                let mut bytes = [0; local::LENGTH];
                file.read_exact_at(&mut bytes, at)?;
                Ok(local::length(&bytes).map(|length| length as u64))
            };
            if size >= 2 * frame
                && let Some(length) = length_at(size - frame)?
                && let Some(start) = size.checked_sub(length + 2 * frame)
                && length_at(start)? == Some(length)
            {
                return Ok(size);
            }
            let mut end = 0;
            while end + 2 * frame <= size
                && let Some(length) = length_at(end)?
                && end + length + 2 * frame <= size
                && length_at(end + frame + length)? == Some(length)
            {
                end += length + 2 * frame;
            }
            file.set_len(end)?;
            Ok(end)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(size: u64, files: u32, compress: bool) -> Limits {
        Limits {
            size: Some(size),
            files,
            compress,
        }
    }

    fn listing(dir: &Path) -> Vec<String> {
        let names = fs::read_dir(dir).unwrap();
        let mut names: Vec<_> = names
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn fill(files: &mut Files, records: u32) {
        for number in 0..records {
            if files.is_full(0) {
                files.rotate();
            }
            files.append(format!("{number:09}\n").as_bytes());
        }
    }

    #[test]
    fn a_log_without_a_record_has_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = Files::new(dir.path(), Format::Json, limits(100, 3, false));
        files.append(b"");
        files.finish();
        assert!(listing(dir.path()).is_empty());
    }

    #[test]
    fn as_many_files_are_kept_as_were_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = Files::new(dir.path(), Format::Json, limits(100, 3, false));
        fill(&mut files, 55);
        assert_eq!(
            listing(dir.path()),
            ["log.json", "log.json.4", "log.json.5"]
        );
        let read = |name| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(read("log.json").len(), 50);
        assert_eq!(read("log.json.5").len(), 100);
        assert!(read("log.json.4").starts_with("000000030\n"));
        // The next writer goes on where this one stopped.
        let mut files = Files::new(dir.path(), Format::Json, limits(100, 2, false));
        fill(&mut files, 6);
        assert_eq!(listing(dir.path()), ["log.json", "log.json.6"]);
        let mut files = Files::new(dir.path(), Format::Json, limits(100, 1, false));
        fill(&mut files, 15);
        assert_eq!(listing(dir.path()), ["log.json"]);
        assert_eq!(read("log.json").len(), 60);
    }

    #[test]
    fn what_a_killed_writer_left_is_mended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.json");
        fs::write(&path, "whole\ntor").unwrap();
        Files::new(dir.path(), Format::Json, limits(100, 1, false)).append(b"next\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole\ntor\nnext\n");

        let record = b"\0\0\0\x02ab\0\0\0\x02";
        let path = dir.path().join("log.local");
        let append = || Files::new(dir.path(), Format::Local, limits(100, 1, false)).append(record);
        append();
        append();
        for torn in 1..record.len() {
            fs::write(&path, [&record.repeat(2), &record[..torn]].concat()).unwrap();
            append();
            let whole = record.repeat(3);
            assert_eq!(fs::read(&path).unwrap(), whole, "{torn}");
        }
        fs::write(&path, b"\xff\xff\xff\xffgarbage").unwrap();
        append();
        assert_eq!(fs::read(&path).unwrap(), record);
    }
}
