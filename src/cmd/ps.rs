//! `ps`

use std::collections::HashMap;

use container_core::image::store::{Image, StoreError};
use container_core::image::{Digest, Store};
use container_core::{Engine, Inspect};
use jiff::Timestamp;

use crate::cli::container::PsArgs;
use crate::error::Error;
use crate::flags::container_filter::{ContainerFilters, Related};
use crate::print::containers::{
    Options, RAW, RAW_WITH_SIZES, Row, TABLE, TABLE_WITH_SIZES, TITLES, row, short_id,
};
use crate::print::rows::is_default;
use crate::print::template::{self, Template, TemplateError};
use crate::print::{self, rows};
use crate::settings::Settings;

/// Lists containers.
pub(crate) fn run(settings: &Settings, args: PsArgs) -> Result<u8, Error> {
    if let Some(format) = args.format.as_deref().filter(|_| !args.quiet) {
        check(format).map_err(Error::PsTemplate)?;
    }
    let filters = ContainerFilters::new(args.filter)?;
    let engine = settings.engine()?;
    let related = related(&engine, &filters)?;
    // A number that was given counts more than `--latest`.
    let last = match (args.latest, args.last) {
        (true, -1) => Some(1),
        (_, last) => usize::try_from(last).ok().filter(|last| *last > 0),
    };
    let containers = match args.all || last.is_some() || filters.wants_all() {
        true => engine.containers()?,
        false => engine.running()?,
    };
    let listed: Vec<Inspect> = containers
        .into_iter()
        .filter(|container| filters.matches(container, &related))
        .take(last.unwrap_or(usize::MAX))
        .collect();
    if args.quiet {
        if !is_default(args.format.as_deref()) {
            print::err(
                "WARNING: Ignoring custom format, because both --format and --quiet are set.",
            );
        }
        let id = |container: &Inspect| match args.no_trunc {
            true => container.record.id.clone() + "\n",
            false => short_id(&container.record.id) + "\n",
        };
        return print::out(&listed.iter().map(id).collect::<String>()).map(|()| 0);
    }
    let format = match (args.format.as_deref(), args.size) {
        (format, false) if is_default(format) => TABLE,
        (format, true) if is_default(format) => TABLE_WITH_SIZES,
        (Some("raw"), false) => RAW,
        (Some("raw"), true) => RAW_WITH_SIZES,
        (format, _) => format.unwrap_or_default(),
    };
    // A template that shows sizes wants them, as `--size` does.
    let sized = args.size || format.contains(".Size") || format.contains("json .}");
    let options = Options {
        no_trunc: args.no_trunc,
        now: Timestamp::now(),
    };
    let mut images = Images::new(engine.store());
    let mut shown = Vec::with_capacity(listed.len());
    let mut sizes = match sized {
        true => super::runtime()?.block_on(engine.sizes(&listed))?,
        false => Vec::new(),
    }
    .into_iter();
    for container in &listed {
        let sizes = sizes.next().map(|sizes| (sizes.changes, sizes.root));
        let image = images.name(container, args.no_trunc);
        shown.push(row(container, image, sizes, &options));
    }
    print::out(&rows::rows(format, TITLES, &shown)?).map(|()| 0)
}

/// A template that is none, or asks for what no row has, is an error even where there are no rows.
fn check(format: &str) -> Result<(), TemplateError> {
    let template = Template::parse(format)?;
    let row = template::value(&Row::default())?;
    template.fill(&row).map(drop)
}

/// Looks up the containers and images that filters name.
fn related(engine: &Engine, filters: &ContainerFilters) -> Result<Related, Error> {
    let created = |names: &[String]| -> Result<Option<String>, Error> {
        // Of several, Docker takes the last.
        match names.last() {
            Some(name) => Ok(Some(engine.get(name)?.inspect()?.record.created)),
            None => Ok(None),
        }
    };
    Ok(Related {
        before: created(&filters.before)?,
        since: created(&filters.since)?,
        images: match filters.ancestor.is_empty() {
            true => None,
            false => Some(descendants(engine.store(), &filters.ancestor)?),
        },
    })
}

/// The ids of images and of those built on them: whose layers begin with theirs.
fn descendants(store: &Store, ancestors: &[String]) -> Result<Vec<Digest>, Error> {
    let mut found = Vec::new();
    for name in ancestors {
        let ancestor = match store.find(name) {
            Ok(image) => image,
            Err(StoreError::NotFound { .. } | StoreError::Reference(_)) => continue,
            Err(error) => return Err(error.into()),
        };
        for image in store.images()? {
            let image = store.find(image.id.as_ref())?;
            let begins_so = image.id == ancestor.id || is_below(&ancestor, &image);
            if begins_so && !found.contains(&image.id) {
                found.push(image.id);
            }
        }
    }
    Ok(found)
}

fn is_below(ancestor: &Image, image: &Image) -> bool {
    // The chain id of a layer stands for all below it too.
    match ancestor.layers.last() {
        Some(top) => image
            .layers
            .iter()
            .any(|layer| layer.chain_id == top.chain_id),
        None => false,
    }
}

/// Images as containers name them, each looked up once.
struct Images<'a> {
    store: &'a Store,
    named: HashMap<String, Option<Digest>>,
}

impl<'a> Images<'a> {
    fn new(store: &'a Store) -> Self {
        Self {
            store,
            named: HashMap::new(),
        }
    }

    /// What the image of a container is called: as the caller said, or by its id when that name
    /// is another image's by now.
    fn name(&mut self, container: &Inspect, no_trunc: bool) -> String {
        let asked = &container.record.request.image;
        let Some(id) = &container.record.image else {
            return asked.clone();
        };
        let store = self.store;
        let named = self
            .named
            .entry(asked.clone())
            .or_insert_with(|| store.find(asked).ok().map(|image| image.id));
        let is_id = id.to_string() == *asked || id.hex().starts_with(asked.as_str());
        match (named.as_ref() == Some(id) && !is_id, no_trunc) {
            (true, false) => asked.split('@').next().unwrap_or(asked).to_owned(),
            (true, true) => asked.clone(),
            (false, true) => id.to_string(),
            (false, false) => short_id(id.hex()),
        }
    }
}
