//! Looks users and groups up in the container's own files, which are not to be trusted: they may
//! be links, pipes, or gigabytes.

use std::io::{BufRead, BufReader, Read};
use std::os::fd::BorrowedFd;

use rustix::fs::{FileType, OFlags};

use super::Fault;
use super::resolve::{self, Links};
use crate::plan::User;

/// A line longer than this is nobody's; a file is read no further than [`MAX_FILE`].
const MAX_LINE: u64 = 64 << 10;
const MAX_FILE: u64 = 16 << 20;

/// Who runs a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
    pub(super) home: String,
}

/// The user and group id of a process to be.
pub(super) fn ids(root: BorrowedFd<'_>, user: &User) -> Result<(u32, u32), Fault> {
    match user {
        User::Numeric { uid, gid, .. } => Ok((*uid, *gid)),
        User::Lookup { user, groups } => {
            lookup(root, user, groups).map(|identity| (identity.uid, identity.gid))
        }
    }
}

/// Resolves Docker's `user[:group]` and further groups. Numbers need no entry; names do.
pub(super) fn lookup(
    root: BorrowedFd<'_>,
    user: &str,
    more_groups: &[String],
) -> Result<Identity, Fault> {
    let passwd = lines(root, "/etc/passwd");
    let group = lines(root, "/etc/group");
    resolve_names(passwd, group, user, more_groups)
}

fn resolve_names(
    passwd: impl Iterator<Item = String>,
    group: impl Iterator<Item = String>,
    user: &str,
    more_groups: &[String],
) -> Result<Identity, Fault> {
    let (name, group_name) = match user.split_once(':') {
        Some((name, group)) => (name, Some(group).filter(|g| !g.is_empty())),
        None => (user, None),
    };
    let missing = |kind: &str, name: &str, file: &str| Fault::NoSuchUser {
        kind: kind.into(),
        name: name.into(),
        file: file.into(),
    };
    let number = id(name);
    let mut identity = Identity {
        uid: number.unwrap_or(0),
        gid: 0,
        groups: Vec::new(),
        home: "/".into(),
    };
    let mut entry_name = None;
    for line in passwd {
        // name:password:uid:gid:gecos:home:shell (passwd(5))
        let fields: Vec<&str> = line.split(':').collect();
        let [entry, _, uid, gid, _, home, ..] = fields[..] else {
            continue;
        };
        let (Some(uid), Some(gid)) = (id(uid), id(gid)) else {
            continue;
        };
        let wanted = if name.is_empty() {
            uid == 0
        } else {
            entry == name || number == Some(uid)
        };
        if wanted {
            (identity.uid, identity.gid) = (uid, gid);
            if !home.is_empty() {
                identity.home = home.to_owned();
            }
            entry_name = Some(entry.to_owned());
            break;
        }
    }
    if entry_name.is_none() && !name.is_empty() && number.is_none() {
        return Err(missing("user", name, "passwd file"));
    }
    let mut wanted: Vec<(&str, Option<u32>)> = more_groups.iter().map(|g| (&**g, None)).collect();
    if let Some(group) = group_name {
        wanted.push((group, None));
    }
    for line in group {
        // name:password:gid:member,member (group(5))
        let fields: Vec<&str> = line.split(':').collect();
        let [entry, _, gid, members, ..] = fields[..] else {
            continue;
        };
        let Some(gid) = id(gid) else { continue };
        for (name, found) in &mut wanted {
            if found.is_none() && *name == entry {
                *found = Some(gid);
            }
        }
        let member = |n: &String| members.split(',').any(|m| m == n);
        if group_name.is_none() && entry_name.as_ref().is_some_and(member) {
            identity.groups.push(gid);
        }
    }
    for (index, (name, found)) in wanted.iter().enumerate() {
        let gid = found
            .or_else(|| id(name))
            .ok_or_else(|| missing("group", name, "group file"))?;
        if index < more_groups.len() {
            identity.groups.push(gid);
        } else {
            identity.gid = gid;
        }
    }
    // The primary group is among the supplementary ones, or a program that gives up its group
    // could pass by a file that denies that group access (CVE-2022-36109).
    identity.groups.insert(0, identity.gid);
    identity.groups.retain({
        let mut seen = std::collections::HashSet::new();
        move |gid| seen.insert(*gid)
    });
    Ok(identity)
}

