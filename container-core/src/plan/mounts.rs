//! Mount options as text (fstab(5), runtime-spec config.md "Linux mount options") to attributes.

use oci_spec::runtime as oci;

use super::lower::id_maps;
use super::{CopyUp, IdMaps, Mount, MountIds, Overlay, Source};

// include/uapi/linux/mount.h, struct mount_attr since 5.12.
pub(super) const RDONLY: u64 = 0x1;
const NOSUID: u64 = 0x2;
const NODEV: u64 = 0x4;
const NOEXEC: u64 = 0x8;
const ATIME: u64 = 0x70;
const NOATIME: u64 = 0x10;
const STRICTATIME: u64 = 0x20;
const NODIRATIME: u64 = 0x80;
const NOSYMFOLLOW: u64 = 0x20_0000;

// include/uapi/linux/mount.h, mount(2).
pub(super) const MS_REC: u64 = 0x4000;
const MS_UNBINDABLE: u64 = 1 << 17;
const MS_PRIVATE: u64 = 1 << 18;
const MS_SLAVE: u64 = 1 << 19;
const MS_SHARED: u64 = 1 << 20;

/// A propagation word as mount(2) flags.
pub(super) fn propagation(word: &str) -> Option<u64> {
    Some(match word {
        "private" => MS_PRIVATE,
        "rprivate" => MS_PRIVATE | MS_REC,
        "slave" => MS_SLAVE,
        "rslave" => MS_SLAVE | MS_REC,
        "shared" => MS_SHARED,
        "rshared" => MS_SHARED | MS_REC,
        "unbindable" => MS_UNBINDABLE,
        "runbindable" => MS_UNBINDABLE | MS_REC,
        _ => return None,
    })
}

/// Whether the word is one of mount(8)'s for propagation.
pub(crate) fn is_propagation(word: &str) -> bool {
    propagation(word).is_some()
}

// Options of ours, in the form that mount(8) keeps for programs: `x-…` never reaches the kernel.
const SUBPATH: &str = "x-subpath";
const OWNER: &str = "x-owner";
const COPY_UP: &str = "x-copy-up";
const COPY_UP_DURABLE: &str = "x-copy-up-durable";
/// Shift the owners as the container's user namespace does (runtime-spec config.md).
pub(crate) const CONTAINERS_IDS: &str = "idmap";

/// Mounts a part of the source.
pub(crate) fn subpath_option(path: &str) -> String {
    format!("{SUBPATH}={path}")
}

/// Makes the container's user the one who owns files of these ids, and the other way round.
pub(crate) fn owner_option(uid: u32, gid: u32) -> String {
    format!("{OWNER}={uid}:{gid}")
}

/// Fills a new volume, whose directory this is.
pub(crate) fn copy_up_option(dir: &str, durable: bool) -> String {
    let key = if durable { COPY_UP_DURABLE } else { COPY_UP };
    format!("{key}={dir}")
}

/// (set, clear, recursive) of an option that is an attribute of the mount point.
fn attribute(word: &str) -> Option<(u64, u64, bool)> {
    let (word, recursive) = match word {
        "rro" => ("ro", true),
        "rrw" => ("rw", true),
        "rnosuid" => ("nosuid", true),
        "rnodev" => ("nodev", true),
        "rnoexec" => ("noexec", true),
        word => (word, false),
    };
    let (set, clear) = match word {
        "ro" => (RDONLY, 0),
        "rw" => (0, RDONLY),
        "nosuid" => (NOSUID, 0),
        "suid" => (0, NOSUID),
        "nodev" => (NODEV, 0),
        "dev" => (0, NODEV),
        "noexec" => (NOEXEC, 0),
        "exec" => (0, NOEXEC),
        "noatime" => (NOATIME, ATIME),
        "strictatime" => (STRICTATIME, ATIME),
        // Not one or not the other leaves the kernel's default, which is relatime.
        "relatime" | "atime" | "norelatime" | "nostrictatime" => (0, ATIME),
        "nodiratime" => (NODIRATIME, 0),
        "diratime" => (0, NODIRATIME),
        "nosymfollow" => (NOSYMFOLLOW, 0),
        "symfollow" => (0, NOSYMFOLLOW),
        _ => return None,
    };
    Some((set, clear, recursive))
}

