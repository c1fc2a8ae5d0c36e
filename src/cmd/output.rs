//! Files that verbs write.
//!
//! ```text
//! DIRECTORY/
//!   .NAME.PID.partial   while it is written
//!   NAME                the file, once it is complete
//! ```

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// A file being written; gone when it is dropped before it is kept.
pub(super) struct Output {
    pub(super) file: File,
    pub(super) path: PathBuf,
    /// Its name as long as it is not complete. None for a device or a pipe, which is written into
    /// and not replaced.
    partial: Option<PathBuf>,
}

pub(super) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File {
        action,
        path,
        source,
    }
}

impl Output {
    pub(super) fn create(path: &Path) -> Result<Self, Error> {
        let in_place = fs::metadata(path).is_ok_and(|file| !file.is_file());
        let partial = (!in_place).then(|| partial_path(path));
        let file = match &partial {
            Some(partial) => private(partial).map_err(failed("create", path)),
            None => File::create(path).map_err(failed("open", path)),
        };
        Ok(Self {
            file: file?,
            path: path.to_owned(),
            partial,
        })
    }

    /// It is complete.
    pub(super) fn keep(mut self) -> Result<(), Error> {
        match self.partial.take() {
            Some(partial) => fs::rename(&partial, &self.path).map_err(failed("create", &self.path)),
            None => Ok(()),
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(partial) = &self.partial {
            // What cannot be removed is in nobody's way.
            _ = fs::remove_file(partial);
        }
    }
}

/// A new file that is nobody else's to read, as Docker's.
fn private(path: &Path) -> io::Result<File> {
    File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

fn partial_path(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.partial", std::process::id()))
}
