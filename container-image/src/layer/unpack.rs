//! Entries of an archive into files of a directory.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, SeekFrom, Stat};
use rustix::io::Errno;

use super::attributes::{Attributes, Target};
use super::directories::Directories;
use super::name::{self, Name};
use super::root::{self, Root};
use super::stack::is_whiteout;
use super::{Devices, UnpackError, UnpackOptions, io_error, refused};
use crate::tarball::{Entry, Kind, Reader, TarError};
use crate::tree::Mounts;

/// Unpacks the plain tar stream `tar` into the empty directory behind `root`.
///
/// This is the worker of every [`Unpacker`](super::Unpacker): it runs in a process that may be in
/// a user namespace, needs nothing but the two handles, and starts no threads. The stream is read
/// to its end, so that the writing side of a pipe is never cut off. Nothing outside `root` is
/// touched, whatever the archive says; memory is bounded.
///
/// The process needs the rights to do what `options` ask for: CAP_CHOWN, CAP_DAC_OVERRIDE,
/// CAP_FOWNER, CAP_SETFCAP and CAP_FSETID in its user namespace, CAP_MKNOD for [`Devices::Make`].
///
/// # Errors
/// [`UnpackError`]; the directory is then in an undefined state.
pub fn unpack(
    tar: &mut dyn Read,
    root: BorrowedFd<'_>,
    options: &UnpackOptions,
) -> Result<(), UnpackError> {
    unpack_as(Sense::Layer, tar, Root::new(root, Mounts::Leave), options)
}

/// What an archive is taken for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sense {
    /// A layer: its first entries find an empty directory, and names may be marks.
    Layer,
    /// Files for this directory, a clean path, where others are already.
    Files(Vec<u8>),
}

pub(crate) fn unpack_as(
    sense: Sense,
    tar: &mut dyn Read,
    root: Root<'_>,
    options: &UnpackOptions,
) -> Result<(), UnpackError> {
    let mut reader = Reader::new(tar);
    let mut unpacking = Unpacking {
        sense,
        root,
        options: *options,
        own: (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        ),
        directories: Directories::default(),
    };
    let unpacked = unpacking.entries(&mut reader);
    let Unpacking {
        sense,
        root,
        directories,
        own,
        ..
    } = unpacking;
    if sense == Sense::Layer {
        // Of a layer that is not whole nothing is kept.
        unpacked?;
        directories.apply(&root, options, own)?;
    } else {
        let applied = directories.apply(&root, options, own);
        unpacked.and(applied)?;
    }
    reader.drain().map_err(tar_error)
}

pub(super) struct Unpacking<'fd> {
    pub(super) sense: Sense,
    pub(super) root: Root<'fd>,
    options: UnpackOptions,
    /// Whose new files are.
    own: (u32, u32),
    pub(super) directories: Directories,
}

