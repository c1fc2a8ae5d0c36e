//! Pulls from a registry that fails, lies, stalls and asks for passwords.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "drives the library from outside"
)]

mod sample;
mod server;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use container_image::digest::Digest;
use container_image::layer::Direct;
use container_image::registry::{
    Credentials, Progress, PullError, PullOptions, Pulled, Registry, RegistryBuilder,
};
use container_image::store::Store;
use sample::{Sample, content, tree};
use server::{Reply, Server};

struct Here {
    root: tempfile::TempDir,
    store: Store,
    empty: Vec<String>,
}

impl Here {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path(), Arc::new(Direct)).unwrap();
        let empty = content(root.path());
        Self { root, store, empty }
    }

    fn path(&self) -> &Path {
        self.root.path()
    }
}

fn quick() -> RegistryBuilder {
    Registry::builder().retries(4, Duration::from_millis(10))
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

fn pull(here: &Here, registry: RegistryBuilder, image: &str) -> Result<Pulled, PullError> {
    pull_as(here, registry, image, PullOptions::default())
}

fn pull_as(
    here: &Here,
    registry: RegistryBuilder,
    image: &str,
    options: PullOptions,
) -> Result<Pulled, PullError> {
    let reference = image.parse().unwrap();
    run(registry
        .build()
        .pull(&here.store, &reference, &options, |_| {}))
}

fn small() -> Sample {
    Sample::new(&[&[("a", b"first")], &[("b", b"second")]])
}

/// The pull succeeds, and the layers are what they should be.
fn check(here: &Here, pulled: &Pulled, sample: &Sample) {
    assert_eq!(pulled.image.id, sample.id());
    let dirs = here.store.rootfs(&pulled.image).unwrap();
    assert_eq!(dirs.len(), sample.layers.len());
    for (layer, blob) in pulled.image.layers.iter().zip(&sample.layers) {
        let stored = std::fs::read(here.store.blob_path(&layer.spec.digest)).unwrap();
        assert!(stored == *blob);
    }
}

#[test]
fn overload_passes() {
    let sample = small();
    let server = Server::start(&sample, |_, before| match before {
        0 => Some(Reply::new(429, "slow down").header("retry-after", "0")),
        1 => Some(Reply::new(503, "")),
        _ => None,
    });
    let here = Here::new();
    check(
        &here,
        &pull(&here, quick(), &server.image()).unwrap(),
        &sample,
    );
}

#[test]
fn overload_that_stays_is_told_in_the_registrys_words() {
    let sample = small();
    let server = Server::start(&sample, |_, _| {
        Some(Reply::new(
            429,
            r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"rate limit of tests"}]}"#,
        ))
    });
    let here = Here::new();
    let error = pull(&here, quick(), &server.image()).unwrap_err();
    assert!(
        matches!(error, PullError::Status { status: 429, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("rate limit of tests"), "{error}");
    assert_eq!(server.count("/manifests/1"), 4);
    assert_eq!(content(here.path()), here.empty);
}

#[test]
fn a_wait_of_an_hour_is_not_waited() {
    let server = Server::start(&small(), |_, _| {
        Some(Reply::new(429, "").header("retry-after", "3600"))
    });
    let begun = Instant::now();
    assert!(pull(&Here::new(), quick(), &server.image()).is_err());
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn broken_connections_are_continued_by_range() {
    let sample = Sample::large(2 << 20);
    let watched = sample.clone();
    let length = sample.layers[0].len();
    let server = Server::start(&sample, move |request, before| {
        (request.is_layer(&watched) && before < 2).then(|| {
            let from = if before == 0 { 0 } else { length / 3 };
            let mut reply = Reply::new(
                if from == 0 { 200 } else { 206 },
                &watched.layers[0][from..],
            );
            if from > 0 {
                reply = reply.header(
                    "content-range",
                    format!("bytes {from}-{}/{length}", length - 1),
                );
            }
            reply.cut = Some(length / 3);
            reply
        })
    });
    let here = Here::new();
    check(
        &here,
        &pull(&here, quick(), &server.image()).unwrap(),
        &sample,
    );
    let ranges: Vec<String> = server
        .log()
        .iter()
        .filter(|r| r.is_layer(&sample))
        .map(|r| r.header("range").to_owned())
        .collect();
    let third = length / 3;
    assert_eq!(
        ranges,
        [
            String::new(),
            format!("bytes={third}-"),
            format!("bytes={}-", 2 * third)
        ]
    );
}

#[test]
fn a_server_without_ranges_is_read_again_from_the_start() {
    let sample = Sample::large(1 << 20);
    let watched = sample.clone();
    let server = Server::start(&sample, move |request, before| {
        request.is_layer(&watched).then(|| {
            let mut reply = Reply::new(200, watched.layers[0].clone());
            reply.cut = (before == 0).then_some(300_000);
            reply
        })
    });
    let here = Here::new();
    check(
        &here,
        &pull(&here, quick(), &server.image()).unwrap(),
        &sample,
    );
}

#[test]
fn a_download_that_stays_truncated_fails_and_is_continued_later() {
    let sample = Sample::large(1 << 20);
    let watched = sample.clone();
    let server = Server::start(&sample, move |request, _| {
        (request.is_layer(&watched) && request.header("range").is_empty()).then(|| {
            let mut reply = Reply::new(200, watched.layers[0].clone());
            reply.cut = Some(500_000);
            reply
        })
    });
    let here = Here::new();
    let image = server.image();
    let error = pull(&here, quick().retries(1, Duration::ZERO), &image).unwrap_err();
    assert!(matches!(error, PullError::Transport { .. }), "{error}");
    assert!(here.store.images().unwrap().is_empty());
    assert!(
        !tree(&here.path().join("layers"))
            .iter()
            .any(|n| n.starts_with("new-"))
    );
    check(&here, &pull(&here, quick(), &image).unwrap(), &sample);
    let last = server
        .log()
        .into_iter()
        .rfind(|r| r.is_layer(&sample))
        .unwrap();
    assert_eq!(last.header("range"), "bytes=500000-");
}

#[test]
fn a_damaged_beginning_is_fetched_again() {
    let sample = Sample::large(1 << 20);
    let server = Server::honest(&sample);
    let here = Here::new();
    let digest = Digest::sha256(&sample.layers[0]);
    let partial = here
        .path()
        .join("ingest")
        .join(format!("sha256-{}", digest.hex()));
    std::fs::write(&partial, vec![7; 400_000]).unwrap();
    check(
        &here,
        &pull(&here, quick(), &server.image()).unwrap(),
        &sample,
    );
    assert_eq!(server.count(digest.hex()), 2);
}

#[test]
fn wrong_bytes_leave_nothing() {
    let sample = small();
    let layer = Digest::sha256(&sample.layers[1]);
    let config = sample.id();
    let mut wrong = sample.layers[1].clone();
    *wrong.last_mut().unwrap() ^= 1;
    type Case = (&'static str, String, Reply);
    let cases: Vec<Case> = vec![
        ("layer", layer.hex().into(), Reply::new(200, wrong)),
        (
            "short layer",
            layer.hex().into(),
            Reply::new(200, &sample.layers[1][1..]),
        ),
        (
            "endless layer",
            layer.hex().into(),
            Reply::new(200, vec![0; 1 << 20]),
        ),
        (
            "config",
            config.hex().into(),
            Reply::new(200, vec![b' '; sample.config.len()]),
        ),
        ("short config", config.hex().into(), Reply::new(200, "{}")),
        (
            "manifest",
            "manifests/1".into(),
            Reply::new(200, "{}").header("docker-content-digest", sample.digest().to_string()),
        ),
        (
            "large manifest",
            "manifests/1".into(),
            Reply::new(200, vec![b' '; 5 << 20]),
        ),
        (
            "schema 1",
            "manifests/1".into(),
            Reply::new(200, r#"{"schemaVersion":1,"fsLayers":[]}"#).header(
                "content-type",
                "application/vnd.docker.distribution.manifest.v1+prettyjws",
            ),
        ),
        (
            "web page",
            "manifests/1".into(),
            Reply::new(200, "<html>").header("content-type", "text/html"),
        ),
        ("no such layer", layer.hex().into(), Reply::new(404, "")),
    ];
    for (what, end, reply) in cases {
        let server = Server::start(&sample, move |request, _| {
            (request.path.ends_with(&end)).then(|| reply.clone())
        });
        let here = Here::new();
        let error = pull(&here, quick(), &server.image()).expect_err(what);
        let text = error.to_string();
        assert!(text.len() < 500, "{what}: {text}");
        assert!(here.store.images().unwrap().is_empty());
        let begun: Vec<String> = content(here.path())
            .into_iter()
            .filter(|name| name.starts_with("ingest/") || name.contains("new-"))
            .collect();
        assert!(begun.is_empty(), "{what}: {begun:?}");
        let _ = here.store.prune(true, &|_| None).unwrap();
        assert_eq!(content(here.path()), here.empty, "{what}");
    }
}

#[test]
fn a_full_disk_is_said_to_be_full() {
    let sample = Sample::large(2 << 20);
    let server = Server::honest(&sample);
    let disk = SmallDisk::new("1m");
    let store = Store::open(disk.0.path(), Arc::new(Direct)).unwrap();
    let empty = content(disk.0.path());
    let reference = server.image().parse().unwrap();
    let error = run(quick()
        .build()
        .pull(&store, &reference, &PullOptions::default(), |_| {}))
    .unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, PullError::Store(_)), "{text}");
    assert!(text.contains("No space left on device"), "{text}");
    let left = content(disk.0.path());
    let documents = |name: &&String| !name.starts_with("blobs/");
    assert!(left.iter().filter(documents).eq(empty.iter()), "{left:?}");
}

/// A tmpfs, gone at the end of the test.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(size: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tests"])
            .arg(directory.path())
            .status()
            .unwrap();
        assert!(mounted.success(), "needs the right to mount: run as root");
        Self(directory)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A leftover would show in /proc/mounts; there is nobody to report it to here.
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(self.0.path())
            .status();
    }
}

