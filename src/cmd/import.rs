//! `import`

use std::io;
use std::path::Path;

use container_core::image::archive::{Import, Input};

use crate::cli::image::ImportArgs;
use crate::error::Error;
use crate::print;
use crate::settings::Settings;

/// Makes an image of a root file system's tar archive and prints its id.
pub(crate) fn run(settings: &Settings, args: ImportArgs) -> Result<u8, Error> {
    if args.source.starts_with("http://") || args.source.starts_with("https://") {
        return Err(Error::ImportUrl(args.source));
    }
    let mut wanted = Import {
        name: args.name.as_deref().map(super::reference).transpose()?,
        changes: args.change,
        message: args.message.unwrap_or_default(),
        ..Import::default()
    };
    if let Some(platform) = settings.platform(args.platform.as_deref())? {
        wanted.platform = platform;
    }
    let mut stdin = io::stdin().lock();
    let input = match args.source.as_str() {
        "-" => Input::Stream(&mut stdin),
        path => Input::Path(Path::new(path)),
    };
    let engine = settings.engine()?;
    let image = engine.import_image(input, &wanted)?;
    print::out(&format!("{}\n", image.id)).map(|()| 0)
}
