//! For which machines an image is made, and which image of an index fits one.
//!
//! Normalisation and matching follow containerd's `platforms` package
//! (`database.go`, `compare.go`): `x86_64` is `amd64`, `aarch64` is `arm64/v8`, a newer
//! machine takes images of the older variants of its architecture, nearest first.

use std::fmt;
use std::str::FromStr;

use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex};

/// Why a platform could not be understood or served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlatformError {
    /// The string is not `os`, `arch`, `os/arch` or `os/arch/variant`.
    #[error(
        "invalid platform {input:?}: write os/arch or os/arch/variant, such as linux/amd64 or linux/arm/v7"
    )]
    Format {
        /// The string as given, cut to a length that is fit to print.
        input: String,
    },
    /// One word was given, and it is neither an operating system nor an architecture.
    #[error(
        "invalid platform {input:?}: neither an operating system nor an architecture is called so; write os/arch, such as linux/amd64"
    )]
    Unknown {
        /// The string as given.
        input: String,
    },
    /// The image exists, but not for this platform.
    #[error(
        "no image for platform {wanted}: available are {}; choose one of them with the platform option",
        list(offered)
    )]
    Unavailable {
        /// What was looked for.
        wanted: Platform,
        /// What the index has.
        offered: Vec<Platform>,
    },
}

fn list(platforms: &[Platform]) -> String {
    if platforms.is_empty() {
        return "none".to_owned();
    }
    let mut names: Vec<String> = platforms.iter().map(Platform::to_string).collect();
    names.dedup();
    names.join(", ")
}

/// An operating system, an architecture and its variant, in the words of Go's GOOS
/// and GOARCH, normalised.
///
/// ```
/// use container_image::platform::Platform;
///
/// assert_eq!("linux/x86_64".parse::<Platform>()?.to_string(), "linux/amd64");
/// assert_eq!("linux/aarch64".parse::<Platform>()?.to_string(), "linux/arm64/v8");
/// assert_eq!("armhf".parse::<Platform>()?.to_string(), "linux/arm/v7");
/// # Ok::<(), container_image::platform::PlatformError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    os: Box<str>,
    architecture: Box<str>,
    variant: Option<Box<str>>,
}

