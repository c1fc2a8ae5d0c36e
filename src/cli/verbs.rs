//! The table of verbs: what is here, what Docker has that is not here yet.

use clap::{ArgMatches, Args, Command, FromArgMatches as _};

use super::image::{
    HistoryArgs, ImagesArgs, ImportArgs, InspectArgs, LoadArgs, NoArgs, PruneArgs, PullArgs,
    RmiArgs, SaveArgs, TagArgs,
};
use super::program::{CompletionArgs, FormatArgs, ManArgs};
use super::run::{LATER, RunArgs};
use super::similar::similar;
use crate::cmd;
use crate::error::Error;
use crate::settings::Settings;

/// A verb that is here.
pub(crate) struct Verb {
    /// Its spellings, the one that help shows first; two words for a group's.
    pub(crate) paths: &'static [&'static str],
    pub(crate) about: &'static str,
    /// The arguments, after the verb.
    pub(crate) usage: &'static str,
    /// How many arguments it takes, in Docker's words.
    pub(crate) requires: &'static str,
    pub(crate) command: fn(Command) -> Command,
    pub(crate) run: fn(&Settings, &mut ArgMatches) -> Result<u8, Error>,
}

impl Verb {
    /// Its first spelling.
    pub(crate) fn name(&self) -> &'static str {
        self.paths.first().copied().unwrap_or_default()
    }
}

/// Gives a verb's function its flags, as clap's derive made them.
macro_rules! verb {
    ($args:ty, $run:path, $paths:expr, $about:expr, $usage:expr, $requires:expr) => {
        Verb {
            paths: &$paths,
            about: $about,
            usage: $usage,
            requires: $requires,
            command: <$args>::augment_args,
            run: |settings, matches| $run(settings, <$args>::from_arg_matches_mut(matches)?),
        }
    };
}

/// Whether the verb is about to start a container's monitor.
pub(crate) fn starts_a_container(verb: &Verb) -> bool {
    ["run", "create", "start"].contains(&verb.name())
}

const NONE: &str = "accepts no arguments";
const ONE: &str = "requires 1 argument";
const SOME: &str = "requires at least 1 argument";

