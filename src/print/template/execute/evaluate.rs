//! What pipelines, commands and words give.

use super::super::function::{Arity, Function, Wants};
use super::super::node::{Command, Number, Operand, Pipeline, Term};
use super::super::value::{Label, Value};
use super::{Missing, Part, Place, Result, Walk};

impl<'t> Walk<'t> {
    pub(super) fn pipeline(&mut self, dot: &Value, pipeline: &'t Pipeline) -> Result<Value> {
        self.place = Place::Pipeline(pipeline);
        self.step()?;
        let mut last = None;
        for command in &pipeline.commands {
            last = Some(self.command(dot, command, last)?);
        }
        let value = last.unwrap_or(Value::Nothing);
        for name in &pipeline.variables {
            match pipeline.assigns {
                true => self.assign(name, value.clone())?,
                false => self.variables.push((name, value.clone())),
            }
        }
        Ok(value)
    }

    fn command(&mut self, dot: &Value, command: &'t Command, last: Option<Value>) -> Result<Value> {
        let Some((first, args)) = command.words.split_first() else {
            return Ok(Value::Nothing);
        };
        let has_args = !args.is_empty() || last.is_some();
        match &first.term {
            Term::Field(_) | Term::Variable(..) | Term::Chain(..) => {
                return self.fields(dot, first, args, last);
            }
            Term::Function(name) => {
                return self.function(dot, Place::Command(command), first, name, args, last);
            }
            Term::Pipeline(pipeline) => {
                if has_args {
                    return self.fail(format!("can't give argument to non-function {first}"));
                }
                return self.pipeline(dot, pipeline);
            }
            _ => self.place = Place::Word(first),
        }
        if has_args {
            return self.fail(format!("can't give argument to non-function {first}"));
        }
        match &first.term {
            Term::Nil => self.fail("nil is not a command"),
            _ => self.word(dot, first),
        }
    }

    /// The value of one word, without arguments.
    fn word(&mut self, dot: &Value, word: &'t Operand) -> Result<Value> {
        self.place = Place::Word(word);
        match &word.term {
            Term::Dot => Ok(dot.clone()),
            Term::Nil => Ok(Value::Nil),
            Term::Bool(yes) => Ok(Value::Bool(*yes)),
            Term::Number(Number::Int(number), _) => Ok(Value::Int((*number).into())),
            Term::Number(Number::Float(number), _) => Ok(Value::Float(*number)),
            Term::Number(Number::TooLarge, text) => self.fail(format!("{text} overflows int")),
            Term::Text(text, _) => Ok(Value::text(text.as_str())),
            Term::Pipeline(pipeline) => self.pipeline(dot, pipeline),
            Term::Function(name) => self.function(dot, Place::Word(word), word, name, &[], None),
            Term::Field(_) | Term::Variable(..) | Term::Chain(..) => {
                self.fields(dot, word, &[], None)
            }
        }
    }

    /// Fields of the dot, of a variable or of what a pipeline gave. Only the last takes arguments.
    fn fields(
        &mut self,
        dot: &Value,
        word: &'t Operand,
        args: &'t [Operand],
        last: Option<Value>,
    ) -> Result<Value> {
        self.place = Place::Word(word);
        let nothing = Vec::new();
        let (mut value, names) = match &word.term {
            Term::Field(names) => (dot.clone(), names),
            Term::Variable(name, names) => {
                let known = self.variables.iter().rev();
                match known.into_iter().find(|(known, _)| known == name) {
                    Some((_, value)) => (value.clone(), names),
                    None => return self.fail(format!("undefined variable: {name}")),
                }
            }
            Term::Chain(first, names) => {
                if matches!(first.term, Term::Nil) {
                    return self.fail("indirection through explicit nil");
                }
                (self.word(dot, first)?, names)
            }
            _ => (dot.clone(), &nothing),
        };
        let Some((end, names)) = names.split_last() else {
            return match args.is_empty() && last.is_none() {
                true => Ok(value),
                false => self.fail(format!("can't give argument to non-function {word}")),
            };
        };
        for name in names {
            value = self.field(dot, &value, name, &[], None)?;
        }
        self.field(dot, &value, end, args, last)
    }

    fn field(
        &mut self,
        dot: &Value,
        value: &Value,
        name: &str,
        args: &'t [Operand],
        last: Option<Value>,
    ) -> Result<Value> {
        let has_args = !args.is_empty() || last.is_some();
        match value {
            Value::Nothing if self.missing == Missing::Error => {
                self.fail(format!("nil data; no entry for key \"{name}\""))
            }
            Value::Nothing => Ok(Value::Nothing),
            Value::Map(map) => match map.entries.get(name) {
                Some(Value::Label(label)) => {
                    let label = label.clone();
                    self.label(dot, name, &label, args, last)
                }
                _ if has_args => self.fail(format!("{name} is not a method but has arguments")),
                Some(value) => Ok(value.clone()),
                None if self.missing == Missing::Error => {
                    self.fail(format!("map has no entry for key \"{name}\""))
                }
                None => Ok(Value::Nothing),
            },
            Value::NilMap => Ok(Value::Nothing),
            Value::Struct(fields) => match fields.field(name) {
                Some(Value::Label(label)) => {
                    let label = label.clone();
                    self.label(dot, name, &label, args, last)
                }
                // A row's fields are methods to Go.
                Some(_) if has_args && fields.name.starts_with('*') => {
                    let count = args.len() + usize::from(last.is_some());
                    self.fail(format!(
                        "wrong number of args for {name}: want 0 got {count}"
                    ))
                }
                Some(_) if has_args => self.fail(format!(
                    "{name} has arguments but cannot be invoked as function"
                )),
                Some(value) => Ok(value.clone()),
                None => self.fail(format!(
                    "can't evaluate field {name} in type {}",
                    fields.name
                )),
            },
            Value::Nil => self.fail(format!("nil pointer evaluating interface {{}}.{name}")),
            other => {
                let kind = match self.missing {
                    // What came from JSON is all of one type to Go.
                    Missing::Error => "interface {}",
                    Missing::Nothing => other.type_name(),
                };
                self.fail(format!("can't evaluate field {name} in type {kind}"))
            }
        }
    }

