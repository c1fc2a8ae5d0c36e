//! Literal numbers.

use super::super::node::Number;

/// A number as Go's `strconv` reads it with base 0.
pub(super) fn number(text: &str) -> Result<Number, &'static str> {
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
