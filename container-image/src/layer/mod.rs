//! Layers: a compressed tar stream in, a directory that overlayfs can stack out; and what was changed
//! on top of such directories, as a tar stream again.
//!
//! ```text
//! <dir>/                  one layer, and nothing of the layers below it
//!   usr/bin/tool          entries as in the archive: owner, mode, times, xattrs
//!   etc/gone              character device 0:0, from `etc/.wh.gone`
//!   var/cache/            xattr {trusted,user}.overlay.opaque=y, from `var/cache/.wh..wh..opq`
//!                         (on <dir> itself: see [`hides_all_below`])
//! ```

pub(crate) mod attributes;
mod changes;
pub(crate) mod compression;
mod diff;
mod directories;
mod error;
mod ingest;
mod make;
pub(crate) mod name;
mod pipe;
mod place;
mod remove;
pub(crate) mod root;
mod size;
mod stack;
pub(crate) mod unpack;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use oci_spec::image::MediaType;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

pub use self::changes::{ChangeKind, Overlay, changes};
pub use self::diff::diff;
pub use self::error::{IngestError, MakeError, UnpackError};
pub use self::ingest::ingest;
pub(crate) use self::make::make;
pub use self::remove::remove_tree;
pub use self::size::size;
pub use self::unpack::unpack;
use crate::digest::Digest;

/// Something that turns tar streams into layer directories.
///
/// Two exist: [`Direct`] for a process with root's rights, and container-core's, which does the
/// same work inside a user namespace.
pub trait Unpacker: Send + Sync + fmt::Debug {
    /// Unpacks a plain (uncompressed) tar stream into the existing empty directory `dir`, and
    /// reads the stream to its end, past the end of the archive.
    ///
    /// # Errors
    /// [`UnpackError`]: one that comes from another process is [`UnpackError::Worker`], but a full
    /// disk is best said as [`UnpackError::Io`], since that ends a transfer at once. `dir` is then in an undefined state and wants [`Unpacker::remove`].
    fn unpack(&self, tar: &mut (dyn Read + Send), dir: &Path) -> Result<(), UnpackError>;

    /// Removes a directory tree made by `unpack` or by a container.
    ///
    /// Never follows links nor crosses mounts; a tree that is not there is no error.
    ///
    /// # Errors
    /// [`UnpackError::Io`]; part of the tree may be gone.
    fn remove(&self, dir: &Path) -> Result<(), UnpackError>;
}

/// Unpacks in this process, with the rights it has: for root.
#[derive(Debug, Clone, Copy, Default)]
pub struct Direct;

impl Unpacker for Direct {
    fn unpack(&self, tar: &mut (dyn Read + Send), dir: &Path) -> Result<(), UnpackError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(dir, flags, Mode::empty())
            .map_err(|error| io_error("open layer directory", dir.as_os_str().as_bytes(), error))?;
        unpack(tar, root.as_fd(), &UnpackOptions::default())
    }

    fn remove(&self, dir: &Path) -> Result<(), UnpackError> {
        remove_tree(dir)
    }
}

/// Which extended attributes overlayfs reads its marks from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OverlayXattrs {
    /// `trusted.overlay.*`, for overlays that root mounts.
    #[default]
    Trusted,
    /// `user.overlay.*`, for overlays mounted with `userxattr` (kernel 5.11), in a user namespace.
    User,
}

/// What becomes of the numeric owners in an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Owners {
    /// Every entry gets its owner and group; fails where the namespace lacks that id.
    #[default]
    Keep,
    /// All belongs to the unpacking process: for a user namespace that maps a single id.
    Squash,
    /// All belongs to these.
    All {
        /// User.
        uid: u32,
        /// Group.
        gid: u32,
    },
}

/// What becomes of device nodes in an archive. Whiteouts and fifos are always made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Devices {
    /// Made; needs CAP_MKNOD in the initial user namespace.
    #[default]
    Make,
    /// Left out: a user namespace cannot make them.
    Skip,
}

/// How to unpack. The default is right for root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UnpackOptions {
    /// Where marks for overlayfs go.
    pub overlay_xattrs: OverlayXattrs,
    /// What becomes of owners.
    pub owners: Owners,
    /// What becomes of device nodes.
    pub devices: Devices,
}

/// A layer as the manifest and the config describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerSpec {
    /// Digest of the blob as it is transferred.
    pub digest: Digest,
    /// Size of the blob in bytes.
    pub size: u64,
    /// Media type in the descriptor. Compression is told by the blob's first bytes, not by this.
    pub media_type: MediaType,
    /// Digest of the uncompressed tar stream, from the config's `rootfs.diff_ids`.
    pub diff_id: Digest,
}

/// Whether the layer unpacked in `dir` has an opaque mark on its root, so that nothing of the
/// layers below it may be seen.
///
/// overlayfs looks for this mark on all directories but the roots of its layers (seen on Linux
/// 6.18): who stacks layers must leave those below out.
///
/// # Errors
/// What the kernel says if the attribute cannot be read.
pub fn hides_all_below(dir: &Path) -> std::io::Result<bool> {
    for name in ["user.overlay.opaque", "trusted.overlay.opaque"] {
        match rustix::fs::getxattr(dir, name, &mut [0; 1]) {
            Ok(length) if length > 0 => return Ok(true),
            // Longer than any mark, unreadable for this user, or not supported: no mark of ours.
            Ok(_) | Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE | Errno::ACCESS) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}

fn io_error(action: &'static str, path: &[u8], error: Errno) -> UnpackError {
    UnpackError::Io {
        action,
        path: shown(path),
        source: error.into(),
    }
}

fn refused(path: &[u8], reason: impl Into<String>) -> UnpackError {
    UnpackError::Refused {
        path: shown(path),
        reason: reason.into(),
    }
}

/// What an error shows of a path from an archive, which may be a mebibyte long.
fn shown(path: &[u8]) -> PathBuf {
    const LONGEST: usize = 512;
    match path.get(..LONGEST) {
        Some(start) => OsString::from_vec([start, "…".as_bytes()].concat()).into(),
        None => OsStr::from_bytes(path).into(),
    }
}
