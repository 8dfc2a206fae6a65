//! The compressions met in kernel modules, firmware and initrds, told apart by their magic numbers.

use std::fmt;
use std::io::Read;

use anyhow::{Context, Result, bail};

use crate::lz4;

/// How a run of bytes is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// Not at all.
    Plain,
    /// RFC 1952.
    Gzip,
    /// The .xz container.
    Xz,
    /// RFC 8878.
    Zstd,
    /// The kernel's form of it.
    Lz4,
}

/// Compressions that a kernel may know and this program does not: magic and name, as in the kernel's `lib/decompress.c`.
const UNREAD: &[(&[u8], &str)] =
    &[(b"BZh", "bzip2"), (&[0x5d, 0x00, 0x00], "lzma"), (&[0x89, b'L', b'Z', b'O'], "lzo")];

impl Codec {
    /// Reads the magic number. A compression that cannot be read is an error that names it.
    pub fn of(bytes: &[u8]) -> Result<Self> {
        if let Some((_, name)) = UNREAD.iter().find(|(magic, _)| bytes.starts_with(magic)) {
            bail!("compressed with {name}, which is not read here: unpack it with {name} first");
        }
        Ok(match bytes {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            bytes if bytes.starts_with(&lz4::MAGIC) => Self::Lz4,
            _ => Self::Plain,
        })
    }

    /// Decodes the first stream (gzip member, xz stream, zstd frame, lz4 stream) of `bytes`: its plain bytes, and how many
    /// stored bytes it took.
    pub fn decode(self, bytes: &[u8]) -> Result<(Vec<u8>, usize)> {
        let mut rest = bytes;
        let mut plain = Vec::new();
        match self {
            Self::Plain => return Ok((bytes.to_vec(), bytes.len())),
            Self::Lz4 => return lz4::decode(bytes),
            Self::Gzip => flate2::bufread::GzDecoder::new(&mut rest).read_to_end(&mut plain),
            Self::Xz => lzma_rust2::XzReader::new(&mut rest, false).read_to_end(&mut plain),
            Self::Zstd => zstd::Decoder::with_buffer(&mut rest)?.single_frame().read_to_end(&mut plain),
        }
        .with_context(|| format!("decompressing {self}"))?;
        Ok((plain, bytes.len() - rest.len()))
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
        })
    }
}

/// Decodes `bytes` if they are compressed.
pub fn plain(bytes: Vec<u8>) -> Result<Vec<u8>> {
    match Codec::of(&bytes)? {
        Codec::Plain => Ok(bytes),
        codec => Ok(codec.decode(&bytes)?.0),
    }
}
