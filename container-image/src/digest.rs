//! Content addresses: `sha256:<hex>` and `sha512:<hex>`.
//!
//! A [`Digest`] names bytes by their hash, as the OCI image specification defines it
//! (image-spec, descriptor.md, "Digests"). Bytes are hashed where they enter the
//! program, with a [`Hasher`]; from there on the name travels as a `Digest`, never as
//! a string.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

/// Why a string is not a digest that this library accepts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DigestError {
    /// The string has no colon, so it names no algorithm.
    #[error("invalid digest {input:?}: it must look like sha256:<64 hexadecimal digits>")]
    Format {
        /// The string as given, cut to a length that is fit to print.
        input: String,
    },
    /// The algorithm is none of those that are computed here.
    #[error("unsupported digest algorithm {algorithm:?} in {input:?}: use sha256 or sha512")]
    Algorithm {
        /// The part before the colon.
        algorithm: String,
        /// The string as given, cut to a length that is fit to print.
        input: String,
    },
    /// The part after the colon is not the lower-case hexadecimal form of a hash of the algorithm's length.
    #[error(
        "invalid digest {input:?}: {algorithm} takes exactly {expected} lower-case hexadecimal digits"
    )]
    Hex {
        /// The algorithm named.
        algorithm: Algorithm,
        /// How many digits it takes.
        expected: usize,
        /// The string as given, cut to a length that is fit to print.
        input: String,
    },
}

/// A hash algorithm that the OCI image specification registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// SHA-256, what registries use.
    Sha256,
    /// SHA-512, optional in the specification.
    Sha512,
}

impl Algorithm {
    /// The name as it stands before the colon, and as the directory below `blobs/`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// The number of hexadecimal digits of a hash.
    pub fn hex_len(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }

    /// Starts a hash of this algorithm.
    pub fn hasher(self) -> Hasher {
        Hasher(match self {
            Self::Sha256 => State::Sha256(sha2::Sha256::new()),
            Self::Sha512 => State::Sha512(sha2::Sha512::new()),
        })
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The name of some bytes: the algorithm and the hash.
///
/// ```
/// use container_image::digest::Digest;
///
/// let digest = Digest::sha256(b"hello");
/// assert_eq!(
///     digest.to_string(),
///     "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
/// );
/// assert_eq!(digest.to_string().parse::<Digest>()?, digest);
/// assert!("sha256:2CF2".parse::<Digest>().is_err());
/// # Ok::<(), container_image::digest::DigestError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest {
    algorithm: Algorithm,
    /// `<algorithm>:<hex>`, so that printing and comparing copy nothing.
    text: Box<str>,
}

impl Digest {
    /// The SHA-256 digest of `bytes`.
    pub fn sha256(bytes: impl AsRef<[u8]>) -> Self {
        let mut hasher = Algorithm::Sha256.hasher();
        hasher.update(bytes.as_ref());
        hasher.finish()
    }

    /// The hash algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The hash in lower-case hexadecimal, without the algorithm.
    pub fn hex(&self) -> &str {
        &self.text[self.algorithm.as_str().len() + 1..]
    }

    /// `<algorithm>:<hex>`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first twelve digits of the hash, as Docker's tables show an id.
    pub fn short(&self) -> &str {
        &self.hex()[..12]
    }

    /// Starts the hash that bytes must have to deserve this digest.
    pub fn hasher(&self) -> Hasher {
        self.algorithm.hasher()
    }

    fn from_hash(algorithm: Algorithm, hash: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let name = algorithm.as_str();
        let mut text = String::with_capacity(name.len() + 1 + hash.len() * 2);
        text.push_str(name);
        text.push(':');
        for byte in hash {
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        Self {
            algorithm,
            text: text.into_boxed_str(),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl AsRef<str> for Digest {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(input: &str) -> Result<Self, DigestError> {
        let (name, hex) = input.split_once(':').ok_or_else(|| DigestError::Format {
            input: excerpt(input),
        })?;
        let algorithm = match name {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            _ => {
                return Err(DigestError::Algorithm {
                    algorithm: excerpt(name),
                    input: excerpt(input),
                });
            }
        };
        let digits = hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if hex.len() != algorithm.hex_len() || !digits {
            return Err(DigestError::Hex {
                algorithm,
                expected: algorithm.hex_len(),
                input: excerpt(input),
            });
        }
        Ok(Self {
            algorithm,
            text: input.into(),
        })
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(input: String) -> Result<Self, DigestError> {
        input.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.text.into()
    }
}

impl TryFrom<&oci_spec::image::Digest> for Digest {
    type Error = DigestError;

    fn try_from(digest: &oci_spec::image::Digest) -> Result<Self, DigestError> {
        digest.as_ref().parse()
    }
}

/// A hash under way. Made by [`Algorithm::hasher`] or [`Digest::hasher`].
///
/// ```
/// use container_image::digest::{Algorithm, Digest};
///
/// let mut hasher = Algorithm::Sha256.hasher();
/// hasher.update(b"hel");
/// hasher.update(b"lo");
/// assert_eq!(hasher.finish(), Digest::sha256(b"hello"));
/// ```
#[derive(Debug, Clone)]
pub struct Hasher(State);

#[derive(Debug, Clone)]
enum State {
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
}

impl Hasher {
    /// Adds `bytes` to what was hashed so far.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(hash) => hash.update(bytes),
            State::Sha512(hash) => hash.update(bytes),
        }
    }

    /// Ends the hash and gives the digest of all bytes added.
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Sha256(hash) => Digest::from_hash(Algorithm::Sha256, &hash.finalize()),
            State::Sha512(hash) => Digest::from_hash(Algorithm::Sha512, &hash.finalize()),
        }
    }
}

/// What an error may quote of a string from outside: hostile ones are long.
fn excerpt(input: &str) -> String {
    const LIMIT: usize = 160;
    match input.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}…", &input[..end]),
        None => input.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha512_is_known() {
        let mut hasher = Algorithm::Sha512.hasher();
        hasher.update(b"abc");
        let digest = hasher.finish();
        assert!(digest.hex().starts_with("ddaf35a193617aba"));
        assert_eq!(digest.hex().len(), 128);
        assert_eq!(digest.as_str().parse(), Ok(digest.clone()));
    }

    #[test]
    fn malformed_digests_are_refused() {
        let hex = "a".repeat(64);
        for bad in [
            String::new(),
            hex.clone(),
            "sha256:".into(),
            format!("sha256:{}", "A".repeat(64)),
            format!("sha256:{hex}a"),
            format!("sha512:{hex}"),
            format!("md5:{hex}"),
            format!("sha256+b64:{hex}"),
            format!("sha256:../../{}", &hex[6..]),
            "é".repeat(4000),
        ] {
            let error = bad.parse::<Digest>().expect_err(&bad);
            assert!(error.to_string().len() < 900, "{error}");
        }
    }

    #[test]
    fn serde_checks_what_it_reads() {
        let digest = Digest::sha256(b"");
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
        assert!(serde_json::from_str::<Digest>("\"sha256:no\"").is_err());
    }
}
