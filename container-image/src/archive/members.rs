//! Where each file of an archive lies, so that it can be read in any order.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use super::ArchiveError;
use crate::layer::name;
use crate::tarball::{Kind, Reader, TarError};

/// Names and places may take this much memory, in bytes: hundreds of thousands of files.
const MAX_BYTES: usize = 64 << 20;
/// As Docker wrote layers that several images share: links that may go over several hops.
const MAX_LINKS: usize = 16;

/// The files of an archive by their clean names.
#[derive(Debug, Default)]
pub(super) struct Members(HashMap<Vec<u8>, Member>);

#[derive(Debug, PartialEq, Eq)]
enum Member {
    /// Offset and size.
    File(u64, u64),
    Link(Vec<u8>),
}

impl Members {
    /// Reads the headers of a plain tar archive and skips the data.
    pub(super) fn scan(file: &File) -> Result<Self, ArchiveError> {
        let position = Cell::new(0);
        let mut source = Positioned {
            file,
            position: &position,
        };
        let mut reader = Reader::new(&mut source);
        let mut members = HashMap::new();
        let mut bytes = 0;
        while let Some(entry) = reader.next_entry().map_err(tar_error)? {
            let (offset, size) = reader.data_place();
            reader.skip_data(|to| position.set(to));
            // No one can ask for a name that climbs out.
            let Ok(path) = name::clean(&entry.path) else {
                continue;
            };
            let member = match entry.kind {
                Kind::File if entry.sparse.is_none() => Member::File(offset, size),
                Kind::HardLink => match name::clean(&entry.link) {
                    Ok(target) => Member::Link(target),
                    Err(_) => continue,
                },
                Kind::Symlink => Member::Link(link_target(&path, &entry.link)),
                _ => continue,
            };
            bytes += path.len() + entry.link.len() + size_of::<Member>() + 64;
            if bytes > MAX_BYTES {
                return Err(ArchiveError::Malformed {
                    offset,
                    reason: "it has too many files for an archive of images",
                });
            }
            members.insert(path, member);
        }
        Ok(Self(members))
    }

    /// Offset and size of a file; links within the archive are followed.
    pub(super) fn find(&self, name: &str) -> Result<(u64, u64), ArchiveError> {
        let refused = |reason| ArchiveError::Refused {
            name: name.to_owned(),
            reason,
        };
        let mut path = name::clean(name.as_bytes()).map_err(refused)?;
        for _ in 0..MAX_LINKS {
            match self.0.get(&path) {
                Some(Member::File(offset, size)) => return Ok((*offset, *size)),
                Some(Member::Link(target)) => path.clone_from(target),
                None => {
                    return Err(ArchiveError::Missing {
                        name: name.to_owned(),
                    });
                }
            }
        }
        Err(refused("links go in a circle"))
    }
}

/// What a symbolic link means, within the archive: `..` at the top stays there.
fn link_target(link: &[u8], target: &[u8]) -> Vec<u8> {
    let base = if target.starts_with(b"/") {
        b""
    } else {
        name::split(link).0
    };
    let mut parts: Vec<&[u8]> = base
        .split(|&b| b == b'/')
        .filter(|p| !p.is_empty())
        .collect();
    for part in target.split(|&b| b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.join(&b'/')
}

/// Reads a file from a place that others set.
struct Positioned<'a> {
    file: &'a File,
    position: &'a Cell<u64>,
}

impl Read for Positioned<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read_at(buffer, self.position.get())?;
        self.position.set(self.position.get() + length as u64);
        Ok(length)
    }
}

pub(super) fn tar_error(error: TarError) -> ArchiveError {
    match error {
        TarError::Read(source) => ArchiveError::Read(source),
        TarError::Malformed { offset, reason } => ArchiveError::Malformed { offset, reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_inside() {
        for (link, target, expected) in [
            ("a/layer.tar", "../b/layer.tar", "b/layer.tar"),
            ("a/layer.tar", "layer2.tar", "a/layer2.tar"),
            ("a", "/etc/passwd", "etc/passwd"),
            ("a/b", "../../../etc/passwd", "etc/passwd"),
        ] {
            let found = link_target(link.as_bytes(), target.as_bytes());
            assert_eq!(found, expected.as_bytes(), "{link} {target}");
        }
    }

    #[test]
    fn circles_end() {
        let link = |name: &str| Member::Link(name.as_bytes().to_vec());
        let members = [
            ("a", link("b")),
            ("b", link("a")),
            ("c", Member::File(512, 3)),
        ];
        let members = members.map(|(name, member)| (name.as_bytes().to_vec(), member));
        let members = Members(HashMap::from(members));
        assert!(matches!(
            members.find("a"),
            Err(ArchiveError::Refused { .. })
        ));
        assert!(matches!(
            members.find("../c"),
            Err(ArchiveError::Refused { .. })
        ));
        assert!(matches!(
            members.find("d"),
            Err(ArchiveError::Missing { .. })
        ));
        assert_eq!(members.find("./c").unwrap(), (512, 3));
    }
}
