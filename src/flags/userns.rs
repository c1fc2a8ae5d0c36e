//! `--userns`, and podman's `--uidmap` and `--gidmap`.

use container_core::request::{IdMap, UserNamespace};

/// Why a user namespace cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum UsernsError {
    #[error("--userns: invalid USER mode: {0:?} (use host, auto, auto:size=N or private)")]
    Mode(String),
    #[error("--userns={mode}: {reason}")]
    Unavailable { mode: String, reason: &'static str },
    #[error("invalid id map {0:?}: write it as INSIDE:OUTSIDE:COUNT, as in 0:100000:65536")]
    Map(String),
    #[error("conflicting options: --userns={0} and --uidmap or --gidmap: the maps are one already")]
    Both(String),
}

/// One `--uidmap` or `--gidmap`.
pub(crate) fn id_map(text: &str) -> Result<IdMap, UsernsError> {
    let wrong = || UsernsError::Map(text.to_owned());
    let mut numbers = text.split(':').map(str::parse);
    let mut next = || numbers.next()?.ok();
    let map = next().zip(next()).zip(next());
    match (map, numbers.next()) {
        (Some(((inside, outside), count @ 1..)), None) => Ok(IdMap {
            inside,
            outside,
            count,
        }),
        _ => Err(wrong()),
    }
}

/// All of them together. One kind of map is for both where the other is not given, as in podman.
pub(crate) fn user_namespace(
    mode: Option<&str>,
    uids: Vec<IdMap>,
    gids: Vec<IdMap>,
) -> Result<UserNamespace, UsernsError> {
    let word = mode.unwrap_or_default();
    let (name, options) = word.split_once(':').unwrap_or((word, ""));
    let maps = !uids.is_empty() || !gids.is_empty();
    let unavailable = |reason| UsernsError::Unavailable {
        mode: word.to_owned(),
        reason,
    };
    match name {
        "" | "private" if maps && options.is_empty() => Ok(UserNamespace::Mapped {
            uids: if uids.is_empty() {
                gids.clone()
            } else {
                uids.clone()
            },
            gids: if gids.is_empty() { uids } else { gids },
        }),
        "host" | "auto" if maps => Err(UsernsError::Both(word.to_owned())),
        "" | "host" if options.is_empty() => Ok(UserNamespace::Host),
        "private" if options.is_empty() => Ok(UserNamespace::Auto { size: None }),
        "auto" => Ok(UserNamespace::Auto {
            size: size(word, options)?,
        }),
        "keep-id" | "nomap" => Err(unavailable(
            "as an ordinary user all containers are in one user namespace, where root is you; a \
             further one takes id-mapped mounts, which only the machine's root may make. For files \
             that belong to you, mount with owner=me",
        )),
        "ns" | "container" => Err(unavailable(
            "the user namespace of others cannot be joined, since the owners of the container's \
             files follow from its own; --uidmap and --gidmap give the same ids",
        )),
        _ => Err(UsernsError::Mode(word.to_owned())),
    }
}

/// The options of `auto`.
fn size(word: &str, options: &str) -> Result<Option<u32>, UsernsError> {
    let mut size = None;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("size", number)) => {
                let number = number.parse().ok().filter(|n| *n > 0);
                size = Some(number.ok_or_else(|| UsernsError::Mode(word.to_owned()))?);
            }
            Some(("uidmapping" | "gidmapping", _)) => {
                return Err(UsernsError::Unavailable {
                    mode: word.to_owned(),
                    reason: "single ids of a range cannot be put elsewhere; --uidmap and --gidmap \
                             say all of them",
                });
            }
            _ => return Err(UsernsError::Mode(word.to_owned())),
        }
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(inside: u32, outside: u32, count: u32) -> IdMap {
        IdMap {
            inside,
            outside,
            count,
        }
    }

    #[test]
    fn maps() {
        assert_eq!(id_map("0:100000:65536"), Ok(map(0, 100_000, 65_536)));
        for wrong in [
            "", "0", "0:1", "0:1:0", "0:1:2:3", "a:1:2", "0:-1:2", "0:1:@2",
        ] {
            assert_eq!(
                id_map(wrong),
                Err(UsernsError::Map(wrong.into())),
                "{wrong}"
            );
        }
    }

    #[test]
    fn modes() {
        use UserNamespace::{Auto, Host, Mapped};
        let (a, b) = (vec![map(0, 1000, 10)], vec![map(0, 2000, 10)]);
        let mapped = |uids: &[IdMap], gids: &[IdMap]| Mapped {
            uids: uids.to_vec(),
            gids: gids.to_vec(),
        };
        for (mode, uids, gids, want) in [
            (None, &[][..], &[][..], Host),
            (Some(""), &[], &[], Host),
            (Some("host"), &[], &[], Host),
            (Some("auto"), &[], &[], Auto { size: None }),
            (Some("private"), &[], &[], Auto { size: None }),
            (Some("auto:size=9"), &[], &[], Auto { size: Some(9) }),
            (None, &a, &b, mapped(&a, &b)),
            (None, &a, &[], mapped(&a, &a)),
            (Some("private"), &[], &b, mapped(&b, &b)),
        ] {
            let got = user_namespace(mode, uids.to_vec(), gids.to_vec());
            assert_eq!(got, Ok(want), "{mode:?} {uids:?} {gids:?}");
        }
    }

    #[test]
    fn refused() {
        let maps = vec![map(0, 1000, 10)];
        for (mode, maps, part) in [
            ("foo", &[][..], "invalid USER mode: \"foo\""),
            ("host:x", &[], "invalid USER mode"),
            ("auto:size=0", &[], "invalid USER mode"),
            ("auto:size", &[], "invalid USER mode"),
            ("auto:uidmapping=0:1:1", &[], "single ids"),
            ("keep-id", &[], "ordinary user"),
            ("keep-id:uid=5", &[], "ordinary user"),
            ("nomap", &[], "ordinary user"),
            ("ns:/proc/1/ns/user", &[], "cannot be joined"),
            ("container:x", &[], "cannot be joined"),
            ("auto", &maps, "conflicting options"),
            ("host", &maps, "conflicting options"),
        ] {
            let error = user_namespace(Some(mode), maps.to_vec(), Vec::new()).unwrap_err();
            assert!(error.to_string().contains(part), "{mode}: {error}");
        }
    }
}
