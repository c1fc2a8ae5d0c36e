//! A stream of bytes into lines, as Docker cuts them: what is longer than 16 KiB comes in pieces.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

use crate::name;

/// Longer lines are cut.
pub(super) const MAX: usize = 16 << 10;

/// A moment, as it is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp {
    pub(super) seconds: i64,
    pub(super) nanoseconds: u32,
}

impl Stamp {
    pub(crate) fn now() -> Self {
        // Before 1970 no clock of a machine with containers stands.
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default();
        Self {
            seconds: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
            nanoseconds: now.subsec_nanos(),
        }
    }

    /// Since 1970.
    pub(super) fn nanoseconds(self) -> i64 {
        let seconds = self.seconds.saturating_mul(1_000_000_000);
        seconds.saturating_add(self.nanoseconds.into())
    }

    pub(super) fn timestamp(self) -> Timestamp {
        let nanoseconds = i32::try_from(self.nanoseconds).unwrap_or(0);
        Timestamp::new(self.seconds, nanoseconds).unwrap_or_default()
    }
}

/// Nanoseconds since 1970.
pub(super) fn moment(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanosecond(nanoseconds.into()).unwrap_or_default()
}

/// A line, or a piece of one, without its newline.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub(super) bytes: &'a [u8],
    /// When it was read; that of the first for the further pieces of a line.
    pub(super) time: Stamp,
    /// Which piece it is, of a line that is cut.
    pub(super) part: Option<Part<'a>>,
}

impl Piece<'_> {
    /// Whether a newline follows.
    pub(super) fn ends_line(&self) -> bool {
        self.part.as_ref().is_none_or(|part| part.last)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part<'a> {
    /// The same for all pieces of a line.
    pub(super) id: &'a str,
    /// From 1 on.
    pub(super) ordinal: u32,
    pub(super) last: bool,
}

/// Cuts one stream.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    /// The beginning of a line whose end has not been read; never longer than [`MAX`].
    held: Vec<u8>,
    /// The line whose first pieces are out already.
    line: Option<Line>,
}

#[derive(Debug)]
struct Line {
    id: String,
    time: Stamp,
    pieces: u32,
}

