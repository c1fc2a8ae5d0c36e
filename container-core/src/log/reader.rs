//! A log from its files, in order.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::config::Format;
use super::files;
use super::stretch::{Source, Stretch};
use super::tail;
use super::{LogLine, LogOptions, LogStream};

/// Descriptors that are held for files whose turn has not come.
const MAX_HELD: usize = 64;

/// A log being read.
#[derive(Debug)]
pub(super) struct Reader {
    dir: PathBuf,
    format: Format,
    options: LogOptions,
    current: Option<Stretch>,
    /// Whether that is the file being written to.
    active: bool,
    queue: VecDeque<Waiting>,
    /// The last number that was seen; the file being written to gets a higher one.
    newest: u64,
    /// `until` is reached.
    ended: bool,
}

/// A file whose turn has not come.
#[derive(Debug)]
enum Waiting {
    Full(u64),
    /// Opened already, as it may be removed before its turn.
    Held(Source),
    Active(File),
}

fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// The files of a log at one moment: the numbers of the full ones, and the one being written to.
fn snapshot(dir: &Path, format: Format) -> io::Result<(Vec<u64>, Option<File>)> {
    let path = dir.join(format.file());
    loop {
        let file = if_there(File::open(&path))?;
        let numbers = if_there(files::numbers(dir, format))?.unwrap_or_default();
        // Put aside while the directory was read, it may be among the numbers as well.
        let same = match (&file, if_there(fs::metadata(&path))?) {
            (Some(file), Some(now)) => file.metadata()?.ino() == now.ino(),
            (None, None) => true,
            _ => false,
        };
        if same {
            return Ok((numbers, file));
        }
    }
}

impl Reader {
    pub(super) fn open(dir: &Path, format: Format, options: LogOptions) -> io::Result<Self> {
        let (mut numbers, mut file) = snapshot(dir, format)?;
        let mut reader = Self {
            dir: dir.to_owned(),
            format,
            current: None,
            active: false,
            queue: VecDeque::new(),
            newest: numbers.last().copied().unwrap_or(0),
            ended: false,
            options,
        };
        if let Some(lines) = reader.options.tail {
            let start = tail::find(dir, format, &numbers, file.as_ref(), lines)?;
            match start.number {
                None => {
                    numbers.clear();
                    if let Some(file) = &mut file {
                        file.seek(SeekFrom::Start(start.offset))?;
                    }
                }
                Some(first) => {
                    numbers.retain(|number| *number > first);
                    if let Some(mut source) = Source::open(dir, format, first)? {
                        source.skip(start.offset)?;
                        reader.current = Some(Stretch::new(source));
                    }
                }
            }
        } else if let Some(since) = reader.options.since {
            numbers.retain(|number| !is_older(dir, format, *number, since));
        }
        reader.append(&numbers, file)?;
        Ok(reader)
    }

    fn append(&mut self, numbers: &[u64], active: Option<File>) -> io::Result<()> {
        for number in numbers {
            let held = if self.options.follow && self.queue.len() < MAX_HELD {
                Source::open(&self.dir, self.format, *number)?.map(Waiting::Held)
            } else {
                Some(Waiting::Full(*number))
            };
            self.queue.extend(held);
        }
        self.queue.extend(active.map(Waiting::Active));
        Ok(())
    }

    /// Appends some lines, a chunk's worth. False when there are no more for now.
    pub(super) fn read(&mut self, lines: &mut Vec<LogLine>) -> io::Result<bool> {
        while !self.ended {
            let Some(stretch) = &mut self.current else {
                match self.queue.pop_front() {
                    None if !self.look()? => return Ok(false),
                    None => {}
                    Some(waiting) => self.begin(waiting)?,
                }
                continue;
            };
            let more = stretch.fill()?;
            let before = lines.len();
            self.take(lines);
            if lines.len() > before {
                return Ok(true);
            }
            if more {
                continue;
            }
            if !self.active || !self.queue.is_empty() {
                self.current = None;
            } else if !self.look()? {
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// Whether there is nothing more to come.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Bytes of memory.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.current.as_ref().map_or(0, Stretch::held)
    }

    fn begin(&mut self, waiting: Waiting) -> io::Result<()> {
        self.active = matches!(waiting, Waiting::Active(_));
        let source = match waiting {
            Waiting::Full(number) => Source::open(&self.dir, self.format, number)?,
            Waiting::Held(source) => Some(source),
            Waiting::Active(file) => Some(Source::Plain(file)),
        };
        // None: removed to make room.
        self.current = source.map(Stretch::new);
        Ok(())
    }

    /// Takes the lines out of the buffer that are wanted.
    fn take(&mut self, lines: &mut Vec<LogLine>) {
        let Some(stretch) = &mut self.current else {
            return;
        };
        while let Some(line) = stretch.next(self.format, self.options.details) {
            if self.options.since.is_some_and(|since| line.time < since) {
                continue;
            }
            if self.options.until.is_some_and(|until| line.time > until) {
                self.ended = true;
                return;
            }
            let wanted = match line.stream {
                LogStream::Stdout => self.options.stdout,
                LogStream::Stderr => self.options.stderr,
            };
            if wanted {
                lines.push(line);
            }
        }
    }

    /// Looks for new files. True when there may be more to read.
    fn look(&mut self) -> io::Result<bool> {
        let (mut numbers, file) = snapshot(&self.dir, self.format)?;
        numbers.retain(|number| *number > self.newest);
        if let Some(stretch) = self.current.as_ref().filter(|_| self.active) {
            if file.as_ref().map(inode).transpose()? == stretch.inode()? {
                return Ok(false);
            }
            // Put aside since, under the number that was due. What was written to it before, and
            // is not read yet, comes first.
            self.active = false;
            let own = self.newest + 1;
            self.newest = numbers.last().copied().unwrap_or(self.newest);
            numbers.retain(|number| *number != own);
            self.append(&numbers, file)?;
            return Ok(true);
        }
        self.newest = numbers.last().copied().unwrap_or(self.newest);
        self.append(&numbers, file)?;
        Ok(!self.queue.is_empty())
    }
}

fn inode(file: &File) -> io::Result<u64> {
    Ok(file.metadata()?.ino())
}

/// Whether a full file was last written to before that time.
fn is_older(dir: &Path, format: Format, number: u64, since: Timestamp) -> bool {
    let paths = [
        files::full(dir, format, number),
        // Its time is a later one: then it is read in vain.
        files::compressed(dir, format, number),
    ];
    let written =
        |path: &PathBuf| Timestamp::try_from(fs::metadata(path).ok()?.modified().ok()?).ok();
    let written = paths.iter().find_map(written);
    written.is_some_and(|written| written < since)
}
