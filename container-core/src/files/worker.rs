//! The worker's side: takes a task, then does errands until its program is gone.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use container_image::archive::{self, ArchiveError};
use container_image::layer::{self, Devices, Overlay, Owners, UnpackError, UnpackOptions};
use container_image::tree::{Mounts, TreeError};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, StatVfsMountFlags};

use super::error::FilesError;
use super::path;
use super::task::{Errand, Part, PathStat, Rights, Task};
use crate::monitor::job::{Failure, News};
use crate::runtime::{self, Fault, Links};
use crate::wire::Channel;

type Result<T, E = FilesError> = std::result::Result<T, E>;

pub(crate) fn serve(channel: &Channel) -> io::Result<()> {
    let Some((task, fds)) = channel.receive::<Task>()? else {
        return Ok(());
    };
    let subject = match task {
        Task::Sizes(containers) => {
            let sizes = containers.iter().map(|dirs| total(dirs)).collect();
            return channel.send(&News::Sizes(sizes), &[]);
        }
        Task::Parts(parts, rights) => Subject::Parts(parts, rights),
        Task::Scene(scene, rights) => {
            let container = fds.first().map(AsFd::as_fd);
            match runtime::scene(&scene, container) {
                Ok(root) => Subject::Root(root, rights),
                Err(fault) => return channel.send(&News::Failed(fault.into()), &[]),
            }
        }
    };
    channel.send(&News::Done, &[])?;
    while let Some((errand, fds)) = channel.receive::<Errand>()? {
        let pipe = fds.into_iter().next().map(File::from);
        let news = match subject.run(errand, pipe.as_ref()) {
            Ok(news) => news,
            Err(error) => News::Failed(Failure::Files(error)),
        };
        // Before the pipe is closed: who reads its end finds the answer there.
        channel.send(&news, &[])?;
    }
    Ok(())
}

/// What errands are about.
enum Subject {
    Root(OwnedFd, Rights),
    Parts(Vec<Part>, Rights),
}

/// A path, taken apart: its last component is not followed.
struct Place {
    parent: OwnedFd,
    /// `.` for the directory itself.
    name: String,
    /// As a whole, from the root on.
    path: String,
}

impl Subject {
    fn run(&self, errand: Errand, pipe: Option<&File>) -> Result<News> {
        let pipe = || pipe.ok_or_else(|| FilesError::failed("work")("no pipe came"));
        match (self, errand) {
            (Self::Parts(parts, rights), Errand::Changes) => changes(parts, *rights, pipe()?)?,
            (Self::Parts(parts, rights), Errand::Layer) => {
                let [part] = &parts[..] else {
                    return Err(FilesError::HostImage);
                };
                let mut pipe = pipe()?;
                Opened::new(part)?.with(*rights, |overlay| layer::diff(overlay, &mut pipe))?;
            }
            (Self::Root(root, _), Errand::Stat { path }) => {
                return Ok(News::Stat(stat(root.as_fd(), &path)?));
            }
            (Self::Root(root, _), Errand::Pack { path, name }) => {
                let place = locate(root.as_fd(), &path)?;
                let shown = name.unwrap_or_else(|| match path::base(&place.path) {
                    "/" => String::new(),
                    base => base.to_owned(),
                });
                let parent = place.parent.as_fd();
                let (name, shown) = (place.name.as_bytes(), shown.as_bytes());
                archive::pack(parent, name, shown, &mut pipe()?)?;
            }
            (Self::Root(root, rights), Errand::Extract { dir, owner }) => {
                extract(root.as_fd(), *rights, &dir, owner.as_deref(), pipe()?)?;
            }
            (Self::Root(root, _), Errand::Read { path, limit }) => {
                read(root.as_fd(), &path, limit, pipe()?)?;
            }
            (Self::Root(root, _), Errand::Export) => {
                archive::export_at(root.as_fd(), Mounts::Enter, &mut pipe()?)?;
            }
            (_, errand) => {
                let reason = format!("{errand:?} is for another task");
                return Err(FilesError::failed("work")(reason));
            }
        }
        Ok(News::Done)
    }
}

fn total(dirs: &[std::path::PathBuf]) -> u64 {
    let size = |dir: &std::path::PathBuf| {
        // One that has just been removed takes nothing.
        let dir = open(dir).ok()?;
        layer::size(dir.as_fd()).ok()
    };
    dirs.iter().filter_map(size).sum()
}

fn open(dir: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(dir, flags, Mode::empty())?)
}

