//! A container's changes as a layer: a tar stream that makes them again.

use std::io::Write;

use super::changes::{Depth, Found, Overlay, walk};
use super::name;
use crate::tree::{Archiver, Mounts, Tree, TreeError};

/// Writes the changes in the upper directory of an overlay as a layer. Unpacked on top of the same
/// layers it gives the same tree.
///
/// The bytes depend on nothing but what is in the directories: names in byte order, owners,
/// modes, times to the nanosecond, extended attributes, hard links; what is gone as `.wh.NAME`,
/// what hides a directory below as `.wh..wh..opq` (OCI image-spec, layer.md). Owners are those
/// that this process sees. Sockets are left out. With no change the archive is empty.
///
/// The directory may be in use; then files are as they are when they are read.
///
/// # Errors
/// [`TreeError`]; what `output` has is no complete layer then.
pub fn diff(overlay: &Overlay<'_>, output: &mut dyn Write) -> Result<(), TreeError> {
    let mut archiver = Archiver::new(output);
    let tree = Tree::new(overlay.upper, Mounts::Leave);
    walk(overlay, Depth::Touched, &mut |found| match found {
        Found::Entry {
            path,
            dir,
            name,
            stat,
            ..
        } => {
            if name.starts_with(b".wh.") {
                return Err(TreeError::refused(
                    path,
                    "names that begin with .wh. mean something else in a layer; rename it",
                ));
            }
            archiver.add(tree, (dir, name), path, stat)
        }
        Found::Gone { covered: true, .. } => Ok(()),
        Found::Gone { path, .. } => {
            let (parent, gone) = name::split(path);
            archiver.mark(name::join(parent, &[b".wh.", gone].concat()))
        }
        Found::Opaque { path } => archiver.mark(name::join(path, b".wh..wh..opq")),
    })?;
    archiver.finish()
}