/// The verbs that are here, in the order of help.
pub(crate) const VERBS: &[Verb] = &[
    Verb {
        paths: &["run", "container run"],
        about: "Create and run a new container from an image",
        usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
        requires: SOME,
        command: |command| {
            LATER
                .iter()
                .fold(RunArgs::augment_args(command), later_flag)
        },
        run: |settings, matches| {
            refuse_later(matches)?;
            cmd::run::run(settings, RunArgs::from_arg_matches_mut(matches)?)
        },
    },
    verb!(
        PullArgs,
        cmd::pull::run,
        ["pull", "image pull"],
        "Download an image from a registry",
        "[OPTIONS] NAME[:TAG|@DIGEST]",
        ONE
    ),
    verb!(
        ImagesArgs,
        cmd::images::run,
        ["images", "image ls", "image list"],
        "List images",
        "[OPTIONS] [REPOSITORY[:TAG]]",
        "requires at most 1 argument"
    ),
    verb!(
        FormatArgs,
        cmd::version::run,
        ["version"],
        "Show the version information",
        "[OPTIONS]",
        NONE
    ),
    verb!(
        FormatArgs,
        cmd::info::run,
        ["info", "system info"],
        "Display system-wide information",
        "[OPTIONS]",
        NONE
    ),
    verb!(
        HistoryArgs,
        cmd::history::run,
        ["history", "image history"],
        "Show the history of an image",
        "[OPTIONS] IMAGE",
        ONE
    ),
    verb!(
        ImportArgs,
        cmd::import::run,
        ["import", "image import"],
        "Import the contents from a tarball to create a filesystem image",
        "[OPTIONS] file|- [REPOSITORY[:TAG]]",
        "requires at least 1 and at most 2 arguments"
    ),
    verb!(
        InspectArgs,
        cmd::inspect::run,
        ["inspect"],
        "Return low-level information on objects",
        "[OPTIONS] NAME|ID [NAME|ID...]",
        SOME
    ),
    verb!(
        InspectArgs,
        cmd::inspect::run_image,
        ["image inspect"],
        "Display detailed information on one or more images",
        "[OPTIONS] IMAGE [IMAGE...]",
        SOME
    ),
    verb!(
        LoadArgs,
        cmd::load::run,
        ["load", "image load"],
        "Load an image from a tar archive or STDIN",
        "[OPTIONS]",
        NONE
    ),
    verb!(
        PruneArgs,
        cmd::prune::run,
        ["image prune"],
        "Remove unused images",
        "[OPTIONS]",
        NONE
    ),
    verb!(
        RmiArgs,
        cmd::rmi::run,
        ["rmi", "image rm", "image remove"],
        "Remove one or more images",
        "[OPTIONS] IMAGE [IMAGE...]",
        SOME
    ),
    verb!(
        SaveArgs,
        cmd::save::run,
        ["save", "image save"],
        "Save one or more images to a tar archive (streamed to STDOUT by default)",
        "[OPTIONS] IMAGE [IMAGE...]",
        SOME
    ),
    verb!(
        TagArgs,
        cmd::tag::run,
        ["tag", "image tag"],
        "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
        "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
        "requires 2 arguments"
    ),
    verb!(
        NoArgs,
        cmd::start_all::run,
        ["system start"],
        "Start the containers that their restart policies want to run, after a boot",
        "",
        NONE
    ),
    verb!(
        CompletionArgs,
        cmd::completion::run,
        ["completion"],
        "Print a script that completes command lines",
        "bash|zsh|fish",
        ONE
    ),
    verb!(
        ManArgs,
        cmd::man::run,
        ["man"],
        "Write the manual pages into a directory",
        "DIRECTORY",
        ONE
    ),
];

/// The groups of verbs with a second word.
pub(crate) const GROUPS: &[(&str, &str)] = &[
    ("container", "Manage containers"),
    ("image", "Manage images"),
    ("system", "Manage mini-docker"),
];

const CONTAINERS: &str = "verbs for containers that outlive their command come next";
const BUILD: &str = "building images comes later";
const REGISTRY: &str = "pull works; writing to registries comes later";
const SWARM: &str = "clusters are not a goal";

/// Docker's verbs that are not here, each with the reason.
const LATER_VERBS: &[(&[&str], &str)] = &[
    (
        &[
            "attach", "commit", "cp", "create", "diff", "events", "exec", "export", "kill", "logs",
            "pause", "port", "ps", "rename", "restart", "rm", "start", "stats", "stop", "top",
            "unpause", "update", "wait",
        ],
        CONTAINERS,
    ),
    (&["build", "builder", "buildx"], BUILD),
    (
        &["login", "logout", "manifest", "push", "search", "trust"],
        REGISTRY,
    ),
    (&["compose"], "compose files come later"),
    (&["network"], "networks come later"),
    (&["volume"], "volumes come later"),
    (&["checkpoint", "plugin"], "it comes later, if at all"),
    (&["context"], "there is no daemon to choose"),
    (
        &["config", "node", "secret", "service", "stack", "swarm"],
        SWARM,
    ),
];

