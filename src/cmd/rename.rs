//! `rename`

use crate::cli::container::RenameArgs;
use crate::error::Error;
use crate::settings::Settings;

/// Gives a container another name.
pub(crate) fn run(settings: &Settings, args: RenameArgs) -> Result<u8, Error> {
    let (old, new) = (args.container.trim(), args.name.trim());
    if old.is_empty() || new.is_empty() {
        return Err(Error::EmptyName);
    }
    let mut container = settings.engine()?.get(old)?;
    let new = new.strip_prefix('/').unwrap_or(new);
    super::runtime()?.block_on(container.rename(new))?;
    Ok(0)
}
