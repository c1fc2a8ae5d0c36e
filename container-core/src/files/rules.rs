//! `docker cp`'s rules: from what is to be copied and what is at the destination, into which
//! directory and under which name. Pure.

use super::error::FilesError;
use super::path;

/// What is to be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// Links resolved as far as they are to be; its end says what it said.
    pub(super) path: String,
    pub(super) is_dir: bool,
    /// What it was called before a link was followed.
    pub(super) rename: Option<String>,
}

/// Where it is to be copied to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) path: String,
    /// What is there: a directory, or something else.
    pub(super) is_dir: Option<bool>,
}

/// Into which directory, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placement {
    pub(super) into: String,
    /// Under this name instead of its own.
    pub(super) name: Option<String>,
}

pub(super) fn place(source: &Source, destination: &Destination) -> Result<Placement, FilesError> {
    let (into, name) = path::split(&destination.path);
    let renamed = Placement {
        into,
        name: Some(name),
    };
    match destination.is_dir {
        Some(true) => Ok(Placement {
            into: destination.path.clone(),
            name: source.rename.clone(),
        }),
        Some(false) if source.is_dir => Err(FilesError::DirectoryToFile),
        Some(false) => Ok(renamed),
        None if source.is_dir => Ok(renamed),
        None if path::asserts_directory(&destination.path) => Err(FilesError::NoSuchDirectory),
        None => Ok(renamed),
    }
}

/// A path whose link was followed to `target`: with the end that it had, and the name that it
/// loses.
pub(super) fn followed(asked: &str, target: &str) -> (String, Option<String>) {
    let path = path::keep_end(target, asked);
    let (old, new) = (path::base(asked), path::base(&path));
    let rename = (old != new).then(|| old.to_owned());
    (path, rename)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(source: (&str, bool), destination: (&str, Option<bool>)) -> String {
        let source = Source {
            path: source.0.to_owned(),
            is_dir: source.1,
            rename: None,
        };
        let destination = Destination {
            path: destination.0.to_owned(),
            is_dir: destination.1,
        };
        match place(&source, &destination) {
            Ok(Placement { into, name }) => format!("{into} {}", name.unwrap_or_default()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_table_of_docker_cp() {
        let (dir, file) = (true, false);
        for (source, destination, expected) in [
            // A file,
            (("/s/f", file), ("/d", Some(dir)), "/d "),
            (("/s/f", file), ("/d/", Some(dir)), "/d/ "),
            (("/s/f", file), ("/d/g", Some(file)), "/d g"),
            (("/s/f", file), ("/d/g", None), "/d g"),
            (("/s/f", file), ("/d/g/", None), "no such directory"),
            (("/s/f", file), ("/d/g/.", None), "no such directory"),
            // a directory,
            (("/s/a", dir), ("/d", Some(dir)), "/d "),
            (("/s/a", dir), ("/d/f", Some(file)), "cannot copy directory"),
            (("/s/a", dir), ("/d/b", None), "/d b"),
            (("/s/a", dir), ("/d/b/", None), "/d b"),
            // and its content.
            (("/s/a/.", dir), ("/d", Some(dir)), "/d "),
            (("/s/a/.", dir), ("/d/b", None), "/d b"),
            (
                ("/s/a/.", dir),
                ("/d/f", Some(file)),
                "cannot copy directory",
            ),
        ] {
            let case = format!("{source:?} {destination:?}");
            assert_eq!(placed(source, destination), expected, "{case}");
        }
    }

    #[test]
    fn names_of_links_stay() {
        let case = |asked, target| {
            let (path, rename) = followed(asked, target);
            format!("{path} {}", rename.unwrap_or_default())
        };
        assert_eq!(case("/l", "/d/real"), "/d/real l");
        assert_eq!(case("/l/", "/d/real"), "/d/real/ l");
        assert_eq!(case("/l/.", "/d/real"), "/d/real/. ");
        assert_eq!(case("/x/same", "/y/same"), "/y/same ");
    }
}
