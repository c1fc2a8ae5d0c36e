//! Which devices a container may use.

use std::fmt::Write as _;

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType as Type};

use super::CgroupError;

/// What a rule gives or takes, as `BPF_DEVCG_ACC_*` of linux/bpf.h.
pub(super) const MKNOD: u8 = 1;
pub(super) const READ: u8 = 2;
pub(super) const WRITE: u8 = 4;
pub(super) const ALL: u8 = 7;

/// A rule without its many ways of writing "any".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) allow: bool,
    /// `None` is both block and character devices.
    pub(super) kind: Option<Kind>,
    pub(super) major: Option<u32>,
    pub(super) minor: Option<u32>,
    pub(super) access: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Block,
    Char,
}

/// The rules to keep to: those on FIFOs are dropped, since nothing checks them.
pub(super) fn rules(rules: &[LinuxDeviceCgroup]) -> Result<Vec<Rule>, CgroupError> {
    rules
        .iter()
        .filter_map(|rule| Rule::from_oci(rule).transpose())
        .collect()
}

impl Rule {
    fn from_oci(rule: &LinuxDeviceCgroup) -> Result<Option<Rule>, CgroupError> {
        let wrong = |why| CgroupError::Unsupported {
            limit: "device rule",
            why,
        };
        let kind = match rule.typ().unwrap_or_default() {
            Type::A => None,
            Type::B => Some(Kind::Block),
            Type::C | Type::U => Some(Kind::Char),
            Type::P => return Ok(None),
        };
        let number = |number: Option<i64>| match number {
            None | Some(-1) => Ok(None),
            Some(number) => u32::try_from(number)
                .map(Some)
                .map_err(|_| wrong("device numbers are within 0 and 2^32-1, or -1 for any")),
        };
        let mut access = 0;
        for letter in rule
            .access()
            .as_deref()
            .filter(|text| !text.is_empty())
            .unwrap_or("rwm")
            .chars()
        {
            access |= match letter {
                'r' => READ,
                'w' => WRITE,
                'm' => MKNOD,
                _ => return Err(wrong("access is made of r (read), w (write) and m (mknod)")),
            };
        }
        let (major, minor) = (number(rule.major())?, number(rule.minor())?);
        Ok(Some(Rule {
            allow: rule.allow(),
            kind,
            major,
            minor,
            access,
        }))
    }

    /// Does it speak of all devices?
    pub(super) fn is_general(&self) -> bool {
        self.kind.is_none() && self.major.is_none() && self.minor.is_none()
    }

    /// The lines of v1's `devices.allow` and `devices.deny`, where `a` means all access to all
    /// devices, whatever comes after it.
    pub(super) fn lines(&self) -> Vec<String> {
        if self.is_general() && self.access == ALL {
            return vec!["a".to_owned()];
        }
        let kinds = match self.kind {
            Some(Kind::Block) => "b",
            Some(Kind::Char) => "c",
            None => "bc",
        };
        let line = |kind: char| {
            let mut line = String::from(kind);
            for (before, number) in [(' ', self.major), (':', self.minor)] {
                line.push(before);
                match number {
                    Some(number) => {
                        let _ = write!(line, "{number}");
                    }
                    None => line.push('*'),
                }
            }
            line.push(' ');
            let letters = [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')];
            line.extend(
                letters
                    .iter()
                    .filter(|(bit, _)| self.access & bit != 0)
                    .map(|(_, letter)| letter),
            );
            line
        };
        kinds.chars().map(line).collect()
    }
}

/// Docker's: making nodes of any device, and using the harmless ones.
///
/// What `devices.list` of a container of Docker 20.10 with runc 1.1 holds. `/dev/net/tun` is
/// among them: runc 1.2 left it out, and took it back when that broke too many VPNs. moby's
/// rule that takes away `/dev/fuse` is not needed: nothing gives it.
pub fn default_device_rules() -> Vec<LinuxDeviceCgroup> {
    const USABLE: [(i64, Option<i64>); 10] = [
        (1, Some(3)),    // /dev/null
        (1, Some(5)),    // /dev/zero
        (1, Some(7)),    // /dev/full
        (1, Some(8)),    // /dev/random
        (1, Some(9)),    // /dev/urandom
        (5, Some(0)),    // /dev/tty
        (5, Some(1)),    // /dev/console
        (5, Some(2)),    // /dev/ptmx
        (136, None),     // /dev/pts/*
        (10, Some(200)), // /dev/net/tun
    ];
    let any = || LinuxDeviceCgroupBuilder::default();
    let mut rules = vec![
        any().allow(false).access("rwm"),
        any().allow(true).typ(Type::C).access("m"),
        any().allow(true).typ(Type::B).access("m"),
    ];
    rules.extend(USABLE.map(|(major, minor)| {
        let rule = any().allow(true).typ(Type::C).major(major).access("rwm");
        match minor {
            Some(minor) => rule.minor(minor),
            None => rule,
        }
    }));
    // The builder cannot fail: every field has a default.
    rules
        .into_iter()
        .filter_map(|rule| rule.build().ok())
        .collect()
}

/// May this process set device rules, so that a refusal is a failure? One that is not root in
/// the first user namespace may not, and needs none: it cannot make device nodes.
pub(super) fn may_confine() -> bool {
    let all = std::fs::read_to_string("/proc/self/uid_map")
        .is_ok_and(|map| map.split_ascii_whitespace().eq(["0", "0", "4294967295"]));
    all && nix::unistd::geteuid().is_root()
}
