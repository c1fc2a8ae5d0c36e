//! `--add-host`, `--dns`, `--dns-search`: names and addresses.

use std::net::IpAddr;

/// Why it is no name or address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum NameError {
    #[error("bad format for add-host: {0:?}")]
    HostFormat(String),
    #[error("invalid IP address in add-host: {0:?}")]
    HostAddress(String),
    #[error("host-gateway is the address of a bridge, and networks come later")]
    HostGateway,
    #[error("IP address is not correctly formatted: {0}")]
    Address(String),
    #[error("{0} is not a valid domain")]
    Domain(String),
}

/// `host:address` or `host=address`, IPv6 with or without brackets; gives `host:address`.
pub(crate) fn add_host(text: &str) -> Result<String, NameError> {
    let (name, address) = text
        .split_once('=')
        .or_else(|| text.split_once(':'))
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| NameError::HostFormat(text.to_owned()))?;
    if address == "host-gateway" {
        return Err(NameError::HostGateway);
    }
    let bare = address
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(address);
    let address: IpAddr = bare
        .parse()
        .map_err(|_| NameError::HostAddress(address.to_owned()))?;
    Ok(format!("{name}:{address}"))
}

/// The address of a name server.
pub(crate) fn dns(text: &str) -> Result<String, NameError> {
    let address: IpAddr = text
        .trim()
        .parse()
        .map_err(|_| NameError::Address(text.to_owned()))?;
    Ok(address.to_string())
}

/// A search domain; `.` alone means none.
pub(crate) fn dns_search(text: &str) -> Result<String, NameError> {
    let domain = text.trim();
    if domain == "." {
        return Ok(domain.to_owned());
    }
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let stem = domain.strip_suffix('.').unwrap_or(domain);
    if domain.len() > 254 || !stem.split('.').all(label) {
        return Err(NameError::Domain(domain.to_owned()));
    }
    Ok(domain.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for (text, want) in [
            ("a:1.2.3.4", "a:1.2.3.4"),
            ("a=1.2.3.4", "a:1.2.3.4"),
            ("a:::1", "a:::1"),
            ("a:[::1]", "a:::1"),
            ("a=[::1]", "a:::1"),
        ] {
            assert_eq!(add_host(text).unwrap(), want, "{text}");
        }
        assert_eq!(add_host("foo"), Err(NameError::HostFormat("foo".into())));
        assert_eq!(
            add_host(":1.2.3.4"),
            Err(NameError::HostFormat(":1.2.3.4".into()))
        );
        assert_eq!(add_host("a:b"), Err(NameError::HostAddress("b".into())));
        assert_eq!(add_host("a:host-gateway"), Err(NameError::HostGateway));
    }

    #[test]
    fn name_servers() {
        assert_eq!(dns("1.1.1.1"), Ok("1.1.1.1".into()));
        assert_eq!(dns("foo"), Err(NameError::Address("foo".into())));
        for good in [".", "example.com", "example.com.", "_tcp.local"] {
            assert_eq!(dns_search(good), Ok(good.to_owned()));
        }
        for bad in ["a b", "", "a..b", "-a.b"] {
            assert_eq!(
                dns_search(bad),
                Err(NameError::Domain(bad.to_owned())),
                "{bad}"
            );
        }
    }
}
