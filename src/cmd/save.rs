//! `save`
//!
//! ```text
//! DIRECTORY/
//!   .NAME.PID.partial   while it is written
//!   NAME                the archive, once it is complete
//! ```

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use container_core::image::Store;
use container_core::image::archive::{Format, save, select};

use crate::cli::image::SaveArgs;
use crate::error::Error;
use crate::settings::Settings;

/// Writes images into an archive that `load` and `docker load` read.
pub(crate) fn run(settings: &Settings, args: SaveArgs) -> Result<u8, Error> {
    if args.output.is_none() && io::stdout().is_terminal() {
        return Err(Error::SaveToTerminal);
    }
    let engine = settings.engine()?;
    match args.output {
        None => write(
            engine.store(),
            &args.images,
            io::stdout().lock(),
            Path::new("-"),
        )?,
        // A device or a pipe is written into, not replaced.
        Some(path) if fs::metadata(&path).is_ok_and(|file| !file.is_file()) => {
            let file = File::create(&path).map_err(failed("open", &path))?;
            write(engine.store(), &args.images, file, &path)?;
        }
        Some(path) => {
            let partial = Partial(partial_path(&path));
            let file = File::create(&partial.0).map_err(failed("create", &path))?;
            write(engine.store(), &args.images, file, &path)?;
            fs::rename(&partial.0, &path).map_err(failed("create", &path))?;
        }
    }
    Ok(0)
}

fn write(store: &Store, names: &[String], to: impl Write, path: &Path) -> Result<(), Error> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let selected = select(store, &names)?;
    let mut output = BufWriter::with_capacity(256 << 10, to);
    save(store, &selected, Format::default(), &mut output)?;
    output.flush().map_err(failed("write", path))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File {
        action,
        path,
        source,
    }
}

fn partial_path(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.partial", std::process::id()))
}

/// The unfinished archive: gone when this is dropped, unless it was renamed.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
