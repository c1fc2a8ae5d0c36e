//! `pause`, `unpause`

use super::each;
use crate::cli::container::ContainersArgs;
use crate::error::Error;
use crate::settings::Settings;

/// Freezes containers.
pub(crate) fn pause(settings: &Settings, args: ContainersArgs) -> Result<u8, Error> {
    each::at_once(settings, &args.containers, async |engine, name| {
        Ok(engine.get(name)?.pause().await?)
    })
}

/// Lets frozen containers go on.
pub(crate) fn unpause(settings: &Settings, args: ContainersArgs) -> Result<u8, Error> {
    each::at_once(settings, &args.containers, async |engine, name| {
        Ok(engine.get(name)?.unpause().await?)
    })
}
