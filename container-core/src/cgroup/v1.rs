//! A tree for each controller.

mod figures;

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use oci_spec::runtime::LinuxResources;
use rustix::fs::{Mode, OFlags};

use super::directory::{self, is_gone, read_if_any, value_of};
use super::hierarchy::Tree;
use super::setting::Setting;
use super::stats::Stats;
use super::{
    Cgroup, CgroupError, CgroupPath, Join, OomWatch, Tasks, Unavailable, devices, limits_v1,
};

/// Those that each container gets. The list of trees is not only theirs: several controllers
/// can share one.
const WANTED: [&str; 6] = ["memory", "cpuacct", "devices", "freezer", "pids", "blkio"];
const REMOVE: Duration = Duration::from_secs(2);
const FREEZE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct V1 {
    trees: Vec<Tree>,
    path: CgroupPath,
    owned: bool,
}

impl V1 {
    pub(super) fn open(trees: &[Tree], path: &CgroupPath) -> Self {
        V1 {
            trees: trees.to_vec(),
            path: path.clone(),
            owned: false,
        }
    }

    pub(super) fn create(trees: &[Tree], path: &CgroupPath) -> Result<Self, CgroupError> {
        let mut group = V1::open(trees, path);
        // From here on what was made is removed if the rest fails.
        group.owned = true;
        // sd_booted(3)
        let systemd = Path::new("/run/systemd/system").exists();
        let wanted =
            |name: &String| WANTED.contains(&name.as_str()) || systemd && name == "name=systemd";
        for tree in trees
            .iter()
            .filter(|tree| tree.controllers.iter().any(wanted))
        {
            match make(tree, path) {
                Err(CgroupError::InUse { path, process }) => {
                    group.owned = false;
                    return Err(CgroupError::InUse { path, process });
                }
                Err(CgroupError::Io { path, source, .. })
                    if matches!(
                        source.raw_os_error(),
                        Some(libc::EACCES | libc::EPERM | libc::EROFS)
                    ) =>
                {
                    return Err(Unavailable::Denied { path, source }.into());
                }
                made => made?,
            };
        }
        Ok(group)
    }

    fn tree(&self, controller: &str) -> Option<&Tree> {
        self.trees
            .iter()
            .find(|tree| tree.controllers.iter().any(|name| name == controller))
    }

    fn directory(&self, tree: &Tree) -> PathBuf {
        tree.mount.join(self.path.as_path())
    }

    /// `None` where the controller is not mounted.
    fn file(&self, controller: &str, name: &str) -> Option<PathBuf> {
        Some(self.directory(self.tree(controller)?).join(name))
    }

    /// A tree that holds the group; all hold the same processes.
    fn any(&self) -> Option<PathBuf> {
        self.trees
            .iter()
            .map(|tree| self.directory(tree))
            .find(|directory| directory.is_dir())
    }

    fn write(&self, setting: &Setting, tree: &Tree) -> Result<Option<()>, CgroupError> {
        for (name, value) in &setting.files {
            let file = self.directory(tree).join(name.as_ref());
            match directory::write(&file, value) {
                Ok(()) => return Ok(Some(())),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(source) => {
                    let value = value.clone();
                    return Err(CgroupError::Limit {
                        limit: setting.limit,
                        value,
                        file,
                        source,
                    });
                }
            }
        }
        Ok(None)
    }

    fn set(&self, setting: &Setting) -> Result<(), CgroupError> {
        let (limit, controller) = (setting.limit, setting.controller);
        let Some(tree) = self.tree(controller) else {
            if setting.unlimited {
                return Ok(());
            }
            return Err(CgroupError::NoController {
                limit,
                controller,
                tree: "/sys/fs/cgroup".into(),
            });
        };
        if self.write(setting, tree)?.is_some() {
            return Ok(());
        }
        if self.enter(tree)? && self.write(setting, tree)?.is_some() || setting.unlimited {
            return Ok(());
        }
        let name = setting
            .files
            .first()
            .map(|(name, _)| self.directory(tree).join(name.as_ref()));
        Err(CgroupError::Missing {
            limit,
            file: name.unwrap_or_default(),
            fix: setting.fix,
        })
    }

