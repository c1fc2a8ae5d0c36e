//! Entries and their data, one after the other, out of a stream.

use std::io::{self, ErrorKind, Read};

use super::header::{self, Fault, Header};
use super::pax::Pax;
use super::{BLOCK, Entry, Kind, MAX_EXTENSION, Segment, TarError, sparse};

/// Large enough that reads and writes cost nothing beside what they move.
const BUFFER: usize = 256 * 1024;

/// A tar stream being read.
pub(crate) struct Reader<'r> {
    source: &'r mut dyn Read,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Of `start`, in the stream.
    offset: u64,
    /// Where the header being read begins.
    header_at: u64,
    /// Data bytes of the current entry not yet handed out.
    data: u64,
    /// Bytes that fill the current entry's last block.
    padding: u64,
}

/// What the headers before an entry's own say of it.
#[derive(Default)]
struct Extensions {
    pax: Option<Pax>,
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl<'r> Reader<'r> {
    pub(crate) fn new(source: &'r mut dyn Read) -> Self {
        Self {
            source,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            start: 0,
            end: 0,
            offset: 0,
            header_at: 0,
            data: 0,
            padding: 0,
        }
    }

    /// The next entry, after what is left of the one before; `None` at the end of the archive.
    pub(crate) fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        let mut extensions = Extensions::default();
        loop {
            while self.data()?.is_some() {}
            let Some(block) = self.header_block()? else {
                if extensions.is_empty() {
                    return Ok(None);
                }
                return Err(self.fault("an extended header is not followed by its entry"));
            };
            let header = Header::parse(&block).map_err(|fault| self.fault(fault))?;
            let size = header.size().and_then(not_negative);
            let size = size.map_err(|fault| self.fault(fault))?;
            match header.type_flag() {
                b'x' => {
                    let records = self.extension(size)?;
                    let pax = Pax::parse(&records).map_err(|fault| self.fault(fault))?;
                    extensions.pax = Some(pax);
                }
                // What it says of all entries is nothing that images use, and Go ignores it.
                b'g' => {
                    let records = self.extension(size)?;
                    Pax::parse(&records).map_err(|fault| self.fault(fault))?;
                }
                b'L' => extensions.path = Some(header::text(&self.extension(size)?).to_vec()),
                b'K' => extensions.link = Some(header::text(&self.extension(size)?).to_vec()),
                _ => return self.entry(&header, extensions).map(Some),
            }
        }
    }

    /// The next bytes of the current entry's stored data; `None` after the last.
    pub(crate) fn data(&mut self) -> Result<Option<&[u8]>, TarError> {
        if self.data == 0 {
            while self.padding > 0 {
                let length = clamp(self.padding, self.fill_some()?);
                self.consume(length);
                self.padding -= length as u64;
            }
            return Ok(None);
        }
        let length = clamp(self.data, self.fill_some()?);
        let start = self.start;
        self.consume(length);
        self.data -= length as u64;
        Ok(Some(&self.buffer[start..start + length]))
    }

    /// Where the rest of the current entry's stored data begins in the stream, and how long it is.
    pub(crate) fn data_place(&self) -> (u64, u64) {
        (self.offset, self.data)
    }

    /// Skips the current entry's data without reading it: `seek` moves the stream, if what is
    /// skipped is not in the buffer already, to the place that it is given.
    pub(crate) fn skip_data(&mut self, seek: impl FnOnce(u64)) {
        let length = self.data.saturating_add(self.padding);
        let buffered = clamp(length, self.end - self.start);
        self.consume(buffered);
        (self.data, self.padding) = (0, 0);
        let beyond = length - buffered as u64;
        if beyond > 0 {
            self.offset = self.offset.saturating_add(beyond);
            seek(self.offset);
        }
    }

    /// Reads all of the current entry's stored data, at most `limit` bytes.
    fn data_to_vec(&mut self, limit: u64) -> Result<Vec<u8>, TarError> {
        if self.data > limit {
            return Err(self.fault("an entry is larger than it may be"));
        }
        let mut all = Vec::new();
        while let Some(bytes) = self.data()? {
            all.extend_from_slice(bytes);
        }
        Ok(all)
    }

    /// Reads to the end of the stream, so that the writing side of a pipe is not cut off.
    pub(crate) fn drain(&mut self) -> Result<(), TarError> {
        self.consume(self.end - self.start);
        while self.fill().map_err(TarError::Read)? > 0 {
            self.consume(self.end - self.start);
        }
        Ok(())
    }

