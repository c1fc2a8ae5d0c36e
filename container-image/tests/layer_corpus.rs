//! The corpus of hostile and odd layers, merged by a real overlay mount, as root and rootless.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "drives the library from outside"
)]

mod confined;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufReader;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use confined::{Canaries, Inside, Who};
use container_image::digest::Digest;
use container_image::layer::{IngestError, LayerSpec, UnpackError, Unpacker, ingest, remove_tree};
use oci_spec::image::MediaType;
use serde::Deserialize;

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/corpora/layers");

#[derive(Deserialize)]
struct Corpus {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    layers: Vec<PathBuf>,
    expect: String,
    must_exist: BTreeMap<String, Expected>,
    must_be_absent: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    r#type: Option<String>,
    content: Option<String>,
    target: Option<String>,
    mode: Option<String>,
    uid: Option<u32>,
    gid: Option<u32>,
    size: Option<u64>,
    sha256: Option<String>,
    #[serde(default)]
    xattr_present: Vec<String>,
}

#[test]
fn corpus_as_root() {
    run_as(Who::Root);
}

#[test]
fn corpus_rootless() {
    run_as(Who::Rootless);
}

#[test]
fn corpus_with_a_single_id() {
    run_as(Who::SingleId);
}

fn run_as(who: Who) {
    let cases = Path::new(CORPUS).join("cases.json");
    assert!(cases.exists(), "the corpus {CORPUS} is absent");
    confined::run_with(who, "corpus", 64, Path::new(CORPUS));
}

/// The body of the tests above.
#[test]
fn corpus() {
    let Some((dir, who)) = confined::inside() else {
        return;
    };
    let files = dir.parent().unwrap().join("corpus");
    let corpus: Corpus =
        serde_json::from_slice(&fs::read(files.join("cases.json")).unwrap()).unwrap();
    confined::private_tmp();
    let canaries = Canaries::plant(&dir);
    let mut failures = Vec::new();
    for case in &corpus.cases {
        let work = dir.join("root");
        fs::create_dir(&work).unwrap();
        if let Err(failure) = run(case, &files, &work, who) {
            failures.push(format!("{}: {failure}", case.name));
        }
        canaries.check(&case.name);
        remove_tree(&work).unwrap();
        let names: Vec<_> = fs::read_dir(&dir)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names, ["canary"], "{}", case.name);
    }
    assert!(corpus.cases.len() > 40);
    assert!(failures.is_empty(), "as {who:?}:\n{}", failures.join("\n"));
    confined::report_memory(&dir);
}

fn run(case: &Case, files: &Path, work: &Path, who: Who) -> Result<(), String> {
    let mut dirs = Vec::new();
    for (number, layer) in case.layers.iter().enumerate() {
        let dir = work.join(format!("layer{number}"));
        fs::create_dir(&dir).unwrap();
        let result = take_in(&files.join(layer), &dir, who);
        dirs.push(dir);
        match (result, case.expect.as_str()) {
            (Ok(()), _) => {}
            (Err(_), "reject" | "either") => return Ok(()),
            // The one entry of an owner that no range of ids has.
            (
                Err(IngestError::Unpack {
                    source: UnpackError::Refused { reason, .. },
                    ..
                }),
                _,
            ) if case.name == "uid-large" && who == Who::Rootless => {
                assert!(reason.contains("/etc/subuid"), "{reason}");
                return Ok(());
            }
            (Err(error), _) => return Err(format!("rejected: {error}")),
        }
    }
    if case.expect == "reject" {
        return Err("accepted".to_owned());
    }
    let merged = confined::mount_layers(work, &dirs, who);
    let result = examine(case, &merged, who);
    confined::unmount(&merged);
    result
}