#[test]
fn silence_is_not_waited_for_for_ever() {
    let sample = Sample::large(1 << 20);
    let watched = sample.clone();
    let server = Server::start(&sample, move |request, before| {
        (request.is_layer(&watched) && before == 0).then(|| {
            let mut reply = Reply::new(200, watched.layers[0].clone());
            reply.stall = Some(100_000);
            reply
        })
    });
    let here = Here::new();
    let registry = quick().timeouts(Duration::from_secs(5), Duration::from_millis(300));
    check(
        &here,
        &pull(&here, registry, &server.image()).unwrap(),
        &sample,
    );
}

#[test]
fn a_dropped_pull_is_continued() {
    let sample = Sample::large(1 << 20);
    let watched = sample.clone();
    let server = Server::start(&sample, move |request, before| {
        (request.is_layer(&watched) && before == 0).then(|| {
            let mut reply = Reply::new(200, watched.layers[0].clone());
            reply.stall = Some(600_000);
            reply
        })
    });
    let here = Here::new();
    let reference = server.image().parse().unwrap();
    run(async {
        let registry = quick().build();
        let options = PullOptions::default();
        let pull = registry.pull(&here.store, &reference, &options, |_| {});
        let dropped = tokio::time::timeout(Duration::from_millis(500), pull).await;
        assert!(dropped.is_err());
    });
    check(
        &here,
        &pull(&here, quick(), &server.image()).unwrap(),
        &sample,
    );
    let last = server
        .log()
        .into_iter()
        .rfind(|r| r.is_layer(&sample))
        .unwrap();
    assert_eq!(last.header("range"), "bytes=600000-");
}