    /// Makes the group in one more tree. Processes that it has already (an update of a running
    /// container) are moved one by one, which costs, until a look finds none to move.
    fn enter(&self, tree: &Tree) -> Result<bool, CgroupError> {
        let directory = self.directory(tree);
        if directory.is_dir() {
            return Ok(false);
        }
        let before = self.any();
        make(tree, &self.path)?;
        let Some(before) = before else {
            return Ok(true);
        };
        for _ in 0..16 {
            let inside = directory::processes(&directory)?;
            let mut outside = directory::processes(&before)?;
            outside.retain(|pid| inside.binary_search(pid).is_err());
            if outside.is_empty() {
                break;
            }
            for pid in outside {
                let file = directory.join("cgroup.procs");
                match directory::write(&file, &pid.to_string()) {
                    Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                    written => written
                        .map_err(|error| CgroupError::io("move processes by", file, error))?,
                }
            }
        }
        Ok(true)
    }

    fn set_devices(
        &self,
        rules: &[oci_spec::runtime::LinuxDeviceCgroup],
    ) -> Result<(), CgroupError> {
        let limit = "device rules";
        let Some(tree) = self.tree("devices") else {
            return Err(CgroupError::NoController {
                limit,
                controller: "devices",
                tree: "/sys/fs/cgroup".into(),
            });
        };
        self.enter(tree)?;
        let directory = self.directory(tree);
        let lists = ["devices.deny", "devices.allow"].map(|name| directory.join(name));
        // The kernel takes one rule a write, and is asked for each file once.
        let mut open: [Option<File>; 2] = [None, None];
        for rule in devices::rules(rules)? {
            let (file, open) = (
                &lists[usize::from(rule.allow)],
                &mut open[usize::from(rule.allow)],
            );
            for value in rule.lines() {
                let written = match open {
                    Some(open) => open.write_all(value.as_bytes()),
                    None => directory::open_to_write(file)
                        .and_then(|file| open.insert(file).write_all(value.as_bytes())),
                };
                match written {
                    Ok(()) => {}
                    Err(error)
                        if error.raw_os_error() == Some(libc::EPERM) && !devices::may_confine() =>
                    {
                        return Ok(());
                    }
                    Err(source) => {
                        return Err(CgroupError::Limit {
                            limit,
                            value,
                            file: file.clone(),
                            source,
                        });
                    }
                }
            }
        }
        Ok(())
    }

    fn read(&self, controller: &str, name: &str) -> Result<Option<String>, CgroupError> {
        match self.file(controller, name) {
            Some(file) => read_if_any(&file),
            None => Ok(None),
        }
    }

    fn number(&self, controller: &str, name: &str) -> Result<Option<u64>, CgroupError> {
        Ok(self
            .read(controller, name)?
            .and_then(|text| text.trim().parse().ok()))
    }

    /// Tells the freezer and waits; `false` if it took too long or there is none.
    fn freezer(&self, state: &str, within: Duration) -> Result<bool, CgroupError> {
        let Some(file) = self.file("freezer", "freezer.state") else {
            return Ok(false);
        };
        let deadline = Instant::now() + within;
        let mut pause = Duration::from_micros(50);
        loop {
            // Written again each time, or a process forked meanwhile could be missed.
            match directory::write(&file, state) {
                Err(error) if is_gone(&error) => return Ok(true),
                written => written.map_err(|error| CgroupError::io("write", &file, error))?,
            }
            match read_if_any(&file)? {
                Some(now) if now.trim() != state => {}
                _ => return Ok(true),
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            // v1 tells of no change of state.
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(5));
        }
    }

    fn clear(&self) -> Result<(), CgroupError> {
        let deadline = Instant::now() + REMOVE;
        let mut first = Ok(());
        for tree in &self.trees {
            let left = deadline.saturating_duration_since(Instant::now());
            let removed = directory::remove(&self.directory(tree), left, &|_, pause| {
                std::thread::sleep(pause)
            });
            if first.is_ok() {
                first = removed;
            }
        }
        first
    }
}

/// Makes the group in a tree.
fn make(tree: &Tree, path: &CgroupPath) -> Result<PathBuf, CgroupError> {
    let is_cpuset = tree.controllers.iter().any(|name| name == "cpuset");
    directory::make(&tree.mount, path.as_path(), &|group| {
        if is_cpuset {
            inherit_cpuset(group)
        } else {
            Ok(())
        }
    })
}

/// A new cpuset is empty and takes no process until it has CPUs and memory nodes.
fn inherit_cpuset(group: &Path) -> io::Result<()> {
    let Some(parent) = group.parent() else {
        return Ok(());
    };
    for name in ["cpuset.cpus", "cpuset.mems"] {
        // Filled by the kernel if the parent has cgroup.clone_children.
        if directory::read(&group.join(name))?.trim().is_empty() {
            directory::write(
                &group.join(name),
                directory::read(&parent.join(name))?.trim(),
            )?;
        }
    }
    Ok(())
}

