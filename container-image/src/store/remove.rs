//! Removing images: Docker's rules for `rmi` and `image prune`.

use std::fs::File;

use super::Store;
use super::error::{Conflict, StoreError};
use super::image::Image;
use super::index::{Index, name_of};
use super::layout::Lock;
use super::sweep::Scope;
use crate::digest::Digest;
use crate::manifest;
use crate::reference::Reference;

/// How to remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RemoveOptions {
    /// Remove names and image also when several names or a container stand against it.
    /// The files of an image that a container uses stay nevertheless: the image loses
    /// its names, and a prune removes it when the container is gone.
    pub force: bool,
}

/// One thing that was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// A name was taken away.
    Untagged(Reference),
    /// An image (by its id) or a layer (by its chain id) was deleted.
    Deleted(Digest),
}

/// What a prune removed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Names, images and layers, in the order of removal.
    pub removals: Vec<Removal>,
    /// Bytes of blobs and layers that are free again.
    pub reclaimed: u64,
}

/// What uses an image.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Use {
    None,
    Stopped(String),
    Running(String),
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    untag: Vec<Reference>,
    delete: bool,
}

impl Store {
    /// Takes away the name `name`, and deletes the image if that was its last one;
    /// deletes the image with all names if `name` is its id or the beginning of it.
    ///
    /// `in_use` tells for an image id which container uses it, running or not; it is
    /// called while the store is locked and must not call it. That a container is running
    /// is known by its lease.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] with Docker's words, [`StoreError::NotFound`],
    /// [`StoreError::Ambiguous`], [`StoreError::Io`].
    pub fn remove(
        &self,
        name: &str,
        options: RemoveOptions,
        in_use: &dyn Fn(&Digest) -> Option<String>,
    ) -> Result<Vec<Removal>, StoreError> {
        let lock = Lock::exclusive(&self.layout.index_lock())?;
        let mut index = Index::read(&self.layout)?;
        let image = match self.find_in(&index, name) {
            Ok(image) => image,
            Err(
                error @ (StoreError::Incomplete { .. }
                | StoreError::Damaged { .. }
                | StoreError::Manifest(_)),
            ) => return self.remove_damaged(index, &lock, name).ok_or(error)?,
            Err(error) => return Err(error),
        };
        let given = name
            .parse::<Reference>()
            .ok()
            .and_then(|name| index.lookup(&name))
            .and_then(name_of);
        let (usage, evicted) = self.usage(&image, in_use)?;
        let verdict = decide(
            &image.names,
            &image.id,
            given.as_ref(),
            name,
            options,
            &usage,
        )
        .map_err(StoreError::Conflict)?;
        let mut removals = Vec::new();
        for name in verdict.untag {
            index.unset(&name);
            removals.push(Removal::Untagged(name));
        }
        let before = self.extent(&image);
        if verdict.delete {
            index.forget(&before.entry);
        }
        index.write(&self.layout, &lock)?;
        if verdict.delete {
            let swept = self.sweep(&index, &lock, &Scope::Only(before.digests))?;
            removals.push(Removal::Deleted(image.id.clone()));
            removals.extend(swept.layers.into_iter().map(Removal::Deleted));
        }
        drop(evicted);
        drop(lock);
        self.empty_trash()?;
        Ok(removals)
    }

    /// An image whose files are damaged cannot be asked what it consists of: it loses the
    /// name, and what is left of it is found by a prune.
    fn remove_damaged(
        &self,
        mut index: Index,
        lock: &Lock,
        name: &str,
    ) -> Option<Result<Vec<Removal>, StoreError>> {
        let entry = index.lookup(&name.parse().ok()?)?.clone();
        let name = name_of(&entry)?;
        index.unset(&name);
        let digest: Digest = entry.digest().as_ref().parse().ok()?;
        if index.names(&digest).is_empty() {
            index.forget(&digest);
        }
        let written = index.write(&self.layout, lock);
        Some(written.map(|()| vec![Removal::Untagged(name)]))
    }

