//! How a process becomes a monitor: before `main`, by an entry in `.init_array`.
//!
//! Every program that links this crate carries the entry. In all but one case it reads the
//! process's arguments, finds nothing and lets the program go on. When the zeroth argument is
//! [`MARK`], this process was started by [`spawn`](super::spawn) as a monitor (or as a worker in
//! a user namespace): it does its work and never reaches `main`.
#![allow(unsafe_code)]
// From its first instruction on this process is ours alone.
#![allow(clippy::disallowed_methods)]

use std::convert::Infallible;
use std::ffi::CString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use rustix::fs::{Mode, OFlags};

use super::supervise;
use crate::plan::IdMaps;
use crate::runtime::sys;
use crate::wire::Channel;

/// The zeroth argument of our own processes.
pub(super) const MARK: &str = "mini-docker-monitor";

/// What one of our own processes is for: its first argument.
pub(super) const SUPERVISE: &str = "supervise";
/// The other kind: unpacks and removes trees inside a user namespace.
pub(crate) const UNPACK: &str = "unpack";

// SAFETY: the linker collects function pointers from this section; the C library calls them with
// three arguments or none, which a function of no parameters ignores.
#[used]
#[unsafe(link_section = ".init_array")]
static ENTRY: extern "C" fn() = entry;

/// The address of the entry. Referring to it keeps the linker from dropping it.
pub(super) fn address() -> usize {
    std::hint::black_box(&ENTRY);
    entry as *const () as usize
}

extern "C" fn entry() {
    // musl passes no arguments here, so they are read from the kernel.
    let mut start = [0; 64];
    let Ok(file) = rustix::fs::open(
        "/proc/self/cmdline",
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    ) else {
        return;
    };
    let Ok(n) = rustix::io::read(&file, &mut start) else {
        return;
    };
    if !start[..n].starts_with(MARK.as_bytes()) || start.get(MARK.len()) != Some(&0) {
        return;
    }
    drop(file);
    let result = std::panic::catch_unwind(|| match run() {
        Ok(never) => match never {},
        Err(error) => error,
    });
    // Nobody is left to tell: the other end sees the connection close.
    sys::exit(if result.is_ok() { 1 } else { 2 });
}

fn run() -> io::Result<Infallible> {
    sys::set_name(c"mini-docker");
    let arguments = std::fs::read("/proc/self/cmdline")?;
    let arguments: Vec<&[u8]> = arguments.split(|b| *b == 0).skip(1).collect();
    let (kind, maps) = match arguments[..] {
        [kind, maps, b""] => (kind, Some(maps)),
        [kind, b""] => (kind, None),
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    };
    sys::reset_signals();
    sys::close_from(3, false)?;
    if let Some(maps) = maps {
        let maps: IdMaps = serde_json::from_slice(maps)?;
        return Err(enter_user_namespace(kind, &maps));
    }
    // The socket arrives as standard input; that number is for the container's programs.
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    sys::replace_stream(null.as_fd(), 0)?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    rustix::process::chdir("/")?;
    // Away from the terminal: its signals are for the embedder.
    _ = rustix::process::setsid();
    let channel = Channel::new(UnixStream::from(socket));
    if kind == SUPERVISE.as_bytes() {
        supervise::run(channel);
    } else {
        crate::unpack::serve(&channel)?;
    }
    sys::exit(0)
}

/// Enters the user namespace and starts over from a read-only mount of the executable: a
/// container's root is this user outside, who may well own it (CVE-2019-5736).
fn enter_user_namespace(kind: &[u8], maps: &IdMaps) -> io::Error {
    let prepare = || -> io::Result<_> {
        crate::runtime::userns::unshare(maps)?;
        let exe = super::spawn::protected_executable("/proc/self/exe".as_ref())?;
        let kind = CString::new(kind)?;
        Ok((exe, [CString::new(MARK)?, kind]))
    };
    let error = match prepare() {
        Ok((exe, arguments)) => sys::exec_fd(exe.as_fd(), &arguments, &[]),
        Err(error) => error,
    };
    tell(&error);
    error
}

/// Tells the embedder why there is no user namespace, before the job is even read.
fn tell(error: &io::Error) {
    use super::job::{Failure, News};
    let Ok(socket) = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3) else {
        return;
    };
    let fault = crate::runtime::Fault::setup("enter a user namespace", error);
    _ = Channel::new(UnixStream::from(socket)).send(&News::Failed(Failure::Fault(fault)), &[]);
}
