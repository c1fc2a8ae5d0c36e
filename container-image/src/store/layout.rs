//! Where everything lies below the store's root, and how files are replaced and locked.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use super::error::{StoreError, io_error};
use crate::digest::Digest;

/// The paths below a root. See the drawing in [`super`].
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) root: PathBuf,
}

impl Layout {
    pub(super) fn marker(&self) -> PathBuf {
        self.root.join("oci-layout")
    }

    pub(super) fn index(&self) -> PathBuf {
        self.root.join("index.json")
    }

    pub(super) fn index_aside(&self) -> PathBuf {
        self.root.join("ingest/index.json")
    }

    pub(super) fn index_lock(&self) -> PathBuf {
        self.root.join("ingest/index.lock")
    }

    pub(super) fn trash_lock(&self) -> PathBuf {
        self.root.join("ingest/trash.lock")
    }

    pub(super) fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    pub(super) fn blob(&self, digest: &Digest) -> PathBuf {
        self.root
            .join("blobs")
            .join(digest.algorithm().as_str())
            .join(digest.hex())
    }

    pub(super) fn ingest(&self) -> PathBuf {
        self.root.join("ingest")
    }

    /// The part of a blob that has come so far.
    pub(super) fn partial(&self, digest: &Digest) -> PathBuf {
        self.root
            .join("ingest")
            .join(format!("{}-{}", digest.algorithm(), digest.hex()))
    }

    /// Locked by whoever unpacks the layer.
    pub(super) fn layer_lock(&self, chain_id: &Digest) -> PathBuf {
        self.root
            .join("ingest")
            .join(format!("layer-{}", chain_id.hex()))
    }

    pub(super) fn layers(&self) -> PathBuf {
        self.root.join("layers")
    }

    pub(super) fn layer(&self, chain_id: &Digest) -> PathBuf {
        self.root.join("layers").join(chain_id.hex())
    }

    /// The layer while it is unpacked. In the same directory as the finished one, as
    /// renaming a directory into another one needs write permission on it, which an
    /// ordinary user may not have on a layer's root.
    pub(super) fn layer_aside(&self, chain_id: &Digest) -> PathBuf {
        self.root
            .join("layers")
            .join(format!("new-{}", chain_id.hex()))
    }

    /// The sum of the layer's file sizes in bytes, in decimal.
    pub(super) fn layer_size(&self, chain_id: &Digest) -> PathBuf {
        self.root
            .join("layers")
            .join(format!("{}.size", chain_id.hex()))
    }

    /// Makes the root a store if it is none yet.
    pub(super) fn init(&self) -> Result<(), StoreError> {
        match read_limited(&self.marker(), 4096) {
            Ok(marker) => return self.check_marker(&marker),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(io_error("read", self.marker())(error)),
        }
        make_dirs(&self.root)?;
        for dir in [self.ingest(), self.layers(), self.blobs().join("sha256")] {
            make_dirs(&dir)?;
        }
        // Two processes may do this at once: the lock makes the second find it done.
        let _lock = Lock::exclusive(&self.index_lock())?;
        if !exists(&self.index())? {
            let empty = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
            self.replace(&self.index(), &self.index_aside(), empty)?;
        }
        if !exists(&self.marker())? {
            let marker = br#"{"imageLayoutVersion":"1.0.0"}"#;
            self.replace(&self.marker(), &self.ingest().join("oci-layout"), marker)?;
        }
        Ok(())
    }

    fn check_marker(&self, marker: &[u8]) -> Result<(), StoreError> {
        let version = serde_json::from_slice::<oci_spec::image::OciLayout>(marker)
            .map_err(|e| format!("its oci-layout file is malformed ({e})"))
            .and_then(|layout| match layout.image_layout_version().as_str() {
                version if version.starts_with("1.") => Ok(()),
                version => Err(format!("it is an OCI image layout of version {version:?}")),
            });
        version.map_err(|reason| StoreError::NotAStore {
            root: self.root.clone(),
            reason,
        })
    }

