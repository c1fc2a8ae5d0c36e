//! The functions of templates: Go's own and Docker's. What they give for values; how words become
//! values is `execute`'s matter.

use super::compare;
use super::escape;
use super::printf;
use super::show::{self, Layout};
use super::value::Value;

/// How long a text may be that a function makes.
const LONGEST: usize = 16 << 20;

/// A function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    And,
    Or,
    Not,
    Len,
    Index,
    Slice,
    Print,
    Println,
    Printf,
    Html,
    Js,
    Urlquery,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Json,
    Split,
    Join,
    Title,
    Lower,
    Upper,
    Pad,
    Truncate,
}

/// What a function takes as an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wants {
    Any,
    Text,
    Int,
    Texts,
}

/// How many arguments a function takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arity {
    Exactly(usize),
    AtLeast(usize),
}

const NAMES: [(&str, Function); 26] = [
    ("and", Function::And),
    ("or", Function::Or),
    ("not", Function::Not),
    ("len", Function::Len),
    ("index", Function::Index),
    ("slice", Function::Slice),
    ("print", Function::Print),
    ("println", Function::Println),
    ("printf", Function::Printf),
    ("html", Function::Html),
    ("js", Function::Js),
    ("urlquery", Function::Urlquery),
    ("eq", Function::Eq),
    ("ne", Function::Ne),
    ("lt", Function::Lt),
    ("le", Function::Le),
    ("gt", Function::Gt),
    ("ge", Function::Ge),
    ("json", Function::Json),
    ("split", Function::Split),
    ("join", Function::Join),
    ("title", Function::Title),
    ("lower", Function::Lower),
    ("upper", Function::Upper),
    ("pad", Function::Pad),
    ("truncate", Function::Truncate),
];

impl Function {
    pub(super) fn of(name: &str) -> Option<Self> {
        let found = NAMES.iter().find(|(known, _)| *known == name);
        found.map(|(_, function)| *function)
    }

    pub(super) fn arity(self) -> Arity {
        match self {
            Self::Not | Self::Len | Self::Json | Self::Title | Self::Lower | Self::Upper => {
                Arity::Exactly(1)
            }
            Self::Ne | Self::Lt | Self::Le | Self::Gt | Self::Ge => Arity::Exactly(2),
            Self::Split | Self::Join | Self::Truncate => Arity::Exactly(2),
            Self::Pad => Arity::Exactly(3),
            Self::Print | Self::Println | Self::Html | Self::Js | Self::Urlquery => {
                Arity::AtLeast(0)
            }
            Self::And | Self::Or | Self::Index | Self::Slice | Self::Printf | Self::Eq => {
                Arity::AtLeast(1)
            }
        }
    }

    /// What the argument at this place has to be.
    pub(super) fn wants(self, at: usize) -> Wants {
        match (self, at) {
            (Self::Title | Self::Lower | Self::Upper | Self::Split, _)
            | (Self::Printf | Self::Pad | Self::Truncate, 0)
            | (Self::Join, 1) => Wants::Text,
            (Self::Pad | Self::Truncate, _) => Wants::Int,
            (Self::Join, _) => Wants::Texts,
            _ => Wants::Any,
        }
    }

    /// Whether a table's header goes through it as it is.
    pub(super) fn leaves_header(self) -> bool {
        matches!(
            self,
            Self::Json
                | Self::Split
                | Self::Join
                | Self::Title
                | Self::Lower
                | Self::Upper
                | Self::Truncate
        )
    }

    /// Calls it. `and` and `or` are called with the values that were looked at.
    ///
    /// # Errors
    /// What Go says is wrong.
    pub(super) fn call(self, args: &[Value]) -> Result<Value, String> {
        let nothing = Value::Nothing;
        let first = args.first().unwrap_or(&nothing);
        let rest = args.get(1..).unwrap_or_default();
        let text = |at: usize| match args.get(at) {
            Some(Value::Text(text)) => text.as_ref(),
            _ => "",
        };
        let int = |at: usize| match args.get(at) {
            Some(Value::Int(number)) => *number,
            _ => 0,
        };
        let made = |text: String| match text.len() > LONGEST {
            true => Err("the result is too long".to_owned()),
            false => Ok(Value::text(text)),
        };
        match self {
            Self::And | Self::Or => Ok(args.last().unwrap_or(&nothing).clone()),
            Self::Not => Ok(Value::Bool(!first.truth())),
            Self::Len => len(first),
            Self::Index => index(first, rest),
            Self::Slice => slice(first, rest),
            Self::Print => made(show::print(args)),
            Self::Println => made(show::println(args)),
            Self::Printf => made(printf::printf(text(0), rest)),
            Self::Html => made(escape::html(&escaped(args))),
            Self::Js => made(escape::js(&escaped(args))),
            Self::Urlquery => made(escape::query(&escaped(args))),
            Self::Eq => compare::eq(first, rest).map(Value::Bool),
            Self::Ne => compare::eq(first, rest).map(|equal| Value::Bool(!equal)),
            Self::Lt => compare::lt(first, rest).map(Value::Bool),
            Self::Le => compare::le(first, rest).map(Value::Bool),
            Self::Gt => compare::le(first, rest).map(|at_most| Value::Bool(!at_most)),
            Self::Ge => compare::lt(first, rest).map(|less| Value::Bool(!less)),
            Self::Json => made(first.json().map_err(|error| error.to_string())?),
            Self::Split => {
                let parts: Vec<Value> = match text(1) {
                    "" => text(0)
                        .chars()
                        .map(|c| Value::text(c.to_string()))
                        .collect(),
                    separator => text(0).split(separator).map(Value::text).collect(),
                };
                Ok(Value::List(parts.into()))
            }
            Self::Join => {
                let parts: Vec<&str> = match first {
                    Value::List(list) => list.iter().filter_map(as_text).collect(),
                    _ => Vec::new(),
                };
                let length = parts
                    .iter()
                    .map(|part| part.len() + text(1).len())
                    .sum::<usize>();
                if length > LONGEST {
                    return Err("the result is too long".to_owned());
                }
                made(parts.join(text(1)))
            }
            Self::Title => made(escape::title(text(0))),
            Self::Lower => made(text(0).to_lowercase()),
            Self::Upper => made(text(0).to_uppercase()),
            Self::Pad => {
                let (before, after) = (count(int(1))?, count(int(2))?);
                match text(0) {
                    "" => Ok(first.clone()),
                    text => made([&" ".repeat(before), text, &" ".repeat(after)].concat()),
                }
            }
            Self::Truncate => match usize::try_from(int(1)) {
                Ok(length) if text(0).len() < length => Ok(first.clone()),
                Ok(length) => {
                    let kept = text(0).as_bytes().get(..length).unwrap_or_default();
                    made(String::from_utf8_lossy(kept).into_owned())
                }
                Err(_) => Err(format!(
                    "runtime error: slice bounds out of range [:{}]",
                    int(1)
                )),
            },
        }
    }
}

