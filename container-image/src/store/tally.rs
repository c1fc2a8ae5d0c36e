//! The size of a layer as Docker shows it: the sum of the sizes of its files and of the lengths
//! of its symbolic links, taken from the tar headers while the stream passes by on its way to be
//! unpacked.

use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::layer::{UnpackError, Unpacker};

const BLOCK: usize = 512;
/// Longest PAX header looked into, in bytes; a longer one has no honest purpose.
const PAX_LIMIT: u64 = 1 << 20;

/// Unpacks with another unpacker and notes the size.
#[derive(Debug)]
pub(super) struct Tallying<'a> {
    pub(super) unpacker: &'a dyn Unpacker,
    pub(super) total: AtomicU64,
}

impl Unpacker for Tallying<'_> {
    fn unpack(&self, tar: &mut (dyn Read + Send), dir: &Path) -> Result<(), UnpackError> {
        let mut reader = TallyingReader {
            tar,
            tally: Tally::default(),
        };
        self.unpacker.unpack(&mut reader, dir)?;
        self.total.store(reader.tally.total, Ordering::Relaxed);
        Ok(())
    }

    fn remove(&self, dir: &Path) -> Result<(), UnpackError> {
        self.unpacker.remove(dir)
    }
}

struct TallyingReader<'a> {
    tar: &'a mut (dyn Read + Send),
    tally: Tally,
}

impl Read for TallyingReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.tar.read(buf)?;
        self.tally.feed(&buf[..n]);
        Ok(n)
    }
}

/// Follows a tar stream from header to header. It refuses nothing: a malformed archive
/// gives a wrong sum here and an error from the unpacker.
#[derive(Debug, Default)]
struct Tally {
    total: u64,
    /// Bytes of data and padding before the next header.
    skip: u64,
    /// Bytes at the start of `skip` that belong to a PAX header.
    pax_left: u64,
    pax: Vec<u8>,
    /// The next file's size as a PAX header gives it.
    pax_size: Option<u64>,
    /// The length of the next link's target, where it does not fit in a header.
    link: Option<u64>,
    /// Data that follow the extension headers of a sparse file (old GNU form).
    sparse: Option<u64>,
    header: Vec<u8>,
}

impl Tally {
    fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let n = usize::try_from(self.skip).map_or(bytes.len(), |s| s.min(bytes.len()));
                let pax = usize::try_from(self.pax_left).map_or(n, |left| left.min(n));
                if pax > 0 {
                    self.pax.extend_from_slice(&bytes[..pax]);
                    self.pax_left -= pax as u64;
                    if self.pax_left == 0 {
                        let size = pax_value(&self.pax, b"size=");
                        let size = size.and_then(|v| std::str::from_utf8(v).ok()?.parse().ok());
                        self.pax_size = size.or(self.pax_size);
                        let link = pax_value(&self.pax, b"linkpath=");
                        self.link = link.map(|l| l.len() as u64).or(self.link);
                        self.pax = Vec::new();
                    }
                }
                self.skip -= n as u64;
                bytes = &bytes[n..];
                continue;
            }
            let n = (BLOCK - self.header.len()).min(bytes.len());
            self.header.extend_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            if self.header.len() == BLOCK {
                let header = std::mem::take(&mut self.header);
                self.block(&header);
                self.header = header;
                self.header.clear();
            }
        }
    }

    fn block(&mut self, header: &[u8]) {
        if let Some(size) = self.sparse {
            if header[504] == 0 {
                self.sparse = None;
                self.skip = padded(size);
            }
            return;
        }
        let size = number(&header[124..136]);
        match header[156] {
            b'x' => {
                self.skip = padded(size);
                self.pax_left = if size <= PAX_LIMIT { size } else { 0 };
            }
            b'K' => {
                self.skip = padded(size);
                // It ends in a NUL.
                self.link = Some(size.saturating_sub(1));
            }
            b'g' | b'L' => self.skip = padded(size),
            b'2' => {
                let field = &header[157..257];
                let length = field.iter().position(|&b| b == 0).unwrap_or(field.len());
                let length = self.link.take().unwrap_or(length as u64);
                self.total = self.total.saturating_add(length);
                self.pax_size = None;
            }
            b'1' | b'3'..=b'6' => (self.pax_size, self.link) = (None, None),
            kind => {
                let size = self.pax_size.take().unwrap_or(size);
                self.total = self.total.saturating_add(size);
                if kind == b'S' && header[482] != 0 {
                    self.sparse = Some(size);
                } else {
                    self.skip = padded(size);
                }
            }
        }
    }
}

