//! Records as Docker's driver json-file writes them, one a line:
//! `{"log":"text\n","stream":"stdout","time":"2026-01-02T03:04:05.000000006Z"}`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use super::piece::{Piece, Stamp};
use super::{LogLine, LogStream};

/// Writes records.
#[derive(Debug)]
pub(super) struct Encoder {
    /// `,"attrs":{…}`, or nothing.
    attributes: Vec<u8>,
    /// What follows the text, for each stream, and for which moment.
    tails: [(Option<Stamp>, Vec<u8>); 2],
}

impl Encoder {
    pub(super) fn new(attributes: &BTreeMap<String, String>) -> Self {
        let mut text = Vec::new();
        for (name, value) in attributes {
            text.extend_from_slice(if text.is_empty() {
                b",\"attrs\":{"
            } else {
                b","
            });
            text.push(b'"');
            escape_text(&mut text, name);
            text.extend_from_slice(b"\":\"");
            escape_text(&mut text, value);
            text.push(b'"');
        }
        if !text.is_empty() {
            text.push(b'}');
        }
        Self {
            attributes: text,
            tails: Default::default(),
        }
    }

    pub(super) fn record(&mut self, out: &mut Vec<u8>, stream: LogStream, piece: &Piece<'_>) {
        let (stamp, tail) = &mut self.tails[stream.index()];
        if *stamp != Some(piece.time) {
            *stamp = Some(piece.time);
            tail.clear();
            tail.extend_from_slice(b"\",\"stream\":\"");
            tail.extend_from_slice(stream.name().as_bytes());
            tail.push(b'"');
            tail.extend_from_slice(&self.attributes);
            tail.extend_from_slice(b",\"time\":\"");
            // As Docker's: as many digits of the second as it takes.
            tail.extend_from_slice(piece.time.timestamp().to_string().as_bytes());
            tail.extend_from_slice(b"\"}\n");
        }
        out.extend_from_slice(b"{\"log\":\"");
        escape(out, piece.bytes);
        if piece.ends_line() {
            out.extend_from_slice(b"\\n");
        }
        out.extend_from_slice(tail);
    }
}

/// What goes into a string as it is.
const fn is_plain(byte: u8) -> bool {
    // Bitwise, so that the compiler looks at many bytes at once.
    (byte >= 0x20)
        & (byte < 0x80)
        & (byte != b'"')
        & (byte != b'\\')
        & (byte != b'<')
        & (byte != b'>')
        & (byte != b'&')
}

fn plain_prefix(bytes: &[u8]) -> usize {
    const MANY: usize = 32;
    let whole = bytes
        .chunks_exact(MANY)
        .take_while(|chunk| chunk.iter().fold(true, |all, byte| all & is_plain(*byte)))
        .count();
    let from = whole * MANY;
    let rest = bytes[from..].iter().position(|byte| !is_plain(*byte));
    rest.map_or(bytes.len(), |at| from + at)
}

/// Appends bytes as the inside of a JSON string, the way Docker does: bytes that are no UTF-8
/// become U+FFFD, one each.
pub(super) fn escape(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut rest = bytes;
    loop {
        let (plain, special) = rest.split_at(plain_prefix(rest));
        out.extend_from_slice(plain);
        let Some(&byte) = special.first() else { return };
        if byte < 0x80 {
            ascii(out, byte);
            rest = &special[1..];
        } else {
            let end = special.iter().position(u8::is_ascii);
            let (run, after) = special.split_at(end.unwrap_or(special.len()));
            unicode(out, run);
            rest = after;
        }
    }
}

fn ascii(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        _ => {
            let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&digits);
        }
    }
}

