//! The table of verbs that are here.

use clap::{Args as _, FromArgMatches as _};

use super::container::{
    ContainerPruneArgs, ContainersArgs, ExecArgs, KillArgs, PortArgs, PsArgs, RenameArgs, RmArgs,
    StartArgs, StatsArgs, StopArgs, TopArgs, UpdateArgs,
};
use super::files::{CommitArgs, CpArgs, DiffArgs, ExportArgs};
use super::image::{
    HistoryArgs, ImagesArgs, ImportArgs, LoadArgs, NoArgs, PruneArgs, PullArgs, RmiArgs, SaveArgs,
    TagArgs,
};
use super::inspect::{ContainerInspectArgs, ImageInspectArgs, InspectArgs};
use super::later;
use super::program::{CompletionArgs, FormatArgs, ManArgs};
use super::run::{CreateArgs, RunArgs};
use super::streams::{AttachArgs, LogsArgs};
use super::system::{DfArgs, EventsArgs, SystemPruneArgs};
use super::verbs::Verb;
use super::volume::{
    VolumeCreateArgs, VolumeInspectArgs, VolumeLsArgs, VolumePruneArgs, VolumeRmArgs,
};
use crate::cmd;

/// Gives a verb's function its flags, as clap's derive made them.
macro_rules! verb {
    ($args:ty, $run:path, $paths:expr, $about:expr, $usage:expr, $requires:expr) => {
        Verb {
            paths: &$paths,
            about: $about,
            usage: $usage,
            requires: $requires,
            command: <$args>::augment_args,
            run: |settings, matches| $run(settings, <$args>::from_arg_matches_mut(matches)?),
        }
    };
}

const NONE: &str = "accepts no arguments";
const ONE: &str = "requires 1 argument";
const SOME: &str = "requires at least 1 argument";