/// Ids end at 2^31 - 1, as in Docker.
fn id(text: &str) -> Option<u32> {
    text.parse::<u32>()
        .ok()
        .filter(|n| i32::try_from(*n).is_ok())
}

/// The lines of a regular file in the container; none when there is no such file.
fn lines(root: BorrowedFd<'_>, path: &str) -> impl Iterator<Item = String> {
    // O_NONBLOCK: opening a pipe must not wait for somebody to write into it.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let regular = |fd: &std::os::fd::OwnedFd| {
        rustix::fs::fstat(fd).is_ok_and(|s| FileType::from_raw_mode(s.st_mode).is_file())
    };
    let file = resolve::open(root, path, flags, Links::Follow)
        .ok()
        .filter(regular);
    Lines(file.map(|fd| BufReader::new(std::fs::File::from(fd).take(MAX_FILE))))
}

struct Lines<R>(Option<R>);

impl<R: BufRead> Iterator for Lines<R> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let reader = self.0.as_mut()?;
        let mut line = Vec::new();
        let n = reader
            .by_ref()
            .take(MAX_LINE)
            .read_until(b'\n', &mut line)
            .ok()?;
        if n == 0 {
            return None;
        }
        if line.last() != Some(&b'\n') && n as u64 == MAX_LINE {
            // Skip the rest of a line that no entry has.
            reader.skip_until(b'\n').ok()?;
            line.clear();
        }
        Some(
            String::from_utf8_lossy(&line)
                .trim_end_matches(['\n', '\r'])
                .to_owned(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
        www:x:33:34::/var/www:/bin/false\nbroken\n99:x:7:8::/h:/x\n";
    const GROUP: &str = "root:x:0:\nwww:x:34:\nadm:x:4:www,root\nx:x:5:root\n";

    fn find(user: &str, more: &[&str]) -> Result<Identity, Fault> {
        let more: Vec<_> = more.iter().map(|s| (*s).to_owned()).collect();
        let split = |text: &'static str| text.lines().map(str::to_owned);
        resolve_names(split(PASSWD), split(GROUP), user, &more)
    }

    #[test]
    fn names_and_numbers() {
        #[allow(clippy::type_complexity, reason = "a table")]
        let table: [(&str, (u32, u32, &[u32], &str)); 8] = [
            ("", (0, 0, &[0, 4, 5], "/root")),
            ("root", (0, 0, &[0, 4, 5], "/root")),
            ("www", (33, 34, &[34, 4], "/var/www")),
            ("33", (33, 34, &[34, 4], "/var/www")),
            ("1000", (1000, 0, &[0], "/")),
            ("1000:2000", (1000, 2000, &[2000], "/")),
            ("www:adm", (33, 4, &[4], "/var/www")),
            ("99", (7, 8, &[8], "/h")),
        ];
        for (user, (uid, gid, groups, home)) in table {
            let expected = Identity {
                uid,
                gid,
                groups: groups.to_vec(),
                home: home.into(),
            };
            assert_eq!(find(user, &[]), Ok(expected), "{user}");
        }
    }

    #[test]
    fn unknown_names() {
        for (user, more) in [
            ("nobody", &[][..]),
            ("www:nogroup", &[]),
            ("www", &["nogroup"]),
        ] {
            assert!(
                matches!(find(user, more), Err(Fault::NoSuchUser { .. })),
                "{user}"
            );
        }
        assert!(find("4294967295", &[]).is_err(), "ids end at 2^31 - 1");
    }

    #[test]
    fn long_lines_are_skipped() {
        let text = format!("{}\nb:x:1:1::/b:/s\n", "a".repeat(1 << 20));
        let lines: Vec<_> = Lines(Some(text.as_bytes())).collect();
        assert_eq!(lines.last().map(|l| &**l), Some("b:x:1:1::/b:/s"));
        assert_eq!(lines.len(), 2);
    }
}
