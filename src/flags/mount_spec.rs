//! `--mount type=…,source=…,target=…`.

use container_core::request::{
    Bind, ImageSource, Mount, MountSource, Owner, Recursion, VolumeSource,
};

use super::mount::{self, MountError};
use super::size;

/// Why a `--mount` is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum SpecError {
    #[error("value is empty")]
    Empty,
    #[error("parse error: a quote is not closed")]
    Quote,
    #[error("invalid field '{0}' must be a key=value pair")]
    NoValue(String),
    #[error("unexpected key '{key}' in '{field}'")]
    Key { key: String, field: String },
    #[error("invalid value for {key}: {value}")]
    Value { key: String, value: String },
    #[error(
        "invalid value for bind-recursive: {0} (must be \"enabled\", \"disabled\", \"writable\", \
         or \"readonly\")"
    )]
    Recursive(String),
    #[error("option 'bind-recursive={0}' requires '{1}' to be specified in conjunction")]
    Requires(&'static str, &'static str),
    #[error("target is required")]
    NoTarget,
    #[error("type is required")]
    NoType,
    #[error("invalid mount config for type \"{0}\": mount type unknown")]
    Type(String),
    #[error("cannot mix '{family}-*' options with mount type '{kind}'")]
    Mix { family: &'static str, kind: String },
    #[error("option 'owner' is for mounts of type bind, not '{0}'")]
    Owner(String),
    #[error("invalid mount config for type \"{0}\": field Source must not be empty")]
    NoSource(&'static str),
    #[error("invalid mount config for type \"tmpfs\": field Source must not be specified")]
    Source,
    #[error("invalid mount config for type \"{kind}\": {source}")]
    Path { kind: String, source: MountError },
    #[error("invalid mount config for type \"bind\": invalid propagation mode: {0}")]
    Propagation(String),
}

/// Comma-separated fields; a field in double quotes may hold commas, `""` in it is a quote.
fn fields(text: &str) -> Result<Vec<String>, SpecError> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let end = fields.len() - 1;
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                fields[end].push('"');
            }
            '"' if quoted => quoted = false,
            '"' if fields[end].is_empty() => quoted = true,
            ',' if !quoted => fields.push(String::new()),
            c => fields[end].push(c),
        }
    }
    if quoted {
        Err(SpecError::Quote)
    } else {
        Ok(fields)
    }
}

#[derive(Default)]
struct Parts {
    kind: Option<String>,
    source: String,
    target: String,
    read_only: bool,
    propagation: Option<String>,
    bind: Bind,
    owned: bool,
    volume: VolumeSource,
    image: ImageSource,
    tmpfs: Vec<String>,
    /// The families of which options were given.
    families: Vec<&'static str>,
}

/// Keys that mean yes where they have no value.
const SWITCHES: [&str; 5] = [
    "readonly",
    "ro",
    "bind-nonrecursive",
    "volume-nocopy",
    "idmap",
];

