//! The compiler against a machine that runs its programs, a reading of the profile that knows
//! nothing of programs, and the running kernel.

mod kernel;
mod machine;
mod meaning;

use std::collections::HashSet;

use oci_spec::runtime::{
    Capability, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg,
    LinuxSeccompArgBuilder, LinuxSeccompOperator as Operator, LinuxSyscall,
};

use super::{Arch, Filter, SeccompError, compile, docker_default, parse};
use machine::Call;

const KERNEL: (u32, u32) = (6, 1);

/// Docker's default set.
fn default_capabilities() -> HashSet<Capability> {
    use Capability::*;
    HashSet::from([
        Chown,
        DacOverride,
        Fsetid,
        Fowner,
        Mknod,
        NetRaw,
        Setgid,
        Setuid,
        Setfcap,
        Setpcap,
        NetBindService,
        SysChroot,
        Kill,
        AuditWrite,
    ])
}

fn all_capabilities() -> HashSet<Capability> {
    use Capability::*;
    HashSet::from([
        AuditControl,
        AuditRead,
        AuditWrite,
        BlockSuspend,
        Bpf,
        CheckpointRestore,
        Chown,
        DacOverride,
        DacReadSearch,
        Fowner,
        Fsetid,
        IpcLock,
        IpcOwner,
        Kill,
        Lease,
        LinuxImmutable,
        MacAdmin,
        MacOverride,
        Mknod,
        NetAdmin,
        NetBindService,
        NetBroadcast,
        NetRaw,
        Perfmon,
        Setfcap,
        Setgid,
        Setpcap,
        Setuid,
        SysAdmin,
        SysBoot,
        SysChroot,
        SysModule,
        SysNice,
        SysPacct,
        SysPtrace,
        SysRawio,
        SysResource,
        SysTime,
        SysTtyConfig,
        Syslog,
        WakeAlarm,
    ])
}

/// None, Docker's, each one alone and all.
fn capability_sets() -> Vec<HashSet<Capability>> {
    let mut sets = vec![HashSet::new(), default_capabilities(), all_capabilities()];
    sets.extend(
        all_capabilities()
            .into_iter()
            .map(|one| HashSet::from([one])),
    );
    sets
}

fn arg(index: usize, op: Operator, value: u64, value_two: Option<u64>) -> LinuxSeccompArg {
    let arg = LinuxSeccompArgBuilder::default()
        .index(index)
        .op(op)
        .value(value);
    match value_two {
        Some(two) => arg.value_two(two),
        None => arg,
    }
    .build()
    .unwrap()
}

fn rule(
    names: &[&str],
    action: Action,
    errno: Option<u32>,
    args: Vec<LinuxSeccompArg>,
) -> LinuxSyscall {
    let mut rule = LinuxSyscall::default();
    rule.set_names(names.iter().map(|name| (*name).to_owned()).collect());
    rule.set_action(action)
        .set_errno_ret(errno)
        .set_args(Some(args));
    rule
}

fn profile(default: Action, rules: Vec<LinuxSyscall>) -> LinuxSeccomp {
    let mut profile = LinuxSeccomp::default();
    profile
        .set_default_action(default)
        .set_syscalls(Some(rules));
    profile
}

/// All numbers that can matter, by all conventions there are, of either family.
fn numbers() -> Vec<(Arch, u32)> {
    let mut all = Vec::new();
    for arch in [Arch::X86_64, Arch::X86, Arch::X32, Arch::Aarch64, Arch::Arm] {
        let low = (0..1100)
            .chain(0xe_fff0..0xf_0010)
            .map(|number| number | arch.bit());
        let odd = [
            0x3fff_ffff,
            0x4000_0000,
            0x7fff_ffff,
            0x8000_0000,
            u32::MAX - 1,
            u32::MAX,
        ];
        all.extend(low.chain(odd).map(|number| (arch, number)));
    }
    all
}

fn assert_same(profile: &LinuxSeccomp, native: Arch, calls: impl Iterator<Item = Call>) {
    let filter = compile(profile, native).unwrap();
    let meaning = meaning::Profile::new(profile, native);
    for call in calls {
        let (got, _) = machine::run(&filter.program, &call);
        let expected = meaning.of(&call);
        assert_eq!(got, expected, "{call:x?}: {got:x}, not {expected:x}");
    }
}

#[test]
fn dockers_profile_means_what_it_says() {
    // Of each argument that some rule tests: the values around it, and with high bits.
    let mut values: Vec<u64> = vec![0, 1, u64::MAX];
    for value in [
        8,
        38,
        39,
        40,
        0x20000,
        0x20008,
        0xffff_ffff,
        0x7e02_0000,
        0x1000_0000,
        0x11,
    ] {
        values.extend([value - 1, value, value + 1, value | 1 << 32, value << 32]);
    }
    let sets = [HashSet::new(), default_capabilities(), all_capabilities()];
    for native in [Arch::X86_64, Arch::Aarch64, Arch::X86, Arch::X32, Arch::Arm] {
        for capabilities in &sets {
            let profile = docker_default(capabilities, native, KERNEL);
            let calls = numbers().into_iter().flat_map(|(arch, number)| {
                values.iter().map(move |value| Call {
                    arch: arch.audit(),
                    number,
                    args: [*value, 0, 0, 0, 0, 0],
                })
            });
            assert_same(&profile, native, calls);
        }
    }
}

