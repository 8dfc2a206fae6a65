//! What lies on a block device, or on a part of one: file systems, and the layers that file systems may be below (md, LVM,
//! LUKS). Everything is read from the disk's own metadata; nothing is assembled, activated or written.
//!
//! * [`of`]: what it is, by its signature.
//! * [`bytes`]: where the bytes are, and reading them.
//! * [`md`]: members of RAID arrays; [`lvm`]: physical volumes, and what is in their groups.
//!
//! What is parsed may be garbage: sizes and depths have limits, and what makes no sense is an error, never a panic.

pub mod bytes;
pub mod lvm;
pub mod md;

use anyhow::Context as _;

use self::bytes::Bytes;

/// Bytes at the beginning that are looked at: to the end of btrfs's superblock magic, in whole pages.
const START: u64 = 68 << 10;
/// Where the partition entries of an MBR begin, four of 16 bytes: the first is a flag (0 or 0x80), the fifth the type.
const MBR_ENTRIES: usize = 446;

/// What it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contents {
    /// A file system that may hold a root, by the name that mount(2) knows.
    Filesystem(&'static str),
    /// A part of a RAID array.
    Raid(md::Member),
    /// A physical volume.
    Lvm(lvm::PhysicalVolume),
    /// LUKS, of whatever version.
    Encrypted,
    /// A partition table.
    Table,
    /// Nothing that is known here.
    Other,
}

/// Looks at bytes. md comes first: with metadata at its end, a member looks like what is in the array.
///
/// # Errors
/// When they cannot be read, or a layer's metadata are damaged.
pub fn of(bytes: &mut dyn Bytes) -> anyhow::Result<Contents> {
    if let Some(member) = md::read(bytes)? {
        return Ok(Contents::Raid(member));
    }
    if let Some(volume) = lvm::label(bytes)? {
        return Ok(Contents::Lvm(volume));
    }
    let length = bytes.size().min(START);
    let start = bytes.read(0, length as usize).context("reading the beginning")?;
    Ok(at_start(&start))
}

fn at_start(start: &[u8]) -> Contents {
    let has = |offset: usize, magic: &[u8]| start.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    if has(0, b"LUKS\xba\xbe") {
        return Contents::Encrypted;
    }
    if has(0, b"XFSB") {
        return Contents::Filesystem("xfs");
    }
    if has(0x1_0040, b"_BHRfS_M") {
        return Contents::Filesystem("btrfs");
    }
    // ext2 and ext3, too: the kernel's ext4 reads them all.
    if has(0x438, &[0x53, 0xef]) {
        return Contents::Filesystem("ext4");
    }
    let gpt = has(512, b"EFI PART") || has(4096, b"EFI PART");
    if gpt || has(510, &[0x55, 0xaa]) && is_mbr(start) { Contents::Table } else { Contents::Other }
}

/// Whether the entries are those of an MBR; FAT's boot sector ends like one.
fn is_mbr(sector: &[u8]) -> bool {
    let entries = sector.get(MBR_ENTRIES..510).unwrap_or_default();
    entries.chunks_exact(16).all(|entry| entry[0] & 0x7f == 0)
        && entries.chunks_exact(16).any(|entry| entry[4] != 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn signatures() {
        let with = |offset: usize, magic: &[u8]| {
            let mut start = vec![0; START as usize];
            start[offset..offset + magic.len()].copy_from_slice(magic);
            of(&mut start).unwrap()
        };
        assert_eq!(with(0x438, &[0x53, 0xef]), Contents::Filesystem("ext4"));
        assert_eq!(with(0, b"XFSB"), Contents::Filesystem("xfs"));
        assert_eq!(with(0x1_0040, b"_BHRfS_M"), Contents::Filesystem("btrfs"));
        assert_eq!(with(0, b"LUKS\xba\xbe"), Contents::Encrypted);
        assert_eq!(with(512, b"EFI PART"), Contents::Table);
        assert_eq!(with(510, &[0x55, 0xaa]), Contents::Other, "no entry");
        assert_eq!(with(3, b"XFSB"), Contents::Other);
        assert_eq!(of(&mut Vec::new()).unwrap(), Contents::Other);
        let mut mbr = vec![0; 512];
        mbr[510..].copy_from_slice(&[0x55, 0xaa]);
        (mbr[446], mbr[450]) = (0x80, 0x83);
        assert_eq!(at_start(&mbr), Contents::Table);
        mbr[446] = 0x0d;
        assert_eq!(at_start(&mbr), Contents::Other, "text of a boot sector");
    }

    proptest! {
        /// Garbage behind the right magics: an answer or an error, and no panic.
        #[test]
        fn garbage(mut bytes in prop::collection::vec(any::<u8>(), 0..20_000), magic in 0..4_usize) {
            let (at, magic): (usize, &[u8]) = match magic {
                0 => (512, b"LABELONE\x01\0\0\0\0\0\0\0"),
                1 => (0, md::MAGIC),
                2 => (4096, md::MAGIC),
                _ => (bytes.len().saturating_sub(8 << 10) & !4095, md::MAGIC),
            };
            if let Some(place) = bytes.get_mut(at..at + magic.len()) {
                place.copy_from_slice(magic);
            }
            let _ = of(&mut bytes);
        }
    }
}
