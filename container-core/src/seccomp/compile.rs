//! From a profile to a program.
//!
//! A program finds the convention, then the outcome for the number by binary search over runs
//! of numbers with one outcome, then tests arguments where the outcome depends on them. Docker's
//! profile has some sixty runs on x86-64, so no call meets more than a dozen instructions
//! (libseccomp's default is one comparison a call, hundreds for the last). The kernel besides
//! remembers which numbers are always allowed (5.11 and newer) and then runs no program at all.

use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompFilterFlag as Flag,
};

use super::arch::X32_BIT;
use super::assemble::{Assembler, JEQ_K, LD_W_ABS};
use super::search::{Call, Outcome, Rule, Runs, Search};
use super::{Arch, Filter, SeccompError, syscalls};

/// `BPF_MAXINSNS` of linux/bpf_common.h.
const MAX_INSTRUCTIONS: usize = 4096;
const RET_KILL_PROCESS: u32 = 0x8000_0000;
const RET_ERRNO: u32 = 0x0005_0000;
/// The offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;

/// Compiles a profile for a machine whose kernel's own convention is `native`.
///
/// See the [module](super) for what the profile means.
///
/// # Errors
///
/// If a rule is not valid or the program would be longer than the kernel takes.
pub fn compile(profile: &LinuxSeccomp, native: Arch) -> Result<Filter, SeccompError> {
    let default = default_value(profile)?;
    let mut rules = Vec::new();
    let mut calls: [Vec<Call>; Arch::COUNT] = Default::default();
    let mut highest: [Option<u32>; Arch::COUNT] = [None; Arch::COUNT];
    let mut notify = false;

    for syscall in profile.syscalls().iter().flatten() {
        let names = syscall.names();
        let value = rule_value(names, syscall.action(), syscall.errno_ret())?;
        let alternatives = alternatives(names, syscall.args().as_deref().unwrap_or_default())?;
        let first = rules.len();
        let dropped = value == default;
        if !dropped {
            notify |= syscall.action() == Action::ScmpActNotify;
            rules.extend(
                alternatives
                    .into_iter()
                    .map(|conditions| Rule { conditions, value }),
            );
        }
        for name in names {
            let Some(numbers) = syscalls::find(name) else {
                continue;
            };
            for &arch in native.family() {
                let Some(number) = numbers.on(arch) else {
                    continue;
                };
                if number & !arch.bit() < PRIVATE {
                    let highest = &mut highest[arch as usize];
                    *highest = Some(highest.map_or(number, |h| h.max(number)));
                }
                let narrow = is_narrow(name) || !arch.is_wide();
                calls[arch as usize].extend((first..rules.len()).map(|rule| Call {
                    number,
                    rule,
                    narrow,
                }));
            }
        }
    }

    let unknown = newer_than_the_profile(profile, default);
    let mut assembler = Assembler::default();
    let mut next = assembler.ret(RET_KILL_PROCESS);
    let listed = conventions(profile, native);
    // Backwards, so that the native convention is asked for first.
    for &arch in native.family().iter().rev() {
        if arch == Arch::X32
            || !(listed.contains(&arch) || arch == Arch::X86_64 && listed.contains(&Arch::X32))
        {
            continue;
        }
        let mut runs = Runs::default();
        if listed.contains(&arch) {
            runs.add(
                arch,
                &mut calls[arch as usize],
                &rules,
                default,
                highest[arch as usize],
                unknown,
            );
        } else {
            runs.push(0, Outcome::Return(RET_KILL_PROCESS));
        }
        if arch == Arch::X86_64 {
            if listed.contains(&Arch::X32) {
                let x32 = Arch::X32 as usize;
                runs.add(
                    Arch::X32,
                    &mut calls[x32],
                    &rules,
                    default,
                    highest[x32],
                    unknown,
                );
            } else {
                // x32's numbers are another convention, but -1 is what a tracer sets to have a
                // call skipped (seccomp(2)), and must not kill.
                runs.push(X32_BIT, Outcome::Return(RET_KILL_PROCESS));
                runs.push(u32::MAX, Outcome::Return(unknown.unwrap_or(default)));
            }
        }
        let search = Search {
            rules: &rules,
            default,
        }
        .emit(&mut assembler, &runs.0);
        let load = assembler.then(LD_W_ABS, NUMBER, search);
        next = assembler.branch(JEQ_K, arch.audit(), load, next);
        if assembler.len() > MAX_INSTRUCTIONS {
            break;
        }
    }
    assembler.then(LD_W_ABS, ARCH, next);
    if assembler.len() > MAX_INSTRUCTIONS {
        return Err(SeccompError::TooLong {
            instructions: assembler.len(),
        });
    }
    Ok(Filter {
        program: assembler.finish(),
        flags: flags(profile, notify),
        notify,
    })
}