/// The verbs that are here, in the order of help.
pub(crate) const VERBS: &[Verb] = &[
    Verb {
        paths: &["run", "container run"],
        about: "Create and run a new container from an image",
        usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
        requires: SOME,
        command: later::augment::<RunArgs>,
        run: |settings, matches| cmd::run::run(settings, later::take(matches)?),
    },
    Verb {
        paths: &["create", "container create"],
        about: "Create a new container",
        usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
        requires: SOME,
        command: later::augment::<CreateArgs>,
        run: |settings, matches| cmd::create::run(settings, later::take(matches)?),
    },
    verb!(
        StartArgs,
        cmd::start::run,
        ["start", "container start"],
        "Start one or more stopped containers",
        "[OPTIONS] CONTAINER [CONTAINER...]",
        SOME
    ),
    verb!(
        StopArgs,
        cmd::stop::stop,
        ["stop", "container stop"],
        "Stop one or more running containers",
        "[OPTIONS] CONTAINER [CONTAINER...]",
        SOME
    ),
    verb!(
        StopArgs,
        cmd::stop::restart,
        ["restart", "container restart"],
        "Restart one or more containers",
        "[OPTIONS] CONTAINER [CONTAINER...]",
        SOME
    ),
    verb!(
        KillArgs,
        cmd::stop::kill,
        ["kill", "container kill"],
        "Kill one or more running containers",
        "[OPTIONS] CONTAINER [CONTAINER...]",
        SOME
    ),
    verb!(
        ContainersArgs,
        cmd::pause::pause,
        ["pause", "container pause"],
        "Pause all processes within one or more containers",
        "CONTAINER [CONTAINER...]",
        SOME
    ),
    verb!(
        ContainersArgs,
        cmd::pause::unpause,
        ["unpause", "container unpause"],
        "Unpause all processes within one or more containers",
        "CONTAINER [CONTAINER...]",
        SOME
    ),
    verb!(
        ContainersArgs,
        cmd::wait::run,
        ["wait", "container wait"],
        "Block until one or more containers stop, then print their exit codes",
        "CONTAINER [CONTAINER...]",
        SOME
    ),
    verb!(
        RmArgs,
        cmd::rm::run,
        ["rm", "container rm", "container remove"],
        "Remove one or more containers",
        "[OPTIONS] CONTAINER [CONTAINER...]",
        SOME
    ),
    verb!(
        RenameArgs,
        cmd::rename::run,
        ["rename", "container rename"],
        "Rename a container",
        "CONTAINER NEW_NAME",
        "requires 2 arguments"
    ),
    verb!(
        UpdateArgs,
        cmd::update::run,
        ["update", "container update"],
        "Update configuration of one or more containers",
        "[OPTIONS] CONTAINER [CONTAINER...]",
        SOME
    ),
    verb!(
        AttachArgs,
        cmd::attach::run,
        ["attach", "container attach"],
        "Attach local standard input, output, and error streams to a running container",
        "[OPTIONS] CONTAINER",
        ONE
    ),
    verb!(
        LogsArgs,
        cmd::logs::run,
        ["logs", "container logs"],
        "Fetch the logs of a container",
        "[OPTIONS] CONTAINER",
        ONE
    ),
    verb!(
        ExecArgs,
        cmd::exec::run,
        ["exec", "container exec"],
        "Execute a command in a running container",
        "[OPTIONS] CONTAINER COMMAND [ARG...]",
        "requires at least 2 arguments"
    ),
    verb!(
        PsArgs,
        cmd::ps::run,
        ["ps", "container ls", "container list", "container ps"],
        "List containers",
        "[OPTIONS]",
        NONE
    ),
    verb!(
        TopArgs,
        cmd::top::run,
        ["top", "container top"],
        "Display the running processes of a container",
        "CONTAINER [ps OPTIONS]",
        SOME
    ),
    verb!(
        StatsArgs,
        cmd::stats::run,
        ["stats", "container stats"],
        "Display a live stream of container(s) resource usage statistics",
        "[OPTIONS] [CONTAINER...]",
        "accepts any number of arguments"
    ),
    verb!(
        EventsArgs,
        cmd::events::run,
        ["events", "system events"],
        "Get real time events",
        "[OPTIONS]",
        NONE
    ),
    verb!(
        CommitArgs,
        cmd::commit::run,
        ["commit", "container commit"],
        "Create a new image from a container's changes",
        "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
        "requires at least 1 and at most 2 arguments"
    ),
    verb!(
        CpArgs,
        cmd::cp::run,
        ["cp", "container cp"],
        "Copy files/folders between a container and the local filesystem",
        "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\
         \tmini-docker cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
        "requires 2 arguments"
    ),
    verb!(
        DiffArgs,
        cmd::diff::run,
        ["diff", "container diff"],
        "Inspect changes to files or directories on a container's filesystem",
        "CONTAINER",
        ONE
    ),
    verb!(
        ExportArgs,
        cmd::export::run,
        ["export", "container export"],
        "Export a container's filesystem as a tar archive",
        "[OPTIONS] CONTAINER",
        ONE
    ),
    verb!(
        PullArgs,
        cmd::pull::run,
        ["pull", "image pull"],
        "Download an image from a registry",
        "[OPTIONS] NAME[:TAG|@DIGEST]",
        ONE
    ),
    verb!(
        ImagesArgs,
        cmd::images::run,
        ["images", "image ls", "image list"],
        "List images",
        "[OPTIONS] [REPOSITORY[:TAG]]",
        "requires at most 1 argument"
    ),
    verb!(
        FormatArgs,
        cmd::version::run,
        ["version"],
        "Show the version information",
        "[OPTIONS]",
        NONE
    ),
    verb!(
        FormatArgs,
        cmd::info::run,
        ["info", "system info"],
        "Display system-wide information",
        "[OPTIONS]",
        NONE
    ),
    verb!(
        HistoryArgs,
        cmd::history::run,
        ["history", "image history"],
        "Show the history of an image",
        "[OPTIONS] IMAGE",
        ONE
    ),
    verb!(
        ImportArgs,
        cmd::import::run,
        ["import", "image import"],
        "Import the contents from a tarball to create a filesystem image",
        "[OPTIONS] file|- [REPOSITORY[:TAG]]",
        "requires at least 1 and at most 2 arguments"
    ),
    verb!(
        InspectArgs,
        cmd::inspect::run,
        ["inspect"],
        "Return low-level information on objects",
        "[OPTIONS] NAME|ID [NAME|ID...]",
        SOME
    ),
    verb!(
        ContainerInspectArgs,
        cmd::inspect::run_container,
        ["container inspect"],
        "Display detailed information on one or more containers",
        "[OPTIONS] CONTAINER [CONTAINER...]",
        SOME
    ),
    verb!(
        ImageInspectArgs,
        cmd::inspect::run_image,
        ["image inspect"],
        "Display detailed information on one or more images",
        "[OPTIONS] IMAGE [IMAGE...]",
        SOME
    ),
    verb!(
        LoadArgs,
        cmd::load::run,
        ["load", "image load"],
        "Load an image from a tar archive or STDIN",
        "[OPTIONS]",
        NONE
    ),
    verb!(
        ContainerPruneArgs,
        cmd::prune::containers,
        ["container prune"],
        "Remove all stopped containers",
        "[OPTIONS]",
        NONE
    ),
    verb!(
        PortArgs,
        cmd::port::run,
        ["port", "container port"],
        "List port mappings or a specific mapping for the container",
        "CONTAINER [PRIVATE_PORT[/PROTO]]",
        "requires at least 1 and at most 2 arguments"
    ),
    verb!(
        PruneArgs,
        cmd::prune::images,
        ["image prune"],
        "Remove unused images",
        "[OPTIONS]",
        NONE
    ),
    verb!(
        RmiArgs,
        cmd::rmi::run,
        ["rmi", "image rm", "image remove"],
        "Remove one or more images",
        "[OPTIONS] IMAGE [IMAGE...]",
        SOME
    ),
    verb!(
        SaveArgs,
        cmd::save::run,
        ["save", "image save"],
        "Save one or more images to a tar archive (streamed to STDOUT by default)",
        "[OPTIONS] IMAGE [IMAGE...]",
        SOME
    ),
    verb!(
        TagArgs,
        cmd::tag::run,
        ["tag", "image tag"],
        "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
        "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
        "requires 2 arguments"
    ),
    verb!(
        VolumeCreateArgs,
        cmd::volume::create,
        ["volume create"],
        "Create a volume",
        "[OPTIONS] [VOLUME]",
        "requires at most 1 argument"
    ),
    verb!(
        VolumeInspectArgs,
        cmd::inspect::run_volume,
        ["volume inspect"],
        "Display detailed information on one or more volumes",
        "[OPTIONS] VOLUME [VOLUME...]",
        SOME
    ),
    verb!(
        VolumeLsArgs,
        cmd::volume::list,
        ["volume ls", "volume list"],
        "List volumes",
        "[OPTIONS]",
        NONE
    ),
    verb!(
        VolumePruneArgs,
        cmd::volume::prune,
        ["volume prune"],
        "Remove unused local volumes",
        "[OPTIONS]",
        NONE
    ),
    verb!(
        VolumeRmArgs,
        cmd::volume::remove,
        ["volume rm", "volume remove"],
        "Remove one or more volumes",
        "[OPTIONS] VOLUME [VOLUME...]",
        SOME
    ),
    verb!(
        DfArgs,
        cmd::df::run,
        ["system df"],
        "Show disk usage",
        "[OPTIONS]",
        NONE
    ),
    verb!(
        SystemPruneArgs,
        cmd::prune::system,
        ["system prune"],
        "Remove unused data",
        "[OPTIONS]",
        NONE
    ),
    verb!(
        NoArgs,
        cmd::start_all::run,
        ["system start"],
        "Start the containers that their restart policies want to run, after a boot",
        "",
        NONE
    ),
    verb!(
        CompletionArgs,
        cmd::completion::run,
        ["completion"],
        "Print a script that completes command lines",
        "bash|zsh|fish",
        ONE
    ),
    verb!(
        ManArgs,
        cmd::man::run,
        ["man"],
        "Write the manual pages into a directory",
        "DIRECTORY",
        ONE
    ),
];

/// The groups of verbs with a second word.
pub(crate) const GROUPS: &[(&str, &str)] = &[
    ("container", "Manage containers"),
    ("image", "Manage images"),
    ("system", "Manage mini-docker"),
    ("volume", "Manage volumes"),
];
