//! What a container has changed: its private layer compared with those below it.
//!
//! Nothing is mounted for it. overlayfs puts a copy of all that was touched into the upper
//! directory, and marks there what is gone; the comparison tells what of it is a change.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Stat};

use super::stack::{self, Below, Merged, Stack};
use super::{OverlayXattrs, name};
use crate::tree::{self, Mounts, Tree, TreeError};

/// An overlay taken apart.
#[derive(Debug, Clone, Copy)]
pub struct Overlay<'a> {
    /// The directory that receives the changes.
    pub upper: BorrowedFd<'a>,
    /// The directories below it, the uppermost first, as [`Store::rootfs`] gives them.
    ///
    /// [`Store::rootfs`]: crate::Store::rootfs
    pub lower: &'a [BorrowedFd<'a>],
    /// Where it was mounted with marks.
    pub marks: OverlayXattrs,
    /// Clean relative paths that a runtime has made to mount on. They count as having been there.
    pub mount_points: &'a [&'a [u8]],
    /// A file that not everybody may read was hidden by a runtime: its absence is no change.
    pub hides_private: bool,
}

/// How something changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It was not there.
    Added,
    /// It differs: type, mode, owner, content, capabilities. Or it is a directory and something
    /// in it has changed.
    Modified,
    /// It is gone, and so is all that was in it.
    Deleted,
}

impl ChangeKind {
    /// The letter that `docker diff` has for it.
    pub fn letter(self) -> char {
        match self {
            Self::Added => 'A',
            Self::Modified => 'C',
            Self::Deleted => 'D',
        }
    }
}

/// Tells all changes, parents before what is in them and names in byte order. Paths are relative.
///
/// What is told equals `docker diff`: the times of directories are no change, and of a directory
/// that is gone only itself is told.
///
/// # Errors
/// [`TreeError`], also what `each` returns.
pub fn changes(
    overlay: &Overlay<'_>,
    mut each: impl FnMut(ChangeKind, &[u8]) -> Result<(), TreeError>,
) -> Result<(), TreeError> {
    let mut tell = |found: Found<'_>| match found {
        Found::Entry { kind, path, .. } => each(kind, path),
        Found::Gone { path, .. } => each(ChangeKind::Deleted, path),
        Found::Opaque { .. } => Ok(()),
    };
    walk(overlay, Depth::Changes, &mut tell)
}

/// What is to be told of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// What has changed.
    Changes,
    /// And files that were copied up but look the same: their content may differ all the same.
    Touched,
}

/// One finding.
pub(super) enum Found<'a> {
    /// Something in the upper directory.
    Entry {
        kind: ChangeKind,
        path: &'a [u8],
        /// The directory that it is in, to be looked at by [`name`](Found::Entry::name).
        dir: &'a OwnedFd,
        name: &'a [u8],
        stat: &'a Stat,
    },
    /// Something of the layers below is not to be seen any more.
    Gone {
        path: &'a [u8],
        /// An opaque directory above it says so already.
        covered: bool,
    },
    /// The directory hides all of the same name below it.
    Opaque { path: &'a [u8] },
}

type Tell<'a> = &'a mut dyn FnMut(Found<'_>) -> Result<(), TreeError>;

/// A directory being compared.
struct Level {
    path: Vec<u8>,
    names: std::vec::IntoIter<Vec<u8>>,
    /// The layers below that have a part of it.
    parts: Vec<usize>,
    /// Nothing of those parts is seen: it, or one above it, is opaque.
    covered: bool,
    /// What it is, until it has been told.
    untold: Option<Stat>,
}

/// A directory that is open: in the upper layer and in those below.
struct Here {
    upper: OwnedFd,
    lower: Merged,
}

struct Walk<'a> {
    overlay: &'a Overlay<'a>,
    tree: Tree<'a>,
    stack: Stack<'a>,
    depth: Depth,
    levels: Vec<Level>,
}