/// What one or two words name.
pub(crate) enum Lookup<'a> {
    /// A verb, and how many words it takes.
    Verb(&'static Verb, usize),
    /// A group without one of its verbs.
    Group(&'static str),
    /// `help`, on what.
    Help(Option<&'a str>),
    /// A verb of Docker's that is not here.
    Later { name: String, why: &'static str },
    /// Nothing; `similar` is what was perhaps meant.
    Unknown {
        name: String,
        group: Option<&'static str>,
        similar: Option<&'static str>,
    },
}

/// Finds the verb of a command line that begins with these words.
pub(crate) fn find<'a>(words: &[&'a str]) -> Lookup<'a> {
    let Some(&first) = words.first() else {
        return Lookup::Help(None);
    };
    let second = words.get(1).copied();
    if first == "help" {
        return Lookup::Help(second);
    }
    let by_path = |path: &str| VERBS.iter().find(|verb| verb.paths.contains(&path));
    if let Some(verb) = by_path(first) {
        return Lookup::Verb(verb, 1);
    }
    let later = |name: &str| {
        LATER_VERBS
            .iter()
            .find(|(names, _)| names.contains(&name))
            .map(|(_, why)| *why)
    };
    let Some((group, _)) = GROUPS.iter().find(|(group, _)| *group == first) else {
        return match later(first) {
            Some(why) => Lookup::Later {
                name: first.to_owned(),
                why,
            },
            None => Lookup::Unknown {
                name: first.to_owned(),
                group: None,
                similar: similar(first, VERBS.iter().flat_map(|v| v.paths).copied()),
            },
        };
    };
    let Some(second) = second.filter(|word| !word.starts_with('-')) else {
        return Lookup::Group(group);
    };
    let path = format!("{first} {second}");
    if let Some(verb) = by_path(&path) {
        return Lookup::Verb(verb, 2);
    }
    let later = match (first, second) {
        ("container", "ls" | "list" | "inspect" | "prune") => Some(CONTAINERS),
        ("image", "build") => Some(BUILD),
        ("image", "push") => Some(REGISTRY),
        ("system", "df" | "prune" | "events") => Some(CONTAINERS),
        ("container", second) => later(second),
        _ => None,
    };
    match later {
        Some(why) => Lookup::Later { name: path, why },
        None => Lookup::Unknown {
            similar: similar(
                second,
                VERBS
                    .iter()
                    .flat_map(|v| v.paths)
                    .filter_map(|path| path.strip_prefix(group)?.strip_prefix(' ')),
            ),
            name: second.to_owned(),
            group: Some(group),
        },
    }
}

/// Adds a flag that is refused, so that it is known and refused with its reason.
fn later_flag(command: Command, flag: &super::run::Later) -> Command {
    use clap::{Arg, ArgAction};
    let mut arg = Arg::new(flag.long).long(flag.long).hide(true);
    if let Some(short) = flag.short {
        arg = arg.short(short);
    }
    command.arg(match flag.valued {
        true => arg.action(ArgAction::Append),
        false => arg
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true"),
    })
}

fn refuse_later(matches: &ArgMatches) -> Result<(), Error> {
    for flag in LATER {
        for value in matches.get_many::<String>(flag.long).into_iter().flatten() {
            if flag.harmless != Some(value) {
                return Err(Error::FlagLater {
                    flag: flag.long,
                    why: flag.why,
                });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookups() {
        assert!(matches!(find(&["run"]), Lookup::Verb(v, 1) if v.name() == "run"));
        assert!(matches!(find(&["image", "ls"]), Lookup::Verb(v, 2) if v.name() == "images"));
        assert!(matches!(find(&["image"]), Lookup::Group("image")));
        assert!(matches!(find(&["image", "--help"]), Lookup::Group("image")));
        assert!(matches!(find(&["ps"]), Lookup::Later { .. }));
        assert!(matches!(find(&["container", "ls"]), Lookup::Later { .. }));
        assert!(matches!(
            find(&["image", "foo"]),
            Lookup::Unknown {
                group: Some("image"),
                ..
            }
        ));
        assert!(matches!(
            find(&["imagse"]),
            Lookup::Unknown {
                similar: Some("images"),
                ..
            }
        ));
        assert!(matches!(
            find(&["foo"]),
            Lookup::Unknown { similar: None, .. }
        ));
    }

    #[test]
    fn no_verb_is_both_here_and_later() {
        for verb in VERBS {
            for (later, _) in LATER_VERBS {
                assert!(!later.contains(&verb.name()), "{}", verb.name());
            }
        }
    }
}
