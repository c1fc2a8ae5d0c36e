//! `system start`

use crate::cli::image::NoArgs;
use crate::error::Error;
use crate::print;
use crate::settings::Settings;

/// Starts what restart policies want to run: for a unit that is started at boot.
pub(crate) fn run(settings: &Settings, _: NoArgs) -> Result<u8, Error> {
    let engine = settings.engine()?;
    let started = super::runtime()?.block_on(engine.start_all())?;
    let mut code = 0;
    for (id, result) in started {
        match result {
            Ok(()) => print::out(&format!("{id}\n"))?,
            Err(error) => {
                print::err(&format!("Error: cannot start container {id}: {error}"));
                code = 1;
            }
        }
    }
    Ok(code)
}
