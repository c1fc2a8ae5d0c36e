//! What is done to images, and told in the journal: the store's work, by its own functions, and who listens to
//! [`Engine::events`] learns of it.

use container_image::archive::{self, ArchiveError, Format, Import, Input, Loaded, Selection};
use container_image::store::{Image, Pruned, Removal, RemoveOptions, StoreError};
use container_image::{Digest, Reference};
use std::cell::RefCell;
use std::collections::HashSet;
use std::io::Write;

use crate::engine::Engine;
use crate::events::Journal;

impl Engine {
    /// Gives an image a further name, or a name another image.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or what keeps the index from being written.
    pub fn tag(&self, source: &str, target: &Reference) -> Result<(), StoreError> {
        self.store().tag(source, target)?;
        // Looked up by the new name, which cannot mean another image.
        if let Some(image) = self.store().find_reference(target)? {
            self.tell(&image.id, &target.familiar(), "tag");
        }
        Ok(())
    }

    /// Takes a name from an image, and removes the image with its last one.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] for an image that is used.
    pub fn remove_image(
        &self,
        name: &str,
        options: RemoveOptions,
    ) -> Result<Vec<Removal>, StoreError> {
        let image = self.store().find(name).ok();
        let ids: HashSet<Digest> = image.into_iter().map(|image| image.id).collect();
        let user = |image: &Digest| self.image_user(image);
        let removals = self.store().remove(name, options, &user)?;
        self.tell_removals(&removals, &ids);
        Ok(removals)
    }

    /// Removes images that no container uses.
    ///
    /// # Errors
    /// What keeps the index from being read or written.
    pub fn prune_images(&self, wanted: impl Fn(&Image) -> bool) -> Result<Pruned, StoreError> {
        let user = |image: &Digest| self.image_user(image);
        let ids = RefCell::new(HashSet::new());
        let noted = |image: &Image| {
            let wanted = wanted(image);
            if wanted {
                ids.borrow_mut().insert(image.id.clone());
            }
            wanted
        };
        let pruned = self.store().prune_some(&noted, &user)?;
        self.tell_removals(&pruned.removals, &ids.into_inner());
        Ok(pruned)
    }

    /// Brings the images of an archive in.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub fn load_images(&self, input: Input<'_>) -> Result<Vec<Loaded>, ArchiveError> {
        let loaded = archive::load(self.store(), input)?;
        for loaded in &loaded {
            let id = &loaded.image.id;
            self.tell(id, id.as_ref(), "load");
        }
        Ok(loaded)
    }

    /// Makes an image of a root file system's archive.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub fn import_image(&self, input: Input<'_>, import: &Import) -> Result<Image, ArchiveError> {
        let image = archive::import(self.store(), input, import)?;
        if let Some(name) = &import.name {
            self.tell(&image.id, &name.familiar(), "tag");
        }
        self.tell(&image.id, image.id.as_ref(), "import");
        Ok(image)
    }

    /// Writes images as one archive.
    ///
    /// # Errors
    /// [`ArchiveError`]; what was written then is no complete archive.
    pub fn save_images(
        &self,
        images: &[Selection],
        format: Format,
        output: &mut dyn Write,
    ) -> Result<(), ArchiveError> {
        archive::save(self.store(), images, format, output)?;
        for Selection { image, .. } in images {
            self.tell(&image.id, image.id.as_ref(), "save");
        }
        Ok(())
    }

    fn tell(&self, id: &Digest, name: &str, action: &str) {
        Journal::new(self.run_root()).image(id.as_ref(), name, action);
    }

    /// What of the `images` is gone. An image's names go before it, its layers after it; one that stays when a name has
    /// gone is the only one of them.
    fn tell_removals(&self, removals: &[Removal], images: &HashSet<Digest>) {
        for (at, removal) in removals.iter().enumerate() {
            let (id, action) = match removal {
                Removal::Deleted(id) => (Some(id), "delete"),
                Removal::Untagged(_) => {
                    let deleted = removals[at..].iter().find_map(|later| match later {
                        Removal::Deleted(id) => Some(id),
                        Removal::Untagged(_) => None,
                    });
                    (deleted.or_else(|| images.iter().next()), "untag")
                }
            };
            if let Some(id) = id.filter(|id| images.contains(id)) {
                self.tell(id, id.as_ref(), action);
            }
        }
    }
}
