//! System calls that neither nix nor rustix offers, or not safely. The only file of the room
//! with `unsafe` in it.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::plan::Capabilities;
use crate::seccomp::Filter;

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Clones this process (clone3(2), Linux 5.3; `CLONE_INTO_CGROUP` 5.7) and runs `child` in the
/// new one, which ends with the code that it returns. Returns the process id and a pidfd.
///
/// The caller must be single-threaded, as all of this module's callers are: the child then is an
/// exact copy that may go on as it likes.
pub(crate) fn clone(
    flags: u64,
    cgroup: Option<BorrowedFd<'_>>,
    child: impl FnOnce() -> i32,
) -> io::Result<(i32, OwnedFd)> {
    let mut pidfd: libc::c_int = -1;
    // SAFETY: clone_args is plain numbers; all zero is its neutral value.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags | libc::CLONE_PIDFD as u64;
    args.pidfd = (&raw mut pidfd) as u64;
    // CLONE_PARENT hands the signal's choice to the original parent (clone(2)).
    args.exit_signal = if flags & libc::CLONE_PARENT as u64 == 0 {
        libc::SIGCHLD as u64
    } else {
        0
    };
    if let Some(cgroup) = cgroup {
        // libc's constant of this name overflows its type.
        const CLONE_INTO_CGROUP: u64 = 1 << 33;
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = u64::try_from(cgroup.as_raw_fd()).unwrap_or(0);
    }
    // SAFETY: args points to a valid structure of the size given, without CLONE_VM: the child
    // gets a copy of the address space, and the stack it runs on is that copy.
    let pid = check(unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw mut args,
            size_of::<libc::clone_args>(),
        )
    })?;
    if pid == 0 {
        exit(child());
    }
    // SAFETY: the kernel has put a new descriptor, which nobody else knows, into pidfd.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok((i32::try_from(pid).unwrap_or(i32::MAX), pidfd))
}

/// Ends this process without running destructors or `atexit` handlers.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: _exit does not return and touches no memory of ours.
    unsafe { libc::_exit(code) }
}

/// mount_setattr(2), Linux 5.12.
pub(crate) fn mount_setattr(
    fd: BorrowedFd<'_>,
    recursive: bool,
    set: u64,
    clear: u64,
    propagation: u64,
) -> io::Result<()> {
    let attr = libc::mount_attr {
        attr_set: set,
        attr_clr: clear,
        propagation,
        userns_fd: 0,
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a C string, attr a structure of the size given.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    })?;
    Ok(())
}

/// Shifts the owners of a detached mount's files as a user namespace does, with all that is
/// mounted below (mount_setattr(2), `MOUNT_ATTR_IDMAP`, Linux 5.12).
pub(crate) fn id_map(fd: BorrowedFd<'_>, namespace: BorrowedFd<'_>) -> io::Result<()> {
    let attr = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: u64::try_from(namespace.as_raw_fd()).unwrap_or(u64::MAX),
    };
    // SAFETY: the path is a C string, attr a structure of the size given.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    })?;
    Ok(())
}

/// Makes this process's files those of another user and group, its capabilities kept
/// (setfsuid(2), capabilities(7) "The securebits flags").
pub(crate) fn own_files_as((uid, gid): (u32, u32)) -> io::Result<()> {
    const SECBIT_NO_SETUID_FIXUP: libc::c_ulong = 1 << 2;
    // SAFETY: takes numbers only.
    let kept = unsafe { libc::prctl(libc::PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) };
    check(kept.into())?;
    // SAFETY: both take numbers only, and say nothing of failure.
    unsafe {
        libc::setfsgid(gid);
        libc::setfsuid(uid);
    }
    Ok(())
}

/// pivot_root(2) of the current directory onto itself.
pub(crate) fn pivot_root_here() -> io::Result<()> {
    // SAFETY: both paths are C strings.
    check(unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) })?;
    Ok(())
}

