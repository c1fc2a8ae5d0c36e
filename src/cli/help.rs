//! Help texts, laid out as Docker's.

use std::fmt::Write as _;

use clap::Command;

use super::NAME;
use super::pflag::is_switch;
use super::verbs::{GROUPS, VERBS, Verb};

/// Columns of the terminal; 80 when there is none.
pub(crate) fn width() -> usize {
    crate::term::size(std::io::stdout())
        .map_or(80, |(_, columns)| usize::from(columns))
        .max(40)
}

/// Appends a two-column list, the right column wrapped.
fn columns(out: &mut String, rows: &[(String, String)], width: usize) {
    let left = rows.iter().map(|(left, _)| left.len()).max().unwrap_or(0) + 3;
    for (name, about) in rows {
        let mut column = left;
        let _ = write!(out, "{name:left$}");
        for (at, word) in about.split_whitespace().enumerate() {
            if at > 0 && column + 1 + word.len() > width.max(left + 20) {
                let _ = write!(out, "\n{:left$}", "");
                column = left;
            } else if at > 0 {
                out.push(' ');
                column += 1;
            }
            out.push_str(word);
            column += word.len();
        }
        out.push('\n');
    }
}

/// The rows of a command's flags, by name.
fn options(command: &Command) -> Vec<(String, String)> {
    let mut flags: Vec<_> = command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set() && arg.get_long().is_some())
        .filter(|arg| arg.get_id() != "help")
        .collect();
    flags.sort_by_key(|arg| arg.get_long());
    let row = |arg: &&clap::Arg| {
        let mut name = match arg.get_short() {
            Some(short) => format!("  -{short}, "),
            None => "      ".to_owned(),
        };
        let _ = write!(name, "--{}", arg.get_long().unwrap_or_default());
        if !is_switch(arg)
            && let Some(kind) = arg.get_value_names().and_then(|names| names.first())
        {
            let _ = write!(name, " {kind}");
        }
        (
            name,
            arg.get_help().map(ToString::to_string).unwrap_or_default(),
        )
    };
    flags.iter().map(row).collect()
}

/// `mini-docker VERB --help`.
pub(crate) fn verb(verb: &Verb, command: &Command, width: usize) -> String {
    let line = format!("{NAME} {} {}", verb.name(), verb.usage);
    let mut out = format!("Usage:  {}\n\n{}\n", line.trim_end(), verb.about);
    if verb.paths.len() > 1 {
        let paths: Vec<_> = verb
            .paths
            .iter()
            .map(|path| format!("{NAME} {path}"))
            .collect();
        let _ = write!(out, "\nAliases:\n  {}\n", paths.join(", "));
    }
    let options = options(command);
    if !options.is_empty() {
        out.push_str("\nOptions:\n");
        columns(&mut out, &options, width);
    }
    out
}

/// `mini-docker --help`.
pub(crate) fn overview(globals: &Command, width: usize) -> String {
    let mut out = format!(
        "Usage:  {NAME} [OPTIONS] COMMAND\n\nContainers without a daemon, with Docker's verbs\n"
    );
    let row = |name: &str, about: &str| (format!("  {name}"), about.to_owned());
    out.push_str("\nCommands:\n");
    let verbs: Vec<_> = VERBS
        .iter()
        .filter(|verb| !verb.name().contains(' '))
        .map(|verb| row(verb.name(), verb.about))
        .collect();
    columns(&mut out, &verbs, width);
    out.push_str("\nManagement Commands:\n");
    let groups: Vec<_> = GROUPS
        .iter()
        .map(|(name, about)| row(name, about))
        .collect();
    columns(&mut out, &groups, width);
    out.push_str("\nGlobal Options:\n");
    columns(&mut out, &options(globals), width);
    let _ = write!(
        out,
        "\nRun '{NAME} COMMAND --help' for more information on a command.\n"
    );
    out
}

/// `mini-docker image`.
pub(crate) fn group(group: &str, width: usize) -> String {
    let about = GROUPS
        .iter()
        .find(|(name, _)| *name == group)
        .map_or("", |(_, about)| about);
    let mut out = format!("Usage:  {NAME} {group} COMMAND\n\n{about}\n\nCommands:\n");
    let mut rows: Vec<_> = VERBS
        .iter()
        .filter_map(|verb| {
            let path = verb
                .paths
                .iter()
                .find_map(|path| path.strip_prefix(group))?;
            let name = path.strip_prefix(' ')?;
            Some((format!("  {name}"), verb.about.to_owned()))
        })
        .collect();
    rows.sort();
    columns(&mut out, &rows, width);
    let _ = write!(
        out,
        "\nRun '{NAME} {group} COMMAND --help' for more information on a command.\n"
    );
    out
}
