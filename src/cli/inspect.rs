//! `inspect` and its spellings for one kind of objects.

use clap::Args;

/// `inspect`
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// Format output: 'json', or a Go template like '{{.Id}}' or '{{json .Config.Env}}'
    #[arg(short, long, value_name = "string")]
    pub(crate) format: Option<String>,
    /// Display total file sizes if the type is container
    #[arg(short, long)]
    pub(crate) size: bool,
    /// Only inspect objects of the given type
    #[arg(long = "type", value_name = "string")]
    pub(crate) kind: Option<String>,
    /// The objects' names or ids
    #[arg(value_name = "NAME|ID", required = true, num_args = 1..)]
    pub(crate) names: Vec<String>,
}

/// `container inspect`
#[derive(Debug, Args)]
pub(crate) struct ContainerInspectArgs {
    /// Format output: 'json', or a Go template like '{{.State.Status}}'
    #[arg(short, long, value_name = "string")]
    pub(crate) format: Option<String>,
    /// Display total file sizes
    #[arg(short, long)]
    pub(crate) size: bool,
    /// The containers
    #[arg(value_name = "CONTAINER", required = true, num_args = 1..)]
    pub(crate) names: Vec<String>,
}

/// `image inspect`
#[derive(Debug, Args)]
pub(crate) struct ImageInspectArgs {
    /// Format output: 'json', or a Go template like '{{.Id}}' or '{{json .Config.Env}}'
    #[arg(short, long, value_name = "string")]
    pub(crate) format: Option<String>,
    /// The images
    #[arg(value_name = "IMAGE", required = true, num_args = 1..)]
    pub(crate) names: Vec<String>,
}
