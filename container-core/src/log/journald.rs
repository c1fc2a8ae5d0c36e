//! The driver journald: a line as fields in journald's own protocol. Pure.

use std::collections::BTreeMap;

use super::LogStream;
use super::piece::Piece;
use super::tag::Subject;

/// Where journald listens.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// The fields that every record of a container has.
pub(super) fn fields(
    subject: &Subject<'_>,
    tag: &str,
    named: &BTreeMap<String, String>,
) -> Vec<(String, String)> {
    let own = [
        ("CONTAINER_ID", subject.short_id()),
        ("CONTAINER_ID_FULL", subject.id),
        ("CONTAINER_NAME", subject.name),
        ("CONTAINER_TAG", tag),
        ("IMAGE_NAME", subject.image),
        ("SYSLOG_IDENTIFIER", tag),
    ];
    let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let named = named
        .iter()
        .map(|(name, value)| (field_name(name), value.clone()));
    own.into_iter()
        .chain(named.filter(|(name, _)| !name.is_empty()))
        .collect()
}

/// A label's or variable's name as a field's: capitals, digits and, not in front, underscores.
fn field_name(name: &str) -> String {
    let name: String = name
        .chars()
        .map(|c| match c.to_ascii_uppercase() {
            c @ ('A'..='Z' | '0'..='9') => c,
            _ => '_',
        })
        .collect();
    name.trim_start_matches('_').to_owned()
}

/// One message.
pub(super) fn message(
    fields: &[(String, String)],
    stream: LogStream,
    piece: &Piece<'_>,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(piece.bytes.len() + 512);
    for (name, value) in fields {
        field(&mut out, name, value.as_bytes());
    }
    let priority: &[u8] = match stream {
        LogStream::Stdout => b"6",
        LogStream::Stderr => b"3",
    };
    field(&mut out, "PRIORITY", priority);
    if let Some(part) = &piece.part {
        if !part.last {
            field(&mut out, "CONTAINER_PARTIAL_MESSAGE", b"true");
        }
        field(&mut out, "CONTAINER_PARTIAL_ID", part.id.as_bytes());
        field(
            &mut out,
            "CONTAINER_PARTIAL_ORDINAL",
            part.ordinal.to_string().as_bytes(),
        );
        field(
            &mut out,
            "CONTAINER_PARTIAL_LAST",
            part.last.to_string().as_bytes(),
        );
    }
    field(&mut out, "MESSAGE", piece.bytes);
    out
}

/// `NAME=value`, or with its length (64 bits, little-endian) where the value has newlines.
fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::super::piece::{Part, Stamp};
    use super::*;

    #[test]
    fn names_of_fields_are_made_safe() {
        for (name, field) in [
            ("com.x/y-z", "COM_X_Y_Z"),
            ("__a", "A"),
            ("é", ""),
            ("1", "1"),
        ] {
            assert_eq!(field_name(name), field);
        }
    }

    #[test]
    fn messages_are_journalds() {
        let fields = [
            ("A".to_owned(), "b".to_owned()),
            ("C".to_owned(), "d\ne".to_owned()),
        ];
        let mut piece = Piece {
            bytes: b"hi\xff",
            time: Stamp::now(),
            part: None,
        };
        assert_eq!(
            message(&fields, LogStream::Stderr, &piece),
            b"A=b\nC\n\x03\0\0\0\0\0\0\0d\ne\nPRIORITY=3\nMESSAGE=hi\xff\n"
        );
        piece.part = Some(Part {
            id: "x",
            ordinal: 2,
            last: false,
        });
        assert_eq!(
            message(&[], LogStream::Stdout, &piece),
            b"PRIORITY=6\nCONTAINER_PARTIAL_MESSAGE=true\nCONTAINER_PARTIAL_ID=x\n\
              CONTAINER_PARTIAL_ORDINAL=2\nCONTAINER_PARTIAL_LAST=false\nMESSAGE=hi\xff\n"
        );
    }
}
