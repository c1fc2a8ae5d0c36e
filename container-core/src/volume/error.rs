//! Why something cannot be done with a volume, in Docker's words where it has some.

use std::io;
use std::path::PathBuf;

/// What is wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VolumeError {
    /// There is no volume of this name.
    #[error("get {name}: no such volume")]
    NotFound {
        /// The name.
        name: String,
    },
    /// The name is none.
    #[error("create {name}: {problem}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        problem: NameProblem,
    },
    /// There is no such driver.
    #[error(
        "create {name}: error looking up volume plugin {driver}: there are no plugins here, the \
         only driver is local"
    )]
    Driver {
        /// The volume.
        name: String,
        /// The driver.
        driver: String,
    },
    /// Options of the driver that make no sense.
    #[error("create {name}: {problem}")]
    Options {
        /// The volume.
        name: String,
        /// What is wrong with them.
        problem: OptionProblem,
    },
    /// A container has it.
    #[error("remove {name}: volume is in use - [{}]{}", users.join(", "), hint(users))]
    InUse {
        /// The volume.
        name: String,
        /// The containers' ids; empty while one is being made.
        users: Vec<String>,
    },
    /// A volume that cannot be shared is mounted elsewhere.
    #[error(
        "the volume {name} is of type tmpfs and container {user} has it mounted: without a daemon \
         each container would see a memory of its own; share a volume of the disk, or a directory \
         of a tmpfs of the host"
    )]
    NotShared {
        /// The volume.
        name: String,
        /// The container that has it.
        user: String,
    },
    /// A file or directory cannot be read, made or removed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

fn hint(users: &[String]) -> &'static str {
    if users.is_empty() {
        " (a container with it is being made)"
    } else {
        ""
    }
}

/// Why a name is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameProblem {
    /// One character.
    #[error("volume name is too short, names should be at least two alphanumeric characters")]
    Short,
    /// More than a file's name may have.
    #[error("volume name is too long, names should be at most 255 characters")]
    Long,
    /// Others than letters, digits and a few more.
    #[error(
        "{0:?} includes invalid characters for a local volume name, only \
         \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use \
         absolute path"
    )]
    Characters(String),
}

/// Why the options of the driver `local` make no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionProblem {
    /// There is none of this name.
    #[error("invalid option: {0:?}")]
    Unknown(String),
    /// What the others need is not there.
    #[error("missing required option: {0:?}")]
    Missing(&'static str),
    /// A quota.
    #[error("quota size requested but no quota support")]
    Quota,
    /// One in `o` that the kernel does not have.
    #[error("invalid mount option in \"o\": {0:?}")]
    Mount(String),
    /// A directory to bind that is no absolute path.
    #[error("the device of a bind mount must be an absolute path: {0:?}")]
    Relative(String),
    /// The host in `addr` cannot be found.
    #[error("cannot find the address of {host}: {reason}")]
    Address {
        /// As `addr` says.
        host: String,
        /// Why not.
        reason: String,
    },
}

impl VolumeError {
    pub(super) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}
