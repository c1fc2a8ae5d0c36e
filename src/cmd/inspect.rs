//! `inspect`, `container inspect`, `image inspect`

use std::io::Read as _;

use container_core::Engine;
use container_core::image::store::{Image, StoreError};
use container_core::volume::VolumeError;

use crate::cli::inspect::{ContainerInspectArgs, ImageInspectArgs, InspectArgs};
use crate::cli::volume::VolumeInspectArgs;
use crate::error::Error;
use crate::print::inspect::{container, image, volume};
use crate::print::template::{Template, Value};
use crate::print::{self, inspect::pretty};
use crate::settings::Settings;

/// A kind of objects: its name, whether it has a size to show, and how one is found. An object
/// that is not there is none.
struct Kind {
    name: &'static str,
    sized: bool,
    find: fn(&Engine, &str, bool) -> Result<Value, Error>,
}

const CONTAINER: Kind = Kind {
    name: "container",
    sized: true,
    find: find_container,
};

const IMAGE: Kind = Kind {
    name: "image",
    sized: false,
    find: find_image,
};

const VOLUME: Kind = Kind {
    name: "volume",
    sized: false,
    find: find_volume,
};

/// The kinds in the order in which a name is looked for.
const KINDS: [Kind; 3] = [CONTAINER, IMAGE, VOLUME];

/// Docker's kinds that are not here, each with the reason.
const LATER: [(&str, &str); 7] = [
    ("config", "clusters are not a goal"),
    ("network", "networks come later"),
    ("node", "clusters are not a goal"),
    ("plugin", "plugins come later, if at all"),
    ("secret", "clusters are not a goal"),
    ("service", "clusters are not a goal"),
    ("task", "clusters are not a goal"),
];

/// `inspect`: whatever has the name.
pub(crate) fn run(settings: &Settings, args: InspectArgs) -> Result<u8, Error> {
    let kind = args.kind.as_deref().unwrap_or_default();
    let kinds: Vec<&Kind> = KINDS
        .iter()
        .filter(|known| kind.is_empty() || kind == known.name)
        .collect();
    if let Some((_, why)) = LATER.iter().find(|(later, _)| kind == *later) {
        return Err(Error::NotYet {
            name: format!("inspect --type {kind}"),
            why,
        });
    }
    if kinds.is_empty() {
        return Err(Error::ObjectKind(kind.to_owned()));
    }
    inspect(
        settings,
        &kinds,
        args.format.as_deref(),
        args.size,
        &args.names,
    )
}

/// `container inspect`.
pub(crate) fn run_container(settings: &Settings, args: ContainerInspectArgs) -> Result<u8, Error> {
    inspect(
        settings,
        &[&CONTAINER],
        args.format.as_deref(),
        args.size,
        &args.names,
    )
}

/// `image inspect`.
pub(crate) fn run_image(settings: &Settings, args: ImageInspectArgs) -> Result<u8, Error> {
    inspect(
        settings,
        &[&IMAGE],
        args.format.as_deref(),
        false,
        &args.names,
    )
}

/// `volume inspect`.
pub(crate) fn run_volume(settings: &Settings, args: VolumeInspectArgs) -> Result<u8, Error> {
    inspect(
        settings,
        &[&VOLUME],
        args.format.as_deref(),
        false,
        &args.volumes,
    )
}

/// How objects are printed.
enum Printer {
    Indented(Vec<Value>),
    Json(Vec<Value>),
    Filled(Template, String),
}

impl Printer {
    fn new(format: Option<&str>) -> Result<Self, Error> {
        Ok(match format {
            None | Some("") => Self::Indented(Vec::new()),
            Some("json") => Self::Json(Vec::new()),
            Some(format) => {
                let template = Template::parse(format).map_err(Error::ObjectTemplate)?;
                Self::Filled(template, String::new())
            }
        })
    }

    fn add(&mut self, object: Value) -> Result<(), Error> {
        match self {
            Self::Indented(objects) | Self::Json(objects) => objects.push(object),
            Self::Filled(template, text) => {
                text.push_str(&template.inspect(&object).map_err(Error::ObjectTemplate)?);
                text.push('\n');
            }
        }
        Ok(())
    }