impl Parts {
    fn set(&mut self, key: &str, value: &str, field: &str) -> Result<(), SpecError> {
        let wrong = || SpecError::Value {
            key: key.to_owned(),
            value: value.to_owned(),
        };
        let yes = |value: &str| size::switch(value).map_err(|_| wrong());
        let families = ["bind", "volume", "image", "tmpfs"];
        let family = |name: &&str| {
            key.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('-'))
        };
        self.families.extend(families.into_iter().find(family));
        match key {
            "type" => self.kind = Some(value.to_ascii_lowercase()),
            "source" | "src" => self.source = value.to_owned(),
            "target" | "dst" | "destination" => self.target = value.to_owned(),
            "readonly" | "ro" => self.read_only = yes(value)?,
            "consistency" => {}
            "owner" => {
                self.bind.owner = mount::owner(value).map_err(|_| wrong())?;
                self.owned = true;
            }
            // Podman's. Volumes are mapped anyway.
            "idmap" => {
                if yes(value)? {
                    self.bind.owner = Owner::Container;
                }
            }
            "bind-propagation" => self.propagation = Some(value.to_ascii_lowercase()),
            "bind-nonrecursive" => {
                self.bind.recursion = match yes(value)? {
                    true => Recursion::Disabled,
                    false => Recursion::Enabled,
                }
            }
            "bind-recursive" => {
                self.bind.recursion = match value {
                    "enabled" => Recursion::Enabled,
                    "disabled" => Recursion::Disabled,
                    "writable" => Recursion::Writable,
                    "readonly" => Recursion::ReadOnly,
                    _ => return Err(SpecError::Recursive(value.to_owned())),
                }
            }
            "bind-create-src" => self.bind.create = yes(value)?,
            "volume-subpath" => self.volume.subpath = Some(value.to_owned()),
            "volume-nocopy" => self.volume.no_copy = yes(value)?,
            "volume-label" => {
                let (name, value) = value.split_once('=').unwrap_or((value, ""));
                self.volume.labels.insert(name.to_owned(), value.to_owned());
            }
            "volume-driver" => self.volume.driver = Some(value.to_owned()),
            "volume-opt" => {
                let (name, value) = value.split_once('=').unwrap_or((value, ""));
                self.volume
                    .options
                    .insert(name.to_owned(), value.to_owned());
            }
            "image-subpath" => self.image.subpath = Some(value.to_owned()),
            "tmpfs-size" => {
                let bytes = size::bytes(value).map_err(|_| wrong())?;
                self.tmpfs.push(format!("size={bytes}"));
            }
            "tmpfs-mode" => {
                let mode = u32::from_str_radix(value, 8).map_err(|_| wrong())?;
                self.tmpfs.push(format!("mode={mode:o}"));
            }
            _ => {
                let (key, field) = (key.to_owned(), field.to_owned());
                return Err(SpecError::Key { key, field });
            }
        }
        Ok(())
    }

    /// Options that do not go together.
    fn check(&self, kind: &str) -> Result<(), SpecError> {
        let other = self.families.iter().find(|family| **family != kind);
        if let Some(&family) = other {
            let kind = kind.to_owned();
            return Err(SpecError::Mix { family, kind });
        }
        if self.owned && kind != "bind" {
            return Err(SpecError::Owner(kind.to_owned()));
        }
        match self.bind.recursion {
            Recursion::Writable if !self.read_only => {
                return Err(SpecError::Requires("writable", "readonly"));
            }
            Recursion::ReadOnly if !self.read_only => {
                return Err(SpecError::Requires("readonly", "readonly"));
            }
            Recursion::ReadOnly if self.propagation.as_deref() != Some("rprivate") => {
                return Err(SpecError::Requires("readonly", "bind-propagation=rprivate"));
            }
            _ => {}
        }
        match &self.propagation {
            Some(value) if !mount::propagation(value) => Err(SpecError::Propagation(value.clone())),
            _ => Ok(()),
        }
    }
}

