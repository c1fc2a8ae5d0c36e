//! Who one is with a registry: given, or found in the files that `docker login` and
//! `podman login` write.
//!
//! ```text
//! ~/.docker/config.json, $XDG_RUNTIME_DIR/containers/auth.json     (the caller says where)
//!   {"auths": {"<host>[/<path>]": {"auth": "<base64 of user:password>", "identitytoken": "…"}},
//!    "credHelpers": {"<host>": "<name>"}, "credsStore": "<name>"}
//! docker-credential-<name> get      host on stdin, {"Username": "…", "Secret": "…"} on stdout
//! ```

use std::collections::HashMap;
use std::fmt;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::Deserialize;

use super::error::CredentialsError;

/// Largest file, and longest answer of a helper, in bytes.
const LIMIT: u64 = 1 << 20;
/// The name under which Docker keeps the login of Docker Hub.
const HUB: &str = "https://index.docker.io/v1/";

/// How to present oneself to a registry.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Credentials {
    /// As nobody.
    #[default]
    Anonymous,
    /// With a name and a password.
    Basic {
        /// The user.
        username: String,
        /// The password, or a personal access token.
        password: String,
    },
    /// With a refresh token that the registry's token server gave at login (OAuth 2).
    IdentityToken(String),
    /// With a ready token, which is sent as it is.
    Bearer(String),
}

impl fmt::Debug for Credentials {
    /// Shows no secret: these end in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Basic { .. } => "Basic(…)",
            Self::IdentityToken(_) => "IdentityToken(…)",
            Self::Bearer(_) => "Bearer(…)",
        })
    }
}

/// Where to look for credentials. Nothing is looked up that is not named here.
#[derive(Debug, Clone, Default)]
pub struct CredentialFiles {
    /// The files, the most important first. One that is missing is skipped.
    pub files: Vec<PathBuf>,
    /// The directories in which `docker-credential-*` programs are looked for: those of PATH.
    pub helper_directories: Vec<PathBuf>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Document {
    auths: HashMap<String, Entry>,
    creds_store: Option<String>,
    cred_helpers: HashMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
    registrytoken: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

impl CredentialFiles {
    /// The credentials for a repository: of the first file that has any.
    ///
    /// # Errors
    /// [`CredentialsError`]: a login that is there but broken is not passed over.
    pub fn find(&self, registry: &str, repository: &str) -> Result<Credentials, CredentialsError> {
        for path in &self.files {
            let Some(document) = read(path)? else {
                continue;
            };
            let helper = keys(registry, "")
                .iter()
                .find_map(|key| document.cred_helpers.get(key));
            if let Some(name) = helper
                && let Some(found) = self.ask(name, registry, path)?
            {
                return Ok(found);
            }
            if let Some(found) = listed(&document, registry, repository, path)? {
                return Ok(found);
            }
            if let Some(name) = &document.creds_store
                && let Some(found) = self.ask(name, registry, path)?
            {
                return Ok(found);
            }
        }
        Ok(Credentials::Anonymous)
    }

    fn ask(
        &self,
        name: &str,
        registry: &str,
        file: &Path,
    ) -> Result<Option<Credentials>, CredentialsError> {
        let program = format!("docker-credential-{name}");
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if !name.bytes().all(plain) {
            return Err(CredentialsError::Malformed {
                path: file.to_owned(),
                reason: format!("{name:?} cannot be the name of a credential helper"),
            });
        }
        let start = |source| CredentialsError::Start {
            program: program.clone(),
            path: file.to_owned(),
            source,
        };
        let path = self
            .helper_directories
            .iter()
            .map(|directory| directory.join(&program))
            .find(|path| path.is_file())
            .ok_or_else(|| start(ErrorKind::NotFound.into()))?;
        let server = if registry == crate::reference::DEFAULT_REGISTRY {
            HUB
        } else {
            registry
        };
        let failed = |reason: String| CredentialsError::Helper {
            program: program.clone(),
            reason,
        };
        let (stdout, success) = run(&path, server).map_err(start)?;
        if !success {
            let said = String::from_utf8_lossy(&stdout).trim().to_owned();
            if said.contains("credentials not found") {
                return Ok(None);
            }
            return Err(failed(said.chars().take(500).collect()));
        }
        // What it printed is secret: of an error only the kind is told.
        let answer: Answer = serde_json::from_slice(&stdout).map_err(|error| {
            failed(format!(
                "its answer is not understood ({:?})",
                error.classify()
            ))
        })?;
        Ok(Some(if answer.username == "<token>" {
            Credentials::IdentityToken(answer.secret)
        } else {
            Credentials::Basic {
                username: answer.username,
                password: answer.secret,
            }
        }))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one program that a pull starts: without a fork of ours, as there is no pre_exec"
)]
fn run(program: &Path, server: &str) -> std::io::Result<(Vec<u8>, bool)> {
    let mut child = std::process::Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read its input says why by its exit code.
        let _ = writeln!(stdin, "{server}");
    }
    let mut answer = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(LIMIT).read_to_end(&mut answer)?;
    }
    Ok((answer, child.wait()?.success()))
}

