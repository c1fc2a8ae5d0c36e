//! Runs the body of a test in a process of its own: in a private mount namespace, as root or in
//! a user namespace, with a limit on its time and a look at its memory.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use container_image::layer::{
    Devices, OverlayXattrs, Owners, UnpackError, UnpackOptions, Unpacker, remove_tree, unpack,
};

const MARK: &str = "CONFINED_TEST_DIRECTORY";
const WHO: &str = "CONFINED_TEST_WHO";

/// Whom the body runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// The machine's root.
    Root,
    /// Root of a user namespace with the ids of /etc/subuid.
    Rootless,
    /// Root of a user namespace with a single id.
    SingleId,
}

impl Who {
    pub(crate) fn options(self) -> UnpackOptions {
        let (overlay_xattrs, devices) = match self {
            Self::Root => (OverlayXattrs::Trusted, Devices::Make),
            _ => (OverlayXattrs::User, Devices::Skip),
        };
        let owners = match self {
            Self::SingleId => Owners::Squash,
            _ => Owners::Keep,
        };
        UnpackOptions {
            overlay_xattrs,
            owners,
            devices,
        }
    }
}

/// What core does inside a user namespace: here the body is inside already.
#[derive(Debug)]
pub(crate) struct Inside(pub(crate) UnpackOptions);

impl Unpacker for Inside {
    fn unpack(&self, tar: &mut (dyn std::io::Read + Send), dir: &Path) -> Result<(), UnpackError> {
        use std::os::fd::AsFd;
        let root = fs::File::open(dir).unwrap();
        unpack(tar, root.as_fd(), &self.0)
    }

    fn remove(&self, dir: &Path) -> Result<(), UnpackError> {
        remove_tree(dir)
    }
}

/// Inside: the directory to work in, and as whom. Outside: none.
pub(crate) fn inside() -> Option<(PathBuf, Who)> {
    let dir = PathBuf::from(std::env::var_os(MARK)?).join("work");
    fs::create_dir_all(&dir).unwrap();
    let who = match std::env::var(WHO).unwrap().as_str() {
        "Root" => Who::Root,
        "Rootless" => Who::Rootless,
        _ => Who::SingleId,
    };
    Some((dir, who))
}

/// As [`run`], with the files of `from` in a directory `corpus` beside the one to work in.
pub(crate) fn run_with(who: Who, body: &str, megabytes: u64, from: &Path) {
    start(who, body, megabytes, Some(from));
}

/// Runs the test `body` of this binary confined, and fails if it fails, hangs or takes more than
/// `megabytes` of memory.
pub(crate) fn run(who: Who, body: &str, megabytes: u64) {
    start(who, body, megabytes, None);
}

