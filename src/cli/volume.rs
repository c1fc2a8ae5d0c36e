//! The verbs of volumes: their flags as clap sees them.

use clap::Args;

use crate::flags::condition::{self, Condition};
use crate::flags::label;

/// `volume create`
#[derive(Debug, Args)]
pub(crate) struct VolumeCreateArgs {
    /// Specify volume driver name
    #[arg(short, long, value_name = "string", default_value = "local")]
    pub(crate) driver: String,
    /// Set metadata for a volume
    #[arg(long, value_name = "list", value_parser = label::parse)]
    pub(crate) label: Vec<(String, String)>,
    /// Specify volume name
    #[arg(long, value_name = "string", hide = true)]
    pub(crate) name: Option<String>,
    /// Set driver specific options
    #[arg(short, long, value_name = "map", value_parser = label::option)]
    pub(crate) opt: Vec<(String, String)>,
    /// Its name
    #[arg(value_name = "VOLUME")]
    pub(crate) volume: Option<String>,
}

/// `volume inspect`
#[derive(Debug, Args)]
pub(crate) struct VolumeInspectArgs {
    /// Format output: 'json', or a Go template
    #[arg(short, long, value_name = "string")]
    pub(crate) format: Option<String>,
    /// The volumes
    #[arg(value_name = "VOLUME", required = true, num_args = 1..)]
    pub(crate) volumes: Vec<String>,
}

/// `volume ls`
#[derive(Debug, Args)]
pub(crate) struct VolumeLsArgs {
    /// Provide filter values (e.g. "dangling=true")
    #[arg(short, long, value_name = "filter", value_parser = condition::parse)]
    pub(crate) filter: Vec<Condition>,
    /// Format output: 'table', 'json', or a Go template like '{{.Name}} {{.Mountpoint}}'
    #[arg(long, value_name = "string")]
    pub(crate) format: Option<String>,
    /// Only display volume names
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// `volume prune`
#[derive(Debug, Args)]
pub(crate) struct VolumePruneArgs {
    /// Remove all unused volumes, not just anonymous ones
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Provide filter values (e.g. "label=<label>")
    #[arg(long, value_name = "filter", value_parser = condition::parse)]
    pub(crate) filter: Vec<Condition>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    pub(crate) force: bool,
}

/// `volume rm`
#[derive(Debug, Args)]
pub(crate) struct VolumeRmArgs {
    /// Force the removal of one or more volumes
    #[arg(short, long)]
    pub(crate) force: bool,
    /// The volumes
    #[arg(value_name = "VOLUME", required = true, num_args = 1..)]
    pub(crate) volumes: Vec<String>,
}