fn as_text(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// A number of blanks.
fn count(number: i128) -> Result<usize, String> {
    match usize::try_from(number) {
        Ok(number) if number <= LONGEST => Ok(number),
        Ok(_) => Err("the result is too long".to_owned()),
        Err(_) => Err("strings: negative Repeat count".to_owned()),
    }
}

/// What `html`, `js` and `urlquery` work on.
fn escaped(args: &[Value]) -> String {
    match args {
        [Value::Text(text)] => text.as_ref().to_owned(),
        args => show::print(args),
    }
}

fn int(number: usize) -> Result<Value, String> {
    Ok(Value::Int(i128::try_from(number).unwrap_or(i128::MAX)))
}

fn len(value: &Value) -> Result<Value, String> {
    match value {
        Value::Text(text) => int(text.len()),
        Value::List(list) => int(list.len()),
        Value::Map(map) => int(map.entries.len()),
        Value::NilList | Value::NilMap => int(0),
        Value::Nothing | Value::Nil => Err("len of nil pointer".to_owned()),
        other => Err(format!("len of type {}", other.type_name())),
    }
}

/// An index into something of this length, as Go checks it.
fn position(value: &Value, length: usize) -> Result<usize, String> {
    match value {
        Value::Int(number) => match usize::try_from(*number) {
            Ok(at) if at <= length => Ok(at),
            _ => Err(format!("index out of range: {number}")),
        },
        Value::Nothing | Value::Nil => Err("cannot index slice/array with nil".to_owned()),
        other => Err(format!(
            "cannot index slice/array with type {}",
            other.type_name()
        )),
    }
}

fn index(value: &Value, indexes: &[Value]) -> Result<Value, String> {
    let mut value = value.clone();
    for wanted in indexes {
        let beyond = || "reflect: slice index out of range".to_owned();
        value = match &value {
            Value::List(list) => {
                let at = position(wanted, list.len())?;
                list.get(at).ok_or_else(beyond)?.clone()
            }
            Value::Text(text) => {
                let at = position(wanted, text.len())?;
                let byte = text.as_bytes().get(at).ok_or_else(beyond)?;
                Value::Int((*byte).into())
            }
            Value::NilList => {
                position(wanted, 0)?;
                return Err(beyond());
            }
            Value::Map(map) => match wanted {
                Value::Text(key) => map.entries.get(key.as_ref()).unwrap_or(&map.zero).clone(),
                Value::Nothing | Value::Nil => {
                    return Err("value is nil; should be of type string".to_owned());
                }
                other => {
                    let kind = other.type_name();
                    return Err(format!("value has type {kind}; should be string"));
                }
            },
            // The zero value of what it would hold; most maps hold text.
            Value::NilMap => Value::text(""),
            Value::Nothing => return Err("index of untyped nil".to_owned()),
            Value::Nil => return Err("index of nil pointer".to_owned()),
            other => return Err(format!("can't index item of type {}", other.type_name())),
        };
    }
    Ok(value)
}

fn slice(value: &Value, indexes: &[Value]) -> Result<Value, String> {
    let length = match value {
        Value::Text(_) if indexes.len() > 2 => {
            return Err("cannot 3-index slice a string".to_owned());
        }
        Value::Text(text) => text.len(),
        Value::List(list) => list.len(),
        Value::NilList => 0,
        Value::Nothing | Value::Nil => return Err("slice of untyped nil".to_owned()),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    if indexes.len() > 3 {
        return Err(format!("too many slice indexes: {}", indexes.len()));
    }
    let mut bounds = [0, length, length];
    for (bound, index) in bounds.iter_mut().zip(indexes) {
        *bound = position(index, length)?;
    }
    let [from, to, _] = bounds;
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    Ok(match value {
        Value::Text(text) => {
            let part = text.as_bytes().get(from..to).unwrap_or_default();
            Value::text(String::from_utf8_lossy(part))
        }
        Value::List(list) => Value::List(list.get(from..to).unwrap_or_default().into()),
        other => other.clone(),
    })
}

/// A value as an action prints it.
pub(super) fn printed(value: &Value) -> String {
    match value {
        Value::Nothing => "<no value>".to_owned(),
        value => {
            let mut out = String::new();
            show::show(&mut out, value, Layout::Plain);
            out
        }
    }
}
