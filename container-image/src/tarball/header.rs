//! The fields of a 512-byte header block.

use super::BLOCK;

/// What a malformed header has wrong.
pub(super) type Fault = &'static str;

/// A header block whose checksum has been verified.
pub(super) struct Header<'a> {
    block: &'a [u8; BLOCK],
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    V7,
    /// POSIX: has a path prefix.
    Ustar,
    /// GNU: has a sparse map where ustar has the prefix.
    Gnu,
}

impl<'a> Header<'a> {
    pub(super) fn parse(block: &'a [u8; BLOCK]) -> Result<Self, Fault> {
        let stored = number(&block[148..156])?;
        let (mut unsigned, mut signed) = (0i64, 0i64);
        for (at, byte) in block.iter().enumerate() {
            let byte = if (148..156).contains(&at) {
                b' '
            } else {
                *byte
            };
            unsigned += i64::from(byte);
            signed += i64::from(byte.cast_signed());
        }
        // Some old programs summed signed characters.
        if stored != unsigned && stored != signed {
            return Err("the header's checksum is wrong");
        }
        let format = match &block[257..265] {
            b"ustar\x0000" => Format::Ustar,
            b"ustar  \0" => Format::Gnu,
            _ => Format::V7,
        };
        Ok(Self { block, format })
    }

    pub(super) fn path(&self) -> Vec<u8> {
        let name = text(&self.block[..100]);
        let prefix = match self.format {
            Format::Ustar => text(&self.block[345..500]),
            Format::Gnu | Format::V7 => b"",
        };
        if prefix.is_empty() {
            return name.to_vec();
        }
        [prefix, b"/", name].concat()
    }

    pub(super) fn link(&self) -> Vec<u8> {
        text(&self.block[157..257]).to_vec()
    }

    pub(super) fn type_flag(&self) -> u8 {
        self.block[156]
    }

    pub(super) fn mode(&self) -> Result<u32, Fault> {
        // The file type bits that some programs add are told by the type flag.
        Ok((number(&self.block[100..108])? & 0o7777) as u32)
    }

    pub(super) fn uid(&self) -> Result<i64, Fault> {
        number(&self.block[108..116])
    }

    pub(super) fn gid(&self) -> Result<i64, Fault> {
        number(&self.block[116..124])
    }

    pub(super) fn size(&self) -> Result<i64, Fault> {
        number(&self.block[124..136])
    }

    pub(super) fn mtime(&self) -> Result<i64, Fault> {
        number(&self.block[136..148])
    }

    /// Major and minor number; zero in a v7 header, which has none.
    pub(super) fn device(&self) -> Result<(u32, u32), Fault> {
        if self.format == Format::V7 {
            return Ok((0, 0));
        }
        let part =
            |field| u32::try_from(number(field)?).map_err(|_| "the device number is out of range");
        Ok((part(&self.block[329..337])?, part(&self.block[337..345])?))
    }

    /// The four places of a GNU header for a sparse map, whether more follow in an extension
    /// block, and the file's real size.
    pub(super) fn gnu_sparse(&self) -> Result<(&'a [u8], bool, i64), Fault> {
        if self.format != Format::Gnu {
            return Err("a sparse entry has no GNU header");
        }
        let real = number(&self.block[483..495])?;
        Ok((&self.block[386..482], self.block[482] != 0, real))
    }
}

/// The field up to its first NUL.
pub(super) fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
    &field[..end]
}

/// A number: octal digits padded with spaces and NULs, or GNU's base 256.
pub(super) fn number(field: &[u8]) -> Result<i64, Fault> {
    let Some((&first, rest)) = field.split_first() else {
        return Ok(0);
    };
    if first & 0x80 != 0 {
        return base256(first, rest);
    }
    let padding = |b: &u8| *b == b' ' || *b == 0;
    let start = field.iter().position(|b| !padding(b));
    let Some(start) = start else { return Ok(0) };
    let field = &field[start..];
    let end = field.iter().position(padding).unwrap_or(field.len());
    let mut value = 0i64;
    for &digit in &field[..end] {
        if !(b'0'..=b'7').contains(&digit) {
            return Err("a number in the header is not octal");
        }
        value = value
            .checked_mul(8)
            .and_then(|v| v.checked_add(i64::from(digit - b'0')))
            .ok_or("a number in the header is out of range")?;
    }
    if field[end..].iter().all(padding) {
        Ok(value)
    } else {
        Err("a number in the header is followed by something else")
    }
}

fn base256(first: u8, rest: &[u8]) -> Result<i64, Fault> {
    // Two's complement, big endian; the topmost bit is the mark, the next one the sign.
    let mut value = i64::from(first & 0x7f);
    if first & 0x40 != 0 {
        value -= 0x80;
    }
    for &byte in rest {
        value = value
            .checked_mul(256)
            .and_then(|v| v.checked_add(i64::from(byte)))
            .ok_or("a number in the header is out of range")?;
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(number(b"0000644\0"), Ok(0o644));
        assert_eq!(number(b"   644 \0"), Ok(0o644));
        assert_eq!(number(b"\0\0\0\0"), Ok(0));
        assert_eq!(number(b"777777777777"), Ok(0o777_777_777_777));
        assert_eq!(number(b"\x80\0\0\0\0\0\0\0\0\x2d\xc6\xc0"), Ok(3_000_000));
        assert_eq!(number(&[0xff; 12]), Ok(-1));
        assert!(number(b"0000689\0").is_err());
        assert!(number(b"12\x0034").is_err());
        assert!(number(b"-1\0\0").is_err());
        assert!(number(b"\x9f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff").is_err());
        assert!(number(b"\xc0\0\0\0\0\0\0\0\0\0\0\0").is_err());
    }
}
