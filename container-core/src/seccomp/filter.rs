//! The compiled filter.

use serde::{Deserialize, Serialize};

/// One instruction of classic BPF: `struct sock_filter` of linux/filter.h.
///
/// Serialised as one number, since a plan carries hundreds of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "u64", into = "u64")]
pub struct Instruction {
    /// The operation.
    pub code: u16,
    /// How many instructions to skip if the comparison holds.
    pub jt: u8,
    /// How many instructions to skip if it does not.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

impl From<u64> for Instruction {
    fn from(packed: u64) -> Self {
        let [c1, c0, jt, jf, k3, k2, k1, k0] = packed.to_be_bytes();
        Instruction {
            code: u16::from_be_bytes([c1, c0]),
            jt,
            jf,
            k: u32::from_be_bytes([k3, k2, k1, k0]),
        }
    }
}

impl From<Instruction> for u64 {
    fn from(i: Instruction) -> u64 {
        let [c1, c0] = i.code.to_be_bytes();
        let [k3, k2, k1, k0] = i.k.to_be_bytes();
        u64::from_be_bytes([c1, c0, i.jt, i.jf, k3, k2, k1, k0])
    }
}

/// A program and how to install it with `seccomp(SECCOMP_SET_MODE_FILTER, flags, program)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// At most 4096 instructions.
    pub program: Vec<Instruction>,
    /// `SECCOMP_FILTER_FLAG_*` of linux/seccomp.h, `NEW_LISTENER` among them if
    /// [`notify`](Self::notify) is set.
    pub flags: u32,
    /// Some call is to be answered by an agent: seccomp(2) returns the fd to listen on.
    pub notify: bool,
}