    fn entry(&mut self, header: &Header<'_>, extensions: Extensions) -> Result<Entry, TarError> {
        let mut pax = extensions.pax.unwrap_or_default();
        let (mut entry, stored) = assemble(header, &mut pax, extensions.path, extensions.link)
            .map_err(|f| self.fault(f))?;
        if entry.kind == Kind::File {
            self.take_data(stored);
            let map = self.sparse_map(header, &pax)?;
            if let Some((map, real_size)) = map {
                // Of what is stored, a map of format 1.0 is read already.
                let check = sparse::check(&map, real_size, self.data);
                check.map_err(|fault| self.fault(fault))?;
                entry.size = real_size;
                entry.sparse = Some(map);
            }
        }
        Ok(entry)
    }

    fn sparse_map(
        &mut self,
        header: &Header<'_>,
        pax: &Pax,
    ) -> Result<Option<(Vec<Segment>, u64)>, TarError> {
        let (numbers, real_size) = if header.type_flag() == b'S' {
            let gnu = header.gnu_sparse();
            let (places, more, real_size) = gnu.map_err(|fault| self.fault(fault))?;
            let mut numbers = Vec::new();
            let taken = sparse::gnu_places(places, &mut numbers);
            taken.map_err(|fault| self.fault(fault))?;
            if more {
                self.gnu_sparse_extensions(&mut numbers)?;
            }
            (numbers, Some(real_size))
        } else if pax.sparse.map_in_data().map_err(|f| self.fault(f))? {
            (self.sparse_map_in_data()?, pax.sparse.real_size)
        } else {
            let map = pax.sparse.map().map_err(|fault| self.fault(fault))?;
            let Some(map) = map else { return Ok(None) };
            let real_size = self.real_size(pax.sparse.real_size)?;
            return Ok(Some((map, real_size)));
        };
        let map = sparse::pairs(&numbers).map_err(|fault| self.fault(fault))?;
        Ok(Some((map, self.real_size(real_size)?)))
    }

    fn real_size(&self, size: Option<i64>) -> Result<u64, TarError> {
        size.ok_or("a sparse file lacks its real size")
            .and_then(not_negative)
            .map_err(|fault| self.fault(fault))
    }

    /// The blocks between a GNU header and the data that continue its map: 21 places each.
    fn gnu_sparse_extensions(&mut self, numbers: &mut Vec<i64>) -> Result<(), TarError> {
        loop {
            let block = self.block()?.ok_or_else(|| self.truncated())?;
            let taken = sparse::gnu_places(&block[..504], numbers);
            taken.map_err(|fault| self.fault(fault))?;
            if block[504] == 0 {
                return Ok(());
            }
            if numbers.len() as u64 * 8 > MAX_EXTENSION {
                return Err(self.fault("a sparse map is too large"));
            }
        }
    }

    /// Format 1.0: decimal lines at the beginning of the data, padded to a block.
    fn sparse_map_in_data(&mut self) -> Result<Vec<i64>, TarError> {
        let mut text = Vec::new();
        let mut numbers = Vec::new();
        let mut wanted = None;
        while wanted.is_none_or(|wanted| numbers.len() < wanted) {
            if text.len() as u64 > MAX_EXTENSION {
                return Err(self.fault("a sparse map is too large"));
            }
            if self.data < BLOCK as u64 {
                return Err(self.fault("a sparse map is cut short"));
            }
            let block = self.block()?.ok_or_else(|| self.truncated())?;
            self.data -= BLOCK as u64;
            text.extend_from_slice(&block);
            while let Some(end) = text.iter().position(|&b| b == b'\n') {
                let number = super::pax::integer(&text[..end]).map_err(|f| self.fault(f))?;
                text.drain(..=end);
                match wanted {
                    None => {
                        let count = usize::try_from(number).ok();
                        let count = count.filter(|&count| count as u64 <= MAX_EXTENSION / 16);
                        let count = count.ok_or_else(|| self.fault("a sparse map is too large"))?;
                        wanted = Some(count * 2);
                    }
                    Some(_) => numbers.push(number),
                }
                if wanted.is_some_and(|wanted| numbers.len() == wanted) {
                    break;
                }
            }
        }
        Ok(numbers)
    }

    /// The data of an extended header.
    fn extension(&mut self, size: u64) -> Result<Vec<u8>, TarError> {
        if size > MAX_EXTENSION {
            return Err(self.fault("an extended header is larger than 1 MiB"));
        }
        self.take_data(size);
        self.data_to_vec(MAX_EXTENSION)
    }

