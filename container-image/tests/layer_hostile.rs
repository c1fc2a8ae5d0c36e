//! Archives that no honest program writes, and what honest ones seldom do.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "drives the library from outside"
)]

mod confined;

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use confined::{Canaries, Who};
use container_image::layer::{UnpackError, remove_tree, unpack};

/// Writes archives, valid or not.
#[derive(Default, Clone)]
struct Archive(Vec<u8>);

impl Archive {
    fn raw(mut self, kind: u8, name: &[u8], link: &[u8], data: &[u8]) -> Self {
        self.header(kind, name, link, data.len() as u64, |_| {});
        self.data(data)
    }

    fn header(
        &mut self,
        kind: u8,
        name: &[u8],
        link: &[u8],
        size: u64,
        change: impl FnOnce(&mut tar::Header),
    ) {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name);
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link);
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_mode(if kind == b'5' { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header.set_size(size);
        change(&mut header);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
    }

    fn data(mut self, data: &[u8]) -> Self {
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, name: &str, data: &str) -> Self {
        self.raw(b'0', name.as_bytes(), b"", data.as_bytes())
    }

    fn dir(self, name: &str) -> Self {
        self.raw(b'5', name.as_bytes(), b"", b"")
    }

    fn symlink(self, name: &str, target: &str) -> Self {
        self.raw(b'2', name.as_bytes(), target.as_bytes(), b"")
    }

    fn hard_link(self, name: &str, target: &str) -> Self {
        self.raw(b'1', name.as_bytes(), target.as_bytes(), b"")
    }

    fn with(mut self, kind: u8, name: &str, change: impl FnOnce(&mut tar::Header)) -> Self {
        self.header(kind, name.as_bytes(), b"", 0, change);
        self
    }

    fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut data = Vec::new();
        for (key, value) in records {
            let body = key.len() + value.len() + 3;
            let mut length = body + 1;
            while body + length.to_string().len() != length {
                length += 1;
            }
            data.extend_from_slice(format!("{length} {key}=").as_bytes());
            data.extend_from_slice(value);
            data.push(b'\n');
        }
        self.raw(b'x', b"PaxHeader", b"", &data)
    }

    fn unpack(&self, dir: &Path, who: Who) -> Result<(), UnpackError> {
        fs::create_dir(dir).unwrap();
        let root = fs::File::open(dir).unwrap();
        unpack(&mut &self.0[..], root.as_fd(), &who.options())
    }
}

#[test]
fn hostile_as_root() {
    confined::run(Who::Root, "hostile", 64);
}

#[test]
fn hostile_rootless() {
    confined::run(Who::Rootless, "hostile", 64);
}

#[test]
fn hostile_with_a_single_id() {
    confined::run(Who::SingleId, "hostile", 64);
}

type Check = fn(&Path, Who);

fn a() -> Archive {
    Archive::default()
}

