//! From tokens to nodes, with the errors of Go's text/template/parse.

use std::collections::VecDeque;

use super::error::TemplateError;
use super::function::Function;
use super::lex::{Kind, Lexer, Token};
use super::node::{Branch, Command, Node, Number, Operand, Pipeline, Term};
use super::quote;

/// How deeply actions and parentheses may be nested.
const DEPTH: usize = 200;

type Result<T> = std::result::Result<T, TemplateError>;

/// Parses a template.
pub(super) fn parse(text: &str) -> Result<Vec<Node>> {
    let mut parser = Parser {
        input: text,
        lexer: Lexer::new(text),
        ahead: VecDeque::new(),
        variables: vec!["$".to_owned()],
        loops: 0,
        depth: 0,
        at: 0,
        action: None,
    };
    match parser.list(true)? {
        (nodes, Stop::End) => Ok(nodes),
        (_, Stop::EndAction) => parser.fail("unexpected {{end}}"),
        (_, Stop::Else) => parser.fail("unexpected {{else}}"),
    }
}

/// What ended a list of nodes.
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    End,
    EndAction,
    Else,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Control {
    If,
    With,
    Range,
}

impl Control {
    fn of(word: &str) -> Option<Self> {
        match word {
            "if" => Some(Self::If),
            "with" => Some(Self::With),
            "range" => Some(Self::Range),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::If => "if",
            Self::With => "with",
            Self::Range => "range",
        }
    }
}

struct Parser<'t> {
    input: &'t str,
    lexer: Lexer<'t>,
    /// Tokens that were looked at and not taken.
    ahead: VecDeque<Token<'t>>,
    /// The variables in sight.
    variables: Vec<String>,
    /// How many `range`s are around.
    loops: usize,
    depth: usize,
    /// Where the latest token began.
    at: usize,
    /// Where the latest action began.
    action: Option<usize>,
}

impl<'t> Parser<'t> {
    fn line(&self, at: usize) -> usize {
        1 + self.input.get(..at).map_or(0, |t| t.matches('\n').count())
    }

    fn fail<T>(&self, why: impl Into<String>) -> Result<T> {
        Err(TemplateError::Parse {
            line: self.line(self.at),
            why: why.into(),
        })
    }

    fn unexpected<T>(&self, token: &Token<'_>, context: &str) -> Result<T> {
        let text = &token.text;
        if token.kind == Kind::Error {
            let started = self.action.map(|at| self.line(at));
            let Some(started) = started.filter(|line| *line != self.line(token.at)) else {
                return self.fail(text.as_ref());
            };
            let within = if text.ends_with(" action") {
                ""
            } else {
                " in action"
            };
            return self.fail(format!("{text}{within} started at :{started}"));
        }
        let shown = match token.kind {
            Kind::End => "EOF".to_owned(),
            Kind::Keyword | Kind::Dot | Kind::Nil => format!("<{text}>"),
            _ if text.chars().count() > 10 => {
                let short: String = text.chars().take(10).collect();
                format!("{}...", quote::quote(&short))
            }
            _ => quote::quote(text),
        };
        self.fail(format!("unexpected {shown} in {context}"))
    }

