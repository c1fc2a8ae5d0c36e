//! Go's quoted strings, both ways.

use std::fmt::Write as _;

/// In double quotes, with Go's escapes.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        escape(&mut out, c, '"');
    }
    out.push('"');
    out
}

/// A character in single quotes, with Go's escapes.
pub(super) fn quote_char(c: char) -> String {
    let mut out = String::from("'");
    escape(&mut out, c, '\'');
    out.push('\'');
    out
}

fn escape(out: &mut String, c: char, quote: char) {
    match c {
        '\\' => out.push_str("\\\\"),
        c if c == quote => {
            out.push('\\');
            out.push(c);
        }
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        c if (c < ' ') || c == '\u{7f}' => {
            let _ = write!(out, "\\x{:02x}", u32::from(c));
        }
        c if c.is_control() => {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        }
        c => out.push(c),
    }
}

/// What a quoted string or character says; none when it is not Go's.
pub(super) fn unquote(text: &str) -> Option<String> {
    let quote = text.chars().next()?;
    let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
    if quote == '`' {
        return Some(inner.replace('\r', ""));
    }
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(c) = rest.chars().next() {
        rest = rest.get(c.len_utf8()..)?;
        if c != '\\' {
            let mut buffer = [0; 4];
            bytes.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
            continue;
        }
        let c = rest.chars().next()?;
        let plain = match c {
            'a' => Some(7),
            'b' => Some(8),
            'f' => Some(12),
            'n' => Some(b'\n'),
            'r' => Some(b'\r'),
            't' => Some(b'\t'),
            'v' => Some(11),
            '\\' => Some(b'\\'),
            '"' | '\'' if c == quote => u8::try_from(c).ok(),
            _ => None,
        };
        if let Some(byte) = plain {
            bytes.push(byte);
            rest = rest.get(1..)?;
            continue;
        }
        let (skip, digits, radix) = match c {
            'x' => (1, 2, 16),
            'u' => (1, 4, 16),
            'U' => (1, 8, 16),
            '0'..='7' => (0, 3, 8),
            _ => return None,
        };
        let number = rest.get(skip..skip + digits)?;
        if !number.chars().all(|c| c.is_digit(radix)) {
            return None;
        }
        let number = u32::from_str_radix(number, radix).ok()?;
        match c {
            'u' | 'U' => {
                let mut buffer = [0; 4];
                let c = char::from_u32(number)?;
                bytes.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
            }
            _ => bytes.push(u8::try_from(number).ok()?),
        }
        rest = rest.get(skip + digits..)?;
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        for (quoted, plain) in [
            (r#""""#, ""),
            (r#""a\tb\n\"\\""#, "a\tb\n\"\\"),
            (r#""\x41\101\u00e4\U0001F600""#, "AAä😀"),
            ("`a\\n`", "a\\n"),
            (r"'\''", "'"),
        ] {
            assert_eq!(unquote(quoted).as_deref(), Some(plain), "{quoted}");
        }
        for bad in [
            r#""\q""#,
            r#""\x4""#,
            r#""\'""#,
            r#""\u12""#,
            r#""\400""#,
            r#""\"#,
            "",
            "\"\\u+123\"",
        ] {
            assert_eq!(unquote(bad), None, "{bad}");
        }
        assert_eq!(quote("a\t\"b\"\u{1}ä"), r#""a\t\"b\"\x01ä""#);
        assert_eq!(quote_char('\''), r"'\''");
    }
}