fn unicode(out: &mut Vec<u8>, run: &[u8]) {
    for chunk in run.utf8_chunks() {
        let valid = chunk.valid();
        if valid.contains(['\u{2028}', '\u{2029}']) {
            for character in valid.chars() {
                match character {
                    '\u{2028}' => out.extend_from_slice(b"\\u2028"),
                    '\u{2029}' => out.extend_from_slice(b"\\u2029"),
                    other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
                }
            }
        } else {
            out.extend_from_slice(valid.as_bytes());
        }
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
}

/// As [`escape`], with the one difference that attributes are written by another encoder of Go's.
fn escape_text(out: &mut Vec<u8>, text: &str) {
    for (number, part) in text.split('\t').enumerate() {
        if number > 0 {
            out.extend_from_slice(b"\\t");
        }
        escape(out, part.as_bytes());
    }
}

/// Reads one line. None when it is no record.
pub(super) fn parse(line: &[u8], details: bool) -> Option<LogLine> {
    if !details && let Some(record) = quick(line) {
        return Some(record);
    }
    if let Some(record) = thorough(line, details) {
        return Some(record);
    }
    // A record that was being written when the disk was full may stand before a whole one. What
    // begins one cannot be part of another's text, where quotes are escaped.
    let at = memchr::memmem::rfind(line, b"{\"log\":\"")?;
    (at > 0).then(|| thorough(&line[at..], details)).flatten()
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(default, borrow)]
    log: Cow<'a, str>,
    #[serde(borrow)]
    stream: Cow<'a, str>,
    #[serde(default)]
    attrs: BTreeMap<String, String>,
    #[serde(borrow)]
    time: Cow<'a, str>,
}

fn thorough(line: &[u8], details: bool) -> Option<LogLine> {
    let entry: Entry<'_> = serde_json::from_slice(line).ok()?;
    let time = entry.time.parse().ok()?;
    Some(LogLine {
        stream: LogStream::named(&entry.stream)?,
        time,
        bytes: entry.log.into_owned().into_bytes(),
        attributes: if details {
            entry.attrs
        } else {
            BTreeMap::new()
        },
    })
}

