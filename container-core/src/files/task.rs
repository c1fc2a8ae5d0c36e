//! What goes between a program and its worker.

use std::path::PathBuf;

use container_image::layer::OverlayXattrs;
use serde::{Deserialize, Serialize};

use crate::runtime::Scene;

/// What a worker is for; comes first.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Task {
    /// A container's files. Of a running one, its first process comes beside this.
    Scene(Box<Scene>, Rights),
    /// The directories that its changes are in.
    Parts(Vec<Part>, Rights),
    /// Of each container the directories that its changes are in, to be measured.
    Sizes(Vec<Vec<PathBuf>>),
}

/// What a worker can do as the root that it is.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Rights {
    /// It is the machine's root.
    pub(super) full: bool,
    /// It can give files to others.
    pub(super) many_ids: bool,
}

impl Rights {
    pub(super) fn marks(self) -> OverlayXattrs {
        match self.full {
            true => OverlayXattrs::Trusted,
            false => OverlayXattrs::User,
        }
    }
}

/// One overlay of a container, or a directory that it writes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    /// Where it is mounted in the container, without slashes at the ends.
    pub(super) at: String,
    pub(super) upper: PathBuf,
    /// The uppermost first.
    pub(super) lower: Vec<PathBuf>,
    /// What was there when the container was made, or was made to mount on.
    pub(super) made: Vec<String>,
    /// What not everybody may read was hidden.
    pub(super) hides_private: bool,
}

/// One thing to do. A pipe comes beside those that move bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Errand {
    /// What is this path?
    Stat { path: String },
    /// Write it as an archive in which it has this name, or its own.
    Pack { path: String, name: Option<String> },
    /// Unpack an archive in this directory; all for this user, if one is given.
    Extract { dir: String, owner: Option<String> },
    /// Write the content of a regular file, of at most so many bytes.
    Read { path: String, limit: u64 },
    /// Write all as an archive.
    Export,
    /// Write all changes: a letter, a path, a NUL.
    Changes,
    /// Write all changes as a layer.
    Layer,
}

/// What a path of a container is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathStat {
    /// The last component of the path as it was asked for; `/` of the root.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// Type and permissions, as stat(2) has them.
    pub mode: u32,
    /// When it was last modified: seconds and nanoseconds.
    pub mtime: (i64, u32),
    /// Where a symbolic link leads, all links followed, from the container's root on.
    pub link_target: Option<String>,
}

impl PathStat {
    fn is(&self, kind: u32) -> bool {
        const S_IFMT: u32 = 0o170_000;
        self.mode & S_IFMT == kind
    }

    /// It is a directory.
    pub fn is_dir(&self) -> bool {
        self.is(0o040_000)
    }

    /// It is a regular file.
    pub fn is_file(&self) -> bool {
        self.is(0o100_000)
    }

    /// It is a symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.is(0o120_000)
    }
}
