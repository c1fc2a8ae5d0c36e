//! Where the last lines of a log begin, found from its end.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::config::Format;
use super::local;
use super::stretch::Source;

const BLOCK: usize = 64 << 10;

/// Where to begin.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// The full file, or none for the one being written to.
    pub(super) number: Option<u64>,
    pub(super) offset: u64,
}

/// Where the last `lines` records begin.
pub(super) fn find(
    dir: &Path,
    format: Format,
    numbers: &[u64],
    active: Option<&File>,
    lines: u64,
) -> io::Result<Start> {
    let mut wanted = lines;
    let mut start = Start {
        number: None,
        offset: 0,
    };
    if let Some(file) = active {
        let (found, offset) = from_end(file, format, wanted)?;
        start.offset = offset;
        wanted -= found;
    }
    for number in numbers.iter().rev() {
        if wanted == 0 {
            break;
        }
        let (found, offset) = match Source::open(dir, format, *number)? {
            None => break,
            Some(Source::Plain(file)) => from_end(&file, format, wanted)?,
            Some(mut first) => {
                let (all, _) = count(&mut first, format, u64::MAX)?;
                let skip = all.saturating_sub(wanted);
                let offset = match Source::open(dir, format, *number)? {
                    Some(mut again) if skip > 0 => count(&mut again, format, skip)?.1,
                    _ => 0,
                };
                (all - skip, offset)
            }
        };
        start = Start {
            number: Some(*number),
            offset,
        };
        wanted -= found;
    }
    Ok(start)
}

/// How many of the last `wanted` records a file has, and where they begin.
fn from_end(file: &File, format: Format, wanted: u64) -> io::Result<(u64, u64)> {
    let size = file.metadata()?.len();
    match format {
        Format::Json => lines_from_end(file, size, wanted),
        Format::Local => match frames_from_end(file, size, wanted)? {
            Some(found) => Ok(found),
            // Something at the end is being written.
            None => {
                let mut whole = Source::Plain(File::open(proc_path(file))?);
                let (all, end) = count(&mut whole, format, u64::MAX)?;
                let skip = all.saturating_sub(wanted);
                if wanted == 0 {
                    return Ok((0, end));
                }
                let mut again = Source::Plain(File::open(proc_path(file))?);
                let offset = count(&mut again, format, skip)?.1;
                Ok((all - skip, offset))
            }
        },
    }
}

/// Another way to an open file, with a position of its own.
fn proc_path(file: &File) -> String {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// A line that is still being written does not count.
fn lines_from_end(file: &File, size: u64, wanted: u64) -> io::Result<(u64, u64)> {
    let mut block = vec![0; BLOCK];
    let mut end = size;
    let mut ends = 0;
    while end > 0 {
        let start = end.saturating_sub(BLOCK as u64);
        let length = usize::try_from(end - start).unwrap_or(BLOCK);
        let bytes = &mut block[..length];
        match file.read_exact_at(bytes, start) {
            // It was taken back (see `Files::append`) while we looked.
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                end = start;
                continue;
            }
            result => result?,
        }
        for at in memchr::memrchr_iter(b'\n', bytes) {
            if ends == wanted {
                return Ok((wanted, start + at as u64 + 1));
            }
            ends += 1;
        }
        end = start;
    }
    Ok((ends, 0))
}

/// None when the file does not end with a record.
fn frames_from_end(file: &File, size: u64, wanted: u64) -> io::Result<Option<(u64, u64)>> {
    let around = 2 * local::LENGTH as u64;
    let mut end = size;
    for found in 0..wanted {
        if end == 0 {
            return Ok(Some((found, 0)));
        }
        let length_at = |at: u64| -> io::Result<Option<u64>> {
            let mut bytes = [0; local::LENGTH];
            file.read_exact_at(&mut bytes, at)?;
            Ok(local::length(&bytes).map(|length| length as u64))
        };
        if end < around {
            return Ok(None);
        }
        let Some(length) = length_at(end - local::LENGTH as u64)? else {
            return Ok(None);
        };
        match end.checked_sub(length + around) {
            Some(start) if length_at(start)? == Some(length) => end = start,
            _ => return Ok(None),
        }
    }
    Ok(Some((wanted, end)))
}

/// Counts records from the beginning, `most` at most; returns where the last of them ends, too.
fn count(source: &mut Source, format: Format, most: u64) -> io::Result<(u64, u64)> {
    let mut buffer = vec![0; BLOCK + local::MAX];
    let (mut held, mut records, mut offset) = (0, 0, 0);
    loop {
        let read = source.read(&mut buffer[held..])?;
        if read == 0 {
            return Ok((records, offset));
        }
        held += read;
        let mut taken = 0;
        while records < most {
            let rest = &buffer[taken..held];
            let length = match format {
                Format::Json => memchr::memchr(b'\n', rest).map(|at| at + 1),
                Format::Local => {
                    let whole = local::length(rest).map(|length| length + 2 * local::LENGTH);
                    // Garbage: nothing after it counts.
                    if whole.is_none() && rest.len() >= local::LENGTH {
                        return Ok((records, offset));
                    }
                    whole.filter(|whole| *whole <= rest.len())
                }
            };
            let Some(length) = length else { break };
            taken += length;
            records += 1;
            offset += length as u64;
        }
        if records == most {
            return Ok((records, offset));
        }
        if taken == 0 && held == buffer.len() {
            // Longer than any record.
            offset += held as u64;
            taken = held;
        }
        buffer.copy_within(taken..held, 0);
        held -= taken;
    }
}