fn accepted() -> Vec<(&'static str, Archive, Check)> {
    let long = "n".repeat(255);
    let deep = "a/".repeat(2000) + "f";
    vec![
        ("nothing", a(), |_, _| {}),
        (
            "hard link to a symbolic link",
            a().symlink("s", "/tmp/md-canary/victim")
                .hard_link("h", "s"),
            |dir, _| {
                let meta = dir.join("h").symlink_metadata().unwrap();
                assert!(meta.is_symlink() && meta.nlink() == 2);
            },
        ),
        (
            "hard link onto itself",
            a().file("f", "x").hard_link("f", "./f"),
            |dir, _| {
                assert_eq!(read(dir, "f"), "x");
            },
        ),
        (
            "hard link onto its other name",
            a().file("f", "x").hard_link("g", "f").hard_link("g", "f"),
            |dir, _| {
                assert_eq!(dir.join("g").metadata().unwrap().nlink(), 2);
            },
        ),
        (
            "through /proc/self/root",
            a().symlink("l", "/proc/self/root")
                .file("l/tmp/md-canary/victim", "x"),
            |dir, _| {
                assert_eq!(read(dir, "proc/self/root/tmp/md-canary/victim"), "x");
            },
        ),
        (
            "through a link to a canary",
            a().symlink("l", "/tmp/md-canary").file("l/victim", "x"),
            |dir, _| {
                assert_eq!(read(dir, "tmp/md-canary/victim"), "x");
            },
        ),
        (
            "below a dangling link",
            a().symlink("var/run", "/run").file("var/run/pid", "x"),
            |dir, _| {
                assert_eq!(read(dir, "run/pid"), "x");
                assert!(dir.join("var/run").is_symlink());
            },
        ),
        (
            "below a dangling relative link",
            a().symlink("var/lock", "../run/lock")
                .file("var/lock/l", "x"),
            |dir, _| {
                assert_eq!(read(dir, "run/lock/l"), "x");
            },
        ),
        (
            "file over directory",
            a().dir("d").file("d/f", "x").file("d", "y"),
            |dir, _| {
                assert_eq!(read(dir, "d"), "y");
            },
        ),
        (
            "directory over file",
            a().file("d", "y").dir("d").file("d/f", "x"),
            |dir, who| {
                assert_eq!(read(dir, "d/f"), "x");
                assert!(is_opaque(dir, "d", who));
            },
        ),
        (
            "link over directory just used",
            a().dir("e")
                .dir("d")
                .file("d/f", "x")
                .symlink("d", "e")
                .file("d/g", "y"),
            |dir, _| {
                assert_eq!(read(dir, "e/g"), "y");
                assert!(!dir.join("e/f").exists());
            },
        ),
        (
            "whiteout of a file of its own layer",
            a().file("f", "x").file(".wh.f", ""),
            |dir, _| {
                assert_eq!(read(dir, "f"), "x");
            },
        ),
        (
            "whiteout of a directory of its own layer",
            a().file("d/f", "x").file(".wh.d", ""),
            |dir, who| {
                assert_eq!(read(dir, "d/f"), "x");
                assert!(is_opaque(dir, "d", who));
            },
        ),
        (
            "whiteout, then a directory by implication",
            a().file(".wh.d", "").file("d/f", "x"),
            |dir, who| {
                assert_eq!(read(dir, "d/f"), "x");
                assert!(is_opaque(dir, "d", who));
            },
        ),
        (
            "whiteout, then a file",
            a().file(".wh.d", "").file("d", "x"),
            |dir, _| {
                assert_eq!(read(dir, "d"), "x");
            },
        ),
        (
            "whiteout twice, as hard links of AUFS",
            a().hard_link(".wh.d", ".wh..wh.aufs")
                .hard_link(".wh.d", ".wh..wh.aufs"),
            |dir, _| {
                let meta = dir.join("d").symlink_metadata().unwrap();
                assert!(meta.file_type().is_char_device() && meta.rdev() == 0);
            },
        ),
        (
            "opaque mark of a missing directory",
            a().file("d/.wh..wh..opq", ""),
            |dir, who| {
                assert!(is_opaque(dir, "d", who));
                assert_eq!(fs::read_dir(dir.join("d")).unwrap().count(), 0);
            },
        ),
        (
            "opaque mark before its directory",
            a().file("d/.wh..wh..opq", "")
                .with(b'5', "d", |h| h.set_mode(0o700)),
            |dir, who| {
                assert!(is_opaque(dir, "d", who));
                assert_eq!(mode(dir, "d"), 0o700);
            },
        ),
        (
            "opaque mark of a directory that became a file",
            a().file("d/.wh..wh..opq", "").file("d", "x"),
            |dir, who| {
                assert!(!is_opaque(dir, "d", who));
            },
        ),
        (
            "opaque by an attribute of the archive",
            a().pax(&[
                ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
                ("SCHILY.xattr.user.overlay.opaque", b"y"),
                ("SCHILY.xattr.user.kept", b"1"),
            ])
            .dir("d"),
            |dir, who| {
                assert!(!is_opaque(dir, "d", who));
                assert!(!is_opaque(dir, "d", Who::Root));
                assert_eq!(
                    rustix::fs::getxattr(dir.join("d"), "user.kept", &mut [0u8; 9]),
                    Ok(1)
                );
            },
        ),
        (
            "name of 255 bytes",
            a().pax(&[("path", long.as_bytes())]).file("x", "y"),
            |dir, _| {
                assert_eq!(read(dir, &"n".repeat(255)), "y");
            },
        ),
        (
            "deep path",
            a().pax(&[("path", deep.as_bytes())]).file("x", "y"),
            |_, _| {},
        ),
        (
            "name that is not UTF-8",
            a().raw(b'0', b"\xff\xfe", b"", b"x"),
            |dir, _| {
                use std::os::unix::ffi::OsStrExt;
                assert!(dir.join(std::ffi::OsStr::from_bytes(b"\xff\xfe")).exists());
            },
        ),
        (
            "size in PAX and none in the header",
            {
                let mut archive = a().pax(&[("size", b"5")]);
                archive.header(b'0', b"f", b"", 0, |_| {});
                archive.data(b"hello").file("g", "x")
            },
            |dir, _| {
                assert_eq!(read(dir, "f"), "hello");
                assert_eq!(read(dir, "g"), "x");
            },
        ),
        (
            "directory of a large size",
            {
                let mut archive = a();
                archive.header(b'5', b"d", b"", 1 << 30, |_| {});
                archive.file("d/f", "x")
            },
            |dir, _| assert_eq!(read(dir, "d/f"), "x"),
        ),
        (
            "times to the nanosecond",
            a().pax(&[("mtime", b"12.000000345")])
                .dir("d")
                .pax(&[("mtime", b"-1.5")])
                .file("d/f", "x")
                .pax(&[("mtime", b"7.25")])
                .symlink("d/l", "f"),
            |dir, _| {
                let time = |name: &str| {
                    let meta = dir.join(name).symlink_metadata().unwrap();
                    (meta.mtime(), meta.mtime_nsec())
                };
                assert_eq!(time("d"), (12, 345));
                assert_eq!(time("d/f"), (-2, 500_000_000));
                assert_eq!(time("d/l"), (7, 250_000_000));
            },
        ),
        (
            "setgid directory",
            a().with(b'5', "d", |h| {
                h.set_mode(0o2775);
                h.set_gid(8);
            })
            .file("d/f", "x")
            .dir("d/e"),
            |dir, who| {
                assert_eq!(mode(dir, "d"), 0o2775);
                assert_eq!(mode(dir, "d/e"), 0o755);
                assert_eq!(dir.join("d/f").metadata().unwrap().gid(), 0);
                if who != Who::SingleId {
                    assert_eq!(dir.join("d").metadata().unwrap().gid(), 8);
                }
            },
        ),
        (
            "setuid file of another owner",
            a().with(b'0', "f", |h| {
                h.set_mode(0o4755);
                h.set_uid(33);
            }),
            |dir, _| {
                assert_eq!(mode(dir, "f"), 0o4755);
            },
        ),
        (
            "directory without rights",
            a().with(b'5', "z", |h| h.set_mode(0))
                .with(b'5', "z/y", |h| h.set_mode(0))
                .file("z/y/f", "x"),
            |dir, _| {
                assert_eq!(mode(dir, "z"), 0);
            },
        ),
        (
            "something after the end",
            Archive([a().file("f", "x").0, vec![0; 1024], vec![b'j'; 4096]].concat()),
            |dir, _| {
                assert_eq!(fs::read_dir(dir).unwrap().count(), 1);
            },
        ),
        (
            "sparse file of GNU",
            gnu_sparse(&[(4096, 3), (1 << 30, 2)], (1 << 30) + 2, b"abcde"),
            |dir, _| {
                let meta = dir.join("s").metadata().unwrap();
                assert!(
                    meta.len() == (1 << 30) + 2 && meta.blocks() < 64,
                    "{} {}",
                    meta.len(),
                    meta.blocks()
                );
            },
        ),
        (
            "sparse file of PAX 0.1",
            a().pax(&[("GNU.sparse.size", b"9"), ("GNU.sparse.map", b"1,2,6,1")])
                .file("s", "abc"),
            |dir, _| {
                assert_eq!(read(dir, "s"), "\0ab\0\0\0c\0\0");
            },
        ),
        (
            "whiteout that is a device",
            a().with(b'3', "d", |h| {
                h.set_device_major(0).unwrap();
                h.set_device_minor(0).unwrap();
            }),
            |_, _| {},
        ),
    ]
}

