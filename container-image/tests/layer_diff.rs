//! A layer made of an overlay's changes gives the same tree again, and what is told of the changes
//! is what a comparison of the trees before and after tells. On real overlays, with random changes.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "drives the library from outside"
)]

mod confined;

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs;
use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use confined::Who;
use container_image::layer::{ChangeKind, Overlay, changes, diff, size, unpack};
use container_image::tree::TreeError;
use rustix::fs::{CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};
use rustix::mount::{MountFlags, mount};

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    /// Some path of few names, so that changes meet.
    fn path(&mut self, root: &Path) -> PathBuf {
        let mut path = root.to_owned();
        for _ in 0..=self.roll(3) {
            path.push(["a", "b", "c", "d", "e"][self.roll(5) as usize]);
        }
        path
    }
}

/// Does something to a tree. What cannot be done is not done.
fn change(dice: &mut Dice, root: &Path, who: Who) {
    let (path, other) = (dice.path(root), dice.path(root));
    let clock = |seconds| Timespec {
        tv_sec: seconds,
        tv_nsec: 1_000,
    };
    // Opening a pipe waits for its other end.
    let is_pipe = fs::metadata(&path).is_ok_and(|meta| meta.file_type().is_fifo());
    match dice.roll(17) {
        0..=3 if is_pipe => {}
        0..=2 => {
            let text = "x".repeat(usize::try_from(dice.roll(2000)).unwrap());
            _ = fs::create_dir_all(path.parent().unwrap());
            _ = fs::write(&path, text);
        }
        3 => {
            if let Ok(mut file) = fs::OpenOptions::new().append(true).open(&path) {
                _ = file.write_all(b"more");
            }
        }
        4 | 5 => _ = fs::create_dir_all(&path),
        6 => _ = fs::remove_dir_all(&path),
        7 | 8 => _ = fs::remove_file(&path),
        9 => _ = fs::rename(&path, &other),
        10 => {
            // As an ordinary program does where rename is refused: gone here, new there.
            if path.is_dir() && fs::remove_dir_all(&path).is_ok() {
                _ = fs::create_dir(&path);
                _ = fs::write(path.join("a"), "new");
            }
        }
        11 => {
            let mode = [0o644, 0o755, 0o4755, 0o1777, 0o700][dice.roll(5) as usize];
            if !path.is_symlink() {
                _ = fs::set_permissions(&path, fs::Permissions::from_mode(mode));
            }
        }
        12 if who != Who::SingleId => {
            _ = std::os::unix::fs::lchown(&path, Some(dice.roll(9) as u32), Some(7));
        }
        12 | 13 => _ = symlink("a/../b", &path),
        14 => _ = fs::hard_link(&path, &other),
        15 => _ = rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0),
        _ => {
            _ = rustix::fs::setxattr(&path, "user.test", b"value", XattrFlags::empty());
            if who == Who::Root && path.is_file() {
                // cap_net_raw=ep, version 2.
                let cap = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                let name = "security.capability";
                _ = rustix::fs::setxattr(&path, name, &cap, XattrFlags::empty());
            }
            let times = Timestamps {
                last_access: clock(5),
                last_modification: clock(i64::try_from(dice.roll(1000)).unwrap() - 500),
            };
            if path.is_file() {
                _ = rustix::fs::utimensat(CWD, &path, &times, rustix::fs::AtFlags::empty());
            }
        }
    }
}

/// All that can be seen of a tree but the times of directories, by path.
fn picture(root: &Path) -> BTreeMap<Vec<u8>, String> {
    let root_text = format!("{root:?}");
    let root_text = root_text.trim_end_matches('"');
    let mut lines = BTreeMap::new();
    for line in confined::describe(root).lines() {
        let line = line.strip_prefix(root_text).unwrap();
        let (path, rest) = line.split_once("\" ").unwrap();
        let is_dir = rest.starts_with('4');
        let words = rest.split(' ').enumerate();
        // 0 mode, 1 owner, 2-3 links, 4-5 size, 6-7 mtime
        let kept = words.filter(|(n, _)| !(is_dir && (6..8).contains(n)));
        let mut text: Vec<_> = kept.map(|(_, word)| word).collect();
        // Attributes are listed in any order.
        text[4..].sort_unstable();
        if !path.is_empty() {
            lines.insert(path.as_bytes().to_vec(), text.join(" "));
        }
    }
    lines
}

