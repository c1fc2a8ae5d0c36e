//! `--label`, `--label-file`, `--annotation`, `--sysctl`: names with values.

/// Why it is no name with a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum LabelError {
    #[error("invalid label '{0}': empty name")]
    EmptyName(String),
    #[error("invalid utf8 bytes at line {0}")]
    NotText(usize),
    #[error("variable '{0}' contains whitespaces")]
    Whitespace(String),
    #[error("sysctl '{0}' has no value (use name=value)")]
    NoValue(String),
}

/// `name=value`, or `name` alone with an empty value.
pub(crate) fn parse(text: &str) -> Result<(String, String), LabelError> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    if name.trim().is_empty() {
        return Err(LabelError::EmptyName(text.to_owned()));
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// `name=value` of a driver; `name` alone has an empty value.
pub(crate) fn option(text: &str) -> Result<(String, String), LabelError> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    Ok((name.to_owned(), value.to_owned()))
}

/// The labels of a `--label-file`: one a line, `#` starts a comment line.
pub(crate) fn file(content: &[u8]) -> Result<Vec<(String, String)>, LabelError> {
    let mut labels = Vec::new();
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    for (number, line) in content.split(|&b| b == b'\n').enumerate() {
        let line = std::str::from_utf8(line).map_err(|_| LabelError::NotText(number + 1))?;
        let line = line
            .strip_suffix('\r')
            .unwrap_or(line)
            .trim_start_matches([' ', '\t']);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = parse(line)?;
        if name.contains([' ', '\t']) {
            return Err(LabelError::Whitespace(name));
        }
        labels.push((name, value));
    }
    Ok(labels)
}

/// `net.ipv4.ip_forward=1`. Which names a container may set is the library's to say.
pub(crate) fn sysctl(text: &str) -> Result<(String, String), LabelError> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(LabelError::NoValue(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn labels() {
        assert_eq!(parse("a=b=c"), Ok(pair("a", "b=c")));
        assert_eq!(parse("a"), Ok(pair("a", "")));
        assert_eq!(parse("=x"), Err(LabelError::EmptyName("=x".into())));
        assert_eq!(sysctl("net.x=1"), Ok(pair("net.x", "1")));
        assert_eq!(sysctl("net.x"), Err(LabelError::NoValue("net.x".into())));
    }

    #[test]
    fn files() {
        let want = vec![pair("a", "b"), pair("c", "")];
        assert_eq!(file(b"# x\na=b\r\n\n  c\n"), Ok(want));
        assert_eq!(file(b"a b=c"), Err(LabelError::Whitespace("a b".into())));
        assert_eq!(file(b"a\n\xff"), Err(LabelError::NotText(2)));
    }
}