fn refused() -> Vec<(&'static str, Archive)> {
    let deep = "a/".repeat(10_000);
    let max = u64::MAX.to_string();
    vec![
        ("climbing name", a().file("../f", "x")),
        (
            "climbing hard link",
            a().file("f", "x").hard_link("h", "../../canary/victim"),
        ),
        ("hard link to nothing", a().hard_link("h", "f")),
        (
            "hard link to a whited-out file",
            a().file(".wh.f", "").hard_link("h", "f"),
        ),
        (
            "hard link through a link outside",
            a().symlink("l", "/tmp/md-canary")
                .hard_link("h", "l/victim"),
        ),
        ("root as a link", a().symlink("./", "/tmp/md-canary")),
        ("root as a file", a().raw(b'0', b".", b"", b"x")),
        ("whiteout of no name", a().file(".wh.", "")),
        ("whiteout of the parent", a().file("d/.wh...", "")),
        ("entry below a whiteout's name", a().file(".wh.d/f", "")),
        ("entry below a file", a().file("f", "x").file("f/g", "x")),
        (
            "circle of links",
            a().symlink("a", "b").symlink("b", "a").file("a/f", "x"),
        ),
        (
            "very deep path",
            a().pax(&[("path", deep.as_bytes())]).file("x", "y"),
        ),
        (
            "name of 256 bytes",
            a().pax(&[("path", "n".repeat(256).as_bytes())])
                .file("x", "y"),
        ),
        (
            "NUL in a path",
            a().pax(&[("path", b"a\0b")]).file("x", "y"),
        ),
        (
            "size beyond all",
            a().pax(&[("size", max.as_bytes())]).file("f", "x"),
        ),
        (
            "owner that means none",
            a().pax(&[("uid", b"4294967295")]).file("f", "x"),
        ),
        (
            "entry cut short",
            Archive(a().file("f", &"x".repeat(4096)).0[..2048].to_vec()),
        ),
        (
            "header cut short",
            Archive(a().file("f", "").0[..511].to_vec()),
        ),
        ("extended header of nothing", a().pax(&[("path", b"x")])),
        ("long name without end", {
            let mut archive = a();
            archive.header(b'L', b"././@LongLink", b"", 1 << 32, |_| {});
            archive
        }),
        ("unknown type", a().raw(b'Z', b"f", b"", b"")),
        (
            "sparse map that overlaps",
            gnu_sparse(&[(0, 3), (2, 2)], 9, b"abcde"),
        ),
        (
            "sparse map past the end",
            gnu_sparse(&[(0, 3), (20, 2)], 9, b"abcde"),
        ),
        (
            "sparse map of more than is stored",
            gnu_sparse(&[(0, 3), (20, 200)], 900, b"abcde"),
        ),
        (
            "sparse map with a negative number",
            a().pax(&[("GNU.sparse.size", b"9"), ("GNU.sparse.map", b"-1,3")])
                .file("s", "abc"),
        ),
        (
            "sparse file larger than any",
            a().pax(&[
                ("GNU.sparse.size", b"9223372036854775807"),
                ("GNU.sparse.map", b"0,3"),
            ])
            .file("s", "abc"),
        ),
        (
            "sparse map of a million lines",
            a().pax(&[
                ("GNU.sparse.major", b"1"),
                ("GNU.sparse.minor", b"0"),
                ("GNU.sparse.realsize", b"9"),
            ])
            .file("s", "100000000\n"),
        ),
        (
            "zeros between entries",
            Archive([a().file("f", "x").0, vec![0; 512], a().file("g", "x").0].concat()),
        ),
    ]
}

