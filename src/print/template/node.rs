//! A parsed template. What is shown in errors is shown as Go shows it.

use std::fmt;

/// A part of a template.
#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Action(Pipeline),
    If(Branch),
    With(Branch),
    Range(Branch),
    Break,
    Continue,
}

/// `if`, `with` or `range`, and its `else`.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) pipeline: Pipeline,
    pub(super) body: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

/// Commands, each given the value of the one before.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) at: usize,
    /// `=` and not `:=`.
    pub(super) assigns: bool,
    pub(super) variables: Vec<String>,
    pub(super) commands: Vec<Command>,
}

/// A function or value, and arguments.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) at: usize,
    pub(super) words: Vec<Operand>,
}

/// One word of a command.
#[derive(Debug)]
pub(super) struct Operand {
    pub(super) at: usize,
    pub(super) term: Term,
}

/// What a word is.
#[derive(Debug)]
pub(super) enum Term {
    Function(String),
    Field(Vec<String>),
    /// A variable with its `$`, then fields.
    Variable(String, Vec<String>),
    /// Fields of something in parentheses or of a function without arguments.
    Chain(Box<Operand>, Vec<String>),
    Pipeline(Box<Pipeline>),
    Dot,
    Nil,
    Bool(bool),
    Number(Number, String),
    /// The text, and as it was quoted.
    Text(String, String),
}

/// A literal number.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    Int(i64),
    Float(f64),
    /// An integer that no `int` of Go's holds.
    TooLarge,
}

impl fmt::Display for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            let sign = if self.assigns { "=" } else { ":=" };
            write!(f, "{} {sign} ", self.variables.join(", "))?;
        }
        for (at, command) in self.commands.iter().enumerate() {
            if at > 0 {
                f.write_str(" | ")?;
            }
            write!(f, "{command}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, word) in self.words.iter().enumerate() {
            if at > 0 {
                f.write_str(" ")?;
            }
            parenthesized(f, word)?;
        }
        Ok(())
    }
}

/// A word among others: a pipeline needs its parentheses there.
fn parenthesized(f: &mut fmt::Formatter<'_>, word: &Operand) -> fmt::Result {
    match &word.term {
        Term::Pipeline(pipeline) => write!(f, "({pipeline})"),
        _ => write!(f, "{word}"),
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = |f: &mut fmt::Formatter<'_>, fields: &[String]| {
            fields.iter().try_for_each(|field| write!(f, ".{field}"))
        };
        match &self.term {
            Term::Function(name) => f.write_str(name),
            Term::Field(names) => fields(f, names),
            Term::Variable(name, names) => {
                f.write_str(name)?;
                fields(f, names)
            }
            Term::Chain(first, names) => {
                parenthesized(f, first)?;
                fields(f, names)
            }
            Term::Pipeline(pipeline) => write!(f, "{pipeline}"),
            Term::Dot => f.write_str("."),
            Term::Nil => f.write_str("nil"),
            Term::Bool(yes) => write!(f, "{yes}"),
            Term::Number(_, text) | Term::Text(_, text) => f.write_str(text),
        }
    }
}
