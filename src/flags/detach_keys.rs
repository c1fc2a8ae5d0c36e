//! The keys that detach from a container: `ctrl-p,ctrl-q`.

/// Why they are none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Invalid detach keys ({0}) provided")]
pub(crate) struct NoKeys(String);

/// A sequence of keys, watched for in what is typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DetachKeys {
    keys: Vec<u8>,
    /// How many of them were typed last, and are kept back.
    typed: usize,
}

impl Default for DetachKeys {
    fn default() -> Self {
        Self {
            keys: vec![0x10, 0x11],
            typed: 0,
        }
    }
}

/// Keys from a text: single characters, `ctrl-` and a letter or one of `@[\]^_`, `DEL`, separated
/// by commas. None and an empty text are the usual ones.
///
/// # Errors
/// Something else.
pub(crate) fn parse(text: Option<&str>) -> Result<DetachKeys, NoKeys> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(DetachKeys::default());
    };
    let keys = text.split(',').map(key).collect::<Option<_>>();
    let keys = keys.ok_or_else(|| NoKeys(text.to_owned()))?;
    Ok(DetachKeys { keys, typed: 0 })
}

fn key(text: &str) -> Option<u8> {
    match (text.as_bytes(), text.strip_prefix("ctrl-")) {
        ([byte], _) => Some(*byte),
        (b"DEL", _) => Some(0x7f),
        (_, Some(character)) => match character.as_bytes() {
            [byte @ (b'a'..=b'z')] => Some(byte - b'a' + 1),
            [byte @ (b'@' | b'[' | b'\\' | b']' | b'^' | b'_')] => Some(byte - b'@'),
            _ => None,
        },
        _ => None,
    }
}

impl DetachKeys {
    /// Passes on what was typed, but for the keys. True when all of them were typed: then nothing
    /// after them is passed on. The first of them wait for the next.
    pub(crate) fn pass(&mut self, typed: &[u8], on: &mut Vec<u8>) -> bool {
        for &byte in typed {
            loop {
                if self.keys.get(self.typed) == Some(&byte) {
                    self.typed += 1;
                    break;
                }
                if self.typed == 0 {
                    on.push(byte);
                    break;
                }
                self.give_up_first(on);
            }
            if self.typed == self.keys.len() {
                return true;
            }
        }
        false
    }

    /// What was kept back begins nothing; what follows its first key may.
    fn give_up_first(&mut self, on: &mut Vec<u8>) {
        let kept = self.keys.get(..self.typed).unwrap_or_default();
        let begins = |at: &usize| {
            kept.get(*at..)
                .is_some_and(|rest| self.keys.starts_with(rest))
        };
        let at = (1..self.typed).find(begins).unwrap_or(self.typed);
        on.extend_from_slice(kept.get(..at).unwrap_or_default());
        self.typed -= at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_dockers() {
        for (text, keys) in [
            ("", &[0x10, 0x11][..]),
            ("ctrl-p,ctrl-q", &[0x10, 0x11]),
            ("a", b"a"),
            ("ctrl-a,a", &[1, b'a']),
            (
                "ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_",
                &[0, 27, 28, 29, 30, 31],
            ),
            ("DEL", &[127]),
        ] {
            assert_eq!(parse(Some(text)).unwrap().keys, keys, "{text}");
        }
        for text in ["foo", "ctrl-", "ctrl-A", "a,bb", "a,", "ctrl-ab", "é"] {
            assert!(parse(Some(text)).is_err(), "{text}");
        }
        assert_eq!(parse(None).unwrap(), DetachKeys::default());
    }

    #[track_caller]
    fn passes(keys: &str, typed: &[&[u8]], on: &[u8], detached: bool) {
        let mut keys = parse(Some(keys)).unwrap();
        let mut passed = Vec::new();
        let found = typed.iter().any(|typed| keys.pass(typed, &mut passed));
        assert_eq!(found, detached);
        assert_eq!(passed, on);
    }

    #[test]
    fn keys_are_found_however_they_arrive() {
        passes("", &[b"ab"], b"ab", false);
        passes("", &[b"a\x10\x11b"], b"a", true);
        passes("", &[b"a\x10", b"\x11"], b"a", true);
        passes("", &[b"\x10", b"x\x11"], b"\x10x\x11", false);
        passes("", &[b"\x10\x10\x11"], b"\x10", true);
        passes("", &[b"\x10"], b"", false);
        passes("a,a,b", &[b"aaab"], b"a", true);
        passes("a,b,a,c", &[b"ababac"], b"ab", true);
        passes("a", &[b"xa"], b"x", true);
    }
}
