//! Where entries go: room is made for them, and directories on the way.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::attributes::Attributes;
use super::name;
use super::root;
use super::stack::is_whiteout;
use super::unpack::{Sense, Unpacking, inode, stat_of};
use super::{UnpackError, io_error, refused, remove, shown};

/// As many links as the kernel follows in one path.
const MAX_LINKS: u32 = 40;

impl Unpacking<'_> {
    /// Makes something new at `path`, in place of what is there.
    pub(super) fn make<T>(
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
            Err(Errno::ISDIR) if self.sense != Sense::Layer => Err(UnpackError::Overwrite {
                path: shown(path),
                directory: true,
            }),
            Err(Errno::ISDIR) => {
                self.directories.forget(path);
                remove::remove_at(parent.as_fd(), name)
                    .map_err(|error| io_error("replace directory", path, error))
            }
            result => result.map_err(|error| io_error("replace", path, error)),
        }
    }

    /// The directory that `path` is in, made if need be.
    pub(super) fn parent(&mut self, path: &[u8]) -> Result<Rc<OwnedFd>, UnpackError> {
        self.ensure(name::split(path).0, 0)
    }

    /// The directory at `path`, made if need be, with all above it.
    pub(super) fn ensure(&mut self, path: &[u8], links: u32) -> Result<Rc<OwnedFd>, UnpackError> {
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
    pub(super) fn make_directory(
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
                } else if self.sense != Sense::Layer {
                    return Err(UnpackError::Overwrite {
                        path: shown(path),
                        directory: false,
                    });
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
