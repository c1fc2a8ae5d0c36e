//! `-e`, `--env-file`: settings of the container's environment.

/// Why a setting is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum EnvError {
    #[error("invalid environment variable: {0}")]
    NoName(String),
    #[error("variable '{0}' contains whitespaces")]
    Whitespace(String),
    #[error("no variable name on line '{0}'")]
    NoNameOnLine(String),
    #[error("invalid utf8 bytes at line {0}")]
    NotText(usize),
}

/// Refuses what cannot be a setting; `-e KEY` is looked up later by [`lookup`].
pub(crate) fn flag(text: &str) -> Result<String, EnvError> {
    if text.is_empty() || text.starts_with('=') {
        return Err(EnvError::NoName(text.to_owned()));
    }
    Ok(text.to_owned())
}

/// `NAME=value` as it is; `NAME` alone with the value it has in the caller's environment.
/// A name without a value anywhere stays a bare name: it takes the image's setting away.
pub(crate) fn lookup(text: &str, outside: &dyn Fn(&str) -> Option<String>) -> String {
    match (text.contains('='), outside(text)) {
        (false, Some(value)) => format!("{text}={value}"),
        _ => text.to_owned(),
    }
}

/// The settings of an `--env-file`, as Docker reads it: one a line, `#` at the start of a line is a
/// comment, everything after the first `=` is the value, quotes and blanks included; `NAME` alone
/// takes the caller's value, or is skipped when there is none.
pub(crate) fn file(
    content: &[u8],
    outside: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<String>, EnvError> {
    const BLANK: [char; 2] = [' ', '\t'];
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let mut settings = Vec::new();
    for (number, line) in content.split(|&b| b == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = std::str::from_utf8(line).map_err(|_| EnvError::NotText(number + 1))?;
        let line = line.trim_start_matches(BLANK);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, has_value) = match line.split_once('=') {
            Some((name, _)) => (name, true),
            None => (line, false),
        };
        if name.contains(BLANK) {
            return Err(EnvError::Whitespace(name.to_owned()));
        }
        if name.is_empty() {
            return Err(EnvError::NoNameOnLine(line.to_owned()));
        }
        if has_value {
            settings.push(line.to_owned());
        } else if let Some(value) = outside(name) {
            settings.push(format!("{name}={value}"));
        }
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outside(name: &str) -> Option<String> {
        (name == "HOME").then(|| "/home/u".to_owned())
    }

    #[test]
    fn flags() {
        assert_eq!(flag("A=b"), Ok("A=b".into()));
        assert_eq!(flag("A="), Ok("A=".into()));
        assert_eq!(flag("=x"), Err(EnvError::NoName("=x".into())));
        assert_eq!(flag(""), Err(EnvError::NoName(String::new())));
        for (text, want) in [
            ("A=b", "A=b"),
            ("HOME", "HOME=/home/u"),
            ("NOPE", "NOPE"),
            ("HOME=", "HOME="),
        ] {
            assert_eq!(lookup(text, &outside), want);
        }
    }

    #[test]
    fn files() {
        for (content, want) in [
            (&b""[..], &[][..]),
            (b"A=b\n", &["A=b"]),
            (b"A=b", &["A=b"]),
            (b"\xef\xbb\xbfA=b\r\nB=\n", &["A=b", "B="]),
            (
                b" A=b # c\n# x\n  \nHOME\nNOPE\nQ=\"x y\" \n",
                &["A=b # c", "HOME=/home/u", "Q=\"x y\" "],
            ),
            (b"A=b=c\nA=d\n", &["A=b=c", "A=d"]),
        ] {
            assert_eq!(file(content, &outside).unwrap(), want);
        }
    }

    #[test]
    fn wrong_files() {
        assert_eq!(
            file(b"A B=c\n", &outside),
            Err(EnvError::Whitespace("A B".into()))
        );
        assert_eq!(
            file(b"A B\n", &outside),
            Err(EnvError::Whitespace("A B".into()))
        );
        assert_eq!(
            file(b"A=b\n=c\n", &outside),
            Err(EnvError::NoNameOnLine("=c".into()))
        );
        assert_eq!(
            file(b"A=b\n\xff\xfe=c\n", &outside),
            Err(EnvError::NotText(2))
        );
    }
}
