//! `eq`, `lt` and their like: only values of one kind have an order.

use super::value::Value;

const KINDS: &str = "incompatible types for comparison";
const KIND: &str = "invalid type for comparison";
const MISSING: &str = "missing argument for comparison";

/// Whether the first equals any of the others.
pub(super) fn eq(first: &Value, others: &[Value]) -> Result<bool, String> {
    if let Value::List(_) | Value::Map(_) = first {
        let shown = super::show::print(std::slice::from_ref(first));
        return Err(format!(
            "non-comparable type {shown}: {}",
            first.type_name()
        ));
    }
    if others.is_empty() {
        return Err(MISSING.to_owned());
    }
    for other in others {
        let equal = match (first, other) {
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => a == b,
            (Value::Text(a), Value::Text(b)) => a == b,
            (Value::Struct(a), Value::Struct(b)) => a == b,
            (a, b) => match (is_nil(a), is_nil(b)) {
                (true, true) => true,
                (true, false) | (false, true) => false,
                (false, false) => return Err(KINDS.to_owned()),
            },
        };
        if equal {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_nil(value: &Value) -> bool {
    matches!(
        value,
        Value::Nothing | Value::Nil | Value::NilList | Value::NilMap
    )
}

/// Whether the first is less than the second.
pub(super) fn lt(first: &Value, others: &[Value]) -> Result<bool, String> {
    let ordered = |value: &Value| matches!(value, Value::Int(_) | Value::Float(_) | Value::Text(_));
    let Some(other) = others.first() else {
        return Err(MISSING.to_owned());
    };
    match (first, other) {
        (Value::Int(a), Value::Int(b)) => Ok(a < b),
        (Value::Float(a), Value::Float(b)) => Ok(a < b),
        (Value::Text(a), Value::Text(b)) => Ok(a < b),
        (a, b) if std::mem::discriminant(a) != std::mem::discriminant(b) => {
            // Kinds that have no order at all are told first.
            let basic = |value: &Value| ordered(value) || matches!(value, Value::Bool(_));
            Err(if basic(a) && basic(b) { KINDS } else { KIND }.to_owned())
        }
        _ => Err(KIND.to_owned()),
    }
}

/// Whether the first is less than the second or equal to it.
pub(super) fn le(first: &Value, others: &[Value]) -> Result<bool, String> {
    Ok(lt(first, others)? || eq(first, others)?)
}
