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
        "{disk} has no partition labelled `{label}`, which is to be kept; take `preserve` away to have it made"
    )]
    NothingToKeep {
        /// The disk.
        disk: String,
        /// The partition's label.
        label: String,
    },
    /// Which partition is to be kept is not certain.
    #[error(
        "{disk} has several partitions labelled `{label}` (numbers {numbers}), and only one can be kept; rename the others"
    )]
    Ambiguous {
        /// The disk.
        disk: String,
        /// Their label.
        label: String,
        /// Their numbers.
        numbers: String,
    },
    /// What is to be kept cannot be kept.
    #[error(
        "partition `{label}` of {disk} cannot be kept: its blocks are outside of the disk or another's as well"
    )]
    Unsound {
        /// The disk.
        disk: String,
        /// The partition's label.
        label: String,
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

/// The new table of a disk. Partitions that are kept stay what and where they are, with their numbers; the others get the
/// free numbers in the NII's order, on MiB boundaries, each in the first gap that takes it, and the growing one the
/// largest gap that is left. The journal's partition, if the disk is to have it, comes last.
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
    let kept = kept(wanted, disk)?;
    let pieces = pieces(wanted, marks);
    if pieces.len() + kept.len() > ENTRIES as usize {
        return Err(TableError::TooMany(pieces.len() + kept.len()));
    }
    let mut gaps = gaps(&kept, disk);
    if kept.is_empty() {
        fits_alone(&pieces, &gaps, disk)?;
    }
    place(&pieces, &mut gaps, disk)?;
    let guid = match &disk.table {
        Some(old) if !kept.is_empty() => old.guid,
        _ => ids::of(arming, Kind::Disk, &wanted.name),
    };
    let keep: Vec<u32> = kept.iter().map(|entry| entry.number).collect();
    let mut numbers = (1..).filter(|number| !keep.contains(number));
    let mut spans: Vec<(usize, u64, u64)> = gaps.iter().flat_map(Gap::spans).collect();
    spans.sort_unstable();
    let align = MIB / u64::from(disk.sector);
    let made = spans.into_iter().zip(&mut numbers).map(|((index, from, to), number)| {
        let Piece { label, kind, .. } = pieces[index];
        let guid = ids::of(arming, Kind::Partition, label);
        TableEntry { number, kind, guid, first: from * align, last: to * align - 1, label: label.into() }
    });
    let mut partitions: Vec<TableEntry> = made.chain(kept).collect();
    partitions.sort_by_key(|entry| entry.number);
    Ok(Layout { table: Table { guid, partitions }, keep })
}

/// A partition that is to be made.
#[derive(Clone, Copy)]
struct Piece<'a> {
    label: &'a str,
    kind: Uuid,
    /// `None` for the growing one.
    mib: Option<u64>,
}

fn pieces<'a>(wanted: &'a Disk, marks: Marks<'_>) -> Vec<Piece<'a>> {
    let made = wanted.partitions.iter().filter(|partition| !partition.preserve);
    let piece = |partition: &'a Partition| {
        let marked = marks.in_progress == Some(&partition.label);
        let kind = if marked { journal::IN_PROGRESS } else { partition.kind.guid() };
        Piece { label: &partition.label, kind, mib: partition.size_mib }
    };
    let mut pieces: Vec<Piece<'_>> = made.map(piece).collect();
    if marks.journal.is_some_and(|label| wanted.partitions.iter().any(|p| p.label == label)) {
        pieces.push(Piece {
            label: journal::LABEL,
            kind: journal::PARTITION,
            mib: Some(journal::SIZE / MIB),
        });
    }
    pieces
}

