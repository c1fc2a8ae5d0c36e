//! What the pipeline from compressed bytes to a directory does with good and bad input.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "drives the library from outside"
)]

mod confined;

use std::fs;
use std::io::{self, Read, Write};

use confined::Who;
use container_image::digest::Digest;
use container_image::layer::{
    IngestError, LayerSpec, Owners, UnpackError, UnpackOptions, Unpacker, ingest,
};
use oci_spec::image::MediaType;

/// Unpacks with whatever rights the test has.
fn unpacker() -> impl Unpacker {
    confined::Inside(UnpackOptions {
        owners: Owners::Squash,
        ..UnpackOptions::default()
    })
}

fn archive(size: usize) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for name in ["a", "d/b"] {
        let mut header = tar::Header::new_gnu();
        header.set_size(size as u64);
        header.set_mode(0o644);
        let data: Vec<u8> = (0..size).map(|n| ((n * n) >> 7) as u8).collect();
        builder.append_data(&mut header, name, &data[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn spec(blob: &[u8], tar: &[u8]) -> LayerSpec {
    LayerSpec {
        digest: Digest::sha256(blob),
        size: blob.len() as u64,
        media_type: MediaType::ImageLayer,
        diff_id: Digest::sha256(tar),
    }
}

fn take_in(blob: &[u8], spec: &LayerSpec) -> Result<(), IngestError> {
    let dir = tempfile::tempdir().unwrap();
    ingest(&mut &blob[..], spec, &unpacker(), dir.path())?;
    let (a, b) = (dir.path().join("a"), dir.path().join("d/b"));
    assert_eq!(fs::read(a).unwrap(), fs::read(b).unwrap());
    Ok(())
}

#[test]
fn every_compression() {
    let tar = archive(3_000_000);
    let (first, second) = tar.split_at(1_234_567);
    let members = [gzip(first), gzip(second)].concat();
    let skippable = [
        &[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3][..],
        &zstd::encode_all(&tar[..], 1).unwrap(),
    ];
    for blob in [
        tar.clone(),
        gzip(&tar),
        members,
        zstd::encode_all(&tar[..], 3).unwrap(),
        skippable.concat(),
    ] {
        take_in(&blob, &spec(&blob, &tar)).unwrap();
    }
    let sha512 = {
        let mut hasher = container_image::digest::Algorithm::Sha512.hasher();
        hasher.update(&tar);
        hasher.finish()
    };
    let spec = LayerSpec {
        digest: sha512.clone(),
        diff_id: sha512,
        ..spec(&tar, &tar)
    };
    take_in(&tar, &spec).unwrap();
}

#[test]
fn bytes_that_are_not_the_right_ones() {
    let tar = archive(1_000_000);
    let blob = gzip(&tar);
    let right = spec(&blob, &tar);
    let mut flipped = blob.clone();
    flipped[blob.len() / 2] ^= 1;
    assert!(matches!(
        take_in(&flipped, &right),
        Err(IngestError::Digest { .. })
    ));
    let mut header = blob.clone();
    header[3] = 0xff;
    assert!(matches!(
        take_in(&header, &right),
        Err(IngestError::Digest { .. })
    ));
    let short = take_in(&blob[..blob.len() - 1], &right);
    assert!(matches!(short, Err(IngestError::Size { actual, .. }) if actual + 1 == right.size));
    assert!(matches!(
        take_in(b"", &right),
        Err(IngestError::Size { actual: 0, .. })
    ));
    // What follows the blob is not read to its end.
    let mut endless = blob[..].chain(io::repeat(0));
    let dir = tempfile::tempdir().unwrap();
    let long = ingest(&mut endless, &right, &unpacker(), dir.path());
    assert!(matches!(long, Err(IngestError::Size { .. })));
}

/// A damaged name may be one that the file system refuses: the digest is at fault all the same.
#[test]
fn damage_that_looks_like_a_failure_of_the_disk() {
    let tar = archive(1_000_000);
    let right = spec(&tar, &tar);
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(0);
    builder
        .append_data(&mut header, "n".repeat(300), &b""[..])
        .unwrap();
    let mut damaged = builder.into_inner().unwrap();
    damaged.truncate(2048);
    damaged.extend_from_slice(&tar[2048..]);
    let error = take_in(&damaged, &right).expect_err("damaged");
    assert!(matches!(error, IngestError::Digest { .. }), "{error}");
}

#[test]
fn the_right_bytes_of_a_bad_layer() {
    let tar = archive(1_000_000);
    let blob = gzip(&tar);
    let other = LayerSpec {
        diff_id: Digest::sha256(b"other"),
        ..spec(&blob, &tar)
    };
    assert!(matches!(
        take_in(&blob, &other),
        Err(IngestError::DiffId { .. })
    ));
    let cut = &blob[..blob.len() / 2];
    let error = take_in(cut, &spec(cut, &tar)).expect_err("cut");
    assert!(
        matches!(error, IngestError::Decompress { format: "gzip", .. }),
        "{error}"
    );
    let zstd = zstd::encode_all(&tar[..], 1).unwrap();
    let cut = &zstd[..zstd.len() / 2];
    let error = take_in(cut, &spec(cut, &tar)).expect_err("cut");
    assert!(
        matches!(error, IngestError::Decompress { format: "zstd", .. }),
        "{error}"
    );
    let junk = vec![7; 4096];
    let error = take_in(&junk, &spec(&junk, &junk)).expect_err("junk");
    let IngestError::Unpack { source, .. } = error else {
        panic!("{error}");
    };
    assert!(matches!(source, UnpackError::Malformed { .. }), "{source}");
}

#[test]
fn a_source_that_fails() {
    struct Failing(Vec<u8>, usize);
    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.1 == self.0.len() {
                return Err(io::Error::other("connection reset"));
            }
            let length = buffer.len().min(1000).min(self.0.len() - self.1);
            buffer[..length].copy_from_slice(&self.0[self.1..self.1 + length]);
            self.1 += length;
            Ok(length)
        }
    }
    let tar = archive(1_000_000);
    let blob = gzip(&tar);
    let dir = tempfile::tempdir().unwrap();
    let half = blob[..blob.len() / 2].to_vec();
    let result = ingest(
        &mut Failing(half, 0),
        &spec(&blob, &tar),
        &unpacker(),
        dir.path(),
    );
    let error = result.expect_err("the source fails");
    assert!(error.to_string().contains("connection reset"), "{error}");
}

#[test]
fn a_full_disk() {
    confined::run(Who::SingleId, "fills_the_disk", 64);
}

/// The body of the test above.
#[test]
fn fills_the_disk() {
    let Some((dir, _)) = confined::inside() else {
        return;
    };
    let small = dir.join("small");
    fs::create_dir(&small).unwrap();
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount("tmpfs", &small, "tmpfs", flags, Some(c"size=4m")).unwrap();
    let tar = archive(5_000_000);
    let blob = gzip(&tar);
    // The rest of the layer never comes: the error must not wait for it.
    let (reader, mut writer) = io::pipe().unwrap();
    let right = spec(&blob, &tar);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let _ = writer.write_all(&blob);
        });
        let mut reader = reader;
        let result = ingest(&mut reader, &right, &unpacker(), &small);
        let error = result.expect_err("the disk is full");
        assert!(error.to_string().contains("No space left"), "{error}");
    });
    confined::unmount(&small);
    fs::remove_dir(&small).unwrap();
    confined::report_memory(&dir);
}
