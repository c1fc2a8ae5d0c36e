//! From arguments to a verb's function. Only the verb that is called is described to clap: a
//! description of all of them costs more than a container's start may.
#![allow(
    rustdoc::invalid_html_tags,
    rustdoc::invalid_rust_codeblocks,
    reason = "what documents an option here is its help text"
)]

pub(crate) mod container;
pub(crate) mod files;
pub(crate) mod help;
pub(crate) mod image;
pub(crate) mod inspect;
pub(crate) mod later;
pub(crate) mod pflag;
pub(crate) mod program;
pub(crate) mod run;
pub(crate) mod similar;
pub(crate) mod streams;
pub(crate) mod system;
mod table;
pub(crate) mod tree;
pub(crate) mod verbs;
pub(crate) mod volume;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Args as _, Command, FromArgMatches as _};
use container_core::EngineBuilder;

use crate::error::Error;
use crate::print;
use crate::settings::Settings;
use program::Globals;
use verbs::{Lookup, Verb};

/// The program's name, in texts.
pub(crate) const NAME: &str = "mini-docker";

/// Runs the program: the arguments come without the program's own name.
pub(crate) fn main(args: Vec<OsString>) -> ExitCode {
    let mut verb = None;
    let code = match dispatch(args, &mut verb) {
        Ok(code) => code,
        Err(error) => {
            // Who closed our output or our terminal needs no text.
            if !error.is_broken_pipe() {
                print::err(&error.text(verb));
            }
            error.code(verb)
        }
    };
    ExitCode::from(code)
}

fn dispatch(args: Vec<OsString>, verb: &mut Option<&'static Verb>) -> Result<u8, Error> {
    let mut engine = EngineBuilder::default();
    if verbs::starts_a_container(&args) {
        // It comes up while the command line is read.
        engine = engine.start_ahead();
    }
    let mut globals = globals_command();
    let mut matches = match globals.try_get_matches_from_mut(args) {
        Ok(matches) => matches,
        Err(error) if pflag::asks_for_help(&error) => {
            return print::out(&help::overview(&globals_command(), help::width())).map(|()| 0);
        }
        Err(error) => return Err(pflag::explain(&error, &globals, None)),
    };
    let mut globals = Globals::from_arg_matches_mut(&mut matches)
        .map_err(|error| pflag::explain(&error, &globals, None))?;
    if globals.version {
        return print::out(&crate::cmd::version::one_line()).map(|()| 0);
    }
    crate::log::start(globals.debug);
    let words = std::mem::take(&mut globals.verb);
    let text: Vec<&str> = words
        .iter()
        .take(2)
        .map(|w| w.to_str().unwrap_or_default())
        .collect();
    if text.is_empty() {
        return print::out(&help::overview(&globals_command(), help::width())).map(|()| 0);
    }
    let (found, used) = match verbs::find(&text) {
        Lookup::Verb(found, used) => (found, used),
        Lookup::Group(group) => {
            let help = help::group(group, help::width());
            match text.len() {
                // Asked for.
                2 => print::out(&help)?,
                _ => print::err(help.trim_end()),
            }
            return Ok(0);
        }
        Lookup::Help(topic) => return help_on(&words, topic),
        Lookup::Later { name, why } => return Err(Error::NotYet { name, why }),
        Lookup::Unknown {
            name,
            group,
            similar,
        } => {
            return Err(Error::UnknownVerb {
                name,
                group,
                similar,
            });
        }
    };
    *verb = Some(found);
    let settings = Settings::new(globals, engine);
    let rest = words.into_iter().skip(used);
    let mut command = verb_command(found);
    let mut matches = match command.try_get_matches_from_mut(rest) {
        Ok(matches) => matches,
        Err(error) if pflag::asks_for_help(&error) => {
            return print::out(&help::verb(found, &verb_command(found), help::width())).map(|()| 0);
        }
        Err(error) => return Err(pflag::explain(&error, &command, Some(found))),
    };
    (found.run)(&settings, &mut matches).map_err(|error| error.in_verb(&command, found))
}

/// `help [VERB]`.
fn help_on(words: &[OsString], topic: Option<&str>) -> Result<u8, Error> {
    let width = help::width();
    let Some(topic) = topic else {
        return print::out(&help::overview(&globals_command(), width)).map(|()| 0);
    };
    let rest: Vec<&str> = words
        .iter()
        .skip(1)
        .map(|w| w.to_str().unwrap_or_default())
        .collect();
    match verbs::find(&rest) {
        Lookup::Verb(found, _) => print::out(&help::verb(found, &verb_command(found), width)),
        Lookup::Group(group) => print::out(&help::group(group, width)),
        _ => return Err(Error::HelpTopic(topic.to_owned())),
    }
    .map(|()| 0)
}

/// What comes before the verb, as clap sees it.
pub(crate) fn globals_command() -> Command {
    pflag::docker_ways(Globals::augment_args(
        Command::new(NAME).no_binary_name(true),
    ))
}

/// One verb, as clap sees it.
pub(crate) fn verb_command(verb: &Verb) -> Command {
    pflag::docker_ways((verb.command)(
        Command::new(verb.name()).no_binary_name(true),
    ))
}
