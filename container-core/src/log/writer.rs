//! The way from a container's streams into its log.

use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::event::PollFlags;

use super::LogStream;
use super::behind::Behind;
use super::config::{Format, Limits, Settings, Target};
use super::error::LogError;
use super::files::Files;
use super::journald;
use super::json::Encoder;
use super::local;
use super::piece::{Cutter, Piece, Stamp};
use super::remote::{self, Remote};
use super::syslog::{self, Syslog};

/// Writes a container's log.
#[derive(Debug)]
pub(crate) struct Writer {
    cutters: [Cutter; 2],
    sink: Sink,
}

#[derive(Debug)]
enum Sink {
    Nowhere,
    Disk(Disk),
    Behind(Behind),
    Daemon(Box<Daemon>),
}

/// Messages to a daemon.
#[derive(Debug)]
struct Daemon {
    remote: Remote,
    language: Language,
    /// What `logs` reads.
    cache: Option<Disk>,
    /// Lose what is more, rather than wait.
    most: Option<usize>,
}

/// Records in files.
#[derive(Debug)]
struct Disk {
    files: Files,
    json: Encoder,
    /// Records that are not written yet; between calls an empty buffer.
    out: Vec<u8>,
}

/// How to speak to a daemon.
#[derive(Debug)]
enum Language {
    Syslog {
        syslog: Syslog,
        tag: String,
        host: String,
    },
    Journald(Vec<(String, String)>),
}

impl Disk {
    fn new(dir: &Path, format: Format, limits: Limits, settings: &Settings) -> Self {
        Self {
            files: Files::new(dir, format, limits),
            json: Encoder::new(&settings.attributes),
            out: Vec::new(),
        }
    }

    fn record(&mut self, stream: LogStream, piece: &Piece<'_>) {
        if self.files.is_full(self.out.len()) {
            self.flush();
            self.files.rotate();
        }
        match self.files.format() {
            Format::Json => self.json.record(&mut self.out, stream, piece),
            Format::Local => local::record(&mut self.out, stream, piece),
        }
    }

    fn flush(&mut self) {
        self.files.append(&self.out);
        self.out.clear();
    }
}

impl Writer {
    /// Opens a log in a container's directory. Files are made with the first record; a daemon is
    /// connected to now.
    pub(crate) fn open(settings: &Settings, dir: &Path) -> Result<Self, LogError> {
        let disk = |format, limits| Disk::new(dir, format, limits, settings);
        let (remote, language, cache) = match &settings.target {
            Target::None => return Ok(Self::on(Sink::Nowhere)),
            Target::JsonFile(_) | Target::Local(_) if settings.non_blocking.is_some() => {
                return Ok(Self::on(Sink::Behind(Behind::new(settings, dir))));
            }
            Target::JsonFile(limits) => {
                return Ok(Self::on(Sink::Disk(disk(Format::Json, *limits))));
            }
            Target::Local(limits) => {
                return Ok(Self::on(Sink::Disk(disk(Format::Local, *limits))));
            }
            Target::Syslog { syslog, tag, cache } => (
                Remote::connect(&syslog.address)?,
                Language::Syslog {
                    syslog: syslog.clone(),
                    tag: tag.clone(),
                    host: rustix::system::uname()
                        .nodename()
                        .to_string_lossy()
                        .into_owned(),
                },
                cache,
            ),
            Target::Journald { fields, cache } => (
                Remote::journald(Path::new(journald::SOCKET))?,
                Language::Journald(fields.clone()),
                cache,
            ),
        };
        Ok(Self::on(Sink::Daemon(Box::new(Daemon {
            remote,
            language,
            cache: cache.map(|limits| disk(Format::Local, limits)),
            most: settings.non_blocking,
        }))))
    }

    fn on(sink: Sink) -> Self {
        Self {
            cutters: Default::default(),
            sink,
        }
    }

