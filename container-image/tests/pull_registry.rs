//! Pulls from Debian's docker-registry, of images that skopeo pushed; by several
//! processes at once, and by one that is killed.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "drives the library from outside"
)]

mod sample;
mod server;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use container_image::layer::Direct;
use container_image::platform::{Platform, PlatformError};
use container_image::registry::{PullError, PullOptions, Pulled, Registry};
use container_image::store::{RemoveOptions, Store};
use sample::{Sample, content, tree};
use server::{Reply, Server};

/// A registry of its own, killed at the end.
struct Debian {
    child: Child,
    address: SocketAddr,
    _storage: tempfile::TempDir,
}

impl Debian {
    fn start() -> Self {
        Self::start_with("")
    }

    /// With a certificate of its own, whose PEM file is returned.
    fn encrypted(directory: &Path) -> (Self, Vec<u8>) {
        let (certificate, key) = (directory.join("cert.pem"), directory.join("key.pem"));
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
            ])
            .args(["-nodes", "-days", "2", "-subj", "/CN=tests"])
            .args(["-addext", "subjectAltName=IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output()
            .expect("openssl is missing: apt-get install openssl");
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let tls = format!(
            ", tls: {{certificate: {}, key: {}}}",
            certificate.display(),
            key.display()
        );
        (Self::start_with(&tls), std::fs::read(certificate).unwrap())
    }

    fn start_with(tls: &str) -> Self {
        let storage = tempfile::tempdir().unwrap();
        // The port is free when asked for; that nobody takes it before the registry does is likely enough to try once more.
        for _ in 0..5 {
            let address = TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap();
            let config = storage.path().join("config.yml");
            let yaml = format!(
                "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"{address}\"{tls}}}\n",
                storage.path().join("data").display()
            );
            std::fs::write(&config, yaml).unwrap();
            let mut child = Command::new("docker-registry")
                .arg("serve")
                .arg(&config)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("docker-registry is missing: apt-get install docker-registry");
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(20) && child.try_wait().unwrap().is_none() {
                if TcpStream::connect(address).is_ok() {
                    return Self {
                        child,
                        address,
                        _storage: storage,
                    };
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        panic!("docker-registry does not come up");
    }

    /// Pushes an image that lies in one of our stores, which skopeo reads as any OCI layout.
    fn push(&self, root: &Path, name: &str, target: &str, format: &str) {
        let pushed = Command::new("skopeo")
            .args([
                "copy",
                "-q",
                "--insecure-policy",
                "--dest-tls-verify=false",
                "--format",
                format,
            ])
            .arg(format!("oci:{}:{name}", root.display()))
            .arg(format!("docker://{}/{target}", self.address))
            .output()
            .expect("skopeo is missing: apt-get install skopeo");
        assert!(
            pushed.status.success(),
            "{}",
            String::from_utf8_lossy(&pushed.stderr)
        );
    }

    fn put_manifest(&self, repository: &str, tag: &str, media_type: &str, body: &str) {
        use std::io::{Read as _, Write as _};
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(
            stream,
            "PUT /v2/{repository}/manifests/{tag} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-type: {media_type}\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }
}

impl Drop for Debian {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn open(root: &Path) -> Store {
    Store::open(root, Arc::new(Direct)).unwrap()
}

fn pull(store: &Store, image: &str, platform: Option<&str>) -> Result<Pulled, PullError> {
    let options = PullOptions {
        platform: platform.map(|platform| platform.parse().unwrap()),
        ..PullOptions::default()
    };
    let reference = image.parse().unwrap();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(
            Registry::builder()
                .build()
                .pull(store, &reference, &options, |_| {}),
        )
}

#[test]
fn images_pushed_by_skopeo_in_both_formats() {
    let registry = Debian::start();
    let ours = tempfile::tempdir().unwrap();
    let sample = Sample::new(&[&[("a", b"first")], &[("dir/b", b"second"), (".wh.a", b"")]]);
    let made = sample.store(&open(ours.path()), &["made:1"]);
    for format in ["oci", "v2s2"] {
        registry.push(ours.path(), "made:1", &format!("x:{format}"), format);
        let root = tempfile::tempdir().unwrap();
        let store = open(root.path());
        let empty = content(root.path());
        let name = format!("{}/x:{format}", registry.address);
        let pulled = pull(&store, &name, None).unwrap();
        let media_type = pulled
            .image
            .manifest
            .media_type()
            .as_ref()
            .unwrap()
            .to_string();
        assert_eq!(media_type.contains("docker"), format == "v2s2");
        let dirs = store.rootfs(&pulled.image).unwrap();
        assert_eq!(tree(&dirs[1]), ["a"]);
        assert_eq!(tree(&dirs[0]), ["a", "dir/", "dir/b"], "a is a whiteout");
        assert_eq!(store.size(&pulled.image).unwrap(), 11);
        if format == "oci" {
            assert_eq!(pulled.image.id, made.id);
        }
        assert!(pull(&store, &name, None).unwrap().up_to_date);
        let pinned = format!("{}/x@{}", registry.address, pulled.digest);
        assert_eq!(
            pull(&store, &pinned, None).unwrap().image.id,
            pulled.image.id
        );
        let inspected = Command::new("skopeo")
            .args(["inspect", &format!("oci:{}:{name}", root.path().display())])
            .output()
            .unwrap();
        assert!(
            inspected.status.success(),
            "{}",
            String::from_utf8_lossy(&inspected.stderr)
        );
        let json: serde_json::Value = serde_json::from_slice(&inspected.stdout).unwrap();
        // Of Docker's manifests other tools see an OCI form.
        let same = json["Digest"] == pulled.digest.to_string();
        assert_eq!(same, format == "oci");
        let original = std::fs::read(store.blob_path(&pulled.digest)).unwrap();
        assert_eq!(container_image::Digest::sha256(original), pulled.digest);
        let copied = root.path().join("copied");
        let copy = Command::new("skopeo")
            .args(["copy", "-q", "--insecure-policy"])
            .arg(format!("oci:{}:{name}", root.path().display()))
            .arg(format!("dir:{}", copied.display()))
            .output()
            .unwrap();
        assert!(
            copy.status.success(),
            "{}",
            String::from_utf8_lossy(&copy.stderr)
        );
        std::fs::remove_dir_all(copied).unwrap();
        store
            .remove(&name, RemoveOptions::default(), &|_| None)
            .unwrap();
        assert_eq!(content(root.path()), empty);
    }
}

#[test]
fn an_index_is_searched_for_the_platform() {
    let registry = Debian::start();
    let ours = tempfile::tempdir().unwrap();
    let image = Sample::new(&[&[("a", b"x")]]).store(&open(ours.path()), &["made:1"]);
    registry.push(ours.path(), "made:1", "x:one", "oci");
    let host = Platform::host();
    let entry = |os: &str, architecture: &str| {
        serde_json::json!({
            "mediaType": sample::OCI,
            "size": std::fs::metadata(open(ours.path()).blob_path(&image.manifest_digest)).unwrap().len(),
            "digest": image.manifest_digest,
            "platform": {"os": os, "architecture": architecture},
        })
    };
    let index = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [entry("linux", "s390x"), entry(host.os(), host.architecture())],
    })
    .to_string();
    registry.put_manifest(
        "x",
        "many",
        "application/vnd.oci.image.index.v1+json",
        &index,
    );
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let name = format!("{}/x:many", registry.address);
    let pulled = pull(&store, &name, None).unwrap();
    assert_eq!(pulled.digest, container_image::Digest::sha256(&index));
    assert_eq!(pulled.image.manifest_digest, image.manifest_digest);
    assert!(pull(&store, &name, None).unwrap().up_to_date);
    let pinned = format!("{}/x@{}", registry.address, pulled.digest);
    assert_eq!(store.find(&pinned).unwrap().id, image.id);
    match pull(&store, &name, Some("linux/mips64le")) {
        Err(PullError::Platform {
            source: PlatformError::Unavailable { offered, .. },
            ..
        }) => {
            assert_eq!(offered.len(), 2);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn encrypted_connections_are_checked() {
    let ours = tempfile::tempdir().unwrap();
    let (server, certificate) = Debian::encrypted(ours.path());
    let made = Sample::new(&[&[("a", b"x")]]).store(&open(&ours.path().join("s")), &["made:1"]);
    server.push(&ours.path().join("s"), "made:1", "x:1", "oci");
    // Loopback is spoken to without encryption, so the server poses as a mirror.
    let pull = |registry: Registry, store: &Store| {
        let reference = "nowhere.invalid/x:1".parse().unwrap();
        let options = PullOptions::default();
        let pull = registry.pull(store, &reference, &options, |_| {});
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(pull)
            .map(|pulled| pulled.image.id)
    };
    let builder = Registry::builder()
        .retries(1, Duration::ZERO)
        .mirror("nowhere.invalid", format!("https://{}", server.address));
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    assert!(pull(builder.clone().build(), &store).is_err());
    let trusting = builder.certificates(certificate).build();
    assert_eq!(pull(trusting, &store).unwrap(), made.id);
}

/// Not a test of its own: the other process of the tests below, which run this very
/// program again and name the store and the image in the environment.
#[test]
fn other_process() {
    let (Ok(root), Ok(image)) = (std::env::var("TEST_STORE"), std::env::var("TEST_IMAGE")) else {
        return;
    };
    let pulled = pull(&open(Path::new(&root)), &image, None).unwrap();
    println!("pulled {}", pulled.image.id);
}

fn other(root: &Path, image: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "other_process", "--nocapture"])
        .env("TEST_STORE", root)
        .env("TEST_IMAGE", image)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn processes_at_once_fetch_each_blob_once() {
    let sample = Sample::large(4 << 20);
    let watched = sample.clone();
    // Slow enough for all to meet.
    let server = Server::start(&sample, move |request, _| {
        if request.is_layer(&watched) {
            std::thread::sleep(Duration::from_millis(500));
        }
        None
    });
    let root = tempfile::tempdir().unwrap();
    let children: Vec<Child> = (0..4)
        .map(|_| other(root.path(), &server.image()))
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(said.contains(&format!("pulled {}", sample.id())), "{said}");
    }
    let fetched = server.log().iter().filter(|r| r.is_layer(&sample)).count();
    assert_eq!(fetched, 1);
    let store = open(root.path());
    let dirs = store.rootfs(&store.find(&server.image()).unwrap()).unwrap();
    assert_eq!(tree(&dirs[0]), ["noise"]);
    assert!(
        content(root.path())
            .iter()
            .all(|name| !name.starts_with("ingest/"))
    );
}

#[test]
fn a_killed_pull_is_continued_by_the_next() {
    let sample = Sample::large(4 << 20);
    let watched = sample.clone();
    let server = Server::start(&sample, move |request, before| {
        (request.is_layer(&watched) && before == 0).then(|| {
            let mut reply = Reply::new(200, watched.layers[0].clone());
            reply.stall = Some(3_000_000);
            reply
        })
    });
    let root = tempfile::tempdir().unwrap();
    let layer = container_image::Digest::sha256(&sample.layers[0]);
    let partial = root
        .path()
        .join("ingest")
        .join(format!("sha256-{}", layer.hex()));
    let mut child = other(root.path(), &server.image());
    let begun = Instant::now();
    while std::fs::metadata(&partial).map_or(0, |m| m.len()) < 3_000_000 {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "the download does not come on"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let store = open(root.path());
    assert!(store.images().unwrap().is_empty());
    let pulled = pull(&store, &server.image(), None).unwrap();
    assert_eq!(pulled.image.id, sample.id());
    let last = server
        .log()
        .into_iter()
        .rfind(|r| r.is_layer(&sample))
        .unwrap();
    assert_eq!(last.header("range"), "bytes=3000000-");
    // The dead process's pin is all that is left of it, until a prune.
    store.prune(false, &|_| None).unwrap();
    assert!(
        content(root.path())
            .iter()
            .all(|name| !name.starts_with("ingest/"))
    );
    let dirs = store.rootfs(&pulled.image).unwrap();
    assert_eq!(tree(&dirs[0]), ["noise"]);
}
