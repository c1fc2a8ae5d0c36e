//! `--mount type=…,source=…,target=…`.

use container_core::request::{Mount, MountSource};

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
    #[error("target is required")]
    NoTarget,
    #[error("type is required")]
    NoType,
    #[error("invalid mount config for type \"{0}\": mount type unknown (use bind or tmpfs)")]
    Type(String),
    #[error("mounts of type {0} are not here yet (use bind or tmpfs)")]
    NotYet(String),
    #[error("cannot mix '{family}-*' options with mount type '{kind}'")]
    Mix { family: &'static str, kind: String },
    #[error("invalid mount config for type \"bind\": field Source must not be empty")]
    NoSource,
    #[error("invalid mount config for type \"tmpfs\": field Source must not be specified")]
    Source,
    #[error("invalid mount config for type \"{kind}\": {source}")]
    Path { kind: String, source: MountError },
    #[error("invalid mount config for type \"bind\": invalid propagation mode: {0}")]
    Propagation(String),
    #[error(
        "bind-recursive={0}: recursively read-only mounts are not here yet (use enabled or disabled)"
    )]
    Recursive(String),
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
    non_recursive: Option<bool>,
    tmpfs: Vec<String>,
    volume: bool,
    image: bool,
}

impl Parts {
    fn set(&mut self, key: &str, value: &str, field: &str) -> Result<(), SpecError> {
        let wrong = || SpecError::Value {
            key: key.to_owned(),
            value: value.to_owned(),
        };
        let yes = |value: &str| size::switch(value).map_err(|_| wrong());
        match key {
            "type" => self.kind = Some(value.to_ascii_lowercase()),
            "source" | "src" => self.source = value.to_owned(),
            "target" | "dst" | "destination" => self.target = value.to_owned(),
            "readonly" | "ro" => self.read_only = yes(value)?,
            "consistency" => {}
            "bind-propagation" => self.propagation = Some(value.to_ascii_lowercase()),
            "bind-nonrecursive" => self.non_recursive = Some(yes(value)?),
            "bind-recursive" => match value {
                "enabled" => self.non_recursive = Some(false),
                "disabled" => self.non_recursive = Some(true),
                "writable" | "readonly" => return Err(SpecError::Recursive(value.to_owned())),
                _ => return Err(wrong()),
            },
            "volume-subpath" | "volume-nocopy" | "volume-label" | "volume-driver"
            | "volume-opt" => self.volume = true,
            "image-subpath" => self.image = true,
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
            None => match field.to_ascii_lowercase().as_str() {
                key @ ("readonly" | "ro" | "bind-nonrecursive" | "volume-nocopy") => {
                    parts.set(key, "true", &field)?;
                }
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
    let bind = parts.propagation.is_some() || parts.non_recursive.is_some();
    for (family, given) in [
        ("bind", bind),
        ("volume", parts.volume),
        ("image", parts.image),
        ("tmpfs", !parts.tmpfs.is_empty()),
    ] {
        if given && kind != family {
            return Err(SpecError::Mix { family, kind });
        }
    }
    let path = |source| SpecError::Path {
        kind: kind.clone(),
        source,
    };
    let source = match kind.as_str() {
        "bind" => {
            if parts.source.is_empty() {
                return Err(SpecError::NoSource);
            }
            let relative = parts.source == "." || parts.source.starts_with("./");
            if !relative && !parts.source.starts_with('/') {
                return Err(path(MountError::Relative(parts.source)));
            }
            if let Some(value) = &parts.propagation
                && !mount::propagation(value)
            {
                return Err(SpecError::Propagation(value.clone()));
            }
            MountSource::Bind {
                path: parts.source.into(),
                create: false,
                non_recursive: parts.non_recursive.unwrap_or(false),
            }
        }
        "tmpfs" if !parts.source.is_empty() => return Err(SpecError::Source),
        "tmpfs" => MountSource::Tmpfs {
            options: parts.tmpfs,
        },
        "volume" | "image" => return Err(SpecError::NotYet(kind)),
        _ => return Err(SpecError::Type(kind)),
    };
    Ok(Mount {
        source,
        target: mount::target(&parts.target, text).map_err(path)?,
        read_only: parts.read_only,
        propagation: parts.propagation.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(read_only: bool, non_recursive: bool, propagation: &str) -> Mount {
        Mount {
            source: MountSource::Bind {
                path: "/a".into(),
                create: false,
                non_recursive,
            },
            target: "/b".into(),
            read_only,
            propagation: propagation.into(),
        }
    }

    #[test]
    fn binds() {
        for (text, want) in [
            ("type=bind,source=/a,target=/b", bind(false, false, "")),
            ("type=bind,src=/a,dst=/b", bind(false, false, "")),
            (
                "TYPE=bind,src=/a,destination=/b,readonly",
                bind(true, false, ""),
            ),
            ("type=bind,src=/a,dst=/b,ro=1", bind(true, false, "")),
            (
                "type=bind,src=/a,dst=/b,readonly=false",
                bind(false, false, ""),
            ),
            (
                "type=bind,src=/a,dst=/b,bind-propagation=rslave",
                bind(false, false, "rslave"),
            ),
            (
                "type=bind,src=/a,dst=/b,bind-nonrecursive",
                bind(false, true, ""),
            ),
            (
                "type=bind,src=/a,dst=/b,bind-recursive=disabled",
                bind(false, true, ""),
            ),
            (
                "type=bind,src=/a,dst=/b,consistency=cached",
                bind(false, false, ""),
            ),
            ("type=bind,\"src=/a\",dst=/b", bind(false, false, "")),
        ] {
            assert_eq!(parse(text), Ok(want), "{text}");
        }
        let comma = parse("type=bind,\"src=/a,b\"\"c\",dst=/b").unwrap();
        assert!(
            matches!(comma.source, MountSource::Bind { path, .. } if path.as_os_str() == "/a,b\"c")
        );
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
            ("foo=bar", "unexpected key 'foo' in 'foo=bar'"),
            ("src=/x", "target is required"),
            (
                "type=foo,target=/x",
                "invalid mount config for type \"foo\": mount type unknown (use bind or tmpfs)",
            ),
            (
                "type=bind,target=/x",
                "invalid mount config for type \"bind\": field Source must not be empty",
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
                "type=bind,src=/,target=/y,bind-propagation=foo",
                "invalid mount config for type \"bind\": invalid propagation mode: foo",
            ),
            (
                "source=data,target=/y",
                "mounts of type volume are not here yet (use bind or tmpfs)",
            ),
            ("type=bind,\"src=/a", "parse error: a quote is not closed"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), want, "{text}");
        }
    }
}
