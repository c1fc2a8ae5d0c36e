//! Images to test with, written as OCI layouts by our own few lines, so that nothing under test takes part in it.
//!
//!     target/tmp/images/            kept between runs; each entry written aside and renamed
//!       lock                        held while one is made
//!       busybox-2/                  OCI layout, tag "latest": one gzip layer of Debian's static busybox
//!       debian-1/                   OCI layout, tag "latest": one gzip layer, mmdebstrap's minbase

use super::ran::run;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use tar::{EntryType, Header};

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\n\
    www-data:x:33:33:www-data:/var/www:/bin/false\nnobody:x:65534:65534:nobody:/home:/bin/false\n";
const GROUP: &[u8] =
    b"root:x:0:\ndaemon:x:1:\nstaff:x:50:www-data\nwww-data:x:33:\nnogroup:x:65534:\n";

/// An image in an OCI layout directory.
#[derive(Clone)]
pub(crate) struct Layout {
    pub(crate) dir: PathBuf,
    pub(crate) tag: String,
}

impl Layout {
    /// As skopeo names it.
    pub(crate) fn skopeo(&self) -> String {
        format!("oci:{}:{}", self.dir.display(), self.tag)
    }

    /// The file of a blob (`sha256:…`).
    pub(crate) fn blob(&self, digest: &str) -> PathBuf {
        self.dir.join("blobs").join(digest.replace(':', "/"))
    }

    /// The digest of its manifest.
    pub(crate) fn digest(&self) -> String {
        let index = json_file(&self.dir.join("index.json"));
        let manifests = index["manifests"]
            .as_array()
            .expect("an index has manifests");
        let named =
            |m: &&Value| m["annotations"]["org.opencontainers.image.ref.name"] == self.tag.as_str();
        let manifest = manifests
            .iter()
            .find(named)
            .expect("the layout has the tag");
        manifest["digest"]
            .as_str()
            .expect("a descriptor has a digest")
            .to_owned()
    }

    pub(crate) fn manifest(&self) -> Value {
        json_file(&self.blob(&self.digest()))
    }

    /// The digest of its config: the image's id.
    pub(crate) fn id(&self) -> String {
        self.manifest()["config"]["digest"]
            .as_str()
            .expect("a manifest has a config")
            .to_owned()
    }
}

