//! What the name of an archive entry means for a layer (OCI image-spec, layer.md, "Whiteouts").

/// Linux' PATH_MAX without the NUL: nothing longer can be looked up.
const PATH_MAX: usize = 4095;

/// Why a name is refused.
pub(crate) type Fault = &'static str;

/// The meaning of a name. Paths are relative, with neither `.` nor `..`; the root is empty.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// An ordinary entry.
    Entry(Vec<u8>),
    /// Hides this path of the layers below.
    Whiteout(Vec<u8>),
    /// Hides all that the layers below have in this directory.
    Opaque(Vec<u8>),
    /// Bookkeeping of AUFS, which no one wants.
    Metadata,
}

pub(super) fn classify(raw: &[u8]) -> Result<Name, Fault> {
    let path = clean(raw)?;
    let (parent, base) = split(&path);
    let mut above = parent.split(|&b| b == b'/');
    if let Some(marked) = above.find(|part| part.starts_with(b".wh.")) {
        return match marked.starts_with(b".wh..wh.") {
            true => Ok(Name::Metadata),
            false => Err("it lies below a whiteout"),
        };
    }
    if base == b".wh..wh..opq" {
        return Ok(Name::Opaque(parent.to_vec()));
    }
    if base.starts_with(b".wh..wh.") {
        return Ok(Name::Metadata);
    }
    let Some(hidden) = base.strip_prefix(b".wh.") else {
        return Ok(Name::Entry(path));
    };
    match hidden {
        b"" | b"." | b".." => Err("it is a whiteout of no name"),
        _ => Ok(Name::Whiteout(join(parent, hidden))),
    }
}

/// Makes a name of an archive relative to the root, and refuses one that leaves it.
pub(crate) fn clean(raw: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut path: Vec<u8> = Vec::with_capacity(raw.len());
    for part in raw.split(|&b| b == b'/') {
        match part {
            b"" | b"." => {}
            b".." if path.is_empty() => return Err("it climbs out of the root"),
            b".." => path.truncate(split(&path).0.len()),
            _ => {
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(part);
            }
        }
    }
    if path.len() > PATH_MAX {
        return Err("its path is longer than 4095 bytes");
    }
    Ok(path)
}

/// Parent and last component of a clean path.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&b| b == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

/// `parent/name`, of clean paths.
pub(crate) fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    if parent.is_empty() {
        return name.to_vec();
    }
    [parent, b"/", name].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (raw, path) in [
            ("", ""),
            ("./", ""),
            ("/", ""),
            ("a/..", ""),
            ("./a//b/./c/", "a/b/c"),
            ("/etc/passwd", "etc/passwd"),
            ("a/b/../c", "a/c"),
        ] {
            assert_eq!(clean(raw.as_bytes()).unwrap(), path.as_bytes(), "{raw}");
        }
        for raw in ["..", "../x", "a/../../x", "/.."] {
            assert!(clean(raw.as_bytes()).is_err(), "{raw}");
        }
        assert!(clean(&[b'a'; 4095]).is_ok());
        assert!(clean(&[b'a'; 4096]).is_err());
    }

    #[test]
    fn whiteouts() {
        let path = |p: &str| p.as_bytes().to_vec();
        for (raw, name) in [
            ("a/.wh.b", Name::Whiteout(path("a/b"))),
            (".wh.b", Name::Whiteout(path("b"))),
            (".wh....", Name::Whiteout(path("..."))),
            ("a/.wh..wh..opq", Name::Opaque(path("a"))),
            (".wh..wh..opq", Name::Opaque(path(""))),
            (".wh..wh.plnk/1.2", Name::Metadata),
            (".wh..wh.aufs", Name::Metadata),
            ("a/.wx.b", Name::Entry(path("a/.wx.b"))),
        ] {
            assert_eq!(classify(raw.as_bytes()), Ok(name), "{raw}");
        }
        for raw in [".wh.", ".wh..", ".wh...", "a/.wh.", ".wh.a/b"] {
            assert!(classify(raw.as_bytes()).is_err(), "{raw}");
        }
    }
}
