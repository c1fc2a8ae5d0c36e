//! Looking for texts in lines as they come. Pure.

use std::collections::VecDeque;

use super::Log;
use crate::log::{LogLine, LogStream};

/// Lines that an error shows.
pub(super) const LAST_LINES: u64 = 20;
/// Bytes that it shows, at most.
const LAST_BYTES: usize = 8 << 10;

/// Counts the lines that have a text in them.
#[derive(Debug)]
pub(super) struct Matcher<'a> {
    log: &'a Log,
    seen: u32,
    /// Of each stream: what of an unfinished line the text may begin in, and whether the line
    /// has counted already.
    unfinished: [(Vec<u8>, bool); 2],
}

impl<'a> Matcher<'a> {
    pub(super) fn new(log: &'a Log) -> Self {
        Self {
            log,
            seen: 0,
            unfinished: Default::default(),
        }
    }

    pub(super) fn seen(&self) -> u32 {
        self.seen
    }

    pub(super) fn add(&mut self, line: &LogLine) {
        if self.log.stream.is_some_and(|only| only != line.stream) {
            return;
        }
        let (rest, counted) = &mut self.unfinished[line.stream.index()];
        let mut text = std::mem::take(rest);
        text.extend_from_slice(&line.bytes);
        if !*counted && String::from_utf8_lossy(&text).contains(&self.log.text) {
            self.seen += 1;
            *counted = true;
        }
        if line.bytes.ends_with(b"\n") {
            *counted = false;
        } else {
            text.drain(..text.len().saturating_sub(self.log.text.len()));
            *rest = text;
        }
    }
}

/// The last lines.
#[derive(Debug, Default)]
pub(super) struct Tail(VecDeque<(LogStream, Vec<u8>)>);

impl Tail {
    pub(super) fn add(&mut self, line: LogLine) {
        if self.0.len() as u64 == LAST_LINES {
            self.0.pop_front();
        }
        self.0.push_back((line.stream, line.bytes));
    }

    pub(super) fn text(&self) -> String {
        let mut bytes = Vec::new();
        for (_, line) in &self.0 {
            if !bytes.is_empty() && !bytes.ends_with(b"\n") {
                bytes.push(b'\n');
            }
            bytes.extend_from_slice(line);
        }
        let from = bytes.len().saturating_sub(LAST_BYTES);
        String::from_utf8_lossy(&bytes[from..]).into_owned()
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    fn line(stream: LogStream, text: &str) -> LogLine {
        LogLine {
            stream,
            time: jiff::Timestamp::UNIX_EPOCH,
            bytes: text.into(),
            attributes: Default::default(),
        }
    }

    fn seen(log: Log, lines: &[(LogStream, &str)]) -> u32 {
        let mut matcher = Matcher::new(&log);
        for (stream, text) in lines {
            matcher.add(&line(*stream, text));
        }
        matcher.seen()
    }

    #[test]
    fn lines_that_match() {
        use LogStream::{Stderr, Stdout};
        let log = || Log::new("ready");
        let lines = [
            (Stdout, "not yet\n"),
            (Stderr, "ready\n"),
            (Stdout, "ready, ready\n"),
        ];
        assert_eq!(seen(log(), &lines), 2);
        assert_eq!(seen(log().on(Stdout), &lines), 1);
        // In pieces, with the other stream between.
        let pieces = [
            (Stdout, "re"),
            (Stderr, "x\n"),
            (Stdout, "ady and on"),
            (Stdout, "\n"),
        ];
        assert_eq!(seen(log(), &pieces), 1);
        let apart = [
            (Stdout, "re"),
            (Stderr, "ady\n"),
            (Stdout, "\n"),
            (Stdout, "ady\n"),
        ];
        assert_eq!(seen(log(), &apart), 0);
        let again = [(Stdout, "ready "), (Stdout, "ready\n"), (Stdout, "ready")];
        assert_eq!(seen(log(), &again), 2);
        assert_eq!(seen(Log::new("é"), &[(Stdout, "\u{e9}\n")]), 1);
    }

    #[test]
    fn last_lines() {
        let mut tail = Tail::default();
        for number in 0..100 {
            tail.add(line(LogStream::Stdout, &format!("{number}\n")));
        }
        tail.add(line(LogStream::Stderr, "end"));
        let text = tail.text();
        assert!(
            text.starts_with("81\n") && text.ends_with("99\nend"),
            "{text}"
        );
        tail.add(line(LogStream::Stdout, &"x".repeat(16 << 10)));
        assert_eq!(tail.text().len(), LAST_BYTES);
    }
}