/// A part with its directories open.
struct Opened<'p> {
    part: &'p Part,
    upper: OwnedFd,
    lower: Vec<OwnedFd>,
}

impl<'p> Opened<'p> {
    fn new(part: &'p Part) -> Result<Self> {
        let open = |dir: &Path| {
            let action = format!("open {}", dir.display());
            open(dir).map_err(FilesError::failed(action))
        };
        let lower = part.lower.iter().map(|dir| open(dir));
        Ok(Self {
            part,
            upper: open(&part.upper)?,
            lower: lower.collect::<Result<_>>()?,
        })
    }

    /// Calls `with` with the overlay that they are.
    fn with<T>(&self, rights: Rights, with: impl FnOnce(&Overlay<'_>) -> T) -> T {
        let lower: Vec<BorrowedFd<'_>> = self.lower.iter().map(AsFd::as_fd).collect();
        let made: Vec<&[u8]> = self.part.made.iter().map(|p| p.as_bytes()).collect();
        with(&Overlay {
            upper: self.upper.as_fd(),
            lower: &lower,
            marks: rights.marks(),
            mount_points: &made,
            hides_private: self.part.hides_private,
        })
    }
}

fn changes(parts: &[Part], rights: Rights, pipe: &File) -> Result<()> {
    let mut output = BufWriter::with_capacity(64 << 10, pipe);
    for part in parts {
        let mut prefix = format!("/{}", part.at).into_bytes();
        let mut told = part.at.is_empty();
        if !told {
            prefix.push(b'/');
        }
        Opened::new(part)?.with(rights, |overlay| {
            layer::changes(overlay, |kind, path| {
                if !told {
                    // Something has changed in it.
                    told = true;
                    line(&mut output, 'C', &prefix[..prefix.len() - 1], b"")?;
                }
                line(&mut output, kind.letter(), &prefix, path)
            })
        })?;
    }
    output
        .flush()
        .map_err(FilesError::failed("tell the changes"))
}

fn line(output: &mut dyn Write, letter: char, prefix: &[u8], path: &[u8]) -> Result<(), TreeError> {
    let line = [letter.to_string().as_bytes(), prefix, path, b"\0"].concat();
    output.write_all(&line).map_err(TreeError::Write)
}

/// What is wrong with a path that cannot be opened.
fn unreachable(path: &str) -> impl FnOnce(io::Error) -> FilesError {
    let path = path.to_owned();
    move |error| match error.raw_os_error() {
        Some(libc::ENOENT) => FilesError::NotFound {
            path,
            container: String::new(),
        },
        Some(libc::ENOTDIR) => FilesError::NotADirectory { path },
        Some(libc::ELOOP) => FilesError::TooManyLinks { path },
        _ => FilesError::failed(format!("open {path}"))(error),
    }
}

fn locate(root: BorrowedFd<'_>, asked: &str) -> Result<Place> {
    if asked.is_empty() {
        return Err(FilesError::EmptyPath);
    }
    let path = path::absolute(asked);
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", &path));
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let parent = runtime::open_inside(root, &format!("{dir}/"), flags, Links::Follow)
        .map_err(unreachable(asked))?;
    let name = match name {
        "" => ".",
        name => name,
    };
    Ok(Place {
        parent,
        name: name.to_owned(),
        path,
    })
}

fn stat(root: BorrowedFd<'_>, asked: &str) -> Result<PathStat> {
    let place = locate(root, asked)?;
    let stat = rustix::fs::statat(&place.parent, &*place.name, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|e| unreachable(asked)(e.into()))?;
    let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
    let link_target = match is_link {
        true => Some(follow(root, &place.path)?),
        false => None,
    };
    Ok(PathStat {
        name: path::base(&place.path).to_owned(),
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mode: stat.st_mode,
        mtime: (
            stat.st_mtime,
            u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
        ),
        link_target,
    })
}

/// Where a link leads in the end, whether or not there is something.
fn follow(root: BorrowedFd<'_>, link: &str) -> Result<String> {
    /// As many as the kernel follows.
    const MAX_LINKS: u32 = 40;
    let mut path = link.to_owned();
    for _ in 0..MAX_LINKS {
        let (dir, name) = path::split(&path);
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let Ok(parent) = runtime::open_inside(root, &dir, flags, Links::Follow) else {
            return Ok(path);
        };
        let real = inside(root, parent.as_fd()).unwrap_or(dir);
        match rustix::fs::readlinkat(&parent, &*name, Vec::new()) {
            Ok(target) => path = path::join(&real, &target.to_string_lossy()),
            Err(_) if name == "/" => return Ok(real),
            Err(_) => return Ok(path::clean(&format!("{real}/{name}"))),
        }
    }
    Err(FilesError::TooManyLinks {
        path: link.to_owned(),
    })
}

/// The path of a directory from the root on, if the kernel tells one.
fn inside(root: BorrowedFd<'_>, dir: BorrowedFd<'_>) -> Option<String> {
    let name = |fd: BorrowedFd<'_>| {
        let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
        rustix::fs::readlink(link, Vec::new())
            .ok()?
            .into_string()
            .ok()
    };
    let (root, dir) = (name(root)?, name(dir)?);
    match dir.strip_prefix(&root)? {
        "" => Some("/".to_owned()),
        rest => rest.starts_with('/').then(|| rest.to_owned()),
    }
}

