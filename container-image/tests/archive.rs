//! Images and root file systems through archives, ours and hostile ones.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "drives the library from outside"
)]

mod confined;

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use confined::Who;
use container_image::archive::{
    ArchiveError, Format, Import, Input, Selection, export, import, load, save, save_directory,
    select,
};
use container_image::digest::Digest;
use container_image::layer::{Owners, UnpackOptions};
use container_image::store::{Image, Store};

/// A store in a directory of its own.
struct Place {
    dir: tempfile::TempDir,
    store: Store,
}

fn place() -> Place {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    // Whoever runs the test, with whatever rights.
    let unpacker = confined::Inside(UnpackOptions {
        owners: Owners::Squash,
        overlay_xattrs: container_image::layer::OverlayXattrs::User,
        devices: container_image::layer::Devices::Skip,
    });
    let store = Store::open(&dir.path().join("store"), Arc::new(unpacker)).unwrap();
    Place { dir, store }
}

impl Place {
    fn load(&self, bytes: &[u8]) -> Result<Vec<container_image::archive::Loaded>, ArchiveError> {
        let loaded = load(&self.store, Input::Stream(&mut &bytes[..]));
        // A temporary copy must be gone, whatever came of it.
        let mut names: Vec<_> = fs::read_dir(self.store.root())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(
            names,
            ["blobs", "index.json", "ingest", "layers", "oci-layout"]
        );
        loaded
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn import(&self, name: &str, content: &str) -> Image {
        let options = Import {
            name: Some(name.parse().unwrap()),
            changes: vec![
                "CMD [\"/hello\"]".into(),
                "ENV A=1".into(),
                "LABEL a=b".into(),
            ],
            message: "made by a test".into(),
            created: "2024-05-06T07:08:09Z".parse().unwrap(),
            ..Import::default()
        };
        import(
            &self.store,
            Input::Stream(&mut &tar(&[("hello", content.as_bytes())])[..]),
            &options,
        )
        .unwrap()
    }

    fn save(&self, names: &[&str], format: Format) -> Vec<u8> {
        let mut bytes = Vec::new();
        let images = select(&self.store, names).unwrap();
        save(&self.store, &images, format, &mut bytes).unwrap();
        bytes
    }
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, data) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(data.len() as u64);
        header.set_mode(0o755);
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        builder.append(&header, *data).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn names(image: &Image) -> Vec<String> {
    image.names.iter().map(ToString::to_string).collect()
}

fn content(store: &Store, image: &Image) -> String {
    let dirs = store.rootfs(image).unwrap();
    fs::read_to_string(dirs[0].join("hello")).unwrap()
}

#[test]
fn import_makes_an_image() {
    let place = place();
    let image = place.import("imported:1", "hi");
    let config = image.config.config().as_ref().unwrap();
    assert_eq!(config.cmd().as_ref().unwrap(), &["/hello"]);
    assert_eq!(config.env().as_ref().unwrap(), &["A=1"]);
    assert_eq!(
        image.config.history().as_ref().unwrap()[0]
            .comment()
            .as_deref(),
        Some("made by a test")
    );
    assert_eq!(names(&image), ["docker.io/library/imported:1"]);
    assert_eq!(content(&place.store, &image), "hi");
    assert_eq!(
        place.import("again", "hi").id,
        image.id,
        "same input, same image"
    );
    assert_ne!(place.import("other", "ho").id, image.id);
}

#[test]
fn import_takes_every_compression() {
    let plain = tar(&[("hello", b"packed")]);
    let bzip2 = {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(&plain).unwrap();
        encoder.finish().unwrap()
    };
    let streams = [
        plain.clone(),
        gzip(&plain),
        zstd::encode_all(&plain[..], 1).unwrap(),
        bzip2,
    ];
    let place = place();
    let ids: Vec<_> = streams
        .iter()
        .map(|stream| {
            let options = Import {
                created: "2024-05-06T07:08:09Z".parse().unwrap(),
                ..Import::default()
            };
            let file = place.file("rootfs", stream);
            let by_path = import(&place.store, Input::Path(&file), &options).unwrap();
            let by_stream =
                import(&place.store, Input::Stream(&mut &stream[..]), &options).unwrap();
            assert_eq!(by_path.id, by_stream.id);
            by_path.id
        })
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]));
}

