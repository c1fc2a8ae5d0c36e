//! `-v` and `--tmpfs`.

use std::path::{Component, Path, PathBuf};

use container_core::request::{Mount, MountSource};

/// Why a mount is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum MountError {
    #[error("invalid empty volume spec")]
    Empty,
    #[error("invalid volume specification: '{0}'")]
    Format(String),
    #[error("invalid spec: {0}: empty section between colons")]
    EmptySection(String),
    #[error("invalid mount path: '{0}' mount path must be absolute")]
    Relative(String),
    #[error("invalid volume specification: '{0}': destination can't be '/'")]
    Root(String),
    #[error("invalid mode: {0}")]
    Mode(String),
    #[error(
        "{0:?} includes invalid characters for a local volume name, only \
         \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use \
         absolute path"
    )]
    VolumeName(String),
    #[error("{0}: volumes are not here yet, name a directory of the host (an absolute path)")]
    Volume(String),
}

const PROPAGATIONS: [&str; 6] = [
    "private", "rprivate", "shared", "rshared", "slave", "rslave",
];

/// Refuses a target that is relative or the root.
pub(super) fn target(path: &str, whole: &str) -> Result<String, MountError> {
    if !path.starts_with('/') {
        return Err(MountError::Relative(path.to_owned()));
    }
    if Path::new(path)
        .components()
        .all(|c| matches!(c, Component::RootDir | Component::CurDir))
    {
        return Err(MountError::Root(whole.to_owned()));
    }
    Ok(path.to_owned())
}

/// Whether the value names a propagation of mount(8).
pub(super) fn propagation(value: &str) -> bool {
    PROPAGATIONS.contains(&value)
}

/// `host:container[:options]`. A source that starts with a dot is relative: see [`absolute`].
pub(crate) fn volume(text: &str) -> Result<Mount, MountError> {
    if text.is_empty() {
        return Err(MountError::Empty);
    }
    let parts: Vec<&str> = text.split(':').collect();
    let (source, path, options) = match parts[..] {
        [only] => return Err(MountError::Volume(only.to_owned())),
        [source, path] => (source, path, ""),
        [source, path, options] => (source, path, options),
        _ => return Err(MountError::Format(text.to_owned())),
    };
    if parts.iter().any(|part| part.is_empty()) {
        return Err(MountError::EmptySection(text.to_owned()));
    }
    let path = target(path, text)?;
    if !source.starts_with(['/', '.']) {
        let valid = source.bytes().enumerate().all(|(at, b)| {
            b.is_ascii_alphanumeric() || (at > 0 && matches!(b, b'_' | b'.' | b'-'))
        });
        let source = source.to_owned();
        return Err(if valid {
            MountError::Volume
        } else {
            MountError::VolumeName
        }(source));
    }
    let mut mount = Mount {
        source: MountSource::Bind {
            path: source.into(),
            create: true,
            non_recursive: false,
        },
        target: path,
        read_only: false,
        propagation: String::new(),
    };
    let (mut access, mut label) = (false, false);
    for option in options.split(',').filter(|o| !o.is_empty()) {
        let once = |seen: &mut bool| !std::mem::replace(seen, true);
        let good = match option {
            "ro" | "rw" => {
                mount.read_only = option == "ro";
                once(&mut access)
            }
            // Labels are SELinux's; consistency is for virtual machines of Macs.
            "z" | "Z" => once(&mut label),
            "cached" | "delegated" | "consistent" | "default" => true,
            other if propagation(other) && mount.propagation.is_empty() => {
                mount.propagation = other.to_owned();
                true
            }
            _ => false,
        };
        if !good {
            return Err(MountError::Mode(options.to_owned()));
        }
    }
    Ok(mount)
}

/// Makes a relative source absolute. `..` stays for the kernel to resolve, links included.
pub(crate) fn absolute(mount: &mut Mount, cwd: &Path) {
    if let MountSource::Bind { path, .. } = &mut mount.source
        && path.is_relative()
    {
        *path = cwd.join(&*path).components().collect::<PathBuf>();
    }
}

/// `/path[:options]`. Which options there are is the library's to say.
pub(crate) fn tmpfs(text: &str) -> Result<Mount, MountError> {
    let (path, options) = text.split_once(':').unwrap_or((text, ""));
    let options = options.split(',').filter(|o| !o.is_empty());
    Ok(Mount {
        target: target(path, text)?,
        source: MountSource::Tmpfs {
            options: options.map(str::to_owned).collect(),
        },
        read_only: false,
        propagation: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(path: &str, target: &str, read_only: bool, propagation: &str) -> Mount {
        Mount {
            source: MountSource::Bind {
                path: path.into(),
                create: true,
                non_recursive: false,
            },
            target: target.into(),
            read_only,
            propagation: propagation.into(),
        }
    }

    #[test]
    fn volumes() {
        for (text, want) in [
            ("/a:/b", bind("/a", "/b", false, "")),
            ("/a:/b:rw", bind("/a", "/b", false, "")),
            ("/a:/b:ro,z", bind("/a", "/b", true, "")),
            ("/a:/b:ro,rslave", bind("/a", "/b", true, "rslave")),
            ("/a:/b:cached", bind("/a", "/b", false, "")),
            ("./x:/b", bind("./x", "/b", false, "")),
            ("/:/host", bind("/", "/host", false, "")),
        ] {
            assert_eq!(volume(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn wrong_volumes() {
        for (text, want) in [
            ("", "invalid empty volume spec"),
            ("a:b:c:d", "invalid volume specification: 'a:b:c:d'"),
            ("/a:", "invalid spec: /a:: empty section between colons"),
            (":/a", "invalid spec: :/a: empty section between colons"),
            (
                "/a:rel",
                "invalid mount path: 'rel' mount path must be absolute",
            ),
            (
                "/a:/",
                "invalid volume specification: '/a:/': destination can't be '/'",
            ),
            ("/a:/b:foo", "invalid mode: foo"),
            ("/a:/b:ro,rw", "invalid mode: ro,rw"),
            ("/a:/b:nocopy", "invalid mode: nocopy"),
            ("/a:/b:shared,slave", "invalid mode: shared,slave"),
            (
                "data:/b",
                "data: volumes are not here yet, name a directory of the host (an absolute path)",
            ),
            (
                "/data",
                "/data: volumes are not here yet, name a directory of the host (an absolute path)",
            ),
        ] {
            assert_eq!(volume(text).unwrap_err().to_string(), want, "{text}");
        }
        assert_eq!(
            volume("rel/x:/x"),
            Err(MountError::VolumeName("rel/x".into()))
        );
    }

    #[test]
    fn relative_sources() {
        for (source, want) in [
            ("./x", "/work/x"),
            (".", "/work"),
            ("../x", "/work/../x"),
            (".hidden/./y", "/work/.hidden/y"),
            ("/abs", "/abs"),
        ] {
            let mut mount = bind(source, "/b", false, "");
            absolute(&mut mount, Path::new("/work"));
            assert_eq!(mount, bind(want, "/b", false, ""), "{source}");
        }
    }

    #[test]
    fn memory() {
        let mount = tmpfs("/run:rw,noexec,,size=64m").unwrap();
        let options = ["rw", "noexec", "size=64m"].map(String::from).to_vec();
        assert_eq!(mount.source, MountSource::Tmpfs { options });
        assert_eq!(tmpfs("/run").unwrap().target, "/run");
        assert_eq!(tmpfs("rel"), Err(MountError::Relative("rel".into())));
    }
}