/// Reads one `--mount`. A source that starts with a dot is relative: see [`mount::absolute`].
pub(crate) fn parse(text: &str) -> Result<Mount, SpecError> {
    if text.trim().is_empty() {
        return Err(SpecError::Empty);
    }
    let mut parts = Parts::default();
    for field in fields(text)? {
        match field.split_once('=') {
            Some((key, value)) => parts.set(&key.to_ascii_lowercase(), value, &field)?,
            None => match &*field.to_ascii_lowercase() {
                key if SWITCHES.contains(&key) => parts.set(key, "true", &field)?,
                _ => return Err(SpecError::NoValue(field)),
            },
        }
    }
    let kind = parts.kind.clone().unwrap_or_else(|| "volume".to_owned());
    if kind.is_empty() {
        return Err(SpecError::NoType);
    }
    if parts.target.is_empty() {
        return Err(SpecError::NoTarget);
    }
    parts.check(&kind)?;
    let path = |source| SpecError::Path {
        kind: kind.clone(),
        source,
    };
    let target = mount::target(&parts.target, text).map_err(path)?;
    let source = match kind.as_str() {
        "bind" if parts.source.is_empty() => return Err(SpecError::NoSource("bind")),
        "bind" => {
            let relative = parts.source == "." || parts.source.starts_with("./");
            if !relative && !parts.source.starts_with('/') {
                return Err(path(MountError::Relative(parts.source)));
            }
            MountSource::Bind(Bind {
                path: parts.source.into(),
                ..parts.bind
            })
        }
        "volume" => MountSource::Volume(VolumeSource {
            name: Some(parts.source).filter(|name| !name.is_empty()),
            ..parts.volume
        }),
        "image" if parts.source.is_empty() => return Err(SpecError::NoSource("image")),
        "image" => MountSource::Image(ImageSource {
            image: parts.source,
            ..parts.image
        }),
        "tmpfs" if !parts.source.is_empty() => return Err(SpecError::Source),
        "tmpfs" => MountSource::Tmpfs {
            options: parts.tmpfs,
        },
        _ => return Err(SpecError::Type(kind)),
    };
    Ok(Mount {
        source,
        read_only: parts.read_only,
        propagation: parts.propagation.unwrap_or_default(),
        ..Mount::anonymous_volume(target)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use container_core::request::Owner;

    fn bind(recursion: Recursion) -> Mount {
        let bind = Bind {
            path: "/a".into(),
            recursion,
            ..Bind::default()
        };
        Mount {
            source: MountSource::Bind(bind),
            ..Mount::bind("", "/b")
        }
    }

    #[test]
    fn binds() {
        let plain = || bind(Recursion::Enabled);
        let slave = Mount {
            propagation: "rslave".into(),
            ..plain()
        };
        let private = Mount {
            propagation: "rprivate".into(),
            ..bind(Recursion::ReadOnly).read_only()
        };
        for (text, want) in [
            ("source=/a,target=/b", plain()),
            ("src=/a,dst=/b", plain()),
            ("SRC=/a,destination=/b,readonly", plain().read_only()),
            ("src=/a,dst=/b,ro=1", plain().read_only()),
            ("src=/a,dst=/b,readonly=false", plain()),
            ("src=/a,dst=/b,bind-propagation=rslave", slave),
            ("src=/a,dst=/b,bind-nonrecursive", bind(Recursion::Disabled)),
            (
                "src=/a,dst=/b,bind-recursive=disabled",
                bind(Recursion::Disabled),
            ),
            (
                "src=/a,dst=/b,ro,bind-recursive=writable",
                bind(Recursion::Writable).read_only(),
            ),
            (
                "src=/a,dst=/b,ro,bind-recursive=readonly,bind-propagation=rprivate",
                private,
            ),
            ("src=/a,dst=/b,consistency=cached", plain()),
            ("src=/a,dst=/b,owner=me", plain().owned_by_caller()),
            ("\"src=/a\",dst=/b", plain()),
        ] {
            assert_eq!(parse(&format!("type=bind,{text}")), Ok(want), "{text}");
        }
        let comma = parse("type=bind,\"src=/a,b\"\"c\",dst=/b,bind-create-src=true").unwrap();
        let MountSource::Bind(bind) = comma.source else {
            panic!("no bind mount")
        };
        assert_eq!(
            (bind.path.as_os_str().to_str(), bind.create),
            (Some("/a,b\"c"), true)
        );
        assert_eq!(bind.owner, Owner::Writer);
    }

    #[test]
    fn volumes() {
        assert_eq!(parse("src=data,dst=/b"), Ok(Mount::volume("data", "/b")));
        assert_eq!(parse("dst=/b"), Ok(Mount::anonymous_volume("/b")));
        let text = "type=volume,src=data,dst=/b,volume-nocopy,volume-label=a=b,volume-label=c,\
                    volume-driver=local,volume-opt=type=nfs,\"volume-opt=o=addr=x,rw\",\
                    volume-subpath=d/e";
        let map = |pairs: &[(&str, &str)]| {
            let own = pairs.iter().map(|(k, v)| ((*k).into(), (*v).into()));
            own.collect()
        };
        let want = VolumeSource {
            name: Some("data".into()),
            no_copy: true,
            subpath: Some("d/e".into()),
            driver: Some("local".into()),
            options: map(&[("type", "nfs"), ("o", "addr=x,rw")]),
            labels: map(&[("a", "b"), ("c", "")]),
        };
        assert_eq!(parse(text).unwrap().source, MountSource::Volume(want));
    }

    #[test]
    fn images() {
        let want = ImageSource {
            image: "busybox".into(),
            subpath: Some("bin".into()),
        };
        let mount = parse("type=image,src=busybox,dst=/b,image-subpath=bin").unwrap();
        assert_eq!(mount.source, MountSource::Image(want));
    }

    #[test]
    fn memory() {
        let mount = parse("type=tmpfs,target=/b,tmpfs-size=64m,tmpfs-mode=0770").unwrap();
        let options = ["size=67108864", "mode=770"].map(String::from).to_vec();
        assert_eq!(mount.source, MountSource::Tmpfs { options });
    }

    #[test]
    fn wrong() {
        for (text, want) in [
            ("", "value is empty"),
            ("foo", "invalid field 'foo' must be a key=value pair"),
            (
                "type=bind,bind-create-src",
                "invalid field 'bind-create-src' must be a key=value pair",
            ),
            ("foo=bar", "unexpected key 'foo' in 'foo=bar'"),
            ("src=/x", "target is required"),
            (
                "type=foo,target=/x",
                "invalid mount config for type \"foo\": mount type unknown",
            ),
            (
                "type=bind,target=/x",
                "invalid mount config for type \"bind\": field Source must not be empty",
            ),
            (
                "type=image,target=/x",
                "invalid mount config for type \"image\": field Source must not be empty",
            ),
            (
                "type=bind,src=rel,target=/x",
                "invalid mount config for type \"bind\": invalid mount path: 'rel' mount path must be absolute",
            ),
            (
                "type=bind,src=/,target=x",
                "invalid mount config for type \"bind\": invalid mount path: 'x' mount path must be absolute",
            ),
            (
                "readonly=maybe,type=bind",
                "invalid value for readonly: maybe",
            ),
            (
                "type=bind,src=/,target=/y,bind-recursive=foo",
                "invalid value for bind-recursive: foo (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")",
            ),
            (
                "type=bind,src=/,target=/y,bind-recursive=writable",
                "option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction",
            ),
            (
                "type=bind,src=/,target=/y,bind-recursive=readonly,ro",
                "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction",
            ),
            (
                "type=tmpfs,src=/x,target=/y",
                "invalid mount config for type \"tmpfs\": field Source must not be specified",
            ),
            (
                "type=tmpfs,target=/y,tmpfs-mode=9",
                "invalid value for tmpfs-mode: 9",
            ),
            (
                "type=tmpfs,target=/y,tmpfs-size=q",
                "invalid value for tmpfs-size: q",
            ),
            (
                "type=bind,src=/,target=/y,tmpfs-size=1",
                "cannot mix 'tmpfs-*' options with mount type 'bind'",
            ),
            (
                "src=v1,target=/y,bind-propagation=rslave",
                "cannot mix 'bind-*' options with mount type 'volume'",
            ),
            (
                "src=v1,target=/y,image-subpath=a",
                "cannot mix 'image-*' options with mount type 'volume'",
            ),
            (
                "src=v1,target=/y,owner=me",
                "option 'owner' is for mounts of type bind, not 'volume'",
            ),
            ("type=bind,owner=you", "invalid value for owner: you"),
            (
                "type=bind,src=/,target=/y,bind-propagation=foo",
                "invalid mount config for type \"bind\": invalid propagation mode: foo",
            ),
            ("type=bind,\"src=/a", "parse error: a quote is not closed"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), want, "{text}");
        }
    }
}
