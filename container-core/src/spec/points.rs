//! Which mounts a container has: the caller's, those of other containers, the image's volumes.

use oci_spec::image;

use super::callers_mounts::{clean, wrong};
use crate::error::Result;
use crate::request::{Mount, MountPoint, MountSource, Request, VolumeSource};

/// Mounts taken over from another container.
#[derive(Debug, Clone)]
pub struct Inherited {
    /// What that container has.
    pub points: Vec<MountPoint>,
    /// Mount it read-only.
    pub read_only: bool,
}

/// Decides on the mounts of a container, in the order in which they were said. Of two at one
/// place the caller's own win over those of other containers, and a later container's over an
/// earlier one's; a volume of the image, or one that `-v /path` names, comes only where nothing
/// else is. `new_name` gives a volume that nobody named its name.
///
/// # Errors
/// Two of the caller's at one place; a place where nothing can be mounted.
pub fn mount_points(
    request: &Request,
    config: Option<&image::Config>,
    inherited: &[Inherited],
    mut new_name: impl FnMut() -> Result<String>,
) -> Result<Vec<MountPoint>> {
    let mut points: Vec<MountPoint> = Vec::new();
    for Inherited {
        points: theirs,
        read_only,
    } in inherited
    {
        for point in theirs {
            points.retain(|p| p.mount.target != point.mount.target);
            let mut point = point.clone();
            point.mount.read_only |= read_only;
            point.mount.spec = None;
            // What is there was there before.
            if let MountSource::Volume(volume) = &mut point.mount.source {
                volume.no_copy = true;
            }
            points.push(point);
        }
    }
    let inherited = points.len();
    let mut named = |mut mount: Mount| -> Result<MountPoint> {
        let mut anonymous = false;
        if let MountSource::Volume(volume) = &mut mount.source
            && volume.name.is_none()
        {
            volume.name = Some(new_name()?);
            anonymous = true;
        }
        Ok(MountPoint {
            mount,
            anonymous,
            image: None,
        })
    };
    let mut replaced = Vec::new();
    for mount in request.mounts.iter().filter(|m| !yields(m)) {
        let mount = Mount {
            target: clean(&mount.target)?,
            ..mount.clone()
        };
        let same = |p: &MountPoint| p.mount.target == mount.target;
        if points[inherited..].iter().any(same) {
            let reason = format!("Duplicate mount point: {}", mount.target);
            return Err(wrong(mount.target, reason));
        }
        replaced.push(mount.target.clone());
        points.push(named(mount)?);
    }
    let mut index = 0;
    points.retain(|point| {
        index += 1;
        index > inherited || !replaced.contains(&point.mount.target)
    });
    let yielding = request.mounts.iter().filter(|m| yields(m)).cloned();
    let images = config.and_then(|c| c.volumes().as_ref());
    let images = images.into_iter().flatten().map(of_image);
    for mount in yielding.chain(images) {
        let target = clean(&mount.target)?;
        if points.iter().all(|p| p.mount.target != target) {
            points.push(named(Mount { target, ..mount })?);
        }
    }
    Ok(points)
}

/// `-v /path`: a volume there, unless there is a mount anyway.
fn yields(mount: &Mount) -> bool {
    let without_name = matches!(&mount.source, MountSource::Volume(v) if v.name.is_none());
    without_name && mount.spec.is_some()
}

/// What `VOLUME` in a Dockerfile asks for.
fn of_image(target: &String) -> Mount {
    // A relative one is below the root, as in Docker.
    let absolute = if target.starts_with('/') { "" } else { "/" };
    Mount {
        source: MountSource::Volume(VolumeSource::default()),
        target: format!("{absolute}{target}"),
        read_only: false,
        propagation: String::new(),
        relabel: false,
        spec: None,
    }
}
