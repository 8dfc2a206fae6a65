//! GPT arithmetic: where partitions go on a disk. UEFI 2.10, section 5.3.

use nii::v1::{Disk, Partition};
use thiserror::Error;
use uuid::Uuid;

use crate::facts::{self, Table, TableEntry};
use crate::ids::{self, Kind};
use crate::journal;
use crate::units::{MIB, human};

/// Entries that the table has room for; UEFI asks for 16 KiB of them at least, and everybody writes that.
pub const ENTRIES: u32 = 128;
/// Bytes of the entry array.
const ENTRY_BYTES: u64 = 128 * ENTRIES as u64;

/// Why a table cannot be laid out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TableError {
    /// The partitions do not fit.
    #[error("its partitions need a disk of {}, {disk} has {}", human(*needs), human(*has))]
    TooSmall {
        /// The disk.
        disk: String,
        /// Bytes that a disk must have.
        needs: u64,
        /// Bytes that it has.
        has: u64,
    },
    /// No GPT was ever tried with such sectors.
    #[error("{disk} has sectors of {sector} bytes, only 512 and 4096 are supported")]
    Sector {
        /// The disk.
        disk: String,
        /// Its logical sector size.
        sector: u32,
    },
    /// More than a GPT holds.
    #[error("has {0} partitions, a GPT holds {ENTRIES}")]
    TooMany(usize),
}

/// The blocks that partitions may use on a disk of `size` bytes: first and last. `None` for a disk that is smaller
/// than its own table.
pub fn usable(size: u64, sector: u32) -> Option<(u64, u64)> {
    let sector = u64::from(sector);
    let array = ENTRY_BYTES.div_ceil(sector);
    // Protective MBR, header, entries; at the end entries, header.
    let first = 2 + array;
    let last = (size / sector).checked_sub(array + 2)?;
    (first <= last).then_some((first, last))
}

/// The new table of a disk: partitions in the NII's order, numbered from 1, on MiB boundaries, the growing one as big
/// as the rest allows; then the journal's partition, if the disk is to have it. `root` is the label of the root
/// partition, which is marked as in progress.
///
/// # Errors
/// The partitions do not fit, or the disk is not one that camphor can partition.
pub fn lay_out(
    wanted: &Disk,
    disk: &facts::Disk,
    arming: Uuid,
    root: Option<&str>,
) -> Result<Table, TableError> {
    if ![512, 4096].contains(&disk.sector) {
        return Err(TableError::Sector { disk: disk.path.clone(), sector: disk.sector });
    }
    let journal = root.is_some_and(|root| wanted.partitions.iter().any(|p| p.label == root));
    let count = wanted.partitions.len() + usize::from(journal);
    if count > ENTRIES as usize {
        return Err(TableError::TooMany(count));
    }
    let align = MIB / u64::from(disk.sector);
    let has = usable(disk.size, disk.sector).map_or(0, |(_, last)| (last + 1) / align);
    let least = minimum_mib(wanted, journal);
    if has < least {
        let needs = (least * MIB).saturating_add(MIB);
        return Err(TableError::TooSmall { disk: disk.path.clone(), needs, has: disk.size });
    }
    let mut table =
        Table { guid: ids::of(arming, Kind::Disk, &wanted.name), partitions: Vec::with_capacity(count) };
    let mut next = align;
    for partition in &wanted.partitions {
        // A growing partition was counted as 1 MiB.
        let mib = partition.size_mib.unwrap_or(has - least + 1);
        let kind = if root == Some(&partition.label) { journal::IN_PROGRESS } else { partition.kind.guid() };
        next = push(&mut table, arming, &partition.label, kind, next, mib * align);
    }
    if journal {
        push(&mut table, arming, journal::LABEL, journal::PARTITION, next, journal::SIZE / MIB * align);
    }
    Ok(table)
}

/// The least MiB before the backup table: the first is lost to alignment and a growing partition gets one.
fn minimum_mib(wanted: &Disk, journal: bool) -> u64 {
    let size = |partition: &Partition| partition.size_mib.unwrap_or(1);
    let partitions = wanted.partitions.iter().map(size).fold(0u64, u64::saturating_add);
    // Far above any disk, and far enough below u64::MAX that nothing overflows in bytes.
    partitions.min(1 << 40) + 1 + if journal { journal::SIZE / MIB } else { 0 }
}

/// Adds an entry of `blocks` at `first`; returns where the next begins.
fn push(table: &mut Table, arming: Uuid, label: &str, kind: Uuid, first: u64, blocks: u64) -> u64 {
    let number = table.partitions.last().map_or(1, |entry| entry.number + 1);
    let guid = ids::of(arming, Kind::Partition, label);
    let last = first + blocks - 1;
    table.partitions.push(TableEntry { number, kind, guid, first, last, label: label.into() });
    last + 1
}