fn json_file(path: &Path) -> Value {
    let bytes = fs::read(path).unwrap_or_else(|e| panic!("read {}: {e}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("parse {}: {e}", path.display()))
}

/// The tar of one layer, entry by entry; owned by root unless said otherwise.
pub(crate) struct Layer {
    tar: tar::Builder<Vec<u8>>,
    owner: (u64, u64),
}

impl Layer {
    pub(crate) fn new() -> Layer {
        Layer {
            tar: tar::Builder::new(Vec::new()),
            owner: (0, 0),
        }
    }

    /// The owner of the entries that follow.
    pub(crate) fn owned_by(mut self, uid: u64, gid: u64) -> Layer {
        self.owner = (uid, gid);
        self
    }

    pub(crate) fn dir(self, path: &str, mode: u32) -> Layer {
        self.entry(EntryType::Directory, path, mode, None, b"")
    }

    pub(crate) fn file(self, path: &str, mode: u32, content: &[u8]) -> Layer {
        self.entry(EntryType::Regular, path, mode, None, content)
    }

    pub(crate) fn symlink(self, path: &str, target: &str) -> Layer {
        self.entry(EntryType::Symlink, path, 0o777, Some(target), b"")
    }

    pub(crate) fn hard_link(self, path: &str, target: &str) -> Layer {
        self.entry(EntryType::Link, path, 0o644, Some(target), b"")
    }

    /// Removes what lower layers have at `path`.
    pub(crate) fn whiteout(self, path: &str) -> Layer {
        let (dir, name) = path.rsplit_once('/').unwrap_or((".", path));
        let hidden = format!("{dir}/.wh.{name}");
        self.file(&hidden, 0o644, b"")
    }

    fn entry(
        mut self,
        kind: EntryType,
        path: &str,
        mode: u32,
        link: Option<&str>,
        content: &[u8],
    ) -> Layer {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(self.owner.0);
        header.set_gid(self.owner.1);
        // The same bytes every time: images of the tests have stable digests.
        header.set_mtime(1_700_000_000);
        header.set_size(content.len() as u64);
        match link {
            Some(target) => self.tar.append_link(&mut header, path, target),
            None => self.tar.append_data(&mut header, path, content),
        }
        .unwrap_or_else(|e| panic!("put {path} in a layer: {e}"));
        self
    }

    fn bytes(self) -> Vec<u8> {
        self.tar.into_inner().expect("a tar in memory")
    }

    /// The root file system of Debian's static busybox, with a few users and the directories programs expect.
    pub(crate) fn busybox() -> Layer {
        Layer::busybox_without(&[])
    }

    /// The libraries that a program of this machine needs, where it looks for them.
    pub(crate) fn libraries_of(mut self, program: &Path) -> Layer {
        let list = run(Command::new("ldd").arg(program)).ok();
        let paths = list
            .stdout
            .split_whitespace()
            .filter(|word| word.starts_with('/'));
        for path in paths {
            let mut parents: Vec<&Path> = Path::new(path).ancestors().skip(1).collect();
            parents.reverse();
            for parent in parents
                .iter()
                .filter_map(|dir| dir.strip_prefix("/").ok())
                .filter(|dir| *dir != Path::new(""))
            {
                self = self.dir(&parent.to_string_lossy(), 0o755);
            }
            let content = fs::read(path).unwrap_or_else(|e| panic!("read {path}: {e}"));
            self = self.file(path.trim_start_matches('/'), 0o755, &content);
        }
        self
    }

    /// [`Layer::busybox`] without some of its top directories, for a test to put something else in their place.
    pub(crate) fn busybox_without(left_out: &[&str]) -> Layer {
        let program = ["/usr/bin/busybox", "/bin/busybox"]
            .into_iter()
            .find(|path| Path::new(path).exists())
            .expect("busybox is installed (tests/run installs it)");
        let list = run(Command::new(program).arg("--list-full")).ok();
        let mut layer = Layer::new();
        let directories = [
            "bin", "sbin", "usr", "usr/bin", "usr/sbin", "dev", "proc", "sys", "run", "home",
            "mnt", "var", "var/www",
        ];
        for dir in directories.iter().filter(|dir| !left_out.contains(dir)) {
            layer = layer.dir(dir, 0o755);
        }
        if !left_out.contains(&"etc") {
            layer = layer
                .dir("etc", 0o755)
                .file("etc/passwd", 0o644, PASSWD)
                .file("etc/group", 0o644, GROUP);
        }
        layer = layer.dir("root", 0o700).dir("tmp", 0o1777).file(
            "bin/busybox",
            0o755,
            &fs::read(program).expect("read busybox"),
        );
        // Its own list has directories that we made above and programs of those only.
        for applet in list
            .stdout
            .lines()
            .filter(|line| *line != "bin/busybox" && line.contains('/'))
        {
            layer = layer.symlink(applet, "/bin/busybox");
        }
        layer
    }
}

enum Content {
    Made(Layer),
    /// A tar file: too big to hold.
    File(PathBuf),
    /// These very bytes, whatever they are: for malformed images.
    Raw(Vec<u8>),
}

/// How to make an image: its layers and its config.
pub(crate) struct Recipe {
    layers: Vec<Content>,
    gzip: bool,
    architecture: String,
    config: Value,
}

impl Recipe {
    pub(crate) fn new() -> Recipe {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Recipe {
            layers: Vec::new(),
            gzip: true,
            architecture: architecture.to_owned(),
            config: json!({"Env": [PATH], "Cmd": ["sh"]}),
        }
    }

    pub(crate) fn layer(mut self, layer: Layer) -> Recipe {
        self.layers.push(Content::Made(layer));
        self
    }

    /// A layer of these bytes as they are; they are not made into a tar.
    pub(crate) fn raw_layer(mut self, bytes: &[u8]) -> Recipe {
        self.layers.push(Content::Raw(bytes.to_vec()));
        self
    }

    fn tar_file(mut self, path: &Path) -> Recipe {
        self.layers.push(Content::File(path.to_owned()));
        self
    }

    /// Layers as plain tars.
    pub(crate) fn uncompressed(mut self) -> Recipe {
        self.gzip = false;
        self
    }

    /// One member of the config: `Cmd`, `Entrypoint`, `User`, `WorkingDir`, `Env`, …
    pub(crate) fn config(mut self, name: &str, value: Value) -> Recipe {
        self.config[name] = value;
        self
    }

    pub(crate) fn architecture(mut self, name: &str) -> Recipe {
        name.clone_into(&mut self.architecture);
        self
    }

    /// Writes it as the only image of an OCI layout in `dir`, with the tag `latest`.
    pub(crate) fn write(self, dir: &Path) -> Layout {
        fs::create_dir_all(dir.join("blobs/sha256")).expect("a layout's directories");
        let (mut layers, mut diff_ids) = (Vec::new(), Vec::new());
        for content in self.layers {
            let (descriptor, diff_id) = match content {
                Content::Made(layer) => write_layer(dir, &mut layer.bytes().as_slice(), self.gzip),
                Content::Raw(bytes) => write_layer(dir, &mut bytes.as_slice(), self.gzip),
                Content::File(path) => {
                    write_layer(dir, &mut File::open(path).expect("open the tar"), self.gzip)
                }
            };
            layers.push(descriptor);
            diff_ids.push(diff_id);
        }
        let history: Vec<Value> = diff_ids
            .iter()
            .map(|_| json!({"created": "2023-11-14T22:13:20Z", "created_by": "test"}))
            .collect();
        let config = write_json(
            dir,
            "application/vnd.oci.image.config.v1+json",
            &json!({
                "architecture": self.architecture, "os": "linux", "created": "2023-11-14T22:13:20Z",
                "config": self.config, "rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": history,
            }),
        );
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let mut manifest = write_json(
            dir,
            media_type,
            &json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers}),
        );
        manifest["annotations"] = json!({"org.opencontainers.image.ref.name": "latest"});
        fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
            .expect("write oci-layout");
        fs::write(
            dir.join("index.json"),
            json!({"schemaVersion": 2, "manifests": [manifest]}).to_string(),
        )
        .expect("write index.json");
        Layout {
            dir: dir.to_owned(),
            tag: "latest".to_owned(),
        }
    }
}

