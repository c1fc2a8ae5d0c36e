//! Files that are copied from one tree to another as an archive.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "drives the library from outside"
)]

mod confined;

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use confined::{Canaries, Who};
use container_image::archive::{ArchiveError, extract, pack};
use container_image::layer::{Owners, UnpackError, UnpackOptions};

fn packed(parent: &Path, name: &str, shown: &str) -> Vec<u8> {
    let parent = fs::File::open(parent).unwrap();
    let mut bytes = Vec::new();
    pack(
        parent.as_fd(),
        name.as_bytes(),
        shown.as_bytes(),
        &mut bytes,
    )
    .unwrap();
    bytes
}

fn names(archive: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(archive);
    let name = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        String::from_utf8(entry.unwrap().path_bytes().into_owned()).unwrap()
    };
    archive.entries().unwrap().map(name).collect()
}

fn into(root: &Path, at: &str, tar: &[u8], options: &UnpackOptions) -> Result<(), ArchiveError> {
    let root = fs::File::open(root).unwrap();
    extract(&mut &*tar, root.as_fd(), at.as_bytes(), options)
}

/// A directory with a file, a link, a directory and a name that would be a mark in a layer.
fn sample(dir: &Path) -> PathBuf {
    let tree = dir.join("d");
    fs::create_dir_all(tree.join("sub")).unwrap();
    fs::write(tree.join("file"), "content").unwrap();
    fs::hard_link(tree.join("file"), tree.join("hard")).unwrap();
    fs::write(tree.join("sub/.wh.x"), "kept").unwrap();
    symlink("file", tree.join("link")).unwrap();
    tree
}

#[test]
fn body() {
    let Some((dir, who)) = confined::inside() else {
        return;
    };
    confined::private_tmp();
    let canaries = Canaries::plant(&dir);
    let options = who.options();
    let from = dir.join("from");
    let tree = sample(&from);

    // Names as the caller wants them.
    let whole = packed(&from, "d", "d");
    let list = ["d/", "d/file", "d/hard", "d/link", "d/sub/", "d/sub/.wh.x"];
    assert_eq!(names(&whole), list);
    let other = packed(&from, "d", "e/f");
    assert_eq!(names(&other)[..2], ["e/f/", "e/f/file"]);
    assert_eq!(names(&packed(&tree, ".", "."))[..2], ["./", "./file"]);
    assert_eq!(names(&packed(&from, "d", ""))[..2], ["/", "file"]);
    // A link is not followed, and is no way out.
    symlink("/etc", from.join("etc")).unwrap();
    assert_eq!(names(&packed(&from, "etc", "etc")), ["etc"]);

    // Into a directory that a link leads to, inside the root.
    let root = dir.join("root");
    fs::create_dir_all(root.join("real/deep")).unwrap();
    symlink("/real", root.join("abs")).unwrap();
    symlink("../../../../../../real/deep", root.join("climb")).unwrap();
    into(&root, "abs", &whole, &options).unwrap();
    assert_eq!(fs::read(root.join("real/d/sub/.wh.x")).unwrap(), b"kept");
    assert_eq!(fs::metadata(root.join("real/d/hard")).unwrap().nlink(), 2);
    into(&root, "climb", &whole, &options).unwrap();
    assert!(root.join("real/deep/d/file").exists());
    // Into a link that is in the way below: as a program of the container would.
    symlink("/real/deep", root.join("e")).unwrap();
    into(&root, "", &other, &options).unwrap();
    assert!(root.join("real/deep/f/file").exists());

    // Twice: files are replaced, directories merged.
    fs::write(root.join("real/d/file"), "old").unwrap();
    fs::write(root.join("real/d/mine"), "mine").unwrap();
    into(&root, "real", &whole, &options).unwrap();
    assert_eq!(fs::read(root.join("real/d/file")).unwrap(), b"content");
    assert_eq!(fs::read(root.join("real/d/mine")).unwrap(), b"mine");
    // A link in the place of a file is replaced, not written through.
    fs::remove_file(root.join("real/d/file")).unwrap();
    symlink("/real/d/mine", root.join("real/d/file")).unwrap();
    into(&root, "real", &whole, &options).unwrap();
    assert_eq!(fs::read(root.join("real/d/mine")).unwrap(), b"mine");
    assert!(!root.join("real/d/file").is_symlink());

    // Neither may give way to the other.
    let clash = |at: &str, tar: &[u8]| match into(&root, at, tar, &options) {
        Err(ArchiveError::Unpack(error @ UnpackError::Overwrite { .. })) => error.to_string(),
        other => panic!("{other:?}"),
    };
    fs::create_dir_all(root.join("one/d/file")).unwrap();
    let error = "cannot overwrite directory one/d/file with non-directory";
    assert_eq!(clash("one", &whole), error);
    fs::create_dir(root.join("two")).unwrap();
    for other in ["file", "link"] {
        let place = root.join("two/d");
        match other {
            "file" => fs::write(&place, "").unwrap(),
            _ => symlink("/real", &place).unwrap(),
        }
        let error = "cannot overwrite non-directory two/d with directory";
        assert_eq!(clash("two", &whole), error);
        fs::remove_file(&place).unwrap();
    }

    // The directory itself stays as it is; what is copied is its content.
    let before = fs::metadata(root.join("two")).unwrap().mode();
    into(&root, "two", &packed(&tree, ".", "."), &options).unwrap();
    assert_eq!(fs::metadata(root.join("two")).unwrap().mode(), before);
    assert_eq!(fs::read(root.join("two/file")).unwrap(), b"content");

    // Owners: those of the archive, or one for all.
    if who != Who::SingleId {
        let owners = Owners::All { uid: 5, gid: 6 };
        let options = UnpackOptions { owners, ..options };
        into(&root, "one/d", &packed(&tree, "sub", "own"), &options).unwrap();
        for name in ["own", "own/.wh.x"] {
            let meta = fs::symlink_metadata(root.join("one/d").join(name)).unwrap();
            assert_eq!((meta.uid(), meta.gid()), (5, 6), "{name}");
        }
    }

    // Compressed, cut short, no archive, climbing.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &whole).unwrap();
    into(&root, "real", &gzip.finish().unwrap(), &options).unwrap();
    for bad in [&whole[..whole.len() / 2], b"no archive"] {
        assert!(into(&root, "real", bad, &options).is_err());
    }
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[..10].copy_from_slice(b"../outside");
    header.set_size(0);
    header.set_cksum();
    let climbing = [&header.as_bytes()[..], &[0; 1024]].concat();
    assert!(into(&root, "real", &climbing, &options).is_err());
    assert!(!root.join("outside").exists());
    canaries.check("copying");
    confined::report_memory(&dir);
}

#[test]
fn files_are_copied() {
    for who in [Who::Root, Who::Rootless, Who::SingleId] {
        confined::run(who, "body", 40);
    }
}