fn take_in(layer: &Path, dir: &Path, who: Who) -> Result<(), IngestError> {
    let bytes = fs::read(layer).unwrap();
    let mut plain = File::open(layer).unwrap();
    let mut hasher = container_image::digest::Algorithm::Sha256.hasher();
    let mut decoder: Box<dyn std::io::Read> = match layer.extension() {
        Some(e) if e == "gz" => {
            Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::new(plain)))
        }
        _ => Box::new(&mut plain),
    };
    let mut buffer = vec![0; 65536];
    loop {
        match std::io::Read::read(&mut decoder, &mut buffer).unwrap() {
            0 => break,
            length => hasher.update(&buffer[..length]),
        }
    }
    let spec = LayerSpec {
        digest: Digest::sha256(&bytes),
        size: bytes.len() as u64,
        media_type: MediaType::ImageLayerGzip,
        diff_id: hasher.finish(),
    };
    drop(bytes);
    let unpacker = Inside(who.options());
    let unpacker: &dyn Unpacker = match who {
        Who::Root => &container_image::layer::Direct,
        _ => &unpacker,
    };
    ingest(&mut File::open(layer).unwrap(), &spec, unpacker, dir)
}

fn examine(case: &Case, merged: &Path, who: Who) -> Result<(), String> {
    for name in &case.must_be_absent {
        if fs::symlink_metadata(locate(merged, name)).is_ok() {
            return Err(format!("{name} is there"));
        }
    }
    for (name, expected) in &case.must_exist {
        let path = locate(merged, name);
        let meta = fs::symlink_metadata(&path).map_err(|e| format!("{name}: {e}"))?;
        let kind = meta.file_type();
        let kind = match kind {
            _ if kind.is_dir() => "dir",
            _ if kind.is_file() => "file",
            _ if kind.is_symlink() => "symlink",
            _ if kind.is_fifo() => "fifo",
            _ => "device",
        };
        let same = |what: &str, actual: Option<String>, expected: Option<String>| match expected {
            Some(_) if actual != expected => {
                Err(format!("{name}: {what} is {actual:?}, not {expected:?}"))
            }
            _ => Ok(()),
        };
        same("type", Some(kind.to_owned()), expected.r#type.clone())?;
        same(
            "mode",
            Some(format!("{:o}", meta.mode() & 0o7777)),
            expected.mode.clone(),
        )?;
        same(
            "size",
            Some(meta.len().to_string()),
            expected.size.map(|s| s.to_string()),
        )?;
        if who != Who::SingleId {
            same(
                "uid",
                Some(meta.uid().to_string()),
                expected.uid.map(|s| s.to_string()),
            )?;
            same(
                "gid",
                Some(meta.gid().to_string()),
                expected.gid.map(|s| s.to_string()),
            )?;
        }
        if expected.content.is_some() {
            let content = fs::read(&path).map_err(|e| format!("{name}: {e}"))?;
            same(
                "content",
                String::from_utf8(content).ok(),
                expected.content.clone(),
            )?;
        }
        if expected.sha256.is_some() {
            let digest = Digest::sha256(fs::read(&path).unwrap());
            same(
                "hash",
                Some(digest.hex().to_owned()),
                expected.sha256.clone(),
            )?;
        }
        if expected.target.is_some() {
            let target = fs::read_link(&path).unwrap().into_os_string();
            same("target", target.into_string().ok(), expected.target.clone())?;
        }
        for attribute in &expected.xattr_present {
            let mut value = [0u8; 256];
            rustix::fs::lgetxattr(&path, attribute.as_str(), &mut value)
                .map_err(|e| format!("{name}: {attribute}: {e}"))?;
        }
    }
    Ok(())
}

fn locate(merged: &Path, name: &str) -> PathBuf {
    if let Some(name) = name.strip_suffix("@HOST") {
        return PathBuf::from(name);
    }
    let Some(hex) = name.strip_prefix("@HEX@") else {
        return merged.join(name);
    };
    let bytes = (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
    merged.join(std::ffi::OsString::from_vec(bytes.collect()))
}
