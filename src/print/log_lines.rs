//! Lines of a log, as `logs` prints them.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use container_core::LogLine;
use jiff::Timestamp;

use crate::error::Error;

/// What is printed at once.
const CHUNK: usize = 64 << 10;

/// Prints lines to the streams that they were written to, in order.
#[derive(Debug)]
pub(crate) struct Printer {
    timestamps: bool,
    details: bool,
    /// Lines that are not printed yet, all of one stream.
    pending: Vec<u8>,
    is_error: bool,
    /// The moment of the last line, as text: many lines have the same.
    last: Option<(Timestamp, String)>,
}

impl Printer {
    pub(crate) fn new(timestamps: bool, details: bool) -> Self {
        Self {
            timestamps,
            details,
            pending: Vec::new(),
            is_error: false,
            last: None,
        }
    }

    /// # Errors
    /// The reader is gone.
    pub(crate) fn out(&mut self, line: &LogLine) -> Result<(), Error> {
        self.add(line, false)
    }

    /// # Errors
    /// The reader is gone.
    pub(crate) fn err(&mut self, line: &LogLine) -> Result<(), Error> {
        self.add(line, true)
    }

    fn add(&mut self, line: &LogLine, is_error: bool) -> Result<(), Error> {
        if self.is_error != is_error || self.pending.len() > CHUNK {
            self.flush()?;
        }
        self.is_error = is_error;
        if self.timestamps {
            let text = match &self.last {
                Some((time, text)) if *time == line.time => text,
                _ => &self.last.insert((line.time, timestamp(line.time))).1,
            };
            self.pending.extend_from_slice(text.as_bytes());
            self.pending.push(b' ');
        }
        if self.details {
            self.pending.extend_from_slice(details(line).as_bytes());
            self.pending.push(b' ');
        }
        self.pending.extend_from_slice(&line.bytes);
        Ok(())
    }

    /// Prints what is pending.
    ///
    /// # Errors
    /// The reader is gone.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let written = if self.is_error {
            io::stderr().lock().write_all(&self.pending)
        } else {
            let mut stdout = io::stdout().lock();
            stdout
                .write_all(&self.pending)
                .and_then(|()| stdout.flush())
        };
        self.pending.clear();
        written.map_err(Error::Output)
    }
}

/// With all nine digits of the second, as Docker writes it.
fn timestamp(time: Timestamp) -> String {
    format!("{time:.9}")
}

/// `name=value,…`, encoded as in a URL's query.
fn details(line: &LogLine) -> String {
    let mut text = String::new();
    for (name, value) in &line.attributes {
        if !text.is_empty() {
            text.push(',');
        }
        encode(&mut text, name);
        text.push('=');
        encode(&mut text, value);
    }
    text
}

fn encode(out: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            // Writing to a string does not fail.
            byte => _ = write!(out, "%{byte:02X}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_dockers() {
        let mut text = String::new();
        encode(&mut text, "a/b c=ü~");
        assert_eq!(text, "a%2Fb+c%3D%C3%BC~");
    }

    #[test]
    fn timestamps_have_nine_digits() {
        let time = Timestamp::from_millisecond(1_500).unwrap();
        assert_eq!(timestamp(time), "1970-01-01T00:00:01.500000000Z");
    }
}
