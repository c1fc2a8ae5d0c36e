//! Where a group is.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::CgroupError;

/// A group's place below the root of its tree: relative, at least one name, no `..`.
///
/// ```
/// use container_core::cgroup::CgroupPath;
///
/// assert_eq!(CgroupPath::container(None, "f00")?.to_string(), "/mini-docker-f00");
/// assert_eq!(CgroupPath::container(Some("/batch".as_ref()), "f00")?.to_string(), "/batch/f00");
/// assert!(CgroupPath::new("/../f00").is_err());
/// # Ok::<(), container_core::cgroup::CgroupError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "PathBuf", into = "PathBuf")]
pub struct CgroupPath(PathBuf);

impl CgroupPath {
    /// A path as in `linux.cgroupsPath` of OCI, for the cgroupfs driver: a leading slash makes
    /// no difference.
    ///
    /// # Errors
    ///
    /// If it is empty, has `..`, or is in systemd's form (`slice:prefix:name`).
    pub fn new(path: impl AsRef<Path>) -> Result<Self, CgroupError> {
        let path = path.as_ref();
        let bad = |why| CgroupError::Path {
            path: path.to_owned(),
            why,
        };
        let mut clean = PathBuf::new();
        for component in path.components() {
            match component {
                Component::RootDir | Component::CurDir => {}
                Component::Normal(name) => clean.push(name),
                Component::ParentDir | Component::Prefix(_) => {
                    return Err(bad("`..` is not allowed in it"));
                }
            }
        }
        if clean.as_os_str().is_empty() {
            return Err(bad("it names no group"));
        }
        let text = clean.as_os_str().as_encoded_bytes();
        if text.iter().any(|byte| *byte == b'\n' || *byte == 0) {
            return Err(bad("a group's name cannot hold a line break or a NUL"));
        }
        if text.split(|byte| *byte == b':').count() == 3 {
            return Err(bad(
                "slice:prefix:name is for the systemd driver, which there is none of yet; give a path",
            ));
        }
        Ok(CgroupPath(clean))
    }

    /// A container's group: below `parent` (Docker's `--cgroup-parent`) or, without one, below
    /// the root, in a directory of its own: there is no common parent that would have to be
    /// made before the first container and be cleaned up after the last.
    ///
    /// # Errors
    ///
    /// As of [`new`](Self::new).
    pub fn container(parent: Option<&Path>, id: &str) -> Result<Self, CgroupError> {
        match parent {
            Some(parent) => Self::new(parent.join(id)),
            None => Self::new(format!("mini-docker-{id}")),
        }
    }

    /// Without a leading slash.
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

impl fmt::Display for CgroupPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0.display())
    }
}

impl TryFrom<PathBuf> for CgroupPath {
    type Error = CgroupError;

    fn try_from(path: PathBuf) -> Result<Self, CgroupError> {
        Self::new(path)
    }
}

impl From<CgroupPath> for PathBuf {
    fn from(path: CgroupPath) -> PathBuf {
        Path::new("/").join(path.0)
    }
}
