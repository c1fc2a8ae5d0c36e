//! `-v`, `--tmpfs` and `--volumes-from`.

use std::path::{Component, Path, PathBuf};

use container_core::request::{Bind, Mount, MountSource, Owner, VolumesFrom};

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
        "invalid volume specification: '{0}': invalid mount config for type \"bind\": field \
         VolumeOptions must not be specified"
    )]
    VolumeOption(String),
    #[error(
        "invalid volume specification: '{0}': invalid mount config for type \"volume\": field \
         BindOptions must not be specified"
    )]
    BindOption(String),
    #[error(
        "{0:?} includes invalid characters for a local volume name, only \
         \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use \
         absolute path"
    )]
    VolumeName(String),
    #[error(
        "invalid mode: {0}: the files of the source would be given to the container's user; \
         owner=me does what is meant without changing them"
    )]
    GiveAway(String),
    #[error(
        "invalid mode: {0}: a source below a writable layer is not here; copy it, or mount a \
         volume"
    )]
    Layered(String),
    #[error("invalid owner: {0} (use owner=me)")]
    Owner(String),
    #[error("volumes-from specification cannot be an empty string")]
    NoContainer,
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

/// `me`: what the container writes shall belong to who runs this program (see [`give_to`]).
pub(super) fn owner(value: &str) -> Result<Owner, MountError> {
    match value {
        "me" => Ok(Owner::Caller),
        other => Err(MountError::Owner(other.to_owned())),
    }
}

/// `[source:]container[:options]`. A source that starts with a dot is relative: see [`absolute`].
pub(crate) fn volume(text: &str) -> Result<Mount, MountError> {
    if text.is_empty() {
        return Err(MountError::Empty);
    }
    let parts: Vec<&str> = text.split(':').collect();
    let (source, path, options) = match parts[..] {
        [only] => ("", only, ""),
        [source, path] => (source, path, ""),
        [source, path, options] => (source, path, options),
        _ => return Err(MountError::Format(text.to_owned())),
    };
    if parts.iter().any(|part| part.is_empty()) {
        return Err(MountError::EmptySection(text.to_owned()));
    }
    let mut mount = if source.is_empty() {
        // A relative one lies below the root, as in Docker.
        let slash = if path.starts_with('/') { "" } else { "/" };
        Mount::anonymous_volume(target(&format!("{slash}{path}"), text)?)
    } else if source.starts_with(['/', '.']) {
        let bind = Bind {
            path: source.into(),
            create: true,
            ..Bind::default()
        };
        Mount {
            source: MountSource::Bind(bind),
            ..Mount::bind("", target(path, text)?)
        }
    } else {
        let valid = source.bytes().enumerate().all(|(at, b)| {
            b.is_ascii_alphanumeric() || (at > 0 && matches!(b, b'_' | b'.' | b'-'))
        });
        if !valid {
            return Err(MountError::VolumeName(source.to_owned()));
        }
        Mount::volume(source, target(path, text)?)
    };
    modes(&mut mount, options, text)?;
    mount.spec = Some(text.to_owned());
    Ok(mount)
}

