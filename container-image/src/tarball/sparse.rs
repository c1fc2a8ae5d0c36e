//! Sparse files: GNU's old header map, and GNU.sparse 0.0, 0.1 and 1.0 in PAX
//! (GNU tar manual, "Storing Sparse Files").

use super::header::{self, Fault};
use super::pax::integer;

/// A run of stored bytes and where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// The `GNU.sparse.*` records of an extended header.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PaxSparse {
    pub(super) major: Option<i64>,
    minor: Option<i64>,
    pub(super) name: Option<Vec<u8>>,
    pub(super) real_size: Option<i64>,
    /// Offsets and lengths in turn, of formats 0.0 and 0.1.
    numbers: Vec<i64>,
    has_map: bool,
}

impl PaxSparse {
    pub(super) fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        match key {
            b"major" => self.major = Some(integer(value)?),
            b"minor" => self.minor = Some(integer(value)?),
            b"name" => {
                if value.contains(&0) {
                    return Err("a PAX path contains a NUL byte");
                }
                self.name = Some(value.to_vec());
            }
            b"size" | b"realsize" => self.real_size = Some(integer(value)?),
            // 0.0 repeats this pair; the order of the records matters.
            b"offset" => {
                if !self.numbers.len().is_multiple_of(2) {
                    return Err("a sparse map lacks a length");
                }
                self.has_map = true;
                self.numbers.push(integer(value)?);
            }
            b"numbytes" => {
                if self.numbers.len().is_multiple_of(2) {
                    return Err("a sparse map lacks an offset");
                }
                self.numbers.push(integer(value)?);
            }
            b"map" => {
                self.has_map = true;
                let numbers = value.split(|&b| b == b',').map(integer);
                self.numbers = numbers.collect::<Result<_, _>>()?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether the map stands before the file's data (1.0).
    pub(super) fn map_in_data(&self) -> Result<bool, Fault> {
        match (self.major, self.minor) {
            (None | Some(0), _) => Ok(false),
            (Some(1), Some(0)) => Ok(true),
            _ => Err("the version of the sparse file is unknown"),
        }
    }

    /// The map of formats 0.0 and 0.1, if there is one.
    pub(super) fn map(&self) -> Result<Option<Vec<Segment>>, Fault> {
        self.has_map.then(|| pairs(&self.numbers)).transpose()
    }
}

/// Makes segments of offsets and lengths in turn.
pub(super) fn pairs(numbers: &[i64]) -> Result<Vec<Segment>, Fault> {
    if !numbers.len().is_multiple_of(2) {
        return Err("a sparse map lacks a length");
    }
    let segment = |pair: &[i64]| match (u64::try_from(pair[0]), u64::try_from(pair[1])) {
        (Ok(offset), Ok(length)) => Ok(Segment { offset, length }),
        _ => Err("a sparse map has a negative number"),
    };
    numbers.chunks_exact(2).map(segment).collect()
}

/// The places of a map in a GNU header or extension block: 12 bytes of offset, 12 of length.
pub(super) fn gnu_places(places: &[u8], into: &mut Vec<i64>) -> Result<(), Fault> {
    for place in places.chunks_exact(24) {
        if place[0] == 0 {
            break;
        }
        into.push(header::number(&place[..12])?);
        into.push(header::number(&place[12..])?);
    }
    Ok(())
}

/// Checks that a map is in order, without overlap, within the file, and uses up the stored data.
pub(super) fn check(map: &[Segment], real_size: u64, stored: u64) -> Result<(), Fault> {
    let (mut end, mut sum) = (0u64, 0u64);
    for segment in map {
        if segment.offset < end {
            return Err("a sparse map overlaps itself");
        }
        end = segment
            .offset
            .checked_add(segment.length)
            .ok_or("a sparse map is out of range")?;
        sum += segment.length;
    }
    if end > real_size || real_size > i64::MAX.cast_unsigned() {
        return Err("a sparse map reaches past the end of its file");
    }
    if sum != stored {
        return Err("a sparse map does not match the stored data");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(numbers: &[i64]) -> Vec<Segment> {
        pairs(numbers).unwrap()
    }

    #[test]
    fn maps_are_checked() {
        assert_eq!(check(&map(&[0, 5, 10, 5]), 20, 10), Ok(()));
        assert!(check(&map(&[0, 5, 4, 5]), 20, 10).is_err(), "overlap");
        assert!(check(&map(&[10, 5, 0, 5]), 20, 10).is_err(), "order");
        assert!(check(&map(&[0, 5]), 4, 5).is_err(), "past the end");
        assert!(check(&map(&[0, 5]), 9, 6).is_err(), "stored");
        assert!(check(&map(&[i64::MAX, i64::MAX, i64::MAX, 2]), 9, 6).is_err());
        assert!(pairs(&[0, -5]).is_err());
        assert!(pairs(&[0, 5, 1]).is_err());
    }

    #[test]
    fn records_in_order() {
        let mut sparse = PaxSparse::default();
        sparse.take(b"offset", b"1").unwrap();
        assert!(sparse.take(b"offset", b"2").is_err());
        sparse.take(b"numbytes", b"2").unwrap();
        assert_eq!(sparse.map().unwrap().unwrap(), map(&[1, 2]));
        sparse.take(b"map", b"3,4,5,6").unwrap();
        assert_eq!(sparse.map().unwrap().unwrap(), map(&[3, 4, 5, 6]));
        assert!(sparse.take(b"map", b"3,-4").is_err());
    }
}