/// What `docker diff` compares, of a tree.
fn stats(root: &Path) -> BTreeMap<PathBuf, (String, bool)> {
    let mut found = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let mut capability = [0; 64];
            let length = rustix::fs::lgetxattr(&path, "security.capability", &mut capability);
            let mut text = format!(
                "{:o} {} {} {:x}",
                meta.mode(),
                meta.uid(),
                meta.gid(),
                meta.rdev()
            );
            if meta.is_file() {
                text += &format!(" {:?}", &capability[..length.unwrap_or(0)]);
            }
            if !meta.is_dir() {
                text += &format!(" {} {}.{}", meta.len(), meta.mtime(), meta.mtime_nsec());
            }
            if meta.is_dir() {
                pending.push(path.clone());
            }
            let inside = path.strip_prefix(root).unwrap().to_owned();
            found.insert(inside, (text, meta.is_dir()));
        }
    }
    found
}

/// The comparison of two trees that `docker diff` is.
fn compared(
    before: &BTreeMap<PathBuf, (String, bool)>,
    after: &BTreeMap<PathBuf, (String, bool)>,
) -> Vec<(PathBuf, ChangeKind)> {
    let mut all = BTreeMap::new();
    for (path, (text, _)) in after {
        match before.get(path) {
            None => drop(all.insert(path.clone(), ChangeKind::Added)),
            Some((old, _)) if old != text => {
                all.insert(path.clone(), ChangeKind::Modified);
            }
            Some(_) => {}
        }
    }
    for path in before.keys() {
        // Only where its directory is still one.
        let parent = path.parent().unwrap();
        let stays = parent == Path::new("") || after.get(parent).is_some_and(|(_, dir)| *dir);
        if stays && !after.contains_key(path) {
            all.insert(path.clone(), ChangeKind::Deleted);
        }
    }
    for path in all.keys().cloned().collect::<Vec<_>>() {
        for parent in path.ancestors().skip(1).filter(|p| *p != Path::new("")) {
            all.entry(parent.to_owned()).or_insert(ChangeKind::Modified);
        }
    }
    all.into_iter().collect()
}

fn told(overlay: &Overlay<'_>) -> Vec<(PathBuf, ChangeKind)> {
    let mut all = Vec::new();
    changes(overlay, |kind, path| {
        all.push((PathBuf::from(std::ffi::OsStr::from_bytes(path)), kind));
        Ok(())
    })
    .unwrap();
    all
}

fn mount_writable(lower: &[PathBuf], upper: &Path, work: &Path, target: &Path, who: Who) {
    let lower: Vec<_> = lower
        .iter()
        .rev()
        .map(|l| l.display().to_string())
        .collect();
    let mut options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.join(":"),
        upper.display(),
        work.display()
    );
    if who != Who::Root {
        options.push_str(",userxattr");
    }
    let options = CString::new(options).unwrap();
    mount(
        "overlay",
        target,
        "overlay",
        MountFlags::empty(),
        options.as_c_str(),
    )
    .unwrap();
}

fn open(dir: &Path) -> fs::File {
    fs::File::open(dir).unwrap()
}

