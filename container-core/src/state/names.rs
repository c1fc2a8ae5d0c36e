//! Names: `<root>/names/<name>`, a symbolic link to the id. It is made exclusively, so a name is
//! one's own. So it is with whatever else only one container may have.

use std::fs;
use std::io;
use std::path::Path;

use super::{Claim, RECORD, Record, read_record};

/// What only one container may have.
#[derive(Debug)]
pub(super) struct Kind {
    /// Where the links lie, below the store.
    pub(super) directory: &'static str,
    /// Whether a record tells that its container has it.
    pub(super) tells: fn(&Record, &str) -> bool,
}

const NAMES: Kind = Kind {
    directory: "names",
    tells: |record, name| record.name == name,
};

/// Takes a name for an id, whose lock is the caller's; says who has it otherwise.
///
/// It is taken before the record that tells it is written, and given back after the record is
/// gone: whoever is killed between leaves a name without a container, never two containers of one
/// name.
pub(crate) fn take(
    root: &Path,
    run: &Path,
    name: &str,
    id: &str,
) -> io::Result<Result<(), String>> {
    take_of(&NAMES, root, run, name, id)
}

/// The same of any kind.
pub(super) fn take_of(
    kind: &Kind,
    root: &Path,
    run: &Path,
    name: &str,
    id: &str,
) -> io::Result<Result<(), String>> {
    let names = root.join(kind.directory);
    let link = names.join(name);
    loop {
        match std::os::unix::fs::symlink(id, &link) {
            Ok(()) => return Ok(Ok(())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => fs::create_dir_all(&names)?,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                let owner = match fs::read_link(&link) {
                    Ok(owner) => owner.to_string_lossy().into_owned(),
                    Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                    Err(e) => return Err(e),
                };
                if has(kind, root, &owner, name) {
                    return Ok(Err(owner));
                }
                if owner == id {
                    return Ok(Ok(()));
                }
                // Whoever holds its lock is making, renaming or removing it. When nobody does,
                // somebody was killed at that.
                let Some(_claim) = Claim::take(&run.join(&owner))? else {
                    return Ok(Err(owner));
                };
                if !has(kind, root, &owner, name) {
                    release_of(kind, root, name, &owner);
                }
            }
            Err(e) => return Err(e),
        }
    }
}

/// Whether a container's record tells that it has this.
fn has(kind: &Kind, root: &Path, id: &str, name: &str) -> bool {
    let path = root.join("containers").join(id).join(RECORD);
    read_record(&path).is_ok_and(|record| (kind.tells)(&record, name))
}

/// Who has a name.
pub(crate) fn owner(root: &Path, name: &str) -> Option<String> {
    owner_of(&NAMES, root, name)
}

fn owner_of(kind: &Kind, root: &Path, name: &str) -> Option<String> {
    let link = fs::read_link(root.join(kind.directory).join(name)).ok()?;
    Some(link.to_str()?.to_owned())
}

/// Gives a name back, if it is still this id's. The id's lock is the caller's, so nobody else does.
pub(crate) fn release(root: &Path, name: &str, id: &str) {
    release_of(&NAMES, root, name, id);
}

/// The same of any kind.
pub(super) fn release_of(kind: &Kind, root: &Path, name: &str, id: &str) {
    if owner_of(kind, root, name).as_deref() == Some(id) {
        _ = fs::remove_file(root.join(kind.directory).join(name));
    }
}

/// Gives back whatever names an id has: for one whose record, which tells its name, is gone.
pub(crate) fn release_all(root: &Path, id: &str) {
    for entry in fs::read_dir(root.join(NAMES.directory))
        .into_iter()
        .flatten()
        .flatten()
    {
        if fs::read_link(entry.path()).is_ok_and(|owner| owner.as_os_str() == id) {
            _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_a_killed_process_left_is_one_of_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let (root, run) = (dir.path().join("root"), dir.path().join("run"));
        fs::create_dir_all(&run).unwrap();
        for round in 0..50 {
            let name = format!("ada-{round}");
            take(&root, &run, &name, "dead").unwrap().unwrap();
            let winners: Vec<String> = std::thread::scope(|threads| {
                let takers: Vec<_> = (0..4)
                    .map(|taker| {
                        let (root, run, name) = (&root, &run, &name);
                        threads.spawn(move || {
                            let id = format!("id-{taker}");
                            let _claim = Claim::take(&run.join(&id)).unwrap().unwrap();
                            let taken = take(root, run, name, &id).unwrap();
                            // Held until all have tried.
                            taken.is_ok().then_some((id, _claim))
                        })
                    })
                    .collect();
                let held: Vec<_> = takers.into_iter().map(|t| t.join().unwrap()).collect();
                held.into_iter().flatten().map(|(id, _)| id).collect()
            });
            assert_eq!(winners.len(), 1, "{winners:?} have {name}");
            assert_eq!(owner(&root, &name).as_ref(), winners.first());
        }
    }
}
