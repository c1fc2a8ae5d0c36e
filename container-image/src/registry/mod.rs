//! Registries: images over HTTP (OCI distribution specification 1.1).
//!
//! A [`Registry`] knows how to reach hosts; [`Registry::pull`] brings an image into a
//! [`Store`](crate::store::Store). Each layer is streamed once: from the connection over a
//! bounded channel to a thread that writes the blob and hashes, decompresses and unpacks it.
//! Nothing is read from the environment or from home directories: whoever embeds this
//! says where credentials and certificates are, and which proxy to use.
//!
//! Requests are made with reqwest, the client under oci-client, not with oci-client's own
//! `Client`: that reads manifests, tokens and error pages without limit, so a hostile
//! registry could exhaust memory; it does not show Retry-After; and it asks for no new token when
//! one expires between two layers. Its types for errors and tokens are used.

mod challenge;
mod credentials;
mod endpoint;
mod error;
mod progress;
mod pull;
mod retry;
mod transfer;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Mutex;

pub use self::credentials::{CredentialFiles, Credentials};
pub use self::error::{CredentialsError, PullError};
pub use self::progress::Progress;

use self::endpoint::Endpoint;
use self::retry::Retry;
use self::transfer::blocking;
use crate::digest::Digest;
use crate::platform::Platform;
use crate::reference::{DEFAULT_REGISTRY, Reference};
use crate::store::Image;

/// The host that serves what is called `docker.io`.
const HUB: &str = "registry-1.docker.io";
/// Redirects followed for one request.
const REDIRECTS: usize = 10;

/// What to pull, and as whom.
#[derive(Debug, Clone, Default)]
pub struct PullOptions {
    /// Which image of an index; this machine's platform if not given.
    pub platform: Option<Platform>,
    /// Who one is with the registry; looked up in the credential files if not given.
    pub credentials: Option<Credentials>,
}

/// What a pull brought.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Pulled {
    /// The image.
    pub image: Image,
    /// The digest of what the name stands for: of the index, if it is one. `docker pull`
    /// shows it.
    pub digest: Digest,
    /// Whether the image was here already.
    pub up_to_date: bool,
}

/// The way to registries. Cloning is cheap, and connections are kept and shared.
///
/// ```no_run
/// # async fn example(store: &container_image::Store) -> Result<(), Box<dyn std::error::Error>> {
/// use container_image::registry::{PullOptions, Registry};
///
/// let registry = Registry::builder().mirror("docker.io", "https://mirror.example").build();
/// let pulled = registry
///     .pull(store, &"busybox".parse()?, &PullOptions::default(), |progress| println!("{progress:?}"))
///     .await?;
/// println!("{}", pulled.image.id);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Registry {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: RegistryBuilder,
    /// For https. Made when first needed: reading the machine's certificates takes longer
    /// than a pull from the next rack.
    encrypted: OnceLock<reqwest::Client>,
    plain: OnceLock<reqwest::Client>,
}

/// Settings of a [`Registry`]. Setters cannot fail; what is wrong is told by the pull.
#[derive(Debug, Clone)]
pub struct RegistryBuilder {
    insecure: HashSet<String>,
    mirrors: HashMap<String, Vec<String>>,
    credentials: CredentialFiles,
    certificates: Vec<Vec<u8>>,
    proxy: Option<String>,
    user_agent: String,
    connections: usize,
    connect_timeout: Duration,
    idle_timeout: Duration,
    retry: Retry,
}

impl Default for RegistryBuilder {
    fn default() -> Self {
        Self {
            insecure: HashSet::new(),
            mirrors: HashMap::new(),
            credentials: CredentialFiles::default(),
            certificates: Vec::new(),
            proxy: None,
            user_agent: concat!("mini-docker/", env!("CARGO_PKG_VERSION")).to_owned(),
            connections: 4,
            connect_timeout: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(60),
            retry: Retry {
                attempts: 6,
                first: Duration::from_millis(500),
            },
        }
    }
}

