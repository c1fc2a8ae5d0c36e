//! A profile read rule by rule, as slowly as it says.

use std::collections::HashMap;

use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompOperator as Operator,
};

use super::machine::Call;
use crate::seccomp::{Arch, syscalls};

const KILL_PROCESS: u32 = 0x8000_0000;
const ENOSYS: u32 = 0x0005_0000 | 38;

pub(super) struct Profile<'a> {
    profile: &'a LinuxSeccomp,
    listed: Vec<Arch>,
    /// For each convention and number, the rules that name it.
    named: HashMap<(Arch, u32), Vec<(usize, String)>>,
    highest: HashMap<Arch, u32>,
}

fn value(action: Action, errno: Option<u32>) -> u32 {
    match action {
        Action::ScmpActAllow => 0x7fff_0000,
        Action::ScmpActLog => 0x7ffc_0000,
        Action::ScmpActNotify => 0x7fc0_0000,
        Action::ScmpActTrace => 0x7ff0_0000 | errno.unwrap_or(1),
        Action::ScmpActErrno => 0x0005_0000 | errno.unwrap_or(1),
        Action::ScmpActTrap => 0x0003_0000,
        Action::ScmpActKillProcess => KILL_PROCESS,
        Action::ScmpActKill | Action::ScmpActKillThread => 0,
    }
}

impl<'a> Profile<'a> {
    pub(super) fn new(profile: &'a LinuxSeccomp, native: Arch) -> Self {
        let all = [Arch::X86_64, Arch::X86, Arch::X32, Arch::Aarch64, Arch::Arm];
        let x86 = |arch| matches!(arch, Arch::X86_64 | Arch::X86 | Arch::X32);
        let listed = profile.architectures().clone().unwrap_or_default();
        let listed = all.into_iter().filter(|arch| {
            *arch == native || x86(*arch) == x86(native) && listed.contains(&arch.to_oci())
        });
        let mut named: HashMap<_, Vec<_>> = HashMap::new();
        let mut highest = HashMap::new();
        for (index, rule) in profile.syscalls().iter().flatten().enumerate() {
            for name in rule.names() {
                for arch in all {
                    if let Some(number) = syscalls::find(name).and_then(|numbers| numbers.on(arch))
                    {
                        named
                            .entry((arch, number))
                            .or_default()
                            .push((index, name.clone()));
                        if number & 0x3fff_ffff < 0xf_0000 {
                            let highest = highest.entry(arch).or_insert(number);
                            *highest = number.max(*highest);
                        }
                    }
                }
            }
        }
        Profile {
            profile,
            listed: listed.collect(),
            named,
            highest,
        }
    }

    pub(super) fn of(&self, call: &Call) -> u32 {
        let default = value(
            self.profile.default_action(),
            self.profile.default_errno_ret(),
        );
        // Which convention is it?
        let arch = match call.arch {
            0xc000_003e if call.number >= 0x4000_0000 => Arch::X32,
            0xc000_003e => Arch::X86_64,
            0x4000_0003 => Arch::X86,
            0xc000_00b7 => Arch::Aarch64,
            0x4000_0028 => Arch::Arm,
            other => panic!("{other:x}"),
        };
        let permissive = matches!(
            self.profile.default_action(),
            Action::ScmpActAllow | Action::ScmpActLog | Action::ScmpActTrace
        );
        let skipped = call.number == u32::MAX && self.listed.contains(&Arch::X86_64);
        if !self.listed.contains(&arch) {
            // What a tracer sets to skip a call must not kill.
            return match (arch, skipped) {
                (Arch::X32, true) if permissive => default,
                (Arch::X32, true) => ENOSYS,
                _ => KILL_PROCESS,
            };
        }
        let rules = self.profile.syscalls().as_deref().unwrap_or_default();
        let named = self
            .named
            .get(&(arch, call.number))
            .map_or(&[][..], Vec::as_slice);
        let candidates: Vec<_> = named
            .iter()
            .map(|(rule, name)| (&rules[*rule], name.as_str()))
            .filter(|(rule, _)| value(rule.action(), rule.errno_ret()) != default)
            .collect();
        let conditions =
            |rule: &oci_spec::runtime::LinuxSyscall| rule.args().clone().unwrap_or_default();
        if let Some((rule, _)) = candidates
            .iter()
            .find(|(rule, _)| conditions(rule).is_empty())
        {
            return value(rule.action(), rule.errno_ret());
        }
        for (rule, name) in &candidates {
            let conditions = conditions(rule);
            let mut results = conditions.iter().map(|arg| holds(arg, call, arch, name));
            let twice = conditions
                .iter()
                .any(|a| conditions.iter().filter(|b| a.index() == b.index()).count() > 1);
            let yes = if twice {
                results.any(|yes| yes)
            } else {
                results.all(|yes| yes)
            };
            if yes {
                return value(rule.action(), rule.errno_ret());
            }
        }
        match self.highest.get(&arch) {
            // A rule of that very number that does not hold leaves it at the default.
            Some(highest) if call.number > *highest && !permissive && candidates.is_empty() => {
                ENOSYS
            }
            _ => default,
        }
    }
}

fn holds(arg: &LinuxSeccompArg, call: &Call, arch: Arch, name: &str) -> bool {
    let narrow = matches!(arch, Arch::X86 | Arch::Arm) || matches!(name, "socket" | "personality");
    let cut = |value: u64| if narrow { value & 0xffff_ffff } else { value };
    let (actual, value) = (cut(call.args[arg.index()]), cut(arg.value()));
    match arg.op() {
        Operator::ScmpCmpNe => actual != value,
        Operator::ScmpCmpLt => actual < value,
        Operator::ScmpCmpLe => actual <= value,
        Operator::ScmpCmpEq => actual == value,
        Operator::ScmpCmpGe => actual >= value,
        Operator::ScmpCmpGt => actual > value,
        Operator::ScmpCmpMaskedEq => actual & value == cut(arg.value_two().unwrap_or(0)) & value,
    }
}
