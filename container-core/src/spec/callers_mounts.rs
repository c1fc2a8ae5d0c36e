//! The mounts that the caller asks for.

use oci_spec::runtime::Mount;

use crate::error::{Error, Result};
use crate::plan;
use crate::request::{self, MountSource};

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

/// Parents before children, each place once.
pub(super) fn compile(mounts: &[request::Mount]) -> Result<Vec<Mount>> {
    let mut compiled: Vec<Mount> = Vec::new();
    for mount in mounts {
        let mount = one(mount)?;
        let same = |m: &Mount| m.destination() == mount.destination();
        if compiled.iter().any(same) {
            return Err(wrong(
                mount.destination().display(),
                "duplicate mount point",
            ));
        }
        compiled.push(mount);
    }
    compiled.sort_by_key(|m| m.destination().components().count());
    Ok(compiled)
}

fn wrong(value: impl ToString, reason: impl Into<String>) -> Error {
    Error::Setting {
        setting: "mount",
        value: value.to_string(),
        reason: reason.into(),
    }
}

fn one(mount: &request::Mount) -> Result<Mount> {
    let target = clean(&mount.target)?;
    let mut options: Vec<String> = Vec::new();
    let (typ, source) = match &mount.source {
        MountSource::Bind {
            path,
            non_recursive,
            ..
        } => {
            if !path.is_absolute() {
                return Err(wrong(
                    path.display(),
                    "the source of a bind mount must be absolute",
                ));
            }
            options.push(if *non_recursive { "bind" } else { "rbind" }.to_owned());
            if mount.read_only {
                // All mounts below, too: a writable one would be a hole (mount_setattr, 5.12).
                options.push(if *non_recursive { "ro" } else { "rro" }.to_owned());
            }
            let propagation = match mount.propagation.as_str() {
                "" => "rprivate",
                "private" | "rprivate" | "slave" | "rslave" | "shared" | "rshared" => {
                    &mount.propagation
                }
                other => return Err(wrong(other, "unknown mount propagation")),
            };
            options.push(propagation.to_owned());
            let source = path
                .to_str()
                .ok_or_else(|| wrong(path.display(), "is not UTF-8"))?;
            ("bind", source.to_owned())
        }
        MountSource::Tmpfs { options: given } => {
            options.extend(["nosuid", "nodev", "noexec"].map(str::to_owned));
            for option in given {
                options.push(tmpfs_option(option)?);
            }
            if mount.read_only {
                options.push("ro".to_owned());
            }
            ("tmpfs", "tmpfs".to_owned())
        }
    };
    let mut compiled = Mount::default();
    compiled
        .set_destination(target.into())
        .set_typ(Some(typ.to_owned()))
        .set_source(Some(source.into()))
        .set_options(Some(options));
    Ok(compiled)
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
        _ => Some("invalid tmpfs option (see tmpfs(5))"),
    };
    match reason {
        None => Ok(option.to_owned()),
        Some(reason) => Err(Error::Setting {
            setting: "tmpfs",
            value: option.to_owned(),
            reason: reason.into(),
        }),
    }
}

/// An absolute path without `.`, `..` and double slashes, which is not `/` nor `/proc`.
fn clean(target: &str) -> Result<String> {
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
