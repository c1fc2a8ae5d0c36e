//! The part of Go's templates that most scripts use: text with `{{.Field.Of.Field}}`, `{{.}}` and
//! `{{json .Field}}`. Everything else is refused, not guessed.

use serde_json::Value;

/// Why a template cannot be printed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum TemplateError {
    #[error(
        "template {{{{{0}}}}}: only {{{{.Field}}}} and {{{{json .Field}}}} are understood yet; use \
         --format json"
    )]
    Action(String),
    #[error("template parsing error: unclosed action")]
    Unclosed,
    #[error("template: no field {0:?} (use --format json to see them all)")]
    Field(String),
}

enum Part<'a> {
    Text(&'a str),
    Field { path: Vec<&'a str>, json: bool },
}

fn path<'a>(text: &'a str, whole: &str) -> Result<Vec<&'a str>, TemplateError> {
    let fields = text
        .strip_prefix('.')
        .ok_or_else(|| TemplateError::Action(whole.to_owned()))?;
    if fields.is_empty() {
        return Ok(Vec::new());
    }
    let path: Vec<&str> = fields.split('.').collect();
    let name =
        |name: &&str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    if path.iter().all(name) {
        Ok(path)
    } else {
        Err(TemplateError::Action(whole.to_owned()))
    }
}

fn parse(mut text: &str) -> Result<Vec<Part<'_>>, TemplateError> {
    let mut parts = Vec::new();
    while let Some((before, rest)) = text.split_once("{{") {
        let (action, after) = rest.split_once("}}").ok_or(TemplateError::Unclosed)?;
        parts.push(Part::Text(before));
        let words: Vec<&str> = action.split_whitespace().collect();
        parts.push(match words[..] {
            [field] => Part::Field {
                path: path(field, action)?,
                json: false,
            },
            ["json", field] => Part::Field {
                path: path(field, action)?,
                json: true,
            },
            _ => return Err(TemplateError::Action(action.to_owned())),
        });
        text = after;
    }
    parts.push(Part::Text(text));
    Ok(parts)
}

/// A value as Go prints it: lists in brackets, maps as `map[name:value]`, sorted.
fn go(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) => {
            format!("[{}]", list.iter().map(go).collect::<Vec<_>>().join(" "))
        }
        Value::Object(map) => {
            let pairs = map
                .iter()
                .map(|(name, value)| format!("{name}:{}", go(value)));
            format!("map[{}]", pairs.collect::<Vec<_>>().join(" "))
        }
        other => other.to_string(),
    }
}

/// Fills a template from an object. `\t` and `\n` are a tab and a line's end, as in Docker.
pub(crate) fn fill(template: &str, object: &Value) -> Result<String, TemplateError> {
    let template = template.replace("\\t", "\t").replace("\\n", "\n");
    let mut out = String::new();
    for part in parse(&template)? {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Field { path, json } => {
                let mut value = object;
                for name in &path {
                    value = match value {
                        Value::Object(map) => map.get(*name),
                        _ => None,
                    }
                    .ok_or_else(|| TemplateError::Field(path.join(".")))?;
                }
                match json {
                    true => out.push_str(&value.to_string()),
                    false => out.push_str(&go(value)),
                }
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn templates() {
        let object = json!({
            "Id": "sha256:1", "Size": 12, "Config": {"Env": ["A=b", "C=d"], "Labels": {"x": "y"}, "Cmd": null}
        });
        for (template, want) in [
            ("plain", "plain"),
            ("{{.Id}}", "sha256:1"),
            ("{{ .Id }}:{{.Size}}", "sha256:1:12"),
            ("{{.Config.Env}}", "[A=b C=d]"),
            ("{{.Config.Labels}}", "map[x:y]"),
            ("{{json .Config.Env}}", "[\"A=b\",\"C=d\"]"),
            ("{{.Config.Cmd}}", "<no value>"),
            ("a\\tb", "a\tb"),
        ] {
            assert_eq!(fill(template, &object).unwrap(), want, "{template}");
        }
        assert_eq!(
            fill("{{.Nope}}", &object),
            Err(TemplateError::Field("Nope".into()))
        );
        assert_eq!(fill("{{.Id", &object), Err(TemplateError::Unclosed));
        for action in [
            "range .Config.Env",
            "if .Id",
            ".Id | json",
            "index .Config.Env 0",
            "Id",
        ] {
            let template = format!("{{{{{action}}}}}");
            assert!(
                matches!(fill(&template, &object), Err(TemplateError::Action(_))),
                "{action}"
            );
        }
    }
}
