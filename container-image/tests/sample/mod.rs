//! Images made on the spot, small or not, and the directories they should become.

#![allow(dead_code, reason = "not every test binary uses all of it")]

use std::io::Write as _;
use std::path::Path;

use container_image::digest::Digest;
use container_image::manifest::{self, Document, Layer};
use container_image::reference::Reference;
use container_image::store::{Image, Store};

/// An image as a registry would serve it.
#[derive(Clone)]
pub(crate) struct Sample {
    pub(crate) manifest: Vec<u8>,
    pub(crate) media_type: &'static str,
    pub(crate) config: Vec<u8>,
    pub(crate) layers: Vec<Vec<u8>>,
}

pub(crate) const OCI: &str = manifest::OCI_MANIFEST;

impl Sample {
    /// One gzip layer for each list of files.
    pub(crate) fn new(layers: &[&[(&str, &[u8])]]) -> Self {
        let mut diff_ids = Vec::new();
        let mut blobs = Vec::new();
        for files in layers {
            let tar = archive(files);
            diff_ids.push(Digest::sha256(&tar));
            let level = flate2::Compression::new(1);
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), level);
            gzip.write_all(&tar).unwrap();
            blobs.push(gzip.finish().unwrap());
        }
        let config = serde_json::to_vec(&serde_json::json!({
            "architecture": container_image::Platform::host().architecture(),
            "os": "linux",
            "created": "2024-05-01T10:00:00Z",
            "config": {"Cmd": ["/bin/true"], "Healthcheck": {"Test": ["NONE"]}},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": [{"created_by": "made by a test"}],
        }))
        .unwrap();
        let descriptors: Vec<_> = blobs
            .iter()
            .map(|blob| descriptor("application/vnd.oci.image.layer.v1.tar+gzip", blob))
            .collect();
        let manifest = serde_json::to_vec(&serde_json::json!({
            "schemaVersion": 2,
            "mediaType": OCI,
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": descriptors,
        }))
        .unwrap();
        Self {
            manifest,
            media_type: OCI,
            config,
            layers: blobs,
        }
    }

    /// A layer that does not compress, so that it is as long in transfer as on disk.
    pub(crate) fn large(bytes: usize) -> Self {
        let mut state = 0x9e37_79b9_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_le_bytes()[1]
        })
        .take(bytes)
        .collect();
        Self::new(&[&[("noise", &noise)]])
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::sha256(&self.manifest)
    }

    pub(crate) fn id(&self) -> Digest {
        Digest::sha256(&self.config)
    }

    pub(crate) fn layer_list(&self) -> Vec<Layer> {
        let Document::Image(manifest) = manifest::parse(&self.manifest, None).unwrap() else {
            panic!("not an image manifest");
        };
        manifest::layers(&manifest, &manifest::parse_config(&self.config).unwrap()).unwrap()
    }

    /// Brings the image into a store without a registry.
    pub(crate) fn store(&self, store: &Store, names: &[&str]) -> Image {
        let ingest = store.ingest().unwrap();
        ingest.put(&self.config, &self.id()).unwrap();
        for (layer, blob) in self.layer_list().iter().zip(&self.layers) {
            if let Some(slot) = ingest.layer(layer).unwrap() {
                let from = usize::try_from(slot.wanted_from().unwrap_or(0)).unwrap();
                slot.fill(&mut &blob[from..]).unwrap();
            }
        }
        let names: Vec<Reference> = names.iter().map(|name| name.parse().unwrap()).collect();
        ingest
            .commit(&self.manifest, self.media_type, &names)
            .unwrap()
    }
}

pub(crate) fn descriptor(media_type: &str, bytes: &[u8]) -> serde_json::Value {
    serde_json::json!({
        "mediaType": media_type,
        "size": bytes.len(),
        "digest": Digest::sha256(bytes),
    })
}

pub(crate) fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, data) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *data).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Every path below a directory, sorted, with directories ending in a slash.
pub(crate) fn tree(root: &Path) -> Vec<String> {
    fn walk(root: &Path, dir: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            if entry.file_type().unwrap().is_dir() {
                found.push(format!("{name}/"));
                walk(root, &path, found);
            } else {
                found.push(name);
            }
        }
    }
    let mut found = Vec::new();
    walk(root, root, &mut found);
    found.sort();
    found
}

/// What a store has that is no directory of its own and no lock.
pub(crate) fn content(root: &Path) -> Vec<String> {
    let frame = [
        "blobs/",
        "blobs/sha256/",
        "index.json",
        "ingest/",
        "layers/",
        "oci-layout",
    ];
    tree(root)
        .into_iter()
        .filter(|name| !frame.contains(&name.as_str()) && !name.ends_with(".lock"))
        .collect()
}