fn write_json(dir: &Path, media_type: &str, value: &Value) -> Value {
    let bytes = value.to_string().into_bytes();
    let digest = hex(Sha256::digest(&bytes).as_slice());
    fs::write(dir.join("blobs/sha256").join(&digest), &bytes).expect("write a blob");
    json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len()})
}

/// Streams a tar into the layout; the descriptor of the blob and the digest of the tar itself.
fn write_layer(dir: &Path, tar: &mut dyn Read, gzip: bool) -> (Value, String) {
    let aside = tempfile::NamedTempFile::new_in(dir).expect("a file for a layer");
    let blob = Hashed {
        inner: aside,
        hash: Sha256::new(),
        size: 0,
    };
    let (blob, diff_id, media_type) = if gzip {
        let mut plain = Hashed {
            inner: GzEncoder::new(blob, Compression::fast()),
            hash: Sha256::new(),
            size: 0,
        };
        io::copy(tar, &mut plain).expect("write a layer");
        let blob = plain.inner.finish().expect("end a layer");
        (
            blob,
            hex(plain.hash.finalize().as_slice()),
            "application/vnd.oci.image.layer.v1.tar+gzip",
        )
    } else {
        let mut blob = blob;
        io::copy(tar, &mut blob).expect("write a layer");
        let diff_id = hex(blob.hash.clone().finalize().as_slice());
        (blob, diff_id, "application/vnd.oci.image.layer.v1.tar")
    };
    let digest = hex(blob.hash.finalize().as_slice());
    blob.inner
        .persist(dir.join("blobs/sha256").join(&digest))
        .expect("name a layer by its digest");
    let descriptor =
        json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": blob.size});
    (descriptor, format!("sha256:{diff_id}"))
}