    fn next(&mut self) -> Token<'t> {
        let token = match self.ahead.pop_front() {
            Some(token) => token,
            None => self.lexer.next(),
        };
        self.at = token.at;
        token
    }

    fn peek(&mut self) -> &Token<'t> {
        if self.ahead.is_empty() {
            let token = self.lexer.next();
            self.ahead.push_back(token);
        }
        self.at = self.ahead[0].at;
        &self.ahead[0]
    }

    fn next_word(&mut self) -> Token<'t> {
        loop {
            let token = self.next();
            if token.kind != Kind::Space {
                return token;
            }
        }
    }

    fn peek_word(&mut self) -> &Token<'t> {
        while self.peek().kind == Kind::Space {
            self.next();
        }
        self.peek()
    }

    fn expect_right_delim(&mut self, context: &str) -> Result<()> {
        let token = self.next_word();
        match token.kind {
            Kind::RightDelim => Ok(()),
            _ => self.unexpected(&token, context),
        }
    }

    fn deeper(&mut self) -> Result<()> {
        self.depth += 1;
        match self.depth > DEPTH {
            true => self.fail(format!("nested more than {DEPTH} deep")),
            false => Ok(()),
        }
    }

    /// Nodes up to `end`, `else` or, of the whole template, its end.
    fn list(&mut self, whole: bool) -> Result<(Vec<Node>, Stop)> {
        self.deeper()?;
        let mut nodes = Vec::new();
        loop {
            let token = self.next();
            match token.kind {
                Kind::End if whole => return Ok((nodes, Stop::End)),
                Kind::End => return self.fail("unexpected EOF"),
                Kind::Text => nodes.push(Node::Text(token.text.into_owned())),
                Kind::LeftDelim => {
                    self.action = Some(token.at);
                    if let Some(stop) = self.action(&mut nodes)? {
                        self.depth -= 1;
                        return Ok((nodes, stop));
                    }
                    self.action = None;
                }
                _ => return self.unexpected(&token, "input"),
            }
        }
    }

    /// What follows a left delimiter.
    fn action(&mut self, nodes: &mut Vec<Node>) -> Result<Option<Stop>> {
        if self.peek_word().kind != Kind::Keyword {
            let pipeline = self.pipeline("command", Kind::RightDelim)?;
            nodes.push(Node::Action(pipeline));
            return Ok(None);
        }
        let token = self.next_word();
        if let Some(control) = Control::of(&token.text) {
            nodes.push(self.control(control)?);
            return Ok(None);
        }
        match token.text.as_ref() {
            "end" => {
                self.expect_right_delim("end")?;
                return Ok(Some(Stop::EndAction));
            }
            "else" => {
                let next = self.peek_word();
                // `else if` stands for an else with an if in it.
                if next.kind != Kind::Keyword || !matches!(next.text.as_ref(), "if" | "with") {
                    self.expect_right_delim("else")?;
                }
                return Ok(Some(Stop::Else));
            }
            name @ ("break" | "continue") => {
                let node = match name {
                    "break" => Node::Break,
                    _ => Node::Continue,
                };
                self.expect_right_delim(&format!("{{{{{name}}}}}"))?;
                if self.loops == 0 {
                    return self.fail(format!("{{{{{name}}}}} outside {{{{range}}}}"));
                }
                nodes.push(node);
            }
            name => {
                return self.fail(format!(
                    "{{{{{name}}}}} is not here: one format is one template"
                ));
            }
        }
        Ok(None)
    }

    /// `if`, `with` or `range`, whose name was read, up to its `end`.
    fn control(&mut self, control: Control) -> Result<Node> {
        self.deeper()?;
        let outer = self.variables.len();
        let pipeline = self.pipeline(control.name(), Kind::RightDelim)?;
        self.loops += usize::from(control == Control::Range);
        let (body, stop) = self.list(false)?;
        self.loops -= usize::from(control == Control::Range);
        let mut otherwise = Vec::new();
        if stop == Stop::Else {
            let chained = match self.peek() {
                token if token.kind == Kind::Keyword => Control::of(&token.text),
                _ => None,
            };
            match chained {
                Some(next) if next == control && control != Control::Range => {
                    self.next();
                    otherwise.push(self.control(next)?);
                }
                Some(_) => {
                    let token = self.next();
                    return self.unexpected(&token, "input");
                }
                None => {
                    let stop;
                    (otherwise, stop) = self.list(false)?;
                    if stop != Stop::EndAction {
                        return self.fail("expected end; found {{else}}");
                    }
                }
            }
        }
        self.variables.truncate(outer);
        self.depth -= 1;
        let branch = Branch {
            pipeline,
            body,
            otherwise,
        };
        Ok(match control {
            Control::If => Node::If(branch),
            Control::With => Node::With(branch),
            Control::Range => Node::Range(branch),
        })
    }

    fn pipeline(&mut self, context: &str, end: Kind) -> Result<Pipeline> {
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

/// A number as Go's `strconv` reads it with base 0.
fn number(text: &str) -> std::result::Result<Number, &'static str> {
    const ILLEGAL: &str = "illegal number syntax";
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let after = |length: usize| lower.get(length..).unwrap_or_default();
    let (radix, digits) = match lower.get(..2) {
        Some("0x") => (16, after(2)),
        Some("0b") => (2, after(2)),
        Some("0o") => (8, after(2)),
        _ if lower.len() > 1 && lower.starts_with('0') && !lower.contains(['.', 'e']) => {
            (8, after(1))
        }
        _ => (10, lower.as_str()),
    };
    // Underscores only separate digits.
    if (digits.starts_with('_') && radix == 10) || digits.ends_with('_') || digits.contains("__") {
        return Err(ILLEGAL);
    }
    let digits = digits.replace('_', "");
    if radix == 10 && digits.contains(['.', 'e']) {
        let number: f64 = digits.parse().map_err(|_| ILLEGAL)?;
        return match number.is_finite() {
            true => Ok(Number::Float(f64::from(sign) * number)),
            false => Err(ILLEGAL),
        };
    }
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        if radix == 8 && lower.bytes().all(|b| b.is_ascii_digit()) {
            // Go takes 08 for a float that looks like an integer.
            return Err("integer overflow");
        }
        return Err(ILLEGAL);
    }
    let size = u64::from_str_radix(&digits, radix).map_err(|_| "integer overflow")?;
    match i64::try_from(i128::from(sign) * i128::from(size)) {
        Ok(number) => Ok(Number::Int(number)),
        Err(_) if sign < 0 => Err("integer overflow"),
        Err(_) => Ok(Number::TooLarge),
    }
}
