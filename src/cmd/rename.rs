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
    let new = new.strip_prefix('/').unwrap_or(new);
    let engine = settings.engine()?;
    let renamed = super::runtime()?.block_on(async { engine.get(old)?.rename(new).await });
    renamed.map(|()| 0).map_err(|source| Error::Rename {
        container: old.to_owned(),
        source,
    })
}
