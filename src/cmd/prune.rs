//! `container prune`, `image prune`, `system prune`

use container_core::image::store::{Pruned, Removal};
use container_core::{Engine, Error as CoreError, Volume};
use jiff::ZonedDateTime;

use super::confirm::confirm;
use crate::cli::container::ContainerPruneArgs;
use crate::cli::image::PruneArgs;
use crate::cli::system::SystemPruneArgs;
use crate::error::Error;
use crate::flags::condition::Condition;
use crate::flags::filter;
use crate::flags::prune::PruneFilters;
use crate::print::containers::timestamp;
use crate::print::{self, size};
use crate::settings::Settings;

/// Removes containers that do not run, after asking.
pub(crate) fn containers(settings: &Settings, args: ContainerPruneArgs) -> Result<u8, Error> {
    let filters = PruneFilters::new(&args.filter, &ZonedDateTime::now())?;
    let question = "WARNING! This will remove all stopped containers.\n";
    confirm(args.force, question, "container prune")?;
    let engine = settings.engine()?;
    let removed = super::runtime()?.block_on(remove_containers(&engine, &filters))?;
    report(&removed.text(), removed.reclaimed)
}

/// Removes images that nothing uses, after asking.
pub(crate) fn images(settings: &Settings, args: PruneArgs) -> Result<u8, Error> {
    let mut all = args.all;
    let mut others = Vec::new();
    for condition in args.filter {
        match condition.name.as_str() {
            // Says the opposite of `--all`.
            "dangling" => all = !filter::dangling(&condition.value)?,
            _ => others.push(condition),
        }
    }
    let filters = PruneFilters::new(&others, &ZonedDateTime::now())?;
    let what = match all {
        true => "all images without at least one container associated to them",
        false => "all dangling images",
    };
    let question = format!("WARNING! This will remove {what}.\n");
    confirm(args.force, &question, "image prune")?;
    let engine = settings.engine()?;
    let pruned = remove_images(&engine, all, &filters)?;
    report(&images_text(&pruned), pruned.reclaimed)
}

/// Removes all of these, after asking.
pub(crate) fn system(settings: &Settings, args: SystemPruneArgs) -> Result<u8, Error> {
    if args.volumes
        && args
            .filter
            .iter()
            .any(|condition| condition.name == "until")
    {
        return Err(Error::UntilVolumes);
    }
    let filters = PruneFilters::new(&args.filter, &ZonedDateTime::now())?;
    let question = question(args.all, args.volumes, &args.filter);
    confirm(args.force, &question, "system prune")?;
    let engine = settings.engine()?;
    let removed = super::runtime()?.block_on(remove_containers(&engine, &filters))?;
    let mut text = removed.text();
    let mut reclaimed = removed.reclaimed;
    if args.volumes {
        let wanted = |volume: &Volume| volume.anonymous && filters.matches(None, &volume.labels);
        let pruned = engine.volumes().prune(wanted).map_err(CoreError::from)?;
        if !pruned.removed.is_empty() {
            text.push_str(&format!(
                "Deleted Volumes:\n{}\n\n",
                pruned.removed.join("\n")
            ));
        }
        reclaimed += pruned.bytes;
    }
    let pruned = remove_images(&engine, args.all, &filters)?;
    text.push_str(&images_text(&pruned));
    report(&text, reclaimed + pruned.reclaimed)
}

/// What is said before all is removed.
fn question(all: bool, volumes: bool, filters: &[Condition]) -> String {
    let images = match all {
        true => "all images without at least one container associated to them",
        false => "all dangling images",
    };
    let mut text = "WARNING! This will remove:\n  - all stopped containers\n".to_owned();
    if volumes {
        text.push_str("  - all anonymous volumes not used by at least one container\n");
    }
    text.push_str(&format!("  - {images}\n"));
    if !filters.is_empty() {
        text.push_str("\n  Items to be pruned will be filtered with:\n");
        for Condition { name, value } in filters {
            text.push_str(&format!("  - {name}={value}\n"));
        }
    }
    text.push('\n');
    text
}

fn report(removed: &str, reclaimed: u64) -> Result<u8, Error> {
    let reclaimed = size::human(reclaimed);
    print::out(&format!("{removed}Total reclaimed space: {reclaimed}\n")).map(|()| 0)
}

/// Containers that were removed, and what they had written.
#[derive(Default)]
struct Removed {
    ids: Vec<String>,
    reclaimed: u64,
}

impl Removed {
    fn text(&self) -> String {
        match self.ids.is_empty() {
            true => String::new(),
            false => format!("Deleted Containers:\n{}\n\n", self.ids.join("\n")),
        }
    }
}

async fn remove_containers(engine: &Engine, filters: &PruneFilters) -> Result<Removed, Error> {
    let mut removed = Removed::default();
    for container in engine.containers()? {
        let record = &container.record;
        let wanted = !container.state.status.is_live()
            && filters.matches(timestamp(&record.created), &record.request.labels);
        if !wanted {
            continue;
        }
        let gone = async {
            let handle = engine.get(&record.id)?;
            let size = handle.sizes().await?.changes;
            handle.remove_with(false, false).await?;
            Ok(size)
        };
        match gone.await {
            Ok(size) => {
                removed.ids.push(record.id.clone());
                removed.reclaimed += size;
            }
            // Somebody has started or removed it meanwhile, or is about to.
            Err(
                CoreError::Running { .. }
                | CoreError::Busy { .. }
                | CoreError::NoSuchContainer { .. },
            ) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(removed)
}

fn remove_images(engine: &Engine, all: bool, filters: &PruneFilters) -> Result<Pruned, Error> {
    let wanted = |image: &container_core::image::store::Image| {
        let config = image.config.config().as_ref();
        let labels = config.and_then(|config| config.labels().as_ref());
        (all || image.tags().next().is_none())
            && filters.matches(image.created(), labels.into_iter().flatten())
    };
    Ok(engine.prune_images(wanted)?)
}

fn images_text(pruned: &Pruned) -> String {
    if pruned.removals.is_empty() {
        return String::new();
    }
    let lines = pruned.removals.iter().map(|removal| match removal {
        Removal::Untagged(name) => format!("untagged: {}\n", name.familiar()),
        Removal::Deleted(digest) => format!("deleted: {digest}\n"),
    });
    format!("Deleted Images:\n{}\n", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::condition;

    #[test]
    fn what_is_asked() {
        assert_eq!(
            question(false, false, &[]),
            "WARNING! This will remove:\n  - all stopped containers\n  - all dangling images\n\n"
        );
        let filter = condition::parse("label=zz").unwrap();
        assert!(question(true, true, &[filter]).ends_with("filtered with:\n  - label=zz\n\n"));
    }
}