/// Random profiles and calls, always the same ones.
#[test]
fn random_profiles_mean_what_they_say() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed >> 16).unwrap() % below
    };
    let names = [
        "read",
        "write",
        "dup",
        "dup2",
        "close",
        "socket",
        "personality",
        "clone",
        "mmap",
        "no_such_call",
        "accept",
        "socketcall",
        "ipc",
        "set_tls",
        "mseal",
    ];
    let actions = [
        Action::ScmpActAllow,
        Action::ScmpActErrno,
        Action::ScmpActKillProcess,
        Action::ScmpActTrap,
        Action::ScmpActLog,
        Action::ScmpActTrace,
        Action::ScmpActKill,
    ];
    let operators = [
        Operator::ScmpCmpNe,
        Operator::ScmpCmpLt,
        Operator::ScmpCmpLe,
        Operator::ScmpCmpEq,
        Operator::ScmpCmpGe,
        Operator::ScmpCmpGt,
        Operator::ScmpCmpMaskedEq,
    ];
    let values = [
        0,
        1,
        2,
        0xff,
        0xffff_ffff,
        0x1_0000_0000,
        0x1_0000_0001,
        0x1_ffff_ffff,
        0xdead_beef_0000_0001,
        u64::MAX - 1,
        u64::MAX,
    ];
    let conventions = [Arch::X86_64, Arch::X86, Arch::X32, Arch::Aarch64, Arch::Arm];
    for _ in 0..400 {
        let mut rules = Vec::new();
        for _ in 0..random(12) {
            let args = (0..random(4)).map(|_| {
                let two = (random(2) == 0).then(|| values[random(values.len())]);
                arg(
                    random(6),
                    operators[random(7)],
                    values[random(values.len())],
                    two,
                )
            });
            let args = args.collect();
            let some = [names[random(names.len())], names[random(names.len())]];
            let errno = (random(2) == 0).then(|| u32::try_from(random(200)).unwrap());
            rules.push(rule(&some, actions[random(actions.len())], errno, args));
        }
        let mut profile = profile(actions[random(actions.len())], rules);
        profile.set_architectures(Some(
            conventions
                .iter()
                .filter(|_| random(2) == 0)
                .map(|arch| arch.to_oci())
                .collect(),
        ));
        let native = conventions[random(5)];
        let interesting: Vec<_> = names
            .iter()
            .filter_map(|name| super::syscalls::find(name))
            .collect();
        let mut calls = Vec::new();
        for &arch in &conventions {
            let numbers = interesting.iter().filter_map(|numbers| numbers.on(arch));
            for number in numbers.chain([9999, 463 | arch.bit(), u32::MAX]) {
                for _ in 0..12 {
                    let args = std::array::from_fn(|_| values[random(values.len())]);
                    calls.push(Call {
                        arch: arch.audit(),
                        number,
                        args,
                    });
                }
            }
        }
        assert_same(&profile, native, calls.into_iter());
    }
}

/// A program that needs jumps beyond 255 instructions, and one that is too long.
#[test]
fn long_programs() {
    let many = |count: u64| {
        let rules = (0..count).map(|value| {
            rule(
                &["read", "dup", "mseal"],
                Action::ScmpActErrno,
                Some(u32::try_from(value % 4000).unwrap()),
                vec![arg(0, Operator::ScmpCmpEq, value << 20, None)],
            )
        });
        let mut profile = profile(Action::ScmpActAllow, rules.collect());
        profile.set_architectures(Some(vec![Arch::X86.to_oci(), Arch::X32.to_oci()]));
        profile
    };
    let profile = many(80);
    let filter = compile(&profile, Arch::X86_64).unwrap();
    assert!(filter.program.len() > 2000, "{}", filter.program.len());
    let calls = numbers().into_iter().flat_map(|(arch, number)| {
        [0, 1, 7 << 20, 79 << 20, 80 << 20].map(|value| Call {
            arch: arch.audit(),
            number,
            args: [value; 6],
        })
    });
    assert_same(&profile, Arch::X86_64, calls);

    let error = compile(&many(4000), Arch::X86_64).unwrap_err();
    assert!(matches!(error, SeccompError::TooLong { .. }), "{error}");
}

#[test]
fn the_table_is_dockers() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../shared/facts/seccomp-default.json"
    );
    let json = std::fs::read(path)
        .unwrap_or_else(|error| panic!("{path}, which this test needs: {error}"));
    for native in [Arch::X86_64, Arch::Aarch64, Arch::Arm, Arch::X86, Arch::X32] {
        for capabilities in capability_sets() {
            for kernel in [(4, 7), (4, 8), (6, 1)] {
                let theirs = parse(&json, &capabilities, native, kernel).unwrap();
                let ours = docker_default(&capabilities, native, kernel);
                assert_eq!(ours, theirs, "{native:?} {kernel:?} {capabilities:?}");
            }
        }
    }
}

