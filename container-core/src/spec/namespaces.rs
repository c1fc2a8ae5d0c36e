//! Which namespaces a container has of its own, and what is set in them.

use std::collections::HashMap;

use oci_spec::runtime::{
    LinuxIdMapping, LinuxIdMappingBuilder, LinuxNamespace, LinuxNamespaceType,
};

use super::{HostFacts, Input};
use crate::error::{Error, Result};
use crate::plan::IdMaps;
use crate::request::{IdMap, IpcMode, NamespaceMode, Network, Request, UserNamespace};

/// The ids of a range of [`UserNamespace::Auto`].
pub(crate) const LENGTH: u32 = 1 << 16;

/// `HOST_NAME_MAX` of limits.h.
const MAX_NAME: usize = 64;

fn wrong(setting: &'static str, value: impl ToString, reason: impl Into<String>) -> Error {
    Error::Setting {
        setting,
        value: value.to_string(),
        reason: reason.into(),
    }
}

/// The host name: as asked, the machine's where the container shares its network (as Docker has
/// it) or its UTS namespace, or the first twelve digits of the id.
pub(crate) fn hostname(request: &Request, id: &str, host: &HostFacts) -> String {
    let asked = request.hostname.clone().filter(|name| !name.is_empty());
    let shared = request.network == Network::Host || request.uts == NamespaceMode::Host;
    asked.unwrap_or_else(|| {
        if shared {
            host.hostname.clone()
        } else {
            id.chars().take(12).collect()
        }
    })
}

/// Refuses settings that contradict each other.
pub(super) fn check(request: &Request) -> Result<()> {
    for (setting, name) in [
        ("hostname", &request.hostname),
        ("domainname", &request.domainname),
    ] {
        let Some(name) = name.as_ref().filter(|n| !n.is_empty()) else {
            continue;
        };
        if request.uts == NamespaceMode::Host {
            let reason = "Conflicting options: hostname and the UTS mode";
            return Err(wrong(setting, name, reason));
        }
        let strange = |c: char| c.is_whitespace() || c.is_control();
        if name.len() > MAX_NAME || name.contains(strange) {
            let reason = "must be at most 64 bytes long, without white space";
            return Err(wrong(setting, name, reason));
        }
    }
    for (setting, mode) in [("uts", &request.uts), ("cgroupns", &request.cgroupns)] {
        if let NamespaceMode::Container(name) = mode {
            let reason = "only PID and IPC namespaces can be another container's";
            return Err(wrong(setting, name, reason));
        }
    }
    if request.userns == UserNamespace::Host {
        return Ok(());
    }
    // The kernel gives a user namespace no say in namespaces that it does not own.
    let conflict = if request.privileged {
        "a privileged container"
    } else if request.network == Network::Host {
        "the host's network namespace"
    } else if request.pid != NamespaceMode::Private {
        "a shared PID namespace"
    } else if matches!(request.ipc, IpcMode::Host | IpcMode::Container(_)) {
        "a shared IPC namespace"
    } else if request.cgroupns != NamespaceMode::Private {
        "the host's cgroup namespace"
    } else {
        return check_maps(&request.userns);
    };
    let value = match &request.userns {
        UserNamespace::Auto { .. } => "auto",
        _ => "mapped",
    };
    Err(wrong("userns", value, format!("conflicts with {conflict}")))
}

/// Refuses a user namespace without a root, or without an end.
fn check_maps(userns: &UserNamespace) -> Result<()> {
    match userns {
        UserNamespace::Host | UserNamespace::Auto { size: None } => Ok(()),
        UserNamespace::Auto { size: Some(size) } if (1..=LENGTH).contains(size) => Ok(()),
        UserNamespace::Auto { size: Some(size) } => {
            let reason = format!("a range has from 1 to {LENGTH} ids; --uidmap gives more");
            Err(wrong("userns", format!("auto:size={size}"), reason))
        }
        UserNamespace::Mapped { uids, gids } => {
            let maps = IdMaps {
                uids: uids.clone(),
                gids: gids.clone(),
            };
            match maps.outside((0, 0)) {
                Some(_) => Ok(()),
                None => {
                    let reason = "user and group id 0 must be there: the container is set up by \
                                  them";
                    Err(wrong("userns", "mapped", reason))
                }
            }
        }
    }
}

