//! One entry of a directory, with all that stat(2) and extended attributes say of it.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Stat};
use rustix::io::Errno;

use super::TreeError;
use crate::layer::attributes::is_welcome;
use crate::tarball::{Entry, Kind, Xattr};

/// What the names in one directory may take in memory: some millions.
const MAX_NAMES: usize = 256 << 20;
/// XATTR_LIST_MAX and XATTR_SIZE_MAX.
const MAX_XATTR: usize = 65536;

/// The names in a directory, in byte order.
pub(crate) fn names(dir: &OwnedFd, path: &[u8]) -> Result<Vec<Vec<u8>>, TreeError> {
    let list = || TreeError::at::<Errno>("list", path);
    let (mut names, mut bytes) = (Vec::new(), 0);
    for entry in Dir::read_from(dir).map_err(list())? {
        let entry = entry.map_err(list())?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            bytes += name.len() + size_of::<Vec<u8>>() + 16;
            if bytes > MAX_NAMES {
                return Err(TreeError::refused(
                    path,
                    "the directory has too many entries",
                ));
            }
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// What a name stands for; `None` when it is gone.
pub(crate) fn stat(dir: &OwnedFd, name: &[u8], path: &[u8]) -> Result<Option<Stat>, TreeError> {
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(TreeError::at("examine", path)(error)),
    }
}

/// The entry of an archive that describes it; `None` for a socket, and for what is gone.
pub(crate) fn entry(
    dir: &OwnedFd,
    name: &[u8],
    path: &[u8],
    stat: &Stat,
) -> Result<Option<Entry>, TreeError> {
    let mut link = Vec::new();
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Kind::Dir,
        FileType::RegularFile => Kind::File,
        FileType::Symlink => {
            link = match rustix::fs::readlinkat(dir, name, Vec::new()) {
                Ok(target) => target.into_bytes(),
                Err(Errno::NOENT | Errno::INVAL) => return Ok(None),
                Err(error) => return Err(TreeError::at("read the link", path)(error)),
            };
            Kind::Symlink
        }
        FileType::CharacterDevice => Kind::Char,
        FileType::BlockDevice => Kind::Block,
        FileType::Fifo => Kind::Fifo,
        _ => return Ok(None),
    };
    Ok(Some(Entry {
        link,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        xattrs: attributes(dir, name, path)?,
        ..bare(kind, path, stat)
    }))
}

/// What stat(2) says, without link, size and attributes.
pub(super) fn bare(kind: Kind, path: &[u8], stat: &Stat) -> Entry {
    let device = (
        rustix::fs::major(stat.st_rdev),
        rustix::fs::minor(stat.st_rdev),
    );
    let nanoseconds = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
    Entry {
        kind,
        path: path.to_vec(),
        link: Vec::new(),
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: (stat.st_mtime, nanoseconds),
        size: 0,
        device,
        xattrs: Vec::new(),
        sparse: None,
    }
}

/// A path to `name` that calls without a directory handle take (before Linux 6.13). The last
/// component is not followed by those that are used with it.
fn place(dir: &OwnedFd, name: &[u8]) -> Vec<u8> {
    let mut place = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
    place.extend_from_slice(name);
    place
}

/// The extended attributes that an archive may carry, in byte order of their names.
pub(crate) fn attributes(dir: &OwnedFd, name: &[u8], path: &[u8]) -> Result<Vec<Xattr>, TreeError> {
    let place = place(dir, name);
    let mut list = vec![0u8; 1024];
    let length = match rustix::fs::llistxattr(place.as_slice(), &mut list) {
        Err(Errno::RANGE) => {
            list.resize(MAX_XATTR, 0);
            rustix::fs::llistxattr(place.as_slice(), &mut list)
        }
        result => result,
    };
    match length {
        Ok(length) => list.truncate(length),
        Err(Errno::OPNOTSUPP | Errno::NOENT) => return Ok(Vec::new()),
        Err(error) => return Err(TreeError::at("examine", path)(error)),
    }
    let mut found = Vec::new();
    let mut names: Vec<_> = list.split(|&b| b == 0).filter(|n| is_welcome(n)).collect();
    names.sort_unstable();
    for attribute in names.into_iter().filter(|n| !n.is_empty()) {
        let value = read(&place, attribute).map_err(TreeError::at("examine", path))?;
        found.extend(value.map(|value| (attribute.to_vec(), value)));
    }
    Ok(found)
}

/// The value of one attribute, if there is one and it may be read.
pub(crate) fn xattr(
    dir: &OwnedFd,
    name: &[u8],
    path: &[u8],
    attribute: &str,
) -> Result<Option<Vec<u8>>, TreeError> {
    read(&place(dir, name), attribute.as_bytes()).map_err(TreeError::at("examine", path))
}

fn read(place: &[u8], attribute: &[u8]) -> Result<Option<Vec<u8>>, Errno> {
    let mut value = vec![0; 256];
    let length = match rustix::fs::lgetxattr(place, attribute, &mut value) {
        Err(Errno::RANGE) => {
            value.resize(MAX_XATTR, 0);
            rustix::fs::lgetxattr(place, attribute, &mut value)
        }
        result => result,
    };
    match length {
        Ok(length) => {
            value.truncate(length);
            Ok(Some(value))
        }
        Err(Errno::NODATA | Errno::NOENT | Errno::PERM | Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error),
    }
}
