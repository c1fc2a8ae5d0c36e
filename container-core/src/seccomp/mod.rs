//! System call filters: Docker's and OCI's seccomp profiles, compiled to classic BPF.
//!
//! Everything here decides and touches nothing: a profile goes in, a [`Filter`] comes out, and
//! the plan's executor hands it to seccomp(2) in the container's first process.
//!
//! ```
//! use container_core::seccomp::{self, Arch};
//! use std::collections::HashSet;
//!
//! let profile = seccomp::docker_default(&HashSet::new(), Arch::NATIVE, (6, 1));
//! let filter = seccomp::compile(&profile, Arch::NATIVE)?;
//! assert!(filter.program.len() < 1000);
//! # Ok::<(), seccomp::SeccompError>(())
//! ```
//!
//! # What a profile means
//!
//! As runc and crun read it, who both hand it to libseccomp:
//!
//! - A rule holds for a call if all its conditions do; several rules of one call are
//!   alternatives. A rule without conditions wins over those with; otherwise the first that
//!   holds decides. A rule that has two conditions on the *same* argument is taken as one
//!   alternative for each of its conditions (runc's reading, kept so that a profile means one
//!   thing everywhere).
//! - A rule whose action is the default action is dropped.
//! - Names that this architecture does not have are skipped.
//! - A call by a convention that the profile does not list (`architectures`; the native one is
//!   always listed) kills the process.
//! - `MASKED_EQ` compares `argument & value` with `valueTwo & value`. Conventions of 32 bits
//!   compare the low halves.
//! - Calls numbered above all that the profile names answer `ENOSYS` instead of a default
//!   that refuses, since programs take `EPERM` from a call they try first for a real refusal
//!   and do not fall back to the older one (runc's remedy; not if the default is to allow,
//!   log or trace).
//!
//! Two things are stricter than libseccomp, on purpose:
//!
//! - The arguments of `socket` and `personality` are 32 bits wide in the kernel, so only those
//!   are compared. With 64 bits, `socket(AF_ALG | 1 << 32, …)` is "greater than 40" to the
//!   filter and AF_ALG to the kernel.
//! - `socketcall` and `ipc` of 32-bit x86 are what the rules naming *them* say. libseccomp
//!   also lets `socketcall` do what a rule allows `socket` to do, without its conditions: the
//!   arguments lie behind a pointer, which no filter can follow.

mod arch;
mod assemble;
mod compile;
mod docker;
mod error;
mod filter;
mod parse;
mod search;
mod syscalls;
#[cfg(test)]
mod tests;

pub use arch::Arch;
pub use compile::compile;
pub use docker::docker_default;
pub use error::SeccompError;
pub use filter::{Filter, Instruction};
pub use parse::parse;