#[test]
fn import_refuses_what_it_cannot_use() {
    let place = place();
    let try_import = |bytes: &[u8], changes: &[&str]| {
        let options = Import {
            changes: changes.iter().map(ToString::to_string).collect(),
            ..Import::default()
        };
        import(&place.store, Input::Stream(&mut &bytes[..]), &options)
    };
    assert!(matches!(try_import(b"", &[]), Err(ArchiveError::Empty)));
    assert!(matches!(
        try_import(b"x", &["RUN x"]),
        Err(ArchiveError::Change { .. })
    ));
    assert!(try_import(&[7; 4096], &[]).is_err());
    assert!(try_import(&gzip(&tar(&[("a", b"b")]))[..40], &[]).is_err());
    let long = tar(&[("hello", &[1; 100_000])]);
    assert!(try_import(&long[..50_000], &[]).is_err());
    assert!(
        place.store.images().unwrap().is_empty(),
        "no half image is left"
    );
}

#[test]
fn saved_images_come_back() {
    let from = place();
    let first = from.import("first:1", "one");
    from.store
        .tag("first:1", &"registry.example:5000/a/b:2".parse().unwrap())
        .unwrap();
    let second = from.import("second", "two");
    let selection = ["first:1", "registry.example:5000/a/b:2", "second"];
    for format in [Format::Docker, Format::Oci] {
        let bytes = from.save(&selection, format);
        for packed in [
            bytes.clone(),
            gzip(&bytes),
            zstd::encode_all(&bytes[..], 1).unwrap(),
        ] {
            let to = place();
            let loaded = to.load(&packed).unwrap();
            assert_eq!(loaded.len(), 2);
            assert_eq!(loaded[0].image.id, first.id);
            assert_eq!(loaded[0].image.manifest_digest, first.manifest_digest);
            let mut names = names(&loaded[0].image);
            names.sort();
            assert_eq!(
                names,
                ["docker.io/library/first:1", "registry.example:5000/a/b:2"]
            );
            assert_eq!(loaded[1].image.id, second.id);
            assert_eq!(content(&to.store, &loaded[0].image), "one");
            assert_eq!(content(&to.store, &loaded[1].image), "two");
            assert_eq!(to.save(&selection, format), bytes, "the same bytes again");
        }
        let to = place();
        let file = to.file("saved.tar", &bytes);
        assert_eq!(load(&to.store, Input::Path(&file)).unwrap().len(), 2);
    }
    let directory = from.dir.path().join("layout");
    let images = select(&from.store, &selection).unwrap();
    save_directory(&from.store, &images, &directory).unwrap();
    let to = place();
    let loaded = load(&to.store, Input::Path(&directory)).unwrap();
    assert_eq!((loaded.len(), loaded[0].names.len()), (2, 2));
    let again = save_directory(&from.store, &images, &directory);
    assert!(matches!(again, Err(ArchiveError::NotEmpty { .. })));
}

#[test]
fn an_image_without_a_name() {
    let from = place();
    let image = from.import("first:1", "one");
    let bytes = from.save(&[&image.id.hex()[..12]], Format::Docker);
    let to = place();
    let loaded = to.load(&bytes).unwrap();
    assert_eq!(loaded[0].image.id, image.id);
    assert!(loaded[0].names.is_empty() && loaded[0].image.names.is_empty());
}

#[test]
fn docker_archives_get_no_zstd() {
    let place = place();
    let plain = tar(&[("hello", b"small")]);
    let bytes = docker_archive(
        &zstd::encode_all(&plain[..], 1).unwrap(),
        &plain,
        "layer.tar",
    );
    let image = place.load(&bytes).unwrap().remove(0).image;
    let saved = place.save(&["made:up"], Format::Docker);
    let inside = entries(&saved);
    let diff_id = Digest::sha256(&plain);
    assert!(
        inside
            .iter()
            .any(|(name, data)| name.ends_with(diff_id.hex()) && *data == plain)
    );
    let back = self::place().load(&saved).unwrap().remove(0).image;
    assert_eq!(back.id, image.id);
    let kept = entries(&place.save(&["made:up"], Format::Oci));
    assert!(!kept.iter().any(|(name, _)| name.ends_with(diff_id.hex())));
}

