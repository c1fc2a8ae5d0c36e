//! Who has which volume, as the containers' records tell.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::Deserialize;

use super::{Result, VolumeError, disk};
use crate::events::Journal;
use crate::request::MountPoint;
use crate::state::RECORD;

pub(super) const CONTAINERS: &str = "containers";
/// A record that no longer counts: its container is being removed with its volumes.
pub(crate) const RELEASED: &str = "released.json";

/// What matters here of a record.
#[derive(Deserialize)]
struct Uses {
    #[serde(default)]
    mounts: Vec<MountPoint>,
}

/// The containers of each volume that has some, but for one.
pub(super) fn by_volume(
    containers: &Path,
    but: Option<&str>,
) -> Result<BTreeMap<String, Vec<String>>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let entries = match fs::read_dir(containers) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(e) => return Err(VolumeError::io("list", containers)(e)),
    };
    for entry in entries {
        let entry = entry.map_err(VolumeError::io("list", containers))?;
        let Some(id) = entry.file_name().to_str().map(str::to_owned) else {
            continue;
        };
        if but == Some(&*id) {
            continue;
        }
        let path = entry.path().join(RECORD);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            // Being made (then its volumes are locked), or being removed.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(VolumeError::io("read", path)(e)),
        };
        // Half written is being made as well.
        let Ok(uses) = serde_json::from_slice::<Uses>(&bytes) else {
            continue;
        };
        for name in uses.mounts.iter().filter_map(MountPoint::volume) {
            let users = found.entry(name.to_owned()).or_default();
            if !users.contains(&id) {
                users.push(id.clone());
            }
        }
    }
    Ok(found)
}

/// Removes the volumes of a container's own that no other container has. Called where the
/// container's record is about to go; whoever holds the container's lock calls it.
///
/// `remove` removes a tree with the rights that its files want.
pub(crate) fn remove_anonymous(
    root: &Path,
    dir: &Path,
    journal: &mut Journal,
    remove: impl Fn(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let (record, released) = (dir.join(RECORD), dir.join(RELEASED));
    // From here on the record no longer counts as a user: of two containers that share a volume
    // and go at once, the later one removes it.
    match fs::rename(&record, &released) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        renamed => renamed?,
    }
    let bytes = match fs::read(&released) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    let uses: Uses = serde_json::from_slice(&bytes)?;
    let volumes = root.join(disk::VOLUMES);
    let own = uses.mounts.iter().filter(|point| point.anonymous);
    for name in own.filter_map(MountPoint::volume) {
        // While somebody is making a container with it, it stays: it is theirs then.
        let Some(alone) = disk::hold_alone(&volumes, name).map_err(io::Error::other)? else {
            continue;
        };
        let used = by_volume(&root.join(CONTAINERS), None).map_err(io::Error::other)?;
        if !used.contains_key(name) {
            let old = alone.rename().map_err(io::Error::other)?;
            journal.volume(name, "destroy");
            remove(&old.path)?;
        }
    }
    Ok(())
}
