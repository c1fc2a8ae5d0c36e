//! The verbs about the program itself, and the flags before any verb.

use std::path::PathBuf;

use clap::Args;

/// Flags before the verb.
#[derive(Debug, Default, Args)]
pub(crate) struct Globals {
    /// Location of client config files (credentials for registries)
    #[arg(long, value_name = "string")]
    pub(crate) config: Option<PathBuf>,
    /// Enable debug mode
    #[arg(short = 'D', long)]
    pub(crate) debug: bool,
    /// Registry to be reached over http (host or host:port)
    #[arg(long, value_name = "list")]
    pub(crate) insecure_registry: Vec<String>,
    /// Preferred mirror of Docker Hub (URL)
    #[arg(long, value_name = "list")]
    pub(crate) registry_mirror: Vec<String>,
    /// Directory of images and containers
    #[arg(long, value_name = "string")]
    pub(crate) root: Option<PathBuf>,
    /// Directory of sockets and locks
    #[arg(long, value_name = "string")]
    pub(crate) run_root: Option<PathBuf>,
    /// Print version information and quit
    #[arg(short, long)]
    pub(crate) version: bool,
    /// The verb and all that belongs to it
    #[arg(value_name = "COMMAND", num_args = 0.., trailing_var_arg = true)]
    pub(crate) verb: Vec<std::ffi::OsString>,
}

/// `version`, `info`
#[derive(Debug, Args)]
pub(crate) struct FormatArgs {
    /// Format output: 'json', or text with fields like '{{.Client.Version}}'
    #[arg(short, long, value_name = "string")]
    pub(crate) format: Option<String>,
}

/// `completion`
#[derive(Debug, Args)]
pub(crate) struct CompletionArgs {
    /// The shell
    #[arg(value_name = "bash|zsh|fish")]
    pub(crate) shell: String,
}

/// `man`
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Where to write the pages
    #[arg(value_name = "DIRECTORY")]
    pub(crate) directory: PathBuf,
}
