//! Writes tar streams: ustar, and PAX records for what does not fit in it.

use std::io::{self, Read, Write};

use super::{BLOCK, Entry, Kind};

/// Bytes read at once.
const BUFFER: usize = 256 << 10;
/// What seven octal digits hold.
const MAX_ID: u64 = 0o7_777_777;
/// What eleven octal digits hold.
const MAX_SIZE: u64 = 0o77_777_777_777;
/// Bytes of the fields for a name and for a link's target.
const MAX_NAME: usize = 100;

/// A tar stream being written. The same entries give the same bytes.
pub(crate) struct Writer<'w> {
    output: tar::Builder<&'w mut dyn Write>,
    buffer: Vec<u8>,
}

impl<'w> Writer<'w> {
    pub(crate) fn new(output: &'w mut dyn Write) -> Self {
        Self {
            output: tar::Builder::new(output),
            buffer: Vec::new(),
        }
    }

    /// Writes an entry's headers. Of a file, exactly `entry.size` bytes of data must follow.
    pub(crate) fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        let mut records = Vec::new();
        for (name, value) in &entry.xattrs {
            // No record's key can be anything else.
            let text = std::str::from_utf8(name).ok();
            if let Some(text) = text.filter(|n| !n.contains('=')) {
                records.push((format!("SCHILY.xattr.{text}"), value.clone()));
            }
        }
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(entry_type(entry.kind));
        header.set_mode(entry.mode & 0o7777);
        let mut number = |key: &str, value: u64, limit: u64| {
            if value <= limit {
                return value;
            }
            records.push((key.to_owned(), value.to_string().into_bytes()));
            0
        };
        header.set_uid(number("uid", entry.uid.into(), MAX_ID));
        header.set_gid(number("gid", entry.gid.into(), MAX_ID));
        let size = if entry.kind == Kind::File {
            entry.size
        } else {
            0
        };
        header.set_size(number("size", size, MAX_SIZE));
        let (seconds, nanoseconds) = entry.mtime;
        header.set_mtime(u64::try_from(seconds).map_or(0, |s| s.min(MAX_SIZE)));
        if nanoseconds != 0 || !(0..=MAX_SIZE.cast_signed()).contains(&seconds) {
            let time = pax_time(seconds, nanoseconds);
            records.push(("mtime".to_owned(), time.into_bytes()));
        }
        if matches!(entry.kind, Kind::Char | Kind::Block) {
            header.set_device_major(entry.device.0)?;
            header.set_device_minor(entry.device.1)?;
        }
        let bytes = header.as_mut_bytes();
        for (field, text, key) in [(0, &entry.path, "path"), (157, &entry.link, "linkpath")] {
            let length = text.len().min(MAX_NAME);
            bytes[field..field + length].copy_from_slice(&text[..length]);
            if text.len() > MAX_NAME {
                records.push((key.to_owned(), text.clone()));
            }
        }
        header.set_cksum();
        if !records.is_empty() {
            let records = records
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_slice()));
            self.output.append_pax_extensions(records)?;
        }
        self.output.get_mut().write_all(header.as_bytes())
    }

    /// Writes a file's data. What the source lacks is filled up with zeros.
    pub(crate) fn data(&mut self, source: &mut dyn Read, size: u64) -> Result<(), Fault> {
        let output = self.output.get_mut();
        let length = usize::try_from(size).map_or(BUFFER, |size| size.min(BUFFER));
        if self.buffer.len() < length {
            self.buffer.resize(length, 0);
        }
        let mut data = source.chain(io::repeat(0)).take(size);
        loop {
            let length = match data.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Fault::Read(error)),
            };
            output
                .write_all(&self.buffer[..length])
                .map_err(Fault::Write)?;
        }
        let padding = size.next_multiple_of(BLOCK as u64) - size;
        let zeros = &[0; BLOCK][..usize::try_from(padding).unwrap_or(0)];
        output.write_all(zeros).map_err(Fault::Write)
    }

    /// Writes the end of the archive.
    pub(crate) fn finish(self) -> io::Result<()> {
        self.output.into_inner()?.flush()
    }
}

/// Which side of a copy failed.
#[derive(Debug)]
pub(crate) enum Fault {
    Read(io::Error),
    Write(io::Error),
}

fn entry_type(kind: Kind) -> tar::EntryType {
    match kind {
        Kind::File => tar::EntryType::Regular,
        Kind::HardLink => tar::EntryType::Link,
        Kind::Symlink => tar::EntryType::Symlink,
        Kind::Char => tar::EntryType::Char,
        Kind::Block => tar::EntryType::Block,
        Kind::Dir => tar::EntryType::Directory,
        Kind::Fifo => tar::EntryType::Fifo,
    }
}

/// Seconds and nanoseconds as PAX has them: the fraction counts away from zero.
fn pax_time(seconds: i64, nanoseconds: u32) -> String {
    let text = match (seconds, nanoseconds) {
        (s, 0) => return s.to_string(),
        (s, n) if s < 0 => format!("-{}.{:09}", -(s + 1), 1_000_000_000 - n),
        (s, n) => format!("{s}.{n:09}"),
    };
    text.trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(pax_time(12, 500_000_000), "12.5");
        assert_eq!(pax_time(10, 0), "10");
        assert_eq!(pax_time(-2, 750_000_000), "-1.25");
        assert_eq!(pax_time(-1, 1), "-0.999999999");
    }
}