/// Marks every descriptor from `first` on close-on-exec (Linux 5.11) or closes it.
pub(crate) fn close_from(first: u32, at_exec: bool) -> io::Result<()> {
    let flags = if at_exec {
        libc::CLOSE_RANGE_CLOEXEC
    } else {
        0
    };
    // SAFETY: takes numbers only. With `at_exec` nothing is closed now; without it the callers
    // hold no owned descriptor in the range any more.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, flags) })?;
    Ok(())
}

fn prctl(option: libc::c_int, a: libc::c_ulong, b: libc::c_ulong) -> io::Result<libc::c_int> {
    let zero: libc::c_ulong = 0;
    // SAFETY: the options used below take numbers only.
    let result = unsafe { libc::prctl(option, a, b, zero, zero) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Makes this process's memory and `/proc` entries inaccessible to others (PR_SET_DUMPABLE).
pub(crate) fn forbid_dumps() -> io::Result<()> {
    prctl(libc::PR_SET_DUMPABLE, 0, 0).map(drop)
}

/// Names this process for ps(1).
pub(crate) fn set_name(name: &CStr) {
    // SAFETY: PR_SET_NAME copies at most 16 bytes of the C string.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) };
}

/// Ends this process when its parent, which has one thread, ends (PR_SET_PDEATHSIG).
pub(crate) fn die_with_parent() -> io::Result<()> {
    prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong, 0).map(drop)
}

/// Sets `no_new_privs`.
pub(crate) fn no_new_privileges() -> io::Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0).map(drop)
}

/// Keeps the permitted capabilities over the change of user that follows.
pub(crate) fn keep_capabilities() -> io::Result<()> {
    prctl(libc::PR_SET_KEEPCAPS, 1, 0).map(drop)
}

/// The capabilities in this process's bounding set, as a mask.
pub(crate) fn bounding_set() -> u64 {
    // EINVAL for the first number that is no capability.
    (0..64u64)
        .map_while(|cap| Some((cap, prctl(libc::PR_CAPBSET_READ, cap, 0).ok()?)))
        .filter(|(_, has)| *has == 1)
        .fold(0, |mask, (cap, _)| mask | 1 << cap)
}

/// Drops what is not in the bounding set from it.
pub(crate) fn drop_bounding(keep: u64) -> io::Result<()> {
    for cap in 0..64u64 {
        match prctl(libc::PR_CAPBSET_READ, cap, 0) {
            Ok(1) if keep & (1 << cap) == 0 => _ = prctl(libc::PR_CAPBSET_DROP, cap, 0)?,
            Ok(_) => {}
            Err(_) => break,
        }
    }
    Ok(())
}

/// Sets the permitted, effective, inheritable and ambient capabilities.
pub(crate) fn set_capabilities(sets: &Capabilities) -> io::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: libc::c_int,
    }
    #[repr(C)]
    struct Data {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    // _LINUX_CAPABILITY_VERSION_3: two words of 32 bits (capget(2)).
    let header = Header {
        version: 0x2008_0522,
        pid: 0,
    };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the mask is split into its words"
    )]
    let word = |shift: u32| Data {
        effective: (sets.effective >> shift) as u32,
        permitted: (sets.permitted >> shift) as u32,
        inheritable: (sets.inheritable >> shift) as u32,
    };
    let data = [word(0), word(32)];
    // SAFETY: version 3 reads one header and two data structures.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) })?;
    for cap in (0..64).filter(|cap| sets.ambient & (1 << cap) != 0) {
        let raise = libc::PR_CAP_AMBIENT_RAISE as libc::c_ulong;
        prctl(libc::PR_CAP_AMBIENT, raise, cap)?;
    }
    Ok(())
}

