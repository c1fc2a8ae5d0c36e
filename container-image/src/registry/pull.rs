//! The story of a pull: name → manifest → layers → image.

use std::collections::VecDeque;
use std::sync::Arc;

use oci_spec::image::ImageManifest;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::endpoint::{Endpoint, Failure, Fetched};
use super::error::PullError;
use super::progress::{Listener, Progress};
use super::transfer::{Transfer, blocking, joined, wait};
use super::{PullOptions, Pulled, Registry};
use crate::digest::Digest;
use crate::manifest::{
    self, CONFIG_LIMIT, DOCKER_LIST, Document, Layer, MANIFEST_LIMIT, ManifestError, OCI_INDEX,
    OCI_MANIFEST,
};
use crate::platform::Platform;
use crate::reference::Reference;
use crate::store::{Image, Ingest, Store};

/// All that may be answered, the preferred kinds first.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/json;q=0.5, */*;q=0.1";

/// A manifest that has been chosen.
struct Resolved {
    bytes: bytes::Bytes,
    media_type: String,
    digest: Digest,
    manifest: ImageManifest,
}

/// One pull under way.
struct Pull<'a> {
    reference: &'a Reference,
    endpoints: Vec<Arc<Endpoint>>,
    listener: Arc<Listener>,
}

impl Registry {
    /// Pulls an image into `store`, and tells `progress` how it goes.
    ///
    /// What the store has is not fetched again: if the registry's manifest is here, two
    /// small requests are all. Must be called in a tokio runtime with time and I/O enabled,
    /// of any flavour. Dropping the future stops the pull; what has arrived of its layers is
    /// continued by the next.
    ///
    /// # Errors
    /// [`PullError`]. Nothing is left of a pull that failed but layers that are complete
    /// and the beginnings of those whose connection broke, for the next attempt.
    pub async fn pull(
        &self,
        store: &Store,
        reference: &Reference,
        options: &PullOptions,
        progress: impl Fn(Progress) + Send + Sync + 'static,
    ) -> Result<Pulled, PullError> {
        let platform = options.platform.clone().unwrap_or_else(Platform::host);
        let mut pull = Pull {
            reference,
            endpoints: self.endpoints(reference, options).await?,
            listener: Arc::new(progress),
        };
        if let Some(image) = pull.unchanged(store, &platform).await? {
            return Ok(image);
        }
        let (top, resolved) = pull.resolve(&platform).await?;
        let names = names(reference, &top);
        if let Some(image) = complete(store, &resolved.digest)? {
            let (store, names) = (store.clone(), names.clone());
            let image = blocking(move || store.add_names(&image, &names)).await??;
            return Ok(Pulled {
                image,
                digest: top,
                up_to_date: true,
            });
        }
        let opened = store.clone();
        let ingest = Arc::new(blocking(move || opened.ingest()).await??);
        let layers = pull.config(&ingest, &resolved).await?;
        (pull.listener)(Progress::Resolved {
            digest: top.clone(),
            layers: layers
                .iter()
                .map(|layer| (layer.spec.digest.clone(), layer.spec.size))
                .collect(),
        });
        pull.layers(&ingest, layers, self.connections()).await?;
        let image = blocking(move || {
            ingest.commit_as(
                &resolved.bytes,
                &resolved.media_type,
                &resolved.digest,
                &names,
            )
        })
        .await??;
        Ok(Pulled {
            image,
            digest: top,
            up_to_date: false,
        })
    }
}

/// Under which names the image is entered: its tag, and where it came from by digest. A
/// tag beside a digest names nothing, as in Docker.
fn names(reference: &Reference, top: &Digest) -> Vec<Reference> {
    let pinned = reference.with_digest(top.clone());
    match reference.digest() {
        Some(_) => vec![pinned],
        None => vec![reference.clone(), pinned],
    }
}

/// The image with this manifest, if nothing of it is missing.
fn complete(store: &Store, manifest: &Digest) -> Result<Option<Image>, PullError> {
    let Some(image) = store.find_manifest(manifest)? else {
        return Ok(None);
    };
    let here = |layer: &Layer| store.blob_path(&layer.spec.digest).exists();
    Ok(image.layers.iter().all(here).then_some(image))
}

