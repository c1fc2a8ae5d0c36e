//! Names of images, as Docker's users write them.
//!
//! `alpine` means `docker.io/library/alpine:latest`. A [`Reference`] holds the whole
//! name; [`Reference::familiar`] gives the short one back. The grammar is that of
//! the distribution project (distribution/reference, `regexp.go` and `normalize.go`):
//! what Docker accepts is accepted, what it refuses is refused.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, DigestError};

/// The registry of a name that mentions none.
pub const DEFAULT_REGISTRY: &str = "docker.io";
/// The tag of a name that has neither tag nor digest.
pub const DEFAULT_TAG: &str = "latest";
/// Where Docker's own images live: `alpine` is `library/alpine`.
const OFFICIAL: &str = "library/";
/// Longest repository (without the registry), in bytes.
const REPOSITORY_LIMIT: usize = 255;
/// Longest tag, in bytes.
const TAG_LIMIT: usize = 128;

/// Why a string names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// The string follows no form of `[registry/]repository[:tag][@digest]`.
    #[error("invalid reference format: {input:?}: expected [registry/]repository[:tag][@digest]")]
    Format {
        /// The string as given, cut to a length that is fit to print.
        input: String,
    },
    /// The repository has upper-case letters, which no registry accepts.
    #[error("invalid reference format: repository name ({repository}) must be lowercase")]
    Uppercase {
        /// The repository part.
        repository: String,
    },
    /// The tag has a character that tags may not have, starts with `.` or `-`, or is too long.
    #[error(
        "invalid reference format: {tag:?} is not a tag: up to 128 letters, digits, '_', '.' and '-', not starting with '.' or '-'"
    )]
    Tag {
        /// The tag as given, cut to a length that is fit to print.
        tag: String,
    },
    /// The repository is longer than a registry takes.
    #[error(
        "invalid reference format: repository name must not be more than {REPOSITORY_LIMIT} characters"
    )]
    TooLong,
    /// The name is the full hexadecimal id of an image and could be mistaken for one.
    #[error(
        "invalid repository name ({name}), cannot specify 64-byte hexadecimal strings: write sha256:<id> for an image id"
    )]
    LooksLikeId {
        /// The name as given.
        name: String,
    },
    /// What follows the `@` is no digest.
    #[error("invalid reference format: {0}")]
    Digest(#[from] DigestError),
}

/// The full name of an image: registry, repository, and a tag, a digest, or both.
///
/// `Display` gives the canonical form, and parsing that gives the same `Reference`.
///
/// ```
/// use container_image::reference::Reference;
///
/// let name: Reference = "alpine".parse()?;
/// assert_eq!(name.to_string(), "docker.io/library/alpine:latest");
/// assert_eq!(name.familiar(), "alpine:latest");
///
/// let name: Reference = "localhost:5000/team/app:1.2".parse()?;
/// assert_eq!(name.registry(), "localhost:5000");
/// assert_eq!(name.repository(), "team/app");
/// assert_eq!(name.tag(), Some("1.2"));
/// # Ok::<(), container_image::reference::ReferenceError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    registry: Box<str>,
    repository: Box<str>,
    tag: Option<Box<str>>,
    digest: Option<Digest>,
}

impl Reference {
    /// The registry's host, with the port if one was given: `docker.io`, `localhost:5000`, `[::1]:5000`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository within the registry: `library/alpine`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; absent only when there is a digest.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest of the manifest or index that is meant, if the name pins one.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The short name that Docker shows: without `docker.io/` and `library/`.
    pub fn familiar(&self) -> String {
        let mut name = self.familiar_repository();
        self.push_suffix(&mut name);
        name
    }

    /// The short name without tag and digest: the column REPOSITORY of `docker images`.
    pub fn familiar_repository(&self) -> String {
        if &*self.registry != DEFAULT_REGISTRY {
            return format!("{}/{}", self.registry, self.repository);
        }
        match self.repository.strip_prefix(OFFICIAL) {
            Some(name) if !name.contains('/') => name.to_owned(),
            _ => self.repository.to_string(),
        }
    }

