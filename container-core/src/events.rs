//! What has happened: a journal that everybody appends to and anybody can follow.
//!
//! ```text
//! <run>/events         one JSON object a line
//! <run>/events.1       what came before, once that had grown too long
//! ```
//!
//! There is no daemon to tell: whoever does something appends a line (one write to a file opened
//! for appending is not interleaved with others, open(2)), and whoever follows watches the file.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::error::{Error, Result};
use crate::state::Record;

const FILE: &str = "events";
const BEFORE: &str = "events.1";
/// A journal that has grown to this many bytes is begun anew.
const LONG: u64 = 1 << 20;

/// Something that has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// To what kind of thing.
    pub kind: EventKind,
    /// Docker's word for what: `create`, `start`, `die`, …
    pub action: String,
    /// The thing: a container's id, an image's or volume's name.
    pub id: String,
    /// More about it: a container's name, image and labels, its exit code, the signal.
    pub attributes: BTreeMap<String, String>,
    /// When.
    pub time: Timestamp,
}

/// What kind of thing an [`Event`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum EventKind {
    /// A container.
    Container,
    /// An image.
    Image,
    /// A volume.
    Volume,
}

/// The writing end of the journal. Nothing that is done fails because it cannot be written down.
#[derive(Debug)]
pub(crate) struct Journal {
    run: PathBuf,
    file: Option<File>,
}

impl Journal {
    pub(crate) fn new(run: &Path) -> Self {
        Self {
            run: run.to_owned(),
            file: None,
        }
    }

    /// Where it lies.
    pub(crate) fn run_root(&self) -> &Path {
        &self.run
    }

    /// Something has happened to a container.
    pub(crate) fn container(&mut self, record: &Record, action: &str, more: &[(&str, String)]) {
        let mut attributes = record.request.labels.clone();
        attributes.insert("image".into(), record.request.image.clone());
        attributes.insert("name".into(), record.name.clone());
        for (name, value) in more {
            attributes.insert((*name).to_owned(), value.clone());
        }
        self.append(&Event {
            kind: EventKind::Container,
            action: action.to_owned(),
            id: record.id.clone(),
            attributes,
            time: Timestamp::now(),
        });
    }

    /// Something has happened to a volume.
    pub(crate) fn volume(&mut self, name: &str, action: &str) {
        self.other(EventKind::Volume, name, name, action);
    }

    /// Something has happened to an image, by its id or, where that is what counts, by its name.
    pub(crate) fn image(&mut self, id: &str, name: &str, action: &str) {
        self.other(EventKind::Image, id, name, action);
    }

    fn other(&mut self, kind: EventKind, id: &str, name: &str, action: &str) {
        self.append(&Event {
            kind,
            action: action.to_owned(),
            id: id.to_owned(),
            attributes: BTreeMap::from([("name".to_owned(), name.to_owned())]),
            time: Timestamp::now(),
        });
    }

    fn append(&mut self, event: &Event) {
        if let Err(error) = self.try_append(event) {
            tracing::debug!(%error, "cannot write down what has happened");
        }
    }

    fn try_append(&mut self, event: &Event) -> io::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(open(&self.run)?),
        };
        file.write_all(&line)?;
        let meta = file.metadata()?;
        if meta.nlink() == 0 {
            self.file = None;
        } else if meta.len() > LONG {
            self.begin_anew()?;
        }
        Ok(())
    }

    /// Puts the journal aside. Its lock is held, so that only one does it.
    fn begin_anew(&mut self) -> io::Result<()> {
        let Some(file) = self.file.take() else {
            return Ok(());
        };
        let path = self.run.join(FILE);
        file.lock()?;
        if fs::metadata(&path).is_ok_and(|there| is_same(&there, &file)) {
            fs::rename(&path, self.run.join(BEFORE))?;
        }
        Ok(())
    }
}

fn open(run: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(run.join(FILE))
}

fn is_same(there: &fs::Metadata, file: &File) -> bool {
    file.metadata()
        .is_ok_and(|ours| (ours.dev(), ours.ino()) == (there.dev(), there.ino()))
}

/// Events as they happen. Dropping it ends the watching.
#[derive(Debug)]
pub struct Events {
    events: mpsc::Receiver<Result<Event>>,
    _end: OwnedFd,
}

impl Events {
    /// The next event; waits for it. `None` once the end asked for has come.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        self.events.recv().await.transpose()
    }
}

