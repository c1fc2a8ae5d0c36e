//! `man`
//!
//! ```text
//! DIRECTORY/
//!   mini-docker.1  mini-docker-run.1  mini-docker-image.1  mini-docker-image-ls.1 …
//! ```

use std::fs;
use std::path::Path;

use clap::Command;
use clap_mangen::Man;

use crate::cli::program::ManArgs;
use crate::cli::tree;
use crate::error::Error;
use crate::settings::Settings;

/// Writes a page a verb.
pub(crate) fn run(_: &Settings, args: ManArgs) -> Result<u8, Error> {
    fs::create_dir_all(&args.directory).map_err(|source| Error::File {
        action: "create",
        path: args.directory.clone(),
        source,
    })?;
    write(&args.directory, &tree::command(), "").map(|()| 0)
}

fn write(directory: &Path, command: &Command, parent: &str) -> Result<(), Error> {
    let name = format!("{parent}{}", command.get_name());
    let path = directory.join(format!("{name}.1"));
    let page = command
        .clone()
        .display_name(&name)
        .disable_help_subcommand(true);
    let mut text = Vec::new();
    Man::new(page)
        .title(&name)
        .render(&mut text)
        .and_then(|()| fs::write(&path, &text))
        .map_err(|source| Error::File {
            action: "write",
            path,
            source,
        })?;
    let parent = format!("{name}-");
    command
        .get_subcommands()
        .try_for_each(|verb| write(directory, verb, &parent))
}
