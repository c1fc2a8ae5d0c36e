//! Names of volumes and options of the driver `local`. Pure.

use std::collections::BTreeMap;

use super::error::{NameProblem, OptionProblem};

/// The only driver.
pub(crate) const LOCAL: &str = "local";

/// Docker's rule (`RestrictedNamePattern`).
pub(crate) fn check_name(name: &str) -> Result<(), NameProblem> {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
    let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    match name.len() {
        1 => Err(NameProblem::Short),
        256.. => Err(NameProblem::Long),
        _ if first && bytes.all(valid) => Ok(()),
        _ => Err(NameProblem::Characters(name.to_owned())),
    }
}

/// What `type`, `device` and `o` ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    /// The file system, or `bind`.
    pub(crate) kind: String,
    /// What is mounted.
    pub(crate) device: String,
    /// Options of mount(8).
    pub(crate) options: Vec<String>,
}

/// Checks the options of a volume. `None`: it is a directory of its own.
pub(crate) fn device(options: &BTreeMap<String, String>) -> Result<Option<Device>, OptionProblem> {
    const KNOWN: [&str; 4] = ["type", "device", "o", "size"];
    if options.is_empty() {
        return Ok(None);
    }
    if let Some(unknown) = options.keys().find(|key| !KNOWN.contains(&&***key)) {
        return Err(OptionProblem::Unknown(unknown.clone()));
    }
    if options.contains_key("size") {
        return Err(OptionProblem::Quota);
    }
    let get = |name| options.get(name).ok_or(OptionProblem::Missing(name));
    let (device, kind) = (get("device")?.clone(), get("type")?.clone());
    let flags = options.get("o").map_or("", String::as_str);
    let flags: Vec<String> = flags
        .split(',')
        .filter(|flag| !flag.is_empty())
        .map(str::to_owned)
        .collect();
    // mount(8) keeps these for programs; some are ours.
    if let Some(flag) = flags
        .iter()
        .find(|flag| flag.starts_with("x-") || matches!(&***flag, "remount" | "idmap" | "ridmap"))
    {
        return Err(OptionProblem::Mount(flag.clone()));
    }
    let bound = flags.iter().any(|f| matches!(&**f, "bind" | "rbind"));
    if bound && !device.starts_with('/') {
        return Err(OptionProblem::Relative(device));
    }
    let kind = if bound { "bind".to_owned() } else { kind };
    Ok(Some(Device {
        kind,
        device,
        options: flags,
    }))
}

/// The host that `addr=` names where the file system wants a number.
pub(crate) fn host_to_find(device: &Device) -> Option<&str> {
    let remote = matches!(&*device.kind, "nfs" | "nfs4" | "cifs");
    let host = |flag: &'_ String| flag.starts_with("addr=");
    let flag = device.options.iter().filter(|_| remote).find(|f| host(f))?;
    let host = flag.strip_prefix("addr=")?;
    host.parse::<std::net::IpAddr>().is_err().then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["v1", "a.b-c_d", "0a", &"x".repeat(255), &"f".repeat(64)] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        assert_eq!(check_name("x"), Err(NameProblem::Short));
        assert_eq!(check_name(&"x".repeat(256)), Err(NameProblem::Long));
        for bad in [".new", "_a", "-a", "a b", "a/b", "../a", "ä1", "", "a\n"] {
            let want = Err(NameProblem::Characters(bad.to_owned()));
            assert_eq!(check_name(bad), want, "{bad:?}");
        }
    }

    fn of(options: &[(&str, &str)]) -> Result<Option<Device>, OptionProblem> {
        let options = options.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        device(&options.collect())
    }

    #[test]
    fn options_of_local() {
        assert_eq!(of(&[]), Ok(None));
        let tmpfs = [
            ("type", "tmpfs"),
            ("device", "tmpfs"),
            ("o", "size=1m,,uid=7"),
        ];
        let want = Device {
            kind: "tmpfs".into(),
            device: "tmpfs".into(),
            options: vec!["size=1m".into(), "uid=7".into()],
        };
        assert_eq!(of(&tmpfs), Ok(Some(want)));
        let bound = of(&[("type", "none"), ("device", "/d"), ("o", "bind,ro")]);
        assert_eq!(bound.unwrap().unwrap().kind, "bind");
    }

    #[test]
    fn options_that_make_no_sense() {
        use OptionProblem::*;
        for (options, want) in [
            (&[("foo", "x")][..], Unknown("foo".into())),
            (&[("size", "1m")], Quota),
            (&[("type", "tmpfs")], Missing("device")),
            (&[("device", "/x")], Missing("type")),
            (&[("o", "ro")], Missing("device")),
            (
                &[("type", "none"), ("device", "d"), ("o", "bind")],
                Relative("d".into()),
            ),
            (
                &[("type", "tmpfs"), ("device", "d"), ("o", "x-copy-up=/etc")],
                Mount("x-copy-up=/etc".into()),
            ),
        ] {
            assert_eq!(of(options), Err(want), "{options:?}");
        }
    }

    #[test]
    fn hosts_of_addresses() {
        for (kind, flags, want) in [
            ("nfs", &["addr=server", "rw"][..], Some("server")),
            ("nfs4", &["rw", "addr=10.0.0.1"], None),
            ("nfs", &["addr=fe80::1"], None),
            ("nfs", &[], None),
            ("ext4", &["addr=server"], None),
        ] {
            let device = Device {
                kind: kind.into(),
                device: ":/x".into(),
                options: flags.iter().map(|f| (*f).to_owned()).collect(),
            };
            assert_eq!(host_to_find(&device), want, "{kind} {flags:?}");
        }
    }
}