fn padded(size: u64) -> u64 {
    size.checked_next_multiple_of(BLOCK as u64)
        .unwrap_or(u64::MAX)
}

/// Octal digits, or GNU's big-endian binary form for what eleven digits cannot hold.
fn number(field: &[u8]) -> u64 {
    if field[0] & 0x80 != 0 {
        return field[4..]
            .iter()
            .fold(0, |n, byte| (n << 8) | u64::from(*byte));
    }
    field
        .iter()
        .skip_while(|byte| **byte == b' ')
        .take_while(|byte| matches!(byte, b'0'..=b'7'))
        .fold(0, |n, byte| (n << 3) | u64::from(byte - b'0'))
}

/// The last value of a key in a PAX header: records are `<length> <key>=<value>\n`.
fn pax_value<'a>(mut records: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let mut found = None;
    while let Some(space) = records.iter().position(|b| *b == b' ') {
        let length: usize = std::str::from_utf8(&records[..space]).ok()?.parse().ok()?;
        let record = records.get(space + 1..length)?;
        if let Some(value) = record.strip_prefix(key) {
            found = Some(value.strip_suffix(b"\n").unwrap_or(value));
        }
        records = records.get(length..)?;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive() -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut add = |kind: tar::EntryType, name: &str, data: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(data.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, data).unwrap();
        };
        add(tar::EntryType::Directory, "d", b"");
        add(tar::EntryType::Regular, "d/one", &[1; 700]);
        add(tar::EntryType::Regular, &"long/".repeat(60), &[2; 512]);
        add(tar::EntryType::Regular, "empty", b"");
        builder
            .append_pax_extensions([("size", b"3".as_slice()), ("comment", b"x")])
            .unwrap();
        add_after_pax(&mut builder);
        for target in ["target", &"far/".repeat(50)] {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            builder.append_link(&mut header, "link", target).unwrap();
        }
        builder
            .append_pax_extensions([("linkpath", b"of pax".as_slice())])
            .unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_path("link").unwrap();
        header.set_size(0);
        header.set_cksum();
        builder.append(&header, std::io::empty()).unwrap();
        builder.into_inner().unwrap()
    }

    fn add_after_pax(builder: &mut tar::Builder<Vec<u8>>) {
        let mut header = tar::Header::new_ustar();
        header.set_path("pax").unwrap();
        header.set_size(3);
        header.set_cksum();
        builder.append(&header, b"abc".as_slice()).unwrap();
    }

    #[test]
    fn file_sizes_are_summed_however_the_stream_is_cut() {
        let archive = archive();
        for step in [1, 7, 511, 512, 513, archive.len()] {
            let mut tally = Tally::default();
            archive.chunks(step).for_each(|chunk| tally.feed(chunk));
            assert_eq!(tally.total, 700 + 512 + 3 + 6 + 200 + 6, "step {step}");
        }
    }

    #[test]
    fn numbers_have_two_forms() {
        assert_eq!(number(b"00000001750\0"), 1000);
        assert_eq!(number(b"       1750 "), 1000);
        let mut binary = [0; 12];
        binary[0] = 0x80;
        binary[6] = 2;
        assert_eq!(number(&binary), 2 << 40);
        let size = pax_value(b"20 size=10000000000\n", b"size=");
        assert_eq!(size, Some(&b"10000000000"[..]));
        assert_eq!(pax_value(b"99 size=1\n", b"size="), None);
    }
}
