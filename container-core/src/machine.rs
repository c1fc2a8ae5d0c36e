//! What has to be known of the machine before anything is decided. Looks, and changes nothing.

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::cgroup::{self, Hierarchy};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::plan;
use crate::request::{Device, IpcMode, Limits, NamespaceMode, Network, Request};
use crate::runtime::sys;
use crate::seccomp::Arch;
use crate::spec::{Company, HostDevice, HostFacts};
use crate::state::{self, Inspect, Status};

/// The facts for each of the two pure steps.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) host: HostFacts,
    pub(crate) plan: plan::Facts,
    pub(crate) hierarchy: Option<Hierarchy>,
}

pub(crate) fn facts(engine: &Engine) -> Result<Facts> {
    let hierarchy = match cgroup::detect() {
        Ok(hierarchy) => Some(hierarchy),
        Err(e) if e.is_unavailable() => None,
        Err(e) => return Err(e.into()),
    };
    let rootless = engine.rootless();
    let arch = native_arch()?;
    let cgroup_v1 = match &hierarchy {
        Some(Hierarchy::V1 { trees }) => trees
            .iter()
            .filter_map(|tree| {
                let name = tree.mount.file_name()?.to_str()?;
                Some((name.to_owned(), tree.controllers.join(",")))
            })
            .collect(),
        _ => Vec::new(),
    };
    Ok(Facts {
        host: HostFacts {
            rootless: rootless.is_some(),
            many_ids: rootless.is_none_or(crate::rootless::Rootless::many_ids),
            // Inside a user namespace all are there to be given.
            capabilities: if rootless.is_some() {
                u64::MAX
            } else {
                sys::bounding_set()
            },
            arch,
            kernel: kernel(),
            cgroup_v2: matches!(hierarchy, Some(Hierarchy::V2 { .. })),
            hostname: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
            cpus: line("/sys/devices/system/cpu/online"),
            mqueue: Path::new("/dev/mqueue").is_dir(),
            oom_score_adj: line("/proc/self/oom_score_adj").parse().unwrap_or(0),
            thermal_throttle: thermal_throttle(),
        },
        plan: plan::Facts {
            arch,
            cgroup_v1,
            kcore: Path::new("/proc/kcore").exists(),
        },
        hierarchy,
    })
}

fn native_arch() -> Result<Arch> {
    match std::env::consts::ARCH {
        "x86_64" => Ok(Arch::X86_64),
        "aarch64" => Ok(Arch::Aarch64),
        other => Err(Error::System {
            action: "confine containers",
            source: std::io::Error::other(format!("{other} machines are not supported")),
        }),
    }
}

/// Where containers' ranges of ids come from.
pub(crate) fn id_ranges(size: Option<u32>) -> Result<state::Pool> {
    let read = |path| match fs::read_to_string(path) {
        // No file means no ranges, which is an ordinary state of things.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        read => read.map_err(Error::io("read", path)),
    };
    let (subuid, subgid) = (read("/etc/subuid")?, read("/etc/subgid")?);
    Ok(state::Pool::new(&subuid, &subgid, size))
}

/// The line of a kernel's file; empty when there is no such file.
fn line(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.trim().to_owned()
}

/// `thermal_throttle` of each processor that has one.
fn thermal_throttle() -> Vec<String> {
    let path = |n: u32| format!("/sys/devices/system/cpu/cpu{n}/thermal_throttle");
    // Present numbers have no gaps but where processors were taken out; the first has it or none.
    if !Path::new(&path(0)).exists() {
        return Vec::new();
    }
    let entries = fs::read_dir("/sys/devices/system/cpu")
        .into_iter()
        .flatten();
    let number = |e: fs::DirEntry| e.file_name().to_str()?.strip_prefix("cpu")?.parse().ok();
    let mut numbers: Vec<u32> = entries.flatten().filter_map(number).collect();
    numbers.sort_unstable();
    let paths = numbers.into_iter().map(path);
    paths.filter(|p| Path::new(p).exists()).collect()
}