    /// The same repository under `tag`, without a digest.
    ///
    /// # Errors
    /// [`ReferenceError::Tag`] if `tag` is not a tag.
    pub fn with_tag(&self, tag: &str) -> Result<Self, ReferenceError> {
        check_tag(tag)?;
        Ok(Self {
            registry: self.registry.clone(),
            repository: self.repository.clone(),
            tag: Some(tag.into()),
            digest: None,
        })
    }

    /// The same repository pinned to `digest`, without a tag: what Docker calls a repo digest.
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self {
            registry: self.registry.clone(),
            repository: self.repository.clone(),
            tag: None,
            digest: Some(digest),
        }
    }

    fn push_suffix(&self, name: &mut String) {
        if let Some(tag) = &self.tag {
            name.push(':');
            name.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            name.push('@');
            name.push_str(digest.as_str());
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut name = format!("{}/{}", self.registry, self.repository);
        self.push_suffix(&mut name);
        f.pad(&name)
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(input: &str) -> Result<Self, ReferenceError> {
        if is_image_id(input) {
            return Err(ReferenceError::LooksLikeId { name: input.into() });
        }
        let format = || ReferenceError::Format {
            input: input.chars().take(300).collect(),
        };
        let (rest, digest) = match input.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (input, None),
        };
        let (registry, rest) = split_registry(rest);
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        if !is_registry(registry) {
            return Err(format());
        }
        if path.bytes().any(|b| b.is_ascii_uppercase()) && is_repository(&path.to_ascii_lowercase())
        {
            return Err(ReferenceError::Uppercase {
                repository: path.chars().take(REPOSITORY_LIMIT).collect(),
            });
        }
        if !is_repository(path) {
            return Err(format());
        }
        let official = registry == DEFAULT_REGISTRY && !path.contains('/');
        let repository = if official {
            format!("{OFFICIAL}{path}")
        } else {
            path.to_owned()
        };
        if repository.len() > REPOSITORY_LIMIT {
            return Err(ReferenceError::TooLong);
        }
        if let Some(tag) = tag {
            check_tag(tag)?;
        }
        let tag = match (tag, &digest) {
            (None, None) => Some(DEFAULT_TAG),
            (tag, _) => tag,
        };
        Ok(Self {
            registry: registry.into(),
            repository: repository.into(),
            tag: tag.map(Into::into),
            digest,
        })
    }
}

impl TryFrom<String> for Reference {
    type Error = ReferenceError;

    fn try_from(input: String) -> Result<Self, ReferenceError> {
        input.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

/// The registry is what stands before the first slash, if it can be told from the
/// first part of a repository: by a dot, a colon or upper case, or by being `localhost`.
fn split_registry(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((first, rest))
            if first == "localhost"
                || first.contains(['.', ':'])
                || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            // The host that served Docker Hub before it was called docker.io.
            let registry = if first == "index.docker.io" {
                DEFAULT_REGISTRY
            } else {
                first
            };
            (registry, rest)
        }
        _ => (DEFAULT_REGISTRY, name),
    }
}

/// `host[:port]` or `[ipv6][:port]`.
fn is_registry(name: &str) -> bool {
    let (host, port) = match name.strip_prefix('[').and_then(|n| n.split_once(']')) {
        Some((host, rest)) => {
            if host.is_empty() || !host.bytes().all(|b| b.is_ascii_hexdigit() || b == b':') {
                return false;
            }
            match rest.strip_prefix(':') {
                Some(port) => ("ipv6", Some(port)),
                None if rest.is_empty() => ("ipv6", None),
                None => return false,
            }
        }
        None => match name.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (name, None),
        },
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    host.split('.').all(label)
        && port.is_none_or(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))
}

/// Components of `[a-z0-9]+` runs joined by `.`, `_`, `__` or dashes, separated by slashes.
fn is_repository(path: &str) -> bool {
    path.split('/').all(|component| {
        let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let mut runs = component.split(|c: char| u8::try_from(c).is_ok_and(alphanumeric));
        // Splitting at the letters leaves the separators, with an empty string before
        // the first letter, between two letters and after the last one.
        let separators: Vec<&str> = runs.by_ref().collect();
        separators.len() > 1
            && separators.first().is_some_and(|s| s.is_empty())
            && separators.last().is_some_and(|s| s.is_empty())
            && separators
                .iter()
                .all(|s| matches!(*s, "" | "." | "_" | "__") || s.bytes().all(|b| b == b'-'))
    })
}

