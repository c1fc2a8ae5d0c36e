//! `--network`, `--ipc`, `--pid`, `--uts`, `--cgroupns`.

use container_core::request::{IpcMode, NamespaceMode, Network};

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
    Cgroup,
}

impl Kind {
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Ipc => ("--ipc", "IPC"),
            Self::Pid => ("--pid", "PID"),
            Self::Uts => ("--uts", "UTS"),
            Self::Cgroup => ("--cgroupns", "CGROUP"),
        }
    }
}

fn wrong(kind: Kind, value: &str) -> NamespaceError {
    let (flag, what) = kind.words();
    NamespaceError::Mode {
        flag,
        what,
        value: value.to_owned(),
    }
}

/// The container of `container:NAME`.
fn container(value: &str) -> Option<String> {
    let name = value.strip_prefix("container:")?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// `host`, or nothing. A PID namespace can be another container's, and a cgroup namespace is also
/// said to be `private`.
pub(crate) fn mode(kind: Kind, value: Option<&str>) -> Result<NamespaceMode, NamespaceError> {
    match (kind, value.unwrap_or_default()) {
        (_, "") | (Kind::Cgroup, "private") => Ok(NamespaceMode::Private),
        (_, "host") => Ok(NamespaceMode::Host),
        (Kind::Pid, value) => container(value)
            .map(NamespaceMode::Container)
            .ok_or_else(|| wrong(kind, value)),
        (_, value) => Err(wrong(kind, value)),
    }
}

/// `--ipc`
pub(crate) fn ipc(value: Option<&str>) -> Result<IpcMode, NamespaceError> {
    match value.unwrap_or_default() {
        "" | "private" => Ok(IpcMode::Private),
        "shareable" => Ok(IpcMode::Shareable),
        "none" => Ok(IpcMode::None),
        "host" => Ok(IpcMode::Host),
        value => container(value)
            .map(IpcMode::Container)
            .ok_or_else(|| wrong(Kind::Ipc, value)),
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
        use NamespaceMode::{Container, Host, Private};
        for (kind, value, want) in [
            (Kind::Pid, None, Private),
            (Kind::Pid, Some(""), Private),
            (Kind::Pid, Some("host"), Host),
            (Kind::Pid, Some("container:x"), Container("x".into())),
            (Kind::Cgroup, Some("private"), Private),
            (Kind::Cgroup, Some("host"), Host),
            (Kind::Uts, Some("host"), Host),
        ] {
            assert_eq!(mode(kind, value), Ok(want), "{kind:?} {value:?}");
        }
        for (value, want) in [
            (None, IpcMode::Private),
            (Some("private"), IpcMode::Private),
            (Some("shareable"), IpcMode::Shareable),
            (Some("none"), IpcMode::None),
            (Some("host"), IpcMode::Host),
            (Some("container:x"), IpcMode::Container("x".into())),
        ] {
            assert_eq!(ipc(value), Ok(want), "{value:?}");
        }
        for (kind, value) in [
            (Kind::Pid, "private"),
            (Kind::Pid, "container:"),
            (Kind::Uts, "foo"),
            (Kind::Uts, "container:x"),
        ] {
            let wrong = mode(kind, Some(value));
            assert!(matches!(wrong, Err(NamespaceError::Mode { .. })), "{value}");
        }
        assert!(matches!(ipc(Some("foo")), Err(NamespaceError::Mode { .. })));
    }
}