#[test]
fn what_is_here_is_not_fetched_again() {
    let sample = small();
    let server = Server::honest(&sample);
    let here = Here::new();
    assert!(!pull(&here, quick(), &server.image()).unwrap().up_to_date);
    let before = server.log().len();
    let again = pull(&here, quick(), &server.image()).unwrap();
    assert!(again.up_to_date);
    assert_eq!(again.digest, sample.digest());
    assert_eq!(server.log().len(), before + 1, "one HEAD");
    // By digest too, without asking anybody.
    let pinned = format!("{}/x@{}", server.address, sample.digest());
    assert!(pull(&here, quick(), &pinned).unwrap().up_to_date);
    assert_eq!(server.log().len(), before + 1);
}

#[test]
fn progress_is_told() {
    let sample = small();
    let server = Server::honest(&sample);
    let here = Here::new();
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = Arc::clone(&told);
    let reference = server.image().parse().unwrap();
    run(quick().build().pull(
        &here.store,
        &reference,
        &PullOptions::default(),
        move |event| {
            telling.lock().unwrap().push(event);
        },
    ))
    .unwrap();
    let told = told.lock().unwrap();
    assert!(matches!(&told[0], Progress::Resolved { layers, .. } if layers.len() == 2));
    for blob in &sample.layers {
        let layer = Digest::sha256(blob);
        let total = blob.len() as u64;
        let full = Progress::Downloading {
            layer: layer.clone(),
            current: total,
            total,
        };
        assert!(told.contains(&full));
        assert!(told.contains(&Progress::Done { layer }));
    }
}

