//! What a container's changes take.

use std::collections::HashSet;
use std::os::fd::BorrowedFd;

use rustix::fs::FileType;

use super::name;
use crate::tree::{self, Mounts, Tree, TreeError};

/// The sum of the sizes of all files in a container's private layer, in bytes, as Docker counts
/// them: each file once, whatever links it has, and no directories.
///
/// # Errors
/// [`TreeError`].
pub fn size(upper: BorrowedFd<'_>) -> Result<u64, TreeError> {
    let tree = Tree::new(upper, Mounts::Leave);
    let mut seen = HashSet::new();
    let mut total = 0u64;
    let mut pending = vec![Vec::new()];
    while let Some(path) = pending.pop() {
        let dir = match tree.open(&path) {
            Ok(dir) => dir,
            Err(error) if tree::is_gone(error) => continue,
            Err(error) => return Err(TreeError::at("open", &path)(error)),
        };
        for name in tree::names(&dir, &path)? {
            let inside = name::join(&path, &name);
            let Some(stat) = tree::stat(&dir, &name, &inside)? else {
                continue;
            };
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                pending.push(inside);
            } else if stat.st_nlink == 1 || seen.insert((stat.st_dev, stat.st_ino)) {
                total = total.saturating_add(u64::try_from(stat.st_size).unwrap_or(0));
            }
        }
    }
    Ok(total)
}
