//! Archives between this library and skopeo; the program's end-to-end tests have Docker's.
//!
//! Needs skopeo (Debian package skopeo), which `tests/run` installs: without it these tests fail.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "drives the library and its peers from outside"
)]

mod confined;

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use container_image::archive::{
    Format, Import, Input, Loaded, import, load, save, save_directory, select,
};
use container_image::layer::{Devices, OverlayXattrs, Owners, UnpackOptions};
use container_image::store::{Image, Store};

fn store(dir: &Path) -> Store {
    let unpacker = confined::Inside(UnpackOptions {
        owners: Owners::Squash,
        overlay_xattrs: OverlayXattrs::User,
        devices: Devices::Skip,
    });
    Store::open(dir, Arc::new(unpacker)).unwrap()
}

fn image(store: &Store, name: &str, content: &str) -> Image {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o755);
    builder
        .append_data(&mut header, "bin/hello", content.as_bytes())
        .unwrap();
    let bytes = builder.into_inner().unwrap();
    let options = Import {
        name: Some(name.parse().unwrap()),
        changes: vec!["CMD [\"/bin/hello\"]".into(), "LABEL made.by=test".into()],
        ..Import::default()
    };
    import(store, Input::Stream(&mut &bytes[..]), &options).unwrap()
}

fn save_to(store: &Store, names: &[&str], format: Format, path: &Path) {
    let images = select(store, names).unwrap();
    save(store, &images, format, &mut File::create(path).unwrap()).unwrap();
}

fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("this test needs {command:?}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn skopeo(arguments: &[&str]) -> String {
    run(Command::new("skopeo")
        .arg("--insecure-policy")
        .args(arguments))
}

#[test]
fn skopeo_reads_what_is_saved() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let store = store(&dir.path().join("store"));
    let made = image(&store, "hello:1", "one");
    let other = image(&store, "example.org/hello:2", "two");
    let names = ["hello:1", "example.org/hello:2"];
    save_to(&store, &names, Format::Docker, Path::new(&at("docker.tar")));
    save_to(&store, &names, Format::Oci, Path::new(&at("oci.tar")));
    save_to(
        &store,
        &names[..1],
        Format::Oci,
        Path::new(&at("single.tar")),
    );
    let images = select(&store, &names).unwrap();
    save_directory(&store, &images, Path::new(&at("oci"))).unwrap();
    for (source, expected) in [
        (
            format!("docker-archive:{}:hello:1", at("docker.tar")),
            &made,
        ),
        (
            format!("docker-archive:{}:example.org/hello:2", at("docker.tar")),
            &other,
        ),
        (format!("oci-archive:{}:hello:1", at("oci.tar")), &made),
        (
            format!("oci-archive:{}:example.org/hello:2", at("docker.tar")),
            &other,
        ),
        (format!("oci-archive:{}", at("single.tar")), &made),
        (format!("oci:{}:example.org/hello:2", at("oci")), &other),
        // The store itself is a layout.
        (format!("oci:{}:hello:1", at("store")), &made),
    ] {
        let config = skopeo(&["inspect", "--config", "--raw", &source]);
        let id = container_image::Digest::sha256(config.trim_end());
        assert_eq!(id, expected.id, "{source}");
        // A copy reads all layers and checks their digests.
        let copy = format!("dir:{}", at("copy"));
        skopeo(&["copy", "--quiet", &source, &copy]);
        fs::remove_dir_all(at("copy")).unwrap();
    }
}

#[test]
fn what_skopeo_writes_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let from = store(&dir.path().join("store"));
    let made = image(&from, "hello:1", "one");
    let source = format!("oci:{}:hello:1", at("store"));
    for (number, (target, path)) in [
        (
            format!("docker-archive:{}:example.org/a/b:3", at("docker.tar")),
            at("docker.tar"),
        ),
        (
            format!("oci-archive:{}:example.org/a/b:3", at("oci.tar")),
            at("oci.tar"),
        ),
        (format!("oci:{}:example.org/a/b:3", at("oci")), at("oci")),
    ]
    .into_iter()
    .enumerate()
    {
        skopeo(&["copy", "--quiet", &source, &target]);
        let to = store(&dir.path().join(format!("to{number}")));
        let loaded = load(&to, Input::Path(Path::new(&path))).unwrap();
        check(&to, &loaded, &made, "example.org/a/b:3", "one");
        if !Path::new(&path).is_dir() {
            let to = store(&dir.path().join(format!("stream{number}")));
            let loaded = load(&to, Input::Stream(&mut File::open(&path).unwrap())).unwrap();
            check(&to, &loaded, &made, "example.org/a/b:3", "one");
        }
    }
}

fn check(store: &Store, loaded: &[Loaded], expected: &Image, name: &str, content: &str) {
    assert_eq!(loaded.len(), 1);
    assert_eq!(loaded[0].image.id, expected.id);
    let names: Vec<_> = loaded[0].names.iter().map(ToString::to_string).collect();
    assert_eq!(names, [name]);
    let dirs = store.rootfs(&loaded[0].image).unwrap();
    assert_eq!(
        fs::read_to_string(dirs[0].join("bin/hello")).unwrap(),
        content
    );
}