/// Layers made one on top of the other by [`change`] and [`diff`], each checked.
fn random_changes(dir: &Path, who: Who, seed: u64) {
    let mut dice = Dice(seed);
    let base = dir.join(format!("{seed}"));
    let mut layers = vec![base.join("bottom")];
    fs::create_dir_all(&layers[0]).unwrap();
    for _ in 0..60 {
        change(&mut dice, &layers[0], who);
    }
    for level in 0..3 {
        let at = |name: &str| {
            let path = base.join(format!("{level}-{name}"));
            fs::create_dir(&path).unwrap();
            path
        };
        let (upper, work, live) = (at("upper"), at("work"), at("live"));
        mount_writable(&layers, &upper, &work, &live, who);
        let before = stats(&live);
        for _ in 0..40 {
            change(&mut dice, &live, who);
        }
        let (after, wanted) = (stats(&live), picture(&live));

        let open_layers: Vec<_> = layers.iter().rev().map(|l| open(l)).collect();
        let lower: Vec<BorrowedFd<'_>> = open_layers.iter().map(AsFd::as_fd).collect();
        let upper_fd = open(&upper);
        let overlay = Overlay {
            upper: upper_fd.as_fd(),
            lower: &lower,
            marks: who.options().overlay_xattrs,
            mount_points: &[],
            hides_private: false,
        };
        let case = format!("seed {seed}, level {level}, {}", base.display());
        let mut found = told(&overlay);
        found.sort();
        assert_eq!(found, compared(&before, &after), "{case}");

        let mut layer = Vec::new();
        diff(&overlay, &mut layer).unwrap();
        let mut again = Vec::new();
        diff(&overlay, &mut again).unwrap();
        assert!(layer == again, "{case}: the same tree, the same bytes");
        let made = at("layer");
        unpack(&mut &layer[..], open(&made).as_fd(), &who.options()).unwrap();
        confined::unmount(&live);
        layers.push(made);
        let merged = confined::mount_layers(&base, &layers, who);
        let got = picture(&merged);
        confined::unmount(&merged);
        for (path, line) in &wanted {
            let path = String::from_utf8_lossy(path);
            assert_eq!(got.get(path.as_bytes()), Some(line), "{case}: {path}");
        }
        assert_eq!(got.len(), wanted.len(), "{case}");
    }
    container_image::layer::remove_tree(&base).unwrap();
}

#[test]
fn random_body() {
    let Some((dir, who)) = confined::inside() else {
        return;
    };
    confined::private_tmp();
    for seed in 0..12 {
        random_changes(&dir, who, seed);
    }
    confined::report_memory(&dir);
}

#[test]
fn random_changes_survive() {
    for who in [Who::Root, Who::Rootless, Who::SingleId] {
        confined::run(who, "random_body", 40);
    }
}

/// One layer below and one above, written by hand; nothing is mounted.
struct Pair {
    lower: PathBuf,
    upper: PathBuf,
    who: Who,
}

impl Pair {
    fn new(dir: &Path, name: &str, who: Who) -> Self {
        let at = |part: &str| {
            let path = dir.join(format!("{name}-{part}"));
            fs::create_dir(&path).unwrap();
            path
        };
        Self {
            lower: at("lower"),
            upper: at("upper"),
            who,
        }
    }

    fn with<T>(
        &self,
        mount_points: &[&[u8]],
        private: bool,
        run: impl FnOnce(&Overlay<'_>) -> T,
    ) -> T {
        let (upper, lower) = (open(&self.upper), open(&self.lower));
        let lower = [lower.as_fd()];
        run(&Overlay {
            upper: upper.as_fd(),
            lower: &lower,
            marks: self.who.options().overlay_xattrs,
            mount_points,
            hides_private: private,
        })
    }

    fn told(&self, mount_points: &[&[u8]], private: bool) -> String {
        let changes = self.with(mount_points, private, told);
        let lines = changes
            .iter()
            .map(|(p, k)| format!("{} {}", k.letter(), p.display()));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// The names in the layer.
    fn layer(&self, mount_points: &[&[u8]]) -> Result<Vec<String>, TreeError> {
        let mut bytes = Vec::new();
        self.with(mount_points, false, |overlay| diff(overlay, &mut bytes))?;
        let mut archive = tar::Archive::new(&bytes[..]);
        let names = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            match entry.link_name().unwrap() {
                Some(link) => format!("{name} -> {}", link.display()),
                None => name,
            }
        });
        Ok(names.collect())
    }

    fn mark(&self, path: &Path, mark: &str, value: &[u8]) {
        let space = if self.who == Who::Root {
            "trusted"
        } else {
            "user"
        };
        let name = format!("{space}.overlay.{mark}");
        rustix::fs::setxattr(path, name, value, XattrFlags::empty()).unwrap();
    }
}

fn whiteout(path: &Path) {
    rustix::fs::mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), 0).unwrap();
}

