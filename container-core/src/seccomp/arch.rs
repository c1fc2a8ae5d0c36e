//! Calling conventions.

use oci_spec::runtime as oci;

/// A system call convention that a kernel of x86-64 or Arm serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Arch {
    /// 64-bit x86.
    X86_64,
    /// 32-bit x86 (i386), by `int 0x80` or sysenter.
    X86,
    /// 64-bit x86 with 32-bit pointers: the numbers carry a bit of their own.
    X32,
    /// 64-bit Arm.
    Aarch64,
    /// 32-bit Arm (EABI).
    Arm,
}

/// `__X32_SYSCALL_BIT` of asm/unistd.h.
pub(super) const X32_BIT: u32 = 0x4000_0000;

impl Arch {
    pub(super) const COUNT: usize = 5;

    /// The convention this program was built for.
    pub const NATIVE: Arch = if cfg!(target_arch = "x86_64") {
        if cfg!(target_pointer_width = "32") {
            Arch::X32
        } else {
            Arch::X86_64
        }
    } else if cfg!(target_arch = "x86") {
        Arch::X86
    } else if cfg!(target_arch = "aarch64") {
        Arch::Aarch64
    } else if cfg!(target_arch = "arm") {
        Arch::Arm
    } else {
        panic!("container-core runs on x86-64 and Arm")
    };

    /// All that a kernel which serves this one may serve. A filter need not speak of others:
    /// such a call cannot be made.
    pub(super) fn family(self) -> &'static [Arch] {
        match self {
            Arch::X86_64 | Arch::X86 | Arch::X32 => &[Arch::X86_64, Arch::X86, Arch::X32],
            Arch::Aarch64 | Arch::Arm => &[Arch::Aarch64, Arch::Arm],
        }
    }

    /// `AUDIT_ARCH_*` of linux/audit.h: what `seccomp_data.arch` holds. x32 shares x86-64's.
    pub(super) fn audit(self) -> u32 {
        match self {
            Arch::X86_64 | Arch::X32 => 0xc000_003e,
            Arch::X86 => 0x4000_0003,
            Arch::Aarch64 => 0xc000_00b7,
            Arch::Arm => 0x4000_0028,
        }
    }

    pub(super) fn bit(self) -> u32 {
        if self == Arch::X32 { X32_BIT } else { 0 }
    }

    /// Are the argument registers 64 bits wide? x32's are: only its pointers are not.
    pub(super) fn is_wide(self) -> bool {
        !matches!(self, Arch::X86 | Arch::Arm)
    }

    /// The name Go, and so Docker's profiles, have for it.
    pub(super) fn go_name(self) -> &'static str {
        match self {
            Arch::X86_64 => "amd64",
            Arch::X86 => "x86",
            Arch::X32 => "x32",
            Arch::Aarch64 => "arm64",
            Arch::Arm => "arm",
        }
    }

    pub(super) fn to_oci(self) -> oci::Arch {
        match self {
            Arch::X86_64 => oci::Arch::ScmpArchX86_64,
            Arch::X86 => oci::Arch::ScmpArchX86,
            Arch::X32 => oci::Arch::ScmpArchX32,
            Arch::Aarch64 => oci::Arch::ScmpArchAarch64,
            Arch::Arm => oci::Arch::ScmpArchArm,
        }
    }

    /// The name libseccomp, and so OCI's profiles, have for it; not oci-spec's derived one,
    /// which cannot tell where the underscores go in `SCMP_ARCH_X86_64`.
    pub(super) fn scmp_name(self) -> &'static str {
        match self {
            Arch::X86_64 => "SCMP_ARCH_X86_64",
            Arch::X86 => "SCMP_ARCH_X86",
            Arch::X32 => "SCMP_ARCH_X32",
            Arch::Aarch64 => "SCMP_ARCH_AARCH64",
            Arch::Arm => "SCMP_ARCH_ARM",
        }
    }
}
