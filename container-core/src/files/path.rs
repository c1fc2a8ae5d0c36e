//! Paths as Docker reads them: a slash or `/.` at the end says something. Pure.

/// Whether a path ends in a slash.
pub(super) fn has_trailing_slash(path: &str) -> bool {
    path.ends_with('/')
}

/// Whether a path means the content of a directory: its last component is `.`.
pub(super) fn is_current_directory(path: &str) -> bool {
    path.rsplit('/').next() == Some(".")
}

/// Whether only a directory can be meant.
pub(super) fn asserts_directory(path: &str) -> bool {
    has_trailing_slash(path) || is_current_directory(path)
}

/// As short as can be, with the same meaning where no links are: Go's `filepath.Clean`.
pub(super) fn clean(path: &str) -> String {
    let absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                None | Some(&"..") if !absolute => parts.push(".."),
                _ => drop(parts.pop()),
            },
            _ => parts.push(part),
        }
    }
    match (absolute, parts.join("/")) {
        (true, rest) => format!("/{rest}"),
        (false, rest) if rest.is_empty() => ".".to_owned(),
        (false, rest) => rest,
    }
}

/// The path with what its end says kept, after something else of it has changed.
pub(super) fn keep_end(cleaned: &str, original: &str) -> String {
    let mut path = cleaned.to_owned();
    if is_current_directory(original) && !is_current_directory(&path) {
        if !has_trailing_slash(&path) {
            path.push('/');
        }
        path.push('.');
    }
    if has_trailing_slash(original) && !has_trailing_slash(&path) {
        path.push('/');
    }
    path
}

/// A path of a container: from its root on, `.` and `..` taken away, its end kept.
pub(super) fn absolute(path: &str) -> String {
    keep_end(&clean(&format!("/{path}")), path)
}

/// The last component: Go's `filepath.Base`.
pub(super) fn base(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" if path.is_empty() => ".",
        "" => "/",
        path => path.rsplit('/').next().unwrap_or(path),
    }
}

/// Directory and entry, of the cleaned path; `.` is an entry of its own.
pub(super) fn split(path: &str) -> (String, String) {
    let mut cleaned = clean(path);
    if is_current_directory(path) {
        cleaned.push_str("/.");
    }
    let (dir, entry) = match cleaned.rsplit_once('/') {
        Some(("", "")) => ("/", "/"),
        Some(("", entry)) => ("/", entry),
        Some((dir, entry)) => (dir, entry),
        None => (".", &*cleaned),
    };
    (clean(dir), entry.to_owned())
}

/// `path` from the directory `dir` on, if it is not absolute.
pub(super) fn join(dir: &str, path: &str) -> String {
    match path.starts_with('/') {
        true => path.to_owned(),
        false => clean(&format!("{dir}/{path}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleaned() {
        for (path, expected) in [
            ("", "."),
            ("/", "/"),
            ("/a//b/./c/", "/a/b/c"),
            ("/../a", "/a"),
            ("a/../..", ".."),
            ("../a", "../a"),
            ("a/..", "."),
        ] {
            assert_eq!(clean(path), expected, "{path}");
        }
    }

    #[test]
    fn ends() {
        for (path, expected) in [
            ("a", "/a"),
            ("/a/", "/a/"),
            ("a/.", "/a/."),
            (".", "/."),
            ("/", "/"),
            ("a/b/..", "/a"),
            ("a/./", "/a/"),
        ] {
            assert_eq!(absolute(path), expected, "{path}");
        }
        assert!(asserts_directory("/a/") && asserts_directory("/a/.") && asserts_directory("."));
        assert!(!asserts_directory("/a") && !asserts_directory("/a/.b"));
    }

    #[test]
    fn parts() {
        for (path, dir, entry) in [
            ("/a/b", "/a", "b"),
            ("/a/b/", "/a", "b"),
            ("/a/b/.", "/a/b", "."),
            ("/", "/", "/"),
            ("/a", "/", "a"),
            ("/.", "/", "."),
        ] {
            let (d, e) = split(path);
            assert_eq!((&*d, &*e), (dir, entry), "{path}");
        }
        assert_eq!((base("/a/b/"), base("/"), base("/a/.")), ("b", "/", "."));
        assert_eq!((&*join("/a", "../b"), &*join("/a", "/c")), ("/b", "/c"));
    }
}
