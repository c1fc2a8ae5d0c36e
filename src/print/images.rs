//! The rows of `images`.

use container_core::image::store::ImageSummary;
use container_core::image::{Digest, Reference};
use jiff::Timestamp;
use serde::Serialize;

use super::rows::Titles;
use super::{age, size};
use crate::flags::filter::glob;

const NONE: &str = "<none>";

/// What only `system df` looks at.
fn unknown() -> String {
    "N/A".to_owned()
}

/// How rows are made.
pub(crate) struct Options {
    pub(crate) digests: bool,
    pub(crate) no_trunc: bool,
    pub(crate) now: Timestamp,
}

/// A row; the fields are those of Docker's templates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename = "*formatter.imageContext", rename_all = "PascalCase")]
pub(crate) struct Row {
    pub(crate) containers: String,
    pub(crate) created_at: String,
    pub(crate) created_since: String,
    pub(crate) digest: String,
    #[serde(rename = "ID")]
    pub(crate) id: String,
    pub(crate) repository: String,
    pub(crate) shared_size: String,
    pub(crate) size: String,
    pub(crate) tag: String,
    pub(crate) unique_size: String,
    pub(crate) virtual_size: String,
}

/// An image's id as lists show it: twelve digits, or all with the algorithm.
pub(crate) fn id(id: &Digest, no_trunc: bool) -> String {
    match no_trunc {
        true => id.to_string(),
        false => id.hex().chars().take(12).collect(),
    }
}

/// Whether a name is asked for: its repository or the whole of it, in Docker's short form.
fn wanted(name: &Reference, patterns: &[String]) -> bool {
    patterns.is_empty()
        || patterns.iter().any(|pattern| {
            glob(pattern, &name.familiar()) || glob(pattern, &name.familiar_repository())
        })
}

/// The rows of images: one a tag, and with `digests` one a tag and digest. Names by digest have
/// rows of their own only where their repository has no tag.
pub(crate) fn rows(
    images: impl Iterator<Item = ImageSummary>,
    patterns: &[String],
    options: &Options,
) -> Vec<Row> {
    let mut rows = Vec::new();
    for image in images {
        let mut cells: Vec<(String, String, String)> = Vec::new();
        let names: Vec<&Reference> = image
            .names
            .iter()
            .filter(|name| wanted(name, patterns))
            .collect();
        let (tags, by_digest): (Vec<&Reference>, Vec<&Reference>) =
            names.iter().partition(|name| name.tag().is_some());
        let digests = |repository: &str| {
            let all = image
                .names
                .iter()
                .filter(|n| n.familiar_repository() == repository);
            all.filter(|n| n.tag().is_none())
                .filter_map(|n| n.digest().map(ToString::to_string))
                .collect::<Vec<_>>()
        };
        let none = || NONE.to_owned();
        for name in &tags {
            let repository = name.familiar_repository();
            let tag = name.tag().unwrap_or(NONE).to_owned();
            let digests = if options.digests {
                digests(&repository)
            } else {
                Vec::new()
            };
            if digests.is_empty() {
                cells.push((repository.clone(), tag.clone(), none()));
            }
            cells.extend(
                digests
                    .into_iter()
                    .map(|d| (repository.clone(), tag.clone(), d)),
            );
        }
        for name in by_digest {
            let repository = name.familiar_repository();
            let shown = cells
                .iter()
                .any(|(shown, tag, _)| *shown == repository && (tag != NONE || !options.digests));
            if !shown {
                let digest = name.digest().filter(|_| options.digests);
                cells.push((
                    repository,
                    none(),
                    digest.map_or_else(none, ToString::to_string),
                ));
            }
        }
        if image.names.is_empty() && patterns.is_empty() {
            cells.push((none(), none(), none()));
        }
        let created = image.created.unwrap_or(Timestamp::UNIX_EPOCH);
        rows.extend(cells.into_iter().map(|(repository, tag, digest)| Row {
            containers: unknown(),
            created_at: age::absolute(created),
            created_since: match image.created {
                Some(created) => age::ago(created, options.now),
                None => "N/A".to_owned(),
            },
            digest,
            id: id(&image.id, options.no_trunc),
            repository,
            shared_size: unknown(),
            size: size::human(image.size),
            tag,
            unique_size: unknown(),
            virtual_size: size::human(image.size),
        }));
    }
    rows
}

/// The table of `docker images`.
pub(crate) const TABLE: &str =
    "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";

/// The same with `--digests`.
pub(crate) const TABLE_WITH_DIGESTS: &str =
    "table {{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";

/// The titles of its columns.
pub(crate) const TITLES: &Titles = &[
    ("Containers", "CONTAINERS"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedSince", "CREATED"),
    ("Digest", "DIGEST"),
    ("ID", "IMAGE ID"),
    ("Repository", "REPOSITORY"),
    ("SharedSize", "SHARED SIZE"),
    ("Size", "SIZE"),
    ("Tag", "TAG"),
    ("UniqueSize", "UNIQUE SIZE"),
    ("VirtualSize", "SIZE"),
];
