//! `image prune`

use container_core::image::store::Removal;

use super::confirm::confirm;
use crate::cli::image::PruneArgs;
use crate::error::Error;
use crate::flags::filter;
use crate::print::{self, size};
use crate::settings::Settings;

/// Removes images that nothing uses, after asking.
pub(crate) fn run(settings: &Settings, args: PruneArgs) -> Result<u8, Error> {
    let mut all = args.all;
    for text in &args.filter {
        all = filter::prune_all(text)?;
    }
    let what = match all {
        true => "all images without at least one container associated to them",
        false => "all dangling images",
    };
    let question = format!("WARNING! This will remove {what}.\n");
    confirm(args.force, &question, "image prune")?;
    let engine = settings.engine()?;
    let pruned = engine
        .store()
        .prune(all, &|image| engine.image_user(image))?;
    let mut text = String::new();
    if !pruned.removals.is_empty() {
        text.push_str("Deleted Images:\n");
        for removal in &pruned.removals {
            text.push_str(&match removal {
                Removal::Untagged(name) => format!("untagged: {}\n", name.familiar()),
                Removal::Deleted(digest) => format!("deleted: {digest}\n"),
            });
        }
        text.push('\n');
    }
    text.push_str(&format!(
        "Total reclaimed space: {}\n",
        size::human(pruned.reclaimed)
    ));
    print::out(&text).map(|()| 0)
}