/// The third part of `-v`.
fn modes(mount: &mut Mount, options: &str, text: &str) -> Result<(), MountError> {
    let wrong = || MountError::Mode(options.to_owned());
    let (mut access, mut label, mut copy) = (false, false, false);
    for option in options.split(',').filter(|o| !o.is_empty()) {
        let once = |seen: &mut bool| match std::mem::replace(seen, true) {
            true => Err(wrong()),
            false => Ok(()),
        };
        match (option, &mut mount.source) {
            ("ro" | "rw", _) => {
                mount.read_only = option == "ro";
                once(&mut access)?;
            }
            ("z" | "Z", _) => {
                mount.relabel = true;
                once(&mut label)?;
            }
            // For virtual machines of Macs.
            ("cached" | "delegated" | "consistent" | "default", _) => {}
            ("nocopy", source) => {
                once(&mut copy)?;
                let MountSource::Volume(volume) = source else {
                    return Err(MountError::VolumeOption(text.to_owned()));
                };
                volume.no_copy = true;
            }
            // So are volumes always.
            ("idmap", MountSource::Bind(bind)) => bind.owner = Owner::Container,
            ("idmap", MountSource::Volume(_)) => {}
            ("U", _) => return Err(MountError::GiveAway(options.to_owned())),
            ("O", _) => return Err(MountError::Layered(options.to_owned())),
            (word, source) if propagation(word) => {
                if !mount.propagation.is_empty() {
                    return Err(wrong());
                }
                if !matches!(source, MountSource::Bind(_)) {
                    return Err(MountError::BindOption(text.to_owned()));
                }
                mount.propagation = word.to_owned();
            }
            (word, source) => match (word.strip_prefix("owner="), source) {
                (Some(value), MountSource::Bind(bind)) => bind.owner = owner(value)?,
                (Some(_), _) => return Err(MountError::BindOption(text.to_owned())),
                (None, _) => return Err(wrong()),
            },
        }
    }
    Ok(())
}

/// Makes a relative source absolute. `..` stays for the kernel to resolve, links included.
pub(crate) fn absolute(mount: &mut Mount, cwd: &Path) {
    if let MountSource::Bind(bind) = &mut mount.source
        && bind.path.is_relative()
    {
        bind.path = cwd.join(&bind.path).components().collect::<PathBuf>();
    }
}

/// `owner=me` under sudo means who called that, not root.
pub(crate) fn give_to(mount: &mut Mount, caller: Option<(u32, u32)>) {
    if let MountSource::Bind(bind) = &mut mount.source
        && bind.owner == Owner::Caller
        && let Some((uid, gid)) = caller
    {
        bind.owner = Owner::Ids { uid, gid };
    }
}

/// `/path[:options]`. Which options there are is the library's to say.
pub(crate) fn tmpfs(text: &str) -> Result<Mount, MountError> {
    let (path, options) = text.split_once(':').unwrap_or((text, ""));
    let options = options.split(',').filter(|o| !o.is_empty());
    Ok(Mount {
        spec: Some(text.to_owned()),
        ..Mount::tmpfs(target(path, text)?, options)
    })
}

