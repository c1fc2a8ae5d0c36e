//! `export` and `cp`: files and archives in and out of a container.

use std::io::{self, Read, Write};
use std::path::Path;

use container_image::tree::TreeError;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use super::archive::Archive;
use super::error::FilesError;
use super::path;
use super::rules::{self, Destination, Source};
use super::scene::Wanted;
use super::task::{Errand, PathStat};
use super::view::View;
use super::{blocking, local};
use crate::container::Container;
use crate::error::{Error, Result};
use crate::events::Journal;

/// How [`Container::copy_to`] and [`Container::copy_from`] copy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CopyOptions {
    /// If what is to be copied is a symbolic link, copy what it leads to.
    pub follow_link: bool,
    /// What is copied in belongs to the container's user, and not to the ids that it has here.
    pub archive: bool,
}

/// What was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Bytes of the archive that it was on the way.
    pub bytes: u64,
}

const WRITE: Wanted = Wanted::All { write: true };
const READ: Wanted = Wanted::All { write: false };

impl Container {
    /// Its root file system as a tar archive, without what is mounted in it; whether it runs or
    /// not.
    ///
    /// # Errors
    /// Its files cannot be read.
    pub async fn export(&self) -> Result<Archive> {
        let view = View::of(self, Wanted::Root).await?;
        let moving = blocking(move || view.outward(&Errand::Export)).await?;
        self.tell("export")?;
        Ok(Archive::new(moving))
    }

    /// What a path in it is. Symbolic links on the way are followed, and lead no further than to
    /// its root; one at the end only if a slash follows.
    ///
    /// # Errors
    /// [`FilesError::NotFound`].
    pub async fn stat(&self, path: &str) -> Result<PathStat> {
        let view = View::of(self, READ).await?;
        let path = path.to_owned();
        blocking(move || view.stat(&path)).await
    }

    /// A file or directory as a tar archive, in which its name is that of the path. With `/.` at
    /// the end, the content of a directory. Volumes and other mounts belong to it, but not `/proc`,
    /// `/sys` and `/dev`. Works on a container that does not run too.
    ///
    /// # Errors
    /// As [`stat`](Self::stat).
    pub async fn copy_out(&self, path: &str) -> Result<(PathStat, Archive)> {
        let view = View::of(self, READ).await?;
        let path = path.to_owned();
        let (stat, moving) = blocking(move || {
            let stat = view.stat(&path)?;
            let errand = Errand::Pack { path, name: None };
            Ok((stat, view.outward(&errand)?))
        })
        .await?;
        self.tell("archive-path")?;
        Ok((stat, Archive::new(moving)))
    }

    /// Unpacks a tar archive (plain, or compressed with gzip, bzip2, xz or zstd) in a directory of
    /// it. Files there are replaced, but no directory by a file nor the other way round. Owners are
    /// those of the archive.
    ///
    /// # Errors
    /// There is no such directory, it lies on something read-only, the archive is malformed.
    pub async fn copy_in(&self, dir: &str, mut tar: impl AsyncRead + Unpin) -> Result<()> {
        let errand = Errand::Extract {
            dir: dir.to_owned(),
            owner: None,
        };
        let view = View::of(self, WRITE).await?;
        let moving = blocking(move || view.inward(&errand)).await?;
        let pipe = moving.pipe.try_clone();
        let sender = pipe.and_then(tokio::net::unix::pipe::Sender::from_file);
        let mut sender = sender.map_err(Error::system("feed the worker"))?;
        let mut buffer = vec![0; 256 << 10];
        let fed = async {
            loop {
                match tar.read(&mut buffer).await? {
                    0 => return Ok(()),
                    length => match sender.write_all(&buffer[..length]).await {
                        // It says why it does not want the rest.
                        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                        written => written?,
                    },
                }
            }
        };
        let fed: io::Result<()> = fed.await;
        drop(sender);
        blocking(move || moving.finish()).await?;
        fed.map_err(Error::system("read the archive"))?;
        self.tell("extract-to-dir")
    }

    /// The content of a file, links followed; at most 256 MiB.
    ///
    /// # Errors
    /// There is no such file, it is no regular one, or too large.
    pub async fn read_file(&self, path: &str) -> Result<Vec<u8>> {
        const LIMIT: u64 = 256 << 20;
        let view = View::of(self, READ).await?;
        let path = path.to_owned();
        blocking(move || {
            let errand = Errand::Read { path, limit: LIMIT };
            let mut content = Vec::new();
            let mut archive = Archive::new(view.outward(&errand)?);
            Read::read_to_end(&mut archive, &mut content).map_err(cause)?;
            Ok(content)
        })
        .await
    }

    /// Makes a file of this content, with these permissions, that belongs to root. One that is
    /// there is replaced; directories on the way are made.
    ///
    /// # Errors
    /// There is a directory, or a read-only file system.
    pub async fn write_file(&self, path: &str, content: impl AsRef<[u8]>, mode: u32) -> Result<()> {
        let name = path::clean(&path::absolute(path));
        let name = name.trim_start_matches('/');
        if name.is_empty() || path::asserts_directory(path) {
            return Err(FilesError::NotAFile {
                path: path.to_owned(),
            }
            .into());
        }
        let archive = container_image::archive::of_file(name, mode, content.as_ref());
        self.copy_in("/", &archive[..]).await
    }

