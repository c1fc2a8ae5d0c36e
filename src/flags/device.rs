//! `--device`, `--device-cgroup-rule` and the rates of block devices.

use std::path::PathBuf;

use container_core::request::Device;

use super::size::{self, NumberError};

/// Why a device is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum DeviceError {
    #[error("bad format for path: {0}")]
    Format(String),
    #[error("{0} is not an absolute path")]
    Relative(String),
    #[error("bad mode specified: {0} (use any of r, w and m)")]
    Mode(String),
    #[error("{0}: devices by vendor's name (CDI) are not here yet, name the device's path")]
    Cdi(String),
    #[error("invalid device cgroup format '{0}' (use a, b or c, then major:minor, then rwm)")]
    Rule(String),
    #[error("bad format: {0} (use <device-path>:<number>[<unit>])")]
    RateFormat(String),
    #[error("invalid rate for device: {text}: {source}")]
    Rate { text: String, source: NumberError },
    #[error("bad format: {0} (use <device-path>:<weight>)")]
    WeightFormat(String),
    #[error("invalid weight for device: {0} (use a number from 10 to 1000)")]
    Weight(String),
}

fn is_mode(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b"rwm".contains(&b))
        && b"rwm"
            .iter()
            .all(|m| text.bytes().filter(|b| b == m).count() <= 1)
}

/// `/dev/x:500`, for `--blkio-weight-device`.
pub(crate) fn weight(text: &str) -> Result<(PathBuf, u16), DeviceError> {
    let wrong = || DeviceError::WeightFormat(text.to_owned());
    let (path, weight) = text.split_once(':').ok_or_else(wrong)?;
    if !path.starts_with("/dev/") {
        return Err(wrong());
    }
    match weight.parse() {
        Ok(weight @ 10..=1000) => Ok((path.into(), weight)),
        _ => Err(DeviceError::Weight(text.to_owned())),
    }
}

/// `/dev/x[:/dev/y][:rwm]`.
pub(crate) fn parse(text: &str) -> Result<Device, DeviceError> {
    let parts: Vec<&str> = text.split(':').collect();
    let (host, container, permissions) = match parts[..] {
        [host] => (host, host, "rwm"),
        [host, mode] if is_mode(mode) => (host, host, mode),
        [host, container] => (host, container, "rwm"),
        [host, container, mode] => (host, container, mode),
        _ => return Err(DeviceError::Format(text.to_owned())),
    };
    if !host.starts_with('/') {
        let cdi = host.contains('/') && host.contains('=');
        return Err(if cdi {
            DeviceError::Cdi
        } else {
            DeviceError::Relative
        }(host.to_owned()));
    }
    if !is_mode(permissions) {
        return Err(DeviceError::Mode(permissions.to_owned()));
    }
    // What has no leading slash is a mode that is none: `/dev/null:q`.
    if !container.starts_with('/') {
        return Err(DeviceError::Mode(container.to_owned()));
    }
    Ok(Device {
        host: PathBuf::from(host),
        container: container.to_owned(),
        permissions: permissions.to_owned(),
    })
}

/// `c 10:200 rwm`: checked, unchanged.
pub(crate) fn rule(text: &str) -> Result<String, DeviceError> {
    let bad = || DeviceError::Rule(text.to_owned());
    let number = |n: &str| n == "*" || (!n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    let mut parts = text.split(' ');
    let (Some(kind), Some(numbers), Some(mode), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(bad());
    };
    let (major, minor) = numbers.split_once(':').ok_or_else(bad)?;
    if !["a", "b", "c"].contains(&kind) || !number(major) || !number(minor) || !is_mode(mode) {
        return Err(bad());
    }
    Ok(text.to_owned())
}

fn rate(
    text: &str,
    number: impl Fn(&str) -> Result<u64, NumberError>,
) -> Result<(PathBuf, u64), DeviceError> {
    let (path, value) = text
        .rsplit_once(':')
        .filter(|(path, _)| path.starts_with("/dev/"))
        .ok_or_else(|| DeviceError::RateFormat(text.to_owned()))?;
    let value = number(value).map_err(|source| DeviceError::Rate {
        text: text.to_owned(),
        source,
    })?;
    Ok((PathBuf::from(path), value))
}

/// `/dev/sda:1mb`: bytes a second.
pub(crate) fn bytes_rate(text: &str) -> Result<(PathBuf, u64), DeviceError> {
    rate(text, size::bytes)
}

/// `/dev/sda:1000`: operations a second.
pub(crate) fn operations_rate(text: &str) -> Result<(PathBuf, u64), DeviceError> {
    rate(text, |value| {
        value
            .parse()
            .map_err(|_| NumberError::Size(value.to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices() {
        for (text, host, container, permissions) in [
            ("/dev/a", "/dev/a", "/dev/a", "rwm"),
            ("/dev/a:/dev/b", "/dev/a", "/dev/b", "rwm"),
            ("/dev/a:rw", "/dev/a", "/dev/a", "rw"),
            ("/dev/a:/dev/b:r", "/dev/a", "/dev/b", "r"),
        ] {
            let want = Device {
                host: host.into(),
                container: container.into(),
                permissions: permissions.into(),
            };
            assert_eq!(parse(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn wrong_devices() {
        for (text, want) in [
            ("a:b:c:d", "bad format for path: a:b:c:d"),
            ("foo", "foo is not an absolute path"),
            (
                "/dev/null:/dev/x:q",
                "bad mode specified: q (use any of r, w and m)",
            ),
            (
                "/dev/null:/dev/x:rr",
                "bad mode specified: rr (use any of r, w and m)",
            ),
            (
                "/dev/null:q",
                "bad mode specified: q (use any of r, w and m)",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), want, "{text}");
        }
        assert!(matches!(
            parse("vendor.com/class=gpu"),
            Err(DeviceError::Cdi(_))
        ));
    }

    #[test]
    fn rules() {
        for text in ["c 1:3 mr", "a *:* rwm", "b 8:* r"] {
            assert_eq!(rule(text), Ok(text.to_owned()));
        }
        for text in [
            "foo",
            "c 1:3",
            "c 1 r",
            "d 1:3 r",
            "c 1:3 q",
            "c 1:3 r x",
            "c :3 r",
        ] {
            assert_eq!(rule(text), Err(DeviceError::Rule(text.into())), "{text}");
        }
    }

    #[test]
    fn weights() {
        assert_eq!(weight("/dev/sda:300"), Ok(("/dev/sda".into(), 300)));
        for bad in ["/dev/sda", "sda:300", "/tmp/x:300"] {
            assert_eq!(weight(bad), Err(DeviceError::WeightFormat(bad.into())));
        }
        for bad in ["/dev/sda:9", "/dev/sda:1001", "/dev/sda:x"] {
            assert_eq!(weight(bad), Err(DeviceError::Weight(bad.into())));
        }
    }

    #[test]
    fn rates() {
        assert_eq!(bytes_rate("/dev/sda:1mb"), Ok(("/dev/sda".into(), 1 << 20)));
        assert_eq!(operations_rate("/dev/sda:10"), Ok(("/dev/sda".into(), 10)));
        assert!(matches!(
            bytes_rate("sda:1"),
            Err(DeviceError::RateFormat(_))
        ));
        assert!(matches!(
            operations_rate("/dev/sda:1k"),
            Err(DeviceError::Rate { .. })
        ));
    }
}
