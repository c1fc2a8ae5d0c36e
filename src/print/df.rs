//! What `system df` tells: how much is used, and how much of it nobody needs.

use std::collections::HashMap;

use container_core::image::Digest;
use serde::Serialize;

use super::rows::Titles;
use super::size;

/// The table of `docker system df`.
pub(crate) const TABLE: &str =
    "table {{.Type}}\\t{{.TotalCount}}\\t{{.Active}}\\t{{.Size}}\\t{{.Reclaimable}}";

/// The titles of its columns.
pub(crate) const TITLES: &Titles = &[
    ("Active", "ACTIVE"),
    ("Reclaimable", "RECLAIMABLE"),
    ("Size", "SIZE"),
    ("TotalCount", "TOTAL"),
    ("Type", "TYPE"),
];

/// The table of images of `--verbose`.
pub(crate) const IMAGES: &str = "table {{.Repository}}\\t{{.Tag}}\\t{{.ID}}\\t{{.CreatedSince}}\\t\
                                 {{.Size}}\\t{{.SharedSize}}\\t{{.UniqueSize}}\\t{{.Containers}}";

/// The table of containers of `--verbose`.
pub(crate) const CONTAINERS: &str = "table {{.ID}}\\t{{.Image}}\\t{{.Command}}\\t{{.LocalVolumes}}\\t\
                                     {{.Size}}\\t{{.RunningFor}}\\t{{.Status}}\\t{{.Names}}";

/// The table of volumes of `--verbose`.
pub(crate) const VOLUMES: &str = "table {{.Name}}\\t{{.Links}}\\t{{.Size}}";

/// The titles of its columns.
pub(crate) const VOLUME_TITLES: &Titles = &[
    ("Links", "LINKS"),
    ("Name", "VOLUME NAME"),
    ("Size", "SIZE"),
];

/// A volume of `--verbose`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename = "*formatter.volumeContext", rename_all = "PascalCase")]
pub(crate) struct VolumeRow {
    pub(crate) links: String,
    pub(crate) name: String,
    pub(crate) size: String,
}

/// A row; the fields are those of Docker's templates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename = "*formatter.diskUsageContext", rename_all = "PascalCase")]
pub(crate) struct Row {
    pub(crate) active: String,
    pub(crate) reclaimable: String,
    pub(crate) size: String,
    pub(crate) total_count: String,
    pub(crate) r#type: &'static str,
}

/// Things of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) total: usize,
    pub(crate) active: usize,
    pub(crate) size: u64,
    pub(crate) reclaimable: u64,
}

/// The row of a kind.
pub(crate) fn row(r#type: &'static str, usage: Usage) -> Row {
    let reclaimable = size::human_exact(usage.reclaimable);
    Row {
        active: usage.active.to_string(),
        reclaimable: match usage
            .reclaimable
            .saturating_mul(100)
            .checked_div(usage.size)
        {
            Some(percent) => format!("{reclaimable} ({percent}%)"),
            None => reclaimable,
        },
        size: size::human_exact(usage.size),
        total_count: usage.total.to_string(),
        r#type,
    }
}

/// An image's layers and how many containers have it.
#[derive(Debug, Clone)]
pub(crate) struct ImageLayers {
    /// (chain id, size)
    pub(crate) layers: Vec<(Digest, u64)>,
    pub(crate) containers: usize,
}

/// What an image shares with others, and what it alone has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shares {
    pub(crate) shared: u64,
    pub(crate) unique: u64,
}

/// How images share their layers, and what all of them use. What an image in use alone has cannot
/// be got back.
pub(crate) fn images(images: &[ImageLayers]) -> (Usage, Vec<Shares>) {
    let mut users: HashMap<&Digest, (u64, usize)> = HashMap::new();
    for (layer, size) in images.iter().flat_map(|image| &image.layers) {
        users.entry(layer).or_insert((*size, 0)).1 += 1;
    }
    let shares: Vec<Shares> = images
        .iter()
        .map(|image| {
            let sum = |shared: bool| {
                let of_kind = |(layer, _): &&(Digest, u64)| {
                    users
                        .get(layer)
                        .is_some_and(|(_, users)| (*users > 1) == shared)
                };
                image
                    .layers
                    .iter()
                    .filter(of_kind)
                    .map(|(_, size)| size)
                    .sum()
            };
            Shares {
                shared: sum(true),
                unique: sum(false),
            }
        })
        .collect();
    let size: u64 = users.values().map(|(size, _)| size).sum();
    let active = |(image, _): &(&ImageLayers, &Shares)| image.containers > 0;
    let used: u64 = images
        .iter()
        .zip(&shares)
        .filter(active)
        .map(|(_, shares)| shares.unique)
        .sum();
    let usage = Usage {
        total: images.len(),
        active: images.iter().filter(|image| image.containers > 0).count(),
        size,
        reclaimable: size.saturating_sub(used),
    };
    (usage, shares)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(digit: char) -> Digest {
        format!("sha256:{}", digit.to_string().repeat(64))
            .parse()
            .unwrap()
    }

    #[test]
    fn shared_layers_count_once() {
        let image = |layers: &[(char, u64)], containers| ImageLayers {
            layers: layers.iter().map(|(d, size)| (digest(*d), *size)).collect(),
            containers,
        };
        let all = [
            image(&[('a', 1_000_000), ('b', 500)], 2),
            image(&[('a', 1_000_000), ('c', 8_000_000)], 0),
        ];
        let (usage, shares) = images(&all);
        let want = Usage {
            total: 2,
            active: 1,
            size: 9_000_500,
            reclaimable: 9_000_000,
        };
        assert_eq!(usage, want);
        assert_eq!((shares[0].shared, shares[0].unique), (1_000_000, 500));
        let row = row("Images", usage);
        assert_eq!(
            (row.size.as_str(), row.reclaimable.as_str()),
            ("9.001MB", "9MB (99%)")
        );
        let none = super::row("Containers", Usage::default());
        assert_eq!(
            (none.size.as_str(), none.reclaimable.as_str()),
            ("0B", "0B")
        );
    }
}
