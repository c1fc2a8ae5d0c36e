//! Maps of ids. Pure.

use super::IdMaps;
use crate::request::IdMap;

impl IdMaps {
    /// Maps that let one user (user and group id) appear as another, that as the former, and all
    /// others as they are: `disk` is who owns the files, `seen` who seems to. `None` when that
    /// changes nothing.
    pub(crate) fn swapping(seen: (u32, u32), disk: (u32, u32)) -> Option<Self> {
        (seen != disk).then(|| Self {
            uids: swap(seen.0, disk.0),
            gids: swap(seen.1, disk.1),
        })
    }

    /// What a user and a group id are outside; none for those that are not there.
    pub(crate) fn outside(&self, (uid, gid): (u32, u32)) -> Option<(u32, u32)> {
        Some((outside(&self.uids, uid)?, outside(&self.gids, gid)?))
    }
}

fn outside(maps: &[IdMap], id: u32) -> Option<u32> {
    let found = maps.iter().find_map(|m| {
        let at = id.checked_sub(m.inside).filter(|at| *at < m.count)?;
        m.outside.checked_add(at)
    });
    // The last number, 2^32 - 1, is no id.
    found.filter(|id| *id != u32::MAX)
}

fn swap(a: u32, b: u32) -> Vec<IdMap> {
    let (low, high) = (a.min(b), a.max(b));
    let map = |inside, outside, count| IdMap {
        inside,
        outside,
        count,
    };
    let same = |from: u32, to: u32| map(from, from, to - from);
    if low == high {
        return vec![map(0, 0, u32::MAX)];
    }
    // The last number, 2^32 - 1, is no id.
    let maps = [
        same(0, low),
        map(low, high, 1),
        same(low + 1, high),
        map(high, low, 1),
        same(high.saturating_add(1), u32::MAX),
    ];
    maps.into_iter().filter(|map| map.count > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(maps: &[IdMap]) -> Vec<(u32, u32, u32)> {
        maps.iter()
            .map(|m| (m.inside, m.outside, m.count))
            .collect()
    }

    #[test]
    fn two_ids_change_places() {
        const END: u32 = u32::MAX;
        #[allow(clippy::type_complexity, reason = "a table")]
        let table: [((u32, u32), &[(u32, u32, u32)]); 5] = [
            ((0, 0), &[(0, 0, END)]),
            ((0, 1), &[(0, 1, 1), (1, 0, 1), (2, 2, END - 2)]),
            (
                (1000, 0),
                &[
                    (0, 1000, 1),
                    (1, 1, 999),
                    (1000, 0, 1),
                    (1001, 1001, END - 1001),
                ],
            ),
            (
                (5, 7),
                &[(0, 0, 5), (5, 7, 1), (6, 6, 1), (7, 5, 1), (8, 8, END - 8)],
            ),
            (
                (END - 1, 0),
                &[(0, END - 1, 1), (1, 1, END - 2), (END - 1, 0, 1)],
            ),
        ];
        for ((a, b), want) in table {
            assert_eq!(flat(&swap(a, b)), want, "{a} {b}");
            assert_eq!(flat(&swap(b, a)), want, "{b} {a}");
        }
    }

    #[test]
    fn ids_outside() {
        let map = |inside, outside, count| IdMap {
            inside,
            outside,
            count,
        };
        let maps = IdMaps {
            uids: vec![map(0, 1000, 1), map(5, 100, 10)],
            gids: vec![map(0, u32::MAX - 1, 9)],
        };
        for (ids, want) in [
            ((0, 0), Some((1000, u32::MAX - 1))),
            ((5, 0), Some((100, u32::MAX - 1))),
            ((14, 0), Some((109, u32::MAX - 1))),
            ((15, 0), None),
            ((1, 0), None),
            ((0, 1), None),
            ((0, 2), None),
        ] {
            assert_eq!(maps.outside(ids), want, "{ids:?}");
        }
    }

    #[test]
    fn nothing_to_swap() {
        assert_eq!(IdMaps::swapping((0, 0), (0, 0)), None);
        let maps = IdMaps::swapping((0, 5), (0, 0)).unwrap();
        assert_eq!(flat(&maps.uids), [(0, 0, u32::MAX)]);
    }
}
