//! Values as Go's fmt prints them.

use std::fmt::Write as _;

use super::quote;
use super::value::Value;

/// Which of fmt's layouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// `%v`
    Plain,
    /// `%+v`: structs with the names of their fields.
    Named,
    /// `%q`: texts in quotes.
    Quoted,
}

/// Appends a value.
pub(super) fn show(out: &mut String, value: &Value, layout: Layout) {
    match value {
        Value::Nothing | Value::Nil => out.push_str("<nil>"),
        Value::Bool(yes) => {
            let _ = write!(out, "{yes}");
        }
        Value::Int(number) => {
            let _ = write!(out, "{number}");
        }
        Value::Float(number) => out.push_str(&float(*number)),
        Value::Text(text) if layout == Layout::Quoted => out.push_str(&quote::quote(text)),
        Value::Text(text) => out.push_str(text),
        Value::NilList => out.push_str("[]"),
        Value::NilMap => out.push_str("map[]"),
        Value::List(list) => {
            out.push('[');
            for (at, value) in list.iter().enumerate() {
                if at > 0 {
                    out.push(' ');
                }
                show(out, value, layout);
            }
            out.push(']');
        }
        Value::Map(map) => {
            out.push_str("map[");
            for (at, (name, value)) in map.entries.iter().enumerate() {
                if at > 0 {
                    out.push(' ');
                }
                match layout {
                    Layout::Quoted => out.push_str(&quote::quote(name)),
                    _ => out.push_str(name),
                }
                out.push(':');
                show(out, value, layout);
            }
            out.push(']');
        }
        Value::Struct(fields) => {
            out.push('{');
            for (at, field) in fields.fields.iter().enumerate() {
                if at > 0 {
                    out.push(' ');
                }
                if layout == Layout::Named {
                    let _ = write!(out, "{}:", field.go_name());
                }
                show(out, &field.value, layout);
            }
            out.push('}');
        }
        Value::Label(_) => out.push_str("Label"),
    }
}

/// Go's `%v` of a float: the shortest digits that give it back, with an exponent below -4 and from
/// 6 on.
pub(super) fn float(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let exponent = scientific
        .split_once('e')
        .and_then(|(_, exponent)| exponent.parse::<i32>().ok())
        .unwrap_or(0);
    match (-4..6).contains(&exponent) {
        true => format!("{number}"),
        false => with_exponent(&scientific),
    }
}

/// Rust's `1e21` as Go's `1e+21`: a sign and at least two digits.
pub(super) fn with_exponent(scientific: &str) -> String {
    let (digits, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}

/// Go's `Sprint`: a blank between two values of which neither is text.
pub(super) fn print(values: &[Value]) -> String {
    let mut out = String::new();
    let mut text_before = true;
    for value in values {
        let text = matches!(value, Value::Text(_));
        if !text && !text_before {
            out.push(' ');
        }
        show(&mut out, value, Layout::Plain);
        text_before = text;
    }
    out
}

/// Go's `Sprintln`.
pub(super) fn println(values: &[Value]) -> String {
    let mut out = String::new();
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            out.push(' ');
        }
        show(&mut out, value, Layout::Plain);
    }
    out.push('\n');
    out
}
