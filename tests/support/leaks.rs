//! What was left behind: processes, mounts, cgroups, network interfaces, files.
//!
//! Tests run at once, so what is looked for is tied to one stage by its directory: a process is its if it has that path
//! among its arguments, open files, root, working directory or mounts. Cgroups and interfaces carry no such path; for
//! them a leak is what is new, empty and still there at every look, which nothing of a living neighbour is.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A look at the machine before a test, to compare with.
pub(crate) struct Leaks {
    dir: PathBuf,
    cgroups: BTreeSet<String>,
    interfaces: BTreeSet<String>,
}

impl Leaks {
    /// `dir`: the directory of a stage. It has to be unlike any other path: everything that names it is taken as its.
    pub(crate) fn watch(dir: &Path) -> Leaks {
        Leaks {
            dir: dir.to_owned(),
            cgroups: idle_cgroups(),
            interfaces: interfaces(),
        }
    }

    /// Asserts that within `limit` nothing is left. Zero: at once, one look.
    #[track_caller]
    pub(crate) fn assert_none(&self, limit: Duration) {
        let left = self.left_after(limit);
        assert!(
            left.is_empty(),
            "left behind after {limit:?}:\n  {}",
            left.join("\n  ")
        );
    }

    /// What is still there at every look until `limit`.
    pub(crate) fn left_after(&self, limit: Duration) -> Vec<String> {
        let deadline = Instant::now() + limit;
        let mut left = self.look();
        while !left.is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
            let now = self.look();
            left.retain(|one| now.contains(one));
        }
        left.into_iter().collect()
    }

    fn look(&self) -> BTreeSet<String> {
        let mut left = BTreeSet::new();
        left.extend(
            self.processes()
                .into_iter()
                .map(|(pid, why)| format!("process {pid}: {why}")),
        );
        left.extend(
            mounts(Path::new("/proc/self/mountinfo"), &self.dir)
                .map(|line| format!("mount: {line}")),
        );
        left.extend(
            idle_cgroups()
                .difference(&self.cgroups)
                .map(|path| format!("cgroup: {path}")),
        );
        left.extend(
            interfaces()
                .difference(&self.interfaces)
                .map(|name| format!("interface: {name}")),
        );
        left.extend(
            files(&self.dir)
                .into_iter()
                .map(|path| format!("file: {path}")),
        );
        left
    }

    /// Living processes of this stage, and by what they were recognised. A test run by an ordinary user does not see
    /// the files of processes that are not dumpable; it sees their arguments.
    pub(crate) fn processes(&self) -> Vec<(u32, String)> {
        let own = std::process::id();
        let Ok(proc) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        let pids = proc.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        pids.filter(|pid| *pid != own)
            .filter_map(|pid| Some((pid, self.belongs(pid)?)))
            .collect()
    }

    fn belongs(&self, pid: u32) -> Option<String> {
        let proc = PathBuf::from(format!("/proc/{pid}"));
        let dir = self.dir.to_str()?;
        let stat = fs::read_to_string(proc.join("stat")).ok()?;
        // A zombie has ended; it waits for its parent, which may be a slow init.
        if stat.rsplit_once(") ")?.1.starts_with('Z') {
            return None;
        }
        let arguments =
            String::from_utf8_lossy(&fs::read(proc.join("cmdline")).ok()?).replace('\0', " ");
        let arguments = arguments.trim();
        if arguments.contains(dir) {
            return Some(arguments.to_owned());
        }
        for link in ["cwd", "root", "exe"] {
            if fs::read_link(proc.join(link)).is_ok_and(|to| to.starts_with(&self.dir)) {
                return Some(format!("{arguments} (its {link})"));
            }
        }
        for fd in fs::read_dir(proc.join("fd"))
            .into_iter()
            .flatten()
            .flatten()
        {
            if fs::read_link(fd.path()).is_ok_and(|to| to.starts_with(&self.dir)) {
                return Some(format!("{arguments} (its open file)"));
            }
        }
        let mount = mounts(&proc.join("mountinfo"), &self.dir).next()?;
        // A mount of ours in the namespace that we share with the whole machine makes nobody ours.
        let shared =
            fs::read_link(proc.join("ns/mnt")).ok() == fs::read_link("/proc/self/ns/mnt").ok();
        (!shared).then(|| format!("{arguments} (its mount {mount})"))
    }
}

/// Lines of a mountinfo that name the directory, as mount point or in the options (an overlay's layers).
fn mounts(mountinfo: &Path, dir: &Path) -> impl Iterator<Item = String> + use<> {
    let dir = dir.to_string_lossy().into_owned();
    let text = fs::read_to_string(mountinfo).unwrap_or_default();
    let lines: Vec<String> = text
        .lines()
        .filter(|line| line.contains(&dir))
        .map(str::to_owned)
        .collect();
    lines.into_iter()
}

/// Cgroups of ours without a process in or below them, in every hierarchy.
fn idle_cgroups() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mounted = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for line in mounted.lines().filter(|line| line.contains(" - cgroup")) {
        if let Some(point) = line.split(' ').nth(4) {
            idle_below(Path::new(point), false, &mut found);
        }
    }
    found
}

/// Whether the cgroup and all below it are without processes.
fn idle_below(dir: &Path, ours: bool, found: &mut BTreeSet<String>) -> bool {
    // Ours is what lies below a group of our name; that group itself stays, as Docker's does.
    let below_ours = ours
        || dir
            .file_name()
            .is_some_and(|name| name.to_string_lossy().contains("mini-docker"));
    let mut idle = fs::read_to_string(dir.join("cgroup.procs")).is_ok_and(|procs| procs.is_empty());
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            idle &= idle_below(&entry.path(), below_ours, found);
        }
    }
    if ours && idle {
        found.insert(dir.display().to_string());
    }
    idle
}

/// Network interfaces but those that other engines on the machine make and remove at any time.
fn interfaces() -> BTreeSet<String> {
    const OTHERS: [&str; 6] = ["veth", "docker", "br-", "podman", "cni", "tap"];
    let names = fs::read_dir("/sys/class/net")
        .into_iter()
        .flatten()
        .flatten();
    names
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !OTHERS.iter().any(|other| name.starts_with(other)))
        .collect()
}

/// Files that only a container or an unfinished transfer has: everything of a stage's `run` but locks, and its
/// `root/containers`.
fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    walk(&dir.join("run"), &mut |path, kind| {
        let lock = kind.is_file() && fs::metadata(path).is_ok_and(|data| data.len() == 0);
        if kind.is_socket() || !(kind.is_dir() || lock) {
            found.push(path.display().to_string());
        }
    });
    for container in fs::read_dir(dir.join("root/containers"))
        .into_iter()
        .flatten()
        .flatten()
    {
        found.push(container.path().display().to_string());
    }
    found
}

fn walk(dir: &Path, see: &mut dyn FnMut(&Path, fs::FileType)) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        see(&entry.path(), kind);
        if kind.is_dir() {
            walk(&entry.path(), see);
        }
    }
}
