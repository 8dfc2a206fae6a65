//! GPT arithmetic: where partitions go on a disk. UEFI 2.10, section 5.3. Which of the old ones stay is [`kept`]'s, what
//! goes where between them [`gaps`]'.

mod gaps;
mod kept;

use std::collections::BTreeMap;

use nii::v1::{Disk, Partition};
use thiserror::Error;
use uuid::Uuid;

use crate::facts::{self, Table, TableEntry};
use crate::ids::{self, Kind};
use crate::journal;
use crate::units::{MIB, human};
use gaps::Gap;
use kept::Kept;

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
    /// A partition does not fit beside those that are kept.
    #[error("{disk} has no room for partition `{label}` of {} beside those that are kept", human(*size))]
    NoRoom {
        /// The disk.
        disk: String,
        /// The partition's label.
        label: String,
        /// Its bytes.
        size: u64,
    },
    /// A partition that is to be kept is not there.
    #[error(
        "{disk} has no partition {by}, which is to be kept; its partitions: {there}; take `preserve` away to have it made"
    )]
    NothingToKeep {
        /// The disk.
        disk: String,
        /// What it was looked for by.
        by: String,
        /// The partitions that are there.
        there: String,
    },
    /// Which partition is to be kept is not certain.
    #[error(
        "{disk} has several partitions {by}: {candidates}; only one can be kept: say which by the number or the GUID in \
         `found_by`"
    )]
    Ambiguous {
        /// The disk.
        disk: String,
        /// What they were looked for by.
        by: String,
        /// The partitions that match.
        candidates: String,
    },
    /// One partition is to be kept as two.
    #[error("partition {number} of {disk} cannot be kept as `{other}` and as `{label}`")]
    Twice {
        /// The disk.
        disk: String,
        /// The partition's number.
        number: u32,
        /// One label in the NII.
        label: String,
        /// The other.
        other: String,
    },
    /// What is to be kept cannot be kept.
    #[error("partition `{label}` of {disk} cannot be kept: {why}")]
    Unsound {
        /// The disk.
        disk: String,
        /// The partition's label in the NII.
        label: String,
        /// What is wrong with its entry.
        why: &'static str,
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

/// A new table, and which of its entries were on the disk before and stay as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The table.
    pub table: Table,
    /// Numbers of the partitions that are kept.
    pub keep: Vec<u32>,
    /// Numbers of all partitions by their labels in the NII; the GPT name of one that is kept may be another.
    numbers: BTreeMap<String, u32>,
}

impl Layout {
    /// The entry of the partition that the NII labels so.
    pub fn entry(&self, label: &str) -> Option<&TableEntry> {
        let number = self.numbers.get(label)?;
        self.table.partitions.iter().find(|entry| entry.number == *number)
    }

    /// The NII's label of the partition with this number.
    pub fn label(&self, number: u32) -> Option<&str> {
        self.numbers.iter().find(|(_, known)| **known == number).map(|(label, _)| label.as_str())
    }
}

/// The marks of an install on its disks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks<'a> {
    /// The disk with the partition of this label gets the journal's partition.
    pub journal: Option<&'a str>,
    /// The partition of this label is marked as in progress.
    pub in_progress: Option<&'a str>,
}

