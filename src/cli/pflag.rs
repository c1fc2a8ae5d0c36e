//! Docker's command line is parsed by Go's pflag: here clap learns its ways, and its errors are
//! said in pflag's words.

use std::error::Error as _;
use std::num::{IntErrorKind, ParseIntError};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command};

use super::verbs::Verb;
use crate::error::Error;
use crate::flags::size;

/// Makes a command behave as Docker's: the last of several settings wins, a value may begin with a
/// hyphen, a switch takes `=true` or `=false`, `--help` is not `-h` where that is a flag's.
pub(crate) fn docker_ways(command: Command) -> Command {
    let h_is_taken = command
        .get_arguments()
        .any(|arg| arg.get_short() == Some('h'));
    let mut help = Arg::new("help")
        .long("help")
        .action(ArgAction::Help)
        .help("Print usage");
    if !h_is_taken {
        help = help.short_alias('h');
    }
    command
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .args_override_self(true)
        .mut_args(|arg| match arg.get_action() {
            ArgAction::SetTrue => arg
                .action(ArgAction::Set)
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .default_value("false")
                .value_parser(size::switch)
                .value_name("bool"),
            _ if arg.is_positional() || arg.is_require_equals_set() => arg,
            _ => arg.allow_hyphen_values(true),
        })
        .arg(help)
}

/// Why a text is not the number that a flag wants, in Go's words.
fn number(source: &(dyn std::error::Error + 'static), value: &str) -> Option<String> {
    let what = match source
        .downcast_ref::<ParseIntError>()
        .map(ParseIntError::kind)
    {
        Some(IntErrorKind::PosOverflow | IntErrorKind::NegOverflow) => "value out of range",
        Some(_) => "invalid syntax",
        // clap has a range for each type of numbers, and no type for its error.
        None if source
            .to_string()
            .starts_with(&format!("{value} is not in ")) =>
        {
            "value out of range"
        }
        None => return None,
    };
    Some(format!("parsing {value:?}: {what}"))
}

/// True when a flag is a switch, which Docker's help shows without a value's type.
pub(crate) fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue | ArgAction::Help)
        || (arg.is_require_equals_set() && !arg.is_positional())
}

/// Whether clap stopped because help was asked for.
pub(crate) fn asks_for_help(error: &clap::Error) -> bool {
    error.kind() == ErrorKind::DisplayHelp
}

/// A flag as Docker's errors name it: `-m, --memory`.
fn flag_name(command: &Command, shown: &str) -> String {
    let long = shown.split([' ', '=', '[', '<']).next().unwrap_or(shown);
    let arg = command.get_arguments().find(|arg| {
        arg.get_long()
            .is_some_and(|name| long.strip_prefix("--") == Some(name))
            || arg.get_short().is_some_and(|c| long == format!("-{c}"))
    });
    match arg.map(|arg| (arg.get_short(), arg.get_long())) {
        Some((Some(short), Some(long))) => format!("-{short}, --{long}"),
        _ => long.to_owned(),
    }
}

/// Says clap's error in pflag's words.
pub(crate) fn explain(error: &clap::Error, command: &Command, verb: Option<&Verb>) -> Error {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(" "),
        _ => String::new(),
    };
    let arg = text(ContextKind::InvalidArg);
    let value = text(ContextKind::InvalidValue);
    let usage = || usage(verb);
    match error.kind() {
        ErrorKind::UnknownArgument if arg.starts_with("--") => Error::UnknownFlag {
            flag: arg,
            usage: usage(),
        },
        ErrorKind::UnknownArgument if arg.starts_with('-') && arg.len() > 1 => {
            let letter = arg.trim_start_matches('-').chars().next().unwrap_or('-');
            Error::UnknownShorthand {
                letter,
                word: arg,
                usage: usage(),
            }
        }
        ErrorKind::InvalidValue if value.is_empty() => {
            let long = arg.split([' ', '=']).next().unwrap_or(&arg);
            Error::NeedsArgument {
                flag: long.to_owned(),
                usage: usage(),
            }
        }
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => Error::InvalidArgument {
            flag: flag_name(command, &arg),
            reason: error.source().map_or_else(
                || "not one of its values".into(),
                |source| number(source, &value).unwrap_or_else(|| source.to_string()),
            ),
            value,
            usage: usage(),
        },
        ErrorKind::InvalidUtf8 => Error::NotText,
        _ => Error::Arguments {
            path: verb.map_or("", |verb| verb.name()),
            requires: verb.map_or("takes no arguments", |verb| verb.requires),
            usage: usage(),
        },
    }
}

