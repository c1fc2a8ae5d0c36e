//! `volume inspect`: a volume as Docker's API shows it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use container_core::Volume;
use serde::Serialize;

use crate::print::template::{self, NilMap, TemplateError, Value};

/// Docker's `volume.Volume`.
#[derive(Debug, Serialize)]
#[serde(rename = "volume.Volume", rename_all = "PascalCase")]
struct Shown {
    created_at: String,
    driver: String,
    labels: NilMap<String>,
    mountpoint: PathBuf,
    name: String,
    options: NilMap<String>,
    scope: &'static str,
}

/// The object of one volume.
///
/// # Errors
/// It cannot be put in JSON.
pub(crate) fn volume(volume: &Volume) -> Result<Value, TemplateError> {
    template::value(&Shown {
        created_at: seconds(&volume.created),
        driver: volume.driver.clone(),
        labels: map(&volume.labels),
        mountpoint: volume.mountpoint.clone(),
        name: volume.name.clone(),
        options: map(&volume.options),
        scope: "local",
    })
}

/// A time without the parts of its last second, which Docker's volumes do not have.
fn seconds(time: &str) -> String {
    match time.split_once('.') {
        Some((seconds, rest)) => {
            let zone = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{seconds}{zone}")
        }
        None => time.to_owned(),
    }
}

fn map(pairs: &BTreeMap<String, String>) -> NilMap<String> {
    NilMap(pairs.clone())
}

#[cfg(test)]
mod tests {
    #[test]
    fn times() {
        for (time, want) in [
            ("2026-11-24T00:03:43.123Z", "2026-11-24T00:03:43Z"),
            ("2026-11-24T00:03:43.1+01:00", "2026-11-24T00:03:43+01:00"),
            ("2026-11-24T00:03:43Z", "2026-11-24T00:03:43Z"),
        ] {
            assert_eq!(super::seconds(time), want);
        }
    }
}
