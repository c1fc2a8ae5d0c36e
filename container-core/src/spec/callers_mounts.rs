//! The mounts that a container has besides those that every one has.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Mount;

use super::Input;
use crate::error::{Error, Result};
use crate::plan;
use crate::request::{self, Bind, MountPoint, MountSource, Owner, Recursion};
use crate::volume::Volume;

/// What has to be known of the sources of mounts.
#[derive(Debug, Clone, Default)]
pub struct MountFacts {
    /// The volumes, by name.
    pub volumes: BTreeMap<String, Volume>,
    /// The unpacked layers of the images, uppermost first, by what the caller calls them.
    pub images: BTreeMap<String, Vec<PathBuf>>,
    /// The machine labels files for SELinux.
    pub selinux: bool,
}

/// Files below `/proc` that the caller may cover (lxcfs does).
const PROC_FILES: [&str; 8] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
];

/// Parents before children.
pub(super) fn compile(input: &Input<'_>) -> Result<Vec<Mount>> {
    let compiled = input.mounts.iter().map(|point| one(point, input));
    let mut compiled = compiled.collect::<Result<Vec<_>>>()?;
    compiled.sort_by_key(|m| m.destination().components().count());
    Ok(compiled)
}

pub(super) fn wrong(value: impl ToString, reason: impl Into<String>) -> Error {
    Error::Setting {
        setting: "mount",
        value: value.to_string(),
        reason: reason.into(),
    }
}

/// Type, source and options of a mount of the specification.
type Lowered = (String, String, Vec<String>);

fn one(point: &MountPoint, input: &Input<'_>) -> Result<Mount> {
    let mount = &point.mount;
    let target = clean(&mount.target)?;
    if !mount.propagation.is_empty() && !matches!(mount.source, MountSource::Bind(_)) {
        return Err(wrong(
            &mount.propagation,
            "only a bind mount has propagation",
        ));
    }
    if mount.relabel && input.sources.selinux {
        let reason = "labels for SELinux, which is on here, cannot be set yet: label the source \
                      with chcon(1), and leave z and Z out";
        return Err(wrong(&mount.target, reason));
    }
    let (typ, source, options) = match &mount.source {
        MountSource::Bind(source) => bind(source, mount, input)?,
        MountSource::Volume(source) => volume(source, point, input)?,
        MountSource::Image(source) => image(source, input)?,
        MountSource::Tmpfs { options } => tmpfs(options, mount.read_only)?,
    };
    let mut compiled = Mount::default();
    compiled
        .set_destination(target.into())
        .set_typ(Some(typ))
        .set_source(Some(source.into()))
        .set_options(Some(options));
    Ok(compiled)
}

fn text(path: &Path) -> Result<String> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| wrong(path.display(), "is not UTF-8"))
}

fn bind(bind: &Bind, mount: &request::Mount, input: &Input<'_>) -> Result<Lowered> {
    let path = &bind.path;
    if !path.is_absolute() {
        return Err(wrong(
            path.display(),
            "the source of a bind mount must be absolute",
        ));
    }
    if bind.recursion == Recursion::ReadOnly && !mount.read_only {
        return Err(wrong(
            &mount.target,
            "what is mounted below can be made read-only only with the mount itself",
        ));
    }
    // Read-only is all that is mounted below, too: a writable one would be a hole
    // (mount_setattr, 5.12).
    let (how, read_only) = match bind.recursion {
        Recursion::Enabled | Recursion::ReadOnly => ("rbind", "rro"),
        Recursion::Disabled => ("bind", "ro"),
        Recursion::Writable => ("rbind", "ro"),
    };
    let mut options = vec![how.to_owned()];
    if mount.read_only {
        options.push(read_only.to_owned());
    }
    let propagation = match mount.propagation.as_str() {
        "" => "rprivate",
        "shared" | "rshared" if input.is_nested() => {
            let whose = match input.host.rootless {
                true => "an ordinary user's mounts",
                false => "mounts made in a user namespace of the container's own",
            };
            let reason = format!("{whose} never reach the host; slave and private can be had");
            return Err(wrong(&mount.propagation, reason));
        }
        "private" | "rprivate" | "slave" | "rslave" | "shared" | "rshared" => &mount.propagation,
        other => return Err(wrong(other, "unknown mount propagation")),
    };
    options.push(propagation.to_owned());
    match bind.owner {
        Owner::Writer => {}
        Owner::Container => options.push(plan::CONTAINERS_IDS.to_owned()),
        // Root's engine is root; an ordinary user is root in the namespace of its containers.
        Owner::Caller => options.push(plan::owner_option(0, 0)),
        Owner::Ids { uid, gid } if !input.host.rootless => {
            options.push(plan::owner_option(uid, gid));
        }
        Owner::Ids { uid, gid } => {
            return Err(Error::Setting {
                setting: "owner",
                value: format!("{uid}:{gid}"),
                reason: "an ordinary user can give files to nobody else; only the engine's user \
                         can be their owner"
                    .into(),
            });
        }
    }
    Ok(("bind".into(), text(path)?, options))
}

