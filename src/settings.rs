//! The flags before the verb and the environment, as the settings they make. Read when a verb
//! asks, since `run` asks for little.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use container_core::image::Platform;
use container_core::image::registry::{CredentialFiles, Registry};
use container_core::{Engine, EngineBuilder};

use crate::cli::program::Globals;
use crate::environment;
use crate::error::Error;

/// What holds for every verb.
pub(crate) struct Settings {
    globals: Globals,
    builder: Cell<EngineBuilder>,
}

impl Settings {
    /// `builder` is what the engine is made with, but for what the flags say.
    pub(crate) fn new(globals: Globals, builder: EngineBuilder) -> Self {
        Self {
            globals,
            builder: Cell::new(builder),
        }
    }

    /// Whether `--debug` was given.
    pub(crate) fn debug(&self) -> bool {
        self.globals.debug
    }

    /// The directory that lasts, when one was chosen; the engine knows the default.
    fn root(&self) -> Option<PathBuf> {
        let chosen = self.globals.root.clone();
        chosen
            .or_else(|| environment::var("MINI_DOCKER_ROOT").map(PathBuf::from))
            .or_else(|| {
                rootless()
                    .then(|| environment::path("XDG_DATA_HOME"))
                    .flatten()
                    .map(own)
            })
    }

    /// The directory for sockets and locks, when one was chosen.
    fn run_root(&self) -> Option<PathBuf> {
        let chosen = self.globals.run_root.clone();
        chosen
            .or_else(|| environment::var("MINI_DOCKER_RUN").map(PathBuf::from))
            .or_else(|| {
                rootless()
                    .then(|| environment::path("XDG_RUNTIME_DIR"))
                    .flatten()
                    .map(own)
            })
    }

    /// The platform of a flag, else of the environment.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn platform(&self, flag: Option<&str>) -> Result<Option<Platform>, Error> {
        flag.map(str::to_owned)
            .filter(|platform| !platform.is_empty())
            .or_else(|| environment::var("MINI_DOCKER_DEFAULT_PLATFORM"))
            .or_else(|| environment::var("DOCKER_DEFAULT_PLATFORM"))
            .map(|text| text.parse().map_err(Error::Platform))
            .transpose()
    }

    /// The way to registries. Nothing is read or reached before a pull.
    fn registry(&self) -> Registry {
        let files = credential_files(self.globals.config.as_deref());
        let mut builder = Registry::builder().credential_files(files);
        for host in &self.globals.insecure_registry {
            builder = builder.insecure(host);
        }
        for mirror in &self.globals.registry_mirror {
            builder = builder.mirror("docker.io", mirror);
        }
        let proxy = ["HTTPS_PROXY", "https_proxy"]
            .into_iter()
            .find_map(environment::var);
        if let Some(proxy) = proxy {
            builder = builder.proxy(proxy);
        }
        builder.build()
    }

    /// Opens the engine.
    ///
    /// # Errors
    /// As [`container_core::EngineBuilder::open`].
    pub(crate) fn engine(&self) -> Result<Engine, Error> {
        let mut builder = self.builder.take().registry(self.registry());
        if let Some(root) = self.root() {
            builder = builder.root(root);
        }
        if let Some(run) = self.run_root() {
            builder = builder.run_root(run);
        }
        Ok(builder.open()?)
    }
}

/// The files with credentials, the most important first: the one named by Podman's variable,
/// Docker's, Podman's.
fn credential_files(config: Option<&Path>) -> CredentialFiles {
    let home = environment::home();
    let below_home = |path: &str| home.as_ref().map(|home| home.join(path));
    let docker = match config {
        Some(directory) => Some(directory.to_owned()),
        None => environment::var("DOCKER_CONFIG")
            .map(PathBuf::from)
            .or(below_home(".docker")),
    };
    let podman = environment::path("XDG_CONFIG_HOME").or(below_home(".config"));
    let files = [
        environment::var("REGISTRY_AUTH_FILE").map(PathBuf::from),
        docker.map(|directory| directory.join("config.json")),
        environment::path("XDG_RUNTIME_DIR").map(|d| d.join("containers/auth.json")),
        podman.map(|directory| directory.join("containers/auth.json")),
    ];
    CredentialFiles {
        files: files.into_iter().flatten().collect(),
        helper_directories: environment::search_path(),
    }
}

/// The program's own directory below one of the user's.
fn own(parent: PathBuf) -> PathBuf {
    parent.join(crate::cli::NAME)
}

/// Only an ordinary user's directories follow the XDG variables.
fn rootless() -> bool {
    !rustix::process::geteuid().is_root()
}