impl Platform {
    /// A platform from its parts, normalised.
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let os = match os.to_ascii_lowercase() {
            os if os == "macos" => "darwin".into(),
            os => os.into_boxed_str(),
        };
        let variant = variant.unwrap_or("").to_ascii_lowercase();
        let (architecture, variant) = match architecture.to_ascii_lowercase().as_str() {
            "i386" | "i486" | "i586" | "i686" | "386" => ("386".into(), String::new()),
            "x86_64" | "x86-64" | "amd64" => match variant.as_str() {
                "v1" | "1" => ("amd64".into(), String::new()),
                _ => ("amd64".into(), variant),
            },
            "aarch64" | "arm64" => match variant.as_str() {
                "" | "8" => ("arm64".into(), "v8".into()),
                _ => ("arm64".into(), variant),
            },
            "armhf" => ("arm".into(), "v7".into()),
            "armel" => ("arm".into(), "v6".into()),
            "arm" => match variant.as_str() {
                "" | "7" => ("arm".into(), "v7".into()),
                "5" | "6" | "8" => ("arm".into(), format!("v{variant}")),
                _ => ("arm".into(), variant),
            },
            other => (other.to_owned().into_boxed_str(), variant),
        };
        Self {
            os,
            architecture,
            variant: (!variant.is_empty()).then(|| variant.into_boxed_str()),
        }
    }

    /// The platform of this program: what an image must be made for to run here.
    pub fn host() -> Self {
        Self::new("linux", std::env::consts::ARCH, None)
    }

    /// The operating system, as in GOOS: `linux`.
    pub fn os(&self) -> &str {
        &self.os
    }

    /// The architecture, as in GOARCH: `amd64`, `arm64`.
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// The variant of the architecture: `v7`.
    pub fn variant(&self) -> Option<&str> {
        self.variant.as_deref()
    }

    /// What an image's configuration says that it is made for.
    pub fn of_config(config: &ImageConfiguration) -> Self {
        Self::new(
            &config.os().to_string(),
            &config.architecture().to_string(),
            config.variant().as_deref(),
        )
    }

    /// How well an image made for `offer` serves this platform: 0 is exactly, more is
    /// less well, `None` is not at all.
    pub fn rank(&self, offer: &Self) -> Option<usize> {
        if self.os != offer.os {
            return None;
        }
        self.accepted().iter().position(|(architecture, variant)| {
            *architecture == &*offer.architecture && variant.as_deref() == offer.variant()
        })
    }

    /// The best image of `index` for this platform; of two equals the first.
    ///
    /// An entry that names no platform is taken when nothing else serves: images
    /// built by hand have such entries.
    ///
    /// # Errors
    /// [`PlatformError::Unavailable`] with the platforms on offer.
    pub fn choose<'a>(&self, index: &'a ImageIndex) -> Result<&'a Descriptor, PlatformError> {
        let mut offered = Vec::new();
        let mut best: Option<(usize, &Descriptor)> = None;
        for entry in index.manifests() {
            let rank = match entry.platform() {
                None => Some(usize::MAX),
                Some(platform) => {
                    let offer = Self::new(
                        &platform.os().to_string(),
                        &platform.architecture().to_string(),
                        platform.variant().as_deref(),
                    );
                    let rank = self.rank(&offer);
                    // BuildKit's attestations stand in the index as unknown/unknown.
                    if &*offer.os != "unknown" {
                        offered.push(offer);
                    }
                    rank
                }
            };
            if let Some(rank) = rank
                && best.is_none_or(|(least, _)| rank < least)
            {
                best = Some((rank, entry));
            }
        }
        match best {
            Some((_, entry)) => Ok(entry),
            None => Err(PlatformError::Unavailable {
                wanted: self.clone(),
                offered,
            }),
        }
    }

    /// Architectures and variants that run here, best first.
    fn accepted(&self) -> Vec<(&str, Option<String>)> {
        let variant = self.variant();
        let down_from = |highest: u32, lowest: u32| {
            (lowest..=highest)
                .rev()
                .map(|n| Some(format!("v{n}")))
                .collect::<Vec<_>>()
        };
        let number = variant
            .and_then(|v| v.strip_prefix('v'))
            .and_then(|v| v.parse::<u32>().ok());
        let own = &*self.architecture;
        let mut accepted: Vec<(&str, Option<String>)> = Vec::new();
        match (own, number) {
            ("amd64", number) => {
                // v4 is the highest microarchitecture level there is; higher numbers stand only for themselves.
                match number {
                    Some(n @ 2..=4) => {
                        accepted.extend(down_from(n, 2).into_iter().map(|v| (own, v)));
                    }
                    _ if variant.is_some() => accepted.push((own, variant.map(Into::into))),
                    _ => {}
                }
                accepted.push((own, None));
                accepted.push(("386", None));
            }
            ("arm", Some(n @ 5..=8)) => {
                accepted.extend(down_from(n, 5).into_iter().map(|v| (own, v)));
            }
            ("arm64", _) => {
                if variant != Some("v8") {
                    accepted.push((own, variant.map(Into::into)));
                }
                accepted.push((own, Some("v8".into())));
                accepted.extend(down_from(8, 5).into_iter().map(|v| ("arm", v)));
            }
            _ => accepted.push((own, variant.map(Into::into))),
        }
        accepted
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(input: &str) -> Result<Self, PlatformError> {
        let parts: Vec<&str> = input.split('/').collect();
        let word = |part: &&str| {
            !part.is_empty()
                && part.len() <= 64
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
        };
        if parts.len() > 3 || !parts.iter().all(word) {
            return Err(PlatformError::Format {
                input: input.chars().take(100).collect(),
            });
        }
        match parts.as_slice() {
            [os, architecture, variant] => Ok(Self::new(os, architecture, Some(variant))),
            [os, architecture] => Ok(Self::new(os, architecture, None)),
            [one] if is_os(one) => Ok(Self::new(one, std::env::consts::ARCH, None)),
            [one] if is_architecture(&Self::new("linux", one, None).architecture) => {
                Ok(Self::new("linux", one, None))
            }
            _ => Err(PlatformError::Unknown {
                input: input.to_owned(),
            }),
        }
    }
}

/// GOOS as Go lists it, as far as images are made for it.
fn is_os(name: &str) -> bool {
    matches!(
        name.to_ascii_lowercase().as_str(),
        "linux" | "windows" | "darwin" | "macos" | "freebsd" | "netbsd" | "openbsd" | "solaris"
    )
}

