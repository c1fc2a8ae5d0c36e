//! Mounts: those that a container has, and how they were asked for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use container_core::Record;
use container_core::request::{
    Bind, Mount, MountPoint, MountSource, Recursion, VolumeSource, VolumesFrom,
};
use serde::Serialize;

use crate::print::template::Omit;

/// Docker's `types.MountPoint`.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename = "types.MountPoint", rename_all = "PascalCase")]
pub(super) struct MountShown {
    r#type: &'static str,
    name: Omit<String>,
    source: String,
    destination: String,
    driver: Omit<String>,
    mode: String,
    #[serde(rename = "RW")]
    rw: bool,
    propagation: String,
}

impl MountShown {
    /// What a container has; `volumes` is where volumes lie. What `--tmpfs` mounts Docker shows
    /// in `HostConfig` alone.
    pub(super) fn all(record: &Record, volumes: &Path) -> Vec<Self> {
        let shown = record.mounts.iter().filter(|point| !is_flag(&point.mount));
        shown
            .map(|point| Self::of(point, record, volumes))
            .collect()
    }

    fn of(point: &MountPoint, record: &Record, volumes: &Path) -> Self {
        let mount = &point.mount;
        let common = Self {
            destination: mount.target.clone(),
            mode: mode(mount),
            rw: !mount.read_only,
            ..Self::default()
        };
        match &mount.source {
            MountSource::Bind(bind) => Self {
                r#type: "bind",
                source: bind.path.display().to_string(),
                propagation: match mount.propagation.as_str() {
                    "" => "rprivate".to_owned(),
                    propagation => propagation.to_owned(),
                },
                ..common
            },
            MountSource::Volume(volume) => {
                let name = volume.name.clone().unwrap_or_default();
                let same = |m: &Mount| m.target == mount.target && m.spec.is_none();
                // Docker labels what has a name, and what `--mount` asks for.
                let named = !point.anonymous && mount.spec.is_some() && common.mode.is_empty();
                let labelled = named || record.request.mounts.iter().any(same);
                Self {
                    r#type: "volume",
                    source: volumes.join(&name).join("_data").display().to_string(),
                    name: Omit(name),
                    driver: Omit("local".to_owned()),
                    mode: if labelled {
                        "z".to_owned()
                    } else {
                        common.mode
                    },
                    ..common
                }
            }
            MountSource::Image(image) => Self {
                r#type: "image",
                source: image.image.clone(),
                rw: false,
                ..common
            },
            MountSource::Tmpfs { .. } => Self {
                r#type: "tmpfs",
                ..common
            },
        }
    }
}

/// `--tmpfs`, where `--mount type=tmpfs` could have been.
fn is_flag(mount: &Mount) -> bool {
    matches!(mount.source, MountSource::Tmpfs { .. }) && mount.spec.is_some()
}

/// The third part of `-v`.
fn mode(mount: &Mount) -> String {
    let spec = mount.spec.as_deref().unwrap_or_default();
    spec.split(':').nth(2).unwrap_or_default().to_owned()
}

/// What the flags for mounts give in `HostConfig`.
#[derive(Debug, Default)]
pub(super) struct Flags {
    pub(super) binds: Vec<String>,
    pub(super) mounts: Vec<Asked>,
    pub(super) tmpfs: BTreeMap<String, String>,
    pub(super) volume_driver: String,
    /// `-v` of a place alone.
    pub(super) places: Vec<String>,
}

impl Flags {
    pub(super) fn of(mounts: &[Mount]) -> Self {
        let mut flags = Self::default();
        for mount in mounts {
            match (&mount.source, &mount.spec) {
                (MountSource::Tmpfs { options }, Some(_)) => {
                    flags.tmpfs.insert(mount.target.clone(), options.join(","));
                }
                (MountSource::Volume(volume), Some(spec)) => {
                    if let Some(driver) = &volume.driver {
                        flags.volume_driver.clone_from(driver);
                    }
                    match volume.name {
                        Some(_) => flags.binds.push(spec.clone()),
                        None => flags.places.push(mount.target.clone()),
                    }
                }
                (MountSource::Bind(bind), Some(_)) => flags.binds.push(text(bind, mount)),
                _ => flags.mounts.push(Asked::of(mount)),
            }
        }
        flags
    }
}

/// `-v`'s text, the source absolute.
fn text(bind: &Bind, mount: &Mount) -> String {
    let (path, target, mode) = (bind.path.display(), &mount.target, mode(mount));
    match mode.is_empty() {
        true => format!("{path}:{target}"),
        false => format!("{path}:{target}:{mode}"),
    }
}

