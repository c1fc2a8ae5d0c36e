//! Debian's `docker-registry`, one a test, on a loopback port that the kernel chose.

use super::images::Layout;
use super::ran::run;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A running registry; ended and deleted when dropped.
///
///     <dir>/
///       config.yml
///       data/docker/registry/v2/…    the registry's own layout: blobs and repositories
///
/// Start it on the test's own thread: the process dies with that thread, so that not even `kill -9` of the tests
/// leaves one behind.
pub(crate) struct Registry {
    process: Child,
    address: String,
    dir: TempDir,
}

impl Registry {
    pub(crate) fn start() -> Registry {
        Registry::start_with("")
    }

    /// Starts one with more lines in its configuration, such as `auth:`.
    pub(crate) fn start_with(more: &str) -> Registry {
        let dir = tempfile::Builder::new()
            .prefix("md-registry-")
            .tempdir()
            .expect("directory for a registry");
        let config = dir.path().join("config.yml");
        let data = dir.path().join("data");
        std::fs::write(
            &config,
            format!(
                "version: 0.1\n\
                 log: {{level: info, formatter: json, accesslog: {{disabled: true}}}}\n\
                 storage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n\
                 http: {{addr: \"127.0.0.1:0\", secret: test}}\n{more}\n",
                data.display()
            ),
        )
        .expect("write the registry's configuration");
        // Fedora calls it `registry`.
        let program = ["/usr/bin/docker-registry", "/usr/bin/registry"]
            .into_iter()
            .find(|path| Path::new(path).exists())
            .expect("docker-registry is installed (tests/run installs it)");
        let mut process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", program, "serve"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start docker-registry");
        let log = BufReader::new(process.stderr.take().expect("its standard error is piped"));
        let mut said = String::new();
        let mut lines = log.lines().map_while(Result::ok);
        let address = loop {
            let Some(line) = lines.next() else {
                let _ = process.wait();
                panic!("docker-registry ended before it listened:\n{said}");
            };
            if let Some((_, rest)) = line.split_once("listening on ") {
                break rest
                    .split(['"', ' ', ','])
                    .next()
                    .unwrap_or(rest)
                    .to_owned();
            }
            said.push_str(&line);
            said.push('\n');
        };
        // Its log has to be read on, or it blocks when the pipe is full. Ends with the process.
        std::thread::spawn(move || lines.for_each(drop));
        Registry {
            process,
            address,
            dir,
        }
    }

    /// `127.0.0.1:PORT`, the first part of a reference.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The reference that `name` (`repository:tag`) has in this registry.
    pub(crate) fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// Pushes an image with skopeo and returns its reference here.
    pub(crate) fn push(&self, image: &Layout, name: &str) -> String {
        self.push_with(image, name, &[])
    }

    /// Pushes with more arguments to `skopeo copy`, such as `--format v2s2` or `--dest-compress-format zstd`.
    pub(crate) fn push_with(&self, image: &Layout, name: &str, arguments: &[&str]) -> String {
        let reference = self.reference(name);
        run(Command::new("skopeo")
            .args([
                "--insecure-policy",
                "copy",
                "--quiet",
                "--dest-tls-verify=false",
            ])
            .args(arguments)
            .arg(image.skopeo())
            .arg(format!("docker://{reference}")))
        .ok();
        reference
    }

    /// The file that holds a blob (`sha256:…`) here, for a test to damage.
    pub(crate) fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").expect("a sha256 digest");
        self.dir
            .path()
            .join("data/docker/registry/v2/blobs/sha256")
            .join(&hex[..2])
            .join(hex)
            .join("data")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It holds nothing that a SIGTERM would save.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
