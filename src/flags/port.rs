//! Ports: `80`, `80/udp`, `8000-8010/tcp`.

/// Ports of one protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PortRange {
    pub(crate) first: u16,
    pub(crate) last: u16,
    pub(crate) protocol: String,
}

/// Why a text is no port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum PortError {
    #[error("{0:?} is no port (use a number from 1 to 65535, or two with - between)")]
    Number(String),
    #[error("{0:?} is no protocol (use tcp, udp or sctp)")]
    Protocol(String),
}

/// One port or several, of tcp unless told.
///
/// # Errors
/// It is none.
pub(crate) fn range(text: &str) -> Result<PortRange, PortError> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    if !matches!(protocol, "tcp" | "udp" | "sctp") {
        return Err(PortError::Protocol(protocol.to_owned()));
    }
    let number = |text: &str| match text.parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(PortError::Number(ports.to_owned())),
    };
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (first, last) = (number(first)?, number(last)?);
    if first > last {
        return Err(PortError::Number(ports.to_owned()));
    }
    Ok(PortRange {
        first,
        last,
        protocol: protocol.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports() {
        let range_of = |first, last, protocol: &str| PortRange {
            first,
            last,
            protocol: protocol.to_owned(),
        };
        assert_eq!(range("80"), Ok(range_of(80, 80, "tcp")));
        assert_eq!(range("53/udp"), Ok(range_of(53, 53, "udp")));
        assert_eq!(range("8000-8010"), Ok(range_of(8000, 8010, "tcp")));
        for bad in ["", "x", "0", "65536", "2-1", "80/x", "-", "80-"] {
            assert!(range(bad).is_err(), "{bad}");
        }
    }
}
