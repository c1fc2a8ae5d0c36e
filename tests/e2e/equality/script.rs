//! Scripts: command lines by cases, in the least words.
//!
//!     == name of a case                    its lines run one after the other, in a directory of its own
//!     run --rm $N box sh -c 'exit 7'       arguments of the program, read by a shell; $N is `--network none`
//!     ! docker export a | tar t            a line for the shell; `docker` is the program of the side it runs on
//!     {sort} volume ls -q                  the order of the lines of the output does not count
//!     {json} inspect a                     the output is compared as JSON, member by member
//!     {err:words} run --nope box           standard error differs, for the reason of that name in the table
//!     # a remark
//!
//! Cases run at once, all in one store: their objects have names of their own. A case named `setup` runs before them.

/// What of a command line's outcome is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Aspect {
    Code,
    Out,
    Err,
}

/// One command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// As a shell takes it.
    pub(super) line: String,
    pub(super) sorted: bool,
    pub(super) json: bool,
    /// What differs, and the name of the reason.
    pub(super) differs: Vec<(Aspect, String)>,
}

/// A few command lines that tell one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) steps: Vec<Step>,
}

pub(super) fn parse(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    // A line that ends with a backslash goes on.
    for line in text.replace("\\\n", "").lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("== ") {
            let name = name.trim().to_owned();
            assert!(
                cases.iter().all(|case| case.name != name),
                "two cases named {name:?}"
            );
            cases.push(Case {
                name,
                steps: Vec::new(),
            });
        } else if !line.is_empty() && !line.starts_with('#') {
            let case = cases.last_mut().expect("a script begins with a case");
            case.steps.push(step(line));
        }
    }
    cases
}

fn step(line: &str) -> Step {
    let (marks, line) = match line
        .strip_prefix('{')
        .and_then(|rest| rest.split_once("} "))
    {
        Some((marks, line)) => (marks, line),
        None => ("", line),
    };
    let mut step = Step {
        line: match line.strip_prefix("! ") {
            Some(line) => line.to_owned(),
            None => format!("docker {line}"),
        },
        sorted: false,
        json: false,
        differs: Vec::new(),
    };
    for mark in marks.split_whitespace() {
        match mark.split_once(':') {
            None if mark == "sort" => step.sorted = true,
            None if mark == "json" => step.json = true,
            Some(("code", why)) => step.differs.push((Aspect::Code, why.to_owned())),
            Some(("out", why)) => step.differs.push((Aspect::Out, why.to_owned())),
            Some(("err", why)) => step.differs.push((Aspect::Err, why.to_owned())),
            _ => panic!("{mark:?} is no mark, in front of {line:?}"),
        }
    }
    step
}

#[test]
fn marks_and_lines() {
    let cases = parse(
        "# x\n== a\nps -a\n\n{sort err:b out:c} ! docker ps \\\n  -a\n== d\n{json} inspect {}\n",
    );
    assert_eq!(cases.len(), 2);
    let [first, second] = cases[0].steps.as_slice() else {
        panic!("{cases:?}")
    };
    assert_eq!(first.line, "docker ps -a");
    assert!(!first.sorted && !first.json && first.differs.is_empty());
    assert_eq!(second.line, "docker ps   -a");
    assert!(second.sorted);
    let differs = [(Aspect::Err, "b".to_owned()), (Aspect::Out, "c".to_owned())];
    assert_eq!(second.differs, differs);
    assert_eq!(cases[1].steps[0].line, "docker inspect {}");
    assert!(cases[1].steps[0].json);
}
