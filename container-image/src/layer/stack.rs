//! What the layers below a directory hold, as overlayfs would show it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::OverlayXattrs;
use crate::tree::{self, TreeError};

/// Layers, the uppermost first, and where their marks are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stack<'fd> {
    layers: &'fd [BorrowedFd<'fd>],
    marks: OverlayXattrs,
}

/// What the layers show under a name.
pub(super) struct Below {
    pub(super) stat: Stat,
    /// In which layer it lies, or the uppermost of its parts.
    layer: usize,
    /// The layers that have a part of this directory; none if it is no directory.
    pub(super) parts: Vec<usize>,
}

/// One directory of the stack, opened.
pub(super) struct Merged {
    parts: Vec<(usize, OwnedFd)>,
}

impl OverlayXattrs {
    pub(super) fn name(self, mark: &str) -> String {
        match self {
            Self::Trusted => format!("trusted.overlay.{mark}"),
            Self::User => format!("user.overlay.{mark}"),
        }
    }
}

/// Whether a directory hides those of the same name below it.
pub(super) fn is_opaque(
    dir: &OwnedFd,
    name: &[u8],
    path: &[u8],
    marks: OverlayXattrs,
) -> Result<bool, TreeError> {
    let mark = tree::xattr(dir, name, path, &marks.name("opaque"))?;
    Ok(mark.is_some_and(|value| value == b"y"))
}

/// How overlayfs marks a name that is gone: a character device 0:0.
pub(super) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

impl<'fd> Stack<'fd> {
    pub(super) fn new(layers: &'fd [BorrowedFd<'fd>], marks: OverlayXattrs) -> Self {
        Self { layers, marks }
    }

    /// All layers: those that have a part of the root.
    pub(super) fn all(self) -> Vec<usize> {
        (0..self.layers.len()).collect()
    }

    /// Opens the directory at a clean path in those layers.
    pub(super) fn open(self, path: &[u8], parts: &[usize]) -> Result<Merged, TreeError> {
        let name = if path.is_empty() { b"." } else { path };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
        let open = |&part: &usize| {
            let layer = self.layers.get(part).ok_or(Errno::NOENT)?;
            let fd = rustix::fs::openat2(layer, name, flags, Mode::empty(), resolve)?;
            Ok((part, fd))
        };
        let parts: Result<Vec<_>, Errno> = parts.iter().map(open).collect();
        Ok(Merged {
            parts: parts.map_err(TreeError::at("open in the layers below", path))?,
        })
    }

    /// What is under `name` in an opened directory.
    pub(super) fn look_up(
        self,
        here: &Merged,
        name: &[u8],
        path: &[u8],
    ) -> Result<Option<Below>, TreeError> {
        let mut found: Option<Below> = None;
        for (part, fd) in &here.parts {
            let Some(stat) = tree::stat(fd, name, path)? else {
                continue;
            };
            let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            if !is_directory {
                if found.is_none() && !is_whiteout(&stat) {
                    found = Some(Below {
                        stat,
                        layer: *part,
                        parts: Vec::new(),
                    });
                }
                break;
            }
            let below = found.get_or_insert_with(|| Below {
                stat,
                layer: *part,
                parts: Vec::new(),
            });
            below.parts.push(*part);
            if is_opaque(fd, name, path, self.marks)? {
                break;
            }
        }
        Ok(found)
    }

    /// All names that an opened directory shows, in byte order.
    pub(super) fn names(self, here: &Merged, path: &[u8]) -> Result<Vec<Vec<u8>>, TreeError> {
        let mut all = Vec::new();
        for (_, fd) in &here.parts {
            all.extend(tree::names(fd, path)?);
        }
        all.sort_unstable();
        all.dedup();
        let mut shown = Vec::with_capacity(all.len());
        for name in all {
            if self.look_up(here, &name, path)?.is_some() {
                shown.push(name);
            }
        }
        Ok(shown)
    }
}

impl Merged {
    /// The directory in the layer that `below` was found in.
    pub(super) fn holder(&self, below: &Below) -> Option<&OwnedFd> {
        let mut parts = self.parts.iter();
        parts.find_map(|(part, fd)| (*part == below.layer).then_some(fd))
    }
}

/// The directory behind a descriptor, for listing and for looking names up in.
pub(super) fn reopen(fd: impl AsFd) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(fd, ".", flags, Mode::empty())
}
