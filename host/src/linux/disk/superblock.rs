//! What lies on a disk or a partition, by its superblock: for a person who is about to lose it, and for what is kept.
//! Names, labels and UUIDs are as blkid(8) prints them. Nothing is written, nothing is mounted, and nothing is believed
//! of what is read but that it can be printed.

use std::io;

use plan::facts::Content;
use uuid::Uuid;

use super::block::Block;

/// Bytes at the beginning that are looked at: to the end of the superblock of btrfs, in whole pages.
const START: u64 = 68 << 10;

/// What a superblock says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    kind: &'static str,
    label: Option<String>,
    uuid: Option<String>,
    used: Option<u64>,
}

/// Looks at `length` bytes of a disk from `start`; `None` if nothing is known there.
///
/// # Errors
/// The device's.
pub fn of(
    disk: &mut dyn Block,
    partition: Option<u32>,
    start: u64,
    length: u64,
) -> io::Result<Option<Content>> {
    let head = disk.read(start, (length.min(START) & !4095) as usize)?;
    let found = md(disk, start, length, &head)?.or_else(|| Bytes(&head).superblock());
    let content = |Found { kind, label, uuid, used }| Content {
        partition,
        kind: kind.to_owned(),
        label,
        uuid,
        size: length,
        used: used.filter(|used| *used <= length),
    };
    Ok(found.map(content))
}