fn start(who: Who, body: &str, megabytes: u64, corpus: Option<&Path>) {
    let is_root = rustix::process::geteuid().is_root();
    if who == Who::Root && !is_root {
        // This handle is not captured by libtest.
        let why = "needs root, and the tests run as an ordinary user";
        let _ = writeln!(std::io::stderr(), "not run: {body}: {why}");
        return;
    }
    // Neither /tmp, which bodies cover, nor the checkout, which may be root's own: other users
    // must get there.
    let scratch = tempfile::tempdir_in("/var/tmp").unwrap();
    let program = scratch.path().join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o777)).unwrap();
    if let Some(from) = corpus {
        copy(from, &scratch.path().join("corpus"));
    }
    let mut command = match who {
        Who::Root => Command::new("unshare"),
        Who::Rootless if is_root => {
            let user = user_with_ids();
            let mut command = Command::new("setpriv");
            command.args([
                "--reuid",
                &user,
                "--regid",
                &user,
                "--init-groups",
                "unshare",
            ]);
            command
        }
        Who::Rootless | Who::SingleId => Command::new("unshare"),
    };
    command.args(["--mount", "--kill-child", "--fork"]);
    match who {
        Who::Root => {}
        Who::Rootless => drop(command.args(["--user", "--map-root-user", "--map-auto"])),
        Who::SingleId => drop(command.args(["--user", "--map-root-user"])),
    }
    let mut child = command
        .arg(&program)
        .args(["--exact", "--nocapture", "--test-threads=1", body])
        .env(MARK, scratch.path())
        .env(WHO, format!("{who:?}"))
        .stdin(Stdio::null())
        .spawn()
        .expect("this test needs unshare and setpriv of util-linux");
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begin.elapsed() > Duration::from_secs(240) {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{body} hangs as {who:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    assert!(status.success(), "{body} fails as {who:?}: {status}");
    let peak = fs::read_to_string(scratch.path().join("work/peak"));
    let peak: u64 = peak
        .expect("the body ran to its end")
        .trim()
        .parse()
        .unwrap();
    assert!(peak < megabytes * 1024, "{body} took {peak} KiB as {who:?}");
    if is_root {
        remove_tree(scratch.path()).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// To be called at the end of a body.
pub(crate) fn report_memory(dir: &Path) {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|l| l.strip_prefix("VmHWM:"))
        .unwrap();
    fs::write(dir.join("peak"), line.trim().trim_end_matches(" kB")).unwrap();
}

/// Some account of this machine that may use more than one id.
fn user_with_ids() -> String {
    let ranges = fs::read_to_string("/etc/subuid").unwrap_or_default();
    let accounts = fs::read_to_string("/etc/passwd").unwrap();
    let exists = |name: &str| {
        let known = |line: &str| line.split(':').next() == Some(name);
        accounts.lines().any(known) && name != "root"
    };
    let names = ranges.lines().filter_map(|line| line.split(':').next());
    names.map(str::to_owned).find(|name| exists(name)).expect(
        "this test needs an account with a range of ids in /etc/subuid and /etc/subgid, \
         and newuidmap (Debian package uidmap)",
    )
}

/// Replaces /tmp of this mount namespace by an empty one.
pub(crate) fn private_tmp() {
    use rustix::mount::{MountFlags, mount};
    mount("tmpfs", "/tmp", "tmpfs", MountFlags::empty(), None).unwrap();
}

/// Mounts the layers, lowest first, as core will do, and gives the merged directory.
pub(crate) fn mount_layers(dir: &Path, layers: &[PathBuf], who: Who) -> PathBuf {
    use rustix::mount::{MountFlags, mount};
    let (merged, empty) = (dir.join("merged"), dir.join("empty"));
    fs::create_dir_all(&merged).unwrap();
    fs::create_dir_all(&empty).unwrap();
    let mut stack: Vec<_> = layers
        .iter()
        .rev()
        .map(|l| l.display().to_string())
        .collect();
    // A read-only overlay wants two.
    stack.push(empty.display().to_string());
    let mut options = format!("lowerdir={}", stack.join(":"));
    if who != Who::Root {
        options.push_str(",userxattr");
    }
    let options = std::ffi::CString::new(options).unwrap();
    mount(
        "overlay",
        &merged,
        "overlay",
        MountFlags::RDONLY,
        options.as_c_str(),
    )
    .unwrap();
    merged
}

pub(crate) fn unmount(merged: &Path) {
    rustix::mount::unmount(merged, rustix::mount::UnmountFlags::DETACH).unwrap();
}

/// What must not change outside a layer.
pub(crate) struct Canaries(Vec<(PathBuf, String)>);

impl Canaries {
    pub(crate) fn plant(dir: &Path) -> Self {
        let places = [dir.join("canary"), PathBuf::from("/tmp/md-canary")];
        let plant = |place: PathBuf| {
            if !place.exists() {
                fs::create_dir(&place).unwrap();
                fs::write(place.join("victim"), "victim").unwrap();
                let name = "user.canary";
                let _ = rustix::fs::setxattr(
                    place.join("victim"),
                    name,
                    b"1",
                    rustix::fs::XattrFlags::empty(),
                );
            }
            let state = describe(&place);
            (place, state)
        };
        Self(places.into_iter().map(plant).collect())
    }

    pub(crate) fn check(&self, case: &str) {
        for (place, before) in &self.0 {
            assert_eq!(
                &describe(place),
                before,
                "{case}: something outside was touched"
            );
        }
    }
}

/// All that can be seen of a tree.
pub(crate) fn describe(path: &Path) -> String {
    let mut text = String::new();
    let mut pending = vec![path.to_owned()];
    while let Some(path) = pending.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        text += &format!(
            "{path:?} {:o} {}:{} links {} size {} mtime {}.{} device {:x}",
            meta.mode(),
            meta.uid(),
            meta.gid(),
            if meta.is_dir() { 0 } else { meta.nlink() },
            if meta.is_dir() { 0 } else { meta.size() },
            meta.mtime(),
            meta.mtime_nsec(),
            meta.rdev(),
        );
        let mut names = vec![0u8; 65536];
        if let Ok(length) = rustix::fs::llistxattr(&path, &mut names) {
            for name in names[..length].split(|&b| b == 0).filter(|n| !n.is_empty()) {
                let mut value = vec![0u8; 65536];
                let length = rustix::fs::lgetxattr(&path, name, &mut value).unwrap_or(0);
                let value = value[..length].escape_ascii();
                text += &format!(" {}={value}", name.escape_ascii());
            }
        }
        if meta.is_symlink() {
            text += &format!(" -> {:?}", fs::read_link(&path).unwrap());
        } else if meta.is_file() {
            text += &format!(
                " {}",
                container_image::Digest::sha256(fs::read(&path).unwrap())
            );
        } else if meta.is_dir() {
            let mut below: Vec<_> = fs::read_dir(&path)
                .unwrap()
                .map(|e| e.unwrap().path())
                .collect();
            below.sort();
            pending.extend(below.into_iter().rev());
        }
        text.push('\n');
    }
    text
}