fn extract(
    root: BorrowedFd<'_>,
    rights: Rights,
    asked: &str,
    owner: Option<&str>,
    mut pipe: &File,
) -> Result<()> {
    let dir = path::absolute(asked);
    let at = runtime::open_inside(root, &dir, OFlags::PATH, Links::Follow)
        .map_err(unreachable(asked))?;
    let stat = rustix::fs::fstat(&at).map_err(FilesError::failed(format!("examine {asked}")))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Err(FilesError::NoExtractionPoint {
            path: asked.to_owned(),
        });
    }
    let mount =
        rustix::fs::fstatvfs(&at).map_err(FilesError::failed(format!("examine {asked}")))?;
    if mount.f_flag.contains(StatVfsMountFlags::RDONLY) {
        let of_root = runtime::same_mount(at.as_fd(), root);
        return Err(match of_root.unwrap_or(true) {
            true => FilesError::ReadOnlyRoot,
            false => FilesError::ReadOnlyVolume,
        });
    }
    let owners = match owner {
        _ if !rights.many_ids => Owners::Squash,
        None => Owners::Keep,
        Some(user) => {
            let (uid, gid) = runtime::look_up_user(root, user).map_err(no_such_user)?;
            Owners::All { uid, gid }
        }
    };
    let options = UnpackOptions {
        overlay_xattrs: rights.marks(),
        owners,
        devices: match rights.full {
            true => Devices::Make,
            false => Devices::Skip,
        },
    };
    archive::extract(&mut pipe, root, path::clean(&dir).as_bytes(), &options).map_err(|error| {
        // Whoever feeds the archive shall hear the answer rather than a broken pipe.
        _ = io::copy(&mut pipe, &mut io::sink());
        match error {
            ArchiveError::Unpack(UnpackError::Overwrite { path, directory }) => {
                FilesError::Overwrite {
                    path: format!("/{}", path.display()),
                    into: path::clean(&dir),
                    directory,
                }
            }
            ArchiveError::Unpack(UnpackError::Malformed { offset, reason }) => FilesError::Failed {
                action: format!("copy into {asked}"),
                reason: format!("malformed tar archive at byte {offset}: {reason}"),
            },
            error => FilesError::failed(format!("copy into {asked}"))(error),
        }
    })
}

fn no_such_user(fault: Fault) -> FilesError {
    match fault {
        Fault::NoSuchUser { kind, name, file } => FilesError::NoSuchUser { kind, name, file },
        fault => FilesError::failed("look the user up")(crate::Error::from(fault)),
    }
}

fn read(root: BorrowedFd<'_>, asked: &str, limit: u64, mut pipe: &File) -> Result<()> {
    let path = path::absolute(asked);
    let handle = runtime::open_inside(root, &path, OFlags::PATH, Links::Follow)
        .map_err(unreachable(asked))?;
    let failed = || FilesError::failed::<io::Error>(format!("read {asked}"));
    let stat = rustix::fs::fstat(&handle).map_err(|e| failed()(e.into()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(FilesError::NotAFile {
            path: asked.to_owned(),
        });
    }
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    if size > limit {
        return Err(FilesError::TooLarge {
            path: asked.to_owned(),
            size,
            limit,
        });
    }
    // What was examined is what is opened.
    let file = File::open(format!("/proc/self/fd/{}", handle.as_raw_fd())).map_err(failed())?;
    io::copy(&mut io::Read::take(file, limit), &mut pipe).map_err(failed())?;
    Ok(())
}