pub(super) fn walk(overlay: &Overlay<'_>, depth: Depth, tell: Tell<'_>) -> Result<(), TreeError> {
    let mut walk = Walk {
        overlay,
        tree: Tree::new(overlay.upper, Mounts::Leave),
        stack: Stack::new(overlay.lower, overlay.marks),
        depth,
        levels: Vec::new(),
    };
    let upper = stack::reopen(overlay.upper).map_err(TreeError::at("open", b""))?;
    let lower = walk.stack.open(b"", &walk.stack.all())?;
    let mut here = Here { upper, lower };
    walk.levels.push(Level {
        path: Vec::new(),
        names: tree::names(&here.upper, b"")?.into_iter(),
        parts: walk.stack.all(),
        covered: false,
        untold: None,
    });
    loop {
        let Some(level) = walk.levels.last_mut() else {
            return Ok(());
        };
        match level.names.next() {
            Some(name) => {
                if let Some(inside) = walk.compare(&here, &name, tell)? {
                    here = inside;
                }
            }
            None => {
                walk.levels.pop();
                if let Some(above) = walk.back()? {
                    here = above;
                }
            }
        }
    }
}

impl Walk<'_> {
    /// Opens the directory to go on with. One that is gone meanwhile has nothing more to tell.
    fn back(&mut self) -> Result<Option<Here>, TreeError> {
        while let Some(level) = self.levels.last() {
            match self.tree.open(&level.path) {
                Ok(upper) => {
                    let lower = self.stack.open(&level.path, &level.parts)?;
                    return Ok(Some(Here { upper, lower }));
                }
                Err(error) if tree::is_gone(error) => drop(self.levels.pop()),
                Err(error) => return Err(TreeError::at("open", &level.path)(error)),
            }
        }
        Ok(None)
    }

    /// Compares one name; a directory is returned opened, to be gone through next.
    fn compare(
        &mut self,
        here: &Here,
        name: &[u8],
        tell: Tell<'_>,
    ) -> Result<Option<Here>, TreeError> {
        let Some(level) = self.levels.last() else {
            return Ok(None);
        };
        let path = name::join(&level.path, name);
        let covered = level.covered;
        let stat = tree::stat(&here.upper, name, &path)?;
        let below = self.stack.look_up(&here.lower, name, &path)?;
        let Some(stat) = self.present(here, name, &path, stat)? else {
            if below.is_some_and(|below| !self.was_hidden(&below)) {
                self.tell_parents(tell)?;
                tell(Found::Gone {
                    path: &path,
                    covered,
                })?;
            }
            return Ok(None);
        };
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        let is_mount_point = below.is_none() && self.overlay.mount_points.contains(&&path[..]);
        let kind = match &below {
            None if is_mount_point => None,
            None => Some(ChangeKind::Added),
            Some(below) => self
                .differs(here, name, &path, &stat, below)?
                .then_some(ChangeKind::Modified),
        };
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let touched = self.depth == Depth::Touched && !is_directory && !is_mount_point;
        if is_file && self.depth == Depth::Touched {
            self.refuse(here, name, &path, "metacopy")?;
        }
        if let Some(kind) = kind.or(touched.then_some(ChangeKind::Modified)) {
            self.tell_parents(tell)?;
            tell(Found::Entry {
                kind,
                path: &path,
                dir: &here.upper,
                name,
                stat: &stat,
            })?;
        }
        if !is_directory {
            return Ok(None);
        }
        self.refuse(here, name, &path, "redirect")?;
        let untold = kind.is_none().then_some(stat);
        let opaque = stack::is_opaque(&here.upper, name, &path, self.overlay.marks)?;
        self.enter(path, below, untold, (opaque, covered), tell)
    }

    /// Goes into a directory of the upper layer.
    fn enter(
        &mut self,
        path: Vec<u8>,
        below: Option<Below>,
        untold: Option<Stat>,
        (opaque, covered): (bool, bool),
        tell: Tell<'_>,
    ) -> Result<Option<Here>, TreeError> {
        let upper = match self.tree.open(&path) {
            Ok(upper) => upper,
            Err(error) if tree::is_gone(error) => return Ok(None),
            Err(error) => return Err(TreeError::at("open", &path)(error)),
        };
        let parts = below.map(|below| below.parts).unwrap_or_default();
        let lower = self.stack.open(&path, &parts)?;
        let mut names = tree::names(&upper, &path)?;
        let hides = opaque && !covered && !parts.is_empty();
        if opaque || covered {
            // What is not here is gone, without a mark of its own.
            names.extend(self.stack.names(&lower, &path)?);
            names.sort_unstable();
            names.dedup();
        }
        self.levels.push(Level {
            path: path.clone(),
            names: names.into_iter(),
            parts,
            covered: opaque || covered,
            untold,
        });
        if hides && self.depth == Depth::Touched {
            self.tell_parents(tell)?;
            tell(Found::Opaque { path: &path })?;
        }
        Ok(Some(Here { upper, lower }))
    }

    /// Directories above a change are changed too.
    fn tell_parents(&mut self, tell: Tell<'_>) -> Result<(), TreeError> {
        let untold = |level: &Level| level.untold.is_some();
        let Some(first) = self.levels.iter().position(untold) else {
            return Ok(());
        };
        for level in &mut self.levels[first..] {
            let Some(stat) = level.untold.take() else {
                continue;
            };
            let (parent, name) = name::split(&level.path);
            let dir = match self.tree.open(parent) {
                Ok(dir) => dir,
                Err(error) if tree::is_gone(error) => continue,
                Err(error) => return Err(TreeError::at("open", parent)(error)),
            };
            tell(Found::Entry {
                kind: ChangeKind::Modified,
                path: &level.path,
                dir: &dir,
                name,
                stat: &stat,
            })?;
        }
        Ok(())
    }

    fn was_hidden(&self, below: &Below) -> bool {
        let stat = &below.stat;
        let everybody = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => 0o005,
            _ => 0o004,
        };
        self.overlay.hides_private && stat.st_mode & everybody != everybody
    }

    /// What is there, unless it is a mark that nothing is: a character device 0:0, or (Linux 6.7)
    /// an empty file with an attribute.
    fn present(
        &self,
        here: &Here,
        name: &[u8],
        path: &[u8],
        stat: Option<Stat>,
    ) -> Result<Option<Stat>, TreeError> {
        let Some(stat) = stat.filter(|stat| !stack::is_whiteout(stat)) else {
            return Ok(None);
        };
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        let mark = self.overlay.marks.name("whiteout");
        if is_file && stat.st_size == 0 && tree::xattr(&here.upper, name, path, &mark)?.is_some() {
            return Ok(None);
        }
        Ok(Some(stat))
    }

    /// What overlayfs leaves in a lower layer and only refers to is not in this one.
    fn refuse(&self, here: &Here, name: &[u8], path: &[u8], mark: &str) -> Result<(), TreeError> {
        let attribute = self.overlay.marks.name(mark);
        if tree::xattr(&here.upper, name, path, &attribute)?.is_none() {
            return Ok(());
        }
        Err(TreeError::refused(
            path,
            "overlayfs has not copied it but refers to a lower layer (redirect_dir or metacopy); \
             turn these off (/sys/module/overlay/parameters) and make the container anew",
        ))
    }

    /// Whether it is another thing than what the layers below have. The time and size of a
    /// directory tell nothing; the content of a file is told by them.
    fn differs(
        &self,
        here: &Here,
        name: &[u8],
        path: &[u8],
        stat: &Stat,
        below: &Below,
    ) -> Result<bool, TreeError> {
        let old = &below.stat;
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let same = (stat.st_mode, stat.st_rdev) == (old.st_mode, old.st_rdev);
        // Who hides what is in a directory has made that anew, and nothing else of it.
        let owners = is_directory && self.overlay.hides_private
            || (stat.st_uid, stat.st_gid) == (old.st_uid, old.st_gid);
        if !same || !owners {
            return Ok(true);
        }
        match FileType::from_raw_mode(stat.st_mode) {
            // A layer has these too, but they are no change to Docker.
            FileType::Directory if self.depth == Depth::Touched => {
                let new = tree::attributes(&here.upper, name, path)?;
                let old = match here.lower.holder(below) {
                    Some(dir) => tree::attributes(dir, name, path)?,
                    None => Vec::new(),
                };
                return Ok(new != old);
            }
            FileType::Directory => return Ok(false),
            _ if (stat.st_mtime, stat.st_mtime_nsec, stat.st_size)
                != (old.st_mtime, old.st_mtime_nsec, old.st_size) =>
            {
                return Ok(true);
            }
            FileType::RegularFile => {}
            _ => return Ok(false),
        }
        const CAPABILITY: &str = "security.capability";
        let new = tree::xattr(&here.upper, name, path, CAPABILITY)?;
        let old = match here.lower.holder(below) {
            Some(dir) => tree::xattr(dir, name, path, CAPABILITY)?,
            None => None,
        };
        Ok(new != old)
    }
}
