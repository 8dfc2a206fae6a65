//! Superblocks of Linux RAID (md), by include/uapi/linux/raid/md_p.h: metadata 0.90 (`mdp_super_t`) and 1.0, 1.1, 1.2
//! (`struct mdp_superblock_1`), which differ in where they lie. 0.90 is read as a little-endian machine wrote it.
//!
//! | metadata | place of the superblock |
//! | --- | --- |
//! | 0.90 | the last whole 64 KiB but one |
//! | 1.0 | 8 KiB before the end, on a multiple of 4 KiB |
//! | 1.1 | byte 0 |
//! | 1.2 | byte 4096 |

use anyhow::{Context as _, bail, ensure};
use uuid::Uuid;

use super::bytes::{Bytes, printable, u32_at, u64_at};

/// `MD_SB_MAGIC`, as it lies on the disk.
pub(super) const MAGIC: &[u8] = &[0xfc, 0x4e, 0x2b, 0xa9];
/// Bytes of a superblock of either kind that are looked at.
const SIZE: usize = 4096;
/// Unit of the numbers of metadata 1.
const SECTOR: u64 = 512;
/// RAID1.
const MIRROR: i32 = 1;
/// The most roles that fit behind a superblock of metadata 1.
const ROLES_MAX: usize = (SIZE - 256) / 2;
/// `feature_map` of metadata 1: the member is being rebuilt; the array is being reshaped.
const RECOVERY: u32 = 2;
const RESHAPE: u32 = 4;
/// `dev_roles` of metadata 1 from here on: spare, faulty, journal.
const ROLE_NONE: u16 = 0xfffd;
/// State bits of a disk of 0.90: faulty, active, in sync.
const DISK_FAULTY: u32 = 1;
const DISK_CURRENT: u32 = 0b110;

/// What a device says of the array whose member it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The array.
    pub array: Uuid,
    /// Its name, with that of the machine that made it before it (`n001:root`); metadata 0.90 have none.
    pub name: Option<String>,
    /// Its level: 0, 1, 4, 5, 6, 10; negative for what is no RAID.
    pub level: i32,
    /// First byte of the array's data on this device.
    pub start: u64,
    /// Bytes of them.
    pub length: u64,
    /// Members that the array has when it is whole, spares not counted.
    pub members: u32,
    /// Counts the changes of the array's state: who has less was left behind.
    pub events: u64,
    /// Whether it has all its data: no spare, not faulty, not half rebuilt, not reshaped.
    pub current: bool,
}

impl Member {
    /// Where the whole array is on this one device: first byte and length.
    ///
    /// # Errors
    /// Why it is not, in words that go on after "is".
    pub fn mirror(&self) -> anyhow::Result<(u64, u64)> {
        match self.level {
            MIRROR if self.current => Ok((self.start, self.length)),
            MIRROR => bail!("a member of a RAID1 array (md) that does not have all its data"),
            level => bail!("a member of a RAID array (md) of level {level}, which is not put together here"),
        }
    }
}

/// Reads the superblock, if there is one.
///
/// # Errors
/// When the device cannot be read, or there is a superblock that makes no sense.
pub fn read(bytes: &mut dyn Bytes) -> anyhow::Result<Option<Member>> {
    let size = bytes.size();
    let old = (size & !0xffff).checked_sub(64 << 10);
    let end = size.checked_sub(8 << 10).map(|at| at & !4095);
    for place in [Some(0), Some(4096), end, old].into_iter().flatten() {
        if place.checked_add(SIZE as u64).is_none_or(|end| end > size) {
            continue;
        }
        let raw = bytes.read(place, SIZE).context("looking for a member of a RAID array")?;
        if !raw.starts_with(MAGIC) {
            continue;
        }
        let member = match u32_at(&raw, 4) {
            0 if Some(place) == old => version_0(&raw),
            1 => version_1(&raw, place),
            other => bail!("it is a member of a RAID array (md) of the unknown version {other}"),
        };
        let member = member.context("it is a member of a RAID array (md) whose superblock is damaged")?;
        let within = member.start.checked_add(member.length).is_some_and(|end| end <= size);
        ensure!(within, "it is a member of a RAID array (md) that was larger");
        return Ok(Some(member));
    }
    Ok(None)
}

fn version_1(raw: &[u8], place: u64) -> anyhow::Result<Member> {
    let roles = u32_at(raw, 220) as usize;
    ensure!(roles <= ROLES_MAX, "it has {roles} roles");
    let (sum, wanted) = (checksum(&raw[..256 + 2 * roles], 216), u32_at(raw, 216));
    ensure!(sum == wanted, "its checksum is {sum:08x}, not {wanted:08x}");
    let lies = u64_at(raw, 144).checked_mul(SECTOR);
    ensure!(lies == Some(place), "it was written elsewhere");
    let number = u32_at(raw, 160) as usize;
    let role = raw[256..256 + 2 * roles].chunks_exact(2).nth(number);
    let role = role.map_or(u16::MAX, |role| u16::from_le_bytes([role[0], role[1]]));
    let bytes = |offset: usize| u64_at(raw, offset).checked_mul(SECTOR).context("a size is too large");
    // The member may have more room than the array uses.
    let length = bytes(80)?.min(bytes(136)?);
    Ok(Member {
        array: Uuid::from_slice(&raw[16..32]).unwrap_or_default(),
        name: printable(&raw[32..64]),
        level: u32_at(raw, 72).cast_signed(),
        start: bytes(128)?,
        length,
        members: u32_at(raw, 92),
        events: u64_at(raw, 200),
        current: role < ROLE_NONE && u32_at(raw, 8) & (RECOVERY | RESHAPE) == 0,
    })
}