    /// `.Label "name"`.
    fn label(
        &mut self,
        dot: &Value,
        name: &str,
        label: &Label,
        args: &'t [Operand],
        last: Option<Value>,
    ) -> Result<Value> {
        let count = args.len() + usize::from(last.is_some());
        if count != 1 {
            return self.fail(format!(
                "wrong number of args for {name}: want 1 got {count}"
            ));
        }
        let wanted = match (args.first(), last) {
            (Some(word), _) => self.argument(dot, word, Wants::Text)?,
            (None, last) => self.checked(last.unwrap_or(Value::Nothing), Wants::Text)?,
        };
        match wanted {
            Value::Text(name) => Ok(Value::text(label.call(&name))),
            _ => Ok(Value::text("")),
        }
    }

    fn function(
        &mut self,
        dot: &Value,
        whole: Place<'t>,
        word: &'t Operand,
        name: &str,
        args: &'t [Operand],
        last: Option<Value>,
    ) -> Result<Value> {
        self.place = Place::Word(word);
        let Some(function) = Function::of(name) else {
            return self.fail(format!("\"{name}\" is not a defined function"));
        };
        let count = args.len() + usize::from(last.is_some());
        let wanted = match function.arity() {
            Arity::Exactly(wanted) if count != wanted => Some(wanted.to_string()),
            Arity::AtLeast(wanted) if count < wanted => Some(format!("at least {wanted}")),
            _ => None,
        };
        if let Some(wanted) = wanted {
            return self.fail(format!(
                "wrong number of args for {name}: want {wanted} got {count}"
            ));
        }
        let header = self.part == Part::Header && function.leaves_header();
        let wants = |at: usize| match header {
            true => Wants::Any,
            false => function.wants(at),
        };
        let mut values = Vec::with_capacity(count);
        for (at, word) in args.iter().enumerate() {
            let value = self.argument(dot, word, wants(at))?;
            // `and` and `or` look no further than they must.
            let settled = match function {
                Function::And => !value.truth(),
                Function::Or => value.truth(),
                _ => false,
            };
            if settled {
                return Ok(value);
            }
            values.push(value);
        }
        if let Some(last) = last {
            self.place = Place::Word(word);
            let at = values.len();
            values.push(self.checked(last, wants(at))?);
        }
        if header {
            return Ok(values.into_iter().next().unwrap_or(Value::Nothing));
        }
        match function.call(&values) {
            Ok(value) => Ok(value),
            Err(why) => {
                self.place = whole;
                self.fail(format!("error calling {name}: {why}"))
            }
        }
    }

    /// An argument's value. A literal of the wrong kind is told as one.
    fn argument(&mut self, dot: &Value, word: &'t Operand, wants: Wants) -> Result<Value> {
        self.place = Place::Word(word);
        let kind = match &word.term {
            Term::Bool(_) => "bool",
            Term::Number(Number::Int(_) | Number::TooLarge, _) => "integer",
            Term::Number(Number::Float(_), _) => "float",
            Term::Text(..) => "string",
            _ => "",
        };
        let expected = match wants {
            Wants::Text if !matches!(kind, "" | "string") => Some("expected string"),
            Wants::Int if !matches!(kind, "" | "integer") => Some("expected integer"),
            _ => None,
        };
        if let Some(expected) = expected {
            return self.fail(format!("{expected}; found {word}"));
        }
        if wants == Wants::Texts && !kind.is_empty() {
            return self.fail(format!("can't handle {word} for arg of type []string"));
        }
        let value = self.word(dot, word)?;
        self.checked(value, wants)
    }

    /// A value that a function may take.
    fn checked(&self, value: Value, wants: Wants) -> Result<Value> {
        let (fits, expected) = match wants {
            Wants::Any => return Ok(value),
            Wants::Text => (matches!(value, Value::Text(_)), "string"),
            Wants::Int => (matches!(value, Value::Int(_)), "int"),
            Wants::Texts => {
                let texts = match &value {
                    Value::List(list) => list.iter().all(|v| matches!(v, Value::Text(_))),
                    Value::NilList => true,
                    _ => false,
                };
                (texts, "[]string")
            }
        };
        match value {
            value if fits => Ok(value),
            Value::Nothing | Value::Nil => self.fail(format!("invalid value; expected {expected}")),
            other => self.fail(format!(
                "wrong type for value; expected {expected}; got {}",
                other.type_name()
            )),
        }
    }
}
