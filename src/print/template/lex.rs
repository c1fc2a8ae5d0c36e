//! From a template's text to tokens, one at a time, as Go's text/template cuts it.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing follows; or the text is wrong, and the token's text says why.
    End,
    Error,
    /// Outside of actions.
    Text,
    LeftDelim,
    RightDelim,
    Space,
    Assign,
    Declare,
    Pipe,
    LeftParen,
    RightParen,
    /// A comma, or what has no meaning.
    Char,
    Bool,
    CharConstant,
    Number,
    Complex,
    /// In double quotes, in backquotes.
    Quoted,
    Raw,
    Field,
    Variable,
    Identifier,
    Dot,
    Nil,
    Keyword,
}

/// A token and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token<'t> {
    pub(super) kind: Kind,
    pub(super) text: std::borrow::Cow<'t, str>,
    pub(super) at: usize,
}

const LEFT: &str = "{{";
const RIGHT: &str = "}}";
const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];
const KEYWORDS: [&str; 10] = [
    "block", "break", "continue", "define", "else", "end", "if", "range", "template", "with",
];

/// Cuts a template up.
#[derive(Debug)]
pub(super) struct Lexer<'t> {
    input: &'t str,
    at: usize,
    inside: bool,
    parens: usize,
    /// The text after an action that ended in `-}}` loses its leading space.
    trim: bool,
}

fn is_space(c: char) -> bool {
    SPACES.contains(&c)
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// A character as Go's `%#U` shows it.
fn code_point(c: char) -> String {
    format!("U+{:04X} '{c}'", u32::from(c))
}

impl<'t> Lexer<'t> {
    pub(super) fn new(input: &'t str) -> Self {
        Self {
            input,
            at: 0,
            inside: false,
            parens: 0,
            trim: false,
        }
    }

    fn rest(&self) -> &'t str {
        self.input.get(self.at..).unwrap_or_default()
    }

    /// The token of the next `length` bytes.
    fn token(&mut self, kind: Kind, length: usize) -> Token<'t> {
        let at = self.at;
        let text = self.rest().get(..length).unwrap_or_default();
        self.at += text.len();
        Token {
            kind,
            text: text.into(),
            at,
        }
    }

    fn error(&mut self, why: impl Into<String>) -> Token<'t> {
        let at = self.at;
        // Nothing follows an error.
        self.at = self.input.len();
        self.inside = false;
        Token {
            kind: Kind::Error,
            text: why.into().into(),
            at,
        }
    }

    /// The next token. After the last there are only ends.
    pub(super) fn next(&mut self) -> Token<'t> {
        if self.inside {
            return self.in_action();
        }
        loop {
            if std::mem::take(&mut self.trim) {
                self.at += self.rest().len() - self.rest().trim_start_matches(SPACES).len();
            }
            let rest = self.rest();
            let Some(length) = rest.find(LEFT) else {
                return match rest.len() {
                    0 => self.token(Kind::End, 0),
                    length => self.token(Kind::Text, length),
                };
            };
            let before = rest.get(..length).unwrap_or_default();
            let kept = match trims_left(rest.get(length..).unwrap_or_default()) {
                true => before.trim_end_matches(SPACES),
                false => before,
            };
            if !kept.is_empty() {
                let token = self.token(Kind::Text, kept.len());
                self.at += before.len() - kept.len();
                return token;
            }
            self.at += length;
            let marker = if trims_left(self.rest()) { 2 } else { 0 };
            let after = self.rest().get(LEFT.len() + marker..).unwrap_or_default();
            if !after.starts_with("/*") {
                let token = self.token(Kind::LeftDelim, LEFT.len());
                self.at += marker;
                self.inside = true;
                self.parens = 0;
                return token;
            }
            let Some(length) = after.find("*/") else {
                return self.error("unclosed comment");
            };
            self.at += LEFT.len() + marker + length + 2;
            match right_delim(self.rest()) {
                Some((length, trim)) => {
                    self.at += length;
                    self.trim = trim;
                }
                None => return self.error("comment ends before closing delimiter"),
            }
        }
    }

    fn in_action(&mut self) -> Token<'t> {
        let rest = self.rest();
        if let Some((length, trim)) = right_delim(rest) {
            if self.parens > 0 {
                return self.error("unclosed left paren");
            }
            (self.inside, self.trim) = (false, trim);
            // The trim marker is no part of the token.
            self.at += length - RIGHT.len();
            return self.token(Kind::RightDelim, RIGHT.len());
        }
        let mut chars = rest.chars();
        let Some(first) = chars.next() else {
            return self.error("unclosed action");
        };
        match first {
            c if is_space(c) => {
                let mut length = rest.len() - rest.trim_start_matches(SPACES).len();
                // The last one may belong to a trim marker.
                if length > 1 && right_delim(rest.get(length - 1..).unwrap_or_default()).is_some() {
                    length -= 1;
                }
                self.token(Kind::Space, length)
            }
            '=' => self.token(Kind::Assign, 1),
            ':' if rest.starts_with(":=") => self.token(Kind::Declare, 2),
            ':' => self.error("expected :="),
            '|' => self.token(Kind::Pipe, 1),
            '"' => self.quoted('"', Kind::Quoted, "unterminated quoted string"),
            '\'' => self.quoted('\'', Kind::CharConstant, "unterminated character constant"),
            '`' => match rest.get(1..).and_then(|rest| rest.find('`')) {
                Some(length) => self.token(Kind::Raw, length + 2),
                None => self.error("unterminated raw quoted string"),
            },
            '$' => self.name(Kind::Variable),
            '.' if !chars.next().is_some_and(|c| c.is_ascii_digit()) => self.name(Kind::Field),
            '.' | '+' | '-' | '0'..='9' => self.number(),
            '(' => {
                self.parens += 1;
                self.token(Kind::LeftParen, 1)
            }
            ')' if self.parens == 0 => self.error("unexpected right paren"),
            ')' => {
                self.parens -= 1;
                self.token(Kind::RightParen, 1)
            }
            c if is_word(c) => self.word(),
            ' '..='~' => self.token(Kind::Char, 1),
            c => self.error(format!(
                "unrecognized character in action: {}",
                code_point(c)
            )),
        }
    }

    fn quoted(&mut self, quote: char, kind: Kind, unclosed: &str) -> Token<'t> {
        let mut escaped = false;
        for (at, c) in self.rest().char_indices().skip(1) {
            match c {
                '\n' => break,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                c if c == quote => return self.token(kind, at + 1),
                _ => {}
            }
        }
        self.error(unclosed)
    }

    /// Whether a name may end before what follows.
    fn terminated(rest: &str) -> Result<(), char> {
        match rest.chars().next() {
            None | Some('.' | ',' | '|' | ':' | ')' | '(') => Ok(()),
            Some(c) if is_space(c) || rest.starts_with(RIGHT) => Ok(()),
            Some(c) => Err(c),
        }
    }

    /// A field or variable: its first character, and the word that follows.
    fn name(&mut self, kind: Kind) -> Token<'t> {
        let rest = self.rest();
        let tail = rest.get(1..).unwrap_or_default();
        let length = 1 + tail.find(|c| !is_word(c)).unwrap_or(tail.len());
        match Self::terminated(rest.get(length..).unwrap_or_default()) {
            Ok(()) if length == 1 && kind == Kind::Field => self.token(Kind::Dot, 1),
            Ok(()) => self.token(kind, length),
            Err(c) => self.error(format!("bad character {}", code_point(c))),
        }
    }

    fn word(&mut self) -> Token<'t> {
        let rest = self.rest();
        let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let word = rest.get(..length).unwrap_or_default();
        if let Err(c) = Self::terminated(rest.get(length..).unwrap_or_default()) {
            return self.error(format!("bad character {}", code_point(c)));
        }
        let kind = match word {
            "nil" => Kind::Nil,
            "true" | "false" => Kind::Bool,
            word if KEYWORDS.contains(&word) => Kind::Keyword,
            _ => Kind::Identifier,
        };
        self.token(kind, length)
    }

    fn number(&mut self) -> Token<'t> {
        let rest = self.rest();
        let length = number_length(rest);
        let next = |length: usize| rest.get(length..).and_then(|rest| rest.chars().next());
        if next(length).is_some_and(is_word) {
            let bad = rest.get(..length + 1).unwrap_or(rest);
            return self.error(format!("bad number syntax: {}", super::quote::quote(bad)));
        }
        if !matches!(next(length), Some('+' | '-')) {
            let complex = rest.get(..length).is_some_and(|text| text.ends_with('i'));
            return self.token(if complex { Kind::Complex } else { Kind::Number }, length);
        }
        let whole = length + number_length(rest.get(length..).unwrap_or_default());
        match rest.get(..whole) {
            Some(text) if text.ends_with('i') => self.token(Kind::Complex, whole),
            text => self.error(format!(
                "bad number syntax: {}",
                super::quote::quote(text.unwrap_or(rest))
            )),
        }
    }
}

