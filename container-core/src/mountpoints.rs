//! What a container's own mounts lie on: the lowest layer of every image.
//!
//! ```text
//! <root>/mountpoints/
//!     dev/ proc/ sys/
//!     etc/hosts etc/hostname etc/resolv.conf     empty
//! ```
//!
//! Made once. Without it each container would make in its own upper directory what its image
//! lacks of these, and remove it again. An image's own entries go before, since this lies below
//! them; where one hides these (a link, a whiteout) the container still makes its own.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

const DIRECTORIES: [&str; 4] = ["dev", "etc", "proc", "sys"];
const FILES: [&str; 3] = ["etc/hostname", "etc/hosts", "etc/resolv.conf"];

/// The directory, which is made when it is missing.
pub(crate) fn directory(root: &Path) -> Result<PathBuf> {
    let place = root.join("mountpoints");
    if place.exists() {
        return Ok(place);
    }
    // Any number of processes may be at it: they fill the same directory, and the first that is
    // done puts it in place.
    let aside = root.join("mountpoints.new");
    match fill(&aside).and_then(|()| fs::rename(&aside, &place)) {
        Ok(()) => {}
        Err(_) if place.exists() => _ = fs::remove_dir_all(&aside),
        Err(error) => return Err(Error::io("make the directory", place)(error)),
    }
    Ok(place)
}

fn fill(dir: &Path) -> io::Result<()> {
    let directory = |path: PathBuf| {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o755).create(&path)?;
        // The creation mask has no say.
        fs::set_permissions(path, Permissions::from_mode(0o755))
    };
    directory(dir.to_owned())?;
    for name in DIRECTORIES {
        directory(dir.join(name))?;
    }
    for name in FILES {
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o644);
        let file = options.open(dir.join(name))?;
        file.set_permissions(Permissions::from_mode(0o644))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(place: &Path) {
        for name in DIRECTORIES {
            assert!(place.join(name).is_dir());
        }
        for name in FILES {
            let found = fs::metadata(place.join(name)).unwrap();
            assert_eq!(
                (found.len(), found.permissions().mode() & 0o7777),
                (0, 0o644)
            );
        }
    }

    #[test]
    fn made_whole_by_many_at_once() {
        for _ in 0..20 {
            let root = tempfile::tempdir().unwrap();
            std::thread::scope(|threads| {
                for _ in 0..8 {
                    threads.spawn(|| check(&directory(root.path()).unwrap()));
                }
            });
            let left: Vec<_> = fs::read_dir(root.path()).unwrap().collect();
            assert_eq!(left.len(), 1, "{left:?}");
        }
    }

    #[test]
    fn one_left_half_made_is_completed() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("mountpoints.new/etc")).unwrap();
        check(&directory(root.path()).unwrap());
    }
}
