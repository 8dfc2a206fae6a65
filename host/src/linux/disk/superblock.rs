//! What lies on a disk or a partition, by its superblock: for a person who is about to lose it, and for what is kept.
//! Names, labels and UUIDs are as blkid(8) prints them. Nothing is written, nothing is mounted, and nothing is believed
//! of what is read but that it can be printed.

use std::io;

use anyhow::Context as _;
use plan::facts::Content;
use uuid::Uuid;

use super::contents::bytes::{Bytes, printable};
use super::contents::lvm::{self, Description, PhysicalVolume};
use super::contents::md;

/// Bytes at the beginning that are looked at: to the end of the superblock of btrfs, in whole pages.
const START: u64 = 68 << 10;

/// What a superblock says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    kind: &'static str,
    label: Option<String>,
    uuid: Option<String>,
    used: Option<u64>,
    members: Option<u32>,
}

/// Looks at all bytes of a disk or partition; `None` if nothing is known there.
///
/// # Errors
/// The device's.
pub fn of(bytes: &mut dyn Bytes, partition: Option<u32>) -> anyhow::Result<Option<Content>> {
    let size = bytes.size();
    // The start of a member with metadata at its end looks like what is on the array.
    let found = match md(bytes)? {
        Some(found) => Some(found),
        None => lvm(bytes)?,
    };
    let found = match found {
        Some(found) => Some(found),
        None => Head(&bytes.read(0, size.min(START) as usize).context("reading the beginning")?).superblock(),
    };
    let content = |Found { kind, label, uuid, used, members }| Content {
        partition,
        kind: kind.to_owned(),
        label,
        uuid,
        size,
        used: used.filter(|used| *used <= size),
        members,
    };
    Ok(found.map(content))
}

/// What is damaged is what it is, and says nothing more; a device that cannot be read says nothing at all.
fn or_damaged<T>(
    read: anyhow::Result<Option<T>>,
    name: impl Fn(T) -> Found,
    kind: &'static str,
) -> anyhow::Result<Option<Found>> {
    match read {
        Ok(found) => Ok(found.map(name)),
        Err(error) if error.chain().any(|cause| cause.is::<io::Error>()) => Err(error),
        Err(_) => Ok(Some(Found { kind, ..Found::default() })),
    }
}

/// A member of an array, with the array's name.
fn md(bytes: &mut dyn Bytes) -> anyhow::Result<Option<Found>> {
    const KIND: &str = "linux_raid_member";
    let named = |member: md::Member| {
        let uuid = (!member.array.is_nil()).then(|| member.array.to_string());
        Found { kind: KIND, label: member.name, uuid, used: None, members: Some(member.members) }
    };
    or_damaged(md::read(bytes), named, KIND)
}

/// A physical volume of LVM, with its group's name.
fn lvm(bytes: &mut dyn Bytes) -> anyhow::Result<Option<Found>> {
    const KIND: &str = "LVM2_member";
    let volume = lvm::label(bytes);
    let group = volume.as_ref().ok().and_then(Option::as_ref).and_then(|volume| group(volume, bytes));
    let named = |volume: PhysicalVolume| {
        let ends = [(0, 6), (6, 10), (10, 14), (14, 18), (18, 22), (22, 26), (26, 32)];
        let uuid = ends.map(|(from, to)| volume.id.get(from..to).unwrap_or_default()).join("-");
        Found {
            kind: KIND,
            label: group.as_ref().and_then(|group| printable(group.name.as_bytes())),
            uuid: Some(uuid),
            used: None,
            members: group.as_ref().and_then(|group| u32::try_from(group.physical.len()).ok()),
        }
    };
    or_damaged(volume, named, KIND)
}

/// The group that a physical volume is in, if it says.
fn group(volume: &PhysicalVolume, bytes: &mut dyn Bytes) -> Option<lvm::group::Group> {
    let Ok(Description::Here(texts)) = volume.description(bytes) else { return None };
    let groups = texts.iter().filter_map(|text| lvm::group::parse(text).ok());
    groups.max_by_key(|group| group.seqno)
}

/// The beginning of a disk. Reading behind the end gives zeros: no format has a meaning for those in the fields that are read.
struct Head<'a>(&'a [u8]);

impl Head<'_> {
    fn superblock(&self) -> Option<Found> {
        [Self::luks, Self::xfs, Self::btrfs, Self::ext, Self::swap, Self::ntfs, Self::fat, Self::others]
            .iter()
            .find_map(|read| read(self))
    }

    /// LUKS1 and LUKS2 on-disk format specifications.
    fn luks(&self) -> Option<Found> {
        let found = self.has(0, b"LUKS\xba\xbe");
        let label = if self.be16(6) == 2 { self.text(24, 48) } else { None };
        found.then(|| Found { kind: "crypto_LUKS", label, uuid: self.text(168, 40), ..Found::default() })
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
            members: None,
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
            members: u32::try_from(self.le64(AT + 0x88)).ok(),
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
        self.has(AT + 56, &[0x53, 0xef]).then_some(Found { kind, label, uuid, used, members: None })
    }

    /// linux/swap.h: `union swap_header`, its magic at the end of the first page of 4 KiB.
    fn swap(&self) -> Option<Found> {
        self.has(4086, b"SWAPSPACE2").then(|| Found {
            kind: "swap",
            label: self.text(1052, 16),
            uuid: self.uuid(1036),
            ..Found::default()
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
        self.has(510, &[0x55, 0xaa]).then_some(Found { kind: "vfat", label, uuid, ..Found::default() })
    }

    /// What is known by its name only: nobody shall take it for an empty disk. Magics as in blkid(8); of ZFS
    /// as in its on-disk format, `vdev_label_t`.
    fn others(&self) -> Option<Found> {
        const BCACHE: [u8; 16] = 0xc685_73f6_4e1a_45ca_8265_f57f_48ba_6d81_u128.to_be_bytes();
        const KINDS: [(&str, usize, &[u8]); 6] = [
            ("ceph_bluestore", 0, b"bluestore block device"),
            ("DM_integrity", 0, b"integrt\0"),
            ("exfat", 3, b"EXFAT   "),
            ("bcache", 4096 + 24, &BCACHE),
            // The first name in the first label, behind two headers.
            ("zfs_member", (16 << 10) + 20, b"\0\0\0\x07version"),
            ("gfs2", 64 << 10, &[0x01, 0x16, 0x19, 0x70, 0, 0, 0, 1]),
        ];
        let is_one = |(_, at, magic): &&(&str, usize, &[u8])| self.has(*at, magic);
        KINDS.iter().find(is_one).map(|(kind, ..)| Found { kind, ..Found::default() })
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

    fn text(&self, at: usize, most: usize) -> Option<String> {
        printable(self.0.get(at..)?.get(..most)?)
    }
}