fn read(path: &Path) -> Result<Option<Document>, CredentialsError> {
    let failed = |source| CredentialsError::Read {
        path: path.to_owned(),
        source,
    };
    let file = match std::fs::File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed)?,
    };
    let mut bytes = Vec::new();
    file.take(LIMIT).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    match serde_json::from_slice(&bytes) {
        Ok(document) => Ok(Some(document)),
        // Not the error itself, which may quote a secret.
        Err(error) => Err(CredentialsError::Malformed {
            path: path.to_owned(),
            reason: format!("line {}, column {}", error.line(), error.column()),
        }),
    }
}

/// The most specific entry of `auths`: Podman keeps logins for parts of a registry.
fn listed(
    document: &Document,
    registry: &str,
    repository: &str,
    path: &Path,
) -> Result<Option<Credentials>, CredentialsError> {
    for key in keys(registry, repository) {
        let entry = document
            .auths
            .iter()
            .find(|(name, _)| normalized(name) == key)
            .map(|(_, entry)| entry);
        let Some(entry) = entry else { continue };
        if !entry.registrytoken.is_empty() {
            return Ok(Some(Credentials::Bearer(entry.registrytoken.clone())));
        }
        if !entry.identitytoken.is_empty() {
            return Ok(Some(Credentials::IdentityToken(
                entry.identitytoken.clone(),
            )));
        }
        if !entry.username.is_empty() {
            return Ok(Some(Credentials::Basic {
                username: entry.username.clone(),
                password: entry.password.clone(),
            }));
        }
        if !entry.auth.is_empty() {
            let pair = decode(&entry.auth).ok_or_else(|| CredentialsError::Malformed {
                path: path.to_owned(),
                reason: format!("the entry of {key} is not base64 of user:password"),
            })?;
            return Ok(Some(Credentials::Basic {
                username: pair.0,
                password: pair.1,
            }));
        }
    }
    Ok(None)
}

fn decode(auth: &str) -> Option<(String, String)> {
    let bytes = STANDARD
        .decode(auth.trim())
        .or_else(|_| STANDARD_NO_PAD.decode(auth.trim()))
        .ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (username, password) = text.split_once(':')?;
    Some((
        username.to_owned(),
        password.trim_end_matches('\0').to_owned(),
    ))
}

/// The keys under which a login may be kept, the most specific first.
fn keys(registry: &str, repository: &str) -> Vec<String> {
    let hosts: &[&str] = if registry == crate::reference::DEFAULT_REGISTRY {
        &["docker.io", "index.docker.io", "registry-1.docker.io"]
    } else {
        &[registry]
    };
    let mut keys = Vec::new();
    let mut path = repository;
    while !path.is_empty() {
        keys.extend(hosts.iter().map(|host| format!("{host}/{path}")));
        path = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    }
    keys.extend(hosts.iter().map(|host| (*host).to_owned()));
    keys
}