#[test]
fn a_damaged_store_is_not_passed_on() {
    let place = place();
    let image = place.import("first:1", "one");
    let images = select(&place.store, &["first:1"]).unwrap();
    let blob = place.store.blob_path(&image.layers[0].spec.digest);
    let mut bytes = fs::read(&blob).unwrap();
    bytes[700] ^= 1;
    fs::write(&blob, &bytes).unwrap();
    let result = save(&place.store, &images, Format::Oci, &mut Vec::new());
    assert!(
        matches!(result, Err(ArchiveError::Damaged { .. })),
        "{result:?}"
    );
    fs::write(&blob, &bytes[..1000]).unwrap();
    assert!(save(&place.store, &images, Format::Oci, &mut Vec::new()).is_err());
    let gone = Selection {
        names: vec![],
        image,
    };
    fs::remove_file(blob).unwrap();
    assert!(save(&place.store, &[gone], Format::Oci, &mut Vec::new()).is_err());
}

fn entries(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(archive);
    let read = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.unwrap();
        let mut data = Vec::new();
        entry.read_to_end(&mut data).unwrap();
        (entry.path().unwrap().display().to_string(), data)
    };
    archive.entries().unwrap().map(read).collect()
}

fn config(plain: &[u8]) -> (String, Vec<u8>) {
    let config = format!(
        r#"{{"architecture":"{}","os":"linux","rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
        container_image::Platform::host().architecture(),
        Digest::sha256(plain)
    );
    (
        format!("{}.json", Digest::sha256(&config).hex()),
        config.into_bytes(),
    )
}