/// Reads what [`Encoder`] writes where there are no attributes and nothing but newlines and quotes
/// is escaped: most of all logs, and several times faster.
fn quick(line: &[u8]) -> Option<LogLine> {
    let mut rest = line.strip_prefix(b"{\"log\":\"")?;
    let mut bytes = Vec::with_capacity(rest.len());
    loop {
        let at = memchr::memchr2(b'"', b'\\', rest)?;
        bytes.extend_from_slice(&rest[..at]);
        if rest[at] == b'"' {
            rest = &rest[at + 1..];
            break;
        }
        bytes.push(match rest.get(at + 1)? {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            same @ (b'"' | b'\\' | b'/') => *same,
            _ => return None,
        });
        rest = &rest[at + 2..];
    }
    let rest = rest.strip_prefix(b",\"stream\":\"std")?;
    let stream = match rest.get(..3)? {
        b"out" => LogStream::Stdout,
        b"err" => LogStream::Stderr,
        _ => return None,
    };
    let time = rest[3..]
        .strip_prefix(b"\",\"time\":\"")?
        .strip_suffix(b"\"}")?;
    let time = std::str::from_utf8(time).ok()?.parse().ok()?;
    // What is not ours may hold anything.
    if std::str::from_utf8(&bytes).is_err() {
        return None;
    }
    bytes.shrink_to_fit();
    Some(LogLine {
        stream,
        time,
        bytes,
        attributes: BTreeMap::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        escape(&mut out, bytes);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn strings_are_escaped_as_docker_does() {
        // Each was written by a container of Docker 20.10 and read in its log file.
        for (bytes, text) in [
            (
                &b"a\tb\"q\\ <x>&\r"[..],
                r#"a\u0009b\"q\\ \u003cx\u003e\u0026\r"#,
            ),
            (
                b"\xff\xfe \xc3( \xe2\x82 ",
                r"\ufffd\ufffd \ufffd( \ufffd\ufffd ",
            ),
            (
                b"\xe2\x80\xa8 \x01\x7f \x08\x0c",
                "\\u2028 \\u0001\x7f \\u0008\\u000c",
            ),
            ("😀 ".as_bytes(), "😀 "),
            (b"\xed\xa0\x80", r"\ufffd\ufffd\ufffd"),
        ] {
            assert_eq!(escaped(bytes), text);
        }
    }

    #[test]
    fn no_position_of_a_special_byte_is_overlooked() {
        for length in 0..100 {
            for at in 0..length {
                let mut text = vec![b'a'; length];
                text[at] = b'"';
                let expected = format!("{}\\\"{}", "a".repeat(at), "a".repeat(length - at - 1));
                assert_eq!(escaped(&text), expected);
            }
        }
        for byte in 0..=255_u8 {
            let text = format!("\"{}\"", escaped(&[byte]));
            let back: String = serde_json::from_str(&text).unwrap();
            assert_eq!(back, String::from_utf8_lossy(&[byte]), "{byte}");
        }
    }

    fn piece(bytes: &[u8], nanoseconds: u32) -> Piece<'_> {
        Piece {
            bytes,
            time: Stamp {
                seconds: 1_767_323_045,
                nanoseconds,
            },
            part: None,
        }
    }

    #[test]
    fn records_are_dockers_and_come_back() {
        let mut out = Vec::new();
        let mut encoder = Encoder::new(&BTreeMap::new());
        encoder.record(&mut out, LogStream::Stdout, &piece(b"say \"hi\"", 6));
        encoder.record(&mut out, LogStream::Stderr, &piece(b"", 500_000_000));
        assert_eq!(
            String::from_utf8_lossy(&out),
            "{\"log\":\"say \\\"hi\\\"\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:05.000000006Z\"}\n\
             {\"log\":\"\\n\",\"stream\":\"stderr\",\"time\":\"2026-01-02T03:04:05.5Z\"}\n"
        );
        let lines: Vec<_> = out.split(|b| *b == b'\n').collect();
        let first = parse(lines[0], false).unwrap();
        assert_eq!(Some(&first), thorough(lines[0], false).as_ref());
        assert_eq!(first.bytes, b"say \"hi\"\n");
        assert_eq!(first.stream, LogStream::Stdout);
        assert_eq!(parse(lines[1], false).unwrap().stream, LogStream::Stderr);
    }

    #[test]
    fn attributes_go_with_every_record() {
        let attributes = BTreeMap::from([("b".into(), "2\t<".into()), ("a".into(), "1".into())]);
        let mut encoder = Encoder::new(&attributes);
        let mut out = Vec::new();
        encoder.record(&mut out, LogStream::Stdout, &piece(b"hi", 0));
        assert_eq!(
            String::from_utf8_lossy(&out),
            "{\"log\":\"hi\\n\",\"stream\":\"stdout\",\"attrs\":{\"a\":\"1\",\"b\":\"2\\t\\u003c\"},\
             \"time\":\"2026-01-02T03:04:05Z\"}\n"
        );
        let line = &out[..out.len() - 1];
        assert_eq!(parse(line, true).unwrap().attributes, attributes);
        assert!(parse(line, false).unwrap().attributes.is_empty());
    }

    #[test]
    fn what_is_no_record_is_told_apart() {
        for line in [
            &b""[..],
            b"garbage",
            b"{}",
            b"{\"log\":\"x\"",
            b"{\"log\":\"\\",
            b"{\"log\":\"x\",\"stream\":\"stdout\"}",
            b"{\"log\":\"x\",\"stream\":\"stdin\",\"time\":\"2026-01-02T03:04:05Z\"}",
            b"{\"log\":\"x\",\"stream\":\"stdout\",\"time\":\"yesterday\"}",
            b"{\"log\":\"\xff\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:05Z\"}",
            b"{\"log\":1,\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:05Z\"}",
        ] {
            let text = String::from_utf8_lossy(line);
            assert_eq!(parse(line, false), None, "{text}");
            assert_eq!(parse(line, true), None, "{text}");
        }
        // The rest of one that was cut off, and then a whole one.
        let torn = b"{\"log\":\"to{\"log\":\"x\\u0041\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:05Z\"}";
        assert_eq!(parse(torn, false).unwrap().bytes, b"xA");
    }
}
