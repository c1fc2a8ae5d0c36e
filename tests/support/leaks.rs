//! What was left behind: processes, mounts, cgroups, network interfaces, files.
//!
//! Tests run at once, so what is looked for is tied to one stage by its directory: a process is its if it has that path
//! among its arguments, open files, root, working directory or mounts. A cgroup carries the id of its container, and the
//! stage's journal says which were its own. Other cgroups and interfaces carry nothing; for them a leak is what is new,
//! empty and there at every look for a while, which nothing of a living neighbour is.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What our cgroups are called.
const GROUPS: &str = "mini-docker";
/// A neighbour's cgroup is empty for a moment when it comes and when it goes; longer than this, it is nobody's.
const MOMENT: Duration = Duration::from_millis(700);

/// A look at the machine before a test, to compare with.
pub(crate) struct Leaks {
    dir: PathBuf,
    groups: String,
    cgroups: BTreeSet<String>,
    interfaces: BTreeSet<String>,
}

impl Leaks {
    /// `dir`: the directory of a stage. It has to be unlike any other path: everything that names it is taken as its.
    pub(crate) fn watch(dir: &Path) -> Leaks {
        Leaks::watch_groups(dir, GROUPS)
    }

    /// The same with cgroups of another name: for the test of this very thing, which no neighbour may notice.
    pub(crate) fn watch_groups(dir: &Path, groups: &str) -> Leaks {
        Leaks {
            dir: dir.to_owned(),
            groups: groups.to_owned(),
            cgroups: idle_cgroups(groups),
            interfaces: interfaces(),
        }
    }

    /// Asserts that within `limit` nothing is left. Zero: of what is surely this stage's, nothing at the first look.
    #[track_caller]
    pub(crate) fn assert_none(&self, limit: Duration) {
        let left = self.left_after(limit);
        assert!(
            left.is_empty(),
            "left behind after {limit:?}:\n  {}",
            left.join("\n  ")
        );
    }

    /// What is there at every look until `limit`.
    pub(crate) fn left_after(&self, limit: Duration) -> Vec<String> {
        let mut left = lasting(limit, || self.own());
        left.append(&mut lasting(limit.max(MOMENT), || self.shared()));
        left.into_iter().collect()
    }

    /// What names the stage's directory.
    fn own(&self) -> BTreeSet<String> {
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
            files(&self.dir)
                .into_iter()
                .map(|path| format!("file: {path}")),
        );
        left
    }

    /// What could be anybody's.
    fn shared(&self) -> BTreeSet<String> {
        let mut left = BTreeSet::new();
        let journal = ["run/events", "run/events.1"]
            .map(|file| fs::read_to_string(self.dir.join(file)).unwrap_or_default())
            .concat();
        left.extend(
            idle_cgroups(&self.groups)
                .difference(&self.cgroups)
                .filter(|path| container_of(path).is_none_or(|id| journal.contains(id)))
                .map(|path| format!("cgroup: {path}")),
        );
        left.extend(
            interfaces()
                .difference(&self.interfaces)
                .map(|name| format!("interface: {name}")),
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

/// What every look finds, from now until `limit`.
fn lasting(limit: Duration, look: impl Fn() -> BTreeSet<String>) -> BTreeSet<String> {
    let deadline = Instant::now() + limit;
    let mut left = look();
    while !left.is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
        let now = look();
        left.retain(|one| now.contains(one));
    }
    left
}

/// Cgroups of ours without a process in or below them, in every hierarchy: `mini-docker-…`, or what lies below a group
/// of our name. A group that is just `mini-docker` stays, as Docker's does.
fn idle_cgroups(groups: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mounted = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for line in mounted.lines().filter(|line| line.contains(" - cgroup")) {
        if let Some(point) = line.split(' ').nth(4) {
            idle_below(Path::new(point), groups, false, &mut found);
        }
    }
    found
}

/// The container whose cgroup this is, or has this below it; by its name.
fn container_of(cgroup: &str) -> Option<&str> {
    cgroup
        .split(['/', '-'])
        .find(|part| part.len() == 64 && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Whether the cgroup and all below it are without processes.
fn idle_below(dir: &Path, groups: &str, below_ours: bool, found: &mut BTreeSet<String>) -> bool {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let named = name.strip_prefix(groups);
    let ours = below_ours || named.is_some_and(|rest| rest.starts_with('-'));
    let mut idle = fs::read_to_string(dir.join("cgroup.procs")).is_ok_and(|procs| procs.is_empty());
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            idle &= idle_below(&entry.path(), groups, ours || named.is_some(), found);
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

/// Files that only a container has: everything in a stage's `run` but the journal, locks and other empty files, and its
/// directory and name in `root`.
fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let journal = dir.join("run/events");
    walk(&dir.join("run"), &mut |path, kind| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let container = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        let empty = kind.is_file() && fs::metadata(path).is_ok_and(|data| data.len() == 0);
        if container || !(kind.is_dir() || empty || path == journal) {
            found.push(path.display().to_string());
        }
    });
    for of_containers in ["root/containers", "root/names"] {
        for entry in fs::read_dir(dir.join(of_containers))
            .into_iter()
            .flatten()
            .flatten()
        {
            found.push(entry.path().display().to_string());
        }
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
