//! `tag`

use container_core::image::Reference;

use crate::cli::image::TagArgs;
use crate::error::Error;
use crate::settings::Settings;

/// Gives an image a further name.
pub(crate) fn run(settings: &Settings, args: TagArgs) -> Result<u8, Error> {
    let target: Reference = args.target.parse().map_err(|source| Error::TagTarget {
        target: args.target.clone(),
        source,
    })?;
    if target.digest().is_some() {
        return Err(Error::TagDigest);
    }
    let engine = settings.engine()?;
    let tagged = engine.tag(&args.source, &target);
    tagged.map_err(super::with_tag)?;
    Ok(0)
}