/// Installs a seccomp filter (seccomp(2), Linux 3.17). Returns the listener of a filter that
/// notifies.
pub(crate) fn install_filter(filter: &Filter) -> io::Result<Option<OwnedFd>> {
    let program: Vec<libc::sock_filter> = filter
        .program
        .iter()
        .map(|i| libc::sock_filter {
            code: i.code,
            jt: i.jt,
            jf: i.jf,
            k: i.k,
        })
        .collect();
    let program = libc::sock_fprog {
        len: u16::try_from(program.len())
            .map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel copies the program, which lives until the call returns.
    let fd = check(unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            filter.flags,
            &raw const program,
        )
    })?;
    if !filter.notify {
        return Ok(None);
    }
    let fd = i32::try_from(fd).unwrap_or(-1);
    // SAFETY: with SECCOMP_FILTER_FLAG_NEW_LISTENER the result is a new descriptor.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// execve(2). Returns only to say why it failed.
pub(crate) fn exec(path: &CStr, args: &[CString], env: &[CString]) -> io::Error {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings
            .iter()
            .map(|s| s.as_ptr())
            .chain([std::ptr::null()])
            .collect()
    };
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: path is a C string, both lists end in a null pointer and outlive the call.
    unsafe { libc::execve(path.as_ptr(), args.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// execveat(2) of an open file.
pub(crate) fn exec_fd(file: BorrowedFd<'_>, args: &[CString], env: &[CString]) -> io::Error {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings
            .iter()
            .map(|s| s.as_ptr())
            .chain([std::ptr::null()])
            .collect()
    };
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: the path is empty, both lists end in a null pointer and outlive the call.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            file.as_raw_fd(),
            c"".as_ptr(),
            args.as_ptr(),
            env.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    io::Error::last_os_error()
}

/// Joins a fresh session keyring, so that the host's keys are out of reach (keyctl(2)).
pub(crate) fn new_keyring() -> io::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
    let anonymous = std::ptr::null::<libc::c_char>();
    // SAFETY: a null name asks for an anonymous keyring.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, anonymous) })?;
    Ok(())
}

/// Gives every signal its default action and unblocks all: what no process of ours inherits from
/// whoever started the first.
pub(crate) fn reset_signals() {
    for signal in 1..=64 {
        // SAFETY: SIG_DFL is a valid action for every number; the kernel refuses those that
        // cannot be changed.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    unblock_signals();
}

/// Unblocks all signals.
pub(crate) fn unblock_signals() {
    // SAFETY: an initialised set is passed, no old one is asked for.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// Brings an interface of the current network namespace up (netdevice(7)).
pub(crate) fn interface_up(name: &CStr) -> io::Result<()> {
    let socket = rustix::net::socket_with(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )?;
    // SAFETY: ifreq is plain data; all zero is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.to_bytes()) {
        *to = from.cast_signed() as libc::c_char;
    }
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: both calls read and write one ifreq, which is large enough and terminated.
    unsafe {
        check(libc::ioctl(fd, libc::SIOCGIFFLAGS as _, &raw mut request).into())?;
        request.ifr_ifru.ifru_flags |= libc::IFF_UP as libc::c_short;
        check(libc::ioctl(fd, libc::SIOCSIFFLAGS as _, &raw const request).into())?;
    }
    Ok(())
}

/// setrlimit(2).
pub(crate) fn set_rlimit(resource: u32, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit64 {
        rlim_cur: soft,
        rlim_max: hard,
    };
    // SAFETY: limit is a valid structure; no old value is asked for.
    let result =
        unsafe { libc::prlimit64(0, resource as _, &raw const limit, std::ptr::null_mut()) };
    check(result.into()).map(drop)
}

/// Makes the terminal this session's controlling one.
pub(crate) fn set_controlling_terminal(terminal: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: TIOCSCTTY takes a number.
    check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY, 0) }.into()).map(drop)
}

/// Duplicates onto a standard stream's number, which then survives exec.
pub(crate) fn replace_stream(fd: BorrowedFd<'_>, number: i32) -> io::Result<()> {
    // SAFETY: descriptors 0 to 2 belong to nobody in this process.
    check(unsafe { libc::dup2(fd.as_raw_fd(), number) }.into()).map(drop)
}

