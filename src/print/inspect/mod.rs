//! What `inspect` shows: objects as Docker's API has them. Field names and their order are
//! Docker's, and what Docker leaves out when it is empty is left out.

mod config;
pub(crate) mod container;
mod health;
mod host_config;
pub(crate) mod image;
mod mounts;
pub(crate) mod network;
pub(crate) mod volume;

use serde::Serialize;

use super::template::Value;

/// Objects with four blanks a level, as Docker prints them.
///
/// # Errors
/// They cannot be put in JSON.
pub(crate) fn pretty(objects: &[Value]) -> Result<String, serde_json::Error> {
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
    objects.serialize(&mut serializer)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::print::template::value;

    #[test]
    fn four_blanks() {
        let object = value(&serde_json::json!({"a": [1], "b": {}})).unwrap();
        assert_eq!(
            pretty(&[object]).unwrap(),
            "[\n    {\n        \"a\": [\n            1\n        ],\n        \"b\": {}\n    }\n]"
        );
        assert_eq!(pretty(&[]).unwrap(), "[]");
    }
}
