//! The environment and the working directory of this process. The libraries read neither: this
//! program does, here and nowhere else, and hands on what it read.

use std::io;
use std::path::PathBuf;

/// A variable that is set, not empty, and text.
#[expect(
    clippy::disallowed_methods,
    reason = "the program's room: it reads the environment"
)]
pub(crate) fn var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A variable that is set to text, be it empty: what `-e NAME` hands on.
#[expect(
    clippy::disallowed_methods,
    reason = "the program's room: it reads the environment"
)]
pub(crate) fn raw(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A variable that names an absolute path, as the XDG specification asks for.
#[expect(
    clippy::disallowed_methods,
    reason = "the program's room: it reads the environment"
)]
pub(crate) fn path(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
}

/// The user's home directory.
#[expect(
    clippy::disallowed_methods,
    reason = "the program's room: it reads the environment"
)]
pub(crate) fn home() -> Option<PathBuf> {
    std::env::home_dir().filter(|path| path.is_absolute())
}

/// The directories of `PATH`.
#[expect(
    clippy::disallowed_methods,
    reason = "the program's room: it reads the environment"
)]
pub(crate) fn search_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .filter(|path| path.is_absolute())
        .collect()
}

/// The working directory, that relative sources of mounts start from.
///
/// # Errors
/// It was removed or may not be read.
pub(crate) fn working_directory() -> io::Result<PathBuf> {
    std::env::current_dir()
}

/// User and group id of who has called this program by sudo(8).
pub(crate) fn caller_of_sudo() -> Option<(u32, u32)> {
    let id = |name| var(name)?.parse::<u32>().ok();
    let caller = (id("SUDO_UID")?, id("SUDO_GID")?);
    rustix::process::geteuid().is_root().then_some(caller)
}
