//! What was found: differences without a reason, and reasons without a difference.

use super::script::{Aspect, Case, Step};
use super::side::Outcome;
use super::{json, known};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write;

#[derive(Default)]
pub(super) struct Report {
    wrong: Vec<String>,
    /// Whether JSON was compared, and which patterns of the table met a difference.
    json: bool,
    members: BTreeSet<&'static str>,
}

impl Report {
    pub(super) fn case(&mut self, case: &Case, theirs: &[Outcome], ours: &[Outcome]) {
        for (step, (theirs, ours)) in case.steps.iter().zip(theirs.iter().zip(ours)) {
            let mut text = String::new();
            let mut aspect = |aspect, name, theirs: &str, ours: &str| {
                let listed = step.differs.iter().find(|(of, _)| *of == aspect);
                let _ = match (theirs == ours, listed) {
                    (true, None) => Ok(()),
                    (false, Some(_)) => Ok(()),
                    (true, Some((_, why))) => {
                        writeln!(text, "  {name} is the same now: take the mark {why:?} away")
                    }
                    (false, None) => {
                        writeln!(
                            text,
                            "  {name} docker: {theirs:?}\n  {name} ours:   {ours:?}"
                        )
                    }
                };
            };
            let codes = (theirs.code.to_string(), ours.code.to_string());
            aspect(Aspect::Code, "code", &codes.0, &codes.1);
            if !step.json {
                aspect(Aspect::Out, "out", &theirs.out, &ours.out);
            }
            aspect(Aspect::Err, "err", &theirs.err, &ours.err);
            if step.json {
                text.push_str(&self.json(theirs, ours));
            }
            if !text.is_empty() {
                self.wrong
                    .push(format!("{}: {}\n{text}", case.name, told(step)));
            }
        }
    }

    fn json(&mut self, theirs: &Outcome, ours: &Outcome) -> String {
        self.json = true;
        // Which id it is counts in lines; objects have more of them than both sides could count alike.
        let number = regex_lite::Regex::new(r"\b(ID|SHORT)\d+\b").expect("a pattern of ours");
        let parsed = |text: &str| serde_json::from_str::<Value>(&number.replace_all(text, "$1"));
        let (theirs, ours) = match (parsed(&theirs.out), parsed(&ours.out)) {
            (Ok(theirs), Ok(ours)) => (theirs, ours),
            _ => {
                return format!(
                    "  no JSON docker: {:?}\n  no JSON ours:   {:?}\n",
                    theirs.out, ours.out
                );
            }
        };
        let mut text = String::new();
        for (path, theirs, ours) in json::differences(&theirs, &ours) {
            let process = |value: &Option<String>| value.as_ref().is_some_and(|pid| pid != "0");
            if path.ends_with("State/Pid") && process(&theirs) && process(&ours) {
                continue;
            }
            let listed = known::MEMBERS.iter().map(|(pattern, _)| *pattern);
            let mut listed = listed
                .filter(|pattern| json::fits(pattern, &path))
                .peekable();
            if listed.peek().is_none() {
                let shown =
                    |value: Option<String>| value.unwrap_or_else(|| "(not there)".to_owned());
                let _ = writeln!(
                    text,
                    "  {path} docker: {}, ours: {}",
                    shown(theirs),
                    shown(ours)
                );
            }
            self.members.extend(listed);
        }
        text
    }

    /// Panics with all that was found.
    #[track_caller]
    pub(super) fn assert_nothing(mut self) {
        if self.json {
            let listed = known::MEMBERS.iter().map(|(pattern, _)| *pattern);
            for pattern in listed.filter(|pattern| !self.members.contains(pattern)) {
                let text = format!("{pattern} is the same now: take it out of the table");
                self.wrong.push(text);
            }
        }
        assert!(
            self.wrong.is_empty(),
            "{} differences from Docker:\n{}",
            self.wrong.len(),
            self.wrong.join("\n")
        );
    }
}

fn told(step: &Step) -> String {
    match step.line.strip_prefix("docker ") {
        Some(line) => line.to_owned(),
        None => format!("! {}", step.line),
    }
}
