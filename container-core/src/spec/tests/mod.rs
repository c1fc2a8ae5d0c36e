//! Tables: what is asked for, on which machine, and what the specification must say.

mod callers_mounts;
mod confinement;
mod mounts;
mod namespaces;
mod points;
mod process;
mod resources;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use oci_spec::image;
use oci_spec::runtime as oci;

use super::{
    Company, Compiled, EtcFiles, HostDevice, HostFacts, Input, MountFacts, Rootfs, compile,
    mount_points,
};
use crate::error::{Error, Result};
use crate::request::{Request, UserNamespace};
use crate::seccomp::Arch;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A machine and an image to compile requests on.
struct Case {
    config: Option<image::Config>,
    host: HostFacts,
    rootfs: Rootfs,
    company: Company,
    devices: Vec<HostDevice>,
    block_devices: HashMap<PathBuf, (u32, u32)>,
    sources: MountFacts,
}

impl Default for Case {
    fn default() -> Self {
        let host = HostFacts {
            rootless: false,
            many_ids: true,
            capabilities: u64::MAX,
            arch: Arch::X86_64,
            kernel: (6, 1),
            cgroup_v2: true,
            hostname: "machine".into(),
            cpus: "0-3".into(),
            mqueue: true,
            oom_score_adj: 0,
            thermal_throttle: Vec::new(),
        };
        let rootfs = Rootfs::Layers {
            target: "/c/rootfs".into(),
            lower: vec!["/l/2".into(), "/l/1".into()],
            upper: "/c/upper".into(),
            work: "/c/work".into(),
        };
        Self {
            config: None,
            host,
            rootfs,
            company: Company::default(),
            devices: Vec::new(),
            block_devices: HashMap::new(),
            sources: MountFacts::default(),
        }
    }
}

impl Case {
    fn rootless() -> Self {
        let mut case = Self::default();
        case.host.rootless = true;
        case
    }

    fn config(change: impl FnOnce(&mut image::Config)) -> Self {
        let mut config = image::Config::default();
        change(&mut config);
        Self {
            config: Some(config),
            ..Self::default()
        }
    }

    fn compile(&self, request: &Request) -> Result<Compiled> {
        let etc = EtcFiles {
            hosts: "/c/hosts".into(),
            hostname: "/c/hostname".into(),
            resolv_conf: "/c/resolv.conf".into(),
        };
        let config = self.config.as_ref();
        let mounts = mount_points(request, config, &[], || Ok("made-up".into()))?;
        let id_maps = match &request.userns {
            UserNamespace::Mapped { uids, gids } => Some(crate::plan::IdMaps {
                uids: uids.clone(),
                gids: gids.clone(),
            }),
            _ => None,
        };
        compile(&Input {
            id: ID,
            request,
            config,
            mounts: &mounts,
            sources: &self.sources,
            rootfs: &self.rootfs,
            etc: &etc,
            host: &self.host,
            id_maps: id_maps.as_ref(),
            company: self.company,
            devices: &self.devices,
            block_devices: &self.block_devices,
        })
    }

    fn spec(&self, request: &Request) -> oci::Spec {
        self.compile(request)
            .unwrap_or_else(|e| panic!("{e}: {request:?}"))
            .spec
    }

    fn linux(&self, request: &Request) -> oci::Linux {
        self.spec(request).linux().clone().unwrap()
    }

    fn process(&self, request: &Request) -> oci::Process {
        self.spec(request).process().clone().unwrap()
    }

    /// The mount on a path, as type, source and options.
    fn mount(&self, request: &Request, target: &str) -> Option<(String, String, Vec<String>)> {
        let mounts = self.spec(request).mounts().clone().unwrap();
        let mut found = mounts
            .iter()
            .filter(|m| m.destination() == Path::new(target));
        let mount = found.next()?;
        assert!(found.next().is_none(), "two mounts on {target}");
        Some((
            mount.typ().clone().unwrap(),
            mount.source().clone().unwrap().to_str().unwrap().to_owned(),
            mount.options().clone().unwrap(),
        ))
    }

    fn targets(&self, request: &Request) -> Vec<String> {
        let mounts = self.spec(request).mounts().clone().unwrap();
        let target = |m: &oci::Mount| m.destination().to_str().unwrap().to_owned();
        mounts.iter().map(target).collect()
    }

    /// Compiling must fail and name this setting and value, and say this.
    #[track_caller]
    fn refuses(&self, request: &Request, setting: &str, value: &str, why: &str) {
        match self.compile(request) {
            Err(Error::Setting {
                setting: s,
                value: v,
                reason,
            }) => {
                assert_eq!((s, &*v), (setting, value), "{reason}");
                assert!(reason.contains(why), "{reason:?} does not say {why:?}");
            }
            other => panic!("not refused: {setting} {value}: {other:?}"),
        }
    }
}

/// A request that is right on every machine, changed.
fn asked(change: impl FnOnce(&mut Request)) -> Request {
    let mut request = Request {
        args: strings(&["true"]),
        ..Request::default()
    };
    change(&mut request);
    request
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|s| (*s).to_owned()).collect()
}

fn some(list: &[&str]) -> Option<Vec<String>> {
    Some(strings(list))
}

/// A user namespace that has these group ids, from 0 on.
fn mapped(count: u32) -> UserNamespace {
    let map = crate::request::IdMap {
        inside: 0,
        outside: 100_000,
        count,
    };
    UserNamespace::Mapped {
        uids: vec![map],
        gids: vec![map],
    }
}

fn device(path: &str, major: u32, minor: u32) -> HostDevice {
    HostDevice {
        host: format!("/host{path}").into(),
        path: path.to_owned(),
        block: false,
        major,
        minor,
        mode: 0o660,
        uid: 1,
        gid: 2,
        permissions: "rw".into(),
    }
}
