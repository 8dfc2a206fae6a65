//! Opening a tarball, whatever it is compressed with: its first bytes tell.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use super::error::{ImportError, io_error};

/// Size of reads.
const BUFFER: usize = 256 << 10;

/// The tar bytes of a tarball.
pub(super) fn open(path: &Path) -> Result<BufReader<Box<dyn Read>>, ImportError> {
    let failed = io_error("opening", path);
    let mut file = BufReader::with_capacity(BUFFER, File::open(path).map_err(&failed)?);
    let magic = file.fill_buf().map_err(io_error("reading", path))?;
    let plain: Box<dyn Read> = if magic.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::bufread::MultiGzDecoder::new(file))
    } else if magic.starts_with(b"BZh") {
        Box::new(bzip2::bufread::MultiBzDecoder::new(file))
    } else if magic.starts_with(b"\xfd7zXZ\0") {
        Box::new(lzma_rust2::XzReader::new(file, true))
    } else if magic.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Box::new(zstd::Decoder::with_buffer(file).map_err(&failed)?)
    } else {
        Box::new(file)
    };
    Ok(BufReader::with_capacity(BUFFER, plain))
}