impl Cutter {
    /// Takes what was read and gives away the lines and pieces that it completes.
    pub(super) fn feed(&mut self, mut bytes: &[u8], now: Stamp, mut give: impl FnMut(&Piece<'_>)) {
        while !bytes.is_empty() {
            let window = &bytes[..bytes.len().min(MAX - self.held.len())];
            match memchr::memchr(b'\n', window) {
                Some(end) if self.held.is_empty() => {
                    self.whole(&bytes[..end], now, &mut give);
                    bytes = &bytes[end + 1..];
                }
                Some(end) => {
                    let mut line = std::mem::take(&mut self.held);
                    line.extend_from_slice(&bytes[..end]);
                    self.whole(&line, now, &mut give);
                    line.clear();
                    self.held = line;
                    bytes = &bytes[end + 1..];
                }
                None => {
                    self.held.extend_from_slice(window);
                    bytes = &bytes[window.len()..];
                    if self.held.len() == MAX {
                        let mut full = std::mem::take(&mut self.held);
                        let cut = boundary(&full);
                        self.part(&full[..cut], now, false, &mut give);
                        full.drain(..cut);
                        self.held = full;
                    }
                }
            }
        }
        if self.held.is_empty() && self.held.capacity() > 0 {
            self.held = Vec::new();
        }
    }

    /// Gives away a last line that has no newline.
    pub(super) fn finish(&mut self, now: Stamp, mut give: impl FnMut(&Piece<'_>)) {
        let held = std::mem::take(&mut self.held);
        if !held.is_empty() {
            self.part(&held, now, false, &mut give);
        }
        self.line = None;
    }

    fn whole(&mut self, bytes: &[u8], now: Stamp, give: &mut impl FnMut(&Piece<'_>)) {
        if self.line.is_some() {
            self.part(bytes, now, true, give);
            self.line = None;
        } else {
            give(&Piece {
                bytes,
                time: now,
                part: None,
            });
        }
    }

    fn part(&mut self, bytes: &[u8], now: Stamp, last: bool, give: &mut impl FnMut(&Piece<'_>)) {
        let line = self.line.get_or_insert_with(|| Line {
            // Without random numbers pieces are not told apart by it; nothing else is lost.
            id: name::new_id().unwrap_or_default(),
            time: now,
            pieces: 0,
        });
        line.pieces = line.pieces.saturating_add(1);
        give(&Piece {
            bytes,
            time: line.time,
            part: Some(Part {
                id: &line.id,
                ordinal: line.pieces,
                last,
            }),
        });
    }
}

/// Where to cut: not within a character, which no encoder could then write.
fn boundary(bytes: &[u8]) -> usize {
    let len = bytes.len();
    for back in 1..=3.min(len) {
        let byte = bytes[len - back];
        let length = match byte {
            0x80..=0xbf => continue,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => return len,
        };
        return if length > back { len - back } else { len };
    }
    len
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Stamp = Stamp {
        seconds: 1,
        nanoseconds: 2,
    };

    /// Text and ordinal of each piece; 0 for whole lines, negative for the last of a cut one.
    fn cut(chunks: &[&[u8]]) -> Vec<(Vec<u8>, i64)> {
        let mut cutter = Cutter::default();
        let mut out = Vec::new();
        let mut give = |piece: &Piece<'_>| {
            let number = piece.part.map_or(0, |part| {
                let ordinal = i64::from(part.ordinal);
                if part.last { -ordinal } else { ordinal }
            });
            assert_eq!(piece.ends_line(), number <= 0);
            out.push((piece.bytes.to_vec(), number));
        };
        for chunk in chunks {
            cutter.feed(chunk, NOW, &mut give);
            assert!(cutter.held.len() < MAX);
        }
        cutter.finish(NOW, &mut give);
        assert!(cutter.held.is_empty());
        out
    }

    #[test]
    fn lines_are_whole_however_they_arrive() {
        let lines = vec![
            (b"one".to_vec(), 0),
            (Vec::new(), 0),
            (b"two".to_vec(), 0),
            (b"last".to_vec(), 1),
        ];
        assert_eq!(cut(&[b"one\n\ntwo\nlast"]), lines);
        assert_eq!(cut(&[b"on", b"e\n\ntw", b"o", b"\nla", b"st"]), lines);
        let single: Vec<&[u8]> = b"one\n\ntwo\nlast".chunks(1).collect();
        assert_eq!(cut(&single), lines);
    }

    #[test]
    fn long_lines_are_cut_at_16_kib() {
        let long = |n: usize| vec![b'x'; n];
        let with_end = |n: usize| [long(n), b"\n".to_vec()].concat();
        // The longest that is not.
        assert_eq!(cut(&[&with_end(MAX - 1)]), [(long(MAX - 1), 0)]);
        assert_eq!(
            cut(&[&with_end(MAX)]),
            [(long(MAX), 1), (Vec::new(), -2)],
            "as Docker: the buffer is full before the newline is seen"
        );
        let all = with_end(40_000);
        let pieces = [(long(MAX), 1), (long(MAX), 2), (long(40_000 - 2 * MAX), -3)];
        assert_eq!(cut(&[&all]), pieces);
        let chunks: Vec<&[u8]> = all.chunks(1000).collect();
        assert_eq!(cut(&chunks), pieces);
        // The next line is a line of its own.
        assert_eq!(cut(&[&all, b"y\n"])[3], (b"y".to_vec(), 0));
        assert_eq!(cut(&[&long(MAX)]), [(long(MAX), 1)]);
    }

    #[test]
    fn characters_are_not_cut() {
        for (character, at) in [("é", 1), ("€", 1), ("€", 2), ("😀", 1), ("😀", 3)] {
            let mut text = vec![b'x'; MAX - at];
            text.extend_from_slice(character.as_bytes());
            text.push(b'\n');
            let pieces = cut(&[&text]);
            assert_eq!(pieces[0], (vec![b'x'; MAX - at], 1));
            assert_eq!(pieces[1], (character.as_bytes().to_vec(), -2));
        }
        // What is no character is cut where the buffer ends.
        let garbage = [vec![0xbf; MAX], b"\n".to_vec()].concat();
        assert_eq!(cut(&[&garbage])[0].0.len(), MAX);
    }
}