    /// Replaces `path` as a whole: written aside, made durable, renamed.
    pub(super) fn replace(
        &self,
        path: &Path,
        aside: &Path,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o644)
            .open(aside)
            .map_err(io_error("create", aside))?;
        file.write_all(bytes).map_err(io_error("write", aside))?;
        file.sync_all().map_err(io_error("sync", aside))?;
        std::fs::rename(aside, path).map_err(io_error("replace", path))?;
        sync_parent(path)
    }
}

/// Makes the rename of `path` durable.
pub(super) fn sync_parent(path: &Path) -> Result<(), StoreError> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    File::open(parent)
        .and_then(|dir| dir.sync_all())
        .map_err(io_error("sync", parent))
}

/// Makes a directory and those above it. Those made are the owner's only: layers hold
/// set-user-id programs that other users of the machine must not reach (CVE-2021-41091).
pub(super) fn make_dirs(path: &Path) -> Result<(), StoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(io_error("create directory", path))
}

/// Whether something stands at `path`; a link is not followed.
pub(super) fn exists(path: &Path) -> Result<bool, StoreError> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(io_error("examine", path)(error)),
    }
}

/// Removes a file that may be gone already.
pub(super) fn unlink(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io_error("remove", path)(error)),
        _ => Ok(()),
    }
}

/// The names in a directory that are text; a missing directory has none.
pub(super) fn names(dir: &Path) -> Result<Vec<String>, StoreError> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error("list", dir)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(io_error("list", dir))?;
        names.extend(entry.file_name().into_string().ok());
    }
    Ok(names)
}

/// A whole file of at most `limit` bytes.
pub(super) fn read_limited(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    if size > limit {
        return Err(io::Error::new(
            ErrorKind::FileTooLarge,
            format!("{size} bytes where at most {limit} are read"),
        ));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1);
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// An advisory lock on a whole file (`flock(2)`): it ends when the last descriptor of
/// the open file does, so also with the process, however that ends.
#[derive(Debug)]
pub(super) struct Lock {
    pub(super) file: File,
}

impl Lock {
    /// Waits until nobody else holds the lock on `path`, which is created if missing.
    pub(super) fn exclusive(path: &Path) -> Result<Self, StoreError> {
        Self::take(path, FlockOperation::LockExclusive).map(|lock| Self { file: lock })
    }

    /// Waits until nobody holds the lock on `path` exclusively.
    pub(super) fn shared(path: &Path) -> Result<Self, StoreError> {
        Self::take(path, FlockOperation::LockShared).map(|lock| Self { file: lock })
    }

    fn take(path: &Path, operation: FlockOperation) -> Result<File, StoreError> {
        let file = open_lock(path)?;
        rustix::io::retry_on_intr(|| rustix::fs::flock(&file, operation))
            .map_err(io_error("lock", path))?;
        Ok(file)
    }

    /// The lock on a file that its holder removes or renames when done: `None` if
    /// somebody holds it now. The path is looked at again after locking, since the file
    /// may have gone between opening and locking it.
    pub(super) fn try_on_transient(path: &Path) -> Result<Option<Self>, StoreError> {
        loop {
            let file = open_lock(path)?;
            if !try_exclusive(&file).map_err(io_error("lock", path))? {
                return Ok(None);
            }
            if is_at(&file, path).map_err(io_error("examine", path))? {
                return Ok(Some(Self { file }));
            }
        }
    }
}

/// Whether the lock could be had without waiting.
pub(super) fn try_exclusive(file: &File) -> io::Result<bool> {
    let operation = FlockOperation::NonBlockingLockExclusive;
    match rustix::io::retry_on_intr(|| rustix::fs::flock(file, operation)) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether `path` still leads to the open file.
pub(super) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let open = file.metadata()?;
    match std::fs::symlink_metadata(path) {
        Ok(named) => Ok(named.ino() == open.ino() && named.dev() == open.dev()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn open_lock(path: &Path) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600);
    match options.open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // A layout that another tool made has no directory for this yet.
            make_dirs(path.parent().unwrap_or(Path::new("/")))?;
            options.open(path)
        }
        opened => opened,
    }
    .map_err(io_error("open", path))
}