fn trims_left(from_delim: &str) -> bool {
    from_delim
        .strip_prefix("{{-")
        .is_some_and(|rest| rest.starts_with(is_space))
}

/// The length of a closing delimiter with its trim marker, and whether it has one.
fn right_delim(rest: &str) -> Option<(usize, bool)> {
    if rest.starts_with(RIGHT) {
        return Some((RIGHT.len(), false));
    }
    let marked = rest.starts_with(is_space)
        && rest
            .get(1..)
            .is_some_and(|rest| rest.strip_prefix('-').is_some_and(|r| r.starts_with(RIGHT)));
    marked.then_some((2 + RIGHT.len(), true))
}

/// How much of a text is a number: sign, base, digits, fraction, exponent, `i`.
fn number_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let at = |index: usize| bytes.get(index).copied().unwrap_or_default();
    let mut length = usize::from(matches!(at(0), b'+' | b'-'));
    let (mut digits, mut exponent): (fn(u8) -> bool, &[u8]) =
        (|b: u8| b.is_ascii_digit() || b == b'_', b"eE");
    if at(length) == b'0' {
        length += 1;
        match at(length) {
            b'x' | b'X' => {
                length += 1;
                (digits, exponent) = (|b: u8| b.is_ascii_hexdigit() || b == b'_', b"pP");
            }
            b'o' | b'O' | b'b' | b'B' => length += 1,
            _ => {}
        }
    }
    let run = |mut from: usize| {
        while digits(at(from)) {
            from += 1;
        }
        from
    };
    length = run(length);
    if at(length) == b'.' {
        length = run(length + 1);
    }
    if exponent.contains(&at(length)) {
        length += 1;
        length += usize::from(matches!(at(length), b'+' | b'-'));
        while at(length).is_ascii_digit() {
            length += 1;
        }
    }
    length + usize::from(at(length) == b'i')
}
