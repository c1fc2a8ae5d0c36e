//! Filters on the running kernel.
#![allow(
    unsafe_code,
    reason = "installs filters and makes calls that have no wrapper"
)]

use std::collections::HashSet;

use oci_spec::runtime::LinuxSeccompAction as Action;

use super::{KERNEL, default_capabilities, profile, rule};
use crate::seccomp::{Arch, Filter, compile, docker_default};

/// Runs `calls` in a thread that has the filter: it holds for that thread only.
fn confined<T: Send + 'static>(filter: Filter, calls: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::spawn(move || {
        install(&filter);
        calls()
    });
    thread.join().unwrap()
}

fn install(filter: &Filter) {
    #[repr(C)]
    struct Program {
        len: u16,
        filter: *const libc::sock_filter,
    }
    let code: Vec<_> = filter
        .program
        .iter()
        .map(|i| libc::sock_filter {
            code: i.code,
            jt: i.jt,
            jf: i.jf,
            k: i.k,
        })
        .collect();
    let program = Program {
        len: code.len().try_into().unwrap(),
        filter: code.as_ptr(),
    };
    // SAFETY: plain numbers, and a program that outlives the call.
    let installed = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            filter.flags,
            &raw const program,
        )
    };
    assert_eq!(installed, 0, "{}", std::io::Error::last_os_error());
}

fn call(number: i64, args: [u64; 3]) -> Result<i64, i32> {
    // SAFETY: the tests below pass what these calls take, or are refused.
    let result = unsafe { libc::syscall(number, args[0], args[1], args[2], 0, 0, 0) };
    if result < 0 {
        Err(std::io::Error::last_os_error().raw_os_error().unwrap())
    } else {
        Ok(result)
    }
}

fn docker(capabilities: HashSet<oci_spec::runtime::Capability>) -> Filter {
    compile(
        &docker_default(&capabilities, Arch::NATIVE, KERNEL),
        Arch::NATIVE,
    )
    .unwrap()
}

#[test]
fn the_default_refuses_what_docker_refuses() {
    const NEWUSER: u64 = libc::CLONE_NEWUSER as u64;
    confined(docker(default_capabilities()), || {
        assert_eq!(call(libc::SYS_clone, [NEWUSER, 0, 0]), Err(libc::EPERM));
        assert_eq!(call(libc::SYS_unshare, [0, 0, 0]), Err(libc::EPERM));
        assert_eq!(call(libc::SYS_clone3, [0, 0, 0]), Err(libc::ENOSYS));
        assert_eq!(call(libc::SYS_mount, [0, 0, 0]), Err(libc::EPERM));
        assert_eq!(call(libc::SYS_bpf, [0, 0, 0]), Err(libc::EPERM));
        assert_eq!(call(libc::SYS_keyctl, [0, 0, 0]), Err(libc::EPERM));
        // Newer than any that the profile knows.
        assert_eq!(call(1000, [0, 0, 0]), Err(libc::ENOSYS));
        assert_eq!(call(libc::SYS_socket, [38, 5, 0]), Err(libc::EPERM));
        assert_eq!(call(libc::SYS_socket, [40, 1, 0]), Err(libc::EPERM));
        // The kernel reads the low half, and so does the filter.
        assert_eq!(
            call(libc::SYS_socket, [38 | 1 << 32, 5, 0]),
            Err(libc::EPERM)
        );
        let unix = call(libc::SYS_socket, [1, 1, 0]).unwrap();
        call(libc::SYS_close, [unix.cast_unsigned(), 0, 0]).unwrap();
        call(libc::SYS_personality, [0xffff_ffff, 0, 0]).unwrap();
        assert_eq!(
            call(libc::SYS_personality, [0x0040_0000, 0, 0]),
            Err(libc::EPERM)
        );
        call(libc::SYS_getpid, [0; 3]).unwrap();
        // A thread can still be had: the C library falls back from clone3.
        std::thread::spawn(|| ()).join().unwrap();
    });
}

#[test]
fn with_cap_sys_admin_the_kernel_decides() {
    let admin = HashSet::from([oci_spec::runtime::Capability::SysAdmin]);
    confined(docker(admin), || {
        assert_eq!(call(libc::SYS_clone3, [0, 0, 0]), Err(libc::EINVAL));
        assert_eq!(call(libc::SYS_unshare, [0, 0, 0]), Ok(0));
        assert_eq!(call(libc::SYS_bpf, [9999, 0, 0]).unwrap_err(), libc::EINVAL);
        assert_eq!(call(libc::SYS_keyctl, [0, 0, 0]), Err(libc::EPERM));
    });
}

/// By i386's own numbers.
#[cfg(target_arch = "x86_64")]
fn int80(number: u32, arg: u32) -> i32 {
    let result: i32;
    // SAFETY: takes no memory; rbx, which the compiler keeps for itself, is put back.
    unsafe {
        std::arch::asm!(
            "xchg rbx, {arg}",
            "int 0x80",
            "xchg rbx, {arg}",
            arg = inout(reg) u64::from(arg) => _,
            inout("eax") number => result,
            in("ecx") 0, in("edx") 0, in("esi") 0, in("edi") 0,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    result
}

#[cfg(target_arch = "x86_64")]
#[test]
fn by_the_32_bit_door_too() {
    const PERSONALITY: u32 = 136;
    const CLONE: u32 = 120;
    const UNSHARE: u32 = 310;
    const GETPID: u32 = 20;
    if int80(GETPID, 0) == -libc::ENOSYS {
        panic!("this kernel has no 32-bit calls (CONFIG_IA32_EMULATION): not tested");
    }
    confined(docker(default_capabilities()), || {
        assert!(int80(GETPID, 0) > 0);
        assert!(int80(PERSONALITY, 0xffff_ffff) >= 0);
        assert_eq!(int80(PERSONALITY, 0x0040_0000), -libc::EPERM);
        assert_eq!(
            int80(CLONE, libc::CLONE_NEWUSER.cast_unsigned()),
            -libc::EPERM
        );
        assert_eq!(int80(UNSHARE, 0), -libc::EPERM);
        assert_eq!(int80(435, 0), -libc::ENOSYS);
    });
}

/// A convention that the profile does not list ends the process.
#[cfg(target_arch = "x86_64")]
#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "the child makes nothing but system calls"
)]
fn an_unlisted_convention_kills() {
    let refused = rule(&["mkdir"], Action::ScmpActErrno, None, vec![]);
    let filter = compile(&profile(Action::ScmpActAllow, vec![refused]), Arch::NATIVE).unwrap();
    // SAFETY: until it ends the child only makes system calls, but for a list that is allocated:
    // the C library's allocator works after a fork.
    let child = unsafe { libc::fork() };
    if child == 0 {
        install(&filter);
        int80(20, 0);
        // SAFETY: ends the child.
        unsafe { libc::_exit(7) };
    }
    let mut status = 0;
    // SAFETY: waits for that child.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!(libc::WIFSIGNALED(status), "{status:x}");
    assert_eq!(libc::WTERMSIG(status), libc::SIGSYS);
}
