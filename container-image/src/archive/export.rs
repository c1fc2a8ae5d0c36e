//! A root file system as a tar stream.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::error::{ArchiveError, io_error};
use crate::layer::attributes::is_welcome;
use crate::layer::name;

/// Writes the tree below `root`, a merged root file system, as a tar archive.
///
/// Owners, modes, times, extended attributes, hard links and device nodes are kept; sockets are
/// left out, and mounts below `root`
/// are but empty directories and files, as in Docker. Names are in byte
/// order, so that the same tree gives the same bytes. Owners are written as this process sees
/// them: for a rootless container call it inside its user namespace.
///
/// The tree may be in use. A file that shrinks while it is read is filled up with zeros; what
/// disappears is left out.
///
/// # Errors
/// [`ArchiveError::Io`] for the tree and [`ArchiveError::Write`] for `output`, whose content is
/// no complete archive then.
pub fn export(root: &Path, output: &mut dyn Write) -> Result<(), ArchiveError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(root, flags, Mode::empty()).map_err(io_error("open", root))?;
    let mut export = Export {
        root: fd,
        shown: root.to_owned(),
        output: tar::Builder::new(output),
        links: HashMap::new(),
    };
    export.walk()?;
    let output = export.output.into_inner().map_err(ArchiveError::Write)?;
    output.flush().map_err(ArchiveError::Write)
}

struct Export<'a> {
    root: OwnedFd,
    /// For messages.
    shown: PathBuf,
    output: tar::Builder<&'a mut dyn Write>,
    /// Paths of files that have several, by device and inode.
    links: HashMap<(u64, u64), Vec<u8>>,
}

/// A directory whose entries are being written.
struct Level {
    path: Vec<u8>,
    names: std::vec::IntoIter<Vec<u8>>,
}