/// Follows the journal: from `since` where it is given, else from now; to `until`.
pub(crate) fn follow(
    run: &Path,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
) -> Result<Events> {
    let fail = |e| Error::io("follow the events in", run)(e);
    let (ended, end) =
        pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).map_err(|e| fail(e.into()))?;
    let mut reader = Reader::open(run, since.is_some()).map_err(fail)?;
    let (sender, events) = mpsc::channel(64);
    let dir = run.to_owned();
    let watch = move || {
        let wanted = |event: &Event| since.is_none_or(|since| event.time >= since);
        let result = reader.read_until(until, &ended, |event| {
            !wanted(&event) || sender.blocking_send(Ok(event)).is_ok()
        });
        if let Err(e) = result {
            _ = sender.blocking_send(Err(Error::io("follow the events in", dir)(e)));
        }
    };
    std::thread::Builder::new()
        .name("container-events".into())
        .spawn(move || {
            // The embedder's signal handlers are none of this thread's business.
            _ = nix::sys::signal::SigSet::all().thread_block();
            watch();
        })
        .map_err(fail)?;
    Ok(Events { events, _end: end })
}

/// Reads the journal, the next one when that is put aside, and waits for more.
struct Reader {
    run: PathBuf,
    watch: OwnedFd,
    file: File,
    /// The beginning of a line.
    rest: Vec<u8>,
}

impl Reader {
    fn open(run: &Path, from_the_beginning: bool) -> io::Result<Self> {
        // The watch first: what happens from now on is seen in one way or the other.
        let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        inotify::add_watch(&watch, run, WatchFlags::MODIFY | WatchFlags::CREATE)?;
        let mut rest = Vec::new();
        // There has to be one to read.
        drop(open(run)?);
        let mut file = File::open(run.join(FILE))?;
        if from_the_beginning {
            rest = fs::read(run.join(BEFORE)).unwrap_or_default();
        } else {
            file.seek(SeekFrom::End(0))?;
        }
        Ok(Self {
            run: run.to_owned(),
            watch,
            file,
            rest,
        })
    }

    /// Hands events to `give` until that is false, `until` has come or `ended` is closed.
    fn read_until(
        &mut self,
        until: Option<Timestamp>,
        ended: &OwnedFd,
        mut give: impl FnMut(Event) -> bool,
    ) -> io::Result<()> {
        loop {
            let put_aside =
                !fs::metadata(self.run.join(FILE)).is_ok_and(|there| is_same(&there, &self.file));
            self.file.read_to_end(&mut self.rest)?;
            let mut lines = 0;
            for line in self.rest.split_inclusive(|b| *b == b'\n') {
                if !line.ends_with(b"\n") {
                    break;
                }
                lines += line.len();
                // A line that is none of ours is passed over.
                let Ok(event) = serde_json::from_slice::<Event>(line) else {
                    continue;
                };
                if until.is_some_and(|until| event.time > until) || !give(event) {
                    return Ok(());
                }
            }
            self.rest.drain(..lines);
            if put_aside {
                drop(open(&self.run)?);
                self.file = File::open(self.run.join(FILE))?;
                continue;
            }
            if !self.wait(until, ended)? {
                return Ok(());
            }
        }
    }

    /// False when it is time to end.
    fn wait(&self, until: Option<Timestamp>, ended: &OwnedFd) -> io::Result<bool> {
        let left = until.map(|until| until.duration_since(Timestamp::now()));
        let left = left.map(|left| Duration::try_from(left).unwrap_or_default());
        let timeout = left.map(|left| rustix::event::Timespec::try_from(left).unwrap_or_default());
        let mut fds = [
            PollFd::new(&self.watch, PollFlags::IN),
            PollFd::new(ended, PollFlags::IN),
        ];
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Err(rustix::io::Errno::INTR) => return Ok(true),
            Err(e) => return Err(e.into()),
            Ok(0) => return Ok(false),
            Ok(_) if !fds[1].revents().is_empty() => return Ok(false),
            Ok(_) => {}
        }
        let mut buffer = [0; 4096];
        while rustix::io::read(&self.watch, &mut buffer).is_ok_and(|n| n > 0) {}
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn past_and_present_across_a_change_of_files() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::new(dir.path());
        let start = Timestamp::now();
        let write = |journal: &mut Journal, numbers: std::ops::Range<u32>| {
            for n in numbers {
                journal.volume(&n.to_string(), &"x".repeat(1000));
            }
        };
        write(&mut journal, 0..700);
        let mut all = follow(dir.path(), Some(start), None).unwrap();
        let mut new = follow(dir.path(), None, None).unwrap();
        let second = std::thread::spawn(move || write(&mut journal, 700..1500));
        for n in 0..1500 {
            assert_eq!(all.next().await.unwrap().unwrap().id, n.to_string());
        }
        for n in 700..1500 {
            assert_eq!(new.next().await.unwrap().unwrap().id, n.to_string());
        }
        second.join().unwrap();
        assert!(dir.path().join(BEFORE).exists());
    }

    #[tokio::test]
    async fn ends_when_told() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::new(dir.path());
        journal.image("busybox", "busybox", "pull");
        let soon = Timestamp::now() + Duration::from_millis(50);
        let mut events = follow(dir.path(), Some(Timestamp::UNIX_EPOCH), Some(soon)).unwrap();
        assert_eq!(events.next().await.unwrap().unwrap().action, "pull");
        assert!(events.next().await.unwrap().is_none());
    }
}