    fn usage(
        &self,
        image: &Image,
        in_use: &dyn Fn(&Digest) -> Option<String>,
    ) -> Result<(Use, Option<File>), StoreError> {
        let container = in_use(&image.id);
        let evicted = self.try_evict(image)?;
        let usage = match (container, &evicted) {
            (container, None) => Use::Running(container.unwrap_or_else(|| "unknown".to_owned())),
            (Some(container), Some(_)) => Use::Stopped(container),
            (None, Some(_)) => Use::None,
        };
        Ok((usage, evicted))
    }

    /// Removes the images that have no tag, or all that no container uses if `all`;
    /// and everything that interrupted pulls and loads left behind.
    ///
    /// `in_use` is as for [`Store::remove`].
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn prune(
        &self,
        all: bool,
        in_use: &dyn Fn(&Digest) -> Option<String>,
    ) -> Result<Pruned, StoreError> {
        self.prune_some(&|image| all || image.tags().next().is_none(), in_use)
    }

    /// As [`prune`](Self::prune), of the images that are `wanted` away.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn prune_some(
        &self,
        wanted: &dyn Fn(&Image) -> bool,
        in_use: &dyn Fn(&Digest) -> Option<String>,
    ) -> Result<Pruned, StoreError> {
        let lock = Lock::exclusive(&self.layout.index_lock())?;
        let mut index = Index::read(&self.layout)?;
        let listed = index.entries().len();
        let mut removals = Vec::new();
        let mut evicted = Vec::new();
        for image in self.readable(&index) {
            if !wanted(&image) {
                continue;
            }
            let (Use::None, Some(lease)) = self.usage(&image, in_use)? else {
                continue;
            };
            evicted.push(lease);
            index.forget(&self.extent(&image).entry);
            removals.extend(image.names.into_iter().map(Removal::Untagged));
            removals.push(Removal::Deleted(image.id));
        }
        // What has no name and cannot be read will never be asked for again.
        let entries = index.entries().to_vec();
        for entry in entries.iter().filter(|entry| name_of(entry).is_none()) {
            if let (Err(_), Ok(digest)) = (self.load(&index, entry), manifest::digest_of(entry)) {
                index.forget(&digest);
            }
        }
        if index.entries().len() != listed {
            index.write(&self.layout, &lock)?;
        }
        let swept = self.sweep(&index, &lock, &Scope::Everything)?;
        removals.extend(swept.layers.into_iter().map(Removal::Deleted));
        drop(evicted);
        drop(lock);
        self.empty_trash()?;
        Ok(Pruned {
            removals,
            reclaimed: swept.bytes,
        })
    }
}

/// Docker's rules (moby, `daemon/images/image_delete.go`): a name given is untagged, and
/// the image goes with its last name; an id given takes the image and its names, if the
/// names are of one repository or it is forced.
fn decide(
    names: &[Reference],
    id: &Digest,
    given: Option<&Reference>,
    text: &str,
    options: RemoveOptions,
    usage: &Use,
) -> Result<Verdict, Conflict> {
    let image = id.short().to_owned();
    let Some(given) = given else {
        if !single(names) && !options.force {
            return Err(Conflict::ManyNames { image });
        }
        return match usage {
            Use::Running(container) => Err(Conflict::Running {
                image,
                container: container.clone(),
            }),
            Use::Stopped(container) if !options.force => Err(Conflict::Stopped {
                image,
                container: container.clone(),
            }),
            usage => Ok(Verdict {
                untag: names.to_vec(),
                delete: *usage == Use::None,
            }),
        };
    };
    if let Use::Running(container) | Use::Stopped(container) = usage
        && single(names)
        && !options.force
    {
        return Err(Conflict::LastName {
            name: text.to_owned(),
            container: container.clone(),
            image,
        });
    }
    let mut untag = vec![given.clone()];
    let mut left: Vec<&Reference> = names.iter().filter(|name| *name != given).collect();
    let same = |name: &Reference| {
        name.registry() == given.registry() && name.repository() == given.repository()
    };
    // With the last tag in a repository go the names by digest in it.
    if given.tag().is_some() && !left.iter().any(|name| same(name) && name.tag().is_some()) {
        untag.extend(left.iter().filter(|name| same(name)).copied().cloned());
        left.retain(|name| !same(name));
    }
    Ok(Verdict {
        untag,
        delete: left.is_empty() && *usage == Use::None,
    })
}