fn gnu_sparse(map: &[(u64, u64)], real_size: u64, data: &[u8]) -> Archive {
    let mut header = tar::Header::new_gnu();
    let gnu = header.as_gnu_mut().unwrap();
    gnu.name[0] = b's';
    for (place, (offset, length)) in gnu.sparse.iter_mut().zip(map) {
        place.set_offset(*offset);
        place.set_length(*length);
    }
    gnu.set_real_size(real_size);
    header.set_entry_type(tar::EntryType::GNUSparse);
    header.set_size(data.len() as u64);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    Archive(header.as_bytes().to_vec()).data(data)
}

/// The body of the tests above.
#[test]
fn hostile() {
    let Some((dir, who)) = confined::inside() else {
        return;
    };
    confined::private_tmp();
    let canaries = Canaries::plant(&dir);
    let root = dir.join("root");
    for (name, archive, check) in accepted() {
        archive
            .unpack(&root, who)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let checked = std::panic::catch_unwind(|| check(&root, who));
        assert!(checked.is_ok(), "{name}:\n{}", confined::describe(&root));
        canaries.check(name);
        remove_tree(&root).unwrap();
    }
    for (name, archive) in refused() {
        match archive.unpack(&root, who) {
            Ok(()) => panic!("{name}: accepted"),
            Err(error) => assert!(error.to_string().len() < 4096, "{name}"),
        }
        canaries.check(name);
        remove_tree(&root).unwrap();
    }
    confined::report_memory(&dir);
}

