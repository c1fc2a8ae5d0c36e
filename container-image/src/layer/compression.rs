//! Compressed streams, told apart by their first bytes.

use std::io::{self, BufRead, Read};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use zstd::stream::read::Decoder as ZstdDecoder;

/// A decompressing reader.
pub(crate) enum Decompressed<R: BufRead> {
    Plain(R),
    /// Of any number of members, as eStargz has them.
    Gzip(Box<MultiGzDecoder<R>>),
    /// Of any number of frames; a window is at most 128 MiB (zstd's default limit).
    Zstd(ZstdDecoder<'static, R>),
    Xz(Box<XzReader<R>>),
    Bzip2(Box<MultiBzDecoder<R>>),
}

/// A compression format, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Plain,
    Gzip,
    Zstd,
    Xz,
    Bzip2,
}

/// What the largest preset of xz needs is 65 MiB; a header can ask for 4 GiB.
const XZ_MEMORY_KIB: u32 = 128 << 10;

impl Format {
    /// Tells the format by the first six bytes, or all if there are fewer.
    pub(crate) fn of(first: &[u8]) -> Self {
        let skippable_frame = first.first().is_some_and(|b| b & 0xf0 == 0x50)
            && first.get(1..4) == Some(&[0x2a, 0x4d, 0x18]);
        match first {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ if skippable_frame => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31 | 0x17, ..] => Self::Bzip2,
            _ => Self::Plain,
        }
    }

    /// The format, for messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "a plain tar archive",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
        }
    }
}

impl<R: BufRead> Decompressed<R> {
    /// Looks at the first bytes and picks the decoder. The source's first buffer must hold at
    /// least six bytes, if there are as many.
    pub(crate) fn new(mut source: R) -> io::Result<Self> {
        Ok(match Format::of(source.fill_buf()?) {
            Format::Plain => Self::Plain(source),
            Format::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(source))),
            Format::Zstd => Self::Zstd(ZstdDecoder::with_buffer(source)?),
            Format::Xz => {
                let decoder = XzReader::new_mem_limit(source, true, XZ_MEMORY_KIB);
                Self::Xz(Box::new(decoder))
            }
            Format::Bzip2 => Self::Bzip2(Box::new(MultiBzDecoder::new(source))),
        })
    }

    /// The format, for messages.
    pub(crate) fn format(&self) -> Format {
        match self {
            Self::Plain(_) => Format::Plain,
            Self::Gzip(_) => Format::Gzip,
            Self::Zstd(_) => Format::Zstd,
            Self::Xz(_) => Format::Xz,
            Self::Bzip2(_) => Format::Bzip2,
        }
    }
}

impl<R: BufRead> Read for Decompressed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(source) => source.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
            Self::Xz(decoder) => decoder.read(buffer),
            Self::Bzip2(decoder) => decoder.read(buffer),
        }
    }
}