/// The kernel's version, as `uname -r` begins.
fn kernel() -> (u32, u32) {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// The containers whose namespaces a request shares.
pub(crate) fn company(engine: &Engine, request: &Request) -> Result<Company> {
    let mut company = Company::default();
    if let NamespaceMode::Container(name) = &request.pid {
        company.pid = Some(running("pid", engine, name)?.state.pid);
    }
    if let IpcMode::Container(name) = &request.ipc {
        let other = running("ipc", engine, name)?;
        if other.record.request.ipc != IpcMode::Shareable {
            return Err(Error::Setting {
                setting: "ipc",
                value: name.clone(),
                reason: "non-shareable IPC (hint: use IpcMode:shareable for the donor container)"
                    .into(),
            });
        }
        company.ipc = Some(other.state.pid);
    }
    Ok(company)
}

fn running(setting: &'static str, engine: &Engine, name: &str) -> Result<Inspect> {
    let found = engine.get(name)?.inspect()?;
    match found.state.status {
        Status::Running | Status::Paused => Ok(found),
        _ => Err(Error::Setting {
            setting,
            value: name.to_owned(),
            reason: "a container that is not running has no namespaces to share".into(),
        }),
    }
}

/// The devices of a request: those named, or all of the host's when privileged.
pub(crate) fn devices(request: &Request) -> Result<Vec<HostDevice>> {
    let mut devices = Vec::new();
    if request.privileged {
        all_devices(Path::new("/dev"), &mut devices);
    }
    for device in &request.devices {
        named_devices(device, &mut devices)?;
    }
    Ok(devices)
}

/// A device by its path, or all those in a directory.
fn named_devices(device: &Device, devices: &mut Vec<HostDevice>) -> Result<()> {
    let wrong = |reason: String| Error::Setting {
        setting: "device",
        value: device.host.display().to_string(),
        reason,
    };
    let metadata = fs::metadata(&device.host).map_err(|e| {
        wrong(format!(
            "Error gathering device information while adding custom device {:?}: {}",
            device.host,
            e.to_string()
                .split(" (os error")
                .next()
                .unwrap_or_default()
                .to_lowercase()
        ))
    })?;
    let kind = metadata.file_type();
    let is_device = kind.is_block_device() || kind.is_char_device();
    if !is_device && !kind.is_dir() {
        return Err(wrong("is no device".into()));
    }
    if device.permissions.is_empty() || !device.permissions.chars().all(|c| "rwm".contains(c)) {
        return Err(wrong(format!(
            "permissions {:?} are not out of rwm",
            device.permissions
        )));
    }
    if !device.container.starts_with('/') {
        return Err(wrong("the path in the container must be absolute".into()));
    }
    if is_device {
        let (host, path) = (&device.host, &device.container);
        devices.push(described(host, path, &device.permissions, &metadata));
        return Ok(());
    }
    let mut found = Vec::new();
    all_devices(&device.host, &mut found);
    if found.is_empty() {
        return Err(wrong("there is no device in this directory".into()));
    }
    let target = Path::new(&device.container);
    for mut inner in found {
        let below = inner.host.strip_prefix(&device.host).unwrap_or(&inner.host);
        inner.path = target.join(below).to_string_lossy().into_owned();
        inner.permissions.clone_from(&device.permissions);
        devices.push(inner);
    }
    Ok(())
}

fn described(host: &Path, path: &str, permissions: &str, metadata: &fs::Metadata) -> HostDevice {
    HostDevice {
        host: host.to_owned(),
        path: path.to_owned(),
        block: metadata.file_type().is_block_device(),
        major: rustix::fs::major(metadata.rdev()),
        minor: rustix::fs::minor(metadata.rdev()),
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        permissions: permissions.to_owned(),
    }
}

/// All nodes below a directory but those that a container gets of its own.
fn all_devices(dir: &Path, devices: &mut Vec<HostDevice>) {
    const OWN: [&str; 7] = ["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"];
    // What cannot be listed or has just gone cannot be passed in either.
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let (Ok(metadata), Some(name)) = (entry.metadata(), name.to_str()) else {
            continue;
        };
        if OWN.contains(&name) || name == "console" {
            continue;
        }
        let kind = metadata.file_type();
        let path = entry.path();
        if kind.is_dir() {
            all_devices(&path, devices);
        } else if (kind.is_block_device() || kind.is_char_device())
            && let Some(text) = path.to_str()
        {
            devices.push(described(&path, text, "rwm", &metadata));
        }
    }
}