/// A key without what older versions of Docker wrote around the host.
fn normalized(key: &str) -> &str {
    let key = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"))
        .unwrap_or(key)
        .trim_end_matches('/');
    key.strip_suffix("/v1")
        .or_else(|| key.strip_suffix("/v2"))
        .unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn find(json: &str, registry: &str, repository: &str) -> Credentials {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        std::fs::write(&path, json).unwrap();
        let files = CredentialFiles {
            files: vec![directory.path().join("missing.json"), path],
            helper_directories: Vec::new(),
        };
        files.find(registry, repository).unwrap()
    }

    fn basic(username: &str, password: &str) -> Credentials {
        Credentials::Basic {
            username: username.into(),
            password: password.into(),
        }
    }

    #[test]
    fn logins_of_docker_and_podman_are_found() {
        // "YTpi" is a:b, "Yzpk" is c:d.
        let json = r#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "YTpi"},
            "quay.io": {"auth": "YTpi"},
            "quay.io/team": {"auth": "Yzpk"},
            "https://h:5000/v2/": {"username": "e", "password": "f:g"},
            "t.io": {"auth": "YTpi", "identitytoken": "refresh"},
            "empty.io": {}}}"#;
        assert_eq!(find(json, "docker.io", "library/x"), basic("a", "b"));
        assert_eq!(find(json, "quay.io", "other/x"), basic("a", "b"));
        assert_eq!(find(json, "quay.io", "team/x"), basic("c", "d"));
        assert_eq!(find(json, "h:5000", "x"), basic("e", "f:g"));
        assert_eq!(
            find(json, "t.io", "x"),
            Credentials::IdentityToken("refresh".into())
        );
        assert_eq!(find(json, "empty.io", "x"), Credentials::Anonymous);
        assert_eq!(find(json, "h", "x"), Credentials::Anonymous);
    }

    #[test]
    fn helpers_are_asked() {
        let directory = tempfile::tempdir().unwrap();
        let helper = directory.path().join("docker-credential-test");
        let script = "#!/bin/sh\nread host\ncase $host in\n\
            known.io) echo '{\"ServerURL\":\"x\",\"Username\":\"u\",\"Secret\":\"s\"}';;\n\
            token.io) echo '{\"Username\":\"<token>\",\"Secret\":\"s\"}';;\n\
            broken.io) echo nonsense;;\n\
            *) echo credentials not found in native keychain; exit 1;;\nesac\n";
        std::fs::write(&helper, script).unwrap();
        std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
        let config = directory.path().join("config.json");
        let find = |json: &str, registry| {
            std::fs::write(&config, json).unwrap();
            let files = CredentialFiles {
                files: vec![config.clone()],
                helper_directories: vec!["/nonexistent".into(), directory.path().into()],
            };
            files.find(registry, "x")
        };
        let store = r#"{"credsStore": "test"}"#;
        assert_eq!(find(store, "known.io").unwrap(), basic("u", "s"));
        assert_eq!(
            find(store, "token.io").unwrap(),
            Credentials::IdentityToken("s".into())
        );
        assert_eq!(find(store, "other.io").unwrap(), Credentials::Anonymous);
        assert!(matches!(
            find(store, "broken.io"),
            Err(CredentialsError::Helper { .. })
        ));
        let one = r#"{"credHelpers": {"known.io": "test"}}"#;
        assert_eq!(find(one, "known.io").unwrap(), basic("u", "s"));
        assert_eq!(find(one, "token.io").unwrap(), Credentials::Anonymous);
        let missing = find(r#"{"credsStore": "absent"}"#, "x.io");
        assert!(matches!(missing, Err(CredentialsError::Start { .. })));
        let outside = find(r#"{"credsStore": "../../bin/sh"}"#, "x.io");
        assert!(matches!(outside, Err(CredentialsError::Malformed { .. })));
    }

    #[test]
    fn a_broken_file_is_named_and_no_secret_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("auth.json");
        let files = CredentialFiles {
            files: vec![path.clone()],
            helper_directories: Vec::new(),
        };
        for json in [
            r#"{"auths": {"h": "s3cret"}}"#,
            r#"{"auths": {"h": {"auth": "s3cret!"}}}"#,
        ] {
            std::fs::write(&path, json).unwrap();
            let error = files.find("h", "x").unwrap_err().to_string();
            assert!(
                error.contains("auth.json") && !error.contains("s3cret"),
                "{error}"
            );
        }
        assert!(!format!("{:?}", basic("u", "s3cret")).contains("s3cret"));
    }
}
