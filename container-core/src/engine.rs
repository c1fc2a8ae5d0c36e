//! [`Engine`]: the door to a store of images and containers.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use container_image::registry::{Progress, PullOptions, Pulled, Registry};
use container_image::store::{Image, StoreError};
use container_image::{Digest, Platform, Reference, Store};
use jiff::Timestamp;

use crate::container::{Container, ContainerBuilder};
use crate::error::{Error, Result};
use crate::events::{self, Events, Journal};
use crate::host;
use crate::monitor::client::{self, Idle};
use crate::monitor::spawn::Launcher;
use crate::restart;
use crate::rootless::Rootless;
use crate::run;
use crate::spec::Company;
use crate::state::{self, Inspect};

/// When a container's image is pulled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pull {
    /// Before every start.
    Always,
    /// When the store does not have it.
    #[default]
    Missing,
    /// Never: a missing image is an error.
    Never,
}

/// Where a container's root file system comes from.
#[derive(Debug, Clone)]
pub(crate) enum Base {
    /// The machine's own.
    Host,
    /// An image of the store.
    Image(Box<Image>),
}

/// What images and containers belong to: one directory on disk and one for what lives until the
/// next boot. Cheap to clone; any number of engines, in any number of processes, may share them.
#[derive(Debug, Clone)]
pub struct Engine(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    run: PathBuf,
    store: Store,
    rootless: Option<Rootless>,
    launcher: Launcher,
    /// The first container's.
    monitor: Mutex<Option<Idle>>,
    registry: Registry,
}

/// What an engine starts processes with, and the first that it has started.
#[derive(Debug)]
struct Ahead {
    rootless: Option<Rootless>,
    launcher: Launcher,
    monitor: Option<Idle>,
}

/// Settings of an [`Engine`].
#[derive(Debug, Default)]
#[must_use]
pub struct EngineBuilder {
    root: Option<PathBuf>,
    run: Option<PathBuf>,
    helper: Option<PathBuf>,
    registry: Option<Registry>,
    ahead: Option<Ahead>,
}

impl EngineBuilder {
    /// The directory that lasts: images, containers, volumes.
    pub fn root(mut self, dir: impl Into<PathBuf>) -> Self {
        self.root = Some(dir.into());
        self
    }

    /// The directory for sockets and locks, emptied at boot.
    pub fn run_root(mut self, dir: impl Into<PathBuf>) -> Self {
        self.run = Some(dir.into());
        self
    }

    /// The program to run as monitor where the current executable cannot be one (a plugin or an
    /// extension module in somebody else's program): any program that links this crate, as
    /// `mini-docker` does.
    pub fn helper(mut self, program: impl Into<PathBuf>) -> Self {
        self.helper = Some(program.into());
        self
    }

    /// The way to registries: credentials, mirrors, insecure registries.
    pub fn registry(mut self, registry: Registry) -> Self {
        self.registry = Some(registry);
        self
    }

    /// Starts the first container's monitor now, so that it comes up while the rest is still
    /// being worked out: for a program that is about to start a container and knows it before it
    /// knows which. Call it after [`helper`](Self::helper). One that is not needed ends with the
    /// engine or the builder; what fails here fails again where it can be told.
    pub fn start_ahead(mut self) -> Self {
        let ahead = self.prepare().and_then(|mut ahead| {
            ahead.monitor = Some(client::spawn(&ahead.launcher, Company::default())?);
            Ok(ahead)
        });
        self.ahead = ahead.ok();
        self
    }

    fn prepare(&self) -> Result<Ahead> {
        let rootless = Rootless::detect()?;
        Ok(Ahead {
            launcher: Launcher::new(self.helper.as_deref(), rootless.as_ref())?,
            rootless,
            monitor: None,
        })
    }