/// The numbers of the block devices that limits name.
pub(crate) fn block_devices(limits: &Limits) -> Result<HashMap<PathBuf, (u32, u32)>> {
    let lists = [
        &limits.device_read_bps,
        &limits.device_write_bps,
        &limits.device_read_iops,
        &limits.device_write_iops,
    ];
    let throttled = lists.into_iter().flatten().map(|(path, _)| path);
    let weighted = limits.blkio_weight_device.iter().map(|(path, _)| path);
    let mut found = HashMap::new();
    for path in throttled.chain(weighted) {
        // One that is missing is reported by whoever compiles the limit.
        if let Ok(metadata) = fs::metadata(path)
            && metadata.file_type().is_block_device()
        {
            let rdev = metadata.rdev();
            found.insert(
                path.clone(),
                (rustix::fs::major(rdev), rustix::fs::minor(rdev)),
            );
        }
    }
    Ok(found)
}

/// The host's files that a container's are made from.
#[derive(Debug, Default)]
pub(crate) struct EtcOfHost {
    hosts: String,
    resolv_conf: String,
}

impl EtcOfHost {
    pub(crate) fn read(request: &Request) -> Self {
        // No such file is an empty one.
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let hosts = match request.network {
            Network::Host => read("/etc/hosts"),
            Network::None => String::new(),
        };
        Self {
            hosts,
            resolv_conf: read("/etc/resolv.conf"),
        }
    }

    /// `/etc/hosts`: Docker's, or the host's where its network is shared.
    pub(crate) fn hosts(&self, request: &Request) -> Result<String> {
        let mut text = if request.network == Network::Host {
            self.hosts.clone()
        } else {
            "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
             fe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\n\
             ff02::2\tip6-allrouters\n"
                .to_owned()
        };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        for line in &request.add_hosts {
            let wrong = |reason: &str| Error::Setting {
                setting: "add_host",
                value: line.clone(),
                reason: reason.into(),
            };
            let (name, address) = line
                .split_once(['=', ':'])
                .ok_or_else(|| wrong("must look like host:address"))?;
            let bare = address.trim_start_matches('[').trim_end_matches(']');
            if name.is_empty() || name.contains(char::is_whitespace) {
                return Err(wrong("the host has no proper name"));
            }
            if bare.parse::<IpAddr>().is_err() {
                return Err(wrong(if bare == "host-gateway" {
                    "host-gateway needs a bridge network, which is not there yet"
                } else {
                    "is no IP address"
                }));
            }
            text.push_str(&format!("{bare}\t{name}\n"));
        }
        Ok(text)
    }

    /// `/etc/resolv.conf`: the host's, with what the request replaces.
    pub(crate) fn resolv_conf(&self, request: &Request) -> String {
        if request.dns.is_empty() && request.dns_search.is_empty() && request.dns_options.is_empty()
        {
            return self.resolv_conf.clone();
        }
        let kept = |line: &&str| match line.split_whitespace().next().unwrap_or("") {
            "nameserver" => request.dns.is_empty(),
            "search" | "domain" => request.dns_search.is_empty(),
            "options" => request.dns_options.is_empty(),
            _ => true,
        };
        let mut lines: Vec<String> = self
            .resolv_conf
            .lines()
            .filter(kept)
            .map(str::to_owned)
            .collect();
        if !request.dns_search.is_empty() && request.dns_search != ["."] {
            lines.push(format!("search {}", request.dns_search.join(" ")));
        }
        lines.extend(
            request
                .dns
                .iter()
                .map(|server| format!("nameserver {server}")),
        );
        if !request.dns_options.is_empty() {
            lines.push(format!("options {}", request.dns_options.join(" ")));
        }
        lines.join("\n") + "\n"
    }
}

/// The processes of a container, found by its first: what its monitor has started in another mount
/// namespace than its own, and all that descends from that.
pub(crate) fn processes(first: u32) -> Vec<i32> {
    let monitor = parent(first);
    let namespace = |pid: i32| std::fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    let own = namespace(monitor);
    let mut found = children(monitor);
    found.retain(|pid| u32::try_from(*pid) == Ok(first) || namespace(*pid) != own);
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        found.extend(children(*pid));
        next += 1;
    }
    found
}

/// The parent of a process; 0 when there is none.
fn parent(pid: u32) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // After the name, which may contain anything.
    let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let parent = rest.split(' ').nth(1).and_then(|ppid| ppid.parse().ok());
    parent.unwrap_or(0)
}

/// The children of a process (`/proc/<pid>/task/<tid>/children`, Linux 3.5). One that has ended
/// meanwhile has none.
fn children(pid: i32) -> Vec<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
    let lists = tasks
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| {
            let pids = list.split_whitespace().filter_map(|pid| pid.parse().ok());
            pids.collect::<Vec<_>>()
        })
        .collect()
}