#[test]
fn removal() {
    for who in [Who::Root, Who::Rootless, Who::SingleId] {
        confined::run(who, "removes", 64);
    }
}

/// The body of the test above.
#[test]
fn removes() {
    let Some((dir, _)) = confined::inside() else {
        return;
    };
    confined::private_tmp();
    let canaries = Canaries::plant(&dir);
    let tree = dir.join("tree");

    remove_tree(&tree).expect("what is not there needs no removal");

    // Deeper than any path can name.
    fs::create_dir(&tree).unwrap();
    let mut fd = fs::File::open(&tree).unwrap();
    for depth in 0..1500 {
        let mode = rustix::fs::Mode::from_raw_mode(if depth == 0 { 0o555 } else { 0o700 });
        rustix::fs::mkdirat(&fd, "dddddd", mode).unwrap();
        rustix::fs::symlinkat("/tmp/md-canary", &fd, "l").unwrap();
        let flags = rustix::fs::OFlags::DIRECTORY;
        fd = rustix::fs::openat(&fd, "dddddd", flags, rustix::fs::Mode::empty())
            .unwrap()
            .into();
    }
    drop(fd);
    remove_tree(&tree).unwrap();
    assert!(!tree.exists());

    // A mount that was left behind is not emptied.
    fs::create_dir_all(tree.join("mnt")).unwrap();
    rustix::mount::mount_bind("/tmp/md-canary", tree.join("mnt")).unwrap();
    let error = remove_tree(&tree).expect_err("there is a mount");
    assert!(error.to_string().contains("tree"), "{error}");
    confined::unmount(&tree.join("mnt"));
    remove_tree(&tree).unwrap();

    // A link is not a tree.
    std::os::unix::fs::symlink("/tmp/md-canary", &tree).unwrap();
    remove_tree(&tree).expect_err("it is a link");
    fs::remove_file(&tree).unwrap();
    canaries.check("removal");
    confined::report_memory(&dir);
}

fn read(dir: &Path, name: &str) -> String {
    let path = dir.join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn mode(dir: &Path, name: &str) -> u32 {
    dir.join(name).metadata().unwrap().mode() & 0o7777
}

fn is_opaque(dir: &Path, name: &str, who: Who) -> bool {
    let attribute = match who {
        Who::Root => "trusted.overlay.opaque",
        _ => "user.overlay.opaque",
    };
    rustix::fs::lgetxattr(dir.join(name), attribute, &mut [0u8; 9]) == Ok(1)
}
