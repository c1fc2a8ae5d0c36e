//! The outcome of a number, and the binary search for it.

use oci_spec::runtime::{LinuxSeccompArg, LinuxSeccompOperator as Operator};

use super::Arch;
use super::assemble::{AND_K, Assembler, JEQ_K, JGE_K, JGT_K, LD_W_ABS, Place};

/// The offset in `struct seccomp_data`.
const ARGUMENTS: u32 = 16;

pub(super) struct Rule {
    pub(super) conditions: Vec<LinuxSeccompArg>,
    pub(super) value: u32,
}

/// One rule for one call of one convention.
pub(super) struct Call {
    pub(super) number: u32,
    pub(super) rule: usize,
    /// Compare the arguments' low halves only.
    pub(super) narrow: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Return(u32),
    /// The first of these rules that holds, else the default.
    Test {
        rules: Vec<usize>,
        narrow: bool,
    },
}

/// Where each run of numbers with one outcome begins, ascending.
#[derive(Default)]
pub(super) struct Runs(pub(super) Vec<(u32, Outcome)>);

impl Runs {
    pub(super) fn push(&mut self, start: u32, outcome: Outcome) {
        match self.0.last_mut() {
            Some((last, current)) if *last == start => *current = outcome,
            Some((_, current)) if *current == outcome => {}
            _ => self.0.push((start, outcome)),
        }
    }

    pub(super) fn add(
        &mut self,
        arch: Arch,
        calls: &mut [Call],
        rules: &[Rule],
        default: u32,
        highest: Option<u32>,
        unknown: Option<u32>,
    ) {
        // Stable: the rules of one call stay in the profile's order.
        calls.sort_by_key(|call| call.number);
        let tail = highest.and_then(|highest| Some((highest + 1, unknown?)));
        let mut rest = Outcome::Return(default);
        let mut tail = tail.map(|(start, value)| (start, Outcome::Return(value)));
        self.push(arch.bit(), rest.clone());
        for same in calls.chunk_by(|a, b| a.number == b.number) {
            let number = same[0].number;
            if let Some((start, outcome)) = tail.take_if(|(start, _)| *start <= number) {
                self.push(start, outcome.clone());
                rest = outcome;
            }
            let always = same
                .iter()
                .find(|call| rules[call.rule].conditions.is_empty());
            let outcome = match always {
                Some(call) => Outcome::Return(rules[call.rule].value),
                None => Outcome::Test {
                    rules: same.iter().map(|call| call.rule).collect(),
                    narrow: same[0].narrow,
                },
            };
            self.push(number, outcome);
            self.push(number + 1, rest.clone());
        }
        if let Some((start, outcome)) = tail {
            self.push(start, outcome);
        }
    }
}

pub(super) struct Search<'a> {
    pub(super) rules: &'a [Rule],
    pub(super) default: u32,
}

impl Search<'_> {
    pub(super) fn emit(&self, to: &mut Assembler, runs: &[(u32, Outcome)]) -> Place {
        match runs {
            [] => to.ret(self.default),
            [(_, Outcome::Return(value))] => to.ret(*value),
            [(_, Outcome::Test { rules, narrow })] => self.test(to, rules, *narrow),
            // One number that differs from its surroundings, as refused calls do.
            [(_, before), (number, only), (end, after)]
                if before == after && *end == number + 1 =>
            {
                let no = self.emit(to, &runs[..1]);
                let yes = self.outcome(to, only);
                to.branch(JEQ_K, *number, yes, no)
            }
            _ => {
                let (below, above) = runs.split_at(runs.len() / 2);
                let start = above.first().map_or(0, |(start, _)| *start);
                let yes = self.emit(to, above);
                let no = self.emit(to, below);
                to.branch(JGE_K, start, yes, no)
            }
        }
    }

    fn outcome(&self, to: &mut Assembler, outcome: &Outcome) -> Place {
        match outcome {
            Outcome::Return(value) => to.ret(*value),
            Outcome::Test { rules, narrow } => self.test(to, rules, *narrow),
        }
    }

    fn test(&self, to: &mut Assembler, rules: &[usize], narrow: bool) -> Place {
        let mut otherwise = to.ret(self.default);
        for rule in rules.iter().rev().map(|rule| &self.rules[*rule]) {
            let mut holds = to.ret(rule.value);
            for arg in rule.conditions.iter().rev() {
                holds = condition(to, arg, narrow, holds, otherwise);
            }
            otherwise = holds;
        }
        otherwise
    }
}

/// Tests one argument and goes on at either place. `seccomp_data` holds it in the machine's
/// byte order, which is little-endian on all that are served here.
fn condition(
    to: &mut Assembler,
    arg: &LinuxSeccompArg,
    narrow: bool,
    yes: Place,
    no: Place,
) -> Place {
    let halves = |value: u64| ((value >> 32) as u32, value as u32);
    let offset = ARGUMENTS + 8 * u32::try_from(arg.index()).unwrap_or(0);
    let (mask, value, yes, no, ordered) = match arg.op() {
        Operator::ScmpCmpMaskedEq => (
            arg.value(),
            arg.value_two().unwrap_or(0) & arg.value(),
            yes,
            no,
            None,
        ),
        Operator::ScmpCmpEq => (u64::MAX, arg.value(), yes, no, None),
        Operator::ScmpCmpNe => (u64::MAX, arg.value(), no, yes, None),
        Operator::ScmpCmpGe => (u64::MAX, arg.value(), yes, no, Some(JGE_K)),
        Operator::ScmpCmpLt => (u64::MAX, arg.value(), no, yes, Some(JGE_K)),
        Operator::ScmpCmpGt => (u64::MAX, arg.value(), yes, no, Some(JGT_K)),
        Operator::ScmpCmpLe => (u64::MAX, arg.value(), no, yes, Some(JGT_K)),
    };
    let (mask_high, mask_low) = halves(mask);
    let (high, low) = halves(value);

    let mut place = to.branch(ordered.unwrap_or(JEQ_K), low, yes, no);
    if mask_low != u32::MAX {
        place = to.then(AND_K, mask_low, place);
    }
    place = to.then(LD_W_ABS, offset, place);
    if narrow || mask_high == 0 {
        return place;
    }
    place = to.branch(JEQ_K, high, place, no);
    if ordered.is_some() {
        place = to.branch(JGT_K, high, yes, place);
    }
    if mask_high != u32::MAX {
        place = to.then(AND_K, mask_high, place);
    }
    to.then(LD_W_ABS, offset + 4, place)
}
