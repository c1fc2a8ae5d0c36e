//! Volumes: data that outlives containers.
//!
//! ```text
//! <root>/volumes/
//!     <name>/
//!         volume.json     what it is; never changed. Locked (flock) shared while a container that
//!                         names it is being made, exclusively while it is removed
//!         _data/          what containers see
//!         copying         while the image's content is copied into it: see runtime::copy_up
//!     .new-…              being made; locked
//!     .old-…              being removed; locked
//! ```
//!
//! A volume is made aside and renamed into place, and renamed out of the way before it is removed,
//! so there is none that is half there. It is in use when the record of some container names it
//! (`containers/*/config.json`): nobody counts. Whoever makes such a record holds the volume's
//! lock from before it looks the volume up until the record is written; whoever removes a volume
//! reads the records while holding the lock alone.

mod disk;
mod error;
mod options;
mod used;

use std::collections::BTreeMap;
use std::fs::File;
use std::net::ToSocketAddrs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub(crate) use disk::{make, tidy};
pub use error::{NameProblem, OptionProblem, VolumeError};
pub(crate) use used::{RELEASED, remove_anonymous};

use crate::engine::Engine;
use crate::events::Journal;
use crate::name;
use crate::request::{MountPoint, MountSource, VolumeSource};
use crate::state;

type Result<T, E = VolumeError> = std::result::Result<T, E>;

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// `local`.
    pub driver: String,
    /// When it was made, in RFC 3339.
    pub created: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
    /// Nobody gave it a name.
    pub anonymous: bool,
    /// Where its content lies; nothing does where the options name a device.
    #[serde(skip)]
    pub mountpoint: PathBuf,
}

/// What a volume is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewVolume {
    /// Its name; one is made up when absent.
    pub name: Option<String>,
    /// `local`, which it is when absent.
    pub driver: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Options of the driver: `type`, `device` and `o`, as mount(8) has them.
    pub options: BTreeMap<String, String>,
}

/// What [`Volumes::prune`] has removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// Their names.
    pub removed: Vec<String>,
    /// How many bytes their files had.
    pub bytes: u64,
}

/// The volumes of an engine: see [`Engine::volumes`].
#[derive(Debug, Clone)]
pub struct Volumes {
    engine: Engine,
}

impl Volume {
    /// What is mounted, where that is not the directory: type, source and options.
    pub(crate) fn device(&self) -> Result<Option<(String, String, Vec<String>)>, OptionProblem> {
        let device = options::device(&self.options)?;
        Ok(device.map(|d| (d.kind, d.device, d.options)))
    }

    /// A memory that only those see who mount it together.
    fn is_memory(&self) -> bool {
        matches!(options::device(&self.options), Ok(Some(d)) if d.kind == "tmpfs" || d.kind == "ramfs")
    }

    /// With its server by number, as the kernel wants it.
    fn with_address(mut self) -> Result<Self> {
        let Ok(Some(device)) = options::device(&self.options) else {
            return Ok(self);
        };
        let Some(host) = options::host_to_find(&device) else {
            return Ok(self);
        };
        let problem = |reason: String| VolumeError::Options {
            name: self.name.clone(),
            problem: OptionProblem::Address {
                host: host.to_owned(),
                reason,
            },
        };
        let mut found = (host, 0)
            .to_socket_addrs()
            .map_err(|e| problem(e.to_string()))?;
        let found = found.next().ok_or_else(|| problem("it has none".into()))?;
        let named = format!("addr={host}");
        let flags = device.options.iter().map(|flag| match *flag == named {
            true => format!("addr={}", found.ip()),
            false => flag.clone(),
        });
        let flags = flags.collect::<Vec<_>>().join(",");
        self.options.insert("o".to_owned(), flags);
        Ok(self)
    }
}

