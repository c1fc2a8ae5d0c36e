//! Names: `<root>/names/<name>`, a symbolic link to the id. It is made exclusively, so a name is
//! one's own.

use std::fs;
use std::io;
use std::path::Path;

/// Takes a name for an id; says who has it otherwise.
pub(crate) fn take(
    root: &Path,
    run: &Path,
    name: &str,
    id: &str,
) -> io::Result<Result<(), String>> {
    let names = root.join("names");
    let link = names.join(name);
    loop {
        match std::os::unix::fs::symlink(id, &link) {
            Ok(()) => return Ok(Ok(())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => fs::create_dir_all(&names)?,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => match fs::read_link(&link) {
                // Whoever had it was removed in two steps and killed between them.
                Ok(owner)
                    if !root.join("containers").join(&owner).exists()
                        && !run.join(&owner).exists() =>
                {
                    release(root, name, &owner.to_string_lossy());
                }
                Ok(owner) => return Ok(Err(owner.to_string_lossy().into_owned())),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            },
            Err(e) => return Err(e),
        }
    }
}

/// Who has a name.
pub(crate) fn owner(root: &Path, name: &str) -> Option<String> {
    let link = fs::read_link(root.join("names").join(name)).ok()?;
    Some(link.to_str()?.to_owned())
}

/// Gives a name back, if it is still this id's.
pub(crate) fn release(root: &Path, name: &str, id: &str) {
    if owner(root, name).as_deref() == Some(id) {
        _ = fs::remove_file(root.join("names").join(name));
    }
}

/// Gives back whatever names an id has: for one whose record, which tells its name, is gone.
pub(crate) fn release_all(root: &Path, id: &str) {
    for entry in fs::read_dir(root.join("names"))
        .into_iter()
        .flatten()
        .flatten()
    {
        if fs::read_link(entry.path()).is_ok_and(|owner| owner.as_os_str() == id) {
            _ = fs::remove_file(entry.path());
        }
    }
}
