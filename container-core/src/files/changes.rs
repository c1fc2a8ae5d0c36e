//! `diff` and sizes.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use container_image::layer::ChangeKind;

use super::error::FilesError;
use super::task::Errand;
use super::view::{self, View};
use crate::container::Container;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::run;
use crate::state::Inspect;

/// One difference between a container's files and its image's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Change {
    /// From the container's root on.
    pub path: PathBuf,
    /// What has happened to it.
    pub kind: ChangeKind,
}

/// How much a container takes on disk, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sizes {
    /// What it has changed: Docker's `SizeRw`.
    pub changes: u64,
    /// That, and its image: Docker's `SizeRootFs`.
    pub root: u64,
}

impl Container {
    /// What differs from the image, as `docker diff` tells it: parents before what is in them.
    /// Mounted file systems do not belong to it.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub async fn diff(&self) -> Result<Vec<Change>> {
        let (engine, id) = (self.engine.clone(), self.id.clone());
        super::blocking(move || {
            let mut moving = View::of_changes(&engine, &id)?.outward(&Errand::Changes)?;
            let mut bytes = Vec::new();
            let read = moving.pipe.read_to_end(&mut bytes);
            moving.said()?;
            read.map_err(Error::system("read the changes"))?;
            let mut changes = parse(&bytes)?;
            changes.sort_by(|a, b| a.path.cmp(&b.path));
            Ok(changes)
        })
        .await
    }

    /// How much it takes.
    ///
    /// # Errors
    /// Its files cannot be read.
    pub async fn sizes(&self) -> Result<Sizes> {
        let inspect = self.inspect()?;
        let sizes = self.engine.sizes(&[inspect]).await?;
        Ok(sizes.into_iter().next().unwrap_or_default())
    }
}

impl Engine {
    /// How much each of these containers takes. The files that each has changed are looked at;
    /// the sizes of images are known.
    ///
    /// # Errors
    /// The containers' directories cannot be read.
    pub async fn sizes(&self, containers: &[Inspect]) -> Result<Vec<Sizes>> {
        let (mut dirs, mut images) = (Vec::new(), Vec::new());
        for Inspect { record, .. } in containers {
            dirs.push(run::private_dirs(self, record));
            images.push(match &record.image {
                // An image that was removed by force leaves a container without one.
                Some(id) => match self.store().find(id.as_ref()) {
                    Ok(image) => self.store().size(&image)?,
                    Err(_) => 0,
                },
                None => 0,
            });
        }
        if dirs.is_empty() {
            return Ok(Vec::new());
        }
        let engine = self.clone();
        let changes = super::blocking(move || view::sizes(&engine, dirs)).await?;
        let sizes = changes.into_iter().zip(images);
        Ok(sizes
            .map(|(changes, image)| Sizes {
                changes,
                root: changes.saturating_add(image),
            })
            .collect())
    }
}

fn parse(bytes: &[u8]) -> Result<Vec<Change>> {
    let change = |line: &[u8]| {
        let kind = match line.first() {
            Some(b'A') => ChangeKind::Added,
            Some(b'C') => ChangeKind::Modified,
            Some(b'D') => ChangeKind::Deleted,
            _ => return None,
        };
        Some(Change {
            path: OsString::from_vec(line.get(1..)?.to_vec()).into(),
            kind,
        })
    };
    let lines = bytes.split(|&b| b == 0).filter(|line| !line.is_empty());
    let changes: Option<Vec<_>> = lines.map(change).collect();
    let broken = || FilesError::failed("read the changes")("they are garbled");
    Ok(changes.ok_or_else(broken)?)
}
