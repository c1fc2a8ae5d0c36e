//! What cannot be the same in two runs, put in the same words: ids, times, places, and who speaks.

use regex_lite::{Captures, Regex};
use std::path::{Path, PathBuf};

/// The masks of one case on one side. An id keeps its number from line to line, so that which of them is told counts.
pub(super) struct Masks {
    places: Vec<(String, &'static str)>,
    ids: Vec<String>,
    id: Regex,
    gaps: Regex,
    words: Vec<(Regex, &'static str)>,
}

/// Patterns of what differs from run to run.
const WORDS: &[(&str, &str)] = &[
    // Go's zero time is no time.
    (r"\b0001-01-01T00:00:00Z", "NEVER"),
    (
        r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)",
        "TIME",
    ),
    (
        r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? [+-]\d{4} [A-Z]{3,4}\b",
        "TIME",
    ),
    (
        r"\b(Less than a second|About a minute|About an hour|\d+ (seconds?|minutes?|hours))\b",
        "WHILE",
    ),
];

impl Masks {
    pub(super) fn new(directory: &Path, stores: &[PathBuf]) -> Masks {
        let stores = stores
            .iter()
            .map(|store| (store.display().to_string(), "STORE"));
        let home = directory.with_file_name("home");
        let places = [(directory, "HERE"), (&home, "HOME")];
        let places = places.map(|(path, word)| (path.display().to_string(), word));
        Masks {
            places: places.into_iter().chain(stores).collect(),
            ids: Vec::new(),
            id: regex(r"\b(?:[0-9a-f]{64}|[0-9a-f]{12})\b"),
            gaps: regex(" {2,}"),
            words: WORDS
                .iter()
                .map(|(pattern, word)| (regex(pattern), *word))
                .collect(),
        }
    }

    /// Output without what is this run's alone.
    pub(super) fn apply(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        for (place, word) in &self.places {
            text = text.replace(place, word);
        }
        for (pattern, word) in &self.words {
            text = pattern.replace_all(&text, *word).into_owned();
        }
        if text.contains("WHILE") {
            // Columns are as wide as what was there.
            text = self.gaps.replace_all(&text, "  ").into_owned();
        }
        let ids = &mut self.ids;
        self.id
            .replace_all(&text, |found: &Captures<'_>| {
                let id = &found[0];
                let known = ids
                    .iter()
                    .position(|known| known.starts_with(id) || id.starts_with(known.as_str()));
                let number = known.unwrap_or_else(|| {
                    ids.push(id.to_owned());
                    ids.len() - 1
                });
                match id.len() {
                    64 => format!("ID{number}"),
                    _ => format!("SHORT{number}"),
                }
            })
            .into_owned()
    }

    /// An error message without who says it: there is no daemon here to respond, no chain of runtimes below it, and the
    /// client's words are those of newer releases.
    pub(super) fn message(text: &str) -> String {
        let text = text.replace("mini-docker", "docker");
        // Which function of Go's did not like a number.
        let text = regex(r"strconv\.\w+: ").replace_all(&text, "");
        let mut lines = Vec::new();
        for line in text.lines() {
            if HINTS.iter().any(|hint| line.starts_with(hint)) {
                break;
            }
            // The client's log: it waits for a container that did not start.
            if line.starts_with("time=") {
                continue;
            }
            let mut line = line.trim();
            for prefix in PREFIXES {
                line = line.strip_prefix(prefix).unwrap_or(line);
            }
            let mut line = line.trim_end_matches('.');
            line = line.strip_suffix(": unknown").unwrap_or(line);
            // What to use instead: Docker leaves that to the reader.
            if let (Some((said, _)), true) = (line.split_once(" (use "), line.ends_with(')')) {
                line = said;
            }
            // Which flag: there the client finds what is wrong, here the daemon.
            if let Some((_, said)) = line.split_once(" flag: ")
                && line.starts_with("invalid argument ")
            {
                line = said;
            }
            let line = match line
                .split_once(" requires ")
                .or(line.split_once(" accepts "))
            {
                Some((verb, _)) if verb.contains("docker ") => {
                    line.replace('"', "'").replacen(" exactly ", " ", 1)
                }
                _ => line.to_owned(),
            };
            // Docker's daemon and its client begin as they like.
            let mut chars = line.chars();
            let first = chars.next().into_iter().flat_map(char::to_lowercase);
            lines.push(first.chain(chars).collect::<String>());
        }
        lines.join("\n").trim().to_owned()
    }
}

/// Where help is, and the usage of another release.
const HINTS: &[&str] = &["See '", "Run '", "Usage:"];
/// Who speaks.
const PREFIXES: &[&str] = &[
    "docker: ",
    "Error response from daemon: ",
    "Error: ",
    "failed to create shim task: ",
    "OCI runtime create failed: ",
    "OCI runtime exec failed: ",
    "runc create failed: ",
    "exec failed: ",
    "unable to start container process: ",
    "error during container init: ",
];

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern of ours")
}

#[test]
fn the_same_id_is_told_again() {
    let mut masks = Masks::new(Path::new("/tmp/x/case"), &[PathBuf::from("/tmp/store")]);
    let (one, two) = ("ab".repeat(32), "cd".repeat(32));
    let masked = masks.apply(&format!(
        "{one}\n{two}\n{}\n/tmp/x/case/f /tmp/store/a",
        &one[..12]
    ));
    assert_eq!(masked, "ID0\nID1\nSHORT0\nHERE/f STORE/a");
    assert_eq!(masks.apply(&format!("sha256:{two}")), "sha256:ID1");
    let times = "Up 3 seconds 2026-01-02T03:04:05.6Z 0001-01-01T00:00:00Z";
    assert_eq!(masks.apply(times), "Up WHILE TIME NEVER");
}

#[test]
fn nobody_speaks() {
    let theirs =
        "docker: Error response from daemon: No such image: x.\nSee 'docker run --help'.\n";
    let ours = "mini-docker: Error: No such image: x\n\nRun 'mini-docker run --help' for more information\n";
    assert_eq!(Masks::message(theirs), "no such image: x");
    assert_eq!(Masks::message(theirs), Masks::message(ours));
}
