//! Device rules as a program for v2, which has no files for them. Pure.

use super::devices::{ALL, Kind, Rule};

/// `struct bpf_insn` of linux/bpf.h.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instruction {
    pub(super) code: u8,
    /// The destination in the low half, the source in the high one (little-endian machines).
    pub(super) registers: u8,
    pub(super) offset: i16,
    pub(super) immediate: i32,
}

pub(super) const LOAD_W: u8 = 0x61; // dst = *(u32 *)(src + offset)
pub(super) const MOV_K: u8 = 0xb7; // dst = immediate
pub(super) const MOV32_X: u8 = 0xbc; // dst = src
pub(super) const AND32_K: u8 = 0x54; // dst &= immediate
pub(super) const RSH32_K: u8 = 0x74; // dst >>= immediate
pub(super) const JEQ32_K: u8 = 0x16; // if dst == immediate, skip
pub(super) const JNE32_K: u8 = 0x56; // if dst != immediate, skip
pub(super) const EXIT: u8 = 0x95;

// r1 points to struct bpf_cgroup_dev_ctx { u32 access << 16 | type, major, minor }.
const CONTEXT: u8 = 1;
const TYPE: u8 = 2;
const ASKED: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const RESULT: u8 = 0;
const SCRATCH: u8 = 6;

/// A program that answers 1 if all the access asked for is allowed: of each of read, write and
/// mknod the last rule that speaks of it and of the device decides; without any, it is denied.
///
/// The rules are gone through from the last, keeping what is still undecided. (Taking a rule
/// only where it speaks of *all* that is asked would let opening for reading and writing pass
/// by a rule that denies writing.)
pub(super) fn compile(rules: &[Rule]) -> Vec<Instruction> {
    let mut program = vec![
        load(TYPE, 0),
        copy(ASKED, TYPE),
        operation(AND32_K, TYPE, 0xffff),
        operation(RSH32_K, ASKED, 16),
        load(MAJOR, 4),
        load(MINOR, 8),
    ];
    for rule in rules.iter().rev() {
        let verdict = [
            operation(MOV_K, RESULT, i32::from(rule.allow)),
            operation(EXIT, 0, 0),
        ];
        if rule.is_general() && rule.access == ALL {
            // The end: the verifier refuses instructions that cannot be reached.
            program.extend(verdict);
            return program;
        }
        let mut block = Vec::new();
        if let Some(kind) = rule.kind {
            let kind = match kind {
                Kind::Block => 1,
                Kind::Char => 2,
            };
            block.push(operation(JNE32_K, TYPE, kind));
        }
        for (register, number) in [(MAJOR, rule.major), (MINOR, rule.minor)] {
            if let Some(number) = number {
                block.push(operation(JNE32_K, register, number.cast_signed()));
            }
        }
        let access = i32::from(rule.access);
        if rule.access == ALL {
            // Nothing can be left undecided.
        } else if rule.allow {
            block.push(operation(AND32_K, ASKED, i32::from(ALL) & !access));
            block.push(operation(JNE32_K, ASKED, 0));
        } else {
            block.push(copy(SCRATCH, ASKED));
            block.push(operation(AND32_K, SCRATCH, access));
            block.push(operation(JEQ32_K, SCRATCH, 0));
        }
        block.extend(verdict);
        // Each test skips to the next rule.
        let length = block.len();
        for (at, instruction) in block.iter_mut().enumerate() {
            if matches!(instruction.code, JEQ32_K | JNE32_K) {
                instruction.offset = i16::try_from(length - at - 1).unwrap_or(i16::MAX);
            }
        }
        program.extend(block);
    }
    program.extend([operation(MOV_K, RESULT, 0), operation(EXIT, 0, 0)]);
    program
}

fn operation(code: u8, register: u8, immediate: i32) -> Instruction {
    Instruction {
        code,
        registers: register,
        offset: 0,
        immediate,
    }
}

fn copy(to: u8, from: u8) -> Instruction {
    Instruction {
        code: MOV32_X,
        registers: to | from << 4,
        offset: 0,
        immediate: 0,
    }
}

