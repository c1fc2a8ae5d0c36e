//! What goes wrong, in Docker's words, and the exit code it gives.

use std::io;
use std::path::PathBuf;

use clap::Command;
use container_core::CommandProblem;
use container_core::image::archive::ArchiveError;
use container_core::image::platform::PlatformError;
use container_core::image::reference::ReferenceError;
use container_core::image::store::StoreError;

use crate::cli::verbs::Verb;
use crate::cli::{NAME, pflag};
use crate::flags::{
    container_filter, detach_keys, env, event_filter, filter, health, label, log, moment,
    namespace, port, prune, restart, security, userns, volume_filter,
};
use crate::print::template::TemplateError;

/// Why a command line was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    #[error("unknown flag: {flag}\n\n{usage}")]
    UnknownFlag { flag: String, usage: String },
    #[error("unknown shorthand flag: '{letter}' in {word}\n\n{usage}")]
    UnknownShorthand {
        letter: char,
        word: String,
        usage: String,
    },
    #[error("flag needs an argument: {flag}\n\n{usage}")]
    NeedsArgument { flag: String, usage: String },
    #[error("invalid argument {value:?} for \"{flag}\" flag: {reason}\n\n{usage}")]
    InvalidArgument {
        flag: String,
        value: String,
        reason: String,
        usage: String,
    },
    #[error("'{NAME} {path}' {requires}\n\n{usage}")]
    Arguments {
        path: &'static str,
        requires: &'static str,
        usage: String,
    },
    #[error("an argument is not valid UTF-8")]
    NotText,
    #[error("clap: {0}")]
    Clap(#[from] clap::Error),
    #[error("'{name}' is not here yet ({why})")]
    NotYet { name: String, why: &'static str },
    #[error("--{flag} is not supported: {why}")]
    FlagLater {
        flag: &'static str,
        why: &'static str,
    },
    #[error("{}", unknown_verb(name, *group, *similar))]
    UnknownVerb {
        name: String,
        group: Option<&'static str>,
        similar: Option<&'static str>,
    },
    #[error("unknown help topic: {0}")]
    HelpTopic(String),
    #[error("unknown shell: {0} (use bash, zsh or fish)")]
    Shell(String),

    #[error("invalid env file ({}): {source}", path.display())]
    EnvFile {
        path: PathBuf,
        source: env::EnvError,
    },
    #[error("invalid label file ({}): {source}", path.display())]
    LabelFile {
        path: PathBuf,
        source: label::LabelError,
    },
    #[error(transparent)]
    Namespace(#[from] namespace::NamespaceError),
    #[error(transparent)]
    Userns(#[from] userns::UsernsError),
    #[error(transparent)]
    Security(#[from] security::SecurityError),
    #[error("opening seccomp profile ({0}) failed: open {0}: {1}", path.display(), reason(source))]
    SeccompFile { path: PathBuf, source: io::Error },
    #[error("invalid pull option: '{0}': must be one of \"always\", \"missing\" or \"never\"")]
    PullPolicy(String),
    #[error("conflicting options: cannot specify both --attach and --detach")]
    AttachDetach,
    #[error("invalid value: {0}. Valid memory swappiness range is 0-100")]
    Swappiness(i64),
    #[error("Conflicting options: Nano CPUs and CPU Quota cannot both be set")]
    CpusAndQuota,
    #[error("Conflicting options: Nano CPUs and CPU Period cannot both be set")]
    CpusAndPeriod,
    #[error("the input device is not a TTY")]
    InputNotTerminal,
    #[error(transparent)]
    LogFlags(#[from] log::NoOptions),
    #[error(transparent)]
    DetachKeys(#[from] detach_keys::NoKeys),
    #[error("read escape sequence")]
    Detached,
    #[error("You cannot attach to a {state} container, {remedy}")]
    NotAttachable {
        state: &'static str,
        remedy: &'static str,
    },
    #[error("invalid value for {flag:?}: {reason}")]
    MomentOf {
        flag: &'static str,
        reason: moment::NoMoment,
    },
    #[error(
        "container ID file found, make sure the other container isn't running or delete {}",
        .0.display()
    )]
    CidFile(PathBuf),

    #[error("template parsing error: {0}")]
    Template(#[from] TemplateError),
    #[error("template parsing error: {0}")]
    ObjectTemplate(TemplateError),
    #[error("{0}")]
    Unfilled(TemplateError),
    #[error("{}", ps_template(.0))]
    PsTemplate(TemplateError),
    #[error("{action} {}: {}", path.display(), reason(source))]
    File {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("cannot {action}: {}", reason(source))]
    System {
        action: &'static str,
        source: io::Error,
    },
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
    #[error("{0}")]
    Reference(ReferenceError),
    #[error("error parsing specified platform: {0}")]
    Platform(PlatformError),
    #[error("Error parsing reference: {target:?} is not a valid repository/tag: {source}")]
    TagTarget {
        target: String,
        source: ReferenceError,
    },
    #[error("refusing to create a tag with a digest reference")]
    TagDigest,
    #[error(transparent)]
    Filter(#[from] filter::FilterError),
    #[error("{0} has been cancelled")]
    Cancelled(&'static str),
    #[error(
        "conflicting options: cannot specify a volume-name through both --name and as a \
         positional arg"
    )]
    VolumeNames,
    #[error("The \"until\" filter is not supported with \"--volumes\"")]
    UntilVolumes,
    #[error("the verbose and the format options conflict")]
    VerboseFormat,
    #[error(transparent)]
    PruneFilter(#[from] prune::PruneFilterError),
    #[error(transparent)]
    EventFilter(#[from] event_filter::NoEventFilter),
    #[error(transparent)]
    Moment(#[from] moment::NoMoment),
    #[error("Error parsing format: {0}")]
    EventTemplate(TemplateError),
    #[error("unknown type: {0:?}: must be one of \"container\", \"image\", \"volume\"")]
    ObjectKind(String),
    #[error("No such object: {0}")]
    NoSuchObject(String),
    #[error("No public port '{port}' published for {container}")]
    NotPublished { port: String, container: String },
    #[error("Cannot kill container: {container}: {source}")]
    Kill {
        container: String,
        source: container_core::Error,
    },
    #[error("Couldn't find PID field in ps output")]
    NoPids,
    #[error("ps: {0}")]
    Ps(String),
    #[error("Invalid signal: {0}")]
    Signal(String),
    #[error("failed to start containers: {0}")]
    NotStarted(String),
    #[error("you cannot start and attach multiple containers at once")]
    AttachSeveral,
    #[error("Neither old nor new names may be empty")]
    EmptyName,
    #[error("{source}\n{NAME}: failed to rename container named {container}")]
    Rename {
        container: String,
        source: container_core::Error,
    },
    #[error("you must provide one or more flags when using this command")]
    NothingToUpdate,
    #[error("conflicting options: cannot specify both --restart and --rm")]
    RestartAndRemove,
    #[error(transparent)]
    Restart(#[from] restart::RestartError),
    #[error(transparent)]
    Health(#[from] health::HealthError),
    #[error("a part of the work was given up: {0}")]
    Task(tokio::task::JoinError),
    #[error("invalid port: {0}")]
    Port(#[from] port::PortError),
    #[error(transparent)]
    VolumeFilter(#[from] volume_filter::VolumeFilterError),
    #[error(transparent)]
    ContainerFilter(#[from] container_filter::ContainerFilterError),
    #[error("JSON: {0}")]
    Json(serde_json::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("cannot load {}: {source}", path.display())]
    Load { path: PathBuf, source: ArchiveError },
    #[error("cowardly refusing to save to a terminal. Use the -o flag or redirect")]
    SaveToTerminal,
    #[error("requested load from stdin, but stdin is empty")]
    LoadFromTerminal,
    #[error("copying between containers is not supported")]
    CopyAcross,
    #[error("must specify at least one container source")]
    CopyNowhere,
    #[error("destination {0:?} must be a directory")]
    CopyToFile(String),
    #[error("{0}: importing from a URL is not here yet, download the file first")]
    ImportUrl(String),
    #[error(transparent)]
    Volume(#[from] container_core::volume::VolumeError),
    #[error(transparent)]
    Core(#[from] container_core::Error),
}

/// An I/O error as Docker's clients say it, without Rust's `(os error 2)`.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    match (error.raw_os_error(), chars.next()) {
        (Some(_), Some(first)) => first.to_lowercase().chain(chars).collect(),
        _ => text.to_owned(),
    }
}

/// `ps` looks at its template before it lists anything, and has words of its own for it.
fn ps_template(error: &TemplateError) -> String {
    match error {
        TemplateError::Parse { .. } => format!("failed to parse template: {error}"),
        _ => format!("failed to execute template: {error}"),
    }
}

fn unknown_verb(name: &str, group: Option<&str>, similar: Option<&str>) -> String {
    let (command, see) = match group {
        None => (
            format!("'{name}' is not a {NAME} command."),
            format!("{NAME} --help"),
        ),
        Some(group) => (
            format!("'{group} {name}' is not a {NAME} command."),
            format!("{NAME} {group} --help"),
        ),
    };
    match similar {
        None => format!("{command}\nSee '{see}'"),
        Some(similar) => format!("{command}\nSee '{see}'. Did you mean '{NAME} {similar}'?"),
    }
}

impl Error {
    /// Gives clap's late errors (a value that could not be taken out) the verb's usage.
    pub(crate) fn in_verb(self, command: &Command, verb: &Verb) -> Self {
        match self {
            Self::Clap(error) => pflag::explain(&error, command, Some(verb)),
            other => other,
        }
    }

    /// The whole text for standard error.
    pub(crate) fn text(&self, verb: Option<&Verb>) -> String {
        let text = format!("{NAME}: {self}");
        match (self, verb) {
            // Less an error than an answer to the keys.
            (Self::Detached, _) => self.to_string(),
            // Docker says where help is when a container did not come to be.
            (_, Some(verb)) if verb.name() == "run" && !self.is_usage() => {
                format!("{text}\n\nRun '{NAME} run --help' for more information")
            }
            _ => text,
        }
    }

    fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::UnknownFlag { .. }
                | Self::UnknownShorthand { .. }
                | Self::NeedsArgument { .. }
                | Self::InvalidArgument { .. }
                | Self::Arguments { .. }
                | Self::InputNotTerminal
                | Self::AttachDetach
        )
    }

    /// Whether flags alone show it, before the image and the machine are asked.
    fn is_of_flags(&self) -> bool {
        matches!(
            self,
            Self::EnvFile { .. }
                | Self::LabelFile { .. }
                | Self::Namespace(_)
                | Self::Security(_)
                | Self::SeccompFile { .. }
                | Self::Swappiness(_)
                | Self::RestartAndRemove
                | Self::LogFlags(_)
                | Self::Health(health::HealthError::Conflict | health::HealthError::Retries)
                | Self::Restart(restart::RestartError::NoPolicy | restart::RestartError::Retries)
        )
    }

    /// Whether the reader of our output went away.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        let (Self::Output(error) | Self::Archive(ArchiveError::Write(error))) = self else {
            return false;
        };
        error.kind() == io::ErrorKind::BrokenPipe
    }

    /// The exit code, as Docker chooses it: 125 for a wrong flag and for a container that did not
    /// come to be, 126 and 127 for a command that cannot be executed or is not there, else 1.
    pub(crate) fn code(&self, verb: Option<&Verb>) -> u8 {
        match self {
            Self::UnknownFlag { .. }
            | Self::UnknownShorthand { .. }
            | Self::NeedsArgument { .. }
            | Self::InvalidArgument { .. } => 125,
            Self::Arguments { .. } | Self::InputNotTerminal | Self::AttachDetach => 1,
            Self::ObjectTemplate(TemplateError::Parse { .. })
            | Self::EventTemplate(TemplateError::Parse { .. }) => 64,
            // As if SIGPIPE had ended us.
            _ if self.is_broken_pipe() => 128 + 13,
            // A client of Docker's that waits for a start to fail does not look why.
            Self::Core(_) if verb.is_some_and(|verb| verb.name() == "start") => 1,
            Self::Core(error) => match error.command() {
                Some(CommandProblem::NotFound) => 127,
                Some(CommandProblem::NotExecutable) => 126,
                // Docker's code for all that goes wrong between a container and its process.
                None if is_of_process(error) && verb.is_some_and(|v| v.name() == "exec") => 126,
                None => verb_code(verb),
            },
            _ if self.is_of_flags() && verb.is_some_and(|verb| verb.name() == "create") => 125,
            _ => verb_code(verb),
        }
    }
}

fn is_of_process(error: &container_core::Error) -> bool {
    use container_core::Error as E;
    matches!(
        error,
        E::NoSuchUser { .. } | E::Setting { .. } | E::Setup { .. }
    )
}

fn verb_code(verb: Option<&Verb>) -> u8 {
    if verb.is_some_and(|verb| verb.name() == "run") {
        125
    } else {
        1
    }
}