    fn text(self) -> Result<String, Error> {
        Ok(match self {
            Self::Indented(objects) => pretty(&objects).map_err(Error::Json)? + "\n",
            Self::Json(objects) => serde_json::to_string(&objects).map_err(Error::Json)? + "\n",
            // Docker's client prints a line even for nothing.
            Self::Filled(_, text) if text.is_empty() => "\n".to_owned(),
            Self::Filled(_, text) => text,
        })
    }
}

/// Prints what is found, then says what is not. A template that does not fit an object ends it.
fn inspect(
    settings: &Settings,
    kinds: &[&Kind],
    format: Option<&str>,
    size: bool,
    names: &[String],
) -> Result<u8, Error> {
    let mut printer = Printer::new(format)?;
    let engine = settings.engine()?;
    let mut errors = Vec::new();
    for name in names {
        match find(&engine, kinds, name, size) {
            Ok(object) => {
                if let Err(error) = printer.add(object) {
                    errors.push(error);
                    break;
                }
            }
            Err(error) => errors.push(error),
        }
    }
    print::out(&printer.text()?)?;
    for error in &errors {
        print::err(&error.text(None));
    }
    Ok(u8::from(!errors.is_empty()))
}

fn find(engine: &Engine, kinds: &[&Kind], name: &str, size: bool) -> Result<Value, Error> {
    let mut missing = Error::NoSuchObject(name.to_owned());
    for kind in kinds {
        match (kind.find)(engine, name, size) {
            Ok(object) => {
                if size && !kind.sized {
                    print::err(&format!("WARNING: --size ignored for {}", kind.name));
                }
                return Ok(object);
            }
            Err(error) if is_missing(&error) => {
                // Of one kind, its own words.
                if kinds.len() == 1 {
                    missing = error;
                }
            }
            Err(error) => return Err(error),
        }
    }
    Err(missing)
}

fn is_missing(error: &Error) -> bool {
    matches!(
        error,
        Error::Store(StoreError::NotFound { .. } | StoreError::Reference(_))
            | Error::Core(container_core::Error::NoSuchContainer { .. })
            | Error::Volume(VolumeError::NotFound { .. })
    )
}

fn find_container(engine: &Engine, name: &str, size: bool) -> Result<Value, Error> {
    let handle = engine.get(name)?;
    let inspect = handle.inspect()?;
    let store = engine.store();
    let image = match &inspect.record.image {
        Some(id) => store.find(id.as_ref()).ok(),
        None => None,
    };
    let lower = |image: &Image| store.rootfs(image).unwrap_or_default();
    let facts = container::Facts {
        image: image.as_ref(),
        lower: image.as_ref().map(lower).unwrap_or_default(),
        directory: engine.root().join("containers").join(handle.id()),
        run_directory: engine.run_root().join(handle.id()),
        volumes: engine.root().join("volumes"),
        machine: rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned(),
        sizes: match size {
            true => {
                let sizes = super::runtime()?.block_on(handle.sizes())?;
                Some((sizes.changes, sizes.root))
            }
            false => None,
        },
    };
    container::container(&inspect, facts).map_err(Error::ObjectTemplate)
}

fn find_volume(engine: &Engine, name: &str, _: bool) -> Result<Value, Error> {
    let found = engine.volumes().get(name)?;
    volume::volume(&found).map_err(Error::ObjectTemplate)
}

fn find_image(engine: &Engine, name: &str, _: bool) -> Result<Value, Error> {
    let store = engine.store();
    let found = store.find(name)?;
    let mut document = Vec::new();
    store
        .open_blob(&found.id)?
        .read_to_end(&mut document)
        .map_err(|source| Error::File {
            action: "read",
            path: store.blob_path(&found.id),
            source,
        })?;
    let facts = image::Facts {
        size: store.size(&found)?,
        lower: store.rootfs(&found).unwrap_or_default(),
        comment: store
            .history(&found)?
            .into_iter()
            .next()
            .map(|step| step.comment),
        document: serde_json::from_slice(&document).map_err(Error::Json)?,
    };
    image::image(&found, facts).map_err(Error::ObjectTemplate)
}
