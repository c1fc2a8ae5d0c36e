//! `--network`, `--ipc`, `--pid`, `--uts`, `--userns`, `--cgroupns`.

use container_core::request::{NamespaceMode, Network};

/// Why a mode cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum NamespaceError {
    #[error("{flag}: invalid {what} mode: {value:?} (use host, or leave it out)")]
    Mode {
        flag: &'static str,
        what: &'static str,
        value: String,
    },
    #[error("{flag} {value}: joining another container's namespace is not here yet")]
    Join { flag: &'static str, value: String },
    #[error("--ipc none: a container without /dev/shm is not here yet")]
    IpcNone,
    #[error("network {0}: networks come later, use --network none or --network host")]
    Network(String),
    #[error("conflicting options: cannot attach the container to several networks: {0}")]
    Networks(String),
}

/// `--network`: `none`, `host`. Without the flag there is no network either, since there is no
/// bridge yet.
pub(crate) fn network(values: &[String]) -> Result<Network, NamespaceError> {
    match values {
        [] => Ok(Network::None),
        [one] => match one.as_str() {
            "none" => Ok(Network::None),
            "host" => Ok(Network::Host),
            other => Err(NamespaceError::Network(other.to_owned())),
        },
        many => Err(NamespaceError::Networks(many.join(", "))),
    }
}

/// Which namespace a flag is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Ipc,
    Pid,
    Uts,
    User,
    Cgroup,
}

impl Kind {
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Ipc => ("--ipc", "IPC"),
            Self::Pid => ("--pid", "PID"),
            Self::Uts => ("--uts", "UTS"),
            Self::User => ("--userns", "USER"),
            Self::Cgroup => ("--cgroupns", "CGROUP"),
        }
    }
}

/// `host`, or nothing. An IPC namespace is also `private` or `shareable` (nothing can share it
/// yet), a cgroup namespace `private`.
pub(crate) fn mode(kind: Kind, value: Option<&str>) -> Result<NamespaceMode, NamespaceError> {
    let (flag, what) = kind.words();
    match (kind, value.unwrap_or_default()) {
        (_, "") | (Kind::Ipc, "private" | "shareable") | (Kind::Cgroup, "private") => {
            Ok(NamespaceMode::Private)
        }
        (_, "host") => Ok(NamespaceMode::Host),
        (Kind::Ipc, "none") => Err(NamespaceError::IpcNone),
        (Kind::Ipc | Kind::Pid, value) if value.starts_with("container:") => {
            Err(NamespaceError::Join {
                flag,
                value: value.to_owned(),
            })
        }
        (_, value) => Err(NamespaceError::Mode {
            flag,
            what,
            value: value.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        let network =
            |values: &[&str]| network(&values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>());
        assert_eq!(network(&[]), Ok(Network::None));
        assert_eq!(network(&["none"]), Ok(Network::None));
        assert_eq!(network(&["host"]), Ok(Network::Host));
        assert_eq!(
            network(&["bridge"]),
            Err(NamespaceError::Network("bridge".into()))
        );
        assert_eq!(
            network(&["a", "b"]),
            Err(NamespaceError::Networks("a, b".into()))
        );
    }

    #[test]
    fn modes() {
        use NamespaceMode::{Host, Private};
        for (kind, value, want) in [
            (Kind::Pid, None, Private),
            (Kind::Pid, Some(""), Private),
            (Kind::Pid, Some("host"), Host),
            (Kind::Ipc, Some("private"), Private),
            (Kind::Ipc, Some("shareable"), Private),
            (Kind::Cgroup, Some("private"), Private),
            (Kind::Cgroup, Some("host"), Host),
            (Kind::Uts, Some("host"), Host),
            (Kind::User, Some("host"), Host),
        ] {
            assert_eq!(mode(kind, value), Ok(want), "{kind:?} {value:?}");
        }
        for (kind, value) in [
            (Kind::Pid, "private"),
            (Kind::Uts, "foo"),
            (Kind::Uts, "container:x"),
            (Kind::User, "keep-id"),
        ] {
            assert!(
                matches!(mode(kind, Some(value)), Err(NamespaceError::Mode { .. })),
                "{value}"
            );
        }
        assert!(matches!(
            mode(Kind::Pid, Some("container:x")),
            Err(NamespaceError::Join { .. })
        ));
        assert_eq!(mode(Kind::Ipc, Some("none")), Err(NamespaceError::IpcNone));
    }
}