/// The entries of the partitions that are to be kept. A wrong one kept is a right one lost: whatever is not certain is
/// refused.
fn kept(wanted: &Disk, disk: &facts::Disk) -> Result<Vec<TableEntry>, TableError> {
    let there = disk.table.as_ref().map_or(&[][..], |table| &table.partitions);
    let mut kept: Vec<TableEntry> = Vec::new();
    for partition in wanted.partitions.iter().filter(|partition| partition.preserve) {
        let (disk, label) = (disk.path.clone(), partition.label.clone());
        let matching: Vec<&TableEntry> = there.iter().filter(|entry| entry.label == label).collect();
        match matching[..] {
            [entry] => kept.push(entry.clone()),
            [] => return Err(TableError::NothingToKeep { disk, label }),
            _ => {
                let numbers: Vec<String> = matching.iter().map(|entry| entry.number.to_string()).collect();
                return Err(TableError::Ambiguous { disk, label, numbers: numbers.join(", ") });
            }
        }
    }
    kept.sort_by_key(|entry| entry.first);
    let (mut from, to) = usable(disk.size, disk.sector).unwrap_or((1, 0));
    for entry in &kept {
        if entry.first < from || entry.last < entry.first || entry.last > to || entry.number > ENTRIES {
            return Err(TableError::Unsound { disk: disk.path.clone(), label: entry.label.clone() });
        }
        from = entry.last + 1;
    }
    Ok(kept)
}

/// Free space between partitions that are kept, and what goes there. In MiB.
struct Gap {
    from: u64,
    to: u64,
    /// Index of the piece, and its size.
    pieces: Vec<(usize, u64)>,
}

impl Gap {
    fn free(&self) -> u64 {
        self.to - self.from - self.pieces.iter().map(|(_, mib)| mib).sum::<u64>()
    }

    /// Index, begin and end of its pieces, by index and without space between them.
    fn spans(&self) -> Vec<(usize, u64, u64)> {
        let mut pieces = self.pieces.clone();
        pieces.sort_unstable();
        let mut next = self.from;
        let one = |(index, mib)| {
            next += mib;
            (index, next - mib, next)
        };
        pieces.into_iter().map(one).collect()
    }
}

/// What is free between `kept`, which are in order. The first MiB is lost to the table and to alignment.
fn gaps(kept: &[TableEntry], disk: &facts::Disk) -> Vec<Gap> {
    let align = MIB / u64::from(disk.sector);
    let end = usable(disk.size, disk.sector).map_or(0, |(_, last)| last + 1);
    let starts = std::iter::once(align).chain(kept.iter().map(|entry| entry.last + 1));
    let ends = kept.iter().map(|entry| entry.first).chain(std::iter::once(end));
    let gap = |(from, to): (u64, u64)| Gap {
        from: from.div_ceil(align),
        to: (to / align).max(from.div_ceil(align)),
        pieces: Vec::new(),
    };
    starts.zip(ends).map(gap).collect()
}

/// Without anything to keep, the size that a disk must have says more than the piece that found no room.
fn fits_alone(pieces: &[Piece<'_>], gaps: &[Gap], disk: &facts::Disk) -> Result<(), TableError> {
    // Far above any disk, and far enough below u64::MAX that nothing overflows in bytes.
    let least = pieces.iter().map(|piece| piece.mib.unwrap_or(1)).fold(0, u64::saturating_add).min(1 << 40);
    if gaps.iter().map(Gap::free).sum::<u64>() >= least {
        return Ok(());
    }
    Err(TableError::TooSmall { disk: disk.path.clone(), needs: (least + 2) * MIB, has: disk.size })
}

/// Puts each piece into a gap; the growing one takes what is left of the largest.
fn place(pieces: &[Piece<'_>], gaps: &mut [Gap], disk: &facts::Disk) -> Result<(), TableError> {
    let fixed = pieces.iter().enumerate().filter_map(|(index, piece)| Some((index, piece.mib?)));
    for (index, mib) in fixed {
        match gaps.iter_mut().find(|gap| gap.free() >= mib) {
            Some(gap) => gap.pieces.push((index, mib)),
            None => return Err(no_room(pieces[index], disk)),
        }
    }
    let growing = pieces.iter().enumerate().filter(|(_, piece)| piece.mib.is_none());
    for (index, piece) in growing {
        match gaps.iter_mut().max_by_key(|gap| gap.free()) {
            Some(gap) if gap.free() > 0 => gap.pieces.push((index, gap.free())),
            _ => return Err(no_room(*piece, disk)),
        }
    }
    Ok(())
}

fn no_room(piece: Piece<'_>, disk: &facts::Disk) -> TableError {
    let size = piece.mib.unwrap_or(1).saturating_mul(MIB);
    TableError::NoRoom { disk: disk.path.clone(), label: piece.label.into(), size }
}
