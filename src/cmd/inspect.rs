//! `inspect`, `image inspect`

use std::io::Read as _;

use container_core::Engine;
use container_core::image::store::StoreError;
use serde_json::Value;

use crate::cli::image::InspectArgs;
use crate::error::Error;
use crate::print;
use crate::print::inspect::{Facts, image};
use crate::settings::Settings;

/// `inspect`: images; containers come with the verbs that list them.
pub(crate) fn run(settings: &Settings, args: InspectArgs) -> Result<u8, Error> {
    match args.kind.as_deref() {
        None | Some("" | "image") => inspect(settings, &args, |given, _| {
            format!("No such object: {given}")
        }),
        Some("container") => Err(Error::NotYet {
            name: "inspect --type container".to_owned(),
            why: "verbs for containers that outlive their command come next",
        }),
        Some(kind) => Err(Error::ObjectKind(kind.to_owned())),
    }
}

/// `image inspect`.
pub(crate) fn run_image(settings: &Settings, args: InspectArgs) -> Result<u8, Error> {
    inspect(settings, &args, |_, full| format!("No such image: {full}"))
}

/// Prints what is found, then says what is not: `missing` words it, of the name as given and in
/// full.
fn inspect(
    settings: &Settings,
    args: &InspectArgs,
    missing: impl Fn(&str, &str) -> String,
) -> Result<u8, Error> {
    let engine = settings.engine()?;
    let mut objects = Vec::new();
    let mut errors = Vec::new();
    for name in &args.names {
        match one(&engine, name) {
            Ok(object) => objects.push(object),
            Err(Error::Store(StoreError::NotFound { name: full })) => {
                errors.push(format!("{}: {}", crate::cli::NAME, missing(name, &full)));
            }
            Err(error) => errors.push(error.text(None)),
        }
    }
    let text = match args.format.as_deref() {
        None | Some("") => {
            let mut text = print::inspect::pretty(&objects).map_err(Error::Json)?;
            text.push('\n');
            text
        }
        Some("json") => format!("{}\n", Value::from(objects)),
        Some(format) => super::formatted_rows(format, &objects)?,
    };
    print::out(&text)?;
    errors.iter().for_each(|error| print::err(error));
    Ok(u8::from(!errors.is_empty()))
}

fn one(engine: &Engine, name: &str) -> Result<Value, Error> {
    let store = engine.store();
    let found = store.find(name)?;
    let mut config = Vec::new();
    store
        .open_blob(&found.id)?
        .read_to_end(&mut config)
        .map_err(|source| Error::File {
            action: "read",
            path: store.blob_path(&found.id),
            source,
        })?;
    let facts = Facts {
        id: found.id.to_string(),
        tags: found.tags().map(|name| name.familiar()).collect(),
        digests: found.repo_digests().map(|name| name.familiar()).collect(),
        size: store.size(&found)?,
        // Layers that are not unpacked have no directories to show.
        lower: store.rootfs(&found).unwrap_or_default(),
        comment: store
            .history(&found)?
            .into_iter()
            .next()
            .map(|step| step.comment),
    };
    let config = serde_json::from_slice(&config).map_err(Error::Json)?;
    image(config, facts).map_err(Error::Json)
}
