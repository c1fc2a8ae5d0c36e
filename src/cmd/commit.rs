//! `commit`

use container_core::CommitOptions;

use crate::cli::files::CommitArgs;
use crate::error::Error;
use crate::print;
use crate::settings::Settings;

/// Makes an image of a container's changes and prints its id.
pub(crate) fn run(settings: &Settings, args: CommitArgs) -> Result<u8, Error> {
    let reference = args.name.as_deref().map(super::reference).transpose()?;
    if reference.as_ref().is_some_and(|r| r.digest().is_some()) {
        return Err(Error::TagDigest);
    }
    let options = CommitOptions {
        reference,
        author: args.author.unwrap_or_default(),
        message: args.message.unwrap_or_default(),
        changes: args.change,
        pause: args.pause,
    };
    let engine = settings.engine()?;
    let container = engine.get(&args.container)?;
    let image = super::runtime()?.block_on(container.commit(&options))?;
    print::out(&format!("{}\n", image.id)).map(|()| 0)
}
