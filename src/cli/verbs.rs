//! Verbs: how they are looked up, and which of Docker's are not here yet.

use std::ffi::OsString;

use clap::{ArgMatches, Command};

use super::similar::similar;
pub(crate) use super::table::{GROUPS, VERBS};
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

/// Whether a command line is about to start a container's monitor: told before clap reads it, so that the monitor comes
/// up meanwhile. Only of one that makes no sense may this be wrong.
pub(crate) fn starts_a_container(args: &[OsString]) -> bool {
    const SWITCHES: [&str; 3] = ["debug", "help", "version"];
    let mut args = args.iter().map(|arg| arg.to_str().unwrap_or_default());
    while let Some(arg) = args.next() {
        match (arg.strip_prefix("--"), arg.starts_with('-')) {
            (Some(flag), _) if !flag.contains('=') && !SWITCHES.contains(&flag) => _ = args.next(),
            (_, true) => {}
            (_, false) => {
                let words = [arg, args.next().unwrap_or_default()];
                let starts = ["run", "create", "start"];
                return matches!(find(&words), Lookup::Verb(verb, _) if starts.contains(&verb.name()));
            }
        }
    }
    false
}

const BUILD: &str = "building images comes later";
const REGISTRY: &str = "pull works; writing to registries comes later";
const SWARM: &str = "clusters are not a goal";

/// Docker's verbs that are not here, each with the reason.
const LATER_VERBS: &[(&[&str], &str)] = &[
    (&["build", "builder", "buildx"], BUILD),
    (
        &["login", "logout", "manifest", "push", "search", "trust"],
        REGISTRY,
    ),
    (&["compose"], "compose files come later"),
    (&["network"], "networks come later"),
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
        ("image", "build") => Some(BUILD),
        ("image", "push") => Some(REGISTRY),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookups() {
        assert!(matches!(find(&["run"]), Lookup::Verb(v, 1) if v.name() == "run"));
        assert!(matches!(find(&["image", "ls"]), Lookup::Verb(v, 2) if v.name() == "images"));
        assert!(matches!(find(&["image"]), Lookup::Group("image")));
        assert!(matches!(find(&["image", "--help"]), Lookup::Group("image")));
        assert!(matches!(find(&["build"]), Lookup::Later { .. }));
        assert!(matches!(find(&["container", "ls"]), Lookup::Verb(v, 2) if v.name() == "ps"));
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
    fn told_before_clap() {
        let starts = |line: &str| {
            let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            starts_a_container(&args)
        };
        for line in [
            "run --rm x",
            "--root /r -D --run-root=/r container run x",
            "--debug start x",
            "create --name ps x",
        ] {
            assert!(starts(line), "{line}");
        }
        for line in ["", "ps", "--root run ps", "exec x run", "container", "-v"] {
            assert!(!starts(line), "{line}");
        }
    }

    /// A flag that takes no value must be known there.
    #[test]
    fn switches_before_the_verb() {
        let command = crate::cli::globals_command();
        let switches = command
            .get_arguments()
            .filter(|arg| !arg.is_positional() && (crate::cli::pflag::is_switch(arg)));
        let mut names: Vec<_> = switches.filter_map(|arg| arg.get_long()).collect();
        names.sort_unstable();
        assert_eq!(names, ["debug", "help", "version"]);
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
