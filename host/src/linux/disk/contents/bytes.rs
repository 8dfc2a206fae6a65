//! Parts of block devices, and reading them.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use crate::linux::disk::block::{Block as _, Device};

/// Offsets and lengths of direct I/O are multiples of this; it serves sectors of 512 bytes too.
const ALIGN: u64 = 4096;

/// Bytes that can be read from anywhere.
pub trait Bytes {
    /// How many there are.
    fn size(&self) -> u64;
    /// Reads `length` bytes.
    ///
    /// # Errors
    /// The device's, and when there are not so many.
    fn read(&mut self, offset: u64, length: usize) -> io::Result<Vec<u8>>;
}

/// A run of bytes of a block device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The device's node.
    pub device: PathBuf,
    /// The first byte.
    pub start: u64,
    /// Bytes.
    pub length: u64,
}

impl Extent {
    /// All of a block device.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn whole(device: &Path) -> anyhow::Result<Self> {
        let length = Device::read_only(device)?.size();
        Ok(Self { device: device.to_owned(), start: 0, length })
    }

    /// A part of it, counted from its own start.
    ///
    /// # Errors
    /// When it does not lie within.
    pub fn part(&self, start: u64, length: u64) -> anyhow::Result<Self> {
        let within = start.checked_add(length).is_some_and(|end| end <= self.length);
        ensure!(within, "{length} bytes from byte {start} do not fit in {}", self.device.display());
        Ok(Self { device: self.device.clone(), start: self.start + start, length })
    }

    /// Whether it is all of its device.
    ///
    /// # Errors
    /// When the device cannot be opened.
    pub fn is_whole(&self) -> anyhow::Result<bool> {
        Ok(Self::whole(&self.device)? == *self)
    }

    /// Opens it for reading.
    ///
    /// # Errors
    /// When it cannot be opened, or the device is too small.
    pub fn open(&self) -> anyhow::Result<Reader> {
        let device = Device::read_only(&self.device)?;
        let end = self.start.checked_add(self.length).context("an extent has no end")?;
        ensure!(end <= device.size(), "{} ends at byte {}", self.device.display(), device.size());
        Ok(Reader { device, start: self.start, length: self.length })
    }
}

/// An open [`Extent`].
pub struct Reader {
    device: Device,
    start: u64,
    length: u64,
}

impl Bytes for Reader {
    fn size(&self) -> u64 {
        self.length
    }

    fn read(&mut self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let end = offset.checked_add(length as u64).filter(|end| *end <= self.length);
        let end = self.start + end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let start = self.start + offset;
        let from = start & !(ALIGN - 1);
        let to = end.next_multiple_of(ALIGN).min(self.device.size());
        let mut bytes = self.device.read(from, (to - from) as usize)?;
        bytes.drain(..(start - from) as usize);
        bytes.truncate(length);
        Ok(bytes)
    }
}

/// Little-endian; zero beyond the end.
pub(super) fn u32_at(raw: &[u8], offset: usize) -> u32 {
    raw.get(offset..offset + 4).and_then(|raw| raw.try_into().ok()).map_or(0, u32::from_le_bytes)
}

/// Little-endian; zero beyond the end.
pub(super) fn u64_at(raw: &[u8], offset: usize) -> u64 {
    raw.get(offset..offset + 8).and_then(|raw| raw.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// Text up to a zero byte, without blanks at its end; control characters are for no terminal.
pub fn printable(raw: &[u8]) -> Option<String> {
    let raw = raw.split(|byte| *byte == 0).next().unwrap_or_default();
    let text: String = String::from_utf8_lossy(raw).chars().filter(|c| !c.is_control()).collect();
    let text = text.trim_end();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
impl Bytes for Vec<u8> {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read(&mut self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let start = usize::try_from(offset).unwrap();
        Ok(self.get(start..start.saturating_add(length)).ok_or(io::ErrorKind::UnexpectedEof)?.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stay_within() {
        let whole = Extent { device: "/dev/vda".into(), start: 100, length: 50 };
        let part = whole.part(10, 40).unwrap();
        assert_eq!((part.start, part.length), (110, 40));
        assert!(whole.part(10, 41).is_err() && whole.part(u64::MAX, 2).is_err());
        assert!(part.part(0, 41).is_err());
    }
}