    fn take_data(&mut self, size: u64) {
        self.data = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
    }

    /// The next header block; `None` at the end of the archive or of the stream.
    fn header_block(&mut self) -> Result<Option<[u8; BLOCK]>, TarError> {
        self.header_at = self.offset;
        let Some(block) = self.block()? else {
            return Ok(None);
        };
        if block.iter().any(|&b| b != 0) {
            return Ok(Some(block));
        }
        // Two blocks of zeros end an archive; some programs write one, or none.
        match self.block()? {
            Some(next) if next.iter().any(|&b| b != 0) => {
                Err(self.fault("a block of zeros stands between entries"))
            }
            _ => Ok(None),
        }
    }

    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, TarError> {
        if self.end - self.start < BLOCK {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            while self.end < BLOCK {
                match self.read_at_end().map_err(TarError::Read)? {
                    0 if self.end == 0 => return Ok(None),
                    0 => return Err(self.truncated()),
                    _ => {}
                }
            }
        }
        let mut block = [0; BLOCK];
        block.copy_from_slice(&self.buffer[self.start..self.start + BLOCK]);
        self.consume(BLOCK);
        Ok(Some(block))
    }

    /// How many bytes are in the buffer: at least one, or the stream is cut short.
    fn fill_some(&mut self) -> Result<usize, TarError> {
        match self.fill().map_err(TarError::Read)? {
            0 => Err(self.truncated()),
            length => Ok(length),
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            self.read_at_end()?;
        }
        Ok(self.end - self.start)
    }

    fn read_at_end(&mut self) -> io::Result<usize> {
        loop {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(length) => {
                    self.end += length;
                    return Ok(length);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn consume(&mut self, length: usize) {
        self.start += length;
        self.offset += length as u64;
    }

    fn fault(&self, reason: Fault) -> TarError {
        TarError::Malformed {
            offset: self.header_at,
            reason,
        }
    }

    fn truncated(&self) -> TarError {
        self.fault("the archive ends in the middle of an entry")
    }
}

impl Extensions {
    fn is_empty(&self) -> bool {
        self.pax.is_none() && self.path.is_none() && self.link.is_none()
    }
}

fn clamp(wanted: u64, available: usize) -> usize {
    usize::try_from(wanted).map_or(available, |wanted| wanted.min(available))
}

fn not_negative(number: i64) -> Result<u64, Fault> {
    u64::try_from(number).map_err(|_| "a size in the header is negative")
}

/// An entry and the size of its stored data, out of its header and what came before it.
fn assemble(
    header: &Header<'_>,
    pax: &mut Pax,
    long_path: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
) -> Result<(Entry, u64), Fault> {
    let path = pax.sparse.name.take().or(pax.path.take());
    let path = long_path.or(path).unwrap_or_else(|| header.path());
    let link = long_link.or(pax.link.take());
    let kind = match header.type_flag() {
        // Before POSIX a directory was a file whose name ends in a slash.
        0 if path.ends_with(b"/") => Kind::Dir,
        0 | b'0' | b'7' | b'S' => Kind::File,
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'3' => Kind::Char,
        b'4' => Kind::Block,
        b'5' => Kind::Dir,
        b'6' => Kind::Fifo,
        _ => return Err("the type of an entry is unknown"),
    };
    // As in Go, other kinds have no data, whatever their size says.
    let size = pax.size.map_or_else(|| header.size(), Ok)?;
    let size = if kind == Kind::File {
        not_negative(size)?
    } else {
        0
    };
    if size > i64::MAX.cast_unsigned() - BLOCK as u64 {
        return Err("the size of an entry is out of range");
    }
    let entry = Entry {
        kind,
        path,
        link: link.unwrap_or_else(|| header.link()),
        mode: header.mode()?,
        uid: owner(pax.uid.map_or_else(|| header.uid(), Ok)?)?,
        gid: owner(pax.gid.map_or_else(|| header.gid(), Ok)?)?,
        mtime: match pax.mtime {
            Some(time) => time,
            None => (header.mtime()?, 0),
        },
        size,
        device: match kind {
            Kind::Char | Kind::Block => header.device()?,
            _ => (0, 0),
        },
        xattrs: std::mem::take(&mut pax.xattrs),
        sparse: None,
    };
    Ok((entry, size))
}

fn owner(id: i64) -> Result<u32, Fault> {
    // The highest number means "none" to the kernel.
    u32::try_from(id)
        .ok()
        .filter(|&id| id != u32::MAX)
        .ok_or("the owner of an entry is out of range")
}
