//! `rmi`

use container_core::image::store::{Removal, RemoveOptions, StoreError};

use crate::cli::image::RmiArgs;
use crate::error::Error;
use crate::print;
use crate::settings::Settings;

/// Removes images. Each is tried; those that stay are told of on standard error.
pub(crate) fn run(settings: &Settings, args: RmiArgs) -> Result<u8, Error> {
    let engine = settings.engine()?;
    let options = RemoveOptions { force: args.force };
    let mut code = 0;
    for name in &args.images {
        match engine.remove_image(name, options) {
            Ok(removals) => {
                print::out(&removals.iter().map(line).collect::<String>())?;
            }
            Err(error) => {
                // Forcing an image away that is not there has done its work.
                let gone = args.force && matches!(error, StoreError::NotFound { .. });
                code = if gone { code } else { 1 };
                print::err(&Error::from(error).text(None));
            }
        }
    }
    Ok(code)
}

fn line(removal: &Removal) -> String {
    match removal {
        Removal::Untagged(name) => format!("Untagged: {}\n", name.familiar()),
        Removal::Deleted(digest) => format!("Deleted: {digest}\n"),
    }
}