/// The usage line of a verb and where to read more.
pub(crate) fn usage(verb: Option<&Verb>) -> String {
    let name = super::NAME;
    match verb {
        None => format!(
            "Usage:  {name} [OPTIONS] COMMAND [ARG...]\n\nRun '{name} --help' for more information"
        ),
        Some(verb) => {
            let (path, usage) = (verb.name(), verb.usage);
            let usage = format!("{name} {path} {usage}");
            let usage = usage.trim_end();
            format!("Usage:  {usage}\n\nRun '{name} {path} --help' for more information")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::verb_command;
    use crate::cli::verbs::{Lookup, find};

    fn matches(words: &[&str]) -> Result<clap::ArgMatches, String> {
        let Lookup::Verb(verb, used) = find(words) else {
            panic!("no verb")
        };
        let command = verb_command(verb);
        command
            .clone()
            .try_get_matches_from(&words[used..])
            .map_err(|error| explain(&error, &command, Some(verb)).to_string())
    }

    fn run(words: &[&str]) -> crate::cli::run::RunArgs {
        use clap::FromArgMatches as _;
        let words: Vec<&str> = std::iter::once("run")
            .chain(words.iter().copied())
            .collect();
        crate::cli::run::RunArgs::from_arg_matches(&matches(&words).unwrap()).unwrap()
    }

    #[test]
    fn the_command_keeps_its_flags() {
        let args = run(&[
            "-it",
            "--rm",
            "busybox",
            "ls",
            "-l",
            "--rm=false",
            "--",
            "-i",
        ]);
        assert!(args.container.interactive && args.container.tty && args.container.rm);
        assert_eq!(
            args.container.image_and_command,
            ["busybox", "ls", "-l", "--rm=false", "--", "-i"]
        );
        let args = run(&["--", "busybox", "--help"]);
        assert_eq!(args.container.image_and_command, ["busybox", "--help"]);
    }

    #[test]
    fn switches_and_values() {
        let args = run(&["--rm=false", "-i=true", "--sig-proxy=false", "x"]);
        assert!(!args.container.rm && args.container.interactive && !args.sig_proxy);
        let args = run(&[
            "--memory-swap",
            "-1",
            "--name",
            "a",
            "--name=b",
            "-eA=b",
            "-e",
            "C",
            "x",
        ]);
        assert_eq!(args.container.memory_swap, Some(-1));
        assert_eq!(args.container.name.as_deref(), Some("b"));
        assert_eq!(args.container.env, ["A=b", "C"]);
        let args = run(&[
            "--entrypoint",
            "",
            "--net",
            "host",
            "-h",
            "box",
            "-dit",
            "x",
        ]);
        assert_eq!(args.container.entrypoint.as_deref(), Some(""));
        assert_eq!(args.container.network, ["host"]);
        assert_eq!(args.container.hostname.as_deref(), Some("box"));
        assert!(args.detach && args.container.interactive && args.container.tty);
    }

    #[test]
    fn errors() {
        for (words, want) in [
            (&["run", "--bad", "x"][..], "unknown flag: --bad"),
            (&["run", "-z", "x"], "unknown shorthand flag: 'z' in -z"),
            (&["run", "--name"], "flag needs an argument: --name"),
            (&["run"], "'mini-docker run' requires at least 1 argument"),
            (
                &["pull", "a", "b"],
                "'mini-docker pull' requires 1 argument",
            ),
            (&["tag", "a"], "'mini-docker tag' requires 2 arguments"),
            (
                &["run", "-m", "12zz", "x"],
                "invalid argument \"12zz\" for \"-m, --memory\" flag: invalid suffix: 'zz' (use b, k, m, g, t or p)",
            ),
            (
                &["run", "--stop-timeout", "soon", "x"],
                "invalid argument \"soon\" for \"--stop-timeout\" flag: parsing \"soon\": invalid syntax",
            ),
            (
                &["run", "--blkio-weight", "99999", "x"],
                "invalid argument \"99999\" for \"--blkio-weight\" flag: parsing \"99999\": value out of range",
            ),
            (
                &["run", "--rm=maybe", "x"],
                "invalid argument \"maybe\" for \"--rm\" flag: parsing \"maybe\": invalid syntax (use true or false)",
            ),
        ] {
            assert_eq!(
                matches(words).unwrap_err().lines().next(),
                Some(want),
                "{words:?}"
            );
        }
    }
}
