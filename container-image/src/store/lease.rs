//! Keeping an image from being removed while it is used.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;

use rustix::fs::FlockOperation;

use super::Store;
use super::error::{StoreError, io_error};
use super::image::Image;
use super::layout::try_exclusive;
use crate::manifest;

/// As long as this, or any duplicate of its descriptor in any process, is open, the image
/// and all its layers stay. Hand it to the process that outlives the caller.
#[derive(Debug)]
pub struct Lease(File);

impl AsFd for Lease {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<Lease> for OwnedFd {
    fn from(lease: Lease) -> Self {
        lease.0.into()
    }
}

impl Store {
    /// Keeps `image` from being removed for as long as the lease lives.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if it was removed since it was found: find it again, or
    /// pull it. [`StoreError::Io`].
    pub fn lease(&self, image: &Image) -> Result<Lease, StoreError> {
        let gone = || StoreError::NotFound {
            name: image.id.to_string(),
        };
        let path = self.layout.blob(&manifest::digest_of(&image.entry)?);
        let file = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(gone()),
            opened => opened.map_err(io_error("open", &path))?,
        };
        rustix::io::retry_on_intr(|| rustix::fs::flock(&file, FlockOperation::LockShared))
            .map_err(io_error("lock", &path))?;
        // Who removes an image unlinks this file before releasing the lock.
        let links = file.metadata().map_err(io_error("examine", &path))?.nlink();
        if links == 0 {
            return Err(gone());
        }
        Ok(Lease(file))
    }

    /// The exclusive counterpart of a lease, or `None` while somebody has one.
    pub(super) fn try_evict(&self, image: &Image) -> Result<Option<File>, StoreError> {
        let path = self.layout.blob(&manifest::digest_of(&image.entry)?);
        let file = File::open(&path).map_err(io_error("open", &path))?;
        let free = try_exclusive(&file).map_err(io_error("lock", &path))?;
        Ok(free.then_some(file))
    }
}