fn load(to: u8, offset: i16) -> Instruction {
    Instruction {
        code: LOAD_W,
        registers: to | CONTEXT << 4,
        offset,
        immediate: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::devices::{MKNOD, READ, WRITE, default_device_rules, rules};

    /// As the kernel runs it.
    fn run(program: &[Instruction], kind: u32, access: u32, major: u32, minor: u32) -> u64 {
        let context = [access << 16 | kind, major, minor];
        let mut registers = [0u64; 11];
        let mut at = 0;
        loop {
            let Instruction {
                code,
                registers: packed,
                offset,
                immediate,
            } = program[at];
            at += 1;
            let (to, from) = (usize::from(packed & 15), usize::from(packed >> 4));
            let value = registers[to];
            let low = |value: u64| value & 0xffff_ffff;
            let skip = usize::try_from(offset).unwrap_or_default();
            let unsigned = u64::from(immediate.cast_unsigned());
            match code {
                LOAD_W => registers[to] = u64::from(context[skip / 4]),
                MOV_K => registers[to] = unsigned,
                MOV32_X => registers[to] = low(registers[from]),
                AND32_K => registers[to] = low(value & unsigned),
                RSH32_K => registers[to] = low(value) >> unsigned,
                JEQ32_K => at += if low(value) == unsigned { skip } else { 0 },
                JNE32_K => at += if low(value) == unsigned { 0 } else { skip },
                EXIT => return registers[0],
                _ => panic!("instruction {code:#x}"),
            }
        }
    }

    /// Bit by bit, by the last rule that speaks of it.
    fn allowed(rules: &[Rule], kind: u32, access: u32, major: u32, minor: u32) -> bool {
        [READ, WRITE, MKNOD]
            .into_iter()
            .filter(|bit| access & u32::from(*bit) != 0)
            .all(|bit| {
                let last = rules.iter().rev().find(|rule| {
                    let of_kind = match rule.kind {
                        None => true,
                        Some(Kind::Block) => kind == 1,
                        Some(Kind::Char) => kind == 2,
                    };
                    of_kind
                        && rule.major.is_none_or(|number| number == major)
                        && rule.minor.is_none_or(|number| number == minor)
                        && rule.access & bit != 0
                });
                last.is_some_and(|rule| rule.allow)
            })
    }

    fn check(rules: &[Rule]) {
        let program = compile(rules);
        for kind in [1, 2] {
            for access in 1..8 {
                for major in [0, 1, 5, 136, u32::MAX] {
                    for minor in [0, 1, 3, 11] {
                        let got = run(&program, kind, access, major, minor);
                        let expected = allowed(rules, kind, access, major, minor);
                        assert_eq!(
                            got == 1,
                            expected,
                            "{rules:?} {kind} {access} {major}:{minor}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn programs_say_what_the_rules_say() {
        let default = rules(&default_device_rules()).unwrap();
        check(&default);
        check(&[]);
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = |below: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed >> 20) % below
        };
        for _ in 0..500 {
            let number =
                |choice: u64, of: &[u32]| of.get(usize::try_from(choice).unwrap()).copied();
            let some: Vec<_> = (0..random(8))
                .map(|_| Rule {
                    allow: random(2) == 0,
                    kind: [None, Some(Kind::Block), Some(Kind::Char)]
                        [usize::try_from(random(3)).unwrap()],
                    major: number(random(7), &[0, 1, 5, 136, u32::MAX]),
                    minor: number(random(6), &[0, 1, 3, 11]),
                    access: u8::try_from(1 + random(7)).unwrap(),
                })
                .collect();
            check(&some);
        }
    }

    #[test]
    fn nothing_follows_what_always_ends() {
        let all = Rule {
            allow: true,
            kind: None,
            major: None,
            minor: None,
            access: ALL,
        };
        let deny = Rule {
            allow: false,
            ..all
        };
        assert_eq!(compile(&[deny, all]).len(), compile(&[all]).len());
    }

    #[test]
    fn lines_of_v1() {
        let lines: Vec<_> = rules(&default_device_rules())
            .unwrap()
            .iter()
            .flat_map(Rule::lines)
            .collect();
        let expected = [
            "a",
            "c *:* m",
            "b *:* m",
            "c 1:3 rwm",
            "c 1:5 rwm",
            "c 1:7 rwm",
            "c 1:8 rwm",
            "c 1:9 rwm",
            "c 5:0 rwm",
            "c 5:1 rwm",
            "c 5:2 rwm",
            "c 136:* rwm",
            "c 10:200 rwm",
        ];
        assert_eq!(lines, expected);
        let some = Rule {
            allow: true,
            kind: None,
            major: Some(1),
            minor: None,
            access: READ,
        };
        assert_eq!(some.lines(), ["b 1:* r", "c 1:* r"]);
    }
}
