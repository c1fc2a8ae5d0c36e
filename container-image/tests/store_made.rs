//! Layers and images that are made here.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "drives the library from outside"
)]

mod sample;

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use container_image::digest::Digest;
use container_image::layer::{Direct, MakeError};
use container_image::manifest;
use container_image::store::{Draft, RemoveOptions, Step, Store, StoreError};
use sample::{Sample, archive, content, tree};

fn open(root: &Path) -> Store {
    Store::open(root, Arc::new(Direct)).unwrap()
}

/// Bytes that hardly compress, always the same.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut decoder = flate2::read::MultiGzDecoder::new(bytes);
    decoder.read_to_end(&mut plain).unwrap();
    plain
}

#[test]
fn a_new_layer_is_blob_and_directory() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    // Several chunks, the last of them not a whole one.
    let tar = archive(&[("noise", &noise(3_300_000)), ("zeros", &[0; 2_000_000])]);
    let ingest = store.ingest().unwrap();
    let layer = ingest.new_layer(&mut &tar[..], None).unwrap().unwrap();
    assert_eq!(layer.spec.diff_id, Digest::sha256(&tar));
    assert_eq!(layer.chain_id, layer.spec.diff_id);
    let blob = std::fs::read(store.blob_path(&layer.spec.digest)).unwrap();
    assert_eq!(blob.len() as u64, layer.spec.size);
    assert!(gunzip(&blob) == tar);
    let dir = root.path().join("layers").join(layer.chain_id.hex());
    assert!(std::fs::read(dir.join("noise")).unwrap() == noise(3_300_000));
    let size = std::fs::read_to_string(dir.with_extension("size")).unwrap();
    assert_eq!(size, "5300000");

    // Bytes that come in other pieces, a day later, elsewhere: the same layer.
    struct Dribble<'a>(&'a [u8]);
    impl Read for Dribble<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = buffer.len().min(70_001);
            self.0.read(&mut buffer[..length])
        }
    }
    let elsewhere = tempfile::tempdir().unwrap();
    for store in [&store, &open(elsewhere.path())] {
        let ingest = store.ingest().unwrap();
        let again = ingest.new_layer(&mut Dribble(&tar), None).unwrap().unwrap();
        assert_eq!(again, layer);
    }
    let below = Digest::sha256(b"below");
    let other = ingest
        .new_layer(&mut &tar[..], Some(&below))
        .unwrap()
        .unwrap();
    assert_eq!(other.spec, layer.spec);
    assert_eq!(
        other.chain_id,
        manifest::chain(Some(&below), &layer.spec.diff_id)
    );

    // Nobody refers to any of it.
    drop(ingest);
    store.prune(true, &|_| None).unwrap();
    assert_eq!(content(root.path()), [] as [&str; 0]);
}

#[test]
fn what_fails_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let before = tree(root.path());
    struct Fails<'a>(&'a [u8]);
    impl Read for Fails<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(io::Error::other("the source is gone")),
                length => Ok(length),
            }
        }
    }
    let tar = archive(&[("noise", &noise(9_000_000))]);
    let ingest = store.ingest().unwrap();
    let failed = ingest.new_layer(&mut Fails(&tar[..8_000_000]), None);
    let Err(StoreError::Make(MakeError::Read(error))) = failed else {
        panic!("{failed:?}");
    };
    assert_eq!(error.to_string(), "the source is gone");
    // An archive that ends early, and one that is none.
    for bad in [&tar[..8_000_000], &[7; 9_000_000]] {
        let failed = ingest.new_layer(&mut &*bad, None);
        assert!(
            matches!(failed, Err(StoreError::Make(MakeError::Unpack(_)))),
            "{failed:?}"
        );
    }
    // One without entries is no layer.
    assert_eq!(ingest.new_layer(&mut &[0; 1024][..], None).unwrap(), None);
    drop(ingest);
    assert_eq!(tree(root.path()), before);
}

#[test]
fn what_a_dead_process_left_is_removed() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let before = tree(root.path());
    let tar = archive(&[("noise", &noise(5_000_000))]);
    // As if the process had died in the middle: everything stays but its locks.
    struct Dies<'a>(&'a [u8], &'a Path, Vec<String>);
    impl Read for Dies<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer)? {
                0 => {
                    self.2 = tree(self.1);
                    Err(io::ErrorKind::BrokenPipe.into())
                }
                length => Ok(length),
            }
        }
    }
    let ingest = store.ingest().unwrap();
    let mut dies = Dies(&tar[..4_000_000], root.path(), Vec::new());
    assert!(ingest.new_layer(&mut dies, None).is_err());
    let left: Vec<_> = dies.2.iter().filter(|p| !before.contains(p)).collect();
    let of = |start: &str| left.iter().filter(|p| p.contains(start)).count();
    assert!(
        of("layers/new-") >= 1 && of("ingest/blob-") == 1,
        "{left:?}"
    );
    drop(ingest);
    for name in left {
        let path = root.path().join(name);
        match name.ends_with('/') {
            true => std::fs::create_dir_all(&path).unwrap(),
            false => std::fs::write(&path, "").unwrap(),
        }
    }
    store.prune(true, &|_| None).unwrap();
    assert_eq!(content(root.path()), [] as [&str; 0]);
}

#[test]
fn an_image_is_made_of_another() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let base = Sample::new(&[&[("a", b"first")]]).store(&store, &["base"]);
    let ingest = store.ingest().unwrap();
    let mut draft = Draft::on(&store, &base).unwrap();
    let tar = archive(&[("b", b"second")]);
    let layer = ingest
        .new_layer(&mut &tar[..], draft.top())
        .unwrap()
        .unwrap();
    let mut config = draft.run_config().unwrap();
    assert!(
        config.healthcheck.is_some(),
        "what only Docker knows is kept"
    );
    config.working_dir = "/made".to_owned();
    draft.set_run_config(&config);
    let step = |command: &str| Step {
        created: "2025-01-01T00:00:00Z".parse().unwrap(),
        created_by: command.to_owned(),
        author: "me".to_owned(),
        comment: String::new(),
    };
    draft.add(&step("make"), Some(&layer));
    draft.add(&step("say"), None);
    let image = draft.commit(&ingest, &["made".parse().unwrap()]).unwrap();
    drop(ingest);

    assert_eq!(store.find("made").unwrap().id, image.id);
    assert_eq!(image.layers[..1], base.layers[..]);
    assert_eq!(image.layers[1], layer);
    assert_eq!(image.platform, base.platform);
    assert_eq!(image.config.author().as_deref(), Some("me"));
    assert_eq!(image.created(), "2025-01-01T00:00:00Z".parse().ok());
    let rows = store.history(&image).unwrap();
    let rows: Vec<_> = rows.iter().map(|r| (&*r.created_by, r.size)).collect();
    assert_eq!(rows[..2], [("say", 0), ("make", 6)]);
    let lower = store.rootfs(&image).unwrap();
    assert_eq!(std::fs::read(lower[0].join("b")).unwrap(), b"second");
    let made = Draft::on(&store, &image).unwrap().run_config().unwrap();
    assert_eq!(made, config);

    // Without the base's name everything that the image needs of it stays.
    let options = RemoveOptions::default();
    store.remove("base", options, &|_| None).unwrap();
    assert_eq!(store.rootfs(&image).unwrap().len(), 2);
}