/// Whether all names are one tag and names by digest of the same repository.
fn single(names: &[Reference]) -> bool {
    let tags = names.iter().filter(|name| name.tag().is_some()).count();
    let one_repository = names.windows(2).all(|pair| {
        pair[0].registry() == pair[1].registry() && pair[0].repository() == pair[1].repository()
    });
    tags <= 1 && one_repository
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(
        names: &[&str],
        given: Option<&str>,
        force: bool,
        usage: Use,
    ) -> Result<(Vec<String>, bool), Conflict> {
        let pin = |name: &str| match name.strip_suffix('@') {
            Some(repository) => {
                let name: Reference = repository.parse().unwrap();
                name.with_digest(Digest::sha256(b"m"))
            }
            None => name.parse().unwrap(),
        };
        let names: Vec<Reference> = names.iter().map(|n| pin(n)).collect();
        let id = Digest::sha256(b"image");
        let given_name = given.map(pin);
        let text = given.unwrap_or("id");
        decide(
            &names,
            &id,
            given_name.as_ref(),
            text,
            RemoveOptions { force },
            &usage,
        )
        .map(|v| {
            let names = v.untag.iter().map(|name| {
                let pinned = if name.tag().is_none() { "@" } else { "" };
                let tag = name.tag().map(|t| format!(":{t}")).unwrap_or_default();
                format!("{}{tag}{pinned}", name.familiar_repository())
            });
            (names.collect(), v.delete)
        })
    }

    fn done(names: &[&str], delete: bool) -> Result<(Vec<String>, bool), Conflict> {
        Ok((names.iter().map(|n| (*n).to_owned()).collect(), delete))
    }

    #[test]
    fn a_name_goes_and_the_image_with_the_last() {
        let verdict = |names: &[&str], given| verdict(names, given, false, Use::None);
        assert_eq!(verdict(&["a:1"], Some("a:1")), done(&["a:1"], true));
        assert_eq!(verdict(&["a:1", "b:1"], Some("a:1")), done(&["a:1"], false));
        assert_eq!(
            verdict(&["a:1", "a@"], Some("a:1")),
            done(&["a:1", "a@"], true)
        );
        assert_eq!(
            verdict(&["a:1", "a:2", "a@"], Some("a:1")),
            done(&["a:1"], false)
        );
        assert_eq!(verdict(&["a:1", "b@"], Some("a:1")), done(&["a:1"], false));
        assert_eq!(verdict(&["a:1", "a@"], Some("a@")), done(&["a@"], false));
    }

    #[test]
    fn an_id_takes_the_names_of_one_repository() {
        let plain = |names: &[&str]| verdict(names, None, false, Use::None);
        assert_eq!(plain(&["a:1", "a@"]), done(&["a:1", "a@"], true));
        assert_eq!(plain(&[]), done(&[], true));
        for names in [&["a:1", "b:1"], &["a:1", "a:2"], &["a:1", "b@"]] {
            assert!(matches!(plain(names), Err(Conflict::ManyNames { .. })));
            assert_eq!(verdict(names, None, true, Use::None), done(names, true));
        }
    }

    #[test]
    fn containers_stand_against_it() {
        let stopped = || Use::Stopped("c1".into());
        let running = || Use::Running("c1".into());
        let last = |force, usage| verdict(&["a:1"], Some("a:1"), force, usage);
        assert!(matches!(
            last(false, stopped()),
            Err(Conflict::LastName { .. })
        ));
        assert!(matches!(
            last(false, running()),
            Err(Conflict::LastName { .. })
        ));
        assert_eq!(last(true, stopped()), done(&["a:1"], false));
        assert_eq!(last(true, running()), done(&["a:1"], false));
        let one_of_two = verdict(&["a:1", "a:2"], Some("a:1"), false, running());
        assert_eq!(one_of_two, done(&["a:1"], false));
        let id = |force, usage| verdict(&["a:1"], None, force, usage);
        assert!(matches!(
            id(false, stopped()),
            Err(Conflict::Stopped { .. })
        ));
        assert!(matches!(id(true, running()), Err(Conflict::Running { .. })));
        assert_eq!(id(true, stopped()), done(&["a:1"], false));
    }
}
