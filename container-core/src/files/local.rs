//! This machine's side of copying, with the caller's own rights.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use container_image::archive::{self, ArchiveError};
use container_image::layer::{Devices, OverlayXattrs, Owners, UnpackError, UnpackOptions};
use container_image::tree::TreeError;

use super::error::FilesError;
use super::path;
use super::rules::{self, Destination, Source};
use crate::error::{Error, Result};

/// A path of this machine as text, from the root on, its end kept.
pub(super) fn absolute(local: &Path) -> Result<String> {
    let text = |path: &Path| {
        let text = path.to_str().map(str::to_owned);
        text.ok_or_else(|| FilesError::failed("copy")(format!("{path:?} is not UTF-8")))
    };
    let asked = text(local)?;
    if asked.is_empty() {
        return Err(FilesError::EmptyPath.into());
    }
    let whole = std::path::absolute(local).map_err(Error::io("find", local))?;
    Ok(path::keep_end(&path::clean(&text(&whole)?), &asked))
}

/// An error of this machine's, as Docker's client tells it.
fn failed(action: &str, path: &str) -> impl FnOnce(io::Error) -> FilesError {
    let (action, path) = (format!("{action} {path}"), path.to_owned());
    move |error| match error.kind() {
        io::ErrorKind::NotADirectory => FilesError::NotADirectory { path },
        _ => FilesError::failed(action)(error),
    }
}

fn resolved(path: &str) -> Result<String, FilesError> {
    let real = fs::canonicalize(path).map_err(failed("find", path))?;
    let text = real.into_os_string().into_string();
    text.map_err(|real| FilesError::failed("copy")(format!("{real:?} is not UTF-8")))
}

/// What is to be copied from here. The last component is followed if it is a link and it is asked
/// to be, or ends in a slash.
pub(super) fn source(asked: &str, follow: bool) -> Result<Source, FilesError> {
    let (path, rename) = match follow {
        true => rules::followed(asked, &resolved(asked)?),
        false => {
            let (dir, name) = asked.rsplit_once('/').unwrap_or(("", asked));
            let real = resolved(&format!("{dir}/"))?;
            let path = format!("{}/{name}", real.trim_end_matches('/'));
            let (old, new) = (path::base(asked), path::base(&path));
            let lost = path::has_trailing_slash(asked) && old != new;
            (path, lost.then(|| old.to_owned()))
        }
    };
    let meta = fs::symlink_metadata(&path).map_err(failed("find", asked))?;
    Ok(Source {
        path,
        is_dir: meta.is_dir(),
        rename,
    })
}

/// Whether something can be copied to this place at all.
pub(super) fn check_output(asked: &str) -> Result<(), FilesError> {
    let (dir, _) = path::split(&path::clean(asked));
    if fs::metadata(&dir).is_err_and(|e| e.kind() == io::ErrorKind::NotFound) {
        return Err(FilesError::NoOutputDirectory { path: dir });
    }
    match fs::metadata(asked) {
        Ok(meta) => {
            let kind = meta.file_type();
            let device = kind.is_block_device() || kind.is_char_device();
            match device {
                true => Err(FilesError::OddDestination {
                    path: asked.to_owned(),
                }),
                false => Ok(()),
            }
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(failed("find", asked)(e)),
    }
}

/// What is at the place to copy to, links followed: one that leads nowhere means its target.
pub(super) fn destination(asked: &str) -> Result<Destination, FilesError> {
    /// As many as Docker follows.
    const MAX_LINKS: u32 = 10;
    let mut path = asked.to_owned();
    for _ in 0..=MAX_LINKS {
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_symlink() => {
                let target = fs::read_link(&path).map_err(failed("read the link", &path))?;
                let (dir, _) = path::split(&path);
                path = path::join(&dir, &target.to_string_lossy());
            }
            Ok(meta) => {
                return Ok(Destination {
                    path,
                    is_dir: Some(meta.is_dir()),
                });
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let (dir, _) = path::split(&path);
                let parent = fs::metadata(&dir).map_err(failed("find", &dir))?;
                return match parent.is_dir() {
                    true => Ok(Destination { path, is_dir: None }),
                    false => Err(FilesError::NotADirectory { path: dir }),
                };
            }
            Err(e) => return Err(failed("find", &path)(e)),
        }
    }
    Err(FilesError::TooManyLinks {
        path: asked.to_owned(),
    })
}

/// Writes something of this machine as an archive in which it has this name, or its own.
pub(super) fn pack(
    source: &Source,
    name: Option<&str>,
    output: &mut dyn Write,
) -> Result<(), TreeError> {
    let (dir, base) = path::split(&source.path);
    let open = || File::open(&dir);
    let parent = open().map_err(|source| TreeError::Io {
        action: "open",
        path: dir.clone().into(),
        source,
    })?;
    let entry = match &*base {
        "/" => ".",
        base => base,
    };
    let shown = match name.unwrap_or(&base) {
        "/" => "",
        shown => shown,
    };
    archive::pack(parent.as_fd(), entry.as_bytes(), shown.as_bytes(), output)
}

/// Unpacks an archive in a directory of this machine. All belongs to the caller.
pub(super) fn extract(into: &str, archive: &mut dyn Read) -> Result<(), FilesError> {
    let root = File::open(into).map_err(failed("open", into))?;
    let options = UnpackOptions {
        overlay_xattrs: OverlayXattrs::User,
        owners: Owners::Squash,
        devices: Devices::Make,
    };
    archive::extract(archive, root.as_fd(), b"", &options).map_err(|error| match error {
        ArchiveError::Unpack(UnpackError::Overwrite { path, directory }) => {
            let path = Path::new(into).join(path);
            FilesError::Overwrite {
                path: path.display().to_string(),
                into: into.to_owned(),
                directory,
            }
        }
        error => FilesError::failed(format!("copy into {into}"))(error),
    })
}
