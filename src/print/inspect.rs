//! `image inspect`: an image as Docker's API shows it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// What the image's configuration does not say.
pub(crate) struct Facts {
    pub(crate) id: String,
    pub(crate) tags: Vec<String>,
    pub(crate) digests: Vec<String>,
    pub(crate) size: u64,
    pub(crate) lower: Vec<PathBuf>,
    pub(crate) comment: Option<String>,
}

/// The configuration blob, as far as it is shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Blob {
    created: Option<String>,
    author: Option<String>,
    architecture: String,
    variant: Option<String>,
    os: String,
    docker_version: Option<String>,
    config: Option<Map<String, Value>>,
    rootfs: Value,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    id: String,
    repo_tags: Vec<String>,
    repo_digests: Vec<String>,
    parent: &'static str,
    comment: String,
    created: Option<String>,
    docker_version: String,
    author: String,
    config: Map<String, Value>,
    architecture: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<String>,
    os: String,
    size: u64,
    virtual_size: u64,
    graph_driver: Value,
    #[serde(rename = "RootFS")]
    root_fs: Value,
    metadata: Value,
}

/// What Docker shows of a configuration that does not say it.
fn config_defaults() -> Map<String, Value> {
    let mut defaults = Map::new();
    for name in ["Hostname", "Domainname", "User", "Image", "WorkingDir"] {
        defaults.insert(name.to_owned(), json!(""));
    }
    for name in [
        "AttachStdin",
        "AttachStdout",
        "AttachStderr",
        "Tty",
        "OpenStdin",
        "StdinOnce",
    ] {
        defaults.insert(name.to_owned(), json!(false));
    }
    for name in ["Env", "Cmd", "Volumes", "Entrypoint", "OnBuild", "Labels"] {
        defaults.insert(name.to_owned(), Value::Null);
    }
    defaults
}

/// The object of one image.
///
/// # Errors
/// It cannot be put in JSON.
pub(crate) fn image(blob: Blob, facts: Facts) -> Result<Value, serde_json::Error> {
    let mut config = config_defaults();
    config.extend(blob.config.unwrap_or_default());
    let lower: Vec<_> = facts
        .lower
        .iter()
        .map(|dir| dir.to_string_lossy())
        .collect();
    serde_json::to_value(Image {
        id: facts.id,
        repo_tags: facts.tags,
        repo_digests: facts.digests,
        parent: "",
        comment: facts.comment.unwrap_or_default(),
        created: blob.created,
        docker_version: blob.docker_version.unwrap_or_default(),
        author: blob.author.unwrap_or_default(),
        config,
        architecture: blob.architecture,
        variant: blob.variant.filter(|variant| !variant.is_empty()),
        os: blob.os,
        size: facts.size,
        virtual_size: facts.size,
        graph_driver: json!({ "Name": "overlayfs", "Data": { "LowerDir": lower.join(":") } }),
        root_fs: json!({
            "Type": blob.rootfs.get("type").cloned().unwrap_or_else(|| json!("layers")),
            "Layers": blob.rootfs.get("diff_ids").cloned().unwrap_or_else(|| json!([])),
        }),
        metadata: json!({ "LastTagTime": "0001-01-01T00:00:00Z" }),
    })
}

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

    #[test]
    fn shape() {
        let blob: Blob = serde_json::from_value(json!({
            "created": "2026-11-23T20:43:25Z", "architecture": "amd64", "os": "linux",
            "config": { "Cmd": ["sh"], "Healthcheck": { "Test": ["NONE"] } },
            "rootfs": { "type": "layers", "diff_ids": ["sha256:aa"] },
        }))
        .unwrap();
        let facts = Facts {
            id: "sha256:1".into(),
            tags: vec!["busybox:latest".into()],
            digests: vec![],
            size: 7,
            lower: vec!["/l/1".into(), "/l/0".into()],
            comment: None,
        };
        let object = image(blob, facts).unwrap();
        assert_eq!(object["RepoTags"], json!(["busybox:latest"]));
        assert_eq!(
            object["RootFS"],
            json!({ "Type": "layers", "Layers": ["sha256:aa"] })
        );
        assert_eq!(object["Config"]["Cmd"], json!(["sh"]));
        assert_eq!(object["Config"]["Entrypoint"], Value::Null);
        assert_eq!(object["Config"]["Healthcheck"]["Test"], json!(["NONE"]));
        assert_eq!(
            object["GraphDriver"]["Data"]["LowerDir"],
            json!("/l/1:/l/0")
        );
        assert_eq!(
            pretty(&[json!({"a": 1})]).unwrap(),
            "[\n    {\n        \"a\": 1\n    }\n]"
        );
        assert_eq!(pretty(&[]).unwrap(), "[]");
    }
}
