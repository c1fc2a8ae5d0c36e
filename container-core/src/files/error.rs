//! What can go wrong with a container's files. The texts are Docker's where it has some.

use serde::{Deserialize, Serialize};

/// Why files of a container were not read, written or copied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum FilesError {
    /// No such file or directory in the container.
    #[error("Could not find the file {path} in container {container}")]
    NotFound {
        /// As the caller wrote it.
        path: String,
        /// The container's id.
        container: String,
    },
    /// A path goes through something that is no directory, or ends in a slash and is none.
    #[error("{path}: not a directory")]
    NotADirectory {
        /// As the caller wrote it.
        path: String,
    },
    /// What should be read as a file is something else.
    #[error("{path} is not a regular file")]
    NotAFile {
        /// As the caller wrote it.
        path: String,
    },
    /// An archive can only be unpacked into a directory.
    #[error("extraction point {path} is not a directory")]
    NoExtractionPoint {
        /// As the caller wrote it.
        path: String,
    },
    /// The container's root file system is read-only.
    #[error("container rootfs is marked read-only")]
    ReadOnlyRoot,
    /// The volume is mounted read-only.
    #[error("mounted volume is marked read-only")]
    ReadOnlyVolume,
    /// A path is empty.
    #[error("bad parameter: path cannot be empty")]
    EmptyPath,
    /// A directory would replace a file, or a file a directory.
    #[error(
        "cannot overwrite {} {path:?} with {} {into:?}", kind(*directory), kind(!*directory)
    )]
    Overwrite {
        /// What is there.
        path: String,
        /// The directory that is copied into.
        into: String,
        /// It is the directory.
        directory: bool,
    },
    /// A directory is to be copied to where a file is.
    #[error("cannot copy directory")]
    DirectoryToFile,
    /// A file is to be copied to a name that only a directory can have.
    #[error("no such directory")]
    NoSuchDirectory,
    /// The directory for what is copied is not there.
    #[error("invalid output path: directory {path:?} does not exist")]
    NoOutputDirectory {
        /// The directory.
        path: String,
    },
    /// What is there is neither a directory nor a regular file.
    #[error("{path:?} must be a directory or a regular file")]
    OddDestination {
        /// Where.
        path: String,
    },
    /// Links lead to each other, or there are too many of them.
    #[error("too many symbolic links in {path}")]
    TooManyLinks {
        /// Where it began.
        path: String,
    },
    /// The file is larger than what is read into memory.
    #[error("{path} has {size} bytes; more than {limit} are copied, not read into memory")]
    TooLarge {
        /// The file.
        path: String,
        /// Its size.
        size: u64,
        /// What is read at most.
        limit: u64,
    },
    /// The user whose files they shall be is not in the container.
    #[error("unable to find {kind} {name}: no matching entries in {file}")]
    NoSuchUser {
        /// `user` or `group`.
        kind: String,
        /// The name.
        name: String,
        /// The file looked in.
        file: String,
    },
    /// The container has no image to add a layer to.
    #[error(
        "a container of `host` cannot be committed: its base is this machine, which is no image; \
         export it, or begin with an image"
    )]
    HostImage,
    /// An archive, a tree or a file cannot be read or written.
    #[error("cannot {action}: {reason}")]
    Failed {
        /// What was being done, to what.
        action: String,
        /// Why it failed.
        reason: String,
    },
}

fn kind(directory: bool) -> &'static str {
    match directory {
        true => "directory",
        false => "non-directory",
    }
}

impl FilesError {
    /// Names the container, which a worker does not know.
    pub(crate) fn of(self, id: &str) -> Self {
        match self {
            Self::NotFound { path, container } if container.is_empty() => Self::NotFound {
                path,
                container: id.to_owned(),
            },
            error => error,
        }
    }

    pub(super) fn failed<E: std::fmt::Display>(
        action: impl Into<String>,
    ) -> impl FnOnce(E) -> Self {
        let action = action.into();
        move |error| Self::Failed {
            action,
            reason: error.to_string(),
        }
    }
}

impl From<container_image::tree::TreeError> for FilesError {
    fn from(error: container_image::tree::TreeError) -> Self {
        Self::failed("read the container's files")(error)
    }
}