pub(super) fn compile(input: &Input<'_>) -> Vec<LinuxNamespace> {
    let request = input.request;
    let private = |mode: &NamespaceMode| *mode != NamespaceMode::Host;
    let wanted = [
        (LinuxNamespaceType::Mount, true),
        (LinuxNamespaceType::Pid, private(&request.pid)),
        (LinuxNamespaceType::Uts, private(&request.uts)),
        (LinuxNamespaceType::Ipc, request.ipc != IpcMode::Host),
        (LinuxNamespaceType::Cgroup, private(&request.cgroupns)),
        (
            LinuxNamespaceType::Network,
            request.network == Network::None,
        ),
        (
            LinuxNamespaceType::User,
            request.userns != UserNamespace::Host,
        ),
    ];
    let path = |typ| {
        let (pid, name) = match typ {
            LinuxNamespaceType::Pid => (input.company.pid?, "pid"),
            LinuxNamespaceType::Ipc => (input.company.ipc?, "ipc"),
            _ => return None,
        };
        Some(format!("/proc/{pid}/ns/{name}").into())
    };
    wanted
        .into_iter()
        .filter(|(_, wanted)| *wanted)
        .map(|(typ, _)| {
            let mut namespace = LinuxNamespace::default();
            namespace.set_typ(typ).set_path(path(typ));
            namespace
        })
        .collect()
}

pub(super) fn id_maps(maps: &[IdMap]) -> Result<Vec<LinuxIdMapping>> {
    let one = |m: &IdMap| {
        LinuxIdMappingBuilder::default()
            .container_id(m.inside)
            .host_id(m.outside)
            .size(m.count)
            .build()
            .map_err(|e| wrong("userns", format!("{m:?}"), e.to_string()))
    };
    maps.iter().map(one).collect()
}

/// Docker's own parameters (20.10: ports below 1024 and ICMP echo for everybody), then the
/// caller's.
pub(super) fn sysctls(input: &Input<'_>) -> Result<Option<HashMap<String, String>>> {
    let request = input.request;
    let mut map = HashMap::new();
    let rootless = input.host.rootless;
    let mut default = |name: &str, value: &str| _ = map.insert(name.to_owned(), value.to_owned());
    // A rootless container of the host's PID namespace has but the host's /proc.
    let own_proc = !rootless || request.pid != NamespaceMode::Host;
    if request.network == Network::None && own_proc {
        default("net.ipv4.ip_unprivileged_port_start", "0");
        // The kernel wants both ends of the range to exist in the user namespace.
        if !rootless && request.userns == UserNamespace::Host {
            default("net.ipv4.ping_group_range", "0 2147483647");
        }
    }
    for (name, value) in &request.sysctls {
        map.insert(sysctl(request, name, value)?, value.clone());
    }
    Ok((!map.is_empty()).then_some(map))
}

/// A parameter that belongs to a namespace of the container, by its dotted name (docker/cli and
/// runc accept the same).
fn sysctl(request: &Request, name: &str, value: &str) -> Result<String> {
    const IPC: [&str; 8] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    let dotted = name.replace('/', ".");
    let ipc = IPC.contains(&&*dotted) || dotted.starts_with("fs.mqueue.");
    let net = dotted.starts_with("net.");
    let clean = dotted.split('.').all(|part| !part.is_empty()) && !dotted.contains('\0');
    let reason = if !clean || !(ipc || net) {
        format!(
            "Sysctl '{name}={value}' is not whitelisted: it does not belong to a namespace of the container"
        )
    } else if ipc && request.ipc == IpcMode::Host || net && request.network == Network::Host {
        "the container shares the namespace it belongs to with the host".into()
    } else {
        return Ok(dotted);
    };
    Err(wrong("sysctl", format!("{name}={value}"), reason))
}
