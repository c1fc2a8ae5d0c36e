//! The rows of `volume ls`.

use container_core::Volume;
use serde::Serialize;

use super::rows::Titles;
use super::template::Labels;

/// The table of `docker volume ls`.
pub(crate) const TABLE: &str = "table {{.Driver}}\\t{{.Name}}";

/// The titles of the columns.
pub(crate) const TITLES: &Titles = &[
    ("Availability", "AVAILABILITY"),
    ("Driver", "DRIVER"),
    ("Group", "GROUP"),
    ("Labels", "LABELS"),
    ("Links", "LINKS"),
    ("Mountpoint", "MOUNTPOINT"),
    ("Name", "VOLUME NAME"),
    ("Scope", "SCOPE"),
    ("Size", "SIZE"),
    ("Status", "STATUS"),
];

/// What Docker shows where it would have to ask for more.
const UNKNOWN: &str = "N/A";

/// A row; the fields are those of Docker's templates.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename = "*formatter.volumeContext", rename_all = "PascalCase")]
pub(crate) struct Row {
    availability: &'static str,
    driver: String,
    group: &'static str,
    label: Labels,
    labels: String,
    links: &'static str,
    mountpoint: String,
    name: String,
    scope: &'static str,
    size: &'static str,
    status: &'static str,
}

/// The row of a volume.
pub(crate) fn row(volume: &Volume) -> Row {
    let pairs = volume.labels.iter();
    let pairs = pairs.map(|(name, value)| format!("{name}={value}"));
    Row {
        availability: UNKNOWN,
        driver: volume.driver.clone(),
        group: UNKNOWN,
        label: Labels(volume.labels.clone()),
        labels: pairs.collect::<Vec<_>>().join(","),
        links: UNKNOWN,
        mountpoint: volume.mountpoint.display().to_string(),
        name: volume.name.clone(),
        scope: "local",
        size: UNKNOWN,
        status: UNKNOWN,
    }
}
