//! The verbs of containers' files: their flags as clap sees them.

use std::path::PathBuf;

use clap::Args;

use crate::flags::size;

/// `diff`
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The container
    #[arg(value_name = "CONTAINER")]
    pub(crate) container: String,
}

/// `export`
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Write to a file, instead of STDOUT
    #[arg(short, long, value_name = "string")]
    pub(crate) output: Option<PathBuf>,
    /// The container
    #[arg(value_name = "CONTAINER")]
    pub(crate) container: String,
}

/// `commit`
#[derive(Debug, Args)]
pub(crate) struct CommitArgs {
    /// Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")
    #[arg(short, long, value_name = "string")]
    pub(crate) author: Option<String>,
    /// Apply Dockerfile instruction to the created image
    #[arg(short, long, value_name = "list")]
    pub(crate) change: Vec<String>,
    /// Commit message
    #[arg(short, long, value_name = "string")]
    pub(crate) message: Option<String>,
    /// Pause container during commit (default true)
    #[arg(short, long, value_name = "bool", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "true", hide_default_value = true,
          action = clap::ArgAction::Set, value_parser = size::switch)]
    pub(crate) pause: bool,
    /// The container
    #[arg(value_name = "CONTAINER")]
    pub(crate) container: String,
    /// The image's name
    #[arg(value_name = "REPOSITORY[:TAG]")]
    pub(crate) name: Option<String>,
}

/// `cp`
#[derive(Debug, Args)]
pub(crate) struct CpArgs {
    /// Archive mode (copy all uid/gid information)
    #[arg(short, long)]
    pub(crate) archive: bool,
    /// Always follow symbol link in SRC_PATH
    #[arg(short = 'L', long)]
    pub(crate) follow_link: bool,
    /// Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// What is copied
    #[arg(value_name = "CONTAINER:SRC_PATH|SRC_PATH|-")]
    pub(crate) source: String,
    /// Where to
    #[arg(value_name = "DEST_PATH|-|CONTAINER:DEST_PATH")]
    pub(crate) destination: String,
}
