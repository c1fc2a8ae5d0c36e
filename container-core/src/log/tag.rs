//! The option `tag`: a template of Go's in Docker, of which fields, literals and comments are
//! understood here.

use std::collections::BTreeMap;

/// The tag of drivers that need one.
pub(super) const DEFAULT: &str = "{{.ID}}";

/// What is known about the container whose output is logged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) id: &'a str,
    pub(crate) name: &'a str,
    /// As the caller wrote it.
    pub(crate) image: &'a str,
    /// With its algorithm; empty for `host`.
    pub(crate) image_id: &'a str,
    /// Program and arguments.
    pub(crate) args: &'a [String],
    pub(crate) labels: &'a BTreeMap<String, String>,
    /// `NAME=value`
    pub(crate) env: &'a [String],
    /// The machine's name.
    pub(crate) hostname: &'a str,
}

impl Subject<'_> {
    pub(super) fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(self.id)
    }

    fn field(&self, name: &str) -> Option<String> {
        Some(match name {
            "ID" => self.short_id().to_owned(),
            "FullID" | "ContainerID" => self.id.to_owned(),
            "Name" => self.name.to_owned(),
            "ContainerName" => format!("/{}", self.name),
            // With its algorithm, as Docker cuts it.
            "ImageID" => self.image_id.get(..12).unwrap_or(self.image_id).to_owned(),
            "ImageFullID" | "ContainerImageID" => self.image_id.to_owned(),
            "ImageName" | "ContainerImageName" => self.image.to_owned(),
            "Command" => self.args.join(" "),
            "ContainerEntrypoint" => self.args.first().cloned().unwrap_or_default(),
            "ContainerArgs" => format!("[{}]", self.args.get(1..).unwrap_or_default().join(" ")),
            "ContainerEnv" => format!("[{}]", self.env.join(" ")),
            "Hostname" => self.hostname.to_owned(),
            "DaemonName" => "docker".to_owned(),
            _ => return None,
        })
    }
}

/// Fills a template. The error says what is wrong with it.
pub(super) fn fill(template: &str, subject: &Subject<'_>) -> Result<String, String> {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, action)) = rest.split_once("{{") {
        let (action, after) = action
            .split_once("}}")
            .ok_or("an action is not closed: }} is missing")?;
        text.push_str(before);
        rest = after;
        let mut action = action;
        // `{{-` and `-}}` take the white space beside them away.
        if let Some(trimmed) = action.strip_prefix("- ") {
            text.truncate(text.trim_end().len());
            action = trimmed;
        }
        if let Some(trimmed) = action.strip_suffix(" -") {
            rest = rest.trim_start();
            action = trimmed;
        }
        text.push_str(&value(action.trim(), subject)?);
    }
    Ok(text + rest)
}

fn value(action: &str, subject: &Subject<'_>) -> Result<String, String> {
    if action.starts_with("/*") && action.ends_with("*/") {
        return Ok(String::new());
    }
    if let Some(literal) = action.strip_prefix('"').and_then(|a| a.strip_suffix('"')) {
        return Ok(literal.to_owned());
    }
    let field = action.strip_prefix('.').and_then(|f| subject.field(f));
    field.ok_or_else(|| {
        format!(
            "{{{{{action}}}}} is not understood; there are .ID .FullID .Name .ImageID .ImageFullID \
             .ImageName .Command .Hostname .DaemonName"
        )
    })
}
