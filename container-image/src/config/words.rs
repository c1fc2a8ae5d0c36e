//! Words of a Dockerfile instruction: split, unquoted, variables filled in. As Docker does it,
//! which is almost as a shell does.

use std::iter::Peekable;
use std::str::Chars;

/// Splits at spaces that are neither quoted nor escaped. Quotes stay.
pub(super) fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, None) if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            ('\\', None | Some('"')) => {
                word.push(c);
                word.extend(chars.next());
                continue;
            }
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            _ => {}
        }
        word.push(c);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Takes quotes and escapes away and fills variables in from `NAME=value` settings.
pub(super) fn expand(word: &str, env: &[String]) -> Result<String, String> {
    let mut expansion = Expansion {
        chars: word.chars().peekable(),
        env,
    };
    let expanded = expansion.until(None);
    expanded.map_err(|reason| format!("failed to process {word:?}: {reason}"))
}

struct Expansion<'a> {
    chars: Peekable<Chars<'a>>,
    env: &'a [String],
}

impl Expansion<'_> {
    /// Up to a closing brace, which is taken too, or to the end.
    fn until(&mut self, close: Option<char>) -> Result<String, String> {
        let mut text = String::new();
        while let Some(c) = self.chars.next() {
            match c {
                c if Some(c) == close => return Ok(text),
                '\'' => self.single(&mut text)?,
                '"' => self.double(&mut text)?,
                '$' => text += &self.dollar()?,
                // A backslash at the very end says nothing.
                '\\' => text.extend(self.chars.next()),
                c => text.push(c),
            }
        }
        match close {
            Some(_) => Err("syntax error: missing '}'".to_owned()),
            None => Ok(text),
        }
    }

    fn single(&mut self, text: &mut String) -> Result<(), String> {
        loop {
            match self.chars.next() {
                Some('\'') => return Ok(()),
                Some(c) => text.push(c),
                None => return Err(unclosed("single")),
            }
        }
    }

    fn double(&mut self, text: &mut String) -> Result<(), String> {
        loop {
            match self.chars.next() {
                Some('"') => return Ok(()),
                Some('$') => *text += &self.dollar()?,
                Some('\\') => match self.chars.peek() {
                    Some('"' | '$' | '\\') => text.extend(self.chars.next()),
                    Some(_) => text.push('\\'),
                    None => {}
                },
                Some(c) => text.push(c),
                None => return Err(unclosed("double")),
            }
        }
    }

    /// What comes after a dollar sign.
    fn dollar(&mut self) -> Result<String, String> {
        if self.chars.peek() != Some(&'{') {
            let name = self.name();
            return Ok(match &*name {
                "" => "$".to_owned(),
                name => self.value(name),
            });
        }
        self.chars.next();
        match self.chars.peek() {
            None => return Err("syntax error: missing '}'".to_owned()),
            Some('{' | '}' | ':') => return Err("syntax error: bad substitution".to_owned()),
            Some(_) => {}
        }
        let name = self.name();
        let value = self.value(&name);
        match self.chars.next() {
            Some('}') => Ok(value),
            Some(':') => {
                let modifier = self.chars.next();
                let word = self.until(Some('}'))?;
                match modifier {
                    Some('+') if value.is_empty() => Ok(value),
                    Some('-') if !value.is_empty() => Ok(value),
                    Some('+' | '-') => Ok(word),
                    Some('?') if !value.is_empty() => Ok(value),
                    Some('?') if word.is_empty() => {
                        Err(format!("{name}: is not allowed to be unset"))
                    }
                    Some('?') => Err(format!("{name}: {word}")),
                    other => Err(format!(
                        "unsupported modifier ({}) in substitution",
                        other.unwrap_or(' ')
                    )),
                }
            }
            Some(_) => Err("missing ':' in substitution".to_owned()),
            None => Err("syntax error: missing '}'".to_owned()),
        }
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        let digits = self.chars.peek().is_some_and(char::is_ascii_digit);
        let fits = |c: &char| match digits {
            true => c.is_ascii_digit(),
            false => c.is_alphanumeric() || *c == '_',
        };
        while let Some(c) = self.chars.next_if(fits) {
            name.push(c);
        }
        name
    }

    fn value(&self, name: &str) -> String {
        let mut settings = self.env.iter().filter_map(|v| v.split_once('='));
        let found = settings.find(|(known, _)| *known == name);
        found.map(|(_, value)| value.to_owned()).unwrap_or_default()
    }
}

fn unclosed(kind: &str) -> String {
    format!("unexpected end of statement while looking for matching {kind}-quote")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let words = split(r#"a "b c" 'd "e' f\ g  h"i j"k"#);
        assert_eq!(words, ["a", "\"b c\"", "'d \"e'", r"f\ g", "h\"i j\"k"]);
        assert!(split("  ").is_empty());
    }

    #[test]
    fn expansion() {
        let env = ["A=1".to_owned(), "E=".to_owned(), "PATH=/bin".to_owned()];
        for (word, expanded) in [
            ("$A/x", "1/x"),
            ("${A}x", "1x"),
            ("$Ax", ""),
            ("'$A'", "$A"),
            (r#""$A \"q\" \n""#, r#"1 "q" \n"#),
            (r"\$A", "$A"),
            ("${N:-d}${E:-e}${A:-f}", "de1"),
            ("${A:+y}${N:+z}", "y"),
            ("${N:-${A}b}", "1b"),
            ("$", "$"),
            ("$1x", "x"),
            ("a\\", "a"),
            ("${A:?no}", "1"),
        ] {
            assert_eq!(expand(word, &env).as_deref(), Ok(expanded), "{word}");
        }
        for bad in [
            "\"x", "'x", "${", "${}", "${A", "${A:-x", "${A!x}", "${A:=x}", "${N:?no}",
        ] {
            assert!(expand(bad, &env).is_err(), "{bad}");
        }
    }
}