impl NewVolume {
    fn check(self, anonymous: bool) -> Result<Volume> {
        let name = match self.name {
            Some(name) => name,
            None => name::new_id().map_err(|e| {
                VolumeError::io("choose a name in", "volumes")(std::io::Error::other(e.to_string()))
            })?,
        };
        options::check_name(&name).map_err(|problem| VolumeError::Name {
            name: name.clone(),
            problem,
        })?;
        let driver = self.driver.filter(|driver| !driver.is_empty());
        let driver = driver.unwrap_or_else(|| options::LOCAL.to_owned());
        if driver != options::LOCAL {
            return Err(VolumeError::Driver { name, driver });
        }
        options::device(&self.options).map_err(|problem| VolumeError::Options {
            name: name.clone(),
            problem,
        })?;
        Ok(Volume {
            name,
            driver,
            created: state::now(),
            labels: self.labels,
            options: self.options,
            anonymous,
            mountpoint: PathBuf::new(),
        })
    }
}

impl Engine {
    /// The volumes.
    pub fn volumes(&self) -> Volumes {
        Volumes {
            engine: self.clone(),
        }
    }
}

impl Volumes {
    fn dir(&self) -> PathBuf {
        self.engine.root().join(disk::VOLUMES)
    }

    /// Makes a volume. One of that name that is there already is returned as it is.
    ///
    /// # Errors
    /// The name, the driver or an option is none; it cannot be written.
    pub fn create(&self, new: NewVolume) -> Result<Volume> {
        let anonymous = new.name.is_none();
        Ok(self.hold(new, anonymous)?.0)
    }

    fn tell(&self, name: &str, action: &str) {
        Journal::new(self.engine.run_root()).volume(name, action);
    }

    /// A volume and its lock; it is made when missing.
    fn hold(&self, new: NewVolume, anonymous: bool) -> Result<(Volume, File)> {
        let volume = new.check(anonymous)?;
        let dir = self.dir();
        loop {
            if let Some(held) = disk::hold(&dir, &volume.name)? {
                return Ok(held);
            }
            if disk::make(self.engine.root(), &volume, true)? {
                self.tell(&volume.name, "create");
            }
        }
    }

