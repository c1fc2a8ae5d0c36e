//! What an ordinary user has to work with.

use std::fs;

use crate::error::Result;
use crate::plan::IdMaps;
use crate::request::IdMap;

/// The id maps of an engine that is not root's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rootless {
    pub(crate) maps: IdMaps,
}

impl Rootless {
    /// `None` for root; else the user's own id as 0 and the ranges of /etc/subuid and
    /// /etc/subgid (subuid(5)) from 1 on.
    pub(crate) fn detect() -> Result<Option<Self>> {
        let uid = nix::unistd::geteuid();
        if uid.is_root() {
            return Ok(None);
        }
        let gid = nix::unistd::getegid();
        let name = nix::unistd::User::from_uid(uid)
            .ok()
            .flatten()
            .map(|u| u.name);
        let ranges = |path| {
            // No file means no ranges, which is an ordinary state of things.
            let text = fs::read_to_string(path).unwrap_or_default();
            parse(&text, name.as_deref(), uid.as_raw())
        };
        let (uids, gids) = (ranges("/etc/subuid"), ranges("/etc/subgid"));
        let single = uids.is_empty() || gids.is_empty();
        let maps = |own, ranges: &[(u32, u32)]| {
            if single {
                map(own, &[])
            } else {
                map(own, ranges)
            }
        };
        let maps = IdMaps {
            uids: maps(uid.as_raw(), &uids),
            gids: maps(gid.as_raw(), &gids),
        };
        Ok(Some(Self { maps }))
    }

    /// More ids than the user's own exist inside.
    pub(crate) fn many_ids(&self) -> bool {
        self.maps.uids.len() > 1 && self.maps.gids.len() > 1
    }
}

/// The ranges (first id, count) of a user in the format of subuid(5).
fn parse(text: &str, name: Option<&str>, uid: u32) -> Vec<(u32, u32)> {
    let uid = uid.to_string();
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let who = fields.next()?;
            let range = (
                fields.next()?.parse().ok()?,
                fields.next()?.trim().parse().ok()?,
            );
            (Some(who) == name || who == uid).then_some(range)
        })
        .filter(|(_, count)| *count > 0)
        .collect()
}

fn map(own: u32, ranges: &[(u32, u32)]) -> Vec<IdMap> {
    let mut maps = vec![IdMap {
        inside: 0,
        outside: own,
        count: 1,
    }];
    let mut next = 1u32;
    for (first, count) in ranges {
        let count = (*count).min(u32::MAX - next);
        maps.push(IdMap {
            inside: next,
            outside: *first,
            count,
        });
        next += count;
    }
    maps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_a_user_by_name_and_number() {
        let text = "root:1:2\nme:100000:65536\n# comment\n1000:300000:10\nme:bad:1\nme:5:0\n";
        assert_eq!(
            parse(text, Some("me"), 1000),
            [(100_000, 65_536), (300_000, 10)]
        );
        assert_eq!(parse(text, None, 7), []);
    }

    #[test]
    fn own_id_first() {
        let maps = map(1000, &[(100_000, 65_536), (300_000, 10)]);
        let flat: Vec<_> = maps
            .iter()
            .map(|m| (m.inside, m.outside, m.count))
            .collect();
        assert_eq!(
            flat,
            [(0, 1000, 1), (1, 100_000, 65_536), (65_537, 300_000, 10)]
        );
    }
}
