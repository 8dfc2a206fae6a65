//! The ops that change a partition table, and finding a partition again by its GUID.

use std::path::Path;

use anyhow::{Context, anyhow, ensure};
use plan::facts::{Table, TableEntry};
use plan::op::PartitionRef;
use rustix::fs::FlockOperation;
use uuid::Uuid;

use super::block::{Block, Device};
use super::{gpt, partitions};

/// Bytes that are zeroed at the beginning of whatever may carry an old signature. The last that libblkid looks for there
/// is the second header of LUKS2, which may lie at 4 MiB; VMFS has its own at 1 and 2 MiB.
const WIPE_START: u64 = 5 << 20;
/// And at the end: md 0.90 and 1.0, ZFS and firmware RAID, of which Promise's lies farthest from it (3087 sectors).
const WIPE_END: u64 = 2 << 20;
/// Where btrfs has copies of its superblock, each within a block of [`BTRFS_BLOCK`] (btrfs(5)): its rescue tools find them.
const BTRFS_COPIES: [u64; 2] = [64 << 20, 256 << 30];
const BTRFS_BLOCK: u64 = 4096;
/// Bytes that are written in one go while zeroing.
const CHUNK: u64 = 1 << 20;

/// Replaces the table of a disk that nobody uses, and tells the kernel. The partitions whose numbers are in `keep` must
/// be on it as the table says; they and their contents stay. The disk is held exclusively, and locked against
/// udevd (systemd's BLOCK_DEVICE_LOCKING), all the while.
///
/// # Errors
/// When something uses the disk, the table does not fit, what is to be kept is not there, or the device fails.
pub fn write(sys: &Path, path: &Path, table: &Table, keep: &[u32]) -> anyhow::Result<()> {
    let mut device = Device::exclusive(path)?;
    lock(&device, path)?;
    replace(&mut device, table, keep)
        .with_context(|| format!("writing the partition table of {}", path.display()))?;
    partitions::tell_kernel(device.file(), sys, path, table, device.sector())
}

/// Replaces the table: no boot code, no old table, no signature of what was there before.
///
/// In this order, so that a power cut leaves the old table or the new one: protective MBR (the old boot code goes first),
/// backup, primary; then the old signatures.
///
/// # Errors
/// When the table does not fit, what is to be kept is not there, or the device fails.
pub fn replace(block: &mut dyn Block, table: &Table, keep: &[u32]) -> anyhow::Result<()> {
    let mut gpt = gpt::Gpt::new(table, block)?;
    let stray = gpt::stray_backup(block).context("looking for an old backup table")?;
    if !keep.is_empty() {
        let old = gpt::read(block).context("reading the old partition table")?;
        let old = old.context("the old partition table is gone, and partitions of it are to be kept")?;
        gpt.keep(&old, keep)?;
    }
    gpt::write_protective(block).context("writing the protective MBR")?;
    gpt::write(&gpt, block)?;
    let (start, end) = gpt.room(block);
    let is_free = |span: &(u64, u64)| is_free(*span, &kept_spans(table, keep, block.sector()));
    let stray: Vec<(u64, u64)> = stray.into_iter().filter(is_free).collect();
    for (from, to) in wipes(table, keep, block.sector(), start, end).into_iter().chain(stray) {
        zero(block, from, to).with_context(|| format!("wiping bytes {from} to {to}"))?;
    }
    block.flush().context("flushing")
}

/// Changes the type of one partition; every other byte of the table's entries stays.
///
/// # Errors
/// When the disk has no table, or not this partition.
pub fn set_kind(partition: &PartitionRef, kind: Uuid) -> anyhow::Result<()> {
    let path = Path::new(&partition.disk);
    let mut device = Device::writable(path)?;
    lock(&device, path)?;
    let mut gpt = read(&mut device, path)?;
    gpt.set_kind(partition.number, partition.guid, kind)?;
    gpt::write(&gpt, &mut device)
}

/// The entry of a partition, after checking that table and kernel agree that it is this one.
///
/// # Errors
/// When it is not there, has another GUID, or the kernel has it elsewhere.
pub fn find(sys: &Path, partition: &PartitionRef) -> anyhow::Result<TableEntry> {
    let path = Path::new(&partition.disk);
    let mut device = Device::read_only(path)?;
    let entry = entry(&mut device, partition)?;
    partitions::check(sys, path, &entry, device.sector())?;
    Ok(entry)
}

/// The entry of a partition in the disk's table.
///
/// # Errors
/// When it is not there or has another GUID.
pub fn entry(device: &mut Device, partition: &PartitionRef) -> anyhow::Result<TableEntry> {
    let path = Path::new(&partition.disk);
    let table = read(device, path)?.table();
    let entry = table.partitions.into_iter().find(|entry| entry.number == partition.number);
    let entry = entry.with_context(|| format!("{} has no partition {}", path.display(), partition.number))?;
    ensure!(
        entry.guid == partition.guid,
        "{} has the GUID {}, not {}",
        partition.path(),
        entry.guid,
        partition.guid
    );
    Ok(entry)
}