impl Cgroup for V1 {
    fn path(&self) -> &CgroupPath {
        &self.path
    }

    fn apply(&self, resources: &LinuxResources) -> Result<(), CgroupError> {
        let settings = limits_v1::settings(resources)?;
        if let Some(memory) = resources.memory()
            && memory.check_before_update() == Some(true)
            && let Some(limit) = memory.limit().and_then(|limit| u64::try_from(limit).ok())
            && let Some(usage) = self.number("memory", "memory.usage_in_bytes")?
            && limit != 0
            && limit < usage
        {
            return Err(CgroupError::BelowUsage { limit, usage });
        }
        let mut again = Vec::new();
        for setting in &settings {
            match self.set(setting) {
                // Perhaps only until another one is changed: see limits_v1::settings.
                Err(CgroupError::Limit { source, .. })
                    if source.raw_os_error() == Some(libc::EINVAL) =>
                {
                    again.push(setting);
                }
                set => set?,
            }
        }
        again
            .into_iter()
            .try_for_each(|setting| self.set(setting))?;
        match resources.devices() {
            Some(rules) if !rules.is_empty() => self.set_devices(rules),
            _ => Ok(()),
        }
    }

    fn join(&self) -> Result<Join, CgroupError> {
        let mut tasks = Vec::with_capacity(self.trees.len());
        for tree in &self.trees {
            let file = self.directory(tree).join("tasks");
            match rustix::fs::open(&file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
                Ok(file) => tasks.push(Tasks {
                    mount: tree.mount.clone(),
                    file,
                }),
                Err(rustix::io::Errno::NOENT) => {}
                Err(error) => return Err(CgroupError::io("open", file, error)),
            }
        }
        if tasks.is_empty() {
            let error = io::Error::from(ErrorKind::NotFound);
            return Err(CgroupError::io(
                "join the cgroup",
                self.path.as_path(),
                error,
            ));
        }
        Ok(Join::Tasks(tasks))
    }

    fn processes(&self) -> Result<Vec<i32>, CgroupError> {
        self.any()
            .map_or(Ok(Vec::new()), |directory| directory::processes(&directory))
    }

    fn kill_all(&self) -> Result<(), CgroupError> {
        // While they stand still none forks. Some may not stop soon: then another round has to
        // find what they forked.
        let Some(group) = self.any() else {
            return Ok(());
        };
        for _ in 0..16 {
            let stopped = self.freezer("FROZEN", Duration::from_millis(100))?;
            let processes = directory::processes(&group)?;
            let killed = directory::kill_each(&group, &processes);
            self.freezer("THAWED", Duration::ZERO)?;
            killed?;
            if stopped || processes.is_empty() {
                break;
            }
        }
        Ok(())
    }

    fn freeze(&self) -> Result<(), CgroupError> {
        let limit = "pausing";
        let Some(tree) = self.tree("freezer") else {
            return Err(CgroupError::NoController {
                limit,
                controller: "freezer",
                tree: "/sys/fs/cgroup".into(),
            });
        };
        if self.freezer("FROZEN", FREEZE)? {
            return Ok(());
        }
        self.thaw()?;
        let (path, processes) = (self.directory(tree), self.processes()?);
        Err(CgroupError::Busy {
            doing: "freezing it",
            path,
            processes,
            waited: FREEZE,
        })
    }

    fn thaw(&self) -> Result<(), CgroupError> {
        self.freezer("THAWED", FREEZE).map(|_| ())
    }

    fn oom_kills(&self) -> Result<u64, CgroupError> {
        let text = self.read("memory", "memory.oom_control")?;
        Ok(text
            .and_then(|text| value_of(&text, "oom_kill"))
            .unwrap_or(0))
    }

    fn watch_oom(&self) -> Result<Option<OomWatch>, CgroupError> {
        self.tree("memory")
            .map_or(Ok(None), |tree| OomWatch::v1(&self.directory(tree)))
    }

    fn limits_swap(&self) -> bool {
        self.file("memory", "memory.memsw.limit_in_bytes")
            .is_some_and(|file| file.exists())
    }

    fn stats(&self) -> Result<Stats, CgroupError> {
        self.figures()
    }

    fn keep(&mut self) {
        self.owned = false;
    }

    fn remove(mut self: Box<Self>) -> Result<(), CgroupError> {
        self.owned = false;
        self.clear()
    }
}

impl Drop for V1 {
    fn drop(&mut self) {
        if self.owned {
            let _ = self.clear();
        }
    }
}
