//! `load`

use std::io::{self, IsTerminal as _};

use container_core::image::archive::Input;

use crate::cli::image::LoadArgs;
use crate::error::Error;
use crate::print;
use crate::settings::Settings;

/// Brings the images of an archive in.
pub(crate) fn run(settings: &Settings, args: LoadArgs) -> Result<u8, Error> {
    let mut stdin = io::stdin().lock();
    let input = match &args.input {
        Some(path) => {
            // Docker says so before anything else, and in these words.
            std::fs::metadata(path).map_err(|source| Error::File {
                action: "open",
                path: path.clone(),
                source,
            })?;
            Input::Path(path)
        }
        None if stdin.is_terminal() => return Err(Error::LoadFromTerminal),
        None => Input::Stream(&mut stdin),
    };
    let engine = settings.engine()?;
    let loaded = engine
        .load_images(input)
        .map_err(|source| match &args.input {
            Some(path) => Error::Load {
                path: path.clone(),
                source,
            },
            None => source.into(),
        })?;
    let mut text = String::new();
    for loaded in loaded {
        if loaded.names.is_empty() {
            text.push_str(&format!("Loaded image ID: {}\n", loaded.image.id));
        }
        for name in &loaded.names {
            text.push_str(&format!("Loaded image: {}\n", name.familiar()));
        }
    }
    print::out(&text).map(|()| 0)
}