/// `container[:ro|rw]`.
pub(crate) fn volumes_from(text: &str) -> Result<VolumesFrom, MountError> {
    let (container, mode) = text.split_once(':').unwrap_or((text, ""));
    if container.is_empty() {
        return Err(MountError::NoContainer);
    }
    match mode {
        "" | "rw" | "ro" | "z" | "Z" => Ok(VolumesFrom {
            container: container.to_owned(),
            read_only: mode == "ro",
        }),
        mode => Err(MountError::Mode(mode.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use container_core::request::VolumeSource;

    fn bind(path: &str, target: &str) -> Mount {
        let bind = Bind {
            path: path.into(),
            create: true,
            ..Bind::default()
        };
        Mount {
            source: MountSource::Bind(bind),
            ..Mount::bind("", target)
        }
    }

    fn propagated(mount: Mount, propagation: &str) -> Mount {
        Mount {
            propagation: propagation.into(),
            ..mount
        }
    }

    fn relabelled(mount: Mount) -> Mount {
        Mount {
            relabel: true,
            ..mount
        }
    }

    fn not_copied(name: &str, target: &str) -> Mount {
        let source = VolumeSource {
            name: Some(name.into()),
            no_copy: true,
            ..VolumeSource::default()
        };
        Mount {
            source: MountSource::Volume(source),
            ..Mount::volume(name, target)
        }
    }

    #[test]
    fn volumes() {
        for (text, want) in [
            ("/a:/b", bind("/a", "/b")),
            ("/a:/b:rw", bind("/a", "/b")),
            ("/a:/b:ro,z", relabelled(bind("/a", "/b").read_only())),
            (
                "/a:/b:ro,rslave",
                propagated(bind("/a", "/b").read_only(), "rslave"),
            ),
            ("/a:/b:cached", bind("/a", "/b")),
            ("/a:/b:owner=me", bind("/a", "/b").owned_by_caller()),
            ("./x:/b", bind("./x", "/b")),
            ("/:/host", bind("/", "/host")),
            ("data:/b", Mount::volume("data", "/b")),
            ("data:/b:ro", Mount::volume("data", "/b").read_only()),
            ("data:/b:Z", relabelled(Mount::volume("data", "/b"))),
            ("data:/b:nocopy", not_copied("data", "/b")),
            ("/data", Mount::anonymous_volume("/data")),
            ("data", Mount::anonymous_volume("/data")),
        ] {
            let spec = Some(text.to_owned());
            assert_eq!(volume(text), Ok(Mount { spec, ..want }), "{text}");
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
                "data:rel",
                "invalid mount path: 'rel' mount path must be absolute",
            ),
            (
                "/a:/",
                "invalid volume specification: '/a:/': destination can't be '/'",
            ),
            (
                "/",
                "invalid volume specification: '/': destination can't be '/'",
            ),
            ("/a:/b:foo", "invalid mode: foo"),
            ("/a:/b:ro,rw", "invalid mode: ro,rw"),
            ("data:/b:nocopy,nocopy", "invalid mode: nocopy,nocopy"),
            ("data:/b:Z,z", "invalid mode: Z,z"),
            ("/a:/b:shared,slave", "invalid mode: shared,slave"),
            (
                "/a:/b:nocopy",
                "invalid volume specification: '/a:/b:nocopy': invalid mount config for type \
                 \"bind\": field VolumeOptions must not be specified",
            ),
            (
                "data:/b:rshared",
                "invalid volume specification: 'data:/b:rshared': invalid mount config for type \
                 \"volume\": field BindOptions must not be specified",
            ),
            ("/a:/b:owner=you", "invalid owner: you (use owner=me)"),
        ] {
            assert_eq!(volume(text).unwrap_err().to_string(), want, "{text}");
        }
        for (mode, why) in [("U", "owner=me"), ("O", "writable layer")] {
            let error = volume(&format!("/a:/b:{mode}")).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        assert!(volume("data:/b:owner=me").is_err());
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
            let mut mount = bind(source, "/b");
            absolute(&mut mount, Path::new("/work"));
            assert_eq!(mount, bind(want, "/b"), "{source}");
        }
    }

    #[test]
    fn owners() {
        let owner_of = |mut mount: Mount, caller| {
            give_to(&mut mount, caller);
            match mount.source {
                MountSource::Bind(bind) => bind.owner,
                _ => panic!("no bind mount"),
            }
        };
        let ids = Owner::Ids { uid: 5, gid: 6 };
        let mine = bind("/a", "/b").owned_by_caller();
        assert_eq!(owner_of(mine.clone(), None), Owner::Caller);
        assert_eq!(owner_of(mine, Some((5, 6))), ids);
        assert_eq!(owner_of(bind("/a", "/b"), Some((5, 6))), Owner::Writer);
    }

    #[test]
    fn memory() {
        let mount = tmpfs("/run:rw,noexec,,size=64m").unwrap();
        let options = ["rw", "noexec", "size=64m"].map(String::from).to_vec();
        assert_eq!(mount.source, MountSource::Tmpfs { options });
        assert_eq!(tmpfs("/run").unwrap().target, "/run");
        assert_eq!(tmpfs("rel"), Err(MountError::Relative("rel".into())));
    }

    #[test]
    fn other_containers() {
        let from = |container: &str, read_only| VolumesFrom {
            container: container.into(),
            read_only,
        };
        assert_eq!(volumes_from("c"), Ok(from("c", false)));
        assert_eq!(volumes_from("c:ro"), Ok(from("c", true)));
        assert_eq!(volumes_from("c:rw"), Ok(from("c", false)));
        assert_eq!(volumes_from(""), Err(MountError::NoContainer));
        for bad in ["foo", "ro,rw", "nocopy", "rslave", "ro:z"] {
            let want = Err(MountError::Mode(bad.into()));
            assert_eq!(volumes_from(&format!("c:{bad}")), want);
        }
    }
}
