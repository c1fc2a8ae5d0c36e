//! Filling a new volume with what the image has where it is mounted: owners, modes, times,
//! extended attributes, links, devices.
//!
//! ```text
//! <root>/volumes/<name>/
//!     _data/        or whatever else is mounted there
//!     copying       names of what is being copied into it, each followed by a zero byte
//! ```
//!
//! `copying` is there only while somebody copies, and locked as long as that lives. It says what
//! will be made before anything is; a killed copy is undone by these names and done anew. So a
//! volume that has content and no such file is never touched.
//!
//! The image may be hostile, and so may be another container that has the volume: everything is
//! opened relative to a descriptor, no link is followed, and nothing is overwritten.

use std::collections::HashMap;
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, SeekFrom, Stat, Timespec, Timestamps,
    Uid, XattrFlags,
};
use rustix::io::Errno;

use super::resolve::{self, Links};
use crate::plan::CopyUp;

const COPYING: &str = "copying";

/// Fills the volume that is mounted, detached still, at `tree` with what is at `target` in the
/// root, if it is new and there is something.
pub(super) fn copy_up(
    root: BorrowedFd<'_>,
    target: &str,
    volume: &CopyUp,
    tree: BorrowedFd<'_>,
) -> io::Result<()> {
    let source = match resolve::open(
        root,
        target,
        OFlags::RDONLY | OFlags::DIRECTORY,
        Links::Follow,
    ) {
        Ok(source) => source,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => {
            return Err(io::Error::new(
                e.kind(),
                "cannot mount volume over existing file: a volume is a directory",
            ));
        }
        Err(e) => return Err(e),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let data = match rustix::fs::openat(tree, ".", flags, Mode::empty()) {
        // A file that is bound: there is nothing to fill.
        Err(Errno::NOTDIR) => return Ok(()),
        opened => opened?,
    };
    let note = Path::new(&volume.dir).join(COPYING);
    match fill_if_new(&source, &data, &note, volume.durable) {
        // What cannot be written to is not new.
        Err(e) if e.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(()),
        filled => filled,
    }
}

fn fill_if_new(source: &OwnedFd, data: &OwnedFd, note: &Path, durable: bool) -> io::Result<()> {
    loop {
        if !note.try_exists()? && !is_empty(data)? {
            return Ok(());
        }
        let names = names(source)?;
        if names.is_empty() && !note.try_exists()? {
            return attributes(source, data);
        }
        let Some(mut file) = lock(note)? else {
            continue;
        };
        undo(&mut file, data)?;
        // Somebody else may have filled it between the look and the lock.
        if is_empty(data)? {
            fill(&mut file, source, data, &names)?;
            if durable {
                rustix::fs::syncfs(data)?;
            }
        }
        std::fs::remove_file(note)?;
        // A note that came back with a loss of power would undo what has happened since.
        return match note.parent() {
            Some(dir) if durable => File::open(dir)?.sync_all(),
            _ => Ok(()),
        };
    }
}

fn is_empty(dir: &OwnedFd) -> io::Result<bool> {
    // Another descriptor: listing moves the offset.
    let mut entries = Dir::read_from(dir)?;
    let real = |entry: &rustix::io::Result<rustix::fs::DirEntry>| !matches!(entry, Ok(entry) if matches!(entry.file_name().to_bytes(), b"." | b".."));
    match entries.find(real) {
        None => Ok(true),
        Some(entry) => Ok(entry.map(|_| false)?),
    }
}

fn names(dir: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Takes the note, making it. `None` when somebody else has just done with it.
fn lock(note: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(note)?;
    file.lock()?;
    Ok((file.metadata()?.nlink() > 0).then_some(file))
}

/// Removes what a killed copy has left, as its note tells.
fn undo(note: &mut File, data: &OwnedFd) -> io::Result<()> {
    let mut noted = Vec::new();
    note.read_to_end(&mut noted)?;
    // A name that was not written whole was not made either.
    let whole = noted.split_inclusive(|b| *b == 0);
    for name in whole.filter_map(|name| name.strip_suffix(&[0])) {
        match rustix::fs::unlinkat(data, name, AtFlags::empty()) {
            Err(Errno::ISDIR | Errno::PERM) => {
                let path = PathBuf::from(format!("/proc/self/fd/{}", data.as_raw_fd()));
                let path = path.join(std::ffi::OsStr::from_bytes(name));
                container_image::layer::remove_tree(&path).map_err(io::Error::other)?;
            }
            Err(Errno::NOENT) => {}
            removed => removed?,
        }
    }
    note.set_len(0)?;
    io::Seek::rewind(note)
}

fn fill(note: &mut File, source: &OwnedFd, data: &OwnedFd, names: &[CString]) -> io::Result<()> {
    let noted: Vec<u8> = names
        .iter()
        .flat_map(|n| n.to_bytes_with_nul())
        .copied()
        .collect();
    note.write_all(&noted)?;
    note.sync_data()?;
    let mut copy = Copy {
        data,
        links: HashMap::new(),
    };
    copy.tree(source, data, names)
}

/// A directory that is being copied.
struct Level {
    from: OwnedFd,
    to: OwnedFd,
    /// Names that are left.
    names: Vec<CString>,
    /// Where it lies below the volume's.
    path: Vec<u8>,
}

struct Copy<'a> {
    data: &'a OwnedFd,
    /// Where the first name of a file with several lies now, by device and number.
    links: HashMap<(u64, u64), Vec<u8>>,
}

impl Copy<'_> {
    fn tree(&mut self, from: &OwnedFd, to: &OwnedFd, names: &[CString]) -> io::Result<()> {
        let mut levels = vec![Level {
            from: rustix::io::fcntl_dupfd_cloexec(from, 0)?,
            to: rustix::io::fcntl_dupfd_cloexec(to, 0)?,
            names: names.to_vec(),
            path: Vec::new(),
        }];
        while let Some(level) = levels.last_mut() {
            let below = match level.names.pop() {
                Some(name) => self.entry(level, &name)?,
                None => {
                    // What is made inside changes its times, so they come last.
                    attributes(&level.from, &level.to)?;
                    levels.pop();
                    None
                }
            };
            levels.extend(below);
        }
        Ok(())
    }

    /// Copies what is not a directory; returns a directory to go into.
    fn entry(&mut self, level: &Level, name: &CString) -> io::Result<Option<Level>> {
        let stat = rustix::fs::statat(&level.from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let path = [&level.path, name.to_bytes()].join(&b'/');
        let made = match kind {
            FileType::Directory => return directory(level, name, path),
            _ if stat.st_nlink > 1 => match self.links.get(&(stat.st_dev, stat.st_ino)) {
                Some(first) => return self.link(first, level, name).map(|()| None),
                None => {
                    self.links.insert((stat.st_dev, stat.st_ino), path);
                    one(level, name, &stat, kind)
                }
            },
            _ => one(level, name, &stat, kind),
        };
        match made {
            // Another container has the volume and made it first.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            made => made.map(|()| None),
        }
    }

    fn link(&self, first: &[u8], level: &Level, name: &CString) -> io::Result<()> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::openat2(self.data, &first[1..], flags, Mode::empty(), resolve);
        let first = match opened {
            // It was left out, or another container has removed it.
            Err(Errno::NOENT | Errno::LOOP) => return Ok(()),
            opened => opened?,
        };
        // By its descriptor's path, which needs no capability (open(2), O_TMPFILE).
        let path = format!("/proc/self/fd/{}", first.as_raw_fd());
        match rustix::fs::linkat(
            rustix::fs::CWD,
            path,
            &level.to,
            name,
            AtFlags::SYMLINK_FOLLOW,
        ) {
            Err(Errno::EXIST) => Ok(()),
            linked => Ok(linked?),
        }
    }
}