impl Unpacking<'_> {
    fn entries(&mut self, reader: &mut Reader<'_>) -> Result<(), UnpackError> {
        while let Some(entry) = reader.next_entry().map_err(tar_error)? {
            self.entry(entry, reader)?;
        }
        Ok(())
    }

    fn entry(&mut self, mut entry: Entry, reader: &mut Reader<'_>) -> Result<(), UnpackError> {
        let fault = |fault| refused(&entry.path, fault);
        let path = match &self.sense {
            Sense::Layer => match name::classify(&entry.path).map_err(fault)? {
                Name::Entry(path) => path,
                Name::Whiteout(path) => return self.whiteout(&path),
                Name::Opaque(path) => return self.opaque(&path),
                Name::Metadata => return Ok(()),
            },
            Sense::Files(at) => match name::clean(&entry.path).map_err(fault)? {
                // The directory itself is there, and stays as it is.
                path if path.is_empty() && entry.kind == Kind::Dir => return Ok(()),
                path if path.is_empty() => path,
                path => name::clean(&name::join(at, &path)).map_err(fault)?,
            },
        };
        if path.is_empty() && entry.kind != Kind::Dir {
            return Err(refused(&entry.path, "it would replace the root directory"));
        }
        match entry.kind {
            Kind::Dir => self.directory(&path, &mut entry),
            Kind::File => self.file(&path, &entry, reader),
            Kind::Symlink => self.symlink(&path, &entry),
            Kind::HardLink => self.hard_link(&path, &entry),
            Kind::Char | Kind::Block | Kind::Fifo => self.node(&path, &entry),
        }
    }

    fn file(
        &mut self,
        path: &[u8],
        entry: &Entry,
        reader: &mut Reader<'_>,
    ) -> Result<(), UnpackError> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let (_, fd) = self.make("create file", path, |dir, name| {
            rustix::fs::openat(dir, name, flags, mode)
        })?;
        match &entry.sparse {
            None => {
                while let Some(data) = reader.data().map_err(tar_error)? {
                    write(&fd, data, path)?;
                }
            }
            Some(_) => write_sparse(&fd, entry, reader, path)?,
        }
        self.finish(Target::Open(&fd), entry, path)
    }

    fn symlink(&mut self, path: &[u8], entry: &Entry) -> Result<(), UnpackError> {
        let (dir, ()) = self.make("create symbolic link", path, |dir, name| {
            rustix::fs::symlinkat(entry.link.as_slice(), dir, name)
        })?;
        let target = Target::Named(dir.as_fd(), name::split(path).1);
        let attributes = Attributes {
            mode: None,
            ..Attributes::of(entry)
        };
        target.set(&attributes, self.options.owners, self.own, path)?;
        target.set_xattrs(&entry.xattrs, path)
    }

    fn node(&mut self, path: &[u8], entry: &Entry) -> Result<(), UnpackError> {
        let kind = match entry.kind {
            Kind::Char => FileType::CharacterDevice,
            Kind::Block => FileType::BlockDevice,
            _ => FileType::Fifo,
        };
        if self.options.devices == Devices::Skip && kind != FileType::Fifo {
            return Ok(());
        }
        let device = rustix::fs::makedev(entry.device.0, entry.device.1);
        let (dir, ()) = self.make("create node", path, |dir, name| {
            rustix::fs::mknodat(dir, name, kind, Mode::RUSR, device)
        })?;
        self.finish(Target::Named(dir.as_fd(), name::split(path).1), entry, path)
    }

    fn finish(&self, target: Target<'_>, entry: &Entry, path: &[u8]) -> Result<(), UnpackError> {
        target.set(&Attributes::of(entry), self.options.owners, self.own, path)?;
        target.set_xattrs(&entry.xattrs, path)
    }

    fn hard_link(&mut self, path: &[u8], entry: &Entry) -> Result<(), UnpackError> {
        let refuse = |why: &str| {
            let target = entry.link.escape_ascii();
            refused(path, format!("hard link to {target}: {why}"))
        };
        let mut target = name::clean(&entry.link).map_err(refuse)?;
        if let Sense::Files(at) = &self.sense {
            target = name::join(at, &target);
        }
        let (target_parent, target_name) = name::split(&target);
        let missing = "no such file in this layer, which must hold both names";
        let from = match self.root.directory(target_parent) {
            Ok(dir) => dir,
            Err(Errno::NOENT | Errno::NOTDIR) => return Err(refuse(missing)),
            Err(error) => return Err(io_error("open directory of hard link", path, error)),
        };
        let stat = match stat_of(&from, target_name) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                return Err(refuse("it is a directory"));
            }
            Ok(stat) if is_whiteout(&stat) => return Err(refuse(missing)),
            Ok(stat) => stat,
            Err(Errno::NOENT | Errno::NOTDIR) => return Err(refuse(missing)),
            Err(error) => return Err(io_error("examine hard link", path, error)),
        };
        let dir = self.parent(path)?;
        // A link onto itself would remove the file to make room for it.
        if let Ok(known) = stat_of(&dir, name::split(path).1)
            && known.st_ino == stat.st_ino
        {
            return Ok(());
        }
        self.make("create hard link", path, |dir, name| {
            rustix::fs::linkat(&from, target_name, dir, name, AtFlags::empty())
        })?;
        Ok(())
    }

    fn directory(&mut self, path: &[u8], entry: &mut Entry) -> Result<(), UnpackError> {
        let fd = if path.is_empty() {
            self.root.directory(path)
        } else {
            let parent = self.parent(path)?;
            let made = self.make_directory(&parent, path, true)?;
            Ok(made)
        };
        let fd = fd.map_err(|error| io_error("open directory", path, error))?;
        let inode = inode(&fd, path)?;
        let xattrs = std::mem::take(&mut entry.xattrs);
        self.directories
            .set(path, inode, Attributes::of(entry), xattrs)?;
        self.root.remember(path, fd);
        Ok(())
    }

    fn whiteout(&mut self, path: &[u8]) -> Result<(), UnpackError> {
        let parent = self.parent(path)?;
        let name = name::split(path).1;
        match rustix::fs::mknodat(&parent, name, FileType::CharacterDevice, Mode::empty(), 0) {
            Ok(()) => Ok(()),
            // A whiteout hides what is in the layers below, never what is in its own.
            Err(Errno::EXIST) => match root::child(&parent, name, OFlags::PATH) {
                Ok(fd) => self.directories.set_opaque(path, inode(&fd, path)?),
                Err(_) => Ok(()),
            },
            Err(error) => Err(io_error("create whiteout", path, error)),
        }
    }

    fn opaque(&mut self, path: &[u8]) -> Result<(), UnpackError> {
        let fd = self.ensure(path, 0)?;
        self.directories.set_opaque(path, inode(&fd, path)?)
    }
}

