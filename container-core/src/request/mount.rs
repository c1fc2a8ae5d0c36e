//! What can be mounted in a container.

use std::collections::BTreeMap;
use std::path::PathBuf;

use container_image::Digest;
use serde::{Deserialize, Serialize};

/// One mount of the caller's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Where it comes from.
    pub source: MountSource,
    /// Absolute path in the container.
    pub target: String,
    /// Mount it read-only.
    #[serde(default)]
    pub read_only: bool,
    /// Propagation of a bind mount: `private` (`rprivate` when empty), `rslave`, …
    #[serde(default)]
    pub propagation: String,
    /// Label the source for SELinux, as `z` and `Z` ask. Refused where SELinux is on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub relabel: bool,
    /// How `docker run -v` has it, where it was said so: `data:/var/lib/data:ro`. For those who
    /// show it again; it means nothing here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<String>,
}

/// Where a [`Mount`] comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountSource {
    /// A file or directory of the host.
    Bind(Bind),
    /// A volume of the engine's.
    Volume(VolumeSource),
    /// The content of an image, read-only.
    Image(ImageSource),
    /// Memory.
    Tmpfs {
        /// Mount options as tmpfs spells them (`size=64m`, `mode=1777`, `noexec`).
        options: Vec<String>,
    },
}

/// A file or directory of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Bind {
    /// Absolute path on the host.
    pub path: PathBuf,
    /// Make a missing source directory, as `docker run -v` does (`--mount` does not).
    pub create: bool,
    /// What becomes of the mounts below the source.
    pub recursion: Recursion,
    /// To whom the files belong that the container writes.
    pub owner: Owner,
}

/// What becomes of the mounts below the source of a bind mount: Docker's `bind-recursive`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Recursion {
    /// They are mounted, too, and are read-only where the mount is.
    #[default]
    Enabled,
    /// They are left out.
    Disabled,
    /// They are mounted, and stay writable where the mount is read-only.
    Writable,
    /// They are mounted read-only, as the mount has to be.
    ReadOnly,
}

/// To whom the files of a bind mount belong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Owner {
    /// To whoever writes them.
    #[default]
    Writer,
    /// What the container's user writes belongs to the engine's user, and what is that user's
    /// is the container's user's inside. As root this is an id-mapped mount (Linux 5.12, and a
    /// file system that can do it); an ordinary user's containers can have it for their root only,
    /// who is that user outside.
    Caller,
    /// The same with others than the engine's user, who has to be root.
    Ids {
        /// User id on the host.
        uid: u32,
        /// Group id on the host.
        gid: u32,
    },
    /// To the container's ids: in a user namespace of its own, what is 0 on disk is its root's, as
    /// in volumes. Without one this is [`Owner::Writer`].
    Container,
}

/// A volume: data that outlives the container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeSource {
    /// Its name; it is made when missing. Without one the container gets a volume of its own.
    pub name: Option<String>,
    /// Do not copy what the image has at this place into a new volume.
    pub no_copy: bool,
    /// Mount this part of it, which must be there.
    pub subpath: Option<String>,
    /// The driver of a volume that is made: `local` is the only one.
    pub driver: Option<String>,
    /// Options of that driver: `type`, `device`, `o`.
    pub options: BTreeMap<String, String>,
    /// Labels of a volume that is made.
    pub labels: BTreeMap<String, String>,
}

/// An image whose content is mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageSource {
    /// A reference or an id; it must be in the store.
    pub image: String,
    /// Mount this part of it, which must be there.
    pub subpath: Option<String>,
}

/// Another container, whose volumes and bind mounts a container gets, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumesFrom {
    /// Its id, the beginning of it, or its name.
    pub container: String,
    /// Mount them read-only.
    pub read_only: bool,
}

impl Mount {
    fn of(source: MountSource, target: impl Into<String>) -> Self {
        Self {
            source,
            target: target.into(),
            read_only: false,
            propagation: String::new(),
            relabel: false,
            spec: None,
        }
    }

    /// A file or directory of the host, which must exist.
    pub fn bind(path: impl Into<PathBuf>, target: impl Into<String>) -> Self {
        let path = path.into();
        let bind = Bind {
            path,
            ..Bind::default()
        };
        Self::of(MountSource::Bind(bind), target)
    }

    /// A volume by its name, which is made when missing.
    pub fn volume(name: impl Into<String>, target: impl Into<String>) -> Self {
        let volume = VolumeSource {
            name: Some(name.into()),
            ..VolumeSource::default()
        };
        Self::of(MountSource::Volume(volume), target)
    }

    /// A volume of the container's own.
    pub fn anonymous_volume(target: impl Into<String>) -> Self {
        Self::of(MountSource::Volume(VolumeSource::default()), target)
    }

    /// The content of an image.
    pub fn image(image: impl Into<String>, target: impl Into<String>) -> Self {
        let image = ImageSource {
            image: image.into(),
            ..ImageSource::default()
        };
        Self::of(MountSource::Image(image), target)
    }

    /// Memory, with these options of tmpfs.
    pub fn tmpfs<S: Into<String>>(
        target: impl Into<String>,
        options: impl IntoIterator<Item = S>,
    ) -> Self {
        let options = options.into_iter().map(Into::into).collect();
        Self::of(MountSource::Tmpfs { options }, target)
    }

    /// Makes it read-only.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Makes what the container's user writes to a bind mount belong to this process's user:
    /// see [`Owner::Caller`]. Another kind of mount stays as it is.
    #[must_use]
    pub fn owned_by_caller(mut self) -> Self {
        if let MountSource::Bind(bind) = &mut self.source {
            bind.owner = Owner::Caller;
        }
        self
    }
}

/// A mount as one container has it: its volume has a name, whoever chose that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountPoint {
    /// What is mounted where.
    pub mount: Mount,
    /// The volume was made for a container and goes with the last that has it.
    #[serde(default)]
    pub anonymous: bool,
    /// The id of the image, where one is mounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Digest>,
}

impl MountPoint {
    /// The name of the volume, if it is one.
    pub fn volume(&self) -> Option<&str> {
        match &self.mount.source {
            MountSource::Volume(volume) => volume.name.as_deref(),
            _ => None,
        }
    }
}
