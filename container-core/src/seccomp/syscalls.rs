//! System call names and numbers of the five calling conventions that run on x86-64 and Arm.

mod table;

use super::Arch;
use table::TABLE;

/// The longest name is 28 bytes (`sched_rr_get_interval_time64`).
const NAME: usize = 28;
/// The convention has no such call.
const NONE: u32 = u32::MAX;

/// Names are held inline, not as `&str`: a table of pointers would need relocating, and so
/// copying, in every process that is started, and the monitor of each container is one.
struct Row {
    name: [u8; NAME],
    numbers: [u32; Arch::COUNT],
}

const fn row(name: &str, numbers: [u32; Arch::COUNT]) -> Row {
    let bytes = name.as_bytes();
    let mut padded = [0; NAME];
    let mut at = 0;
    while at < bytes.len() {
        padded[at] = bytes[at];
        at += 1;
    }
    Row {
        name: padded,
        numbers,
    }
}

/// The numbers one name has.
#[derive(Clone, Copy)]
pub(super) struct Numbers(&'static [u32; Arch::COUNT]);

impl Numbers {
    /// As seccomp sees it: x32's carry their bit.
    pub(super) fn on(self, arch: Arch) -> Option<u32> {
        let number = self.0[arch as usize];
        (number != NONE).then_some(number | arch.bit())
    }
}

/// `None` for a name that no convention here has: of another architecture, of a kernel newer
/// than the table, or a mistake. libseccomp skips those too, or no profile would outlive a kernel.
pub(super) fn find(name: &str) -> Option<Numbers> {
    let bytes = name.as_bytes();
    let mut padded = [0; NAME];
    padded.get_mut(..bytes.len())?.copy_from_slice(bytes);
    let at = TABLE.binary_search_by(|row| row.name.cmp(&padded)).ok()?;
    Some(Numbers(&TABLE[at].numbers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(TABLE.is_sorted_by(|a, b| a.name < b.name));
    }

    #[test]
    fn known_numbers() {
        let on = |name: &str, arch| find(name).and_then(|numbers| numbers.on(arch));
        assert_eq!(on("clone3", Arch::X86_64), Some(435));
        assert_eq!(on("socketcall", Arch::X86), Some(102));
        assert_eq!(on("socketcall", Arch::X86_64), None);
        assert_eq!(on("execveat", Arch::X32), Some(0x4000_0000 | 545));
        assert_eq!(on("openat", Arch::Aarch64), Some(56));
        assert_eq!(on("set_tls", Arch::Arm), Some(0xf0005));
        assert_eq!(on("riscv_hwprobe", Arch::Aarch64), None);
        assert_eq!(
            on("a name far longer than any system call has", Arch::X86),
            None
        );
    }

    /// What the C library's headers say where the tests run.
    #[test]
    fn numbers_of_the_running_architecture() {
        let native = Arch::NATIVE;
        for (name, number) in [
            ("read", libc::SYS_read),
            ("seccomp", libc::SYS_seccomp),
            ("clone3", libc::SYS_clone3),
            ("landlock_restrict_self", libc::SYS_landlock_restrict_self),
            ("pidfd_getfd", libc::SYS_pidfd_getfd),
            ("mount_setattr", libc::SYS_mount_setattr),
        ] {
            let ours = find(name).and_then(|numbers| numbers.on(native));
            assert_eq!(ours.map(i64::from), Some(number), "{name}");
        }
    }
}
