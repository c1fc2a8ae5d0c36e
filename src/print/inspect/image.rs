//! `image inspect`: an image as Docker's API shows it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use container_core::image::store::Image;
use serde::Serialize;

use super::config::{Config, text};
use crate::print::template::{self, Omit, TemplateError, Value};

/// What the image does not say itself.
pub(crate) struct Facts {
    pub(crate) size: u64,
    /// Layers that are not unpacked have no directories to show.
    pub(crate) lower: Vec<PathBuf>,
    /// Of the newest step.
    pub(crate) comment: Option<String>,
    /// The configuration blob.
    pub(crate) document: serde_json::Value,
}

#[derive(Debug, Serialize)]
#[serde(rename = "types.ImageInspect", rename_all = "PascalCase")]
struct Shown {
    id: String,
    repo_tags: Vec<String>,
    repo_digests: Vec<String>,
    parent: &'static str,
    comment: String,
    created: Option<String>,
    docker_version: String,
    author: String,
    config: Config,
    architecture: String,
    variant: Omit<String>,
    os: String,
    size: u64,
    virtual_size: u64,
    graph_driver: GraphDriver,
    #[serde(rename = "RootFS")]
    root_fs: RootFs,
    metadata: Metadata,
}

/// Where the file system lies.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename = "types.GraphDriverData", rename_all = "PascalCase")]
pub(super) struct GraphDriver {
    pub(super) data: BTreeMap<&'static str, String>,
    pub(super) name: &'static str,
}

/// The name of the way layers are stacked.
pub(super) const DRIVER: &str = "overlayfs";

#[derive(Debug, Serialize)]
#[serde(rename = "types.RootFS", rename_all = "PascalCase")]
struct RootFs {
    r#type: String,
    layers: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename = "types.Metadata", rename_all = "PascalCase")]
struct Metadata {
    last_tag_time: &'static str,
}

/// The object of one image.
///
/// # Errors
/// It cannot be put in JSON.
pub(crate) fn image(image: &Image, facts: Facts) -> Result<Value, TemplateError> {
    let lower: Vec<_> = facts
        .lower
        .iter()
        .map(|dir| dir.to_string_lossy())
        .collect();
    let config = &image.config;
    let document = &facts.document;
    template::value(&Shown {
        id: image.id.to_string(),
        repo_tags: image.tags().map(|name| name.familiar()).collect(),
        repo_digests: image.repo_digests().map(|name| name.familiar()).collect(),
        parent: "",
        comment: facts.comment.unwrap_or_default(),
        created: config.created().clone(),
        docker_version: text(document, "docker_version"),
        author: config.author().clone().unwrap_or_default(),
        config: Config::of_image(image),
        architecture: text(document, "architecture"),
        variant: Omit(text(document, "variant")),
        os: text(document, "os"),
        size: facts.size,
        virtual_size: facts.size,
        graph_driver: GraphDriver {
            data: BTreeMap::from([("LowerDir", lower.join(":"))]),
            name: DRIVER,
        },
        root_fs: RootFs {
            r#type: config.rootfs().typ().clone(),
            layers: config.rootfs().diff_ids().clone(),
        },
        metadata: Metadata {
            last_tag_time: super::container::NEVER,
        },
    })
}
