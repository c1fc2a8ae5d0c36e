//! The unified tree.

mod figures;

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use oci_spec::runtime::LinuxResources;
use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags, accessat};

use super::directory::{self, is_gone, read_if_any, value_of};
use super::setting::Setting;
use super::stats::Stats;
use super::{
    Cgroup, CgroupError, CgroupPath, Join, OomWatch, Unavailable, bpf, device_program, devices,
    limits_v2,
};

/// What each container gets where the machine has it: out-of-memory kills and statistics come
/// from these. Others are enabled when a limit needs them, since an enabled controller costs
/// each group something.
const WANTED: [&str; 4] = ["cpu", "io", "memory", "pids"];
/// How long it is waited for processes to end or stop.
const REMOVE: Duration = Duration::from_secs(2);
const FREEZE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct V2 {
    mount: PathBuf,
    path: CgroupPath,
    directory: PathBuf,
    owned: bool,
}

impl V2 {
    pub(super) fn open(mount: &Path, path: &CgroupPath) -> Self {
        let directory = mount.join(path.as_path());
        V2 {
            mount: mount.to_owned(),
            path: path.clone(),
            directory,
            owned: false,
        }
    }

    pub(super) fn create(mount: &Path, path: &CgroupPath) -> Result<Self, CgroupError> {
        let made = match directory::make(mount, path.as_path(), &|_| Ok(())) {
            Ok(_) => path.clone(),
            Err(CgroupError::Io { source, .. }) if is_denied(&source) => below_own(mount, path)?,
            Err(error) => return Err(error),
        };
        let mut group = V2::open(mount, &made);
        group.owned = true;
        let had = group.list("cgroup.controllers")?;
        for controller in WANTED {
            // Without it there are less figures. A limit that needs it says more.
            if !had.iter().any(|name| name == controller) {
                let _ = group.enable(controller);
            }
        }
        Ok(group)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn list(&self, file: &str) -> Result<Vec<String>, CgroupError> {
        names(&self.file(file)).map_err(|error| CgroupError::io("read", self.file(file), error))
    }

    /// Hands a controller down to the group. `Ok(false)` if the machine does not have it.
    fn enable(&self, controller: &str) -> Result<bool, (PathBuf, io::Error)> {
        let mut above: Vec<_> = self.directory.ancestors().skip(1).collect();
        above.retain(|group| group.starts_with(&self.mount));
        // Hands down from the top what is handed on there.
        for group in above.into_iter().rev() {
            let has = names(&group.join("cgroup.controllers"));
            if !has.is_ok_and(|has| has.iter().any(|name| name == controller)) {
                return Ok(false);
            }
            let control = group.join("cgroup.subtree_control");
            let on = names(&control).is_ok_and(|on| on.iter().any(|name| name == controller));
            if !on && let Err(error) = directory::write(&control, &format!("+{controller}")) {
                return Err((control, error));
            }
        }
        Ok(true)
    }

    /// Writes the first of its files that is there.
    fn write(&self, setting: &Setting) -> Result<Option<()>, CgroupError> {
        for (name, value) in &setting.files {
            let file = self.file(name);
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
        if self.write(setting)?.is_some() {
            return Ok(());
        }
        let (limit, controller) = (setting.limit, setting.controller);
        let enabled = match controller {
            "cgroup" => Ok(true),
            _ => self.enable(controller),
        };
        if enabled.is_ok() && self.write(setting)?.is_some() || setting.unlimited {
            return Ok(());
        }
        match enabled {
            Ok(true) => {
                let name = setting.files.first().map(|(name, _)| self.file(name));
                Err(CgroupError::Missing {
                    limit,
                    file: name.unwrap_or_default(),
                    fix: setting.fix,
                })
            }
            Ok(false) => Err(CgroupError::NoController {
                limit,
                controller,
                tree: self.mount.clone(),
            }),
            Err((file, source)) => Err(CgroupError::Undelegated {
                limit,
                controller,
                file,
                source,
            }),
        }
    }

    fn set_devices(
        &self,
        rules: &[oci_spec::runtime::LinuxDeviceCgroup],
    ) -> Result<(), CgroupError> {
        let program = device_program::compile(&devices::rules(rules)?);
        let group = self.handle(OFlags::RDONLY)?;
        match bpf::replace(group.as_fd(), &program) {
            Ok(()) => Ok(()),
            Err(error) if is_denied(&error) && !super::devices::may_confine() => Ok(()),
            Err(error) => Err(CgroupError::io(
                "attach a program for the device rules to",
                &self.directory,
                error,
            )),
        }
    }

    fn handle(&self, how: OFlags) -> Result<OwnedFd, CgroupError> {
        rustix::fs::open(
            &self.directory,
            how | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(|error| CgroupError::io("open the cgroup", &self.directory, error))
    }

    /// Waits until `cgroup.events` has a line, told by the kernel of each change.
    fn wait_for(&self, line: &str, within: Duration) -> io::Result<bool> {
        let mut events = directory::open(&self.file("cgroup.events"))?;
        let deadline = Instant::now() + within;
        loop {
            if reread(&mut events)?.lines().any(|found| found == line) {
                return Ok(true);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            await_change(&events, left)?;
        }
    }

    fn number(&self, file: &str) -> Result<Option<u64>, CgroupError> {
        let text = read_if_any(&self.file(file))?;
        // "max" is none.
        Ok(text.and_then(|text| text.trim().parse().ok()))
    }
}

impl Cgroup for V2 {
    fn path(&self) -> &CgroupPath {
        &self.path
    }

    fn apply(&self, resources: &LinuxResources) -> Result<(), CgroupError> {
        let settings = limits_v2::settings(resources)?;
        if let Some(memory) = resources.memory()
            && memory.check_before_update() == Some(true)
            && let Some(limit) = memory.limit().and_then(|limit| u64::try_from(limit).ok())
            && let Some(usage) = self.number("memory.current")?
            && limit != 0
            && limit < usage
        {
            return Err(CgroupError::BelowUsage { limit, usage });
        }
        settings.iter().try_for_each(|setting| self.set(setting))?;
        match resources.devices() {
            Some(rules) if !rules.is_empty() => self.set_devices(rules),
            _ => Ok(()),
        }
    }

    fn join(&self) -> Result<Join, CgroupError> {
        Ok(Join::Clone(self.handle(OFlags::PATH)?))
    }

    fn processes(&self) -> Result<Vec<i32>, CgroupError> {
        directory::processes(&self.directory)
    }

    fn kill_all(&self) -> Result<(), CgroupError> {
        let file = self.file("cgroup.kill");
        match directory::write(&file, "1") {
            Err(error) if !is_gone(&error) => Err(CgroupError::io("write", file, error)),
            _ => Ok(()),
        }
    }

    fn freeze(&self) -> Result<(), CgroupError> {
        let file = self.file("cgroup.freeze");
        directory::write(&file, "1").map_err(|error| CgroupError::io("write", &file, error))?;
        let stopped = self.wait_for("frozen 1", FREEZE);
        if stopped.map_err(|error| CgroupError::io("read", self.file("cgroup.events"), error))? {
            return Ok(());
        }
        self.thaw()?;
        let (path, processes) = (self.directory.clone(), self.processes()?);
        Err(CgroupError::Busy {
            doing: "freezing it",
            path,
            processes,
            waited: FREEZE,
        })
    }

    fn thaw(&self) -> Result<(), CgroupError> {
        let file = self.file("cgroup.freeze");
        directory::write(&file, "0").map_err(|error| CgroupError::io("write", file, error))
    }

    fn oom_kills(&self) -> Result<u64, CgroupError> {
        let text = read_if_any(&self.file("memory.events"))?;
        Ok(text
            .and_then(|text| value_of(&text, "oom_kill"))
            .unwrap_or(0))
    }

    fn watch_oom(&self) -> Result<Option<OomWatch>, CgroupError> {
        OomWatch::v2(&self.directory)
    }

    fn limits_swap(&self) -> bool {
        self.file("memory.swap.max").exists()
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

impl V2 {
    fn clear(&self) -> Result<(), CgroupError> {
        directory::remove(&self.directory, REMOVE, &|group, pause| {
            // Woken as soon as the last process is gone; it may be one of a group below.
            if let Ok(events) = directory::open(&group.join("cgroup.events")) {
                let mut events = events;
                if reread(&mut events).is_ok_and(|text| text.contains("populated 1")) {
                    let _ = await_change(&events, pause.max(Duration::from_millis(50)));
                    return;
                }
            }
            std::thread::sleep(pause);
        })
    }
}

impl Drop for V2 {
    fn drop(&mut self) {
        if self.owned {
            let _ = self.clear();
        }
    }
}

fn reread(file: &mut File) -> io::Result<String> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0))?;
    match file.read_to_string(&mut text) {
        Ok(_) => Ok(text),
        // Removed: it has no processes and stays as it is.
        Err(error) if is_gone(&error) => Ok("populated 0\nfrozen 1\n".to_owned()),
        Err(error) => Err(error),
    }
}

fn await_change(file: &File, within: Duration) -> io::Result<()> {
    let timeout = PollTimeout::try_from(within.as_millis().max(1)).unwrap_or(PollTimeout::MAX);
    let mut fds = [PollFd::new(file.as_fd(), PollFlags::POLLPRI)];
    match poll(&mut fds, timeout) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The words of a file.
fn names(file: &Path) -> io::Result<Vec<String>> {
    Ok(directory::read(file)?
        .split_ascii_whitespace()
        .map(str::to_owned)
        .collect())
}

fn is_denied(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EACCES | libc::EPERM | libc::EROFS)
    )
}

/// Makes the group where this process may: below the nearest group above its own that it may
/// write, which can hand controllers on, or else below its own.
fn below_own(mount: &Path, path: &CgroupPath) -> Result<CgroupPath, CgroupError> {
    let file = "/proc/self/cgroup";
    let text =
        directory::read(Path::new(file)).map_err(|error| CgroupError::io("read", file, error))?;
    let own = text
        .lines()
        .find_map(|line| line.strip_prefix("0::/"))
        .unwrap_or_default();
    let mut denied = None;
    let above = Path::new(own)
        .ancestors()
        .skip(1)
        .filter(|group| !group.as_os_str().is_empty());
    for base in above.chain([Path::new(own)]) {
        let group = mount.join(base);
        // A process can move between two groups only with access to what is above both
        // (Documentation/admin-guide/cgroup-v2.rst, delegation containment).
        if let Err(error) = accessat(
            CWD,
            group.join("cgroup.procs"),
            Access::WRITE_OK,
            AtFlags::EACCESS,
        ) {
            denied.get_or_insert((group, error.into()));
            continue;
        }
        match directory::make(&group, path.as_path(), &|_| Ok(())) {
            Ok(_) => return CgroupPath::new(base.join(path.as_path())),
            Err(CgroupError::Io { source, .. }) if is_denied(&source) => {
                denied.get_or_insert((group, source));
            }
            Err(error) => return Err(error),
        }
    }
    let (path, source) =
        denied.unwrap_or_else(|| (mount.to_owned(), ErrorKind::PermissionDenied.into()));
    Err(Unavailable::Denied { path, source }.into())
}
