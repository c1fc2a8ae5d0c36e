//! The process part of a specification.

use std::collections::HashSet;

use oci_spec::runtime as oci;
use oci_spec::runtime::Capability;

use super::{Capabilities, Process, User};

/// A capability's number in the kernel's masks (include/uapi/linux/capability.h).
pub(crate) fn capability_bit(capability: Capability) -> u64 {
    let number = match capability {
        Capability::Chown => 0,
        Capability::DacOverride => 1,
        Capability::DacReadSearch => 2,
        Capability::Fowner => 3,
        Capability::Fsetid => 4,
        Capability::Kill => 5,
        Capability::Setgid => 6,
        Capability::Setuid => 7,
        Capability::Setpcap => 8,
        Capability::LinuxImmutable => 9,
        Capability::NetBindService => 10,
        Capability::NetBroadcast => 11,
        Capability::NetAdmin => 12,
        Capability::NetRaw => 13,
        Capability::IpcLock => 14,
        Capability::IpcOwner => 15,
        Capability::SysModule => 16,
        Capability::SysRawio => 17,
        Capability::SysChroot => 18,
        Capability::SysPtrace => 19,
        Capability::SysPacct => 20,
        Capability::SysAdmin => 21,
        Capability::SysBoot => 22,
        Capability::SysNice => 23,
        Capability::SysResource => 24,
        Capability::SysTime => 25,
        Capability::SysTtyConfig => 26,
        Capability::Mknod => 27,
        Capability::Lease => 28,
        Capability::AuditWrite => 29,
        Capability::AuditControl => 30,
        Capability::Setfcap => 31,
        Capability::MacOverride => 32,
        Capability::MacAdmin => 33,
        Capability::Syslog => 34,
        Capability::WakeAlarm => 35,
        Capability::BlockSuspend => 36,
        Capability::AuditRead => 37,
        Capability::Perfmon => 38,
        Capability::Bpf => 39,
        Capability::CheckpointRestore => 40,
    };
    1 << number
}

fn mask(set: &Option<HashSet<Capability>>) -> u64 {
    set.iter()
        .flatten()
        .fold(0, |mask, c| mask | capability_bit(*c))
}

/// A limit's number for setrlimit(2) (include/uapi/asm-generic/resource.h).
pub(crate) fn rlimit_number(kind: oci::PosixRlimitType) -> u32 {
    use oci::PosixRlimitType as T;
    match kind {
        T::RlimitCpu => 0,
        T::RlimitFsize => 1,
        T::RlimitData => 2,
        T::RlimitStack => 3,
        T::RlimitCore => 4,
        T::RlimitRss => 5,
        T::RlimitNproc => 6,
        T::RlimitNofile => 7,
        T::RlimitMemlock => 8,
        T::RlimitAs => 9,
        T::RlimitLocks => 10,
        T::RlimitSigpending => 11,
        T::RlimitMsgqueue => 12,
        T::RlimitNice => 13,
        T::RlimitRtprio => 14,
        T::RlimitRttime => 15,
    }
}

/// Docker's name of the limit of this number.
pub(crate) fn rlimit_name(number: u32) -> &'static str {
    const NAMES: [&str; 16] = [
        "cpu",
        "fsize",
        "data",
        "stack",
        "core",
        "rss",
        "nproc",
        "nofile",
        "memlock",
        "as",
        "locks",
        "sigpending",
        "msgqueue",
        "nice",
        "rtprio",
        "rttime",
    ];
    usize::try_from(number)
        .ok()
        .and_then(|n| NAMES.get(n))
        .unwrap_or(&"unknown")
}

/// Lowers the process of a specification; the filter is compiled by the caller.
pub(super) fn lower(process: &oci::Process) -> Process {
    let user = process.user();
    let additional: Vec<u32> = user.additional_gids().clone().unwrap_or_default();
    let capabilities = process
        .capabilities()
        .as_ref()
        .map_or_else(Default::default, |c| Capabilities {
            bounding: mask(c.bounding()),
            effective: mask(c.effective()),
            permitted: mask(c.permitted()),
            inheritable: mask(c.inheritable()),
            ambient: mask(c.ambient()),
        });
    Process {
        args: process.args().clone().unwrap_or_default(),
        env: process.env().clone().unwrap_or_default(),
        cwd: process.cwd().to_string_lossy().into_owned(),
        user: match user.username() {
            Some(name) => User::Lookup {
                user: name.clone(),
                groups: Vec::new(),
            },
            None => User::Numeric {
                uid: user.uid(),
                gid: user.gid(),
                groups: additional,
            },
        },
        umask: user.umask(),
        capabilities,
        no_new_privileges: process.no_new_privileges().unwrap_or(false),
        rlimits: process
            .rlimits()
            .iter()
            .flatten()
            .map(|r| (rlimit_number(r.typ()), r.soft(), r.hard()))
            .collect(),
        oom_score_adj: process.oom_score_adj(),
        seccomp: None,
        init: false,
    }
}