impl<'a> Marks<'a> {
    /// Both, for a root that is a partition.
    pub fn of_root(root: Option<&'a str>) -> Self {
        Self { journal: root, in_progress: root }
    }
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

/// The new table of a disk, in steps of one MiB. Partitions that are kept stay what and where they are, with their numbers,
/// names, GUIDs and attributes; the others get the free numbers in the NII's order.
///
/// Those of a fixed size go into the first gap between the kept ones that takes them. Those that grow share what is left
/// of a gap by their weights, none of them with less than its `size_mib`; which of several gaps one goes to is decided
/// by where it gets most, the heaviest first. The journal's partition, if the disk is to have it, comes last.
///
/// # Errors
/// The partitions do not fit, what is to be kept is not certain, or the disk is not one that camphor can partition.
pub fn lay_out(
    wanted: &Disk,
    disk: &facts::Disk,
    arming: Uuid,
    marks: Marks<'_>,
) -> Result<Layout, TableError> {
    if ![512, 4096].contains(&disk.sector) {
        return Err(TableError::Sector { disk: disk.path.clone(), sector: disk.sector });
    }
    let kept = kept::find(wanted, disk)?;
    let pieces = pieces(wanted, arming, marks);
    if pieces.len() + kept.len() > ENTRIES as usize {
        return Err(TableError::TooMany(pieces.len() + kept.len()));
    }
    let mut gaps = gaps::between(&kept, disk);
    if kept.is_empty() {
        fits_alone(&pieces, &gaps, disk)?;
    }
    gaps::place(&pieces, &mut gaps, disk)?;
    let guid = match &disk.table {
        Some(old) if !kept.is_empty() => old.guid,
        _ => ids::of(arming, Kind::Disk, &wanted.name),
    };
    let keep: Vec<u32> = kept.iter().map(|kept| kept.entry.number).collect();
    let mut free = (1..).filter(|number| !keep.contains(number));
    let mut spans: Vec<(usize, u64, u64)> = gaps.iter().flat_map(Gap::spans).collect();
    spans.sort_unstable();
    let align = MIB / u64::from(disk.sector);
    let made = spans.into_iter().zip(&mut free).map(|((index, from, to), number)| {
        let Piece { label, kind, guid, attributes, .. } = pieces[index];
        let (first, last) = (from * align, to * align - 1);
        Kept {
            entry: TableEntry { number, kind, guid, first, last, label: label.into(), attributes },
            label: label.into(),
        }
    });
    let all: Vec<Kept> = made.chain(kept).collect();
    let numbers = all.iter().map(|one| (one.label.clone(), one.entry.number)).collect();
    let mut partitions: Vec<TableEntry> = all.into_iter().map(|one| one.entry).collect();
    partitions.sort_by_key(|entry| entry.number);
    Ok(Layout { table: Table { guid, partitions }, keep, numbers })
}

/// A partition that is to be made.
#[derive(Clone, Copy)]
struct Piece<'a> {
    label: &'a str,
    kind: Uuid,
    guid: Uuid,
    attributes: u64,
    /// Its size in MiB; if it grows, the least.
    least: u64,
    /// Its share of what remains; 0 for a fixed size.
    weight: u32,
}

fn pieces<'a>(wanted: &'a Disk, arming: Uuid, marks: Marks<'_>) -> Vec<Piece<'a>> {
    let made = wanted.partitions.iter().filter(|partition| !partition.preserve);
    let derived = |label: &str| ids::of(arming, Kind::Partition, label);
    let piece = |partition: &'a Partition| {
        let marked = marks.in_progress == Some(&partition.label);
        Piece {
            label: &partition.label,
            kind: if marked { journal::IN_PROGRESS } else { partition.kind.guid() },
            guid: partition.guid.unwrap_or_else(|| derived(&partition.label)),
            attributes: partition.attributes.iter().fold(0, |bits, attribute| bits | attribute.bit()),
            least: partition.size_mib.unwrap_or(1),
            weight: partition.weight.unwrap_or_else(|| u32::from(partition.size_mib.is_none())),
        }
    };
    let mut pieces: Vec<Piece<'_>> = made.map(piece).collect();
    if marks.journal.is_some_and(|label| wanted.partitions.iter().any(|p| p.label == label)) {
        pieces.push(Piece {
            label: journal::LABEL,
            kind: journal::PARTITION,
            guid: derived(journal::LABEL),
            attributes: 0,
            least: journal::SIZE / MIB,
            weight: 0,
        });
    }
    pieces
}

/// Without anything to keep, the size that a disk must have says more than the piece that found no room.
fn fits_alone(pieces: &[Piece<'_>], gaps: &[Gap], disk: &facts::Disk) -> Result<(), TableError> {
    // Far above any disk, and far enough below u64::MAX that nothing overflows in bytes.
    let least = pieces.iter().map(|piece| piece.least).fold(0, u64::saturating_add).min(1 << 40);
    if gaps.iter().map(Gap::free).sum::<u64>() >= least {
        return Ok(());
    }
    Err(TableError::TooSmall { disk: disk.path.clone(), needs: (least + 2) * MIB, has: disk.size })
}
