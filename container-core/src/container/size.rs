//! How much a container has written.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Container;
use crate::{Error, Result};

impl Container {
    /// The sum of the sizes of all files that the container has changed or made, in bytes: what
    /// `docker ps --size` shows. A file with several names counts once. Directories that this
    /// user may not read, as those of a rootless container's other users, count nothing.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub fn size(&self) -> Result<u64> {
        let changes = self.engine.container_dir(&self.id).join("rw");
        sum(&changes, &mut HashSet::new())
    }
}

/// overlayfs's own directories hold nothing that is the container's.
const WORK: &str = "work";

fn sum(dir: &Path, seen: &mut HashSet<(u64, u64)>) -> Result<u64> {
    let mut total = 0;
    let mut pending = vec![(dir.to_owned(), 0)];
    while let Some((dir, depth)) = pending.pop() {
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(e) if is_passed_over(&e) => continue,
            Err(e) => return Err(Error::io("list", dir)(e)),
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(e) if is_passed_over(&e) => continue,
                Err(e) => return Err(Error::io("list", dir)(e)),
            };
            // `rw/work`, or `rw/NAME/work` of `host`.
            let is_work = entry.file_name() == WORK
                && (depth == 0 || (depth == 1 && dir.join("upper").is_dir()));
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                Err(e) if is_passed_over(&e) => continue,
                Err(e) => return Err(Error::io("inspect", entry.path())(e)),
            };
            if metadata.is_dir() {
                if !is_work {
                    pending.push((entry.path(), depth + 1));
                }
            } else if metadata.nlink() == 1 || seen.insert((metadata.dev(), metadata.ino())) {
                total += metadata.len();
            }
        }
    }
    Ok(total)
}

/// It has just been removed, or belongs to another user of the container.
fn is_passed_over(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_count_once_and_overlayfs_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["upper/work", "work/index", "etc/upper", "etc/work/work"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        for (name, size) in [
            ("upper/a", 10),
            ("upper/work/b", 100),
            ("work/c", 1000),
            ("etc/upper/d", 10_000),
            ("etc/work/e", 100_000),
        ] {
            fs::write(dir.path().join(name), vec![0; size]).unwrap();
        }
        fs::hard_link(dir.path().join("upper/a"), dir.path().join("upper/a2")).unwrap();
        assert_eq!(sum(dir.path(), &mut HashSet::new()).unwrap(), 10_110);
        assert_eq!(
            sum(&dir.path().join("gone"), &mut HashSet::new()).unwrap(),
            0
        );
    }
}