/// `--volumes-from`'s text.
pub(super) fn volumes_from(from: &VolumesFrom) -> String {
    let access = if from.read_only { ":ro" } else { "" };
    format!("{}{access}", from.container)
}

/// A `--mount`.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename = "mount.Mount", rename_all = "PascalCase")]
pub(super) struct Asked {
    r#type: &'static str,
    source: Omit<PathBuf>,
    target: String,
    read_only: Omit<bool>,
    bind_options: Omit<Option<BindOptions>>,
    volume_options: Omit<Option<VolumeOptions>>,
    image_options: Omit<Option<ImageOptions>>,
    tmpfs_options: Omit<Option<TmpfsOptions>>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename = "mount.BindOptions", rename_all = "PascalCase")]
struct BindOptions {
    propagation: Omit<String>,
    non_recursive: Omit<bool>,
    create_mountpoint: Omit<bool>,
    read_only_non_recursive: Omit<bool>,
    read_only_force_recursive: Omit<bool>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename = "mount.VolumeOptions", rename_all = "PascalCase")]
struct VolumeOptions {
    no_copy: Omit<bool>,
    labels: Omit<BTreeMap<String, String>>,
    subpath: Omit<String>,
    driver_config: Driver,
}

#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename = "mount.Driver", rename_all = "PascalCase")]
struct Driver {
    name: Omit<String>,
    options: Omit<BTreeMap<String, String>>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename = "mount.ImageOptions", rename_all = "PascalCase")]
struct ImageOptions {
    subpath: Omit<String>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename = "mount.TmpfsOptions", rename_all = "PascalCase")]
struct TmpfsOptions {
    size_bytes: Omit<Option<u64>>,
    mode: Omit<Option<u32>>,
}

/// Something, unless it says nothing.
fn unless_empty<T: Default + PartialEq>(options: T) -> Omit<Option<T>> {
    Omit((options != T::default()).then_some(options))
}

impl Asked {
    fn of(mount: &Mount) -> Self {
        let common = Self {
            target: mount.target.clone(),
            read_only: Omit(mount.read_only),
            ..Self::default()
        };
        match &mount.source {
            MountSource::Bind(bind) => Self {
                r#type: "bind",
                source: Omit(bind.path.clone()),
                bind_options: unless_empty(BindOptions {
                    propagation: Omit(mount.propagation.clone()),
                    non_recursive: Omit(bind.recursion == Recursion::Disabled),
                    create_mountpoint: Omit(bind.create),
                    read_only_non_recursive: Omit(bind.recursion == Recursion::Writable),
                    read_only_force_recursive: Omit(bind.recursion == Recursion::ReadOnly),
                }),
                ..common
            },
            MountSource::Volume(volume) => Self {
                r#type: "volume",
                source: Omit(volume.name.clone().unwrap_or_default().into()),
                volume_options: unless_empty(VolumeOptions::of(volume)),
                ..common
            },
            MountSource::Image(image) => Self {
                r#type: "image",
                source: Omit(image.image.clone().into()),
                image_options: unless_empty(ImageOptions {
                    subpath: Omit(image.subpath.clone().unwrap_or_default()),
                }),
                ..common
            },
            MountSource::Tmpfs { options } => Self {
                r#type: "tmpfs",
                tmpfs_options: unless_empty(TmpfsOptions::of(options)),
                ..common
            },
        }
    }
}

impl VolumeOptions {
    fn of(volume: &VolumeSource) -> Self {
        Self {
            no_copy: Omit(volume.no_copy),
            labels: Omit(volume.labels.clone()),
            subpath: Omit(volume.subpath.clone().unwrap_or_default()),
            driver_config: Driver {
                name: Omit(volume.driver.clone().unwrap_or_default()),
                options: Omit(volume.options.clone()),
            },
        }
    }
}

