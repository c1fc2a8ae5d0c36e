//! `host`, the image that is always there: the machine's own programs and configuration,
//! read-only below a private writable layer.
//!
//! The `/usr` side of the machine is seen. `/home`, `/root`, `/tmp`, `/run`, `/var` and other
//! mounts are not, nor is any file below `/etc` that not everybody may read.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::monitor::job::{Entry, EntryKind};
use crate::spec::Rootfs;

/// The image's name.
pub const NAME: &str = "host";

/// The directory of a container that becomes its root.
pub(crate) const BASE: &str = "rootfs";

/// The directories that a container writes to, in its own.
pub(crate) fn private_dirs(dir: &Path) -> Vec<PathBuf> {
    let uppers = fs::read_dir(dir.join("rw")).into_iter().flatten().flatten();
    let uppers = uppers.map(|entry| entry.path().join("upper"));
    std::iter::once(dir.join(BASE)).chain(uppers).collect()
}

/// Directories of `/` that are shown, where they exist. Links among them (`/bin` on a merged-usr
/// machine) stay links.
const SHOWN: [&str; 9] = [
    "bin", "etc", "lib", "lib32", "lib64", "libx32", "opt", "sbin", "usr",
];

/// Empty directories that programs expect: name and mode.
const EMPTY: [(&str, u32); 17] = [
    ("dev", 0o755),
    ("home", 0o755),
    ("media", 0o755),
    ("mnt", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("srv", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("var", 0o755),
    ("var/cache", 0o755),
    ("var/lib", 0o755),
    ("var/log", 0o755),
    ("var/spool", 0o755),
    ("var/tmp", 0o1777),
    ("var/mail", 0o2775),
];

/// Looks at the machine and describes its root file system for a container in `dir`.
pub(crate) fn rootfs(dir: &Path) -> Result<(Rootfs, Vec<Entry>)> {
    let at = |path: String, kind| Entry { path, kind };
    let mut entries = vec![at(BASE.into(), EntryKind::Directory(0o755))];
    for (name, mode) in EMPTY {
        entries.push(at(format!("{BASE}/{name}"), EntryKind::Directory(mode)));
    }
    entries.push(at(
        format!("{BASE}/var/run"),
        EntryKind::Link("/run".into()),
    ));
    let mut overlays = Vec::new();
    for name in SHOWN {
        let path = Path::new("/").join(name);
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        if metadata.is_symlink() {
            let target = fs::read_link(&path).map_err(Error::io("read the link", &path))?;
            let target = target.to_string_lossy().into_owned();
            entries.push(at(format!("{BASE}/{name}"), EntryKind::Link(target)));
        } else if metadata.is_dir() && !is_empty(&path) {
            let (upper, work) = (format!("rw/{name}/upper"), format!("rw/{name}/work"));
            let mode = metadata.permissions().mode() & 0o7777;
            entries.push(at(format!("{BASE}/{name}"), EntryKind::Directory(0o755)));
            entries.push(at(format!("rw/{name}"), EntryKind::Directory(0o700)));
            entries.push(at(upper.clone(), EntryKind::Directory(mode)));
            entries.push(at(work.clone(), EntryKind::Directory(0o700)));
            if name == "etc" {
                hide_secrets(&path, &upper, &mut entries)?;
            }
            overlays.push((name.to_owned(), dir.join(upper), dir.join(work)));
        }
    }
    Ok((
        Rootfs::Host {
            base: dir.join(BASE),
            overlays,
        },
        entries,
    ))
}

fn is_empty(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

/// Whiteouts (overlayfs: character device 0/0) for all that not everybody may read, wherever it
/// lies: a list of names would miss what the next package brings. A directory appears among the
/// entries only when something below it is hidden.
fn hide_secrets(dir: &Path, upper: &str, entries: &mut Vec<Entry>) -> Result<()> {
    let listing = match fs::read_dir(dir) {
        Ok(listing) => listing,
        // Not to be listed by us: then it shows a container nothing either.
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound
            ) =>
        {
            return Ok(());
        }
        Err(e) => return Err(Error::io("list", dir)(e)),
    };
    for entry in listing {
        let entry = entry.map_err(Error::io("list", dir))?;
        // Gone meanwhile, then there is nothing to hide.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        if metadata.is_symlink() {
            continue;
        }
        let name = entry.file_name();
        let name = name.to_str().ok_or_else(|| {
            Error::io("show", entry.path())(io::Error::other("its name is not UTF-8"))
        })?;
        let path = format!("{upper}/{name}");
        let everybody = if metadata.is_dir() { 0o005 } else { 0o004 };
        if metadata.mode() & everybody != everybody {
            entries.push(Entry {
                path,
                kind: EntryKind::Whiteout,
            });
        } else if metadata.is_dir() {
            let mut below = Vec::new();
            hide_secrets(&entry.path(), &path, &mut below)?;
            if !below.is_empty() {
                let mode = metadata.permissions().mode() & 0o7777;
                entries.push(Entry {
                    path,
                    kind: EntryKind::Directory(mode),
                });
                entries.append(&mut below);
            }
        }
    }
    Ok(())
}
