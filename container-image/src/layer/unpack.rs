//! Entries of an archive into files of a directory.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, SeekFrom, Stat};
use rustix::io::Errno;

use super::attributes::{Attributes, Target};
use super::directories::Directories;
use super::name::{self, Name};
use super::root::{self, Root};
use super::{Devices, UnpackError, UnpackOptions, io_error, refused, remove};
use crate::tarball::{Entry, Kind, Reader, TarError};

/// As many links as the kernel follows in one path.
const MAX_LINKS: u32 = 40;

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
    let mut reader = Reader::new(tar);
    let mut unpacking = Unpacking {
        root: Root::new(root),
        options: *options,
        own: (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        ),
        directories: Directories::default(),
    };
    while let Some(entry) = reader.next_entry().map_err(tar_error)? {
        unpacking.entry(entry, &mut reader)?;
    }
    let Unpacking {
        root,
        directories,
        own,
        ..
    } = unpacking;
    directories.apply(&root, options, own)?;
    reader.drain().map_err(tar_error)
}

struct Unpacking<'fd> {
    root: Root<'fd>,
    options: UnpackOptions,
    /// Whose new files are.
    own: (u32, u32),
    directories: Directories,
}

impl Unpacking<'_> {
    fn entry(&mut self, mut entry: Entry, reader: &mut Reader<'_>) -> Result<(), UnpackError> {
        let name = name::classify(&entry.path).map_err(|fault| refused(&entry.path, fault))?;
        let path = match name {
            Name::Entry(path) => path,
            Name::Whiteout(path) => return self.whiteout(&path),
            Name::Opaque(path) => return self.opaque(&path),
            Name::Metadata => return Ok(()),
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
        let target = name::clean(&entry.link).map_err(refuse)?;
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

    /// Makes something new at `path`, in place of what is there.
    fn make<T>(
        &mut self,
        action: &'static str,
        path: &[u8],
        make: impl Fn(BorrowedFd<'_>, &[u8]) -> Result<T, Errno>,
    ) -> Result<(Rc<OwnedFd>, T), UnpackError> {
        let parent = self.parent(path)?;
        let name = name::split(path).1;
        let mut result = make(parent.as_fd(), name);
        if matches!(result, Err(Errno::EXIST)) {
            self.make_room(&parent, path)?;
            result = make(parent.as_fd(), name);
        }
        match result {
            Ok(made) => Ok((parent, made)),
            Err(error) => Err(io_error(action, path, error)),
        }
    }

    fn make_room(&mut self, parent: &OwnedFd, path: &[u8]) -> Result<(), UnpackError> {
        let name = name::split(path).1;
        self.root.forget();
        match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => {
                self.directories.forget(path);
                remove::remove_at(parent.as_fd(), name)
                    .map_err(|error| io_error("replace directory", path, error))
            }
            result => result.map_err(|error| io_error("replace", path, error)),
        }
    }

    /// The directory that `path` is in, made if need be.
    fn parent(&mut self, path: &[u8]) -> Result<Rc<OwnedFd>, UnpackError> {
        self.ensure(name::split(path).0, 0)
    }

    /// The directory at `path`, made if need be, with all above it.
    fn ensure(&mut self, path: &[u8], links: u32) -> Result<Rc<OwnedFd>, UnpackError> {
        let mut end = path.len();
        let mut fd = loop {
            match self.root.directory(&path[..end]) {
                Ok(fd) => break fd,
                Err(Errno::NOENT | Errno::NOTDIR) if end > 0 => {
                    end = name::split(&path[..end]).0.len();
                }
                Err(Errno::LOOP) => return Err(refused(path, "symbolic links go in a circle")),
                Err(error) => return Err(io_error("open directory", &path[..end], error)),
            }
        };
        while end < path.len() {
            let start = if end == 0 { 0 } else { end + 1 };
            let length = path[start..].iter().position(|&b| b == b'/');
            let parent = &path[..end];
            end = length.map_or(path.len(), |length| start + length);
            let here = &path[..end];
            fd = match rustix::fs::readlinkat(&fd, &path[start..end], Vec::new()) {
                Ok(target) => self.follow(parent, target.as_bytes(), here, links)?,
                Err(_) => self.make_directory(&fd, here, false)?,
            };
        }
        Ok(fd)
    }

    /// Makes the directory that a dangling link means: a layer may hold the link `var/run` and
    /// a file below it where `run` itself is in a layer underneath.
    fn follow(
        &mut self,
        parent: &[u8],
        target: &[u8],
        path: &[u8],
        links: u32,
    ) -> Result<Rc<OwnedFd>, UnpackError> {
        if links >= MAX_LINKS {
            return Err(refused(path, "too many symbolic links"));
        }
        let base: &[u8] = if target.starts_with(b"/") {
            b""
        } else {
            parent
        };
        let target = name::clean(&name::join(base, target))
            .map_err(|_| refused(path, "a symbolic link above it leads nowhere"))?;
        self.ensure(&target, links + 1)?;
        self.root
            .directory(path)
            .map_err(|error| io_error("open directory", path, error))
    }

    /// Makes one directory. One that is there is kept; a whiteout becomes an opaque directory,
    /// and so does anything else if an explicit entry asks for it.
    fn make_directory(
        &mut self,
        parent: &OwnedFd,
        path: &[u8],
        explicit: bool,
    ) -> Result<Rc<OwnedFd>, UnpackError> {
        let name = name::split(path).1;
        let mkdir = || rustix::fs::mkdirat(parent, name, Mode::RWXU);
        let (mut made, mut opaque) = (true, false);
        match mkdir() {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                let stat =
                    stat_of(parent, name).map_err(|error| io_error("examine", path, error))?;
                if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                    made = false;
                } else if explicit || is_whiteout(&stat) {
                    self.make_room(parent, path)?;
                    mkdir().map_err(|error| io_error("create directory", path, error))?;
                    opaque = true;
                } else {
                    return Err(refused(
                        path,
                        "it is no directory but an entry lies below it",
                    ));
                }
            }
            Err(error) => return Err(io_error("create directory", path, error)),
        }
        let fd = root::child(parent, name, OFlags::PATH)
            .map_err(|error| io_error("open directory", path, error))?;
        if made && !explicit {
            let inode = inode(&fd, path)?;
            self.directories
                .set(path, inode, Attributes::implicit(), Vec::new())?;
        }
        if opaque {
            self.directories.set_opaque(path, inode(&fd, path)?)?;
        }
        Ok(Rc::new(fd))
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

fn stat_of(dir: impl AsFd, name: &[u8]) -> Result<Stat, Errno> {
    rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
}

fn inode(fd: &OwnedFd, path: &[u8]) -> Result<u64, UnpackError> {
    let stat = rustix::fs::fstat(fd);
    Ok(stat
        .map_err(|error| io_error("examine directory", path, error))?
        .st_ino)
}

fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
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
