//! Compressed streams, told apart by their first bytes.

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;
use zstd::stream::read::Decoder as ZstdDecoder;

/// A decompressing reader.
pub(crate) enum Decompressed<R: BufRead> {
    Plain(R),
    /// Of any number of members, as eStargz has them.
    Gzip(Box<MultiGzDecoder<R>>),
    /// Of any number of frames; a window is at most 128 MiB (zstd's default limit).
    Zstd(ZstdDecoder<'static, R>),
}

impl<R: BufRead> Decompressed<R> {
    /// Looks at the first bytes and picks the decoder. The source's first buffer must hold at
    /// least four bytes, if there are as many.
    pub(crate) fn new(mut source: R) -> io::Result<Self> {
        let first = source.fill_buf()?;
        if first.starts_with(&[0x1f, 0x8b]) {
            return Ok(Self::Gzip(Box::new(MultiGzDecoder::new(source))));
        }
        let skippable = first.first().is_some_and(|b| b & 0xf0 == 0x50)
            && first.get(1..4) == Some(&[0x2a, 0x4d, 0x18]);
        if skippable || first.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            return Ok(Self::Zstd(ZstdDecoder::with_buffer(source)?));
        }
        Ok(Self::Plain(source))
    }

    /// The format, for messages.
    pub(crate) fn format(&self) -> &'static str {
        match self {
            Self::Plain(_) => "a plain tar archive",
            Self::Gzip(_) => "gzip",
            Self::Zstd(_) => "zstd",
        }
    }
}

impl<R: BufRead> Read for Decompressed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(source) => source.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
        }
    }
}