impl Pull<'_> {
    /// The image that is here, if the registry's tag still stands for it. Costs one
    /// request without a body, which Docker Hub does not count against its limit.
    async fn unchanged(
        &self,
        store: &Store,
        platform: &Platform,
    ) -> Result<Option<Pulled>, PullError> {
        let Ok(Some(image)) = store.find_reference(self.reference) else {
            return Ok(None);
        };
        let known: Vec<&Digest> = image
            .repo_digests()
            .filter(|name| {
                name.registry() == self.reference.registry()
                    && name.repository() == self.reference.repository()
            })
            .filter_map(Reference::digest)
            .collect();
        if platform.rank(&image.platform) != Some(0)
            || complete(store, &image.manifest_digest)?.is_none()
        {
            return Ok(None);
        }
        let current = match (self.reference.digest(), self.reference.tag()) {
            (Some(pinned), _) => Some(pinned.clone()),
            (None, Some(tag)) => {
                let Some(endpoint) = self.endpoints.first() else {
                    return Ok(None);
                };
                let url = endpoint.url("manifests", tag);
                let digest = endpoint.head(&url, ACCEPT).await;
                digest.and_then(|digest| digest.parse().ok())
            }
            (None, None) => None,
        };
        Ok(current
            .filter(|digest| known.contains(&digest))
            .map(|digest| Pulled {
                image,
                digest,
                up_to_date: true,
            }))
    }

    /// Finds the manifest for the platform. The first digest is that of what the name
    /// stands for, which may be an index.
    async fn resolve(&mut self, platform: &Platform) -> Result<(Digest, Resolved), PullError> {
        let pinned = self.reference.digest().cloned();
        let tag = self.reference.tag().unwrap_or_default();
        let name = pinned.as_ref().map_or(tag, Digest::as_str).to_owned();
        let (top, fetched) = self.manifest(&name, pinned.as_ref()).await?;
        let document = self.parse(&fetched, fetched.media_type.as_deref())?;
        let index = match document {
            Document::Image(manifest) => {
                return Ok((top.clone(), resolved(*manifest, fetched, None, top)));
            }
            Document::Index(index) => index,
        };
        let chosen = platform
            .choose(&index)
            .map_err(|source| PullError::Platform {
                reference: self.reference.familiar(),
                source,
            })?;
        let media_type = chosen.media_type().to_string();
        if matches!(media_type.as_str(), OCI_INDEX | DOCKER_LIST) {
            return Err(self.malformed(ManifestError::Ambiguous {
                reason: "an index within an index".to_owned(),
            }));
        }
        let digest = manifest::digest_of(chosen).map_err(|error| self.malformed(error))?;
        let (_, fetched) = self.manifest(digest.as_str(), Some(&digest)).await?;
        match self.parse(&fetched, Some(&media_type))? {
            Document::Image(manifest) => {
                Ok((top, resolved(*manifest, fetched, Some(media_type), digest)))
            }
            Document::Index(_) => Err(self.malformed(ManifestError::Ambiguous {
                reason: "an index within an index".to_owned(),
            })),
        }
    }

    fn parse(&self, fetched: &Fetched, media_type: Option<&str>) -> Result<Document, PullError> {
        manifest::parse(&fetched.bytes, media_type).map_err(|error| self.malformed(error))
    }

    fn malformed(&self, source: ManifestError) -> PullError {
        PullError::Manifest {
            reference: self.reference.familiar(),
            source,
        }
    }

    /// Fetches a manifest or an index by tag or digest and checks it.
    async fn manifest(
        &mut self,
        name: &str,
        expected: Option<&Digest>,
    ) -> Result<(Digest, Fetched), PullError> {
        let (fetched, url) = self
            .document("manifests", name, Some(ACCEPT), MANIFEST_LIMIT)
            .await?;
        // By tag, the registry's word is the only one; so it must be true at least.
        let said: Option<Digest> = match expected {
            Some(digest) => Some(digest.clone()),
            None => fetched.digest.as_ref().and_then(|text| text.parse().ok()),
        };
        let actual = match &said {
            Some(digest) => {
                let mut hasher = digest.hasher();
                hasher.update(&fetched.bytes);
                hasher.finish()
            }
            None => Digest::sha256(&fetched.bytes),
        };
        match said {
            Some(expected) if expected != actual => Err(PullError::Digest {
                url,
                expected,
                actual,
            }),
            _ => Ok((actual, fetched)),
        }
    }

    /// Stores the configuration, and says what layers there are.
    async fn config(
        &mut self,
        ingest: &Arc<Ingest>,
        resolved: &Resolved,
    ) -> Result<Vec<Layer>, PullError> {
        let descriptor = resolved.manifest.config();
        let digest = manifest::digest_of(descriptor).map_err(|error| self.malformed(error))?;
        if descriptor.size() > CONFIG_LIMIT {
            return Err(self.malformed(ManifestError::TooLarge {
                what: "image configuration",
                size: descriptor.size(),
                limit: CONFIG_LIMIT,
            }));
        }
        let (fetched, url) = self
            .document("blobs", digest.as_str(), None, descriptor.size())
            .await?;
        let actual = fetched.bytes.len() as u64;
        if actual != descriptor.size() {
            return Err(PullError::Size {
                url,
                expected: descriptor.size(),
                actual,
            });
        }
        let mut hasher = digest.hasher();
        hasher.update(&fetched.bytes);
        let actual = hasher.finish();
        if actual != digest {
            return Err(PullError::Digest {
                url,
                expected: digest,
                actual,
            });
        }
        let config =
            manifest::parse_config(&fetched.bytes).map_err(|error| self.malformed(error))?;
        let layers =
            manifest::layers(&resolved.manifest, &config).map_err(|error| self.malformed(error))?;
        let ingest = Arc::clone(ingest);
        blocking(move || ingest.put(&fetched.bytes, &digest)).await??;
        Ok(layers)
    }

    /// Fetches a small document from the first host that has it, which is asked first from then on.
    async fn document(
        &mut self,
        kind: &str,
        name: &str,
        accept: Option<&'static str>,
        limit: u64,
    ) -> Result<(Fetched, String), PullError> {
        let mut last = None;
        for position in 0..self.endpoints.len() {
            let endpoint = Arc::clone(&self.endpoints[position]);
            let url = endpoint.url(kind, name);
            match self.persist(&endpoint, &url, accept, limit).await {
                Ok(fetched) => {
                    self.endpoints.drain(..position);
                    return Ok((fetched, url));
                }
                Err(error) => {
                    tracing::debug!(url, %error, "host passed over");
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or(PullError::Stopped {
            reason: "there is no host to ask".to_owned(),
        }))
    }

    async fn persist(
        &self,
        endpoint: &Endpoint,
        url: &str,
        accept: Option<&'static str>,
        limit: u64,
    ) -> Result<Fetched, PullError> {
        let mut failed = 0;
        loop {
            let failure: Failure = match endpoint.document(url, accept, limit).await {
                Ok(fetched) => return Ok(fetched),
                Err(failure) => failure,
            };
            failed += 1;
            let Some(delay) = wait(endpoint.retry, failed, &failure) else {
                return Err(failure.error);
            };
            (self.listener)(Progress::Retrying {
                layer: None,
                delay,
                reason: failure.error.to_string(),
            });
            tokio::time::sleep(delay).await;
        }
    }

    /// Brings all layers, `connections` at a time. When one fails the others are stopped,
    /// and waited for: they have files to tidy up.
    async fn layers(
        &self,
        ingest: &Arc<Ingest>,
        layers: Vec<Layer>,
        connections: usize,
    ) -> Result<(), PullError> {
        let (stop, stopping) = watch::channel(false);
        let transfer = Arc::new(Transfer {
            ingest: Arc::clone(ingest),
            endpoints: self.endpoints.clone(),
            listener: Arc::clone(&self.listener),
            stop: stopping,
        });
        let mut waiting: VecDeque<Layer> = layers.into();
        let mut running = JoinSet::new();
        let mut first = None;
        loop {
            while running.len() < connections
                && first.is_none()
                && let Some(layer) = waiting.pop_front()
            {
                let transfer = Arc::clone(&transfer);
                running.spawn(async move { transfer.layer(&layer).await });
            }
            let Some(ended) = running.join_next().await else {
                return first.map_or(Ok(()), Err);
            };
            if let Err(error) = joined(ended).and_then(|result| result)
                && first.is_none()
            {
                first = Some(error);
                // Only the tasks listen, and they are still there.
                let _ = stop.send(true);
            }
        }
    }
}

fn resolved(
    manifest: ImageManifest,
    fetched: Fetched,
    media_type: Option<String>,
    digest: Digest,
) -> Resolved {
    // What the document calls itself; registries that serve plain files say nothing useful.
    let own = manifest.media_type().as_ref().map(ToString::to_string);
    let said = fetched
        .media_type
        .filter(|said| said.contains("manifest.v"));
    Resolved {
        media_type: own
            .or(media_type)
            .or(said)
            .unwrap_or_else(|| OCI_MANIFEST.to_owned()),
        bytes: fetched.bytes,
        digest,
        manifest,
    }
}
