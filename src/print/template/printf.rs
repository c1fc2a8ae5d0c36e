//! Go's `Sprintf` for the values that templates have.

use super::quote;
use super::show::{self, Layout};
use super::value::Value;

/// Wider or more precise than this is refused, as by Go.
const WIDEST: i128 = 1_000_000;

/// `%-05.2f`, taken apart.
#[derive(Debug, Clone, Copy, Default)]
struct Verb {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
    /// How the number itself was wrong.
    bad: Option<&'static str>,
}

/// Formats values.
pub(super) fn printf(format: &str, args: &[Value]) -> String {
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    let mut next = 0;
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut verb = Verb::default();
        while let Some(flag) = chars.peek() {
            match flag {
                '-' => (verb.minus, verb.zero) = (true, false),
                '+' => verb.plus = true,
                '#' => verb.sharp = true,
                ' ' => verb.space = true,
                '0' => verb.zero = !verb.minus,
                _ => break,
            }
            chars.next();
        }
        verb.width = match number(&mut chars, args, &mut next) {
            Size::Given(width) if width < 0 => {
                (verb.minus, verb.zero) = (true, false);
                usize::try_from(-width).ok()
            }
            Size::Given(width) => usize::try_from(width).ok(),
            Size::None => None,
            Size::Bad => {
                verb.bad = Some("%!(BADWIDTH)");
                None
            }
        };
        if chars.peek() == Some(&'.') {
            chars.next();
            verb.precision = match number(&mut chars, args, &mut next) {
                Size::Given(precision) if precision >= 0 => usize::try_from(precision).ok(),
                Size::None => Some(0),
                Size::Given(_) | Size::Bad => {
                    verb.bad = Some("%!(BADPREC)");
                    None
                }
            };
        }
        out.push_str(verb.bad.unwrap_or_default());
        let Some(c) = chars.next() else {
            out.push_str("%!(NOVERB)");
            break;
        };
        if c == '%' {
            out.push('%');
            continue;
        }
        match args.get(next) {
            Some(value) => {
                next += 1;
                verb.format(&mut out, c, value);
            }
            None => {
                out.push_str("%!");
                out.push(c);
                out.push_str("(MISSING)");
            }
        }
    }
    let unused = args.get(next..).unwrap_or_default();
    if !unused.is_empty() {
        let shown: Vec<String> = unused.iter().map(typed).collect();
        out.push_str(&format!("%!(EXTRA {})", shown.join(", ")));
    }
    out
}

enum Size {
    None,
    Given(i128),
    Bad,
}

/// A width or precision: digits, or `*` for an argument.
fn number(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    args: &[Value],
    next: &mut usize,
) -> Size {
    if chars.peek() == Some(&'*') {
        chars.next();
        let value = args.get(*next);
        *next += 1;
        return match value {
            Some(Value::Int(number)) if number.abs() <= WIDEST => Size::Given(*number),
            _ => Size::Bad,
        };
    }
    let mut size = Size::None;
    while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
        chars.next();
        size = match size {
            Size::None => Size::Given(digit.into()),
            Size::Given(number) if number <= WIDEST => Size::Given(number * 10 + i128::from(digit)),
            _ => Size::Bad,
        };
    }
    match size {
        Size::Given(number) if number > WIDEST => Size::Bad,
        size => size,
    }
}

/// `string=hi`, as Go shows an argument it cannot use.
fn typed(value: &Value) -> String {
    match value {
        Value::Nothing | Value::Nil => "<nil>".to_owned(),
        value => {
            let shown = show::print(std::slice::from_ref(value));
            format!("{}={shown}", value.type_name())
        }
    }
}

impl Verb {
    fn format(mut self, out: &mut String, c: char, value: &Value) {
        // `%+v` is about the names of fields, not about signs.
        let named = c == 'v' && self.plus;
        self.plus &= !named;
        match (c, value) {
            ('T', value) => self.pad(out, value.type_name()),
            ('v', Value::Nothing | Value::Nil) => self.pad(out, "<nil>"),
            ('t', Value::Bool(yes)) | ('v', Value::Bool(yes)) => self.pad(out, &yes.to_string()),
            ('v' | 'd' | 'b' | 'o' | 'O' | 'x' | 'X' | 'c' | 'q' | 'U', Value::Int(number)) => {
                self.integer(out, c, *number);
            }
            ('v' | 'e' | 'E' | 'f' | 'F' | 'g' | 'G', Value::Float(number)) => {
                self.float(out, c, *number);
            }
            ('v' | 's', Value::Text(text)) if !(c == 'v' && self.sharp) => {
                self.pad(out, self.cut(text));
            }
            ('q' | 'v', Value::Text(text)) => {
                let text = self.cut(text);
                let raw = self.sharp && c == 'q' && !text.contains(['`', '\n']);
                match raw {
                    true => self.pad(out, &format!("`{text}`")),
                    false => self.pad(out, &quote::quote(text)),
                }
            }
            ('x' | 'X', Value::Text(text)) => {
                let text = self.cut_bytes(text.as_bytes());
                let hex: String = match c {
                    'x' => text.iter().map(|byte| format!("{byte:02x}")).collect(),
                    _ => text.iter().map(|byte| format!("{byte:02X}")).collect(),
                };
                self.pad(out, &hex);
            }
            ('v', Value::Struct(_)) if named => {
                let mut shown = String::new();
                show::show(&mut shown, value, Layout::Named);
                out.push_str(&shown);
            }
            (_, Value::NilList) => out.push_str("[]"),
            (_, Value::NilMap) => out.push_str("map[]"),
            (_, Value::List(list)) => {
                out.push('[');
                for (at, value) in list.iter().enumerate() {
                    if at > 0 {
                        out.push(' ');
                    }
                    self.format(out, c, value);
                }
                out.push(']');
            }
            (_, Value::Map(map)) => {
                out.push_str("map[");
                for (at, (name, value)) in map.entries.iter().enumerate() {
                    if at > 0 {
                        out.push(' ');
                    }
                    self.format(out, c, &Value::text(name.as_str()));
                    out.push(':');
                    self.format(out, c, value);
                }
                out.push(']');
            }
            (_, Value::Struct(fields)) => {
                out.push('{');
                for (at, field) in fields.fields.iter().enumerate() {
                    if at > 0 {
                        out.push(' ');
                    }
                    self.format(out, c, &field.value);
                }
                out.push('}');
            }
            (c, value) => out.push_str(&format!("%!{c}({})", typed(value))),
        }
    }