/// GOARCH as Go lists it, after normalisation.
fn is_architecture(name: &str) -> bool {
    matches!(
        name,
        "386"
            | "amd64"
            | "arm"
            | "arm64"
            | "loong64"
            | "mips"
            | "mips64"
            | "mips64le"
            | "mipsle"
            | "ppc64"
            | "ppc64le"
            | "riscv64"
            | "s390x"
            | "wasm"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(platforms: &[&str]) -> ImageIndex {
        let manifests: Vec<_> = platforms
            .iter()
            .enumerate()
            .map(|(i, p)| {
                let mut entry = serde_json::json!({
                    "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "size": i,
                    "digest": format!("sha256:{}", "0".repeat(64)),
                });
                let parts: Vec<&str> = p.split('/').collect();
                if let [os, architecture, rest @ ..] = parts.as_slice() {
                    entry["platform"] = serde_json::json!({"os": os, "architecture": architecture});
                    if let [variant] = rest {
                        entry["platform"]["variant"] = (*variant).into();
                    }
                }
                entry
            })
            .collect();
        serde_json::from_value(serde_json::json!({"schemaVersion": 2, "manifests": manifests}))
            .unwrap()
    }

    fn chosen(wanted: &str, offered: &[&str]) -> Option<u64> {
        let index = index(offered);
        let wanted: Platform = wanted.parse().unwrap();
        wanted.choose(&index).ok().map(Descriptor::size)
    }

    #[test]
    fn spellings_are_normalised() {
        for (input, expected) in [
            ("linux/x86-64/v1", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("Linux/AArch64", "linux/arm64/v8"),
            ("linux/arm64/8", "linux/arm64/v8"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/6", "linux/arm/v6"),
            ("linux/armel", "linux/arm/v6"),
            ("i686", "linux/386"),
            ("macos/arm64", "darwin/arm64/v8"),
            ("riscv64", "linux/riscv64"),
        ] {
            assert_eq!(input.parse::<Platform>().unwrap().to_string(), expected);
        }
        for bad in ["", "/", "linux/", "a/b/c/d", "linux/a b", "vax", "linux/é"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
        assert_eq!(Platform::host().os(), "linux");
    }

    #[test]
    fn the_nearest_variant_is_chosen() {
        let arm = [
            "linux/arm/v5",
            "linux/arm/v6",
            "linux/arm/v7",
            "linux/arm64/v8",
        ];
        assert_eq!(chosen("linux/arm64", &arm), Some(3));
        assert_eq!(chosen("linux/arm64", &arm[..3]), Some(2));
        assert_eq!(chosen("linux/arm/v8", &arm), Some(2));
        assert_eq!(chosen("linux/arm", &arm), Some(2));
        assert_eq!(chosen("linux/arm/v6", &arm), Some(1));
        assert_eq!(chosen("linux/arm64", &["linux/arm64"]), Some(0));
        let amd = [
            "linux/amd64",
            "linux/amd64/v2",
            "linux/amd64/v3",
            "linux/386",
        ];
        assert_eq!(chosen("linux/amd64", &amd), Some(0));
        assert_eq!(chosen("linux/amd64/v3", &amd), Some(2));
        assert_eq!(chosen("linux/amd64/v4", &amd), Some(2));
        assert_eq!(chosen("linux/amd64/v2", &amd[2..]), Some(1));
        assert_eq!(chosen("linux/amd64/v2", &amd[..1]), Some(0));
        assert_eq!(chosen("linux/amd64", &amd[1..3]), None);
        assert_eq!(chosen("linux/amd64", &["windows/amd64"]), None);
        assert_eq!(chosen("linux/amd64", &["", "linux/amd64"]), Some(1));
        assert_eq!(chosen("linux/amd64", &["linux/s390x", ""]), Some(1));
    }

    #[test]
    fn the_error_lists_what_there_is() {
        let index = index(&["linux/s390x", "unknown/unknown", "linux/arm/v6"]);
        let wanted: Platform = "linux/amd64".parse().unwrap();
        let error = wanted.choose(&index).unwrap_err().to_string();
        assert!(
            error.contains("linux/amd64: available are linux/s390x, linux/arm/v6;"),
            "{error}"
        );
    }
}
