//! The records of PAX extended headers (POSIX.1-2017, pax, "pax Extended Header").

use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine as _, alphabet};

use super::Xattr;
use super::header::Fault;
use super::sparse::PaxSparse;

/// What the extended header of one entry says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<i64>,
    pub(super) uid: Option<i64>,
    pub(super) gid: Option<i64>,
    pub(super) mtime: Option<(i64, u32)>,
    pub(super) xattrs: Vec<Xattr>,
    pub(super) sparse: PaxSparse,
}

impl Pax {
    pub(super) fn parse(mut data: &[u8]) -> Result<Self, Fault> {
        let mut pax = Self::default();
        while !data.is_empty() {
            let (key, value, rest) = record(data)?;
            pax.take(key, value)?;
            data = rest;
        }
        Ok(pax)
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        // An empty value takes back what a global header or the entry's own says.
        let given = |value: &[u8]| (!value.is_empty()).then(|| value.to_vec());
        match key {
            b"path" => self.path = given(no_nul(value)?),
            b"linkpath" => self.link = given(no_nul(value)?),
            b"size" => self.size = optional(value, integer)?,
            b"uid" => self.uid = optional(value, integer)?,
            b"gid" => self.gid = optional(value, integer)?,
            b"mtime" => self.mtime = optional(value, time)?,
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattr(name.to_vec(), value.to_vec());
                } else if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
                    self.xattr(percent_decode(name)?, base64_decode(value)?);
                } else if let Some(name) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse.take(name, value)?;
                }
            }
        }
        Ok(())
    }

    /// bsdtar writes each attribute twice, in both forms.
    fn xattr(&mut self, name: Vec<u8>, value: Vec<u8>) {
        match self.xattrs.iter_mut().find(|(known, _)| *known == name) {
            Some(known) => known.1 = value,
            None => self.xattrs.push((name, value)),
        }
    }
}

/// Key and value of a record, and the records after it.
type Record<'a> = (&'a [u8], &'a [u8], &'a [u8]);

/// Splits off the first record: `length key=value\n`, the length in decimal and of all of it.
fn record(data: &[u8]) -> Result<Record<'_>, Fault> {
    const FAULT: Fault = "a PAX record is malformed";
    let space = data.iter().take(21).position(|&b| b == b' ').ok_or(FAULT)?;
    let length = usize::try_from(integer(&data[..space])?).map_err(|_| FAULT)?;
    if length < space + 3 || length > data.len() {
        return Err("a PAX record has a wrong length");
    }
    let (record, rest) = data.split_at(length);
    let body = record[space + 1..].strip_suffix(b"\n").ok_or(FAULT)?;
    let equals = body.iter().position(|&b| b == b'=').ok_or(FAULT)?;
    let key = &body[..equals];
    if key.is_empty() || key.contains(&0) {
        return Err(FAULT);
    }
    Ok((key, &body[equals + 1..], rest))
}

fn no_nul(value: &[u8]) -> Result<&[u8], Fault> {
    if value.contains(&0) {
        return Err("a PAX path contains a NUL byte");
    }
    Ok(value)
}

fn optional<T>(value: &[u8], parse: fn(&[u8]) -> Result<T, Fault>) -> Result<Option<T>, Fault> {
    if value.is_empty() {
        return Ok(None);
    }
    parse(value).map(Some)
}

/// A decimal number, not negative.
pub(super) fn integer(value: &[u8]) -> Result<i64, Fault> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err("a PAX number is not decimal");
    }
    value.iter().try_fold(0i64, |sum, digit| {
        sum.checked_mul(10)
            .and_then(|sum| sum.checked_add(i64::from(digit - b'0')))
            .ok_or("a PAX number is out of range")
    })
}

/// Seconds with an optional fraction and sign; digits past the ninth are dropped.
fn time(value: &[u8]) -> Result<(i64, u32), Fault> {
    let (negative, value) = match value.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let mut parts = value.splitn(2, |&b| b == b'.');
    let seconds = integer(parts.next().unwrap_or_default())?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err("a PAX time is malformed");
    }
    let digit = |at: usize| u32::from(fraction.get(at).map_or(0, |d| d - b'0'));
    let nanoseconds = (0..9).fold(0, |sum, at| sum * 10 + digit(at));
    match (negative, nanoseconds) {
        (false, _) => Ok((seconds, nanoseconds)),
        (true, 0) => Ok((-seconds, 0)),
        (true, _) => Ok((-seconds - 1, 1_000_000_000 - nanoseconds)),
    }
}

fn percent_decode(name: &[u8]) -> Result<Vec<u8>, Fault> {
    const FAULT: Fault = "the name of an extended attribute is malformed";
    let mut decoded = Vec::with_capacity(name.len());
    let mut bytes = name.iter();
    while let Some(&byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || {
            let digit = char::from(*bytes.next()?).to_digit(16)?;
            u8::try_from(digit).ok()
        };
        let (high, low) = (digit().ok_or(FAULT)?, digit().ok_or(FAULT)?);
        decoded.push(high << 4 | low);
    }
    Ok(decoded)
}

/// libarchive leaves the padding off; others put it.
fn base64_decode(text: &[u8]) -> Result<Vec<u8>, Fault> {
    const ENGINE: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    ENGINE
        .decode(text)
        .map_err(|_| "the value of an extended attribute is malformed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records() {
        let pax = Pax::parse(b"12 path=a/b\n20 mtime=12.5000001\n11 uid=300\n").unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"a/b"[..]));
        assert_eq!(pax.mtime, Some((12, 500_000_100)));
        assert_eq!(pax.uid, Some(300));
        for bad in [
            &b"12 path=a/b"[..],
            b"99 path=a/b\n",
            b"3 a\n",
            b"0 path=a/b\n",
            b"-12 path=a/b\n",
            b"11 path=a\0b\n",
            b"10 uid=-5\n",
            b"99999999999999999999999 a=b\n",
            b"7 =ab\n\n",
            b"path=a/b\n",
            b"12 mtime=1x\n",
        ] {
            assert!(Pax::parse(bad).is_err(), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn times() {
        assert_eq!(time(b"0"), Ok((0, 0)));
        assert_eq!(time(b"-1.25"), Ok((-2, 750_000_000)));
        assert_eq!(time(b"1.1234567899"), Ok((1, 123_456_789)));
        assert!(time(b"1.-5").is_err());
        assert!(time(b"").is_err());
    }

    #[test]
    fn attributes_in_both_forms() {
        let pax = Pax::parse(b"33 LIBARCHIVE.xattr.user.%61=aGk\n26 SCHILY.xattr.user.a=hi\n");
        assert_eq!(pax.unwrap().xattrs, [(b"user.a".to_vec(), b"hi".to_vec())]);
        assert_eq!(base64_decode(b"AAECAw=="), Ok(vec![0, 1, 2, 3]));
        assert!(base64_decode(b"A").is_err());
        assert!(percent_decode(b"a%4").is_err());
    }
}
