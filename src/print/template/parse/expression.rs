//! Pipelines: commands of words, with variables before and parentheses within.

use super::super::function::Function;
use super::super::lex::Kind;
use super::super::node::{Command, Number, Operand, Pipeline, Term};
use super::super::quote;
use super::number::number;
use super::{Parser, Result};

impl Parser<'_> {
    pub(super) fn pipeline(&mut self, context: &str, end: Kind) -> Result<Pipeline> {
        self.deeper()?;
        let mut pipeline = Pipeline {
            at: self.peek_word().at,
            assigns: false,
            variables: Vec::new(),
            commands: Vec::new(),
        };
        self.declarations(context, &mut pipeline)?;
        loop {
            let token = self.next_word();
            match token.kind {
                kind if kind == end => break,
                Kind::Bool
                | Kind::CharConstant
                | Kind::Complex
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::Raw
                | Kind::Quoted
                | Kind::Variable
                | Kind::LeftParen => {
                    self.ahead.push_front(token);
                    let command = self.command()?;
                    pipeline.commands.push(command);
                }
                _ => return self.unexpected(&token, context),
            }
        }
        if pipeline.commands.is_empty() {
            return self.fail(format!("missing value for {context}"));
        }
        for (at, command) in pipeline.commands.iter().enumerate().skip(1) {
            if let Some(Term::Bool(_) | Term::Dot | Term::Nil | Term::Number(..) | Term::Text(..)) =
                command.words.first().map(|word| &word.term)
            {
                let stage = at + 1;
                return self.fail(format!("non executable command in pipeline stage {stage}"));
            }
        }
        self.depth -= 1;
        Ok(pipeline)
    }

    /// `$x :=`, `$x =` and, of a range, `$i, $x :=` at the head of a pipeline.
    fn declarations(&mut self, context: &str, pipeline: &mut Pipeline) -> Result<()> {
        while self.peek_word().kind == Kind::Variable {
            let variable = self.next();
            let space = match self.peek().kind {
                Kind::Space => Some(self.next()),
                _ => None,
            };
            let next = self.peek_word();
            match next.kind {
                Kind::Assign | Kind::Declare => {
                    pipeline.assigns = next.kind == Kind::Assign;
                    self.next();
                    self.variables.push(variable.text.to_string());
                    pipeline.variables.push(variable.text.into_owned());
                    return Ok(());
                }
                Kind::Char if next.text == "," => {
                    self.next();
                    self.variables.push(variable.text.to_string());
                    pipeline.variables.push(variable.text.into_owned());
                    if context != "range" || pipeline.variables.len() > 1 {
                        return self.fail(format!("too many declarations in {context}"));
                    }
                    if !matches!(
                        self.peek_word().kind,
                        Kind::Variable | Kind::RightDelim | Kind::RightParen
                    ) {
                        return self.fail("range can only initialize variables");
                    }
                }
                _ => {
                    // No declaration: an argument.
                    if let Some(space) = space {
                        self.ahead.push_front(space);
                    }
                    self.ahead.push_front(variable);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn command(&mut self) -> Result<Command> {
        let mut command = Command {
            at: self.peek_word().at,
            words: Vec::new(),
        };
        loop {
            self.peek_word();
            if let Some(operand) = self.operand()? {
                command.words.push(operand);
            }
            let token = self.next();
            match token.kind {
                Kind::Space => {}
                Kind::RightDelim | Kind::RightParen => {
                    self.ahead.push_front(token);
                    break;
                }
                Kind::Pipe => break,
                _ => return self.unexpected(&token, "operand"),
            }
        }
        match command.words.is_empty() {
            true => self.fail("empty command"),
            false => Ok(command),
        }
    }

    /// A term and the fields that follow it without a space.
    fn operand(&mut self) -> Result<Option<Operand>> {
        let Some(first) = self.term()? else {
            return Ok(None);
        };
        if self.peek().kind != Kind::Field {
            return Ok(Some(first));
        }
        let at = self.peek().at;
        let mut fields = Vec::new();
        while self.peek().kind == Kind::Field {
            fields.push(field(&self.next().text));
        }
        let term = match first.term {
            Term::Field(mut names) => {
                names.append(&mut fields);
                Term::Field(names)
            }
            Term::Variable(name, mut names) => {
                names.append(&mut fields);
                Term::Variable(name, names)
            }
            Term::Bool(_) | Term::Text(..) | Term::Number(..) | Term::Nil | Term::Dot => {
                let shown = quote::quote(&first.to_string());
                return self.fail(format!("unexpected . after term {shown}"));
            }
            Term::Function(_) | Term::Chain(..) | Term::Pipeline(_) => {
                Term::Chain(Box::new(first), fields)
            }
        };
        Ok(Some(Operand { at, term }))
    }

    fn term(&mut self) -> Result<Option<Operand>> {
        let token = self.next_word();
        let text = token.text.as_ref();
        let term = match token.kind {
            Kind::Identifier if Function::of(text).is_none() => {
                let name = quote::quote(text);
                return self.fail(format!("function {name} not defined"));
            }
            Kind::Identifier => Term::Function(text.to_owned()),
            Kind::Dot => Term::Dot,
            Kind::Nil => Term::Nil,
            Kind::Variable if !self.variables.iter().any(|name| name == text) => {
                let name = quote::quote(text);
                return self.fail(format!("undefined variable {name}"));
            }
            Kind::Variable => Term::Variable(text.to_owned(), Vec::new()),
            Kind::Field => Term::Field(vec![field(text)]),
            Kind::Bool => Term::Bool(text == "true"),
            Kind::CharConstant => {
                let inner = quote::unquote(text).unwrap_or_default();
                let mut chars = inner.chars();
                match (chars.next(), chars.next()) {
                    (Some(c), None) => {
                        Term::Number(Number::Int(u32::from(c).into()), text.to_owned())
                    }
                    _ => return self.fail(format!("malformed character constant: {text}")),
                }
            }
            Kind::Number => match number(text) {
                Ok(number) => Term::Number(number, text.to_owned()),
                Err(why) => return self.fail(format!("{why}: {}", quote::quote(text))),
            },
            Kind::Complex => return self.fail(format!("complex number {text} is not here")),
            Kind::LeftParen => Term::Pipeline(Box::new(
                self.pipeline("parenthesized pipeline", Kind::RightParen)?,
            )),
            Kind::Quoted | Kind::Raw => match quote::unquote(text) {
                Some(inner) => Term::Text(inner, text.to_owned()),
                None => return self.fail("invalid syntax"),
            },
            _ => {
                self.ahead.push_front(token);
                return Ok(None);
            }
        };
        Ok(Some(Operand { at: token.at, term }))
    }
}

/// A field's name without its dot.
fn field(text: &str) -> String {
    text.strip_prefix('.').unwrap_or(text).to_owned()
}
