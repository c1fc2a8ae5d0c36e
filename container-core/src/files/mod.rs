//! A container's files, looked at and changed from outside: `diff`, `export`, `commit`, `cp` and
//! sizes. The same for root and for an ordinary user, whether the container runs or not.
//!
//! ```text
//! your program ──spawn──▶ worker: in the container's user namespace, in a mount namespace of its own
//!    │   socket: Task, then Errands and their answers; archives through pipes
//!    └─ its end closes: the worker ends, and with it all that it has mounted
//! ```
//!
//! What a container has changed is read from the directories that its overlay is made of
//! ([`layer`](container_image::layer)); nothing is mounted for that. Files are reached through
//! a [`Scene`](crate::runtime::Scene), which a container cannot lead anywhere else.

mod archive;
mod changes;
mod commit;
mod copy;
mod error;
mod local;
mod path;
mod rules;
mod scene;
mod task;
mod view;
mod worker;

pub use archive::Archive;
pub use changes::{Change, Sizes};
pub use commit::CommitOptions;
pub use container_image::layer::ChangeKind;
pub use copy::{Copied, CopyOptions};
pub use error::FilesError;
pub use task::PathStat;

pub(crate) use worker::serve;

use crate::error::{Error, Result};

/// Does something that waits for a worker or moves many bytes, on a thread of its own.
async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(act).await;
    done.unwrap_or_else(|e| Err(Error::system("work on the container's files")(e.into())))
}