    /// Opens the engine; makes its directories when they are missing.
    ///
    /// # Errors
    /// A directory cannot be made or used; the user has no home directory to default to; there is
    /// no program that could be the monitor.
    pub fn open(mut self) -> Result<Engine> {
        let Ahead {
            rootless,
            launcher,
            monitor,
        } = match self.ahead.take() {
            Some(ahead) => ahead,
            None => self.prepare()?,
        };
        let default = || state::default_roots(rootless.is_some());
        let (root, run) = match (self.root, self.run) {
            (Some(root), Some(run)) => (root, run),
            (root, run) => {
                let (default_root, default_run) = default()?;
                (root.unwrap_or(default_root), run.unwrap_or(default_run))
            }
        };
        let root = state::make_root(&root)?;
        let run = state::make_root(&run)?;
        let store = Store::open(&root, launcher.unpacker())?;
        let registry = self.registry.unwrap_or_else(|| Registry::builder().build());
        let engine = Engine(Arc::new(Inner {
            root,
            run,
            store,
            rootless,
            launcher,
            monitor: Mutex::new(monitor),
            registry,
        }));
        state::tidy_if_due(&engine);
        Ok(engine)
    }
}

impl Engine {
    /// Opens the engine at its default place: `/var/lib/mini-docker` and `/run/mini-docker` for
    /// root, `~/.local/share/mini-docker` and `/run/user/<uid>/mini-docker` for others.
    ///
    /// # Errors
    /// As [`EngineBuilder::open`].
    pub fn open() -> Result<Self> {
        Self::builder().open()
    }