/// Lowers one mount of the specification, as a caller's.
pub(super) fn lower(mount: &oci::Mount) -> Mount {
    // Without a slash at the end, `//` and `/./`.
    let target: std::path::PathBuf = mount.destination().components().collect();
    let target = target.to_string_lossy().into_owned();
    let fstype = mount.typ().clone().unwrap_or_default();
    let source = mount
        .source()
        .as_ref()
        .map(|s| s.to_string_lossy().into_owned());
    let (mut set, mut clear, mut recursive, mut prop, mut bind) = (0, 0, false, 0, None);
    let mut data = Vec::new();
    let (mut subpath, mut ids, mut copy_up) = (None, MountIds::Plain, None);
    for option in mount.options().iter().flatten() {
        if let Some((s, c, r)) = attribute(option) {
            (set, clear, recursive) = ((set & !c) | s, (clear & !s) | c, recursive | r);
        } else if let Some(p) = propagation(option) {
            prop = p;
        } else {
            match option.as_str() {
                "bind" => bind = Some(false),
                "rbind" => bind = Some(true),
                "defaults" | "async" | "nomand" => {}
                "idmap" | "ridmap" => {
                    ids = own_maps(mount).map_or(MountIds::Container, MountIds::Maps)
                }
                option => match option.split_once('=') {
                    Some((SUBPATH, path)) => subpath = Some(path.to_owned()),
                    Some((OWNER, owner)) => ids = swap(owner).unwrap_or(ids),
                    Some((key @ (COPY_UP | COPY_UP_DURABLE), dir)) => {
                        copy_up = Some(CopyUp {
                            dir: dir.to_owned(),
                            durable: key == COPY_UP_DURABLE,
                        });
                    }
                    Some((key, value)) => data.push((key.to_owned(), Some(value.to_owned()))),
                    None => data.push((option.to_owned(), None)),
                },
            }
        }
    }
    let source = match bind {
        Some(recursive) => Source::Bind {
            path: source.unwrap_or_default(),
            recursive,
        },
        None if fstype == "overlay" => Source::Overlay(overlay(data)),
        None => Source::New {
            source: source.unwrap_or_else(|| fstype.clone()),
            fstype,
            options: data,
        },
    };
    Mount {
        source,
        target,
        set,
        clear,
        recursive,
        propagation: prop,
        foreign: true,
        subpath,
        ids,
        copy_up,
    }
}

fn swap(owner: &str) -> Option<MountIds> {
    let (uid, gid) = owner.split_once(':')?;
    Some(MountIds::Swap {
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
    })
}

/// The maps that a mount brings itself.
fn own_maps(mount: &oci::Mount) -> Option<IdMaps> {
    Some(IdMaps {
        uids: id_maps(mount.uid_mappings().as_ref()?),
        gids: id_maps(mount.gid_mappings().as_ref()?),
    })
}

/// Reads overlayfs's options; `\:` in a lower directory stands for a colon.
pub(super) fn overlay(options: Vec<(String, Option<String>)>) -> Overlay {
    let mut overlay = Overlay {
        lower: Vec::new(),
        upper: None,
        options: Vec::new(),
    };
    let (mut upper, mut work) = (None, None);
    for (key, value) in options {
        match (key.as_str(), value) {
            ("lowerdir", Some(value)) => overlay.lower = split_lower(&value),
            ("upperdir", Some(value)) => upper = Some(value),
            ("workdir", Some(value)) => work = Some(value),
            (_, Some(value)) => overlay.options.push(format!("{key}={value}")),
            (_, None) => overlay.options.push(key),
        }
    }
    overlay.upper = upper.zip(work);
    overlay
}

/// The inverse of [`join_lower`].
fn split_lower(value: &str) -> Vec<String> {
    let (mut dirs, mut dir, mut escaped) = (Vec::new(), String::new(), false);
    for c in value.chars() {
        match c {
            _ if escaped => {
                dir.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            ':' => dirs.push(std::mem::take(&mut dir)),
            c => dir.push(c),
        }
    }
    dirs.push(dir);
    dirs
}

/// Lower directories as one `lowerdir=` value, as overlayfs reads it.
pub(crate) fn join_lower<'a>(dirs: impl IntoIterator<Item = &'a str>) -> String {
    let escaped: Vec<String> = dirs
        .into_iter()
        .map(|d| d.replace('\\', r"\\").replace(':', r"\:"))
        .collect();
    escaped.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(options: &[&str]) -> Mount {
        let mut mount = oci::Mount::default();
        mount
            .set_destination("/t".into())
            .set_typ(Some("tmpfs".into()))
            .set_options(Some(options.iter().map(|s| (*s).to_owned()).collect()));
        lower(&mount)
    }

    #[test]
    fn later_options_win() {
        let m = mount(&["ro", "noexec", "rw", "size=1k", "strictatime"]);
        assert_eq!((m.set, m.clear), (NOEXEC | STRICTATIME, RDONLY | ATIME));
        let Source::New { options, .. } = m.source else {
            panic!("{m:?}")
        };
        assert_eq!(options, [("size".to_owned(), Some("1k".to_owned()))]);
    }

    #[test]
    fn recursive_attributes_and_propagation() {
        let m = mount(&["rbind", "rro", "rslave"]);
        assert!(m.recursive);
        assert_eq!((m.set, m.propagation), (RDONLY, MS_SLAVE | MS_REC));
        assert!(matches!(
            m.source,
            Source::Bind {
                recursive: true,
                ..
            }
        ));
    }

    #[test]
    fn lower_directories_survive_the_round_trip() {
        let dirs = ["/a:b", r"/c\d", "/e"];
        assert_eq!(split_lower(&join_lower(dirs)), dirs);
    }
}
