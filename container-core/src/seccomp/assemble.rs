//! Puts a program together from its end to its beginning.
//!
//! Classic BPF jumps only forwards, and conditionally only by 255 instructions. Working
//! backwards, every target is known when a jump to it is written; one out of reach gets a copy
//! (a return) or an unconditional jump, which has 32 bits, within reach.

use super::Instruction;

pub(super) const LD_W_ABS: u16 = 0x20;
pub(super) const AND_K: u16 = 0x54;
pub(super) const JA: u16 = 0x05;
pub(super) const JEQ_K: u16 = 0x15;
pub(super) const JGT_K: u16 = 0x25;
pub(super) const JGE_K: u16 = 0x35;
pub(super) const RET_K: u16 = 0x06;

/// An instruction, counted from the program's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(usize);

#[derive(Default)]
pub(super) struct Assembler {
    reversed: Vec<Instruction>,
    /// The newest return of each value, to be shared.
    returns: Vec<(u32, Place)>,
}

impl Assembler {
    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) -> Place {
        self.reversed.push(Instruction { code, jt, jf, k });
        Place(self.reversed.len() - 1)
    }

    /// How far the next instruction has to jump to get there.
    fn distance(&self, to: Place) -> usize {
        self.reversed.len() - 1 - to.0
    }

    pub(super) fn len(&self) -> usize {
        self.reversed.len()
    }

    pub(super) fn statement(&mut self, code: u16, k: u32) -> Place {
        self.push(code, 0, 0, k)
    }

    pub(super) fn ret(&mut self, value: u32) -> Place {
        let known = self.returns.iter().position(|(v, _)| *v == value);
        if let Some(at) = known
            && self.distance(self.returns[at].1) <= 200
        {
            return self.returns[at].1;
        }
        let place = self.statement(RET_K, value);
        match known {
            Some(at) => self.returns[at].1 = place,
            None => self.returns.push((value, place)),
        }
        place
    }

    /// The same outcome within reach of the next instruction.
    fn near(&mut self, to: Place) -> Place {
        let distance = self.distance(to);
        if distance <= 255 {
            return to;
        }
        let target = self.reversed[to.0];
        if target.code == RET_K {
            return self.ret(target.k);
        }
        // A distance is below the number of instructions, which compile() bounds.
        self.statement(JA, u32::try_from(distance).unwrap_or(u32::MAX))
    }

    pub(super) fn branch(&mut self, code: u16, k: u32, mut yes: Place, mut no: Place) -> Place {
        if yes == no {
            return yes;
        }
        // Bringing one nearer moves the other away, by one.
        loop {
            yes = self.near(yes);
            no = self.near(no);
            if let (Ok(jt), Ok(jf)) = (self.distance(yes).try_into(), self.distance(no).try_into())
            {
                return self.push(code, jt, jf, k);
            }
        }
    }

    /// Falls through to `to`, which need not be the instruction written last.
    pub(super) fn then(&mut self, code: u16, k: u32, to: Place) -> Place {
        let distance = self.distance(to);
        if distance > 0 {
            self.statement(JA, u32::try_from(distance).unwrap_or(u32::MAX));
        }
        self.statement(code, k)
    }

    pub(super) fn finish(mut self) -> Vec<Instruction> {
        self.reversed.reverse();
        self.reversed
    }
}