impl RegistryBuilder {
    /// Speaks http with this host (`host` or `host:port`). Loopback is spoken to so anyway.
    pub fn insecure(mut self, host: impl Into<String>) -> Self {
        self.insecure.insert(host.into());
        self
    }

    /// Asks `mirror` (`http[s]://host[:port][/prefix]`) before `registry` itself. Mirrors
    /// are asked in the order in which they were added; a failing one is passed over.
    pub fn mirror(mut self, registry: impl Into<String>, mirror: impl Into<String>) -> Self {
        self.mirrors
            .entry(registry.into())
            .or_default()
            .push(mirror.into());
        self
    }

    /// Where to look for credentials.
    pub fn credential_files(mut self, files: CredentialFiles) -> Self {
        self.credentials = files;
        self
    }

    /// Trusts the authorities in this PEM file's contents, besides the machine's.
    pub fn certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.certificates.push(pem.into());
        self
    }

    /// Goes through this proxy (`http://[user:password@]host:port`), except to loopback.
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = Some(url.into());
        self
    }

    /// How many layers of a pull are fetched at once; 4 if not set, at least 1.
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// How long a connection may take to be made (20 s if not set), and how long one may
    /// be silent (60 s). There is no limit to a whole transfer.
    pub fn timeouts(mut self, connect: Duration, idle: Duration) -> Self {
        self.connect_timeout = connect;
        self.idle_timeout = idle;
        self
    }

    /// How often a request is made before giving up (6 times if not set), and the first
    /// wait in between (500 ms), which doubles each time. Mirrors get two attempts at most.
    pub fn retries(mut self, attempts: u32, first: Duration) -> Self {
        self.retry = Retry {
            attempts: attempts.max(1),
            first,
        };
        self
    }

    /// The finished settings. No connection is made yet.
    pub fn build(self) -> Registry {
        Registry {
            shared: Arc::new(Shared {
                settings: self,
                encrypted: OnceLock::new(),
                plain: OnceLock::new(),
            }),
        }
    }
}

impl Registry {
    /// Settings to begin with.
    pub fn builder() -> RegistryBuilder {
        RegistryBuilder::default()
    }

    fn connections(&self) -> usize {
        self.shared.settings.connections
    }

    /// The hosts to ask for an image, in order.
    async fn endpoints(
        &self,
        reference: &Reference,
        options: &PullOptions,
    ) -> Result<Vec<Arc<Endpoint>>, PullError> {
        let settings = &self.shared.settings;
        let registry = reference.registry();
        let mut bases: Vec<(String, String)> = Vec::new();
        for mirror in settings.mirrors.get(registry).into_iter().flatten() {
            bases.push(mirror_base(mirror)?);
        }
        let host = if registry == DEFAULT_REGISTRY {
            HUB
        } else {
            registry
        };
        let plain = settings.insecure.contains(registry) || is_loopback(host);
        let scheme = if plain { "http" } else { "https" };
        bases.push((registry.to_owned(), format!("{scheme}://{host}")));
        let last = bases.len() - 1;
        let mut endpoints = Vec::with_capacity(bases.len());
        for (position, (name, base)) in bases.into_iter().enumerate() {
            let credentials = match &options.credentials {
                // Meant for the registry, and no mirror's business.
                Some(given) if position == last => given.clone(),
                _ => self.credentials(name, reference.repository()).await?,
            };
            let mut retry = settings.retry;
            if position < last {
                retry.attempts = retry.attempts.min(2);
            }
            endpoints.push(Arc::new(Endpoint {
                client: self.client(base.starts_with("https:"))?,
                base,
                repository: reference.repository().to_owned(),
                reference: reference.familiar(),
                credentials,
                retry,
                authorization: Mutex::new(None),
            }));
        }
        Ok(endpoints)
    }