struct Hashed<W> {
    inner: W,
    hash: Sha256,
    size: u64,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Debian's static busybox.
pub(crate) fn busybox() -> Layout {
    kept("busybox-2", |dir| {
        Recipe::new().layer(Layer::busybox()).write(dir);
    })
}

/// A Debian root file system of the release this machine's apt knows. A quarter of a minute the first time.
pub(crate) fn debian() -> Layout {
    kept("debian-1", |dir| bootstrap(&[], dir, "bash"))
}

/// The same with Debian's Redis.
pub(crate) fn redis() -> Layout {
    kept("redis-1", |dir| {
        bootstrap(&["--include=redis-server"], dir, "redis-server");
    })
}

/// Debian's packages, unpacked and set up, as an image.
fn bootstrap(more: &[&str], dir: &Path, program: &str) {
    let tar = tempfile::Builder::new()
        .prefix("debian-")
        .suffix(".tar")
        .tempfile_in(cache())
        .expect("a file for a tar");
    let (suite, sources) = apt_sources();
    run(Command::new("mmdebstrap")
        .args([
            "--quiet",
            "--variant=minbase",
            "--mode=auto",
            "--format=tar",
        ])
        .args(more)
        // A mirror frozen in time is still a mirror.
        .args([
            "--aptopt=Acquire::Check-Valid-Until \"false\"",
            "--aptopt=Acquire::Check-Date \"false\"",
        ])
        .args(["--dpkgopt=force-unsafe-io", &suite])
        .arg(tar.path())
        .args(sources))
    .ok();
    Recipe::new()
        .tar_file(tar.path())
        .config("Cmd", json!([program]))
        .write(dir);
}

/// The release and where this machine gets it from; mmdebstrap's own default where there is no apt.
fn apt_sources() -> (String, Vec<String>) {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |name: &str| {
        release
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(|value| value.trim_matches('"').to_owned())
    };
    let suite = match (field("ID="), field("VERSION_CODENAME=")) {
        (Some(id), Some(codename)) if id == "debian" => codename,
        _ => return ("stable".to_owned(), Vec::new()),
    };
    let listed = run(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "deb $(REPO_URI) $(CODENAME) $(COMPONENT)",
        "Created-By: Packages",
    ]))
    .ok();
    let wanted = format!(" {suite} main");
    let mut sources: Vec<String> = listed
        .stdout
        .lines()
        .filter(|line| line.ends_with(&wanted))
        .map(str::to_owned)
        .collect();
    sources.sort();
    sources.dedup();
    (suite, sources)
}

fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("images")
}

/// The kept image of that name, made first where there is none yet; one process and thread at a time makes it.
/// The name's number grows when the recipe changes, so that no old image is taken for the new one.
fn kept(name: &str, make: impl FnOnce(&Path)) -> Layout {
    fs::create_dir_all(cache()).expect("the directory of kept images");
    let layout = Layout {
        dir: cache().join(name),
        tag: "latest".to_owned(),
    };
    let lock = File::create(cache().join("lock")).expect("the lock of the kept images");
    lock.lock().expect("lock the kept images");
    if !layout.dir.exists() {
        let aside = tempfile::Builder::new()
            .prefix("aside-")
            .tempdir_in(cache())
            .expect("a directory aside");
        let made = aside.path().join(name);
        make(&made);
        fs::rename(&made, &layout.dir).expect("give a kept image its name");
    }
    layout
}
