//! Records as Docker's driver local writes them: a length, a protobuf message, the length again
//! (both 32 bits, big-endian), so that a log can be read from either end.
//!
//! ```text
//! message LogEntry {                     message PartialLogEntryMetadata {
//!     string source = 1;                     bool last = 1;
//!     int64 time_nano = 2;                   string id = 2;
//!     bytes line = 3;                        int32 ordinal = 3;
//!     bool partial = 4;                  }
//!     PartialLogEntryMetadata partial_log_metadata = 5;
//! }
//! ```

use std::collections::BTreeMap;

use super::piece::{self, Piece};
use super::{LogLine, LogStream};

/// Of one message, with a piece of 16 KiB and its names. What claims to be longer is no record.
pub(super) const MAX: usize = 64 << 10;
/// Bytes of a length.
pub(super) const LENGTH: usize = 4;

pub(super) fn record(out: &mut Vec<u8>, stream: LogStream, piece: &Piece<'_>) {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH]);
    bytes(out, 1, stream.name().as_bytes());
    number(out, 2, piece.time.nanoseconds().cast_unsigned());
    bytes(out, 3, piece.bytes);
    if !piece.ends_line() {
        number(out, 4, 1);
    }
    if let Some(part) = &piece.part {
        let mut metadata = Vec::with_capacity(80);
        if part.last {
            number(&mut metadata, 1, 1);
        }
        bytes(&mut metadata, 2, part.id.as_bytes());
        number(&mut metadata, 3, part.ordinal.into());
        bytes(out, 5, &metadata);
    }
    // At most a piece and its names.
    let length = u32::try_from(out.len() - start - LENGTH).unwrap_or(0);
    out[start..start + LENGTH].copy_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn number(out: &mut Vec<u8>, field: u64, value: u64) {
    varint(out, field << 3);
    varint(out, value);
}

fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// What stands at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// A record, of so many bytes with its lengths; none when the message makes no sense.
    Record(usize, Option<LogLine>),
    /// The beginning of one.
    Incomplete,
    /// No record, and no way to tell where the next one begins.
    Garbage,
}

/// The length at the beginning, when it is one.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    let length = u32::from_be_bytes(*bytes.first_chunk::<LENGTH>()?) as usize;
    (length <= MAX).then_some(length)
}

pub(super) fn frame(bytes: &[u8]) -> Frame {
    if bytes.len() < LENGTH {
        return Frame::Incomplete;
    }
    let Some(length) = length(bytes) else {
        return Frame::Garbage;
    };
    let whole = length + 2 * LENGTH;
    let Some(frame) = bytes.get(..whole) else {
        return Frame::Incomplete;
    };
    if frame[..LENGTH] != frame[whole - LENGTH..] {
        return Frame::Garbage;
    }
    Frame::Record(whole, message(&frame[LENGTH..whole - LENGTH]))
}

fn message(mut rest: &[u8]) -> Option<LogLine> {
    let (mut stream, mut time, mut line, mut partial) = (None, 0, Vec::new(), false);
    while !rest.is_empty() {
        let key = take_varint(&mut rest)?;
        match (key >> 3, key & 7) {
            (field, 0) => {
                let value = take_varint(&mut rest)?;
                match field {
                    2 => time = value,
                    4 => partial = value != 0,
                    _ => {}
                }
            }
            (field, 2) => {
                let length = usize::try_from(take_varint(&mut rest)?).ok()?;
                let value = rest.get(..length)?;
                rest = &rest[length..];
                match field {
                    1 => stream = LogStream::named(std::str::from_utf8(value).ok()?),
                    3 => line = value.to_vec(),
                    _ => {}
                }
            }
            _ => return None,
        }
    }
    if !partial {
        line.push(b'\n');
    }
    Some(LogLine {
        stream: stream?,
        time: piece::moment(time.cast_signed()),
        bytes: line,
        attributes: BTreeMap::new(),
    })
}

fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::piece::{Part, Stamp};
    use super::*;

    /// The beginning of a log of Docker 20.10's.
    #[test]
    fn records_are_dockers() {
        let piece = Piece {
            bytes: b"abc",
            time: Stamp {
                seconds: 1_795_478_559,
                nanoseconds: 992_859_699,
            },
            part: None,
        };
        let mut out = Vec::new();
        record(&mut out, LogStream::Stdout, &piece);
        assert_eq!(
            out,
            b"\0\0\0\x17\x0a\x06stdout\x10\xb3\x98\xd1\xd1\xcc\xc7\xb4\xf5\x18\x1a\x03abc\0\0\0\x17"
        );
        let Frame::Record(31, Some(line)) = frame(&out) else {
            panic!("{:?}", frame(&out));
        };
        assert_eq!(line.bytes, b"abc\n");
        assert_eq!(line.stream, LogStream::Stdout);
    }

    #[test]
    fn pieces_come_back_as_they_were() {
        let piece = Piece {
            bytes: b"\xff\0\n",
            time: Stamp::now(),
            part: Some(Part {
                id: "x",
                ordinal: 300,
                last: false,
            }),
        };
        let mut out = Vec::new();
        record(&mut out, LogStream::Stderr, &piece);
        let Frame::Record(_, Some(line)) = frame(&out) else {
            panic!("{:?}", frame(&out));
        };
        assert_eq!(line.bytes, b"\xff\0\n");
        assert_eq!(line.stream, LogStream::Stderr);
    }

    #[test]
    fn hostile_bytes_are_told_apart() {
        let piece = Piece {
            bytes: b"abc",
            time: Stamp::now(),
            part: None,
        };
        let mut out = Vec::new();
        record(&mut out, LogStream::Stdout, &piece);
        for end in 0..out.len() {
            assert_eq!(frame(&out[..end]), Frame::Incomplete);
        }
        let last = out.len() - 1;
        out[last] ^= 1;
        assert_eq!(frame(&out), Frame::Garbage);
        assert_eq!(frame(b"\xff\xff\xff\xff"), Frame::Garbage);
        // Lengths that fit around a message that makes no sense.
        for message in [
            &b"\x0a\xff"[..],
            b"\x0a",
            b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x0b",
            b"\x0a\x03abc",
            b"",
        ] {
            let length = u32::try_from(message.len()).unwrap().to_be_bytes();
            let bytes = [&length[..], message, &length[..]].concat();
            assert_eq!(frame(&bytes), Frame::Record(bytes.len(), None));
        }
    }
}