    async fn credentials(
        &self,
        registry: String,
        repository: &str,
    ) -> Result<Credentials, PullError> {
        let files = self.shared.settings.credentials.clone();
        if files.files.is_empty() {
            return Ok(Credentials::Anonymous);
        }
        let repository = repository.to_owned();
        blocking(move || files.find(&registry, &repository)).await?
    }

    fn client(&self, encrypted: bool) -> Result<reqwest::Client, PullError> {
        let cell = if encrypted {
            &self.shared.encrypted
        } else {
            &self.shared.plain
        };
        if let Some(client) = cell.get() {
            return Ok(client.clone());
        }
        let settings = &self.shared.settings;
        let failed = |error: reqwest::Error| PullError::Client {
            reason: error.to_string(),
        };
        let mut builder = reqwest::Client::builder()
            .user_agent(&settings.user_agent)
            .connect_timeout(settings.connect_timeout)
            .read_timeout(settings.idle_timeout)
            .redirect(redirects(settings.insecure.clone()))
            .no_proxy();
        if encrypted {
            for pem in &settings.certificates {
                let bundle = reqwest::Certificate::from_pem_bundle(pem).map_err(failed)?;
                builder = builder.tls_certs_merge(bundle);
            }
        }
        if let Some(proxy) = &settings.proxy {
            let direct = reqwest::NoProxy::from_string("localhost,127.0.0.0/8,::1");
            let proxy = reqwest::Proxy::all(proxy).map_err(failed)?.no_proxy(direct);
            builder = builder.proxy(proxy);
        }
        let client = builder.build().map_err(failed)?;
        Ok(cell.get_or_init(|| client).clone())
    }
}

/// Follows redirects, but not from an encrypted connection to a plain one: registries
/// send clients to other hosts for blobs. Credentials are not sent along to another host.
fn redirects(insecure: HashSet<String>) -> reqwest::redirect::Policy {
    reqwest::redirect::Policy::custom(move |attempt| {
        let host = attempt.url().host_str().unwrap_or_default().to_owned();
        let with_port = match attempt.url().port() {
            Some(port) => format!("{host}:{port}"),
            None => host.clone(),
        };
        let weakened = attempt.url().scheme() != "https"
            && attempt
                .previous()
                .last()
                .is_some_and(|from| from.scheme() == "https");
        let allowed = is_loopback(&with_port) || insecure.contains(&with_port);
        if attempt.previous().len() >= REDIRECTS {
            attempt.error("too many redirects")
        } else if weakened && !allowed {
            attempt.error(format!(
                "it redirects to {host} without encryption; name that host insecure to allow it"
            ))
        } else {
            attempt.follow()
        }
    })
}

/// The host and the base URL of a mirror.
fn mirror_base(mirror: &str) -> Result<(String, String), PullError> {
    let invalid = || PullError::Mirror {
        mirror: mirror.to_owned(),
    };
    let url = reqwest::Url::parse(mirror).map_err(|_| invalid())?;
    let host = url.host_str().ok_or_else(invalid)?;
    if !matches!(url.scheme(), "http" | "https") || url.query().is_some() {
        return Err(invalid());
    }
    let host = match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    let base = format!("{}://{host}{}", url.scheme(), url.path());
    Ok((host, base.trim_end_matches('/').to_owned()))
}

/// Whether a registry is on this machine, so that nobody can listen.
fn is_loopback(registry: &str) -> bool {
    let host = match registry.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => registry.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_told_from_names_that_look_like_it() {
        for host in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "127.3.2.1",
            "[::1]:5000",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "localhost.example",
            "127.0.0.1.example:1",
            "10.0.0.1",
            "[::2]",
            "docker.io",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn mirrors_are_urls() {
        let (host, base) = mirror_base("https://m.example:5000/docker/").unwrap();
        assert_eq!(host, "m.example:5000");
        assert_eq!(base, "https://m.example:5000/docker");
        for bad in ["m.example", "ftp://m", "https://m/?q", ""] {
            assert!(mirror_base(bad).is_err(), "{bad}");
        }
    }
}