fn write(fd: &OwnedFd, mut data: &[u8], path: &[u8]) -> Result<(), UnpackError> {
    while !data.is_empty() {
        match rustix::io::write(fd, data) {
            Ok(written) => data = &data[written..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(io_error("write file", path, error)),
        }
    }
    Ok(())
}

fn write_sparse(
    fd: &OwnedFd,
    entry: &Entry,
    reader: &mut Reader<'_>,
    path: &[u8],
) -> Result<(), UnpackError> {
    let mut segments = entry.sparse.iter().flatten();
    let mut left = 0;
    while let Some(mut data) = reader.data().map_err(tar_error)? {
        while !data.is_empty() {
            if left == 0 {
                // The reader has checked that the map is as long as the data.
                let Some(segment) = segments.next() else {
                    break;
                };
                left = segment.length;
                rustix::fs::seek(fd, SeekFrom::Start(segment.offset))
                    .map_err(|error| io_error("write file", path, error))?;
                continue;
            }
            let length = usize::try_from(left).map_or(data.len(), |left| left.min(data.len()));
            write(fd, &data[..length], path)?;
            data = &data[length..];
            left -= length as u64;
        }
    }
    rustix::fs::ftruncate(fd, entry.size).map_err(|error| io_error("extend file", path, error))
}

pub(super) fn stat_of(dir: impl AsFd, name: &[u8]) -> Result<Stat, Errno> {
    rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
}

pub(super) fn inode(fd: &OwnedFd, path: &[u8]) -> Result<u64, UnpackError> {
    let stat = rustix::fs::fstat(fd);
    Ok(stat
        .map_err(|error| io_error("examine directory", path, error))?
        .st_ino)
}

fn tar_error(error: TarError) -> UnpackError {
    match error {
        TarError::Read(source) => UnpackError::Read(source),
        TarError::Malformed { offset, reason } => UnpackError::Malformed {
            offset,
            reason: reason.to_owned(),
        },
    }
}
