//! What can go wrong with reading a tree.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Why a directory tree was not read, or not written as an archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// A system call failed: a right is missing, a path is too long, the disk is broken.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was being done: `open`, `examine`.
        action: &'static str,
        /// The path inside the tree.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The stream that the archive goes to failed.
    #[error("cannot write the archive: {0}")]
    Write(#[source] io::Error),
    /// The tree holds what no archive can say.
    #[error("cannot archive {}: {reason}", path.display())]
    Refused {
        /// The path inside the tree.
        path: PathBuf,
        /// What it is, and what to do.
        reason: &'static str,
    },
}

/// A path inside a tree, as messages show it.
fn shown(path: &[u8]) -> PathBuf {
    const LONGEST: usize = 512;
    let start = path.get(..LONGEST).unwrap_or(path);
    PathBuf::from(OsStr::from_bytes(&[b"/", start].concat()))
}

impl TreeError {
    pub(crate) fn at<E: Into<io::Error>>(
        action: &'static str,
        path: &[u8],
    ) -> impl FnOnce(E) -> Self {
        let path = shown(path);
        move |error| Self::Io {
            action,
            path,
            source: error.into(),
        }
    }

    pub(crate) fn refused(path: &[u8], reason: &'static str) -> Self {
        Self::Refused {
            path: shown(path),
            reason,
        }
    }
}
