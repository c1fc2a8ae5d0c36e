//! From tokens to nodes, with the errors of Go's text/template/parse.

mod expression;
mod number;

use std::collections::VecDeque;

use super::error::TemplateError;
use super::lex::{Kind, Lexer, Token};
use super::node::{Branch, Node};
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
}