    fn cut(self, text: &str) -> &str {
        let end = self
            .precision
            .and_then(|precision| text.char_indices().nth(precision));
        end.and_then(|(at, _)| text.get(..at)).unwrap_or(text)
    }

    fn cut_bytes(self, bytes: &[u8]) -> &[u8] {
        self.precision
            .and_then(|precision| bytes.get(..precision))
            .unwrap_or(bytes)
    }

    fn pad(self, out: &mut String, text: &str) {
        let missing = self.width.unwrap_or(0).saturating_sub(text.chars().count());
        let blanks = |out: &mut String| out.extend(std::iter::repeat_n(' ', missing));
        if !self.minus {
            blanks(out);
        }
        out.push_str(text);
        if self.minus {
            blanks(out);
        }
    }

    /// A number's sign and prefix, then its digits, with zeros between them where asked for.
    fn pad_number(self, out: &mut String, sign: &str, prefix: &str, digits: &str) {
        let length = sign.len() + prefix.len() + digits.len();
        match self.width {
            Some(width) if self.zero && width > length => {
                let zeros = "0".repeat(width - length);
                self.pad(out, &format!("{sign}{prefix}{zeros}{digits}"));
            }
            _ => self.pad(out, &format!("{sign}{prefix}{digits}")),
        }
    }

    fn sign(self, negative: bool) -> &'static str {
        match (negative, self.plus, self.space) {
            (true, ..) => "-",
            (_, true, _) => "+",
            (_, _, true) => " ",
            _ => "",
        }
    }

    fn integer(mut self, out: &mut String, c: char, number: i128) {
        let size = number.unsigned_abs();
        let character = u32::try_from(number).ok().and_then(char::from_u32);
        let sharp = self.sharp;
        let (prefix, digits) = match c {
            'c' => return self.pad(out, &character.unwrap_or('\u{fffd}').to_string()),
            'q' => return self.pad(out, &quote::quote_char(character.unwrap_or('\u{fffd}'))),
            'U' => return self.pad(out, &format!("U+{size:04X}")),
            'b' => (if sharp { "0b" } else { "" }, format!("{size:b}")),
            'o' => (if sharp { "0" } else { "" }, format!("{size:o}")),
            'O' => ("0o", format!("{size:o}")),
            'x' => (if sharp { "0x" } else { "" }, format!("{size:x}")),
            'X' => (if sharp { "0X" } else { "" }, format!("{size:X}")),
            _ => ("", size.to_string()),
        };
        let digits = match self.precision {
            Some(precision) => {
                self.zero = false;
                "0".repeat(precision.saturating_sub(digits.len())) + &digits
            }
            None => digits,
        };
        self.pad_number(out, self.sign(number < 0), prefix, &digits);
    }

    fn float(mut self, out: &mut String, c: char, number: f64) {
        let size = number.abs();
        let digits = if !number.is_finite() {
            self.zero = false;
            let name = show::float(number);
            name.trim_start_matches(['+', '-']).to_owned()
        } else {
            match c {
                'f' | 'F' => fixed(size, self.precision.unwrap_or(6)),
                'e' | 'E' => show::with_exponent(&scientific(size, self.precision.unwrap_or(6))),
                _ => general(size, self.precision),
            }
        };
        let digits = match c {
            'E' | 'G' => digits.to_uppercase(),
            _ => digits,
        };
        self.pad_number(out, self.sign(number.is_sign_negative()), "", &digits);
    }
}

/// No float has more digits than this after its point; Rust's own limit lies above.
const DIGITS: usize = 1100;

fn fixed(size: f64, precision: usize) -> String {
    let zeros = precision.saturating_sub(DIGITS);
    format!("{size:.*}", precision.min(DIGITS)) + &"0".repeat(zeros)
}

fn scientific(size: f64, precision: usize) -> String {
    let shown = format!("{size:.*e}", precision.min(DIGITS));
    let zeros = "0".repeat(precision.saturating_sub(DIGITS));
    match shown.split_once('e') {
        Some((digits, exponent)) => format!("{digits}{zeros}e{exponent}"),
        None => shown,
    }
}

/// `%g` and `%v`: the shortest that gives the number back, or so many digits.
fn general(size: f64, precision: Option<usize>) -> String {
    let Some(precision) = precision else {
        return show::float(size);
    };
    let precision = precision.max(1);
    let scientific = scientific(size, precision - 1);
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trimmed = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    match usize::try_from(exponent) {
        Ok(at) if at < precision => trimmed(&fixed(size, precision - 1 - at)),
        Err(_) if exponent >= -4 => {
            let zeros = usize::try_from(-exponent).unwrap_or(0);
            trimmed(&fixed(size, precision - 1 + zeros))
        }
        _ => show::with_exponent(&format!("{}e{exponent}", trimmed(digits))),
    }
}