/// A member of an array. The start of one with metadata at its end looks like what is on the array.
fn md(disk: &mut dyn Block, start: u64, length: u64, head: &[u8]) -> io::Result<Option<Found>> {
    for place in [0, 4096] {
        if let Some(found) = head.get(place..).and_then(|rest| Bytes(rest).md()) {
            return Ok(Some(found));
        }
    }
    // 1.0: 8 KiB before the end, on a multiple of 4 KiB; 0.90: the last whole 64 KiB but one.
    let places = [length.checked_sub(8 << 10).map(|at| at & !4095), (length & !0xffff).checked_sub(64 << 10)];
    for place in places.into_iter().flatten() {
        if let Some(found) = Bytes(&disk.read(start + place, 4096)?).md() {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Bytes of a disk. Reading behind the end gives zeros: no format has a meaning for those in the fields that are read.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn superblock(&self) -> Option<Found> {
        [Self::lvm, Self::luks, Self::xfs, Self::btrfs, Self::ext, Self::swap, Self::ntfs, Self::fat]
            .iter()
            .find_map(|read| read(self))
    }

    /// linux/raid/md_p.h: `mdp_superblock_1`, and `mdp_super_t` for 0.90.
    fn md(&self) -> Option<Found> {
        let version = (self.u32(0) == 0xa92b_4efc).then(|| self.u32(4))?;
        let name = (version == 1).then(|| self.text(32, 32)).flatten();
        let uuid = (version == 1).then(|| self.uuid(16)).flatten();
        Some(Found { kind: "linux_raid_member", label: name, uuid, used: None })
    }

    /// LVM2's label is in one of the first four sectors; lib/format_text/layout.h.
    fn lvm(&self) -> Option<Found> {
        let label = (0..4).map(|sector| sector * 512).find(|at| self.has(*at, b"LABELONE"))?;
        let id = self.text(label + usize::try_from(self.u32(label + 20)).ok()?, 32);
        let uuid = id.filter(|id| id.len() == 32 && id.is_ascii()).map(|id| {
            let ends = [(0, 6), (6, 10), (10, 14), (14, 18), (18, 22), (22, 26), (26, 32)];
            ends.map(|(from, to)| id[from..to].to_owned()).join("-")
        });
        Some(Found { kind: "LVM2_member", uuid, ..Found::default() })
    }

    /// LUKS1 and LUKS2 on-disk format specifications.
    fn luks(&self) -> Option<Found> {
        let found = self.has(0, b"LUKS\xba\xbe");
        let label = if self.be16(6) == 2 { self.text(24, 48) } else { None };
        found.then(|| Found { kind: "crypto_LUKS", label, uuid: self.text(168, 40), used: None })
    }

    /// XFS algorithms and data structures, "Superblocks".
    fn xfs(&self) -> Option<Found> {
        let free = self.be64(144).checked_mul(self.be32(4).into());
        let size = self.be64(8).checked_mul(self.be32(4).into());
        let used = size.zip(free).and_then(|(size, free)| size.checked_sub(free));
        self.has(0, b"XFSB").then(|| Found {
            kind: "xfs",
            label: self.text(108, 12),
            uuid: self.uuid(32),
            used,
        })
    }

    /// btrfs on-disk format, `btrfs_super_block` at 64 KiB.
    fn btrfs(&self) -> Option<Found> {
        const AT: usize = 64 << 10;
        self.has(AT + 0x40, b"_BHRfS_M").then(|| Found {
            kind: "btrfs",
            label: self.text(AT + 0x12b, 256),
            uuid: self.uuid(AT + 0x20),
            used: Some(self.le64(AT + 0x78)),
        })
    }

    /// `struct ext4_super_block`; which of the three it is goes by the features, as in blkid(8).
    fn ext(&self) -> Option<Found> {
        const AT: usize = 1024;
        /// extents, 64bit, mmp, flex_bg, ea_inode, dirdata, csum_seed, largedir, inline_data, encrypt, casefold.
        const INCOMPAT_4: u32 = 0x3_f7c0;
        /// huge_file, gdt_csum, dir_nlink, extra_isize, quota, bigalloc, metadata_csum, project, verity, orphan.
        const RO_COMPAT_4: u32 = 0x1_a778;
        const JOURNAL: u32 = 4;
        let (compat, incompat, ro_compat) = (self.u32(AT + 92), self.u32(AT + 96), self.u32(AT + 100));
        let kind = match (incompat & INCOMPAT_4, ro_compat & RO_COMPAT_4, compat & JOURNAL) {
            (0, 0, 0) => "ext2",
            (0, 0, _) => "ext3",
            _ => "ext4",
        };
        let wide = if incompat & 0x80 != 0 { u64::from(u32::MAX) } else { 0 };
        let count = |low, high| u64::from(self.u32(AT + low)) | (u64::from(self.u32(AT + high)) & wide) << 32;
        let shift = 10 + self.u32(AT + 24).min(6);
        let used =
            count(4, 0x150).checked_sub(count(12, 0x158)).and_then(|blocks| blocks.checked_mul(1 << shift));
        let (label, uuid) = (self.text(AT + 120, 16), self.uuid(AT + 104));
        self.has(AT + 56, &[0x53, 0xef]).then_some(Found { kind, label, uuid, used })
    }

    /// linux/swap.h: `union swap_header`, its magic at the end of the first page of 4 KiB.
    fn swap(&self) -> Option<Found> {
        self.has(4086, b"SWAPSPACE2").then(|| Found {
            kind: "swap",
            label: self.text(1052, 16),
            uuid: self.uuid(1036),
            used: None,
        })
    }

    fn ntfs(&self) -> Option<Found> {
        let serial = format!("{:016X}", self.le64(72));
        self.has(3, b"NTFS    ").then(|| Found { kind: "ntfs", uuid: Some(serial), ..Found::default() })
    }

    /// Microsoft FAT specification 1.03: FAT32 has its fields elsewhere than FAT12 and FAT16.
    fn fat(&self) -> Option<Found> {
        let at = match () {
            () if self.has(82, b"FAT32   ") => 67,
            () if self.has(54, b"FAT16   ") || self.has(54, b"FAT12   ") => 39,
            () => return None,
        };
        let serial = self.u32(at);
        let uuid = Some(format!("{:04X}-{:04X}", serial >> 16, serial & 0xffff));
        let label = self.text(at + 4, 11).filter(|label| label != "NO NAME");
        self.has(510, &[0x55, 0xaa]).then_some(Found { kind: "vfat", label, uuid, used: None })
    }

    fn has(&self, at: usize, magic: &[u8]) -> bool {
        self.0.get(at..).is_some_and(|rest| rest.starts_with(magic))
    }

    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        self.0.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.array(at))
    }

    fn le64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.array(at))
    }

    fn be16(&self, at: usize) -> u16 {
        u16::from_be_bytes(self.array(at))
    }

    fn be32(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.array(at))
    }

    fn be64(&self, at: usize) -> u64 {
        u64::from_be_bytes(self.array(at))
    }

    fn uuid(&self, at: usize) -> Option<String> {
        let uuid = Uuid::from_bytes(self.array(at));
        (!uuid.is_nil()).then(|| uuid.to_string())
    }

    /// Text up to a zero byte, without blanks at its end; control characters are for no terminal.
    fn text(&self, at: usize, most: usize) -> Option<String> {
        let bytes = self.0.get(at..)?.get(..most)?;
        let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        let text: String = String::from_utf8_lossy(bytes).chars().filter(|c| !c.is_control()).collect();
        let text = text.trim_end();
        (!text.is_empty()).then(|| text.to_owned())
    }
}