    /// An engine at another place.
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }

    /// Describes a container of an image: a reference, an id, or `host` for the machine's own
    /// root file system.
    pub fn container(&self, image: impl Into<String>) -> ContainerBuilder {
        ContainerBuilder::new(self.clone(), image.into())
    }

    /// The store of images.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The directory that lasts.
    pub fn root(&self) -> &Path {
        &self.0.root
    }

    /// The directory for sockets and locks.
    pub fn run_root(&self) -> &Path {
        &self.0.run
    }

    /// True when containers live in a user namespace because this process is not root.
    pub fn is_rootless(&self) -> bool {
        self.0.rootless.is_some()
    }

    /// A container by its id, its name, or the beginning of its id. The handle does not own it.
    ///
    /// # Errors
    /// There is none, or several ids begin so.
    pub fn get(&self, name: &str) -> Result<Container> {
        let id = state::find(self, name)?;
        Ok(Container::of(self, &state::inspect(self, &id)?))
    }

    /// The containers that have a label with this value, the newest first. The handles do not own
    /// them.
    ///
    /// # Errors
    /// A record cannot be read.
    pub fn find_by_label(&self, name: &str, value: &str) -> Result<Vec<Container>> {
        let has = |inspect: &Inspect| {
            let label = inspect.record.request.labels.get(name);
            label.is_some_and(|found| found == value)
        };
        let found = state::all(self)?.into_iter().filter(has);
        Ok(found.map(|inspect| Container::of(self, &inspect)).collect())
    }

    /// All containers, the newest first.
    ///
    /// # Errors
    /// A record cannot be read.
    pub fn containers(&self) -> Result<Vec<Inspect>> {
        state::all(self)
    }

    /// The containers that run, are paused or wait to be restarted; the newest first. Quicker
    /// than [`containers`](Self::containers) where many have ended.
    ///
    /// # Errors
    /// A record cannot be read.
    pub fn running(&self) -> Result<Vec<Inspect>> {
        state::running(self)
    }

    /// What happens to containers, images and volumes of this engine, whoever does it: from
    /// `since` on as far as it is remembered, from now on without; to `until`, without end
    /// without. What is remembered ends with the machine's run.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn events(&self, since: Option<Timestamp>, until: Option<Timestamp>) -> Result<Events> {
        events::follow(self.run_root(), since, until)
    }

    /// Starts the containers that their restart policy wants to run and that do not: what is to
    /// be done after a boot. Returns each one's id and how that went.
    ///
    /// # Errors
    /// The containers cannot be listed.
    pub async fn start_all(&self) -> Result<Vec<(String, Result<()>)>> {
        let mut started = Vec::new();
        for Inspect { record, state } in state::all(self)?.into_iter().rev() {
            let code = state.exit.as_ref().map_or(0, |exit| exit.code);
            let was_up = !state.started.is_empty() && !state.status.is_live();
            if was_up && restart::after_boot(record.request.restart, code, state.stopped) {
                let result = run::start_again(self, &record.id, None).await.map(drop);
                started.push((record.id, result));
            }
        }
        Ok(started)
    }

    /// The name of a container that uses the image, if there is one: what
    /// [`Store::remove`] asks for.
    pub fn image_user(&self, image: &Digest) -> Option<String> {
        state::image_user(self, image)
    }

    pub(crate) fn rootless(&self) -> Option<&Rootless> {
        self.0.rootless.as_ref()
    }

    pub(crate) fn launcher(&self) -> &Launcher {
        &self.0.launcher
    }

    /// A monitor for a container that joins the namespaces of others, or none's.
    pub(crate) fn monitor(&self, company: Company) -> Result<Idle> {
        let ahead = match (company.any(), self.0.monitor.lock()) {
            (None, Ok(mut monitor)) => monitor.take(),
            _ => None,
        };
        match ahead.filter(Idle::lives) {
            Some(monitor) => Ok(monitor),
            None => client::spawn(self.launcher(), company),
        }
    }

    pub(crate) fn container_dir(&self, id: &str) -> PathBuf {
        self.0.root.join("containers").join(id)
    }

    pub(crate) fn run_dir(&self, id: &str) -> PathBuf {
        self.0.run.join(id)
    }

    /// Finds the image of a container, pulling it when the policy says so.
    pub(crate) async fn image_for_run(
        &self,
        name: &str,
        platform: Option<Platform>,
        pull: Pull,
    ) -> Result<Base> {
        if name == host::NAME {
            return Ok(Base::Host);
        }
        if pull != Pull::Always {
            match self.store().find(name) {
                Ok(image) => match right_platform(name, image, platform.as_ref()) {
                    // Another image of that name may be for that platform.
                    Err(_) if pull == Pull::Missing => {}
                    image => return image,
                },
                Err(e) if !matches!(e, StoreError::NotFound { .. }) => return Err(e.into()),
                _ if pull == Pull::Never => {
                    let full = name
                        .parse::<Reference>()
                        .map(|reference| reference.familiar());
                    return Err(Error::NoSuchImage {
                        image: full.unwrap_or_else(|_| name.to_owned()),
                    });
                }
                _ => {}
            }
        }
        let reference = name.parse().map_err(|source| Error::Reference { source })?;
        let options = PullOptions {
            platform,
            ..PullOptions::default()
        };
        let wanted = options.platform.clone();
        let pulled = self.pull(&reference, &options, |_| {}).await?;
        right_platform(name, pulled.image, wanted.as_ref())
    }

    /// Pulls an image and tells `progress` how it goes. See [`Registry::pull`].
    ///
    /// # Errors
    /// [`Error::Pull`].
    pub async fn pull(
        &self,
        reference: &Reference,
        options: &PullOptions,
        progress: impl Fn(Progress) + Send + Sync + 'static,
    ) -> Result<Pulled> {
        let registry = &self.0.registry;
        let pulled = registry
            .pull(self.store(), reference, options, progress)
            .await?;
        let name = reference.familiar();
        Journal::new(self.run_root()).image(&name, &name, "pull");
        Ok(pulled)
    }
}

/// The image, if it is for the platform that was asked for. A registry may hold it under a name
/// without an index to choose by.
fn right_platform(name: &str, image: Image, wanted: Option<&Platform>) -> Result<Base> {
    match wanted {
        Some(wanted) if wanted.rank(&image.platform).is_none() => Err(Error::Platform {
            image: name.to_owned(),
            wanted: wanted.to_string(),
            found: image.platform.to_string(),
        }),
        _ => Ok(Base::Image(Box::new(image))),
    }
}