#[test]
fn the_default_is_short_and_shallow() {
    let mut lengths = Vec::new();
    for native in [Arch::X86_64, Arch::Aarch64] {
        let profile = docker_default(&default_capabilities(), native, KERNEL);
        let filter = compile(&profile, native).unwrap();
        let depth = numbers()
            .into_iter()
            .filter(|(arch, _)| native.family().contains(arch))
            .map(|(arch, number)| {
                machine::run(
                    &filter.program,
                    &Call {
                        arch: arch.audit(),
                        number,
                        args: [0; 6],
                    },
                )
                .1
            })
            .max();
        lengths.push((filter.program.len(), depth));
    }
    println!("instructions, and the most that a call meets: {lengths:?}");
    assert!(
        lengths
            .iter()
            .all(|(length, depth)| *length < 600 && *depth < Some(24)),
        "{lengths:?}"
    );
}

#[test]
fn filters_survive_the_wire() {
    let filter = compile(
        &docker_default(&HashSet::new(), Arch::X86_64, KERNEL),
        Arch::X86_64,
    )
    .unwrap();
    let json = serde_json::to_string(&filter).unwrap();
    assert_eq!(serde_json::from_str::<Filter>(&json).unwrap(), filter);
}

#[test]
fn profiles_with_mistakes() {
    let none = HashSet::new();
    let parse = |json: &str| parse(json.as_bytes(), &none, Arch::X86_64, KERNEL);
    assert!(matches!(parse("{"), Err(SeccompError::Json(_))));
    assert!(matches!(
        parse(r#"{"defaultAction":"SCMP_ACT_MAYBE"}"#),
        Err(SeccompError::Json(_))
    ));
    let both = r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],"archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":null}]}"#;
    assert!(matches!(parse(both), Err(SeccompError::Architectures)));
    let names = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"a","names":["b"],"action":"SCMP_ACT_ERRNO"}]}"#;
    assert!(matches!(parse(names), Err(SeccompError::Names { .. })));
    let kernel = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["b"],"action":"SCMP_ACT_ERRNO","includes":{"minKernel":"new"}}]}"#;
    assert!(matches!(parse(kernel), Err(SeccompError::MinKernel { .. })));

    let compile = |default, rules| compile(&profile(default, rules), Arch::X86_64).unwrap_err();
    assert!(matches!(
        compile(Action::ScmpActNotify, vec![]),
        SeccompError::NotifyDefault
    ));
    let notify = rule(&["open", "write"], Action::ScmpActNotify, None, vec![]);
    assert!(matches!(
        compile(Action::ScmpActAllow, vec![notify]),
        SeccompError::NotifyOn { .. }
    ));
    let seventh = rule(
        &["dup"],
        Action::ScmpActErrno,
        None,
        vec![arg(6, Operator::ScmpCmpEq, 0, None)],
    );
    assert!(matches!(
        compile(Action::ScmpActAllow, vec![seventh]),
        SeccompError::Argument { index: 6, .. }
    ));
    let errno = rule(&["dup"], Action::ScmpActErrno, Some(4096), vec![]);
    assert!(matches!(
        compile(Action::ScmpActAllow, vec![errno]),
        SeccompError::ReturnValue { max: 4095, .. }
    ));
}

#[test]
fn docker_and_oci_formats() {
    let json = r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"comment":"x",
        "architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_FUTURE","SCMP_ARCH_X86"],
        "flags":["SECCOMP_FILTER_FLAG_LOG"],
        "syscalls":[{"name":"read","action":"SCMP_ACT_ALLOW","args":null,"includes":{},"excludes":{}},
                    {"names":["ptrace"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_PTRACE","CAP_OF_TOMORROW"]}},
                    {"names":["bpf"],"action":"SCMP_ACT_ALLOW","excludes":{"caps":["CAP_OF_TOMORROW"],"arches":["arm64"]}}]}"#;
    let profile = parse(json.as_bytes(), &all_capabilities(), Arch::X86_64, KERNEL).unwrap();
    let names: Vec<_> = profile
        .syscalls()
        .iter()
        .flatten()
        .flat_map(LinuxSyscall::names)
        .collect();
    assert_eq!(names, ["read", "bpf"]);
    assert_eq!(profile.architectures().as_ref().map(Vec::len), Some(2));
    assert_eq!(compile(&profile, Arch::X86_64).unwrap().flags, 2);
}

#[test]
fn notification_asks_for_a_listener() {
    let rules = vec![rule(&["mkdir"], Action::ScmpActNotify, None, vec![])];
    let filter = compile(&profile(Action::ScmpActAllow, rules), Arch::X86_64).unwrap();
    assert!(filter.notify);
    assert_eq!(filter.flags & 8, 8);
    let call = Call {
        arch: Arch::X86_64.audit(),
        number: 83,
        args: [0; 6],
    };
    assert_eq!(machine::run(&filter.program, &call).0, 0x7fc0_0000);
}
