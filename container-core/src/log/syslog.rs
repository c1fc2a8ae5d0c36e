//! The driver syslog: what its options mean, and how a line becomes a message. Pure.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::LogStream;
use super::piece::Stamp;

/// The options of this driver alone.
pub(super) const OPTIONS: [&str; 7] = [
    "syslog-address",
    "syslog-facility",
    "syslog-format",
    "syslog-tls-ca-cert",
    "syslog-tls-cert",
    "syslog-tls-key",
    "syslog-tls-skip-verify",
];
/// In the order of their numbers.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "", "", "", "", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Syslog {
    pub(crate) address: Address,
    pub(crate) facility: u8,
    pub(crate) format: Format,
}

/// Where a daemon listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Address {
    /// Where the machine's own does.
    Local,
    /// A socket, of datagrams or a stream, whichever it is.
    Unix(PathBuf),
    Unixgram(PathBuf),
    /// Host and port.
    Udp(String),
    Tcp(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Format {
    /// What a daemon on the same machine expects: RFC 3164 without the host's name.
    Unix,
    Rfc3164,
    Rfc5424,
    /// With microseconds.
    Rfc5424Micro,
}

impl Syslog {
    /// Reads the options. The error names the one at fault and says why.
    pub(super) fn new<'a>(
        get: &impl Fn(&str) -> Option<&'a str>,
    ) -> Result<Self, (&'static str, String)> {
        if let Some(tls) = OPTIONS
            .into_iter()
            .find(|option| option.starts_with("syslog-tls-") && get(option).is_some())
        {
            return Err((tls, NO_TLS.to_owned()));
        }
        let address = match get("syslog-address") {
            None => Address::Local,
            Some(text) => address(text).map_err(|reason| ("syslog-address", reason))?,
        };
        let facility = match get("syslog-facility") {
            None => 3,
            Some(text) => facility(text).ok_or_else(|| {
                let reason = "it must be a facility of syslog(3) (daemon, local0, …) or its number";
                ("syslog-facility", reason.to_owned())
            })?,
        };
        let format = match get("syslog-format") {
            None => Format::Unix,
            Some("rfc3164") => Format::Rfc3164,
            Some("rfc5424") => Format::Rfc5424,
            Some("rfc5424micro") => Format::Rfc5424Micro,
            Some(_) => {
                let reason = "it must be rfc3164, rfc5424 or rfc5424micro";
                return Err(("syslog-format", reason.to_owned()));
            }
        };
        Ok(Self {
            address,
            facility,
            format,
        })
    }

    /// One message.
    pub(super) fn message(
        &self,
        sender: &Sender<'_>,
        stream: LogStream,
        time: Stamp,
        line: &[u8],
    ) -> Vec<u8> {
        let severity = match stream {
            LogStream::Stdout => 6,
            LogStream::Stderr => 3,
        };
        let priority = self.facility * 8 + severity;
        let Sender { host, tag, pid } = sender;
        let utc = time.timestamp();
        let local = || {
            let local = utc.to_zoned_datetime(jiff::tz::TimeZone::system());
            local.strftime("%b %e %H:%M:%S").to_string()
        };
        let head = match self.format {
            Format::Unix => format!("<{priority}>{} {tag}[{pid}]: ", local()),
            Format::Rfc3164 => format!("<{priority}>{} {host} {tag}[{pid}]: ", local()),
            Format::Rfc5424 => format!("<{priority}>1 {utc:.0} {host} {tag} {pid} {tag} - "),
            Format::Rfc5424Micro => format!("<{priority}>1 {utc:.6} {host} {tag} {pid} {tag} - "),
        };
        let mut message = head.into_bytes();
        message.extend_from_slice(line);
        message.push(b'\n');
        message
    }
}

/// Who a message is from.
#[derive(Debug)]
pub(super) struct Sender<'a> {
    pub(super) host: &'a str,
    pub(super) tag: &'a str,
    pub(super) pid: u32,
}

const NO_TLS: &str = "TLS is not here: log to a syslog daemon on this machine, and let it forward";