    /// Copies files of this machine in, by the rules of `docker cp`: into a directory that is
    /// there, or under the new name; `local/.` is the content of a directory.
    ///
    /// # Errors
    /// [`FilesError`] says which rule is broken.
    pub async fn copy_to(
        &self,
        local: impl AsRef<Path>,
        path: &str,
        options: CopyOptions,
    ) -> Result<Copied> {
        let (asked, path) = (local::absolute(local.as_ref())?, path.to_owned());
        let owner = match options.archive {
            true => Some(self.user()?),
            false => None,
        };
        let view = View::of(self, WRITE).await?;
        let copied = blocking(move || {
            let destination = inside(&view, &path)?;
            let source = local::source(&asked, options.follow_link)?;
            let placed = rules::place(&source, &destination)?;
            let dir = placed.into;
            let moving = view.inward(&Errand::Extract { dir, owner })?;
            let mut counted = Counted::new(&moving.pipe);
            let packed = local::pack(&source, placed.name.as_deref(), &mut counted);
            let bytes = counted.bytes;
            match (packed, moving.finish()) {
                // It has said why it did not want the rest.
                (Err(TreeError::Write(_)), Err(e)) => Err(e),
                (Err(e), _) => Err(FilesError::failed(format!("copy {asked}"))(e).into()),
                (Ok(()), finished) => finished.map(|()| Copied { bytes }),
            }
        })
        .await?;
        self.tell("extract-to-dir")?;
        Ok(copied)
    }

    /// Copies files out to this machine, by the same rules. They belong to the caller.
    ///
    /// # Errors
    /// [`FilesError`] says which rule is broken.
    pub async fn copy_from(
        &self,
        path: &str,
        local: impl AsRef<Path>,
        options: CopyOptions,
    ) -> Result<Copied> {
        let (asked, mut path) = (local::absolute(local.as_ref())?, path.to_owned());
        local::check_output(&asked)?;
        let view = View::of(self, READ).await?;
        let copied = blocking(move || {
            let mut rename = None;
            let mut stat = view.stat(&path)?;
            if let Some(target) = stat.link_target.as_ref().filter(|_| options.follow_link) {
                (path, rename) = rules::followed(&path, target);
                stat = view.stat(&path)?;
            }
            let source = Source {
                is_dir: stat.is_dir(),
                path: path.clone(),
                rename,
            };
            let placed = rules::place(&source, &local::destination(&asked)?)?;
            let name = placed.name;
            let archive = Archive::new(view.outward(&Errand::Pack { path, name })?);
            let mut counted = Counted::new(archive);
            let extracted = local::extract(&placed.into, &mut counted);
            // What the worker says goes before what follows from it.
            let rest = io::copy(&mut counted.inner, &mut io::sink());
            rest.map_err(cause)?;
            extracted?;
            let bytes = counted.bytes;
            Ok(Copied { bytes })
        })
        .await?;
        self.tell("archive-path")?;
        Ok(copied)
    }

    /// Whose files they are that are copied with all ids: the user that its program runs as.
    fn user(&self) -> Result<String> {
        let record = self.inspect()?.record;
        let asked = record.request.user.clone().filter(|user| !user.is_empty());
        Ok(match (asked, &record.image) {
            (Some(user), _) => user,
            (None, None) => String::new(),
            (None, Some(id)) => {
                let image = self.engine.store().find(id.as_ref())?;
                let config = image.config.config().as_ref();
                config.and_then(|c| c.user().clone()).unwrap_or_default()
            }
        })
    }

    /// Writes down what was done to the container.
    pub(super) fn tell(&self, action: &str) -> Result<()> {
        let record = self.inspect()?.record;
        Journal::new(self.engine.run_root()).container(&record, action, &[]);
        Ok(())
    }
}

/// What is at the place in the container to copy to.
fn inside(view: &View, path: &str) -> Result<Destination> {
    let mut destination = Destination {
        path: path.to_owned(),
        is_dir: None,
    };
    let mut stat = view.find(path)?;
    if let Some(target) = stat.as_ref().and_then(|s| s.link_target.clone()) {
        stat = view.find(&target)?;
        destination.path = target;
    }
    if let Some(stat) = stat {
        if !stat.is_dir() && !stat.is_file() {
            return Err(FilesError::OddDestination {
                path: path.to_owned(),
            }
            .into());
        }
        destination.is_dir = Some(stat.is_dir());
    }
    Ok(destination)
}

/// The error that an archive's reader was given as one of reading.
pub(super) fn cause(error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => Error::system("read the archive")(error),
    }
}

/// Counts what passes.
struct Counted<T> {
    inner: T,
    bytes: u64,
}

impl<T> Counted<T> {
    fn new(inner: T) -> Self {
        Self { inner, bytes: 0 }
    }
}

impl<T: Read> Read for Counted<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.bytes += length as u64;
        Ok(length)
    }
}

impl<T: Write> Write for Counted<T> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let length = self.inner.write(buffer)?;
        self.bytes += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
