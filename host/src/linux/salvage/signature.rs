//! What is on a partition, by its signature.

use std::path::Path;

use anyhow::Context as _;

use crate::linux::disk::block::{Block, Device};

/// Bytes at the beginning that are looked at: to the end of btrfs's superblock magic, in whole pages.
const START: u64 = 68 << 10;
/// linux/raid/md_p.h, `MD_SB_MAGIC`, as it lies on the disk.
const MD: &[u8] = &[0xfc, 0x4e, 0x2b, 0xa9];

/// What it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// A file system that may hold a root, by the name that mount(2) knows.
    Filesystem(&'static str),
    /// A part of something that needs tools.
    Needs(&'static str),
    /// Nothing that could hold host keys.
    Other,
}

/// Looks at a partition or a disk.
///
/// # Errors
/// When it cannot be read.
pub fn of(path: &Path) -> anyhow::Result<Signature> {
    let mut device = Device::read_only(path)?;
    let length = device.size().min(START) & !4095;
    let start = device.read(0, length as usize).with_context(|| format!("reading {}", path.display()))?;
    if start.get(..4) == Some(MD) || start.get(4096..4100) == Some(MD) || md_at_end(&mut device, path)? {
        return Ok(Signature::Needs("a member of a RAID array (md)"));
    }
    Ok(at_start(&start))
}

fn at_start(start: &[u8]) -> Signature {
    let has = |offset: usize, magic: &[u8]| start.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    // LVM2 puts its label into one of the first four sectors.
    if (0..4).any(|sector| has(sector * 512, b"LABELONE")) {
        return Signature::Needs("a physical volume of LVM");
    }
    if has(0, b"LUKS\xba\xbe") {
        return Signature::Needs("encrypted (LUKS)");
    }
    if has(0, b"XFSB") {
        return Signature::Filesystem("xfs");
    }
    if has(0x1_0040, b"_BHRfS_M") {
        return Signature::Filesystem("btrfs");
    }
    // ext2 and ext3, too: the kernel's ext4 reads them all.
    if has(0x438, &[0x53, 0xef]) { Signature::Filesystem("ext4") } else { Signature::Other }
}

/// Metadata 1.0 (8 KiB before the end, on a multiple of 4 KiB) and 0.90 (the last whole 64 KiB but one): the start of
/// such a member looks like the file system itself.
fn md_at_end(device: &mut Device, path: &Path) -> anyhow::Result<bool> {
    let size = device.size();
    let places = [size.checked_sub(8 << 10).map(|at| at & !4095), (size & !0xffff).checked_sub(64 << 10)];
    for place in places.into_iter().flatten() {
        let block =
            device.read(place, 4096).with_context(|| format!("reading the end of {}", path.display()))?;
        if block.starts_with(MD) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures() {
        let with = |offset: usize, magic: &[u8]| {
            let mut start = vec![0; START as usize];
            start[offset..offset + magic.len()].copy_from_slice(magic);
            at_start(&start)
        };
        assert_eq!(with(0x438, &[0x53, 0xef]), Signature::Filesystem("ext4"));
        assert_eq!(with(0, b"XFSB"), Signature::Filesystem("xfs"));
        assert_eq!(with(0x1_0040, b"_BHRfS_M"), Signature::Filesystem("btrfs"));
        assert!(matches!(with(512, b"LABELONE"), Signature::Needs(what) if what.contains("LVM")));
        assert!(matches!(with(0, b"LUKS\xba\xbe"), Signature::Needs(what) if what.contains("LUKS")));
        assert_eq!(with(3, b"XFSB"), Signature::Other);
        assert_eq!(at_start(&[]), Signature::Other);
    }
}
