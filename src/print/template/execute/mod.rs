//! Walks a parsed template over data, as Go's text/template/exec does.

mod evaluate;

use super::error::TemplateError;
use super::function::printed;
use super::node::{Branch, Command, Node, Operand, Pipeline};
use super::value::Value;

/// How much a template may print, and how many steps it may take: more than any list of containers
/// wants.
const LONGEST: usize = 64 << 20;
const STEPS: u64 = 5_000_000;

type Result<T> = std::result::Result<T, TemplateError>;

/// What to do about a key that a map has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// It is nothing.
    Nothing,
    /// It is an error.
    Error,
}

/// Whether a row is printed or the header above the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Row,
    Header,
}

/// How the walk through a list of nodes ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

/// What is being worked on, to be named in an error.
#[derive(Clone, Copy)]
enum Place<'t> {
    Start,
    Word(&'t Operand),
    Command(&'t Command),
    Pipeline(&'t Pipeline),
}

/// A walk.
pub(super) struct Walk<'t> {
    pub(super) text: &'t str,
    pub(super) missing: Missing,
    pub(super) part: Part,
    place: Place<'t>,
    variables: Vec<(&'t str, Value)>,
    steps: u64,
    pub(super) out: String,
}

impl<'t> Walk<'t> {
    pub(super) fn new(text: &'t str, data: Value, missing: Missing, part: Part) -> Self {
        Self {
            text,
            missing,
            part,
            place: Place::Start,
            variables: vec![("$", data)],
            steps: 0,
            out: String::new(),
        }
    }

    fn fail<T>(&self, why: impl Into<String>) -> Result<T> {
        let (at, context) = match self.place {
            Place::Start => (0, String::new()),
            Place::Word(word) => (word.at, word.to_string()),
            Place::Command(command) => (command.at, command.to_string()),
            Place::Pipeline(pipeline) => (pipeline.at, pipeline.to_string()),
        };
        let before = self.text.get(..at).unwrap_or_default();
        Err(TemplateError::Execute {
            line: 1 + before.matches('\n').count(),
            column: match before.rfind('\n') {
                Some(newline) => at - newline - 1,
                None => at,
            },
            context,
            why: why.into(),
        })
    }

    fn step(&mut self) -> Result<()> {
        self.steps += 1;
        if self.steps > STEPS {
            return Err(TemplateError::Endless("it takes too many steps"));
        }
        match self.out.len() > LONGEST {
            true => Err(TemplateError::Endless("it prints too much")),
            false => Ok(()),
        }
    }

    /// Fills the template in: what it prints is in `out`, even before an error.
    pub(super) fn fill(&mut self, nodes: &'t [Node]) -> Result<()> {
        let dot = match self.variables.first() {
            Some((_, data)) => data.clone(),
            None => Value::Nothing,
        };
        self.nodes(&dot, nodes).map(|_| ())
    }

    fn nodes(&mut self, dot: &Value, nodes: &'t [Node]) -> Result<Flow> {
        for node in nodes {
            self.step()?;
            let flow = match node {
                Node::Text(text) => {
                    self.out.push_str(text);
                    Flow::On
                }
                Node::Action(pipeline) => {
                    let value = self.pipeline(dot, pipeline)?;
                    if pipeline.variables.is_empty() {
                        self.out.push_str(&printed(&value));
                    }
                    Flow::On
                }
                Node::If(branch) => self.branch(dot, branch, false)?,
                Node::With(branch) => self.branch(dot, branch, true)?,
                Node::Range(branch) => self.range(dot, branch)?,
                Node::Break => Flow::Break,
                Node::Continue => Flow::Continue,
            };
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    /// `if` and `with`.
    fn branch(&mut self, dot: &Value, branch: &'t Branch, with: bool) -> Result<Flow> {
        let outer = self.variables.len();
        let value = self.pipeline(dot, &branch.pipeline)?;
        let flow = match (value.truth(), with) {
            (true, true) => self.nodes(&value, &branch.body),
            (true, false) => self.nodes(dot, &branch.body),
            (false, _) => self.nodes(dot, &branch.otherwise),
        };
        self.variables.truncate(outer);
        flow
    }

    fn range(&mut self, dot: &Value, branch: &'t Branch) -> Result<Flow> {
        let outer = self.variables.len();
        let values = self.pipeline(dot, &branch.pipeline)?;
        let inner = self.variables.len();
        let mut any = false;
        let mut turn = |walk: &mut Self, index: Value, value: Value| -> Result<Flow> {
            any = true;
            walk.step()?;
            let pipeline = &branch.pipeline;
            match pipeline.variables.as_slice() {
                [] => {}
                [only] => walk.set(pipeline, only, value.clone(), 1)?,
                [first, second, ..] => {
                    walk.set(pipeline, first, index, 2)?;
                    walk.set(pipeline, second, value.clone(), 1)?;
                }
            }
            let flow = walk.nodes(&value, &branch.body);
            walk.variables.truncate(inner);
            flow
        };
        match &values {
            Value::List(list) => {
                for (at, value) in list.iter().enumerate() {
                    let index = Value::Int(i128::try_from(at).unwrap_or(i128::MAX));
                    if turn(self, index, value.clone())? == Flow::Break {
                        break;
                    }
                }
            }
            Value::Map(map) => {
                for (key, value) in &map.entries {
                    let key = Value::text(key.as_str());
                    if turn(self, key, value.clone())? == Flow::Break {
                        break;
                    }
                }
            }
            Value::Int(count) => {
                for number in 0..*count {
                    if turn(self, Value::Int(number), Value::Int(number))? == Flow::Break {
                        break;
                    }
                }
            }
            Value::Nothing | Value::Nil | Value::NilList | Value::NilMap => {}
            other => {
                let shown = printed(other);
                return self.fail(format!("range can't iterate over {shown}"));
            }
        }
        let flow = match any {
            true => Ok(Flow::On),
            false => self.nodes(dot, &branch.otherwise),
        };
        self.variables.truncate(outer);
        flow
    }

    /// Sets a variable of a range: one that was made by its pipeline lies `from_top`.
    fn set(
        &mut self,
        pipeline: &Pipeline,
        name: &str,
        value: Value,
        from_top: usize,
    ) -> Result<()> {
        if pipeline.assigns {
            return self.assign(name, value);
        }
        let at = self.variables.len().saturating_sub(from_top);
        if let Some((_, slot)) = self.variables.get_mut(at) {
            *slot = value;
        }
        Ok(())
    }

    fn assign(&mut self, name: &str, value: Value) -> Result<()> {
        let slot = self.variables.iter_mut().rev();
        match slot.into_iter().find(|(known, _)| *known == name) {
            Some((_, slot)) => {
                *slot = value;
                Ok(())
            }
            None => self.fail(format!("undefined variable: {name}")),
        }
    }
}