#[test]
fn tokens_are_fetched_and_renewed() {
    let sample = small();
    let server = Server::start(&sample, move |request, _| {
        if request.path.starts_with("/token") {
            let asked = request.path.contains("service=tests")
                && request.path.contains("scope=repository%3Ax%3Apull");
            let known = request.header("authorization") == "Basic dTpw";
            return Some(match (asked, known) {
                (true, true) => {
                    Reply::new(200, format!(r#"{{"token":"t{}"}}"#, request.path.len()))
                }
                _ => Reply::new(401, ""),
            });
        }
        let authorized = request.header("authorization").starts_with("Bearer t");
        (!authorized).then(|| {
            let realm = format!("http://{}/token", request.header("host"));
            Reply::new(401, "").header(
                "www-authenticate",
                format!(r#"Bearer realm="{realm}",service="tests",scope="repository:x:pull""#),
            )
        })
    });
    let login = |password: &str| PullOptions {
        credentials: Some(Credentials::Basic {
            username: "u".into(),
            password: password.into(),
        }),
        ..PullOptions::default()
    };
    let here = Here::new();
    let pulled = pull_as(&here, quick(), &server.image(), login("p")).unwrap();
    check(&here, &pulled, &sample);
    let tokens = server
        .log()
        .iter()
        .filter(|r| r.path.starts_with("/token"))
        .count();
    assert_eq!(tokens, 1, "one for all requests");
    let here = Here::new();
    let error = pull_as(&here, quick(), &server.image(), login("wrong")).unwrap_err();
    assert!(matches!(error, PullError::Authentication { .. }), "{error}");
}

#[test]
fn identity_tokens_are_exchanged() {
    let sample = small();
    let server = Server::start(&sample, |request, _| {
        if request.path == "/token" {
            let granted = request.method == "POST"
                && request.body.contains("grant_type=refresh_token")
                && request.body.contains("refresh_token=s%26t");
            return Some(match granted {
                true => Reply::new(200, r#"{"access_token":"fresh"}"#),
                false => Reply::new(400, ""),
            });
        }
        (request.header("authorization") != "Bearer fresh").then(|| {
            let challenge = format!("Bearer realm=\"http://{}/token\"", request.header("host"));
            Reply::new(401, "").header("www-authenticate", challenge)
        })
    });
    let here = Here::new();
    let options = PullOptions {
        credentials: Some(Credentials::IdentityToken("s&t".into())),
        ..PullOptions::default()
    };
    let pulled = pull_as(&here, quick(), &server.image(), options).unwrap();
    check(&here, &pulled, &sample);
}

#[test]
fn passwords_go_to_the_registry_and_not_along_redirects() {
    let sample = small();
    let storage = Server::honest(&sample);
    let elsewhere = format!("http://localhost:{}", storage.address.port());
    let server = Server::start(&sample, move |request, _| {
        if request.header("authorization") != "Basic dTpw" {
            return Some(Reply::new(401, "").header("www-authenticate", "Basic realm=\"tests\""));
        }
        request
            .path
            .contains("/blobs/")
            .then(|| Reply::new(307, "").header("location", format!("{elsewhere}{}", request.path)))
    });
    let here = Here::new();
    let options = PullOptions {
        credentials: Some(Credentials::Basic {
            username: "u".into(),
            password: "p".into(),
        }),
        ..PullOptions::default()
    };
    check(
        &here,
        &pull_as(&here, quick(), &server.image(), options).unwrap(),
        &sample,
    );
    assert!(
        storage
            .log()
            .iter()
            .all(|r| r.header("authorization").is_empty())
    );
    let denied = pull(&Here::new(), quick(), &server.image()).unwrap_err();
    assert!(matches!(denied, PullError::Denied { .. }), "{denied}");
}

#[test]
fn mirrors_are_asked_first_and_passed_over_when_they_fail() {
    let sample = small();
    let origin = Server::honest(&sample);
    let empty = Server::start(&sample, |_, _| Some(Reply::new(404, "")));
    let broken = Server::start(&sample, |request, _| {
        request
            .path
            .contains("/blobs/")
            .then(|| Reply::new(500, ""))
    });
    let here = Here::new();
    let registry = quick()
        .mirror(
            origin.address.to_string(),
            format!("http://{}", empty.address),
        )
        .mirror(
            origin.address.to_string(),
            format!("http://{}", broken.address),
        );
    check(
        &here,
        &pull(&here, registry, &origin.image()).unwrap(),
        &sample,
    );
    assert_eq!(empty.count("/manifests/1"), 1);
    assert_eq!(origin.count("/manifests/1"), 0, "the second mirror had it");
    assert!(origin.count("") > 0, "but not the blobs");
}

#[test]
fn what_does_not_exist_is_not_found() {
    let server = Server::honest(&small());
    let missing = format!("{}/x:2", server.address);
    let error = pull(&Here::new(), quick(), &missing).unwrap_err();
    assert!(matches!(error, PullError::NotFound { .. }), "{error}");
    assert_eq!(server.count("/manifests/2"), 1, "and not asked for again");
}
