//! `cp`

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;

use container_core::{Container, Copied, CopyOptions};

use super::export::write_out;
use crate::cli::files::CpArgs;
use crate::error::Error;
use crate::print;
use crate::settings::Settings;

/// One side of a copy.
#[derive(Debug, PartialEq, Eq)]
enum Side<'a> {
    /// A path of this machine, or `-`.
    Here(&'a str),
    /// A container, and a path in it.
    There(&'a str, &'a str),
}

/// Takes an argument apart, as Docker does: a colon after what may be a container's name.
fn side(argument: &str) -> Side<'_> {
    match argument.split_once(':') {
        Some((container, path)) if !container.starts_with(['.', '/']) => {
            Side::There(container, path)
        }
        _ => Side::Here(argument),
    }
}

/// Copies between a container and this machine.
pub(crate) fn run(settings: &Settings, args: CpArgs) -> Result<u8, Error> {
    let (source, destination) = (side(&args.source), side(&args.destination));
    let (name, outward) = match (&source, &destination) {
        (Side::There(..), Side::There(..)) => return Err(Error::CopyAcross),
        (Side::Here(_), Side::Here(_)) => return Err(Error::CopyNowhere),
        (Side::There(name, _), _) => (name, true),
        (_, Side::There(name, _)) => (name, false),
    };
    let engine = settings.engine()?;
    let container = engine.get(name)?;
    let options = CopyOptions {
        follow_link: args.follow_link,
        archive: args.archive,
    };
    let runtime = super::runtime()?;
    let copied = match (&source, &destination) {
        (Side::There(_, path), Side::Here("-")) => {
            let path = runtime.block_on(followed(&container, path, options))?;
            let (_, archive) = runtime.block_on(container.copy_out(&path))?;
            write_out(archive)?;
            None
        }
        (Side::Here("-"), Side::There(_, path)) => {
            runtime.block_on(from_stdin(&container, &args.destination, path))?;
            None
        }
        (Side::There(_, path), Side::Here(local)) => {
            Some(runtime.block_on(container.copy_from(path, local, options))?)
        }
        (Side::Here(local), Side::There(_, path)) => {
            Some(runtime.block_on(container.copy_to(local, path, options))?)
        }
        _ => None,
    };
    if let Some(Copied { bytes, .. }) = copied
        && !args.quiet
        && io::stdout().is_terminal()
    {
        let to = match (outward, &destination) {
            (true, Side::Here(local)) => std::path::absolute(local)
                .map_or_else(|_| (*local).to_owned(), |path| path.display().to_string()),
            _ => args.destination.clone(),
        };
        let bytes = print::size::human(bytes);
        print::err(&format!("Successfully copied {bytes} to {to}\n"));
    }
    Ok(0)
}

/// The path to copy, or what it leads to if links are followed.
async fn followed(
    container: &Container,
    path: &str,
    options: CopyOptions,
) -> Result<String, Error> {
    if options.follow_link
        && let Some(target) = container.stat(path).await?.link_target
    {
        return Ok(target);
    }
    Ok(path.to_owned())
}

/// Unpacks standard input in a directory of the container.
async fn from_stdin(container: &Container, shown: &str, path: &str) -> Result<(), Error> {
    let mut into = path.to_owned();
    let mut stat = container.stat(&into).await.ok();
    if let Some(target) = stat.as_ref().and_then(|stat| stat.link_target.clone()) {
        stat = container.stat(&target).await.ok();
        into = target;
    }
    if !stat.is_some_and(|stat| stat.is_dir()) {
        return Err(Error::CopyToFile(shown.to_owned()));
    }
    let stdin = io::stdin().as_fd().try_clone_to_owned();
    let stdin = stdin.map_err(|source| Error::System {
        action: "read standard input",
        source,
    })?;
    let stdin = tokio::fs::File::from_std(File::from(stdin));
    Ok(container.copy_in(&into, stdin).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides() {
        for (argument, expected) in [
            ("c:/x", Side::There("c", "/x")),
            ("c:", Side::There("c", "")),
            ("c:a:b", Side::There("c", "a:b")),
            ("/a:b", Side::Here("/a:b")),
            ("./a:b", Side::Here("./a:b")),
            ("../a:b", Side::Here("../a:b")),
            ("-", Side::Here("-")),
            ("a", Side::Here("a")),
        ] {
            assert_eq!(side(argument), expected, "{argument}");
        }
    }
}
