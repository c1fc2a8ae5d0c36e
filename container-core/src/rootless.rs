//! What an ordinary user has to work with.

use std::fs;

use crate::error::{Error, Result};
use crate::plan::IdMaps;
use crate::request::IdMap;

/// The ids of an engine that is not the machine's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rootless {
    /// What containers' processes see of the machine's ids.
    maps: IdMaps,
    /// The engine's process is in that user namespace already, as its root.
    inside: bool,
}

impl Rootless {
    /// `None` for the machine's root. Root of a user namespace has that namespace's ids; anybody
    /// else has their own id as 0 and the ranges of /etc/subuid and /etc/subgid (subuid(5)) from 1
    /// on.
    pub(crate) fn detect() -> Result<Option<Self>> {
        let uid = nix::unistd::geteuid();
        if uid.is_root() {
            let read = |path| fs::read_to_string(path).map_err(Error::io("read", path));
            let (uids, gids) = (read("/proc/self/uid_map")?, read("/proc/self/gid_map")?);
            let (uids, gids) = (parse_map(&uids), parse_map(&gids));
            let whole = |maps: &[IdMap]| maps.iter().any(|m| m.count == u32::MAX);
            let inside = !(whole(&uids) && whole(&gids));
            return Ok(inside.then_some(Self {
                maps: IdMaps { uids, gids },
                inside,
            }));
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
        Ok(Some(Self {
            maps,
            inside: false,
        }))
    }

    /// The user namespace that a monitor has to make and enter; none when it is there already.
    pub(crate) fn to_enter(&self) -> Option<&IdMaps> {
        (!self.inside).then_some(&self.maps)
    }

    /// More ids than the user's own exist in the user namespace.
    pub(crate) fn many_ids(&self) -> bool {
        let many = |maps: &[IdMap]| maps.iter().map(|m| u64::from(m.count)).sum::<u64>() > 1;
        many(&self.maps.uids) && many(&self.maps.gids)
    }
}

/// The lines of `/proc/PID/uid_map` (user_namespaces(7)).
fn parse_map(text: &str) -> Vec<IdMap> {
    let line = |line: &str| {
        let mut numbers = line.split_whitespace().map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some(IdMap {
            inside: next()?,
            outside: next()?,
            count: next()?,
        })
    };
    text.lines().filter_map(line).collect()
}

/// The ranges (first id, count) of a user in the format of subuid(5).
pub(crate) fn parse(text: &str, name: Option<&str>, uid: u32) -> Vec<(u32, u32)> {
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
    fn maps_of_the_kernel() {
        let maps =
            parse_map("         0       1001          1\n         1     100000      65536\n");
        let flat: Vec<_> = maps
            .iter()
            .map(|m| (m.inside, m.outside, m.count))
            .collect();
        assert_eq!(flat, [(0, 1001, 1), (1, 100_000, 65_536)]);
        assert_eq!(parse_map("0 0 4294967295\n")[0].count, u32::MAX);
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
