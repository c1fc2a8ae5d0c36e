//! `logs` and `attach`: their flags as clap sees them.

use clap::Args;

use crate::flags::size;

/// `logs`
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Show extra details provided to logs
    #[arg(long)]
    pub(crate) details: bool,
    /// Follow log output
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)
    #[arg(long, value_name = "string")]
    pub(crate) since: Option<String>,
    /// Number of lines to show from the end of the logs
    #[arg(
        short = 'n',
        long,
        value_name = "string",
        default_value = "all",
        allow_hyphen_values = true
    )]
    pub(crate) tail: String,
    /// Show timestamps
    #[arg(short, long)]
    pub(crate) timestamps: bool,
    /// Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)
    #[arg(long, value_name = "string")]
    pub(crate) until: Option<String>,
    /// The container
    #[arg(value_name = "CONTAINER")]
    pub(crate) container: String,
}

/// `attach`
#[derive(Debug, Args)]
pub(crate) struct AttachArgs {
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "string")]
    pub(crate) detach_keys: Option<String>,
    /// Do not attach STDIN
    #[arg(long)]
    pub(crate) no_stdin: bool,
    /// Proxy all received signals to the process (default true)
    #[arg(long, value_name = "bool", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "true", hide_default_value = true,
          action = clap::ArgAction::Set, value_parser = size::switch)]
    pub(crate) sig_proxy: bool,
    /// The container
    #[arg(value_name = "CONTAINER")]
    pub(crate) container: String,
}
