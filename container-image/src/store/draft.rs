//! An image that is made here: of nothing, or of another one and what was done on top of it.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::error::{StoreError, io_error};
use super::image::Image;
use super::ingest::Ingest;
use super::layout::read_limited;
use super::{Store, twin};
use crate::config::RunConfig;
use crate::digest::Digest;
use crate::manifest::{CONFIG_LIMIT, Layer, ManifestError, OCI_MANIFEST};
use crate::platform::Platform;
use crate::reference::Reference;

/// Fields of Docker's that tell of the container an image was made from, and of its daemon.
const OF_THE_MAKER: [&str; 6] = [
    "id",
    "parent",
    "container",
    "container_config",
    "docker_version",
    "throwaway",
];

/// The documents of an image, being written.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The configuration but for what follows.
    config: Map<String, Value>,
    history: Vec<Value>,
    diff_ids: Vec<Digest>,
    /// The descriptors of the layers.
    layers: Vec<Value>,
    top: Option<Digest>,
}

/// How an image came to be what it is: a row of its history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// When.
    pub created: Timestamp,
    /// By which command.
    pub created_by: String,
    /// By whom.
    pub author: String,
    /// What was noted.
    pub comment: String,
}

impl Draft {
    /// An image without layers.
    pub fn new(platform: &Platform) -> Self {
        let mut config = Map::new();
        let mut set = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                config.insert(name.to_owned(), value.into());
            }
        };
        set("architecture", Some(platform.architecture()));
        set("variant", platform.variant());
        set("os", Some(platform.os()));
        Self {
            config,
            history: Vec::new(),
            diff_ids: Vec::new(),
            layers: Vec::new(),
            top: None,
        }
    }

    /// An image with all that `base` has. Hold a [`Lease`](super::Lease) on it until the draft is
    /// committed.
    ///
    /// # Errors
    /// [`StoreError::Io`], and [`StoreError::Manifest`] if its configuration cannot be read or a
    /// layer has a media type that OCI has no word for.
    pub fn on(store: &Store, base: &Image) -> Result<Self, StoreError> {
        let path = store.layout.blob(&base.id);
        let bytes = read_limited(&path, CONFIG_LIMIT).map_err(io_error("read", &path))?;
        let mut config: Map<String, Value> = serde_json::from_slice(&bytes).map_err(malformed)?;
        config.retain(|name, _| !OF_THE_MAKER.contains(&name.as_str()));
        let history = match config.remove("history") {
            Some(Value::Array(history)) => history,
            // Nobody must write one.
            _ => Vec::new(),
        };
        let layers = base.manifest.layers().iter().map(|layer| {
            twin::layer(layer).ok_or_else(|| ManifestError::NotAnImage {
                media_type: layer.media_type().to_string(),
            })
        });
        Ok(Self {
            config,
            history,
            diff_ids: base.layers.iter().map(|l| l.spec.diff_id.clone()).collect(),
            layers: layers.collect::<Result<_, _>>()?,
            top: base.layers.last().map(|layer| layer.chain_id.clone()),
        })
    }

    /// The chain id of the uppermost layer.
    pub fn top(&self) -> Option<&Digest> {
        self.top.as_ref()
    }

    /// What containers of it do.
    ///
    /// # Errors
    /// [`StoreError::Manifest`] if the image that this began with says it malformed.
    pub fn run_config(&self) -> Result<RunConfig, StoreError> {
        match self.config.get("config") {
            None | Some(Value::Null) => Ok(RunConfig::default()),
            Some(value) => Ok(serde_json::from_value(value.clone()).map_err(malformed)?),
        }
    }

    /// Says what containers of it do.
    pub fn set_run_config(&mut self, config: &RunConfig) {
        self.config.insert("config".to_owned(), json!(config));
    }

    /// Adds a step, with the layer on top of the others that it has made, if it has made one.
    pub fn add(&mut self, step: &Step, layer: Option<&Layer>) {
        let created = Value::from(step.created.to_string());
        let mut row = Map::from_iter([("created".to_owned(), created.clone())]);
        for (name, text) in [
            ("created_by", &step.created_by),
            ("author", &step.author),
            ("comment", &step.comment),
        ] {
            if !text.is_empty() {
                row.insert(name.to_owned(), text.as_str().into());
            }
        }
        if let Some(layer) = layer {
            self.diff_ids.push(layer.spec.diff_id.clone());
            self.layers.push(json!({
                "mediaType": layer.spec.media_type.as_ref(),
                "digest": layer.spec.digest,
                "size": layer.spec.size,
            }));
            self.top = Some(layer.chain_id.clone());
        } else {
            row.insert("empty_layer".to_owned(), true.into());
        }
        self.history.push(row.into());
        self.config.insert("created".to_owned(), created);
        // The image's author is the last who made something of it.
        match step.author.as_str() {
            "" => drop(self.config.remove("author")),
            author => drop(self.config.insert("author".to_owned(), author.into())),
        }
    }

    /// Enters the image under `names`. Its layers must have been brought.
    ///
    /// # Errors
    /// As [`Ingest::commit`].
    pub fn commit(mut self, ingest: &Ingest, names: &[Reference]) -> Result<Image, StoreError> {
        let rootfs = json!({"type": "layers", "diff_ids": self.diff_ids});
        self.config.insert("rootfs".to_owned(), rootfs);
        self.config
            .insert("history".to_owned(), self.history.into());
        let config = Value::from(self.config).to_string().into_bytes();
        let digest = Digest::sha256(&config);
        ingest.put(&config, &digest)?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": digest,
                "size": config.len(),
            },
            "layers": self.layers,
        });
        let manifest = manifest.to_string().into_bytes();
        ingest.commit(&manifest, OCI_MANIFEST, names)
    }
}

fn malformed(source: serde_json::Error) -> ManifestError {
    ManifestError::Json {
        what: "image configuration",
        source,
    }
}
