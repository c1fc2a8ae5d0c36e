//! `export`

use std::io::{self, IsTerminal as _};
use std::path::Path;

use container_core::Archive;

use super::output::{Output, failed};
use crate::cli::files::ExportArgs;
use crate::error::Error;
use crate::settings::Settings;

/// Writes a container's root file system as a tar archive.
pub(crate) fn run(settings: &Settings, args: ExportArgs) -> Result<u8, Error> {
    if args.output.is_none() && io::stdout().is_terminal() {
        return Err(Error::SaveToTerminal);
    }
    let engine = settings.engine()?;
    let container = engine.get(&args.container)?;
    let output = args.output.as_deref().map(Output::create).transpose()?;
    let archive = super::runtime()?.block_on(container.export())?;
    match output {
        Some(mut output) => {
            write(archive, &mut output.file, &output.path)?;
            output.keep()?;
        }
        None => write_out(archive)?,
    }
    Ok(0)
}

/// Writes an archive to standard output.
pub(super) fn write_out(archive: Archive) -> Result<(), Error> {
    write(archive, &mut io::stdout().lock(), Path::new("-"))
}

fn write(mut archive: Archive, to: &mut dyn io::Write, path: &Path) -> Result<(), Error> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        let length = io::Read::read(&mut archive, &mut buffer);
        match length.map_err(from_container)? {
            0 => return to.flush().map_err(failed("write", path)),
            length => to.write_all(&buffer[..length]).map_err(|e| match path {
                path if path == Path::new("-") => Error::Output(e),
                path => failed("write", path)(e),
            })?,
        }
    }
}

/// What was wrong with the container's side.
fn from_container(error: io::Error) -> Error {
    match error.downcast::<container_core::Error>() {
        Ok(error) => Error::Core(error),
        Err(source) => Error::System {
            action: "read the archive",
            source,
        },
    }
}