fn volume(
    source: &request::VolumeSource,
    point: &MountPoint,
    input: &Input<'_>,
) -> Result<Lowered> {
    let name = source.name.as_deref().unwrap_or_default();
    let gone = || wrong(name, "there is no such volume");
    let volume = input.sources.volumes.get(name).ok_or_else(gone)?;
    let (typ, device, mut options) =
        match volume.device().map_err(|e| wrong(name, e.to_string()))? {
            None => {
                let options = vec!["rbind".to_owned(), "rprivate".to_owned()];
                ("bind".to_owned(), text(&volume.mountpoint)?, options)
            }
            Some(device) => device,
        };
    if point.mount.read_only {
        let bound = typ == "bind";
        options.push(if bound { "rro" } else { "ro" }.to_owned());
    }
    options.extend(source.subpath.as_deref().map(plan::subpath_option));
    if !source.no_copy {
        // What goes with the container need not be safe from a loss of power.
        let durable = !(point.anonymous && input.request.auto_remove);
        let dir = volume.mountpoint.parent().unwrap_or(&volume.mountpoint);
        options.push(plan::copy_up_option(&text(dir)?, durable));
    }
    options.push(plan::CONTAINERS_IDS.to_owned());
    Ok((typ, device, options))
}

fn image(source: &request::ImageSource, input: &Input<'_>) -> Result<Lowered> {
    let gone = || wrong(&source.image, "there is no such image");
    let layers = input.sources.images.get(&source.image).ok_or_else(gone)?;
    let (typ, device, mut options) = match &layers[..] {
        [] => return Err(wrong(&source.image, "the image is empty")),
        // overlayfs takes two at least where nothing is written.
        [only] => (
            "bind",
            text(only)?,
            vec!["bind".to_owned(), "ro".to_owned()],
        ),
        layers => {
            let layers = layers.iter().map(|l| text(l)).collect::<Result<Vec<_>>>()?;
            let layers = plan::join_lower(layers.iter().map(|l| &**l));
            let mut options = vec![format!("lowerdir={layers}")];
            options.extend(input.host.rootless.then(|| "userxattr".to_owned()));
            ("overlay", "overlay".to_owned(), options)
        }
    };
    options.extend(source.subpath.as_deref().map(plan::subpath_option));
    options.push(plan::CONTAINERS_IDS.to_owned());
    Ok((typ.to_owned(), device, options))
}

fn tmpfs(given: &[String], read_only: bool) -> Result<Lowered> {
    let mut options: Vec<_> = ["nosuid", "nodev", "noexec"].map(str::to_owned).into();
    for option in given {
        options.push(tmpfs_option(option)?);
    }
    options.extend(read_only.then(|| "ro".to_owned()));
    Ok(("tmpfs".into(), "tmpfs".into(), options))
}

/// Docker's list, so that no option turns the mount into another kind.
fn tmpfs_option(option: &str) -> Result<String> {
    const FLAGS: [&str; 21] = [
        "defaults",
        "ro",
        "rw",
        "suid",
        "nosuid",
        "dev",
        "nodev",
        "exec",
        "noexec",
        "sync",
        "async",
        "dirsync",
        "nomand",
        "atime",
        "noatime",
        "diratime",
        "nodiratime",
        "relatime",
        "norelatime",
        "strictatime",
        "nostrictatime",
    ];
    const VALUES: [&str; 7] = [
        "size",
        "mode",
        "uid",
        "gid",
        "nr_inodes",
        "nr_blocks",
        "mpol",
    ];
    let reason = match option.split_once('=') {
        Some((key, value)) if !value.is_empty() && VALUES.contains(&key) => None,
        None if FLAGS.contains(&option) || plan::is_propagation(option) => None,
        None if option == "remount" => Some("a mount that is made cannot be a remount"),
        None if option == "mand" => Some("the kernel has no mandatory locks since 5.15"),
        _ => Some(""),
    };
    match reason {
        None => Ok(option.to_owned()),
        Some(reason) => Err(Error::Setting {
            setting: "tmpfs",
            value: option.to_owned(),
            reason: match reason {
                "" => format!("Invalid tmpfs option [{option:?}]"),
                reason => reason.into(),
            },
        }),
    }
}

/// An absolute path without `.`, `..` and double slashes, which is not `/` nor `/proc`.
pub(super) fn clean(target: &str) -> Result<String> {
    if !target.starts_with('/') || target.contains('\0') {
        return Err(wrong(target, "mount path must be absolute"));
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    let target = format!("/{}", parts.join("/"));
    if target == "/" {
        return Err(wrong(target, "destination can't be '/'"));
    }
    if (target == "/proc" || target.starts_with("/proc/")) && !PROC_FILES.contains(&&*target) {
        return Err(wrong(target, "nothing may be mounted inside /proc"));
    }
    Ok(target)
}