fn address(text: &str) -> Result<Address, String> {
    let (protocol, rest) = text
        .split_once("://")
        .filter(|(_, rest)| !rest.is_empty())
        .ok_or("it must be of the form proto://address, as udp://host:514 or unix:///dev/log")?;
    let host = || {
        let port = rest.rsplit_once(':').filter(|(host, port)| {
            // Brackets are around the colons of an IPv6 address.
            port.parse::<u16>().is_ok() && (!host.contains(':') || host.ends_with(']'))
        });
        match port {
            Some(_) => rest.to_owned(),
            None => format!("{rest}:514"),
        }
    };
    match protocol {
        "unix" => Ok(Address::Unix(rest.into())),
        "unixgram" => Ok(Address::Unixgram(rest.into())),
        "udp" => Ok(Address::Udp(host())),
        "tcp" => Ok(Address::Tcp(host())),
        "tcp+tls" => Err(NO_TLS.to_owned()),
        other => Err(format!(
            "unsupported scheme {other:?}: there are unix, unixgram, udp and tcp"
        )),
    }
}

fn facility(text: &str) -> Option<u8> {
    let number = match text.parse::<usize>() {
        Ok(number) => number,
        Err(_) => FACILITIES
            .iter()
            .position(|name| !name.is_empty() && *name == text)?,
    };
    u8::try_from(number).ok().filter(|number| *number < 24)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(options: &[(&str, &'static str)]) -> Result<Syslog, (&'static str, String)> {
        let get = |name: &str| options.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
        Syslog::new(&get)
    }

    #[test]
    fn addresses_are_dockers() {
        for (text, address) in [
            ("unix:///dev/log", Address::Unix("/dev/log".into())),
            ("unixgram:///x", Address::Unixgram("/x".into())),
            ("udp://h", Address::Udp("h:514".into())),
            ("tcp://h:1", Address::Tcp("h:1".into())),
            ("tcp://[::1]", Address::Tcp("[::1]:514".into())),
            ("tcp://[::1]:7", Address::Tcp("[::1]:7".into())),
        ] {
            assert_eq!(
                parsed(&[("syslog-address", text)]).unwrap().address,
                address
            );
        }
        for text in ["foo", "x://y", "tcp+tls://h", "udp://"] {
            assert_eq!(
                parsed(&[("syslog-address", text)]).unwrap_err().0,
                "syslog-address"
            );
        }
    }

    #[test]
    fn options_at_fault_are_named() {
        for (option, value) in [
            ("syslog-facility", "zz"),
            ("syslog-facility", "24"),
            ("syslog-format", "x"),
            ("syslog-tls-skip-verify", "1"),
        ] {
            assert_eq!(parsed(&[(option, value)]).unwrap_err().0, option);
        }
        assert_eq!(
            parsed(&[("syslog-facility", "local7")]).unwrap().facility,
            23
        );
        assert_eq!(parsed(&[("syslog-facility", "0")]).unwrap().facility, 0);
    }

    #[test]
    fn messages_are_dockers() {
        let sender = Sender {
            host: "here",
            tag: "0123456789ab",
            pid: 7,
        };
        let time = Stamp {
            seconds: 1_767_323_045,
            nanoseconds: 123_456_789,
        };
        let text = |format, stream| {
            let syslog = parsed(&[("syslog-format", format)]).unwrap();
            String::from_utf8(syslog.message(&sender, stream, time, b"hi")).unwrap()
        };
        assert_eq!(
            text("rfc5424", LogStream::Stdout),
            "<30>1 2026-01-02T03:04:05Z here 0123456789ab 7 0123456789ab - hi\n"
        );
        assert_eq!(
            text("rfc5424micro", LogStream::Stderr),
            "<27>1 2026-01-02T03:04:05.123456Z here 0123456789ab 7 0123456789ab - hi\n"
        );
        let local = text("rfc3164", LogStream::Stdout);
        assert!(local.starts_with("<30>Jan  "), "{local}");
        assert!(local.ends_with(" here 0123456789ab[7]: hi\n"), "{local}");
        let unix = parsed(&[]).unwrap();
        let unix = unix.message(&sender, LogStream::Stdout, time, b"\xff");
        assert!(unix.ends_with(b" 0123456789ab[7]: \xff\n"));
    }
}