fn version_0(raw: &[u8]) -> anyhow::Result<Member> {
    let word = |index: usize| u32_at(raw, 4 * index);
    let (sum, wanted) = (checksum(raw, 4 * 38), word(38));
    ensure!(sum == wanted, "its checksum is {sum:08x}, not {wanted:08x}");
    // `this_disk`, whose state is its fifth word.
    let state = word(992 + 4);
    // 91 is 0.90 while it is reshaped.
    let current = word(2) == 90 && state & DISK_FAULTY == 0 && state & DISK_CURRENT == DISK_CURRENT;
    Ok(Member {
        // mdadm prints the four as numbers.
        array: Uuid::from_slice(&[5, 13, 14, 15].map(|index| word(index).to_be_bytes()).concat())
            .unwrap_or_default(),
        name: None,
        level: word(7).cast_signed(),
        start: 0,
        length: u64::from(word(8)) << 10,
        members: word(10),
        events: u64::from(word(40)) << 32 | u64::from(word(39)),
        current,
    })
}

/// The sum of the 32-bit words, with that at `place` as zero, its carries added once.
fn checksum(raw: &[u8], place: usize) -> u32 {
    let words = raw.chunks(4).map(|word| {
        let mut whole = [0; 4];
        whole[..word.len()].copy_from_slice(word);
        u64::from(u32::from_le_bytes(whole))
    });
    let sum = words.sum::<u64>() - u64::from(u32_at(raw, place));
    (sum as u32).wrapping_add((sum >> 32) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A RAID1 member of 1 MiB with metadata 1.2.
    fn member() -> Vec<u8> {
        let mut bytes = vec![0; 1 << 20];
        let raw = &mut bytes[4096..];
        raw[..4].copy_from_slice(MAGIC);
        let mut put = |offset: usize, value: u64, length: usize| {
            raw[offset..offset + length].copy_from_slice(&value.to_le_bytes()[..length]);
        };
        put(4, 1, 4);
        put(16, 7, 1);
        put(32, u64::from_le_bytes(*b"n001:roo"), 8);
        put(40, u64::from(b't'), 1);
        put(72, 1, 4);
        put(80, 1000, 8);
        put(92, 2, 4);
        put(128, 128, 8);
        put(136, 1900, 8);
        put(144, 8, 8);
        put(160, 1, 4);
        put(200, 33, 8);
        put(220, 2, 4);
        put(258, 1, 2);
        sum(&mut bytes);
        bytes
    }

    fn sum(bytes: &mut [u8]) {
        let sum = checksum(&bytes[4096..4096 + 260], 216);
        bytes[4096 + 216..][..4].copy_from_slice(&sum.to_le_bytes());
    }

    #[test]
    fn a_mirror_is_where_it_says() {
        let member = read(&mut member()).unwrap().unwrap();
        assert_eq!(member.mirror().unwrap(), (128 * 512, 1000 * 512));
        assert_eq!((member.events, member.array), (33, Uuid::from_u128(7 << 120)));
        assert_eq!(member.name.as_deref(), Some("n001:root"));
    }

    /// What is wrong after a change of one byte.
    fn changed(offset: usize, value: u8, summed: bool) -> String {
        let mut bytes = member();
        bytes[4096 + offset] = value;
        if summed {
            sum(&mut bytes);
        }
        match read(&mut bytes) {
            Ok(member) => member.unwrap().mirror().unwrap_err().to_string(),
            Err(error) => format!("{error:#}"),
        }
    }

    #[test]
    fn what_is_not_all_there_is_no_mirror() {
        assert!(changed(72, 5, true).contains("of level 5"));
        assert!(changed(8, 2, true).contains("does not have all its data"), "rebuilt");
        assert!(changed(8, 4, true).contains("does not have all its data"), "reshaped");
        assert!(changed(160, 9, true).contains("does not have all its data"), "of no role");
        let mut spare = member();
        spare[4096 + 258..4096 + 260].copy_from_slice(&[0xff, 0xff]);
        sum(&mut spare);
        assert!(read(&mut spare).unwrap().unwrap().mirror().is_err());
    }

    #[test]
    fn damage_is_seen() {
        assert!(changed(130, 1, false).contains("its checksum is"));
        assert!(changed(144, 9, true).contains("written elsewhere"));
        assert!(changed(132, 1, true).contains("was larger"));
        assert!(changed(135, 0xff, true).contains("too large"));
        assert!(changed(4, 7, true).contains("unknown version 7"));
        assert!(changed(221, 0xff, false).contains("roles"));
    }
}