/// Sets the domain name of the UTS namespace.
pub(crate) fn set_domain_name(name: &str) -> io::Result<()> {
    // SAFETY: pointer and length describe the string.
    check(unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) }.into()).map(drop)
}

/// fork(2) of a single-threaded process: runs `child` in the new process.
pub(crate) fn fork(child: impl FnOnce() -> i32) -> io::Result<(i32, OwnedFd)> {
    clone(0, None, child)
}

/// True when the address belongs to the main program rather than to a shared library.
pub(crate) fn in_main_program(address: usize) -> bool {
    struct Search {
        address: u64,
        found: bool,
    }
    unsafe extern "C" fn first(
        info: *mut libc::dl_phdr_info,
        _size: libc::size_t,
        data: *mut libc::c_void,
    ) -> libc::c_int {
        // SAFETY: the C library passes a valid structure and the pointer given below.
        let (info, search) = unsafe { (&*info, &mut *data.cast::<Search>()) };
        // SAFETY: dlpi_phdr points to dlpi_phnum program headers.
        let headers =
            unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
        search.found = headers.iter().any(|h| {
            let start = info.dlpi_addr.wrapping_add(h.p_vaddr);
            h.p_type == libc::PT_LOAD && (start..start + h.p_memsz).contains(&search.address)
        });
        // The main program comes first (dl_iterate_phdr(3)); stop there.
        1
    }
    let mut search = Search {
        address: address as u64,
        found: false,
    };
    // SAFETY: the callback treats the pointer as what it is.
    unsafe { libc::dl_iterate_phdr(Some(first), (&raw mut search).cast()) };
    search.found
}

/// Gives back to the kernel what a process that only waits does not need: what is free of the
/// heap and the stack, and the pages of programs and libraries, which are read again from their
/// files when they are used.
pub(crate) fn trim_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes a number and only releases what is free.
    unsafe {
        libc::malloc_trim(0);
    }
    let here = 0u8;
    // Well below this function's frame and those of the calls it makes.
    let end = ((&raw const here).addr() & !0xfff) - 0x4000;
    // SAFETY: nothing lives below the stack pointer (signals are blocked or have their default
    // action); pages that were never touched are not mapped, which the kernel skips.
    unsafe { forget(end - 0x10_0000, end) };

    unsafe extern "C" fn object(
        info: *mut libc::dl_phdr_info,
        _size: libc::size_t,
        _data: *mut libc::c_void,
    ) -> libc::c_int {
        // SAFETY: the C library passes a valid structure.
        let info = unsafe { &*info };
        // SAFETY: dlpi_phdr points to dlpi_phnum program headers.
        let headers =
            unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
        let writable = |h: &libc::Elf64_Phdr| h.p_flags & libc::PF_W != 0;
        for header in headers
            .iter()
            .filter(|h| h.p_type == libc::PT_LOAD && !writable(h))
        {
            let start = info.dlpi_addr.wrapping_add(header.p_vaddr);
            let (start, end) = (start as usize, (start + header.p_memsz) as usize);
            // Whole pages of this segment only; its neighbours may be written to.
            let (start, end) = ((start + 0xfff) & !0xfff, end & !0xfff);
            if start < end {
                // SAFETY: a private mapping of a file that was never written to is read again.
                unsafe { forget(start, end) };
            }
        }
        0
    }
    // SAFETY: the callback takes no data.
    unsafe { libc::dl_iterate_phdr(Some(object), std::ptr::null_mut()) };
}

/// madvise(MADV_DONTNEED). The pages must not hold anything that cannot be read again.
unsafe fn forget(start: usize, end: usize) {
    let pages = std::ptr::without_provenance_mut::<libc::c_void>(start);
    // SAFETY: as the caller promises.
    unsafe { libc::madvise(pages, end - start, libc::MADV_DONTNEED) };
}