fn check_tag(tag: &str) -> Result<(), ReferenceError> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let mut bytes = tag.bytes();
    let valid = tag.len() <= TAG_LIMIT
        && bytes.next().is_some_and(word)
        && bytes.all(|b| word(b) || b == b'.' || b == b'-');
    if valid {
        return Ok(());
    }
    Err(ReferenceError::Tag {
        tag: tag.chars().take(TAG_LIMIT + 1).collect(),
    })
}

fn is_image_id(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(input: &str) -> String {
        match input.parse::<Reference>() {
            Ok(reference) => {
                let text = reference.to_string();
                assert_eq!(text.parse::<Reference>().as_ref(), Ok(&reference));
                assert_eq!(reference.familiar().parse::<Reference>(), Ok(reference));
                text
            }
            Err(error) => panic!("{input}: {error}"),
        }
    }

    #[test]
    fn familiar_names_are_completed() {
        let digest = Digest::sha256(b"");
        for (input, expected) in [
            ("alpine", "docker.io/library/alpine:latest"),
            ("alpine:3.20", "docker.io/library/alpine:3.20"),
            ("bitnami/redis", "docker.io/bitnami/redis:latest"),
            ("docker.io/alpine", "docker.io/library/alpine:latest"),
            ("index.docker.io/alpine", "docker.io/library/alpine:latest"),
            ("docker.io/library/a/b", "docker.io/library/a/b:latest"),
            ("localhost/x", "localhost/x:latest"),
            ("localhost:5000", "docker.io/library/localhost:5000"),
            ("localhost:5000/x:one", "localhost:5000/x:one"),
            ("ghcr.io/o/r:v1", "ghcr.io/o/r:v1"),
            ("[::1]:5000/x", "[::1]:5000/x:latest"),
            ("[fe80::1]/x:y", "[fe80::1]/x:y"),
            ("Registry/x", "Registry/x:latest"),
            ("e_f/a__b--c.d", "docker.io/e_f/a__b--c.d:latest"),
            ("x:_A.b-C", "docker.io/library/x:_A.b-C"),
        ] {
            assert_eq!(canonical(input), expected);
        }
        assert_eq!(
            canonical(&format!("x@{digest}")),
            format!("docker.io/library/x@{digest}")
        );
        assert_eq!(
            canonical(&format!("h:1/x:t@{digest}")),
            format!("h:1/x:t@{digest}")
        );
    }

    #[test]
    fn what_docker_refuses_is_refused() {
        for bad in [
            "",
            ":",
            "/",
            "@",
            "x@",
            "x:",
            ":x",
            "a//b",
            "/a",
            "a/",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a._b",
            "a b",
            "aé",
            "https://x/y",
            "a:b:c",
            "h:port/x",
            "-h.io/x",
            "h..io/x",
            "[::1/x",
            "[]/x",
            "[::1]x/y",
            "x@sha256:abc",
            "x@md5:d41d8cd98f00b204e9800998ecf8427e",
            "../x",
            "a/../b",
            "x:.t",
            "x:-t",
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
        let error = |s: &str| s.parse::<Reference>().unwrap_err();
        assert!(matches!(error("Alpine"), ReferenceError::Uppercase { .. }));
        assert!(matches!(
            error("h.io/Foo:x"),
            ReferenceError::Uppercase { .. }
        ));
        assert!(matches!(
            error(&"a".repeat(64)),
            ReferenceError::LooksLikeId { .. }
        ));
        assert!(matches!(error(&"a".repeat(248)), ReferenceError::TooLong));
        assert!(matches!(
            error(&format!("x:{}", "t".repeat(129))),
            ReferenceError::Tag { .. }
        ));
        assert!(canonical(&"a".repeat(247)).len() > 247);
        assert!(canonical(&format!("x:{}", "t".repeat(128))).len() > 128);
    }
}
