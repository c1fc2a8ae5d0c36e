//! `index.json`: which images there are and what they are called. Pure but for reading
//! and replacing the file.

use std::collections::HashMap;

use oci_spec::image::{Descriptor, ImageIndex};

use super::error::{StoreError, io_error};
use super::layout::{Layout, Lock, read_limited};
use super::twin;
use crate::digest::Digest;
use crate::reference::Reference;

/// The annotation by which OCI tools find an image in a layout (image-spec,
/// annotations.md). It holds the familiar name: `skopeo inspect oci:<root>:busybox:latest`.
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The annotation in which containerd's tools keep the full name.
pub(super) const FULL_NAME: &str = "io.containerd.image.name";
/// Largest `index.json` read, in bytes: tens of thousands of names.
const INDEX_LIMIT: u64 = 32 << 20;

/// The list of images. One entry for each name; an image that has lost its names keeps
/// one entry without.
#[derive(Debug, Clone)]
pub(super) struct Index {
    entries: Vec<Descriptor>,
    /// The rest of the document, as other tools may have written it.
    document: ImageIndex,
}

impl From<ImageIndex> for Index {
    fn from(mut document: ImageIndex) -> Self {
        let entries = document.manifests().clone();
        document.set_manifests(Vec::new());
        Self { entries, document }
    }
}

impl Index {
    pub(super) fn read(layout: &Layout) -> Result<Self, StoreError> {
        let path = layout.index();
        let bytes = read_limited(&path, INDEX_LIMIT).map_err(io_error("read", &path))?;
        match serde_json::from_slice::<ImageIndex>(&bytes) {
            Ok(document) => Ok(Self::from(document)),
            Err(error) => Err(StoreError::Damaged {
                path,
                reason: error.to_string(),
            }),
        }
    }

    /// Writes the list. The caller holds the lock on it.
    pub(super) fn write(&self, layout: &Layout, _lock: &Lock) -> Result<(), StoreError> {
        let path = layout.index();
        let mut document = self.document.clone();
        document.set_manifests(self.entries.clone());
        let bytes = serde_json::to_vec(&document).map_err(|error| StoreError::Damaged {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        layout.replace(&path, &layout.index_aside(), &bytes)
    }

    pub(super) fn entries(&self) -> &[Descriptor] {
        &self.entries
    }

    /// The entry called `name`. A tag beside a digest is not looked at, as in Docker.
    pub(super) fn lookup(&self, name: &Reference) -> Option<&Descriptor> {
        if let Some(digest) = name.digest() {
            let pinned = name.with_digest(digest.clone());
            return self.named(&pinned).or_else(|| {
                // The manifest itself pinned, where only its index was noted.
                self.entries().iter().find(|entry| {
                    is_of(entry, digest)
                        && name_of(entry).is_some_and(|n| same_repository(&n, name))
                })
            });
        }
        self.named(name)
    }

    fn named(&self, name: &Reference) -> Option<&Descriptor> {
        let full = name.to_string();
        self.entries()
            .iter()
            .find(|entry| match annotation(entry, FULL_NAME) {
                Some(text) => text == full,
                None => name_of(entry).as_ref() == Some(name),
            })
    }

    /// All names of the image with this manifest, tags first.
    pub(super) fn names(&self, manifest: &Digest) -> Vec<Reference> {
        let mut names: Vec<Reference> = self.of(manifest).filter_map(name_of).collect();
        names.sort_by(|a, b| (a.tag().is_none(), a).cmp(&(b.tag().is_none(), b)));
        names
    }

    fn of(&self, manifest: &Digest) -> impl Iterator<Item = &Descriptor> {
        self.entries()
            .iter()
            .filter(|entry| entry.digest().as_ref() == manifest.as_str())
    }

    /// Gives `image` the name, taking it from whichever had it; `None` enters the image
    /// without a name if it has none.
    pub(super) fn set(&mut self, name: Option<&Reference>, image: &Descriptor) {
        let mut entry = image.clone();
        match name {
            Some(name) => {
                self.unset(name);
                rename(&mut entry, Some(name));
                // The image needs no nameless entry any more.
                self.entries
                    .retain(|old| old.digest() != image.digest() || name_of(old).is_some());
            }
            None if self.entries().iter().any(|e| e.digest() == image.digest()) => return,
            None => rename(&mut entry, None),
        }
        self.entries.push(entry);
    }

    /// Takes a name away. The image stays, nameless if this was its last name.
    pub(super) fn unset(&mut self, name: &Reference) {
        let Some(position) = self
            .entries()
            .iter()
            .position(|entry| name_of(entry).as_ref() == Some(name))
        else {
            return;
        };
        let mut entry = self.entries.remove(position);
        if !self.entries().iter().any(|e| e.digest() == entry.digest()) {
            rename(&mut entry, None);
            self.entries.push(entry);
        }
    }

    /// Takes the image away with all its names.
    pub(super) fn forget(&mut self, manifest: &Digest) {
        self.entries
            .retain(|entry| entry.digest().as_ref() != manifest.as_str());
    }
}

/// Whether an entry is for this manifest, in its own form or in OCI's.
pub(super) fn is_of(entry: &Descriptor, manifest: &Digest) -> bool {
    entry.digest().as_ref() == manifest.as_str() || twin::original(entry).as_ref() == Some(manifest)
}

fn rename(entry: &mut Descriptor, name: Option<&Reference>) {
    let mut annotations = HashMap::new();
    if let Some(original) = twin::original(entry) {
        annotations.insert(twin::ORIGINAL.to_owned(), original.to_string());
    }
    if let Some(name) = name {
        annotations.insert(REF_NAME.to_owned(), name.familiar());
        annotations.insert(FULL_NAME.to_owned(), name.to_string());
    }
    entry.set_annotations((!annotations.is_empty()).then_some(annotations));
}

/// The name in an entry: the full one where it is, else what other tools write.
pub(super) fn name_of(entry: &Descriptor) -> Option<Reference> {
    annotation(entry, FULL_NAME)
        .or_else(|| annotation(entry, REF_NAME))?
        .parse()
        .ok()
}

fn same_repository(a: &Reference, b: &Reference) -> bool {
    a.registry() == b.registry() && a.repository() == b.repository()
}

fn annotation<'a>(entry: &'a Descriptor, key: &str) -> Option<&'a str> {
    entry.annotations().as_ref()?.get(key).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use oci_spec::image::MediaType;

