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