fn directory(level: &Level, name: &CString, path: Vec<u8>) -> io::Result<Option<Level>> {
    match rustix::fs::mkdirat(&level.to, name, Mode::RWXU) {
        Err(Errno::EXIST) => return Ok(None),
        made => made?,
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let from = rustix::fs::openat(&level.from, name, flags, Mode::empty())?;
    Ok(Some(Level {
        names: names(&from)?,
        to: rustix::fs::openat(&level.to, name, flags, Mode::empty())?,
        from,
        path,
    }))
}

/// Copies something that is no directory.
fn one(level: &Level, name: &CString, stat: &Stat, kind: FileType) -> io::Result<()> {
    let mode = Mode::from_raw_mode(stat.st_mode);
    match kind {
        FileType::RegularFile => return regular(level, name),
        FileType::Symlink => {
            let to = rustix::fs::readlinkat(&level.from, name, Vec::new())?;
            rustix::fs::symlinkat(&to, &level.to, name)?;
        }
        FileType::Fifo | FileType::CharacterDevice | FileType::BlockDevice => {
            match rustix::fs::mknodat(&level.to, name, kind, mode, stat.st_rdev) {
                // A user namespace makes no devices; layers lose them there, too.
                Err(Errno::PERM) if kind != FileType::Fifo => return Ok(()),
                made => made?,
            }
        }
        // A socket is nothing without the process behind it.
        _ => return Ok(()),
    }
    let (owner, group) = owner(stat);
    let nofollow = AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::chownat(&level.to, name, Some(owner), Some(group), nofollow)?;
    rustix::fs::utimensat(&level.to, name, &times(stat), nofollow)?;
    Ok(())
}

fn regular(level: &Level, name: &CString) -> io::Result<()> {
    let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let from = File::from(rustix::fs::openat(&level.from, name, read, Mode::empty())?);
    let write = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let to = File::from(rustix::fs::openat(&level.to, name, write, mode)?);
    content(&from, &to)?;
    attributes(&from, &to)
}

/// Copies what is written in a file; its holes stay holes.
fn content(mut from: &File, mut to: &File) -> io::Result<()> {
    let length = from.metadata()?.len();
    let mut at = 0;
    while at < length {
        let data = match rustix::fs::seek(from, SeekFrom::Data(at)) {
            // Nothing but a hole is left.
            Err(Errno::NXIO) => break,
            found => found?,
        };
        let end = rustix::fs::seek(from, SeekFrom::Hole(data))?;
        rustix::fs::seek(from, SeekFrom::Start(data))?;
        rustix::fs::seek(to, SeekFrom::Start(data))?;
        if io::copy(&mut (&mut from).take(end - data), &mut to)? == 0 {
            break;
        }
        at = end;
    }
    to.set_len(length)
}

/// Gives a file or directory the owner, the mode, the extended attributes and the times of
/// another.
fn attributes(from: impl AsFd, to: impl AsFd) -> io::Result<()> {
    let stat = rustix::fs::fstat(&from)?;
    let (owner, group) = owner(&stat);
    rustix::fs::fchown(&to, Some(owner), Some(group))?;
    xattrs(&from, &to)?;
    // After the owner, whose change takes the set-user-ID bit away.
    rustix::fs::fchmod(&to, Mode::from_raw_mode(stat.st_mode))?;
    Ok(rustix::fs::futimens(&to, &times(&stat))?)
}

fn owner(stat: &Stat) -> (Uid, Gid) {
    (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid))
}

