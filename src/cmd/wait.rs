//! `wait`

use super::each;
use crate::cli::container::ContainersArgs;
use crate::error::Error;
use crate::settings::Settings;

/// Waits for the end of containers, one after the other, and prints their exit codes.
pub(crate) fn run(settings: &Settings, args: ContainersArgs) -> Result<u8, Error> {
    each::in_turn(settings, &args.containers, async |engine, name| {
        Ok(engine.get(name)?.wait().await?.code.to_string())
    })
}
