//! bpf(2): puts a device program on a v2 group.
#![allow(
    unsafe_code,
    reason = "bpf(2) has no safe wrapper; all calls of it are in this file"
)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::device_program::Instruction;

const PROG_LOAD: libc::c_long = 5;
const PROG_ATTACH: libc::c_long = 8;
const PROG_DETACH: libc::c_long = 9;
const PROG_GET_FD_BY_ID: libc::c_long = 13;
const PROG_QUERY: libc::c_long = 16;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const CGROUP_DEVICE: u32 = 6;
/// Programs of the groups above stay in force as well: both have to allow.
const F_ALLOW_MULTI: u32 = 2;

/// The parts of `union bpf_attr` for these commands. The kernel takes shorter ones than its own
/// for zeroes.
#[repr(C)]
#[derive(Default)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
}

#[repr(C)]
struct Attach {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
}

#[repr(C)]
struct GetFd {
    prog_id: u32,
    next_id: u32,
    open_flags: u32,
    padding: u32,
}

#[repr(C)]
struct Query {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    padding: u32,
}

/// # Safety
///
/// `attr` has to be what `command` reads, and its pointers valid for what it says.
unsafe fn bpf<T>(command: libc::c_long, attr: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: attr is valid for its size; the rest is the caller's promise.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attr, size_of::<T>()) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// # Safety
///
/// The command has to be one that returns a new fd; `attr` as for [`bpf`].
unsafe fn bpf_fd<T>(command: libc::c_long, attr: &mut T) -> io::Result<OwnedFd> {
    // SAFETY: the caller's promise.
    let fd = unsafe { bpf(command, attr) }?;
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made it for us (with close-on-exec).
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes `program` the one device program of the group. It stays for as long as the group.
pub(super) fn replace(group: BorrowedFd<'_>, program: &[Instruction]) -> io::Result<()> {
    let old = attached(group)?;
    let new = load(program)?;
    let mut attr = attach(group, new.as_fd(), F_ALLOW_MULTI);
    // SAFETY: an Attach for a command that takes one; it holds no pointers.
    unsafe { bpf(PROG_ATTACH, &mut attr) }?;
    for id in old {
        let mut attr = GetFd {
            prog_id: id,
            next_id: 0,
            open_flags: 0,
            padding: 0,
        };
        // SAFETY: a GetFd for a command that takes one and returns a new fd.
        let program = unsafe { bpf_fd(PROG_GET_FD_BY_ID, &mut attr) }?;
        let mut attr = attach(group, program.as_fd(), 0);
        // SAFETY: an Attach for a command that takes one; it holds no pointers.
        unsafe { bpf(PROG_DETACH, &mut attr) }?;
    }
    Ok(())
}

fn attach(group: BorrowedFd<'_>, program: BorrowedFd<'_>, attach_flags: u32) -> Attach {
    Attach {
        target_fd: group.as_raw_fd().cast_unsigned(),
        attach_bpf_fd: program.as_raw_fd().cast_unsigned(),
        attach_type: CGROUP_DEVICE,
        attach_flags,
    }
}

fn load(program: &[Instruction]) -> io::Result<OwnedFd> {
    let mut attr = Load {
        prog_type: PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: u32::try_from(program.len()).map_err(io::Error::other)?,
        insns: program.as_ptr().expose_provenance() as u64,
        license: c"Dual MIT/GPL".as_ptr().expose_provenance() as u64,
        prog_name: *b"devices\0\0\0\0\0\0\0\0\0",
        ..Load::default()
    };
    // SAFETY: insns points to insn_cnt instructions laid out as struct bpf_insn and license to
    // a string that ends; both outlive the call.
    unsafe { bpf_fd(PROG_LOAD, &mut attr) }
}

/// The device programs that were put on this very group.
fn attached(group: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    // As many as the kernel lets be on one group.
    let mut ids = [0u32; 64];
    let mut attr = Query {
        target_fd: group.as_raw_fd().cast_unsigned(),
        attach_type: CGROUP_DEVICE,
        query_flags: 0,
        attach_flags: 0,
        prog_ids: ids.as_mut_ptr().expose_provenance() as u64,
        prog_cnt: 64,
        padding: 0,
    };
    // SAFETY: prog_ids points to room for prog_cnt ids.
    unsafe { bpf(PROG_QUERY, &mut attr) }?;
    let count = usize::try_from(attr.prog_cnt).unwrap_or(0).min(ids.len());
    Ok(ids[..count].to_vec())
}
