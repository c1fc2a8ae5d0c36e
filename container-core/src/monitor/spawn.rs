//! Starting monitors from the embedder's process, which is never forked, moved or changed.

// This is the room that clippy.toml keeps spawning to.
#![allow(clippy::disallowed_methods)]

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use container_image::layer::{Direct, UnpackError, Unpacker};
use rustix::fs::{CWD, MemfdFlags, SealFlags};
use rustix::mount::OpenTreeFlags;

use super::entry;
use crate::error::{Error, Result};
use crate::plan::IdMaps;
use crate::rootless::Rootless;
use crate::runtime::sys;
use crate::runtime::userns::Enter;
use crate::unpack::InUserNamespace;
use crate::wire::Channel;

/// What an engine starts its monitors from.
#[derive(Debug, Clone)]
pub(crate) struct Launcher(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    program: PathBuf,
    /// Keeps `program` alive when it is a descriptor's path.
    _mount: Option<OwnedFd>,
    maps: Option<IdMaps>,
    rootless: Option<Rootless>,
}

impl Launcher {
    pub(crate) fn new(helper: Option<&Path>, rootless: Option<&Rootless>) -> Result<Self> {
        let program = match helper {
            Some(helper) => helper.to_owned(),
            None if sys::in_main_program(entry::address()) => "/proc/self/exe".into(),
            None => installed().ok_or_else(|| Error::NoMonitor {
                exe: std::env::current_exe().unwrap_or_default(),
            })?,
        };
        let maps = rootless.and_then(Rootless::to_enter).cloned();
        // Rootless monitors make their executable read-only themselves, inside.
        let (program, mount) = if maps.is_none() {
            let mount = protected_executable(&program)
                .map_err(Error::io("prepare the monitor from", &program))?;
            (
                PathBuf::from(format!("/proc/self/fd/{}", mount.as_raw_fd())),
                Some(mount),
            )
        } else {
            (program, None)
        };
        Ok(Self(Arc::new(Inner {
            program,
            _mount: mount,
            maps,
            rootless: rootless.cloned(),
        })))
    }

    /// Starts a process of ours and returns the connection to it. As an ordinary user's it is in a
    /// user namespace of its own, or in that of the process `company`.
    pub(crate) fn spawn(&self, kind: &str, company: Option<u32>) -> io::Result<(Child, Channel)> {
        let (ours, theirs) = UnixStream::pair()?;
        let mark = entry::mark();
        let mut command = Command::new(&self.0.program);
        command.arg0(entry::NAME).arg(kind);
        if let Some(maps) = &self.0.maps {
            let enter = match company {
                Some(pid) => Enter::Join(pid),
                None => Enter::Make(maps.clone()),
            };
            command.arg(serde_json::to_string(&enter)?);
        }
        let child = command
            .env_clear()
            .env(mark.0, mark.1)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok((child, Channel::new(ours)))
    }

    /// What unpacks layers with the rights that containers will have.
    pub(crate) fn unpacker(&self) -> Arc<dyn Unpacker> {
        match &self.0.rootless {
            None => Arc::new(Direct),
            Some(rootless) => Arc::new(InUserNamespace::new(self.clone(), !rootless.many_ids())),
        }
    }
}

impl Launcher {
    /// How many bytes the files of a tree have that containers have filled.
    pub(crate) fn size_of_tree(&self, dir: &Path) -> Result<u64, UnpackError> {
        match (crate::unpack::measure_here(dir), &self.0.rootless) {
            // Another user's, who is one of ours inside the user namespace.
            (Err(_), Some(rootless)) => {
                InUserNamespace::new(self.clone(), !rootless.many_ids()).measure(dir)
            }
            (measured, _) => measured,
        }
    }
}

/// `mini-docker`, where it is usually installed.
fn installed() -> Option<PathBuf> {
    let places = ["/usr/local/bin/mini-docker", "/usr/bin/mini-docker"];
    places.into_iter().map(PathBuf::from).find(|p| p.is_file())
}

/// An executable that cannot be written to, whoever opens it through `/proc/PID/exe`
/// (CVE-2019-5736): a detached read-only mount of the file, or a sealed copy in memory where it
/// cannot be mounted (it was deleted, or lies outside this mount namespace).
pub(super) fn protected_executable(path: &Path) -> io::Result<OwnedFd> {
    let file = File::open(path)?;
    match read_only_mount(path, &file) {
        Ok(mount) => Ok(mount),
        Err(_) => sealed_copy(file),
    }
}

fn read_only_mount(path: &Path, file: &File) -> io::Result<OwnedFd> {
    const MOUNT_ATTR_RDONLY: u64 = 0x1;
    // By its name: the link in /proc leads to the mount that this process was started from,
    // which a new mount namespace has only a copy of.
    let name = if path.starts_with("/proc/self") {
        path.read_link()?
    } else {
        path.to_owned()
    };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = rustix::mount::open_tree(CWD, &name, flags)?;
    let (mounted, wanted) = (rustix::fs::fstat(&tree)?, rustix::fs::fstat(file)?);
    if (mounted.st_dev, mounted.st_ino) != (wanted.st_dev, wanted.st_ino) {
        return Err(io::ErrorKind::NotFound.into());
    }
    sys::mount_setattr(tree.as_fd(), false, MOUNT_ATTR_RDONLY, 0, 0)?;
    Ok(tree)
}

fn sealed_copy(mut file: File) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut copy = File::from(rustix::fs::memfd_create("mini-docker", flags)?);
    io::copy(&mut file, &mut copy)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&copy, seals)?;
    Ok(copy.into())
}