    use super::*;

    fn image(n: u8) -> Descriptor {
        let digest: oci_spec::image::Digest = Digest::sha256([n]).as_str().parse().unwrap();
        Descriptor::new(MediaType::ImageManifest, 1, digest)
    }

    fn name(text: &str) -> Reference {
        text.parse().unwrap()
    }

    fn empty() -> Index {
        let document: ImageIndex =
            serde_json::from_str(r#"{"schemaVersion":2,"manifests":[]}"#).unwrap();
        document.into()
    }

    #[test]
    fn a_name_moves_and_leaves_a_nameless_image() {
        let mut index = empty();
        index.set(Some(&name("a:1")), &image(1));
        index.set(Some(&name("a:1")), &image(2));
        assert_eq!(index.entries().len(), 2);
        assert_eq!(
            index.lookup(&name("a:1")).unwrap().digest(),
            image(2).digest()
        );
        assert!(index.names(&Digest::sha256([1])).is_empty());
        index.set(Some(&name("b")), &image(1));
        assert_eq!(index.entries().len(), 2);
        index.set(None, &image(1));
        assert_eq!(index.entries().len(), 2);
        index.unset(&name("b"));
        index.unset(&name("b"));
        assert_eq!(index.entries().len(), 2);
        index.forget(&Digest::sha256([1]));
        assert_eq!(index.entries().len(), 1);
    }

    #[test]
    fn pinned_names_find_index_and_manifest() {
        let mut index = empty();
        let of_index = Digest::sha256(b"index");
        index.set(Some(&name("a:1")), &image(1));
        index.set(Some(&name("a").with_digest(of_index.clone())), &image(1));
        let manifest = Digest::sha256([1]);
        for found in [
            format!("a@{of_index}"),
            format!("a:other@{of_index}"),
            format!("a@{manifest}"),
        ] {
            assert!(index.lookup(&name(&found)).is_some(), "{found}");
        }
        assert!(index.lookup(&name(&format!("b@{manifest}"))).is_none());
        assert_eq!(index.names(&manifest)[0], name("a:1"));
    }

    #[test]
    fn names_by_other_tools_are_read() {
        let mut foreign = image(1);
        foreign.set_annotations(Some(HashMap::from([(
            REF_NAME.to_owned(),
            "busybox:1.36".to_owned(),
        )])));
        let mut index = empty();
        index.entries.push(foreign);
        assert!(index.lookup(&name("busybox:1.36")).is_some());
        assert!(index.lookup(&name("busybox")).is_none());
    }
}
