//! Unpacking layers inside the user namespace that containers will have, so that owners are
//! right: an ordinary user cannot give files to others, but its namespace's root can.
//!
//! The work is done by a process of ours (see `monitor::entry`), which gets the archive through
//! a pipe.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use container_image::layer::{
    Devices, OverlayXattrs, Owners, UnpackError, UnpackOptions, Unpacker, remove_tree, unpack,
};
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::monitor::job::{Failure, News};
use crate::monitor::spawn::Launcher;
use crate::reap;
use crate::runtime::Fault;
use crate::wire::Channel;

#[derive(Debug, Serialize, Deserialize)]
enum Task {
    /// Unpack the archive that comes through the pipe beside this.
    Unpack {
        dir: PathBuf,
        squash: bool,
    },
    Remove {
        dir: PathBuf,
    },
    /// Tell how many bytes the files below have.
    Measure {
        dir: PathBuf,
    },
}

/// Unpacks with the rights of the root of a user namespace.
pub(crate) struct InUserNamespace {
    launcher: Launcher,
    squash: bool,
}

impl fmt::Debug for InUserNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InUserNamespace")
            .field("squash", &self.squash)
            .finish_non_exhaustive()
    }
}

fn failed(reason: impl ToString) -> UnpackError {
    UnpackError::Worker {
        reason: reason.to_string(),
    }
}

impl InUserNamespace {
    pub(crate) fn new(launcher: Launcher, single_id: bool) -> Self {
        Self {
            launcher,
            squash: single_id,
        }
    }

    /// How many bytes the files of a tree have.
    pub(crate) fn measure(&self, dir: &Path) -> Result<u64, UnpackError> {
        let task = Task::Measure {
            dir: dir.to_owned(),
        };
        let (child, channel) = self.start(&task, None)?;
        let answered = answer(&channel);
        child.wait();
        answered
    }

    fn start(
        &self,
        task: &Task,
        fd: Option<&OwnedFd>,
    ) -> Result<(reap::Guard, Channel), UnpackError> {
        let (child, channel) = self
            .launcher
            .spawn(crate::monitor::UNPACK, None)
            .map_err(failed)?;
        let child = reap::Guard::new(child);
        let fds: Vec<_> = fd.into_iter().map(AsFd::as_fd).collect();
        // If it has failed already, it has said why, which is read later.
        _ = channel.send(task, &fds);
        Ok((child, channel))
    }
}

/// The worker's answer: for a measurement the number of bytes.
fn answer(channel: &Channel) -> Result<u64, UnpackError> {
    match channel.receive::<News>().map_err(failed)? {
        Some((News::Done, _)) => Ok(0),
        Some((News::Bytes(bytes), _)) => Ok(bytes),
        Some((
            News::Failed(Failure::Io {
                path,
                reason,
                errno,
                ..
            }),
            _,
        )) => {
            // Whoever delivers the archive stops at once when the disk is full.
            let source =
                errno.map_or_else(|| io::Error::other(reason), io::Error::from_raw_os_error);
            Err(UnpackError::Io {
                action: "unpack",
                path,
                source,
            })
        }
        Some((News::Failed(Failure::Fault(Fault::Setup { step, reason })), _)) => {
            Err(failed(format!("cannot {step}: {reason}")))
        }
        Some((other, _)) => Err(failed(format!("{other:?}"))),
        None => Err(failed("it ended without a word")),
    }
}

impl Unpacker for InUserNamespace {
    fn unpack(&self, tar: &mut (dyn Read + Send), dir: &Path) -> Result<(), UnpackError> {
        let (theirs, ours) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(failed)?;
        // The kernel's usual 64 KiB mean a switch of processes every 64 KiB.
        _ = rustix::pipe::fcntl_setpipe_size(&ours, 1 << 20);
        let task = Task::Unpack {
            dir: dir.to_owned(),
            squash: self.squash,
        };
        let (child, channel) = self.start(&task, Some(&theirs))?;
        drop(theirs);
        let fed = feed(tar, File::from(ours));
        let answered = answer(&channel);
        child.wait();
        match (fed, answered) {
            (Fed::SourceFailed(e), _) => Err(UnpackError::Read(e)),
            (_, answered) => answered.map(drop),
        }
    }

    fn remove(&self, dir: &Path) -> Result<(), UnpackError> {
        let (child, channel) = self.start(
            &Task::Remove {
                dir: dir.to_owned(),
            },
            None,
        )?;
        let answered = answer(&channel);
        child.wait();
        answered.map(drop)
    }
}

enum Fed {
    SourceFailed(io::Error),
    /// All of it, or as much as the worker wanted: it says which.
    Whole,
}

fn feed(tar: &mut dyn Read, mut pipe: File) -> Fed {
    let mut buffer = vec![0; 256 << 10];
    let mut wanted = true;
    loop {
        match tar.read(&mut buffer) {
            Ok(0) => return Fed::Whole,
            // The rest is still read: whoever delivers it counts and hashes.
            Ok(n) if wanted => wanted = pipe.write_all(&buffer[..n]).is_ok(),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Fed::SourceFailed(e),
        }
    }
}

/// The worker's side: does one task and says how it went.
pub(crate) fn serve(channel: &Channel) -> io::Result<()> {
    let Some((task, fds)) = channel.receive::<Task>()? else {
        return Ok(());
    };
    let done = match task {
        Task::Remove { dir } => remove_tree(&dir).map(|()| News::Done),
        Task::Measure { dir } => measure_here(&dir).map(News::Bytes),
        Task::Unpack { dir, squash } => match fds.into_iter().next() {
            Some(pipe) => unpack_here(&mut File::from(pipe), &dir, squash).map(|()| News::Done),
            None => Err(failed("no archive came")),
        },
    };
    let failure = match done {
        Ok(news) => return channel.send(&news, &[]),
        Err(UnpackError::Io {
            action,
            path,
            source,
        }) => Failure::Io {
            action: action.to_owned(),
            path,
            reason: source.to_string(),
            errno: source.raw_os_error(),
        },
        Err(e) => Fault::Setup {
            step: "unpack".into(),
            reason: e.to_string(),
        }
        .into(),
    };
    channel.send(&News::Failed(failure), &[])
}

/// How many bytes the files of a tree have, as far as this process may look.
pub(crate) fn measure_here(dir: &Path) -> Result<u64, UnpackError> {
    let top = open(dir, "open")?;
    container_image::layer::size(top.as_fd()).map_err(failed)
}

fn open(dir: &Path, action: &'static str) -> Result<OwnedFd, UnpackError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(dir, flags, Mode::empty()).map_err(|e| UnpackError::Io {
        action,
        path: dir.to_owned(),
        source: e.into(),
    })
}

fn unpack_here(tar: &mut File, dir: &Path, squash: bool) -> Result<(), UnpackError> {
    let root = open(dir, "open layer directory")?;
    let options = UnpackOptions {
        overlay_xattrs: OverlayXattrs::User,
        owners: if squash { Owners::Squash } else { Owners::Keep },
        devices: Devices::Skip,
    };
    unpack(tar, root.as_fd(), &options)
}
