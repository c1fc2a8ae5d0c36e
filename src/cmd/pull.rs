//! `pull`, and the pull before a `run`.

use container_core::Engine;
use container_core::image::Platform;
use container_core::image::registry::PullOptions;

use crate::cli::image::PullArgs;
use crate::error::Error;
use crate::print;
use crate::print::progress::{Output, Printer};
use crate::settings::Settings;

/// Downloads an image.
pub(crate) fn run(settings: &Settings, args: PullArgs) -> Result<u8, Error> {
    if args.all_tags {
        let why = "it would fetch every image of a repository, and comes later";
        return Err(Error::FlagLater {
            flag: "all-tags",
            why,
        });
    }
    let platform = settings.platform(args.platform.as_deref())?;
    // Said before the registry is reached, as Docker does; a `run` does not say it.
    let tag = super::reference(&args.image)?.tag().map(str::to_owned);
    if tag.as_deref() == Some("latest") && !args.image.ends_with(":latest") && !args.quiet {
        print::out("Using default tag: latest\n")?;
    }
    let engine = settings.engine()?;
    let output = if args.quiet {
        Output::Quiet
    } else {
        Output::Stdout
    };
    let name = super::runtime()?.block_on(pull(&engine, &args.image, platform, output))?;
    print::out(&format!("{name}\n")).map(|()| 0)
}

/// Downloads an image, showing how it goes; gives its full name.
pub(crate) async fn pull(
    engine: &Engine,
    image: &str,
    platform: Option<Platform>,
    output: Output,
) -> Result<String, Error> {
    let reference = super::reference(image)?;
    let printer = Printer::new(output, &reference);
    let options = PullOptions {
        platform,
        ..PullOptions::default()
    };
    let events = printer.clone();
    let pulled = engine
        .pull(&reference, &options, move |event| events.event(&event))
        .await?;
    let status = match pulled.up_to_date {
        true => "Image is up to date for",
        false => "Downloaded newer image for",
    };
    printer.finish(
        &pulled.digest,
        &format!("Status: {status} {}", reference.familiar()),
    );
    Ok(reference.to_string())
}
