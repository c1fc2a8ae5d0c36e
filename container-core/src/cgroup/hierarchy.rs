//! Which version is mounted where.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::v1::V1;
use super::v2::V2;
use super::{Cgroup, CgroupError, CgroupPath, Unavailable};

pub(super) const MOUNT: &str = "/sys/fs/cgroup";
/// linux/magic.h
const CGROUP_SUPER_MAGIC: i64 = 0x27_e0eb;
const CGROUP2_SUPER_MAGIC: i64 = 0x6367_7270;

/// The control group trees of this machine, as this process sees them.
///
/// Serialisable, so that a process that knows can tell those it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Hierarchy {
    /// Also "hybrid": controllers on v1, and a v2 tree without any that is left alone.
    V1 {
        /// Each mounted tree once.
        trees: Vec<Tree>,
    },
    /// The unified tree.
    V2 {
        /// Where it is mounted.
        mount: PathBuf,
    },
}

/// A v1 tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// `cpu`, `memory`, …, or `name=…`; several that are mounted together.
    pub controllers: Vec<String>,
    /// Where it is mounted.
    pub mount: PathBuf,
}

/// Finds the trees. Costs a statfs(2) on v2 and one a tree on v1; /proc/self/mountinfo, which a
/// machine with many mounts takes milliseconds to write, is read only where v1's trees are not at
/// their usual places.
///
/// # Errors
///
/// [`CgroupError::Unavailable`] if none is mounted.
pub fn detect() -> Result<Hierarchy, CgroupError> {
    if filesystem(MOUNT.as_ref()).ok_or(Unavailable::NotMounted)? == CGROUP2_SUPER_MAGIC {
        return Ok(Hierarchy::V2 {
            mount: MOUNT.into(),
        });
    }
    let read = |file| std::fs::read(file).map_err(|error| CgroupError::io("read", file, error));
    let is_tree = |mount: &Path| filesystem(mount) == Some(CGROUP_SUPER_MAGIC);
    let trees = match usual_trees(&read("/proc/self/cgroup")?, is_tree) {
        Some(trees) => trees,
        None => trees(&read("/proc/self/mountinfo")?),
    };
    if trees.is_empty() {
        Err(Unavailable::NotMounted.into())
    } else {
        Ok(Hierarchy::V1 { trees })
    }
}

/// The magic number of the file system at a path (statfs(2)).
fn filesystem(path: &Path) -> Option<i64> {
    // The type of f_type differs between architectures.
    #[allow(clippy::unnecessary_cast)]
    rustix::fs::statfs(path).ok().map(|at| at.f_type as i64)
}

/// The v1 trees that /proc/self/cgroup tells of (cgroups(7)), if `is_tree` finds each mounted in
/// the directory of its name.
fn usual_trees(cgroup: &[u8], is_tree: impl Fn(&Path) -> bool) -> Option<Vec<Tree>> {
    let mut trees = Vec::new();
    for line in cgroup.split(|byte| *byte == b'\n') {
        let controllers = match line.split(|byte| *byte == b':').nth(1) {
            // v2's line, or the end.
            None | Some(b"") => continue,
            Some(controllers) => std::str::from_utf8(controllers).ok()?,
        };
        let directory = controllers.strip_prefix("name=").unwrap_or(controllers);
        let mount = Path::new(MOUNT).join(directory);
        if !is_tree(&mount) {
            return None;
        }
        trees.push(Tree {
            controllers: controllers.split(',').map(str::to_owned).collect(),
            mount,
        });
    }
    Some(trees)
}

impl Hierarchy {
    /// Makes a container's group, with the parents it needs, and enables what controllers the
    /// container's statistics need.
    ///
    /// On v2, one who may not write at the root gets it at `path` below the nearest group
    /// above that of this process that is delegated to him, or else below the latter itself
    /// (without controllers then: a group with processes hands none on).
    ///
    /// # Errors
    ///
    /// [`CgroupError::Unavailable`] if there is no writable place for it;
    /// [`CgroupError::InUse`] if it exists and has processes.
    pub fn create(&self, path: &CgroupPath) -> Result<Box<dyn Cgroup>, CgroupError> {
        Ok(match self {
            Hierarchy::V1 { trees } => Box::new(V1::create(trees, path)?),
            Hierarchy::V2 { mount } => Box::new(V2::create(mount, path)?),
        })
    }

    /// A group that was made before, by its [path](Cgroup::path). That it exists is not
    /// checked.
    pub fn open(&self, path: &CgroupPath) -> Box<dyn Cgroup> {
        match self {
            Hierarchy::V1 { trees } => Box::new(V1::open(trees, path)),
            Hierarchy::V2 { mount } => Box::new(V2::open(mount, path)),
        }
    }

    /// 1 or 2.
    pub fn version(&self) -> u8 {
        match self {
            Hierarchy::V1 { .. } => 1,
            Hierarchy::V2 { .. } => 2,
        }
    }

