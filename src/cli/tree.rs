//! All verbs in one clap command, for completion scripts and manual pages.

use clap::{Args as _, Command};

use super::NAME;
use super::program::Globals;
use super::verbs::{GROUPS, VERBS, Verb};

fn leaf(verb: &Verb, name: &'static str) -> Command {
    (verb.command)(Command::new(name))
        .about(verb.about)
        .disable_help_flag(true)
}

/// The whole program, as clap sees it.
pub(crate) fn command() -> Command {
    let mut root = Globals::augment_args(Command::new(NAME))
        .about("Containers without a daemon, with Docker's verbs")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_flag(true)
        .disable_version_flag(true)
        .mut_args(|arg| {
            if arg.is_positional() {
                arg.hide(true)
            } else {
                arg
            }
        });
    for verb in VERBS.iter().filter(|verb| !verb.name().contains(' ')) {
        root = root.subcommand(leaf(verb, verb.name()));
    }
    for (group, about) in GROUPS {
        let mut command = Command::new(*group).about(*about).disable_help_flag(true);
        for verb in VERBS {
            for path in verb.paths {
                if let Some(name) = path.strip_prefix(group).and_then(|p| p.strip_prefix(' ')) {
                    command = command.subcommand(leaf(verb, name));
                }
            }
        }
        root = root.subcommand(command);
    }
    root
}

#[cfg(test)]
mod tests {
    #[test]
    fn clap_finds_no_fault() {
        super::command().debug_assert();
        crate::cli::globals_command().debug_assert();
        for verb in crate::cli::verbs::VERBS {
            crate::cli::verb_command(verb).debug_assert();
        }
    }
}
