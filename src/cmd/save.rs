//! `save`

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::Path;

use container_core::image::Store;
use container_core::image::archive::{Format, save, select};

use super::output::{Output, failed};
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
        Some(path) => {
            let mut output = Output::create(&path)?;
            write(engine.store(), &args.images, &mut output.file, &path)?;
            output.keep()?;
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