    /// A volume by its name.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn get(&self, name: &str) -> Result<Volume> {
        let missing = || VolumeError::NotFound {
            name: name.to_owned(),
        };
        options::check_name(name).map_err(|_| missing())?;
        disk::read(&self.dir(), name)?.ok_or_else(missing)
    }

    /// All volumes, by name.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn list(&self) -> Result<Vec<Volume>> {
        disk::list(&self.dir())
    }

    /// The ids of the containers that have a volume.
    ///
    /// # Errors
    /// The containers cannot be listed.
    pub fn users(&self, name: &str) -> Result<Vec<String>> {
        let mut all = used::by_volume(&self.engine.root().join(used::CONTAINERS), None)?;
        Ok(all.remove(name).unwrap_or_default())
    }

    /// The ids of the containers that have a volume, for all volumes that some container has.
    ///
    /// # Errors
    /// The containers cannot be listed.
    pub fn all_users(&self) -> Result<BTreeMap<String, Vec<String>>> {
        used::by_volume(&self.engine.root().join(used::CONTAINERS), None)
    }

    /// How many bytes the files of a volume have.
    ///
    /// # Errors
    /// There is no such volume, or it cannot be read.
    pub fn size(&self, name: &str) -> Result<u64> {
        let volume = self.get(name)?;
        self.size_of(&volume)
    }

    fn size_of(&self, volume: &Volume) -> Result<u64> {
        let path = &volume.mountpoint;
        let size = self.engine.launcher().size_of_tree(path);
        size.map_err(|e| VolumeError::io("measure", path)(std::io::Error::other(e.to_string())))
    }

    /// Removes a volume with all that is in it.
    ///
    /// # Errors
    /// There is no such volume; a container has it, a stopped one included.
    pub fn remove(&self, name: &str) -> Result<()> {
        self.get(name)?;
        let dir = self.dir();
        let Some(alone) = disk::hold_alone(&dir, name)? else {
            let users = self.users(name)?;
            return Err(VolumeError::InUse {
                name: name.to_owned(),
                users,
            });
        };
        let users = self.users(name)?;
        if !users.is_empty() {
            return Err(VolumeError::InUse {
                name: name.to_owned(),
                users,
            });
        }
        self.take_away(name, alone)
    }

    fn take_away(&self, name: &str, alone: disk::Alone) -> Result<()> {
        let old = alone.rename()?;
        self.tell(name, "destroy");
        self.engine
            .launcher()
            .unpacker()
            .remove(&old.path)
            .map_err(|e| VolumeError::io("remove", &old.path)(std::io::Error::other(e.to_string())))
    }

    /// Removes the volumes that no container has and that `wanted` picks.
    ///
    /// # Errors
    /// What is there cannot be listed, or one cannot be removed.
    pub fn prune(&self, mut wanted: impl FnMut(&Volume) -> bool) -> Result<Pruned> {
        disk::tidy(&self.engine);
        let mut pruned = Pruned::default();
        let volumes = self.list()?;
        let wanted: Vec<_> = volumes.into_iter().filter(|v| wanted(v)).collect();
        // Each lock is a descriptor.
        for some in wanted.chunks(100) {
            let mut held = Vec::new();
            for volume in some {
                if let Some(alone) = disk::hold_alone(&self.dir(), &volume.name)? {
                    held.push((volume, alone));
                }
            }
            // Records are read after the locks are held.
            let used = self.all_users()?;
            for (volume, alone) in held {
                if !used.contains_key(&volume.name) {
                    let bytes = self.size_of(volume)?;
                    self.take_away(&volume.name, alone)?;
                    pruned.bytes += bytes;
                    pruned.removed.push(volume.name.clone());
                }
            }
        }
        Ok(pruned)
    }

    /// Looks the volumes of a container's mounts up. One that has a name and is missing is made,
    /// and locked until what is returned goes; one of the container's own is for its monitor to
    /// make.
    pub(crate) fn for_new(&self, points: &[MountPoint]) -> Result<Found> {
        let mut found = Found::default();
        for (source, anonymous) in sources(points) {
            let name = source.name.clone().unwrap_or_default();
            if found.volumes.contains_key(&name) {
                continue;
            }
            let new = NewVolume {
                name: source.name.clone(),
                driver: source.driver.clone(),
                labels: source.labels.clone(),
                options: source.options.clone(),
            };
            // One of another container's is there already, and may not be made anew.
            let volume = if anonymous && disk::read(&self.dir(), &name)?.is_none() {
                let volume = disk::place(&self.dir(), new.check(true)?);
                found.to_make.push(volume.clone());
                volume
            } else {
                let (volume, lock) = self.hold(new, false)?;
                found.locks.push(lock);
                volume
            };
            self.add(&mut found, volume, None)?;
        }
        Ok(found)
    }

    /// The same for a container that was made before.
    pub(crate) fn for_known(&self, id: &str, points: &[MountPoint]) -> Result<Found> {
        let mut found = Found::default();
        for (source, _) in sources(points) {
            let volume = self.get(source.name.as_deref().unwrap_or_default())?;
            self.add(&mut found, volume, Some(id))?;
        }
        Ok(found)
    }

    fn add(&self, found: &mut Found, volume: Volume, id: Option<&str>) -> Result<()> {
        if volume.is_memory() {
            let users = self.users(&volume.name)?;
            let running = |user: &&String| {
                Some(user.as_str()) != id && state::is_held(&self.engine.run_dir(user))
            };
            if let Some(user) = users.iter().find(running) {
                return Err(VolumeError::NotShared {
                    name: volume.name,
                    user: user.clone(),
                });
            }
        }
        let volume = volume.with_address()?;
        found.volumes.insert(volume.name.clone(), volume);
        Ok(())
    }
}

fn sources(points: &[MountPoint]) -> impl Iterator<Item = (&VolumeSource, bool)> {
    points.iter().filter_map(|point| match &point.mount.source {
        MountSource::Volume(source) => Some((source, point.anonymous)),
        _ => None,
    })
}

/// The volumes of a container to be.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) volumes: BTreeMap<String, Volume>,
    /// Those that the monitor has to make.
    pub(crate) to_make: Vec<Volume>,
    /// Of those that are there: they cannot be removed until the record is written.
    pub(crate) locks: Vec<File>,
}
