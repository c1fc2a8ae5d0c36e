//! `volume create`, `volume ls`, `volume prune`, `volume rm`; `volume inspect` is with the others
//! of its kind.

use container_core::NewVolume;
use container_core::volume::VolumeError;

use super::confirm::confirm;
use super::each;
use crate::cli::volume::{VolumeCreateArgs, VolumeLsArgs, VolumePruneArgs, VolumeRmArgs};
use crate::error::Error;
use crate::flags::volume_filter::VolumeFilters;
use crate::print::rows::{is_default, rows};
use crate::print::volumes::{TABLE, TITLES, row};
use crate::print::{self, size};
use crate::settings::Settings;

/// Makes a volume and prints its name.
pub(crate) fn create(settings: &Settings, args: VolumeCreateArgs) -> Result<u8, Error> {
    if args.name.is_some() && args.volume.is_some() {
        return Err(Error::VolumeNames);
    }
    let volume = settings.engine()?.volumes().create(NewVolume {
        name: args.volume.or(args.name).filter(|name| !name.is_empty()),
        driver: Some(args.driver),
        labels: args.label.into_iter().collect(),
        options: args.opt.into_iter().collect(),
    })?;
    print::out(&format!("{}\n", volume.name)).map(|()| 0)
}

/// Lists volumes.
pub(crate) fn list(settings: &Settings, args: VolumeLsArgs) -> Result<u8, Error> {
    let filters = VolumeFilters::of_list(args.filter)?;
    let volumes = settings.engine()?.volumes();
    let used = match filters.wants_users() {
        true => volumes.all_users()?,
        false => Default::default(),
    };
    let mut listed = volumes.list()?;
    listed.retain(|volume| filters.matches(volume, used.contains_key(&volume.name)));
    let text = match args.format.as_deref() {
        format if is_default(format) && args.quiet => {
            let names = listed.into_iter().map(|volume| volume.name + "\n");
            names.collect()
        }
        format => {
            let format = format.filter(|_| !is_default(format)).unwrap_or(TABLE);
            let shown: Vec<_> = listed.iter().map(row).collect();
            rows(format, TITLES, &shown)?
        }
    };
    print::out(&text).map(|()| 0)
}

/// Removes volumes that no container has, after asking.
pub(crate) fn prune(settings: &Settings, args: VolumePruneArgs) -> Result<u8, Error> {
    let filters = VolumeFilters::of_prune(args.filter)?;
    let all = args.all || filters.all;
    let what = if all { "all" } else { "anonymous" };
    let question = format!(
        "WARNING! This will remove {what} local volumes not used by at least one container.\n"
    );
    confirm(args.force, &question, "volume prune")?;
    let volumes = settings.engine()?.volumes();
    let wanted = |volume: &_| filters.matches(volume, false);
    let pruned = volumes.prune(|volume| (all || volume.anonymous) && wanted(volume))?;
    let mut text = String::new();
    if !pruned.removed.is_empty() {
        text = format!("Deleted Volumes:\n{}\n\n", pruned.removed.join("\n"));
    }
    text.push_str(&format!(
        "Total reclaimed space: {}\n",
        size::human(pruned.bytes)
    ));
    print::out(&text).map(|()| 0)
}

/// Removes volumes. With `--force`, one that is not there is removed already.
pub(crate) fn remove(settings: &Settings, args: VolumeRmArgs) -> Result<u8, Error> {
    let force = args.force;
    each::in_turn(settings, &args.volumes, async |engine, name| {
        match engine.volumes().remove(name) {
            Err(VolumeError::NotFound { .. }) if force => {}
            removed => removed?,
        }
        Ok(name.to_owned())
    })
}
