//! Ranges of ids that containers have of their own: `<root>/ranges/<first user id>`, a symbolic
//! link to the container's id. It is made exclusively, as names are. One that no record tells,
//! with nobody at it, is free.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Record;
use super::names::{self, Kind};
use crate::plan::IdMaps;
use crate::request::{IdMap, UserNamespace};
use crate::rootless;
use crate::spec::LENGTH;

const RANGES: Kind = Kind {
    directory: "ranges",
    tells: |record, name| first(record).is_some_and(|first| first.to_string() == name),
};

/// The first user id of a container's range, if it has one.
fn first(record: &Record) -> Option<u32> {
    let maps = record.id_maps.as_ref()?;
    let auto = matches!(record.request.userns, UserNamespace::Auto { .. });
    maps.uids.first().filter(|_| auto).map(|map| map.outside)
}

/// Beyond what systemd and adduser(8) give away, below what is negative to some.
const NOBODYS: (u32, u32) = (0x7000_0000, 0x1000_0000);

/// Where ranges come from: (first id, count), of users and groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pool {
    uids: Vec<(u32, u32)>,
    gids: Vec<(u32, u32)>,
    /// How many ids a container gets.
    size: u32,
}

impl Pool {
    /// Those of `containers` in `/etc/subuid` and `/etc/subgid`, as podman has it, else root's,
    /// else nobody's.
    pub(crate) fn new(subuid: &str, subgid: &str, size: Option<u32>) -> Self {
        let of = |text, user, number| rootless::parse(text, Some(user), number);
        let pools = [("containers", u32::MAX), ("root", 0)].map(|(user, number)| {
            let (uids, gids) = (of(subuid, user, number), of(subgid, user, number));
            (!uids.is_empty() && !gids.is_empty()).then_some((uids, gids))
        });
        let pool = pools.into_iter().flatten().next();
        let (uids, gids) = pool.unwrap_or_else(|| (vec![NOBODYS], vec![NOBODYS]));
        let size = size.unwrap_or(LENGTH);
        Self { uids, gids, size }
    }

    /// The first user and group ids of all ranges that are long enough.
    fn ranges(&self) -> Vec<(u32, u32)> {
        let firsts = |ids: &[(u32, u32)]| -> Vec<u32> {
            let firsts = ids.iter().flat_map(|(first, count)| {
                let end = first.saturating_add(*count);
                (*first..end)
                    .step_by(LENGTH as usize)
                    .filter(move |at| end - at >= self.size)
            });
            firsts.collect()
        };
        firsts(&self.uids)
            .into_iter()
            .zip(firsts(&self.gids))
            .collect()
    }

    /// Maps to one of the ranges, taken or not, to compile with.
    pub(crate) fn any(&self) -> Option<IdMaps> {
        self.ranges().first().map(|range| self.maps(*range))
    }

    fn maps(&self, (uid, gid): (u32, u32)) -> IdMaps {
        let map = |outside| {
            let count = self.size;
            let inside = 0;
            vec![IdMap {
                inside,
                outside,
                count,
            }]
        };
        IdMaps {
            uids: map(uid),
            gids: map(gid),
        }
    }
}

/// Takes a range for a container; none when all are taken.
pub(crate) fn take(root: &Path, run: &Path, pool: &Pool, id: &str) -> io::Result<Option<IdMaps>> {
    let mut ranges = pool.ranges();
    if ranges.is_empty() {
        return Ok(None);
    }
    // Engines of other stores do not know of ours: that all begin elsewhere keeps them apart.
    let digits = id.get(..8).and_then(|d| usize::from_str_radix(d, 16).ok());
    let start = digits.unwrap_or(0) % ranges.len();
    ranges.rotate_left(start);
    let entries = fs::read_dir(root.join(RANGES.directory))
        .into_iter()
        .flatten();
    let taken: HashSet<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    let name = |uid: u32| uid.to_string();
    // Those of containers that are gone come last: most of the taken are not.
    let is_taken = |(uid, _): &(u32, u32)| taken.contains(std::ffi::OsStr::new(&name(*uid)));
    let (taken, free): (Vec<_>, Vec<_>) = ranges.into_iter().partition(is_taken);
    for range in free.into_iter().chain(taken) {
        if names::take_of(&RANGES, root, run, &name(range.0), id)?.is_ok() {
            return Ok(Some(pool.maps(range)));
        }
    }
    Ok(None)
}

/// Gives a container's range back, if it has one.
pub(crate) fn release(root: &Path, record: &Record) {
    if let Some(first) = first(record) {
        names::release_of(&RANGES, root, &first.to_string(), &record.id);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Claim;
    use super::*;

    fn firsts(subuid: &str, subgid: &str, size: Option<u32>) -> Vec<(u32, u32)> {
        Pool::new(subuid, subgid, size).ranges()
    }

    #[test]
    fn whose_ranges() {
        let both = "root:100:65536\nme:1:2\ncontainers:300000:131072\n";
        assert_eq!(
            firsts(both, both, None),
            [(300_000, 300_000), (365_536, 365_536)]
        );
        let root = "root:500:65536\n";
        // Of `containers` there are no group ids.
        assert_eq!(firsts(both, root, None), [(100, 500)]);
        let nobodys = firsts("me:1:99999\n", "", None);
        assert_eq!((nobodys.len(), nobodys[0]), (4096, (NOBODYS.0, NOBODYS.0)));
    }

    #[test]
    fn what_is_too_short_is_left_out() {
        let text = "root:0:65535\nroot:200000:70000\n";
        assert_eq!(firsts(text, text, None), [(200_000, 200_000)]);
        assert_eq!(firsts(text, text, Some(4000)).len(), 3);
        assert_eq!(firsts("root:0:9\n", "root:0:9\n", None), []);
    }

    #[test]
    fn ranges_are_ones_own() {
        let dir = tempfile::tempdir().unwrap();
        let (root, run) = (dir.path(), dir.path().join("run"));
        fs::create_dir(&run).unwrap();
        let text = "root:100000:131072\n";
        let pool = Pool::new(text, text, Some(10));
        let take = |id: &str| {
            let claim = Claim::take(&run.join(id)).unwrap();
            let maps = take(root, &run, &pool, id).unwrap()?;
            assert_eq!((maps.uids.len(), maps.uids[0].count), (1, 10));
            Some((maps.uids[0].outside, claim))
        };
        // Where each begins follows from its id.
        let (first, held) = take("00000001a").unwrap();
        let (second, _held) = take("00000001b").unwrap();
        assert_eq!((first, second), (165_536, 100_000));
        assert!(take("00000001c").is_none());
        // One that is gone without a word leaves its range to the next.
        drop(held);
        assert_eq!(take("00000001d").unwrap().0, first);
    }
}
