//! `--filter`.

use super::size;

/// Why a filter is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum FilterError {
    #[error("invalid filter '{0}' (use name=value)")]
    Format(String),
    #[error("invalid filter '{0}' (use dangling, reference, label, before or since)")]
    Name(String),
    #[error("invalid filter 'dangling={0}' (use true or false)")]
    Dangling(String),
}

/// Filters of `images`. Several of one name: any `reference`, all of the others.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ImageFilters {
    /// Images without a tag, or only the others.
    pub(crate) dangling: Option<bool>,
    /// Patterns of names.
    pub(crate) reference: Vec<String>,
    /// `name` or `name=value`.
    pub(crate) label: Vec<String>,
    /// Images built before these.
    pub(crate) before: Vec<String>,
    /// Images built after these.
    pub(crate) since: Vec<String>,
}

impl ImageFilters {
    /// Adds one `name=value`.
    ///
    /// # Errors
    /// It is none, or an unknown one.
    pub(crate) fn add(&mut self, text: &str) -> Result<(), FilterError> {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| FilterError::Format(text.to_owned()))?;
        let value = value.trim();
        match name.trim().to_ascii_lowercase().as_str() {
            "dangling" => self.dangling = Some(dangling(value)?),
            "reference" => self.reference.push(value.to_owned()),
            "label" => self.label.push(value.to_owned()),
            "before" => self.before.push(value.to_owned()),
            "since" => self.since.push(value.to_owned()),
            name => return Err(FilterError::Name(name.to_owned())),
        }
        Ok(())
    }
}

/// What `dangling` is set to.
///
/// # Errors
/// It is no switch.
pub(crate) fn dangling(value: &str) -> Result<bool, FilterError> {
    size::switch(value).map_err(|_| FilterError::Dangling(value.to_owned()))
}

/// Whether labels have `name`, or `name` with just that value.
pub(crate) fn label_matches<'a>(
    filter: &str,
    labels: impl IntoIterator<Item = (&'a String, &'a String)>,
) -> bool {
    let (name, value) = match filter.split_once('=') {
        None => (filter, None),
        Some((name, value)) => (name, Some(value)),
    };
    let mut labels = labels.into_iter();
    labels.any(|(known, have)| known == name && value.is_none_or(|value| have == value))
}

/// Go's `path.Match`: `*` and `?` do not match a slash, `[a-z]` and `[^a-z]` are classes, `\`
/// quotes. A malformed pattern matches nothing.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    matches(&pattern, &text)
}

fn matches(pattern: &[char], text: &[char]) -> bool {
    // Only the latest star is tried again: what an earlier one could take, the later can too,
    // since the stars take anything but a slash and a slash must match itself.
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        let step = match pattern.get(p) {
            Some('*') => {
                star = Some((p + 1, t));
                p += 1;
                continue;
            }
            None if t == text.len() => return true,
            None => None,
            Some(_) => text.get(t).and_then(|c| one(&pattern[p..], *c)),
        };
        match (step, star) {
            (Some(used), _) => (p, t) = (p + used, t + 1),
            (None, Some((after, from))) if text.get(from).is_some_and(|c| *c != '/') => {
                (p, t) = (after, from + 1);
                star = Some((after, from + 1));
            }
            _ => return false,
        }
    }
}

/// Matches one character with the beginning of a pattern; gives how much of it was used.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern {
        ['?', ..] => (c != '/').then_some(1),
        ['\\', quoted, ..] => (*quoted == c).then_some(2),
        ['[', rest @ ..] => {
            let end = rest.iter().skip(1).position(|c| *c == ']')? + 1;
            let class = rest.get(..end)?;
            let (negated, class) = match class {
                ['^', class @ ..] => (true, class),
                class => (false, class),
            };
            let mut found = false;
            let mut at = 0;
            while let Some(low) = class.get(at) {
                match (class.get(at + 1), class.get(at + 2)) {
                    (Some('-'), Some(high)) => {
                        found |= (*low..=*high).contains(&c);
                        at += 3;
                    }
                    _ => {
                        found |= *low == c;
                        at += 1;
                    }
                }
            }
            (found != negated).then_some(end + 2)
        }
        [literal, ..] => (*literal == c).then_some(1),
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn filters() {
        let mut filters = ImageFilters::default();
        for text in [
            "dangling=false",
            "reference=a*",
            "label=x=y",
            "before=b",
            "since=c",
        ] {
            filters.add(text).unwrap();
        }
        let want = ImageFilters {
            dangling: Some(false),
            reference: vec!["a*".into()],
            label: vec!["x=y".into()],
            before: vec!["b".into()],
            since: vec!["c".into()],
        };
        assert_eq!(filters, want);
        assert_eq!(filters.add("foo=bar"), Err(FilterError::Name("foo".into())));
        assert_eq!(filters.add("foo"), Err(FilterError::Format("foo".into())));
        assert_eq!(
            filters.add("dangling=x"),
            Err(FilterError::Dangling("x".into()))
        );
    }

    #[test]
    fn labels() {
        let labels = HashMap::from([("a".to_owned(), "b=c".to_owned())]);
        assert!(label_matches("a", &labels) && label_matches("a=b=c", &labels));
        assert!(!label_matches("a=b", &labels) && !label_matches("b", &labels));
    }

    #[test]
    fn patterns() {
        for (pattern, text, want) in [
            ("busybox", "busybox", true),
            ("busy*", "busybox", true),
            ("*box", "busybox", true),
            ("b*y*x", "busybox", true),
            ("*", "a/b", false),
            ("*/*", "a/b", true),
            ("*/b*", "a/abc/b", false),
            ("*:latest", "busybox:latest", true),
            ("b?sybox", "busybox", true),
            ("a?b", "a/b", false),
            ("[a-c]usybox", "busybox", true),
            ("[^b]usybox", "busybox", false),
            ("[^a]usybox", "busybox", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("[", "[", false),
            ("", "", true),
            ("", "a", false),
            ("a", "", false),
            ("***a", "bca", true),
        ] {
            assert_eq!(glob(pattern, text), want, "{pattern} {text}");
        }
    }
}
