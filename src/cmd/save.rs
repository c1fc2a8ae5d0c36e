//! `save`

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::Path;

use container_core::Engine;
use container_core::image::archive::{Format, select};

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
        None => write(&engine, &args.images, io::stdout().lock(), Path::new("-"))?,
        Some(path) => {
            let mut output = Output::create(&path)?;
            write(&engine, &args.images, &mut output.file, &path)?;
            output.keep()?;
        }
    }
    Ok(0)
}

fn write(engine: &Engine, names: &[String], to: impl Write, path: &Path) -> Result<(), Error> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let selected = select(engine.store(), &names)?;
    let mut output = BufWriter::with_capacity(256 << 10, to);
    engine.save_images(&selected, Format::default(), &mut output)?;
    output.flush().map_err(failed("write", path))
}