/// As Docker wrote them before version 25.
fn docker_archive(blob: &[u8], plain: &[u8], layer: &str) -> Vec<u8> {
    let (name, config) = config(plain);
    let manifest =
        format!(r#"[{{"Config":"{name}","RepoTags":["made:up"],"Layers":["{layer}"]}}]"#);
    tar(&[
        ("layer.tar", blob),
        (&name, &config),
        ("manifest.json", manifest.as_bytes()),
    ])
}

#[test]
fn layers_that_are_links() {
    let plain = tar(&[("hello", b"shared")]);
    let (name, config) = config(&plain);
    let manifest = format!(r#"[{{"Config":"{name}","RepoTags":null,"Layers":["b/layer.tar"]}}]"#);
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |kind, name: &str, link: &str, data: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(data.len() as u64);
        if !link.is_empty() {
            header.set_link_name(link).unwrap();
        }
        header.set_path(name).unwrap();
        header.set_cksum();
        builder.append(&header, data).unwrap();
    };
    add(tar::EntryType::Directory, "b/", "", b"");
    add(
        tar::EntryType::Symlink,
        "b/layer.tar",
        "../a/layer.tar",
        b"",
    );
    add(tar::EntryType::Regular, "a/layer.tar", "", &plain);
    add(tar::EntryType::Regular, &name, "", &config);
    add(
        tar::EntryType::Regular,
        "manifest.json",
        "",
        manifest.as_bytes(),
    );
    let bytes = builder.into_inner().unwrap();
    let place = place();
    let image = place.load(&bytes).unwrap().remove(0).image;
    assert_eq!(content(&place.store, &image), "shared");
}

#[test]
fn a_layer_that_hides_all_below() {
    let below = tar(&[("hello", b"hidden")]);
    let above = tar(&[(".wh..wh..opq", b""), ("hello", b"seen")]);
    let config = format!(
        r#"{{"architecture":"{}","os":"linux","rootfs":{{"type":"layers","diff_ids":["{}","{}"]}}}}"#,
        container_image::Platform::host().architecture(),
        Digest::sha256(&below),
        Digest::sha256(&above),
    );
    let manifest = r#"[{"Config":"c.json","RepoTags":["made:up"],"Layers":["0.tar","1.tar"]}]"#;
    let place = place();
    let archive = tar(&[
        ("0.tar", &below),
        ("1.tar", &above),
        ("c.json", config.as_bytes()),
        ("manifest.json", manifest.as_bytes()),
    ]);
    let image = place.load(&archive).unwrap().remove(0).image;
    assert_eq!(place.store.rootfs(&image).unwrap().len(), 1);
    assert_eq!(content(&place.store, &image), "seen");
}

#[test]
fn hostile_archives_are_refused() {
    let plain = tar(&[("hello", b"x")]);
    let (config_name, config) = config(&plain);
    let manifest = |layers: &str, tags: &str| {
        format!(r#"[{{"Config":"{config_name}","RepoTags":[{tags}],"Layers":[{layers}]}}]"#)
    };
    let with = |manifest: &str| {
        tar(&[
            ("layer.tar", &plain[..]),
            (&config_name, &config),
            ("manifest.json", manifest.as_bytes()),
        ])
    };
    let index = |digest: &str, size: usize| {
        format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":{size}}}]}}"#
        )
    };
    let zeros = "0".repeat(64);
    let blob = format!("blobs/sha256/{zeros}");
    let huge = "[".repeat(5 << 20);
    let deep = "[".repeat(1 << 20);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", vec![]),
        ("junk", vec![7; 10_000]),
        ("no image", tar(&[("hello", b"x")])),
        (
            "climbing layer",
            with(&manifest(r#""../../../etc/passwd""#, "")),
        ),
        ("absent layer", with(&manifest(r#""/etc/passwd""#, ""))),
        (
            "too many layers",
            with(&manifest(r#""layer.tar","layer.tar""#, "")),
        ),
        ("wrong layer", with(&manifest(r#""manifest.json""#, ""))),
        (
            "malformed name",
            with(&manifest(r#""layer.tar""#, r#""UPPER:case""#)),
        ),
        ("no entries", with("[]")),
        ("not JSON", with("{")),
        ("huge manifest", with(&huge)),
        ("deep manifest", with(&deep)),
        (
            "missing configuration",
            tar(&[("manifest.json", manifest("", "").as_bytes())]),
        ),
        (
            "missing blob",
            tar(&[(
                "index.json",
                index(&format!("sha256:{zeros}"), 9).as_bytes(),
            )]),
        ),
        (
            "blob of another digest",
            tar(&[
                (
                    "index.json",
                    index(&format!("sha256:{zeros}"), 2).as_bytes(),
                ),
                (&blob, b"{}"),
            ]),
        ),
        (
            "climbing digest",
            tar(&[(
                "index.json",
                index("sha256:../../../../etc/passwd", 2).as_bytes(),
            )]),
        ),
        ("cut short", {
            let whole = with(&manifest(r#""layer.tar""#, ""));
            whole[..whole.len() - 1500].to_vec()
        }),
        ("cut gzip", {
            let whole = gzip(&with(&manifest(r#""layer.tar""#, "")));
            whole[..whole.len() / 2].to_vec()
        }),
    ];
    let place = place();
    place
        .load(&with(&manifest(r#""layer.tar""#, "")))
        .expect("the honest one");
    for (name, bytes) in cases {
        // An empty store: a layer that is there already is not read again.
        let place = self::place();
        let by_stream = place.load(&bytes).expect_err(name).to_string();
        assert!(by_stream.len() < 1000, "{name}: {by_stream}");
        let file = place.file("hostile.tar", &bytes);
        load(&place.store, Input::Path(&file)).expect_err(name);
        assert!(place.store.images().unwrap().is_empty(), "{name}");
    }
    assert_eq!(place.store.images().unwrap().len(), 1);
}

#[test]
fn a_hostile_directory_is_refused() {
    let place = place();
    let dir = place.dir.path().join("layout");
    fs::create_dir(&dir).unwrap();
    let missing = load(&place.store, Input::Path(&dir));
    assert!(matches!(missing, Err(ArchiveError::NoImage)), "{missing:?}");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        dir.join("index.json"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    load(&place.store, Input::Path(&dir)).expect_err("it is a fifo");
    fs::remove_file(dir.join("index.json")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", dir.join("index.json")).unwrap();
    load(&place.store, Input::Path(&dir)).expect_err("it is a link outside");
    load(&place.store, Input::Path(Path::new("/nonexistent"))).expect_err("absent");
}

#[test]
fn a_tree_goes_out_and_in_again() {
    for who in [Who::Root, Who::Rootless] {
        confined::run(who, "round_trip", 64);
    }
}

/// The body of the test above.
#[test]
fn round_trip() {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};
    let Some((dir, who)) = confined::inside() else {
        return;
    };
    let tree = dir.join("tree");
    fs::create_dir_all(tree.join("d/sub")).unwrap();
    fs::write(tree.join("d/file"), "content").unwrap();
    fs::hard_link(tree.join("d/file"), tree.join("z-link")).unwrap();
    symlink("/etc/passwd", tree.join("d/link")).unwrap();
    symlink("t".repeat(300), tree.join("d/long-link")).unwrap();
    let long = tree.join("n".repeat(200));
    fs::create_dir(&long).unwrap();
    fs::write(long.join("f"), vec![9; 1_000_000]).unwrap();
    fs::write(tree.join("d/setuid"), "").unwrap();
    chown(tree.join("d/setuid"), Some(7), Some(60_000)).unwrap();
    fs::set_permissions(tree.join("d/setuid"), fs::Permissions::from_mode(0o6711)).unwrap();
    let value = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(tree.join("d/setuid"), "security.capability", value, flags).unwrap();
    rustix::fs::setxattr(tree.join("d"), "user.note", b"a=b\n", flags).unwrap();
    if who == Who::Root {
        chown(tree.join("d/sub"), Some(3_000_000), Some(3_000_001)).unwrap();
        let device = rustix::fs::makedev(1, 3);
        let kind = rustix::fs::FileType::CharacterDevice;
        rustix::fs::mknodat(
            rustix::fs::CWD,
            tree.join("null"),
            kind,
            rustix::fs::Mode::RUSR,
            device,
        )
        .unwrap();
    }
    rustix::fs::mknodat(
        rustix::fs::CWD,
        tree.join("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let socket = std::os::unix::net::UnixListener::bind(tree.join("s")).unwrap();
    // Mounts are not part of the tree.
    fs::create_dir(tree.join("mnt")).unwrap();
    rustix::mount::mount_bind("/proc/sys", tree.join("mnt")).unwrap();
    fs::write(tree.join("mnt-file"), "").unwrap();
    rustix::mount::mount_bind("/etc/passwd", tree.join("mnt-file")).unwrap();

    let mut bytes = Vec::new();
    export(&tree, &mut bytes).unwrap();
    let mut again = Vec::new();
    export(&tree, &mut again).unwrap();
    assert!(bytes == again, "the same tree, the same bytes");

    for mount in ["mnt", "mnt-file"] {
        confined::unmount(&tree.join(mount));
    }
    drop(socket);
    fs::remove_file(tree.join("s")).unwrap();
    let back = dir.join("back");
    fs::create_dir(&back).unwrap();
    let root = fs::File::open(&back).unwrap();
    let root = std::os::fd::AsFd::as_fd(&root);
    container_image::layer::unpack(&mut &bytes[..], root, &who.options()).unwrap();
    let described = |dir: &Path| {
        let text = confined::describe(dir).replace(dir.to_str().unwrap(), "");
        // The root itself is not in the archive.
        let lines = text.lines().skip(1);
        // What covered a mount point is not known, but its name is.
        let line = |line: &str| match line.split_once(' ') {
            Some((name, _)) if name.starts_with("\"/mnt") => {
                format!("{name} {}", line.contains("size 0"))
            }
            _ => line.to_owned(),
        };
        lines.map(line).collect::<Vec<_>>()
    };
    let (before, after) = (described(&tree), described(&back));
    assert_eq!(before.len(), after.len());
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before, after);
    }
    if who == Who::Root {
        // GNU tar reads it too.
        let list = std::process::Command::new("tar")
            .args(["-tvf", "-"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn();
        let mut list = list.expect("this test needs tar");
        let mut input = list.stdin.take().unwrap();
        let writer = std::thread::spawn(move || input.write_all(&bytes));
        let output = list.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            text.contains("link to d/file") && text.contains("3000000/3000001"),
            "{text}"
        );
    }
    confined::report_memory(&dir);
}
