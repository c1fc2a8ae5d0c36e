//! Reading a log from an async program, and waiting for more.

use std::collections::VecDeque;
use std::future;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;

use super::config::Format;
use super::reader::Reader;
use super::{LogLine, LogOptions, Logs};
use crate::error::{Error, Result};
use crate::request::LogConfig;

/// A log being read. Made by [`Container::logs`](crate::Container::logs).
#[derive(Debug)]
pub struct LogReader {
    dir: PathBuf,
    /// None while it is away, reading.
    reader: Option<Box<Reader>>,
    reading: Option<JoinHandle<Batch>>,
    lines: VecDeque<LogLine>,
    until: Option<Timestamp>,
    watch: Option<Watch>,
}

type Batch = (Box<Reader>, Vec<LogLine>, io::Result<bool>);

/// What tells that a log goes on.
#[derive(Debug)]
struct Watch {
    changes: OwnedFd,
    /// Readable when the container's monitor has ended.
    monitor: OwnedFd,
}

impl LogReader {
    /// Opens the log of a container. `monitor` is what tells of its end, when it runs.
    pub(crate) async fn open(
        dir: &Path,
        config: &LogConfig,
        options: LogOptions,
        monitor: Option<OwnedFd>,
    ) -> Result<Self> {
        let format = Format::of(config)?;
        // Before anything is read: what is written after that is heard of.
        let watch = match monitor {
            Some(monitor) if options.follow => {
                Some(Watch::new(dir, monitor).map_err(Error::io("watch the log", dir))?)
            }
            _ => None,
        };
        let until = options.until;
        let owned = dir.to_owned();
        let reader = blocking(move || Reader::open(&owned, format, options)).await;
        let reader = reader.map_err(Error::io("read the log", dir))?;
        Ok(Self {
            dir: dir.to_owned(),
            reader: Some(Box::new(reader)),
            reading: None,
            lines: VecDeque::new(),
            until,
            watch,
        })
    }

    /// The next line; when following, waits for it. None at the end of the log, and when following
    /// at the end of the container. Loses nothing when it is not waited for to the end.
    ///
    /// # Errors
    /// A file cannot be read.
    pub async fn next(&mut self) -> Result<Option<LogLine>> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Ok(Some(line));
            }
            if self.batch().await? {
                continue;
            }
            if self.reader.as_ref().is_none_or(|reader| reader.has_ended()) {
                return Ok(None);
            }
            let Some(watch) = &self.watch else {
                return Ok(None);
            };
            let goes_on = watch.wait(self.until).await;
            if !goes_on.map_err(Error::io("watch the log", &self.dir))? {
                // What was written until then is the last.
                self.watch = None;
            }
        }
    }

    /// How many lines are there already: so many times [`next`](Self::next) does not wait.
    pub fn ready(&self) -> usize {
        self.lines.len()
    }

    /// Reads all that is left; when following, until the container's end.
    ///
    /// # Errors
    /// A file cannot be read.
    pub async fn collect(mut self) -> Result<Logs> {
        let mut logs = Logs::default();
        while let Some(line) = self.next().await? {
            logs.add(&line);
        }
        Ok(logs)
    }

    /// Reads some lines. False when there are none for now.
    async fn batch(&mut self) -> Result<bool> {
        let reading = match (&mut self.reading, self.reader.take()) {
            (Some(reading), _) => reading,
            (none, Some(mut reader)) => none.insert(tokio::task::spawn_blocking(move || {
                let mut lines = Vec::new();
                let more = reader.read(&mut lines);
                (reader, lines, more)
            })),
            // A reading failed: there is no more.
            (None, None) => return Ok(false),
        };
        let done = reading.await.map_err(io::Error::other);
        self.reading = None;
        let (reader, lines, more) = done.map_err(Error::io("read the log", &self.dir))?;
        self.lines = lines.into();
        let more = more.map_err(Error::io("read the log", &self.dir))?;
        self.reader = Some(reader);
        Ok(more)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}

/// Waits until a descriptor can be read. It is registered for this wait only: the next may be on
/// another runtime.
#[expect(
    deprecated,
    reason = "what is unsound is about types that lie about their descriptor: this one is borrowed"
)]
async fn readable(fd: &OwnedFd) -> io::Result<()> {
    let fd = AsyncFd::with_interest(fd.as_fd(), Interest::READABLE)?;
    fd.readable().await.map(drop)
}

impl Watch {
    fn new(dir: &Path, monitor: OwnedFd) -> io::Result<Self> {
        let changes = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let what = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO;
        inotify::add_watch(&changes, dir, what)?;
        Ok(Self { changes, monitor })
    }

    /// Waits for a change. False when there will be no more.
    async fn wait(&self, until: Option<Timestamp>) -> io::Result<bool> {
        let time_is_up = async {
            match until.map(|until| until.duration_since(Timestamp::now())) {
                None => future::pending().await,
                // Negative: it is up.
                Some(left) => {
                    tokio::time::sleep(Duration::try_from(left).unwrap_or_default()).await
                }
            }
        };
        tokio::select! {
            biased;
            changed = readable(&self.changes) => {
                changed?;
                // What has changed is seen in the directory itself.
                let mut buffer = [0; 4096];
                while rustix::io::read(&self.changes, &mut buffer).is_ok_and(|n| n > 0) {}
                Ok(true)
            }
            ended = readable(&self.monitor) => ended.map(|()| false),
            () = time_is_up => Ok(false),
        }
    }
}