    /// Logs what was read from a stream.
    pub(crate) fn write(&mut self, stream: LogStream, bytes: &[u8], now: Stamp) {
        let cutter = &mut self.cutters[stream.index()];
        match &mut self.sink {
            Sink::Nowhere => {}
            Sink::Behind(behind) => behind.write(stream, bytes, now),
            sink => {
                cutter.feed(bytes, now, |piece| sink.record(stream, piece));
                sink.flush();
            }
        }
    }

    /// The container has ended: logs what has no newline at its end, and sees it through.
    pub(crate) fn finish(&mut self, now: Stamp) {
        for stream in [LogStream::Stdout, LogStream::Stderr] {
            let sink = &mut self.sink;
            self.cutters[stream.index()].finish(now, |piece| sink.record(stream, piece));
        }
        self.sink.flush();
        match &mut self.sink {
            Sink::Nowhere => {}
            Sink::Disk(disk) => disk.files.finish(),
            Sink::Behind(behind) => behind.finish(),
            Sink::Daemon(daemon) => {
                daemon.remote.finish();
                if let Some(disk) = &mut daemon.cache {
                    disk.files.finish();
                }
            }
        }
    }

    /// Whether no more should be written for now.
    pub(crate) fn is_congested(&self) -> bool {
        match &self.sink {
            Sink::Daemon(daemon) => {
                daemon.most.is_none() && daemon.remote.queued() > remote::ENOUGH
            }
            _ => false,
        }
    }

    /// What it waits for.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let (write, disk) = match &self.sink {
            Sink::Nowhere => (None, None),
            Sink::Disk(disk) => (None, Some(disk)),
            Sink::Behind(behind) => (behind.descriptor(), None),
            Sink::Daemon(daemon) => (daemon.remote.descriptor(), daemon.cache.as_ref()),
        };
        let compression = disk.and_then(|disk| disk.files.descriptor());
        let write = write.map(|fd| (fd, PollFlags::OUT));
        write
            .into_iter()
            .chain(compression.map(|fd| (fd, PollFlags::IN)))
    }

    /// Goes on with what it waited for.
    pub(crate) fn turn(&mut self) {
        match &mut self.sink {
            Sink::Nowhere => {}
            Sink::Disk(disk) => disk.files.turn(),
            Sink::Behind(behind) => behind.turn(),
            Sink::Daemon(daemon) => {
                daemon.remote.turn();
                if let Some(disk) = &mut daemon.cache {
                    disk.files.turn();
                }
            }
        }
    }
}

impl Sink {
    fn record(&mut self, stream: LogStream, piece: &Piece<'_>) {
        match self {
            Self::Nowhere | Self::Behind(_) => {}
            Self::Disk(disk) => disk.record(stream, piece),
            Self::Daemon(daemon) => daemon.record(stream, piece),
        }
    }

    fn flush(&mut self) {
        match self {
            Self::Nowhere | Self::Behind(_) => {}
            Self::Disk(disk) => disk.flush(),
            Self::Daemon(daemon) => {
                if let Some(disk) = &mut daemon.cache {
                    disk.flush();
                }
                daemon.remote.turn();
            }
        }
    }
}

impl Daemon {
    fn record(&mut self, stream: LogStream, piece: &Piece<'_>) {
        if let Some(disk) = &mut self.cache {
            disk.record(stream, piece);
        }
        let message = self.language.message(stream, piece);
        let queued = self.remote.queued() + message.len();
        if self.most.is_none_or(|most| queued <= most) {
            self.remote.push(message);
        }
    }
}

impl Language {
    fn message(&self, stream: LogStream, piece: &Piece<'_>) -> Vec<u8> {
        match self {
            Self::Syslog { syslog, tag, host } => {
                let sender = syslog::Sender {
                    host,
                    tag,
                    pid: std::process::id(),
                };
                syslog.message(&sender, stream, piece.time, piece.bytes)
            }
            Self::Journald(fields) => journald::message(fields, stream, piece),
        }
    }
}
