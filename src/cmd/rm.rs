//! `rm`

use super::each;
use crate::cli::container::RmArgs;
use crate::error::Error;
use crate::print;
use crate::settings::Settings;

/// Removes containers. With `--force`, one that is not there is told of and is no failure.
pub(crate) fn run(settings: &Settings, args: RmArgs) -> Result<u8, Error> {
    if args.link {
        return Err(Error::FlagLater {
            flag: "link",
            why: "links come with networks",
        });
    }
    let (force, volumes) = (args.force, args.volumes);
    let missing = |name: &String, engine: &container_core::Engine| {
        let error = engine.get(name).err()?;
        matches!(error, container_core::Error::NoSuchContainer { .. }).then_some(error)
    };
    let mut names = args.containers;
    if force {
        let engine = settings.engine()?;
        names.retain(|name| match missing(name, &engine) {
            Some(error) => {
                print::err(&Error::from(error).text(None));
                false
            }
            None => true,
        });
    }
    each::at_once(settings, &names, async move |engine, name| {
        Ok(engine.get(name)?.remove_with(force, volumes).await?)
    })
}
