//! `images`

use container_core::image::store::ImageSummary;
use jiff::Timestamp;

use crate::cli::image::ImagesArgs;
use crate::error::Error;
use crate::flags::filter::{self, ImageFilters};
use crate::print;
use crate::print::images::{Options, TABLE, TABLE_WITH_DIGESTS, TITLES, rows};
use crate::print::rows::is_default;
use crate::settings::Settings;

/// Lists images.
pub(crate) fn run(settings: &Settings, args: ImagesArgs) -> Result<u8, Error> {
    let mut filters = ImageFilters::default();
    for text in &args.filter {
        filters.add(text)?;
    }
    if let Some(repository) = args.repository {
        filters.reference.push(repository);
    }
    let engine = settings.engine()?;
    let store = engine.store();
    let built = |name: &String| {
        store
            .find(name)
            .map(|image| image.created().unwrap_or(Timestamp::UNIX_EPOCH))
    };
    let before = filters
        .before
        .iter()
        .map(built)
        .collect::<Result<Vec<_>, _>>()?;
    let since = filters
        .since
        .iter()
        .map(built)
        .collect::<Result<Vec<_>, _>>()?;
    let in_time = |image: &ImageSummary| {
        let created = image.created.unwrap_or(Timestamp::UNIX_EPOCH);
        before.iter().all(|bound| created < *bound) && since.iter().all(|bound| created > *bound)
    };
    let images = store.images()?.into_iter().filter(|image| {
        in_time(image)
            && filters
                .dangling
                .is_none_or(|wanted| wanted == image.is_dangling())
            && filters
                .label
                .iter()
                .all(|label| filter::label_matches(label, &image.labels))
    });
    let options = Options {
        digests: args.digests || args.format.as_ref().is_some_and(|f| f.contains(".Digest")),
        no_trunc: args.no_trunc,
        now: Timestamp::now(),
    };
    let rows = rows(images, &filters.reference, &options);
    let text = match args.format.as_deref() {
        format if is_default(format) && args.quiet => {
            let mut ids: Vec<String> = rows.into_iter().map(|row| row.id + "\n").collect();
            // An image with two names is one image.
            ids.dedup();
            ids.concat()
        }
        format if is_default(format) && args.digests => {
            print::rows::rows(TABLE_WITH_DIGESTS, TITLES, &rows)?
        }
        format if is_default(format) => print::rows::rows(TABLE, TITLES, &rows)?,
        format => print::rows::rows(format.unwrap_or_default(), TITLES, &rows)?,
    };
    print::out(&text).map(|()| 0)
}
