//! The sources of a container's mounts, looked up before anything is decided about them: volumes,
//! images, other containers, directories of the host.

use std::fs::{self, File};
use std::path::Path;

use container_image::store::Lease;
use oci_spec::image;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::monitor::job::Act;
use crate::name;
use crate::request::{Mount, MountPoint, MountSource, Request};
use crate::spec::{self, Inherited, MountFacts};
use crate::state::{self, Record};
use crate::volume::{Found, Volume};

/// The mounts of a new container.
pub(crate) fn points(
    engine: &Engine,
    request: &Request,
    config: Option<&image::Config>,
) -> Result<Vec<MountPoint>> {
    let mut inherited = Vec::new();
    for from in &request.volumes_from {
        let id = state::find(engine, &from.container)?;
        inherited.push(Inherited {
            points: state::inspect(engine, &id)?.record.mounts,
            read_only: from.read_only,
        });
    }
    let mut points = spec::mount_points(request, config, &inherited, name::new_id)?;
    for point in &mut points {
        if let MountSource::Image(source) = &point.mount.source
            && point.image.is_none()
        {
            point.image = Some(engine.store().find(&source.image)?.id);
        }
    }
    Ok(points)
}

/// What the mounts of a container need.
#[derive(Debug, Default)]
pub(crate) struct Mounted {
    pub(crate) facts: MountFacts,
    /// Volumes for the monitor to make.
    pub(crate) volumes: Vec<Volume>,
    /// What keeps volumes until the record is written.
    pub(crate) locks: Vec<File>,
    /// What keeps images as long as the container runs.
    pub(crate) leases: Vec<Lease>,
}

impl Mounted {
    /// Looks everything up, and makes what is to be made for it.
    pub(crate) fn look_up(engine: &Engine, act: Act, record: &Record) -> Result<Self> {
        let mut mounted = Self::default();
        let points = &record.mounts;
        if points.is_empty() {
            return Ok(mounted);
        }
        if points.iter().any(|point| point.volume().is_some()) {
            let found = match act {
                Act::Start => engine.volumes().for_known(&record.id, points)?,
                Act::Run { .. } | Act::Create => engine.volumes().for_new(points)?,
            };
            let Found {
                volumes,
                to_make,
                locks,
            } = found;
            mounted.facts.volumes = volumes;
            (mounted.volumes, mounted.locks) = (to_make, locks);
        }
        for point in points {
            match &point.mount.source {
                MountSource::Image(source) => {
                    let name = point.image.as_ref().map_or(&*source.image, AsRef::as_ref);
                    let image = engine.store().find(name)?;
                    // The lease first: what it covers cannot go away any more.
                    mounted.leases.push(engine.store().lease(&image)?);
                    let layers = engine.store().rootfs(&image)?;
                    mounted.facts.images.insert(source.image.clone(), layers);
                }
                MountSource::Bind(bind) if bind.create => make_source(&bind.path)?,
                _ => {}
            }
        }
        if points.iter().any(|point| point.mount.relabel) {
            mounted.facts.selinux = Path::new("/sys/fs/selinux/enforce").exists();
        }
        check_propagation(points)?;
        Ok(mounted)
    }
}

/// `docker run -v` makes a source directory that is missing.
fn make_source(path: &Path) -> Result<()> {
    if path.is_absolute() && !path.exists() {
        fs::create_dir_all(path).map_err(Error::io("make the directory", path))?;
    }
    Ok(())
}

/// A mount that is to pass on what is mounted below it must lie on one that does.
fn check_propagation(points: &[MountPoint]) -> Result<()> {
    let wants = |mount: &Mount| {
        let word = mount.propagation.trim_start_matches('r');
        matches!(word, "shared" | "slave").then_some(word == "shared")
    };
    let mut table = None;
    for mount in points.iter().map(|point| &point.mount) {
        let (Some(shared), MountSource::Bind(bind)) = (wants(mount), &mount.source) else {
            continue;
        };
        // A source that is missing is reported by whoever mounts it.
        let Ok(path) = bind.path.canonicalize() else {
            continue;
        };
        let table: &String = match &mut table {
            Some(table) => table,
            empty => {
                let file = "/proc/self/mountinfo";
                empty.insert(fs::read_to_string(file).map_err(Error::io("read", file))?)
            }
        };
        let (point, shares) = propagation_of(table, &path);
        let good = shares.contains(&"shared") || !shared && shares.contains(&"master");
        if !good {
            return Err(Error::Setting {
                setting: "mount",
                value: mount.propagation.clone(),
                reason: format!(
                    "Path {} is mounted on {point} but it is not a shared{} mount",
                    bind.path.display(),
                    if shared { "" } else { " or slave" }
                ),
            });
        }
    }
    Ok(())
}

/// The mount point that a path lies on and its kinds of propagation (proc_pid_mountinfo(5)).
fn propagation_of<'a>(table: &'a str, path: &Path) -> (&'a str, Vec<&'a str>) {
    let mut found = ("/", Vec::new());
    for line in table.lines() {
        let mut fields = line.split(' ');
        let Some(point) = fields.nth(4) else { continue };
        // Of two at one place the later lies on top.
        if path.starts_with(point) && point.len() >= found.0.len() {
            let kinds = fields.skip(1).take_while(|field| *field != "-");
            let kinds = kinds.filter_map(|field| field.split_once(':'));
            found = (point, kinds.map(|(kind, _)| kind).collect());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn propagation_of_the_nearest_mount() {
        let table = "20 1 0:1 / / rw - ext4 d rw\n\
            21 20 0:2 / /a rw,noatime shared:5 - tmpfs t rw\n\
            22 21 0:3 / /a/b rw master:5 propagate_from:2 - tmpfs t rw\n\
            23 20 0:4 / /c rw shared:9 master:1 - tmpfs t rw\n";
        for (path, point, kinds) in [
            ("/x", "/", &[][..]),
            ("/a", "/a", &["shared"]),
            ("/a/bc", "/a", &["shared"]),
            ("/a/b/d", "/a/b", &["master", "propagate_from"]),
            ("/c/d", "/c", &["shared", "master"]),
        ] {
            let want = (point, kinds.to_vec());
            assert_eq!(propagation_of(table, Path::new(path)), want, "{path}");
        }
    }
}