    /// The controllers there are: `memory`, `cpu`, …; of v2, those of the root group.
    pub fn controllers(&self) -> Vec<String> {
        match self {
            Hierarchy::V1 { trees } => trees.iter().flat_map(|t| t.controllers.clone()).collect(),
            Hierarchy::V2 { mount } => {
                let listed = std::fs::read_to_string(mount.join("cgroup.controllers"));
                // One that cannot be read offers nothing.
                let listed = listed.unwrap_or_default();
                listed.split_whitespace().map(str::to_owned).collect()
            }
        }
    }
}

const CONTROLLERS: [&str; 14] = [
    "cpuset",
    "cpu",
    "cpuacct",
    "blkio",
    "memory",
    "devices",
    "freezer",
    "net_cls",
    "perf_event",
    "net_prio",
    "hugetlb",
    "pids",
    "rdma",
    "misc",
];

/// The v1 trees that proc_pid_mountinfo(5) tells of.
fn trees(mountinfo: &[u8]) -> Vec<Tree> {
    let mut trees: Vec<Tree> = Vec::new();
    for line in mountinfo.split(|byte| *byte == b'\n') {
        let mut fields = line.split(|byte| *byte == b' ');
        let Some(mount) = fields.nth(4) else { continue };
        let mut after = fields.skip_while(|field| *field != b"-").skip(1);
        let (Some(b"cgroup"), _, Some(options)) = (after.next(), after.next(), after.next()) else {
            continue;
        };
        let options = String::from_utf8_lossy(options);
        let named = |option: &&str| CONTROLLERS.contains(option) || option.starts_with("name=");
        let controllers: Vec<String> = options
            .split(',')
            .filter(named)
            .map(str::to_owned)
            .collect();
        let mount = unescape(mount);
        let known = trees
            .iter_mut()
            .find(|tree| tree.controllers == controllers);
        match known {
            // A tree can be mounted again elsewhere, in a container's root say.
            Some(tree) if mount.starts_with(MOUNT) && !tree.mount.starts_with(MOUNT) => {
                tree.mount = mount;
            }
            Some(_) => {}
            None if controllers.is_empty() => {}
            None => trees.push(Tree { controllers, mount }),
        }
    }
    trees
}

/// Spaces and the like are written as `\040`.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        let octal = tail.get(..3).filter(|_| byte == b'\\');
        let code = octal.and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(value) => {
                bytes.push(value);
                rest = &tail[3..];
            }
            None => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    Path::new(OsStr::from_bytes(&bytes)).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_of_a_mountinfo() {
        let text = b"20 1 0:20 / /proc rw - proc proc rw\n\
            31 25 0:27 /docker/x /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
            32 25 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd\n\
            33 25 0:29 / /mnt/a\\040b rw - cgroup none rw,memory\n\
            34 25 0:29 / /sys/fs/cgroup/memory rw - cgroup none rw,memory\n\
            35 25 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
            36 25 0:31 / /mnt/a\\040b\\134 rw - cgroup none rw,pids\n\
            garbage\n";
        let found = trees(text);
        let found: Vec<_> = found
            .iter()
            .map(|tree| (tree.controllers.join("+"), tree.mount.display().to_string()))
            .collect();
        let expected = [
            ("cpu+cpuacct", "/sys/fs/cgroup/cpu,cpuacct"),
            ("name=systemd", "/sys/fs/cgroup/systemd"),
            ("memory", "/sys/fs/cgroup/memory"),
            ("pids", "/mnt/a b\\"),
        ];
        assert_eq!(found, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }

    #[test]
    fn usual_places() {
        let text = b"4:cpu,cpuacct:/a:b\n3:name=systemd:/\n2:memory:/x\n0::/\n";
        let found = usual_trees(text, |_| true).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|tree| (tree.controllers.join("+"), tree.mount.display().to_string()))
            .collect();
        let expected = [
            ("cpu+cpuacct", "/sys/fs/cgroup/cpu,cpuacct"),
            ("name=systemd", "/sys/fs/cgroup/systemd"),
            ("memory", "/sys/fs/cgroup/memory"),
        ];
        assert_eq!(found, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
        // One that is elsewhere, or not mounted at all: mountinfo has to be asked.
        assert!(usual_trees(text, |mount| !mount.ends_with("memory")).is_none());
    }

    /// Both ways of looking see the same trees on this machine.
    #[test]
    fn both_ways_agree() {
        let Ok(Hierarchy::V1 { trees: mut found }) = detect() else {
            println!("no cgroup v1 here");
            return;
        };
        let mut expected = trees(&std::fs::read("/proc/self/mountinfo").unwrap());
        for trees in [&mut found, &mut expected] {
            trees.sort_by(|a, b| a.mount.cmp(&b.mount));
        }
        assert_eq!(found, expected);
    }
}