pub(super) fn read(device: &mut Device, path: &Path) -> anyhow::Result<gpt::Gpt> {
    let found =
        gpt::read(device).with_context(|| format!("reading the partition table of {}", path.display()))?;
    found.ok_or_else(|| anyhow!("{} has no valid GPT", path.display()))
}

pub(super) fn lock(device: &Device, path: &Path) -> anyhow::Result<()> {
    rustix::fs::flock(device.file(), FlockOperation::LockExclusive)
        .with_context(|| format!("locking {}", path.display()))
}

/// What to zero: the signatures of each partition and of each gap between `start` and `end`, but
/// nothing of the partitions in `keep`. Sorted, and without overlaps.
fn wipes(table: &Table, keep: &[u32], sector: u64, start: u64, end: u64) -> Vec<(u64, u64)> {
    let mut borders = vec![start, end];
    borders
        .extend(table.partitions.iter().flat_map(|entry| [entry.first * sector, (entry.last + 1) * sector]));
    borders.sort_unstable();
    borders.dedup();
    let kept = kept_spans(table, keep, sector);
    let spans = borders.windows(2).map(|pair| (pair[0], pair[1])).filter(|span| is_free(*span, &kept));
    spans.flat_map(|(from, to)| signatures(from, to)).collect()
}

/// First byte and end of the partitions in `keep`.
fn kept_spans(table: &Table, keep: &[u32], sector: u64) -> Vec<(u64, u64)> {
    let kept = table.partitions.iter().filter(|entry| keep.contains(&entry.number));
    kept.map(|entry| (entry.first * sector, (entry.last + 1) * sector)).collect()
}

fn is_free((from, to): (u64, u64), kept: &[(u64, u64)]) -> bool {
    kept.iter().all(|(first, end)| to <= *first || *end <= from)
}

/// Where signatures may be in these bytes: at both ends, and where btrfs has its copies.
fn signatures(from: u64, to: u64) -> Vec<(u64, u64)> {
    let length = to - from;
    if length <= WIPE_START + WIPE_END {
        return vec![(from, to)];
    }
    let copies = BTRFS_COPIES.iter().filter(|at| *at + BTRFS_BLOCK <= length - WIPE_END);
    let copies = copies.map(|at| (from + at, from + at + BTRFS_BLOCK));
    std::iter::once((from, from + WIPE_START)).chain(copies).chain([(to - WIPE_END, to)]).collect()
}

/// Wipes the signatures of a device that nobody uses.
///
/// # Errors
/// When something uses it, or it fails.
pub fn wipe(path: &Path) -> anyhow::Result<()> {
    let mut device = Device::exclusive(path)?;
    for (from, to) in signatures(0, device.size()) {
        zero(&mut device, from, to)
            .with_context(|| format!("wiping bytes {from} to {to} of {}", path.display()))?;
    }
    device.flush().with_context(|| format!("flushing {}", path.display()))
}

/// Writes zeroes from one byte to another, exclusive.
///
/// # Errors
/// The device's.
pub(super) fn zero(device: &mut dyn Block, from: u64, to: u64) -> std::io::Result<()> {
    let zeroes = vec![0; CHUNK as usize];
    let mut at = from;
    while at < to {
        let length = (to - at).min(CHUNK);
        device.write(at, &zeroes[..length as usize])?;
        at += length;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn superblocks_of_btrfs_within_a_partition() {
        const MIB: u64 = 1 << 20;
        let ends = |to: u64| [(3 * MIB, 8 * MIB), (to - 2 * MIB, to)];
        let copy = (67 * MIB, 67 * MIB + 4096);
        assert_eq!(signatures(3 * MIB, 69 * MIB), ends(69 * MIB), "what is at the end is zeroed with it");
        let [start, end] = ends(70 * MIB);
        assert_eq!(signatures(3 * MIB, 70 * MIB), [start, copy, end]);
        let far = (256 << 30) + 3 * MIB;
        let [start, end] = ends(far + 9 * MIB);
        assert_eq!(signatures(3 * MIB, far + 9 * MIB), [start, copy, (far, far + 4096), end]);
    }

    #[test]
    fn wipes_both_ends_of_partitions_and_gaps() {
        const MIB: u64 = 1 << 20;
        let entry = |number, first: u64, last: u64| TableEntry {
            number,
            kind: Uuid::from_u128(1),
            guid: Uuid::from_u128(number.into()),
            first: first * MIB / 512,
            last: last * MIB / 512 - 1,
            label: String::new(),
            attributes: 0,
        };
        let table = Table { guid: Uuid::nil(), partitions: vec![entry(1, 1, 2), entry(5, 2, 50)] };
        let expected = [(17408, MIB), (MIB, 2 * MIB), (2 * MIB, 7 * MIB), (48 * MIB, 50 * MIB)];
        let gap = [(50 * MIB, 55 * MIB), (62 * MIB, 64 * MIB)];
        assert_eq!(wipes(&table, &[], 512, 17408, 64 * MIB), [&expected[..], &gap[..]].concat());
        let others = [(17408, MIB), (MIB, 2 * MIB)];
        assert_eq!(wipes(&table, &[5], 512, 17408, 64 * MIB), [&others[..], &gap[..]].concat());
    }
}