#[test]
fn by_hand_body() {
    let Some((dir, who)) = confined::inside() else {
        return;
    };
    // What a runtime mounts on is no change, but what lies beside it is.
    let pair = Pair::new(&dir, "mounts", who);
    let points: [&[u8]; 4] = [b"dev", b"etc", b"etc/hosts", b"proc"];
    for name in ["dev", "etc", "proc"] {
        fs::create_dir(pair.upper.join(name)).unwrap();
    }
    fs::write(pair.upper.join("etc/hosts"), "").unwrap();
    assert_eq!(pair.told(&points, false), "");
    assert_eq!(pair.layer(&points).unwrap(), [] as [&str; 0]);
    fs::write(pair.upper.join("etc/motd"), "").unwrap();
    assert_eq!(pair.told(&points, false), "C etc\nA etc/motd");
    assert_eq!(pair.layer(&points).unwrap(), ["etc/", "etc/motd"]);

    // Marks of both kinds; one that hides nothing says nothing.
    let pair = Pair::new(&dir, "gone", who);
    for name in ["one", "two", "three"] {
        fs::write(pair.lower.join(name), "").unwrap();
    }
    whiteout(&pair.upper.join("one"));
    fs::write(pair.upper.join("two"), "").unwrap();
    pair.mark(&pair.upper.join("two"), "whiteout", b"y");
    whiteout(&pair.upper.join("nothing"));
    assert_eq!(pair.told(&[], false), "D one\nD two");
    assert_eq!(pair.layer(&[]).unwrap(), [".wh.one", ".wh.two"]);

    // What is hidden from everybody is not gone.
    fs::set_permissions(pair.lower.join("one"), fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(pair.told(&[], true), "D two");

    // An opaque directory: what is not in it any more is gone, and one mark says so.
    let pair = Pair::new(&dir, "opaque", who);
    fs::create_dir_all(pair.lower.join("d/sub")).unwrap();
    fs::write(pair.lower.join("d/sub/x"), "").unwrap();
    fs::write(pair.lower.join("d/y"), "").unwrap();
    fs::create_dir_all(pair.upper.join("d/sub")).unwrap();
    fs::write(pair.upper.join("d/new"), "").unwrap();
    pair.mark(&pair.upper.join("d"), "opaque", b"y");
    let expected = "C d\nA d/new\nC d/sub\nD d/sub/x\nD d/y";
    assert_eq!(pair.told(&[], false), expected);
    let expected = ["d/", "d/.wh..wh..opq", "d/new", "d/sub/"];
    assert_eq!(pair.layer(&[]).unwrap(), expected);

    // Links within the layer; the first name has the content.
    let pair = Pair::new(&dir, "links", who);
    fs::write(pair.upper.join("b"), "content").unwrap();
    fs::hard_link(pair.upper.join("b"), pair.upper.join("a")).unwrap();
    assert_eq!(pair.layer(&[]).unwrap(), ["a", "b -> a"]);
    assert_eq!(size(open(&pair.upper).as_fd()).unwrap(), 7);

    // What refers to other layers, and what a layer cannot say, is refused.
    for (mark, name) in [("redirect", "d"), ("metacopy", "f")] {
        let pair = Pair::new(&dir, mark, who);
        fs::create_dir(pair.upper.join("d")).unwrap();
        fs::write(pair.upper.join("f"), "").unwrap();
        pair.mark(&pair.upper.join(name), mark, b"/x");
        let error = pair.layer(&[]).unwrap_err().to_string();
        assert!(
            error.contains(&format!("/{name}: overlayfs has not copied it")),
            "{error}"
        );
    }
    let pair = Pair::new(&dir, "name", who);
    fs::write(pair.upper.join(".wh.x"), "").unwrap();
    let error = pair.layer(&[]).unwrap_err().to_string();
    assert!(error.contains("/.wh.x"), "{error}");
    assert_eq!(pair.told(&[], false), "A .wh.x");
    confined::report_memory(&dir);
}

#[test]
fn marks_and_mount_points() {
    for who in [Who::Root, Who::Rootless] {
        confined::run(who, "by_hand_body", 40);
    }
}
