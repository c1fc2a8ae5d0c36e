//! Classic BPF as the kernel runs it on `struct seccomp_data`, as far as filters use it.

use crate::seccomp::Instruction;

#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) arch: u32,
    pub(super) number: u32,
    pub(super) args: [u64; 6],
}

impl Call {
    fn word(&self, offset: u32) -> u32 {
        assert_eq!(offset % 4, 0, "the kernel refuses unaligned loads");
        match offset {
            0 => self.number,
            4 => self.arch,
            16..64 => {
                let arg = self.args[usize::try_from((offset - 16) / 8).unwrap()].to_le_bytes();
                let half = usize::try_from(offset % 8).unwrap();
                u32::from_le_bytes(arg[half..half + 4].try_into().unwrap())
            }
            _ => panic!("a load from {offset}"),
        }
    }
}

/// The value returned, and how many instructions it took.
pub(super) fn run(program: &[Instruction], call: &Call) -> (u32, usize) {
    let mut accumulator = 0u32;
    let mut at = 0;
    for steps in 1.. {
        let Instruction { code, jt, jf, k } = program[at];
        at += 1;
        let mut jump = |yes: bool| at += usize::from(if yes { jt } else { jf });
        match code {
            0x20 => accumulator = call.word(k),
            0x54 => accumulator &= k,
            0x05 => at += usize::try_from(k).unwrap(),
            0x15 => jump(accumulator == k),
            0x25 => jump(accumulator > k),
            0x35 => jump(accumulator >= k),
            0x06 => return (k, steps),
            _ => panic!("instruction {code:#x}"),
        }
    }
    unreachable!("a program jumps forwards only")
}
