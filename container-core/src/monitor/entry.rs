//! How a process becomes a monitor: before `main`, by an entry in `.init_array`.
//!
//! Every program that links this crate carries the entry. In all but one case it looks for a
//! variable in the environment, does not find it and lets the program go on. Where it is set,
//! this process was started by [`spawn`](super::spawn) as a monitor (or as a worker in a user
//! namespace): it does its work and never reaches `main`.
#![allow(unsafe_code)]
// From its first instruction on this process is ours alone.
#![allow(clippy::disallowed_methods)]

use std::convert::Infallible;
use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;

use rustix::fs::{Mode, OFlags};

use super::supervise;
use crate::runtime::sys;
use crate::runtime::userns::Enter;
use crate::wire::Channel;

/// The zeroth argument of our own processes, for ps(1).
pub(super) const NAME: &str = "mini-docker-monitor";
/// The environment variable that marks them; their only one.
const MARK_VARIABLE: &CStr = c"_MINI_DOCKER_MONITOR";

/// [`MARK_VARIABLE`], for those who set it.
pub(super) fn mark() -> (&'static OsStr, &'static str) {
    (OsStr::from_bytes(MARK_VARIABLE.to_bytes()), "1")
}

/// What one of our own processes is for: its first argument.
pub(super) const SUPERVISE: &str = "supervise";
/// The other kind: unpacks and removes trees inside a user namespace.
pub(crate) const UNPACK: &str = "unpack";
/// The third: looks at a container's files, and changes them.
pub(crate) const FILES: &str = "files";

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
    // musl passes no arguments here, but the environment is set up. Looking there costs other
    // programs no system call, and works where /proc is not mounted: a monitor that did not know
    // itself would run the embedder's main.
    // SAFETY: both are C strings; before main nobody changes the environment.
    if unsafe { libc::getenv(MARK_VARIABLE.as_ptr()) }.is_null() {
        return;
    }
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
        let enter: Enter = serde_json::from_slice(maps)?;
        return Err(enter_user_namespace(kind, &enter));
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
    } else if kind == FILES.as_bytes() {
        crate::files::serve(&channel)?;
    } else {
        crate::unpack::serve(&channel)?;
    }
    sys::exit(0)
}

/// Enters the user namespace and starts over from a read-only mount of the executable: a
/// container's root is this user outside, who may well own it (CVE-2019-5736).
fn enter_user_namespace(kind: &[u8], enter: &Enter) -> io::Error {
    let prepare = || -> io::Result<_> {
        crate::runtime::userns::enter(enter)?;
        let exe = super::spawn::protected_executable("/proc/self/exe".as_ref())?;
        let kind = CString::new(kind)?;
        let mark = CString::new(format!("{}=1", MARK_VARIABLE.to_string_lossy()))?;
        Ok((exe, [CString::new(NAME)?, kind], [mark]))
    };
    let error = match prepare() {
        Ok((exe, arguments, environment)) => sys::exec_fd(exe.as_fd(), &arguments, &environment),
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