/// Arm's calls of its own begin here (`__ARM_NR_BASE`), far above those that are numbered
/// through; what a profile knows of them says nothing on how new it is.
const PRIVATE: u32 = 0xf_0000;

fn default_value(profile: &LinuxSeccomp) -> Result<u32, SeccompError> {
    match profile.default_action() {
        Action::ScmpActNotify => Err(SeccompError::NotifyDefault),
        action => value("the default action", action, profile.default_errno_ret()),
    }
}

fn rule_value(names: &[String], action: Action, errno: Option<u32>) -> Result<u32, SeccompError> {
    // What the process that installs the filter calls next, to say that it did.
    if action == Action::ScmpActNotify
        && let Some(name) = names
            .iter()
            .find(|name| *name == "write" || *name == "sendmsg")
    {
        return Err(SeccompError::NotifyOn {
            syscall: name.clone(),
        });
    }
    value(
        names.first().map_or("no system call", String::as_str),
        action,
        errno,
    )
}

/// The filter's return value for an action.
fn value(rule: &str, action: Action, errno: Option<u32>) -> Result<u32, SeccompError> {
    let max = match action {
        Action::ScmpActErrno => 4095,
        Action::ScmpActTrace => 0xffff,
        _ => return Ok(action.as_u32(None)),
    };
    match errno {
        Some(value) if value > max => Err(SeccompError::ReturnValue {
            rule: rule.to_owned(),
            value,
            max,
        }),
        errno => Ok(action.as_u32(errno)),
    }
}

/// What a call newer than all that the profile names is answered with.
fn newer_than_the_profile(profile: &LinuxSeccomp, default: u32) -> Option<u32> {
    let enosys = RET_ERRNO | libc::ENOSYS.unsigned_abs();
    let permissive = matches!(
        profile.default_action(),
        Action::ScmpActAllow | Action::ScmpActLog | Action::ScmpActTrace
    );
    (!permissive && default != enosys).then_some(enosys)
}

/// The native convention and those of its family that the profile lists.
fn conventions(profile: &LinuxSeccomp, native: Arch) -> Vec<Arch> {
    let listed = profile.architectures().as_deref().unwrap_or_default();
    let family = native.family().iter().copied();
    family
        .filter(|arch| *arch == native || listed.contains(&arch.to_oci()))
        .collect()
}

fn flags(profile: &LinuxSeccomp, notify: bool) -> u32 {
    const TSYNC: u32 = 1;
    const LOG: u32 = 2;
    const SPEC_ALLOW: u32 = 4;
    const NEW_LISTENER: u32 = 8;
    const TSYNC_ESRCH: u32 = 16;
    const WAIT_KILLABLE_RECV: u32 = 32;

    // Without any word on flags (an empty list is one), runc leaves speculative store bypass
    // as it is: the mitigation costs, and since 5.16 a filter does not ask for it any more.
    let Some(listed) = profile.flags() else {
        return SPEC_ALLOW | if notify { NEW_LISTENER } else { 0 };
    };
    let mut flags = 0;
    for flag in listed {
        flags |= match flag {
            Flag::SeccompFilterFlagLog => LOG,
            // With a listener, only together with an errno instead of a thread id (5.7).
            Flag::SeccompFilterFlagTsync if notify => TSYNC | TSYNC_ESRCH,
            Flag::SeccompFilterFlagTsync => TSYNC,
            Flag::SeccompFilterFlagSpecAllow => SPEC_ALLOW,
            // Refused by the kernel where there is no listener.
            Flag::SeccompFilterFlagWaitKillableRecv if notify => WAIT_KILLABLE_RECV,
            Flag::SeccompFilterFlagWaitKillableRecv => 0,
        };
    }
    if notify { flags | NEW_LISTENER } else { flags }
}

/// Do the call's arguments have 32 bits in the kernel, whatever is in the registers?
pub(super) fn is_narrow(name: &str) -> bool {
    matches!(name, "socket" | "personality")
}

/// A rule's conditions as alternatives, each of which has each argument at most once.
fn alternatives(
    names: &[String],
    args: &[LinuxSeccompArg],
) -> Result<Vec<Vec<LinuxSeccompArg>>, SeccompError> {
    let mut seen = [false; 6];
    let mut repeated = false;
    for arg in args {
        let Some(seen) = seen.get_mut(arg.index()) else {
            let syscall = names.first().cloned().unwrap_or_default();
            return Err(SeccompError::Argument {
                syscall,
                index: arg.index(),
            });
        };
        repeated |= std::mem::replace(seen, true);
    }
    Ok(if repeated {
        args.iter().map(|arg| vec![*arg]).collect()
    } else {
        vec![args.to_vec()]
    })
}