impl Export<'_> {
    fn walk(&mut self) -> Result<(), ArchiveError> {
        let mut here = self.open(b"").map_err(|e| self.fault("open", b"", e))?;
        let mut levels = vec![self.level(Vec::new(), &here)?];
        loop {
            let Some(level) = levels.last_mut() else {
                return Ok(());
            };
            let Some(name) = level.names.next() else {
                levels.pop();
                // Handles of all levels would run out in a deep tree.
                if let Some(above) = levels.last() {
                    here = match self.open(&above.path) {
                        Ok(fd) => fd,
                        Err(error) => return Err(self.fault("open", &above.path, error)),
                    };
                }
                continue;
            };
            let path = name::join(&level.path, &name);
            if self.entry(&here, &name, &path)? {
                match self.open(&path) {
                    Ok(fd) => {
                        levels.push(self.level(path, &fd)?);
                        here = fd;
                    }
                    // A mount point, or gone, or replaced.
                    Err(Errno::XDEV | Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                    Err(error) => return Err(self.fault("open", &path, error)),
                }
            }
        }
    }

    /// Opens a directory below the root, through no link and into no other mount.
    fn open(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { b"." } else { path };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
        rustix::fs::openat2(&self.root, path, flags, Mode::empty(), resolve)
    }

    fn level(&self, path: Vec<u8>, fd: &OwnedFd) -> Result<Level, ArchiveError> {
        let fault = |error| self.fault("list", &path, error);
        let mut names = Vec::new();
        for entry in Dir::read_from(fd).map_err(fault)? {
            let entry = entry.map_err(fault)?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(name.to_vec());
            }
        }
        names.sort_unstable();
        Ok(Level {
            path,
            names: names.into_iter(),
        })
    }

    /// Writes one entry; tells whether it is a directory.
    fn entry(&mut self, dir: &OwnedFd, name: &[u8], path: &[u8]) -> Result<bool, ArchiveError> {
        let stat = match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(false),
            Err(error) => return Err(self.fault("examine", path, error)),
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        let mut link = Vec::new();
        let entry_type = match kind {
            FileType::Directory => tar::EntryType::Directory,
            FileType::RegularFile => tar::EntryType::Regular,
            FileType::Symlink => {
                link = match rustix::fs::readlinkat(dir, name, Vec::new()) {
                    Ok(target) => target.into_bytes(),
                    Err(Errno::NOENT | Errno::INVAL) => return Ok(false),
                    Err(error) => return Err(self.fault("read", path, error)),
                };
                tar::EntryType::Symlink
            }
            FileType::CharacterDevice => tar::EntryType::Char,
            FileType::BlockDevice => tar::EntryType::Block,
            FileType::Fifo => tar::EntryType::Fifo,
            _ => return Ok(false),
        };
        if kind != FileType::Directory && stat.st_nlink > 1 {
            let id = (stat.st_dev, stat.st_ino);
            match self.links.get(&id).cloned() {
                Some(first) => {
                    self.header(tar::EntryType::Link, path, &first, &stat, 0, Vec::new())?;
                    return Ok(false);
                }
                None => drop(self.links.insert(id, path.to_vec())),
            }
        }
        let xattrs = self.xattrs(dir, name, path)?;
        if kind == FileType::RegularFile {
            return self.file(dir, name, path, &stat, xattrs).map(|()| false);
        }
        let is_directory = kind == FileType::Directory;
        let shown = if is_directory {
            [path, b"/"].concat()
        } else {
            path.to_vec()
        };
        self.header(entry_type, &shown, &link, &stat, 0, xattrs)?;
        Ok(is_directory)
    }

    fn file(
        &mut self,
        dir: &OwnedFd,
        name: &[u8],
        path: &[u8],
        stat: &Stat,
        xattrs: Records,
    ) -> Result<(), ArchiveError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV;
        let file = match rustix::fs::openat2(dir, name, flags, Mode::empty(), resolve) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(()),
            // Something is mounted over it.
            Err(Errno::XDEV) => {
                return self.header(tar::EntryType::Regular, path, b"", stat, 0, Vec::new());
            }
            Err(error) => return Err(self.fault("open", path, error)),
        };
        let stat = rustix::fs::fstat(&file).map_err(|error| self.fault("examine", path, error))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(());
        }
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        self.header(tar::EntryType::Regular, path, b"", &stat, size, xattrs)?;
        let output = self.output.get_mut();
        let mut data = file.chain(io::repeat(0)).take(size);
        let mut buffer = vec![0; usize::try_from(size).map_or(BUFFER, |size| size.min(BUFFER))];
        loop {
            let length = match data.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let path = self.shown.join(std::ffi::OsStr::from_bytes(path));
                    return Err(io_error("read", path)(error));
                }
            };
            output
                .write_all(&buffer[..length])
                .map_err(ArchiveError::Write)?;
        }
        let padding = size.next_multiple_of(512) - size;
        let zeros = &[0; 512][..usize::try_from(padding).unwrap_or(0)];
        output.write_all(zeros).map_err(ArchiveError::Write)
    }

    fn xattrs(&self, dir: &OwnedFd, name: &[u8], path: &[u8]) -> Result<Records, ArchiveError> {
        /// XATTR_LIST_MAX and XATTR_SIZE_MAX.
        const MAX: usize = 65536;
        let mut file = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
        file.extend_from_slice(name);
        let mut list = [0u8; 1024];
        let list = match rustix::fs::llistxattr(file.as_slice(), &mut list) {
            Ok(length) => list[..length].to_vec(),
            Err(Errno::RANGE) => {
                let mut list = vec![0; MAX];
                let length = rustix::fs::llistxattr(file.as_slice(), &mut list);
                list.truncate(length.map_err(|e| self.fault("examine", path, e))?);
                list
            }
            Err(Errno::OPNOTSUPP | Errno::NOENT) => return Ok(Vec::new()),
            Err(error) => return Err(self.fault("examine", path, error)),
        };
        let mut records = Vec::new();
        let mut names: Vec<_> = list.split(|&b| b == 0).filter(|n| !n.is_empty()).collect();
        names.sort_unstable();
        for attribute in names {
            let text = std::str::from_utf8(attribute)
                .ok()
                .filter(|n| !n.contains('='));
            let Some(text) = text.filter(|_| is_welcome(attribute)) else {
                continue;
            };
            let mut value = vec![0; MAX];
            match rustix::fs::lgetxattr(file.as_slice(), attribute, &mut value) {
                Ok(length) => value.truncate(length),
                Err(Errno::NODATA | Errno::NOENT | Errno::PERM | Errno::OPNOTSUPP) => continue,
                Err(error) => return Err(self.fault("examine", path, error)),
            }
            records.push((format!("SCHILY.xattr.{text}"), value));
        }
        Ok(records)
    }

    /// Writes a header, after an extended one with `records` and what else does not fit in it.
    fn header(
        &mut self,
        kind: tar::EntryType,
        path: &[u8],
        link: &[u8],
        stat: &Stat,
        size: u64,
        mut records: Records,
    ) -> Result<(), ArchiveError> {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(stat.st_mode & 0o7777);
        let mut number = |key: &str, value: u64, limit: u64| {
            if value <= limit {
                return value;
            }
            records.push((key.to_owned(), value.to_string().into_bytes()));
            0
        };
        header.set_uid(number("uid", stat.st_uid.into(), MAX_ID));
        header.set_gid(number("gid", stat.st_gid.into(), MAX_ID));
        header.set_size(number("size", size, MAX_SIZE));
        let (seconds, nanoseconds) = (stat.st_mtime, stat.st_mtime_nsec);
        header.set_mtime(u64::try_from(seconds).map_or(0, |s| s.min(MAX_SIZE)));
        if nanoseconds != 0 || !(0..=MAX_SIZE.cast_signed()).contains(&seconds) {
            let time = pax_time(seconds, u32::try_from(nanoseconds).unwrap_or(0));
            records.push(("mtime".to_owned(), time.into_bytes()));
        }
        if matches!(kind, tar::EntryType::Char | tar::EntryType::Block) {
            let (major, minor) = (
                rustix::fs::major(stat.st_rdev),
                rustix::fs::minor(stat.st_rdev),
            );
            let set = header.set_device_major(major);
            set.and_then(|()| header.set_device_minor(minor))
                .map_err(ArchiveError::Write)?;
        }
        let bytes = header.as_mut_bytes();
        for (field, text, key) in [(0, path, "path"), (157, link, "linkpath")] {
            let length = text.len().min(100);
            bytes[field..field + length].copy_from_slice(&text[..length]);
            if text.len() > 100 {
                records.push((key.to_owned(), text.to_vec()));
            }
        }
        header.set_cksum();
        if !records.is_empty() {
            let records = records
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_slice()));
            self.output
                .append_pax_extensions(records)
                .map_err(ArchiveError::Write)?;
        }
        self.output
            .get_mut()
            .write_all(header.as_bytes())
            .map_err(ArchiveError::Write)
    }

    fn fault(&self, action: &'static str, path: &[u8], error: Errno) -> ArchiveError {
        io_error(action, self.shown.join(std::ffi::OsStr::from_bytes(path)))(error)
    }
}

/// Records of an extended header.
type Records = Vec<(String, Vec<u8>)>;

/// Bytes read at once.
const BUFFER: usize = 256 << 10;
/// What seven octal digits hold.
const MAX_ID: u64 = 0o7_777_777;
/// What eleven octal digits hold.
const MAX_SIZE: u64 = 0o77_777_777_777;

/// Seconds and nanoseconds as PAX has them: the fraction counts away from zero.
fn pax_time(seconds: i64, nanoseconds: u32) -> String {
    let text = match (seconds, nanoseconds) {
        (s, 0) => return s.to_string(),
        (s, n) if s < 0 => format!("-{}.{:09}", -(s + 1), 1_000_000_000 - n),
        (s, n) => format!("{s}.{n:09}"),
    };
    text.trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(pax_time(12, 500_000_000), "12.5");
        assert_eq!(pax_time(10, 0), "10");
        assert_eq!(pax_time(-2, 750_000_000), "-1.25");
        assert_eq!(pax_time(-1, 1), "-0.999999999");
    }
}