impl TmpfsOptions {
    fn of(options: &[String]) -> Self {
        let value = |name: &str| {
            let mut found = options.iter().filter_map(|o| o.strip_prefix(name));
            found.next_back()
        };
        Self {
            size_bytes: Omit(value("size=").and_then(|size| size.parse().ok())),
            mode: Omit(value("mode=").and_then(|mode| u32::from_str_radix(mode, 8).ok())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::{mount, mount_spec};
    use crate::print::template::value;
    use container_core::Request;
    use serde_json::{Value, json};

    fn json_of(shown: &impl Serialize) -> Value {
        serde_json::from_str(&value(shown).unwrap().json().unwrap()).unwrap()
    }

    #[test]
    fn what_flags_say() {
        let mounts = [
            mount::volume("v1:/a:ro").unwrap(),
            mount::volume("/tmp:/b:z").unwrap(),
            mount::volume("/anon").unwrap(),
            mount::tmpfs("/g:size=1m,exec").unwrap(),
        ];
        let flags = Flags::of(&mounts);
        assert_eq!(flags.binds, ["v1:/a:ro", "/tmp:/b:z"]);
        assert_eq!(flags.places, ["/anon"]);
        assert_eq!(flags.tmpfs["/g"], "size=1m,exec");
        assert!(flags.mounts.is_empty());
    }

    #[test]
    fn what_mount_says() {
        for (text, want) in [
            (
                "src=v,dst=/c,volume-nocopy,volume-label=a=b,readonly",
                json!({"Type": "volume", "Source": "v", "Target": "/c", "ReadOnly": true,
                       "VolumeOptions": {"NoCopy": true, "Labels": {"a": "b"}, "DriverConfig": {}}}),
            ),
            (
                "type=bind,src=/tmp,dst=/d,ro",
                json!({"Type": "bind", "Source": "/tmp", "Target": "/d", "ReadOnly": true}),
            ),
            (
                "type=bind,src=/tmp,dst=/d,bind-recursive=disabled",
                json!({"Type": "bind", "Source": "/tmp", "Target": "/d",
                       "BindOptions": {"NonRecursive": true}}),
            ),
            (
                "type=tmpfs,dst=/e,tmpfs-size=1m,tmpfs-mode=700",
                json!({"Type": "tmpfs", "Target": "/e",
                       "TmpfsOptions": {"SizeBytes": 1_048_576, "Mode": 448}}),
            ),
            ("dst=/f", json!({"Type": "volume", "Target": "/f"})),
            (
                "src=v,dst=/h,volume-opt=type=tmpfs,volume-driver=local",
                json!({"Type": "volume", "Source": "v", "Target": "/h", "VolumeOptions":
                       {"DriverConfig": {"Name": "local", "Options": {"type": "tmpfs"}}}}),
            ),
            (
                "type=image,src=i,dst=/i,image-subpath=etc",
                json!({"Type": "image", "Source": "i", "Target": "/i",
                       "ImageOptions": {"Subpath": "etc"}}),
            ),
        ] {
            let flags = Flags::of(&[mount_spec::parse(text).unwrap()]);
            assert_eq!(json_of(&flags.mounts[0]), want, "{text}");
        }
    }

    #[test]
    fn what_there_is() {
        let asked = vec![
            mount::volume("v1:/a:ro").unwrap(),
            mount::volume("/tmp:/b:z,rslave").unwrap(),
            mount::tmpfs("/g").unwrap(),
            mount_spec::parse("src=v2,dst=/c").unwrap(),
            mount_spec::parse("type=tmpfs,dst=/e").unwrap(),
        ];
        let point = |mount: &Mount| MountPoint {
            mount: mount.clone(),
            anonymous: false,
            image: None,
        };
        let mut mounts: Vec<_> = asked.iter().map(point).collect();
        mounts.push(point(&Mount::volume("inherited", "/h").read_only()));
        let record = Record {
            id: String::new(),
            name: String::new(),
            created: String::new(),
            image: None,
            cgroup: PathBuf::new(),
            args: Vec::new(),
            request: Request {
                mounts: asked,
                ..Request::default()
            },
            mounts,
            id_maps: None,
        };
        let volume = |name: &str, target: &str, mode: &str, rw: bool| {
            json!({"Type": "volume", "Name": name, "Source": format!("/v/{name}/_data"),
                   "Destination": target, "Driver": "local", "Mode": mode, "RW": rw,
                   "Propagation": ""})
        };
        let shown = MountShown::all(&record, Path::new("/v"));
        assert_eq!(
            json_of(&shown),
            json!([
                volume("v1", "/a", "ro", false),
                {"Type": "bind", "Source": "/tmp", "Destination": "/b", "Mode": "z,rslave",
                 "RW": true, "Propagation": "rslave"},
                volume("v2", "/c", "z", true),
                {"Type": "tmpfs", "Source": "", "Destination": "/e", "Mode": "", "RW": true,
                 "Propagation": ""},
                volume("inherited", "/h", "", false),
            ])
        );
    }
}
