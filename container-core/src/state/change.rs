//! Changes of a record: `rename` and `update`. Whoever holds the container's lock makes them: its
//! monitor, or the caller when there is none.

use std::io;
use std::path::Path;

use oci_spec::runtime::LinuxResources;
use serde::{Deserialize, Serialize};

use super::{RECORD, Record, names, write};
use crate::events::Journal;
use crate::request::{Limits, RestartPolicy};

/// What is to be different.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Change {
    Name(String),
    Update {
        limits: Option<Box<(Limits, LinuxResources)>>,
        restart: Option<RestartPolicy>,
    },
}

/// A name is another container's.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) name: String,
    pub(crate) id: String,
}

/// Changes the record, on disk too, and writes that down in the journal.
pub(crate) fn change(
    root: &Path,
    journal: &mut Journal,
    record: &mut Record,
    change: &Change,
) -> io::Result<Result<(), Taken>> {
    let mut new = record.clone();
    match change {
        Change::Name(name) => {
            if let Err(id) = names::take(root, journal.run_root(), name, &record.id)? {
                let name = name.clone();
                return Ok(Err(Taken { name, id }));
            }
            new.name.clone_from(name);
        }
        Change::Update { limits, restart } => {
            if let Some(limits) = limits {
                new.request.limits.clone_from(&limits.0);
            }
            if let Some(restart) = restart {
                new.request.restart = *restart;
            }
        }
    }
    let path = root.join("containers").join(&record.id).join(RECORD);
    if let Err(e) = write(&path, &new, !record.request.auto_remove) {
        if new.name != record.name {
            names::release(root, &new.name, &new.id);
        }
        return Err(e);
    }
    if new.name == record.name {
        journal.container(&new, "update", &[]);
    } else {
        names::release(root, &record.name, &record.id);
        let old = ("oldName", format!("/{}", record.name));
        journal.container(&new, "rename", &[old]);
    }
    *record = new;
    Ok(Ok(()))
}