fn times(stat: &Stat) -> Timestamps {
    let time = |seconds: i64, nanoseconds: u64| Timespec {
        tv_sec: seconds,
        #[allow(clippy::cast_possible_wrap, reason = "below 10^9")]
        tv_nsec: nanoseconds as _,
    };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    }
}

fn xattrs(from: impl AsFd, to: impl AsFd) -> io::Result<()> {
    let list = match grown(|buffer| rustix::fs::flistxattr(&from, buffer)) {
        Err(Errno::NOTSUP) => return Ok(()),
        list => list?,
    };
    for name in list.split(|b| *b == 0).filter(|name| !name.is_empty()) {
        // overlayfs's own marks mean nothing here.
        if name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.") {
            continue;
        }
        let value = match grown(|buffer| rustix::fs::fgetxattr(&from, name, buffer)) {
            Err(Errno::NODATA) => continue,
            value => value?,
        };
        match rustix::fs::fsetxattr(&to, name, &value, XattrFlags::empty()) {
            // The volume's file system has none, or this user namespace may not set this one.
            Err(Errno::NOTSUP | Errno::PERM) => {}
            set => set?,
        }
    }
    Ok(())
}

/// Reads into a buffer that is large enough.
fn grown(read: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> rustix::io::Result<Vec<u8>> {
    // XATTR_SIZE_MAX and XATTR_LIST_MAX are 64 KiB.
    let mut buffer = vec![0; 1024];
    loop {
        match read(&mut buffer) {
            Err(Errno::RANGE) if buffer.len() < 64 << 10 => buffer.resize(64 << 10, 0),
            Err(e) => return Err(e),
            Ok(n) => {
                buffer.truncate(n);
                return Ok(buffer);
            }
        }
    }
}
