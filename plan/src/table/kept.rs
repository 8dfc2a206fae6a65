//! Which partitions of a disk stay. A wrong one kept is a right one lost: whatever is not certain is refused.

use nii::v1::{Disk, FoundBy, Partition};

use super::{ENTRIES, TableError, usable};
use crate::facts::{self, TableEntry};
use crate::journal;

/// A partition that stays.
pub(super) struct Kept {
    /// Its entry, as it is.
    pub entry: TableEntry,
    /// Its label in the NII; its GPT name may be another.
    pub label: String,
}

/// The partitions that are to be kept, by their place on the disk.
pub(super) fn find(wanted: &Disk, disk: &facts::Disk) -> Result<Vec<Kept>, TableError> {
    let mut kept: Vec<Kept> = Vec::new();
    for partition in wanted.partitions.iter().filter(|partition| partition.preserve) {
        let label = partition.label.clone();
        let entry = one(partition, disk)?;
        if let Some(other) = kept.iter().find(|kept| kept.entry.number == entry.number) {
            let (disk, other) = (disk.path.clone(), other.label.clone());
            return Err(TableError::Twice { disk, number: entry.number, label, other });
        }
        kept.push(Kept { entry, label });
    }
    kept.sort_by_key(|kept| kept.entry.first);
    sound(&kept, disk)?;
    Ok(kept)
}

/// The one entry that is meant.
fn one(partition: &Partition, disk: &facts::Disk) -> Result<TableEntry, TableError> {
    let entries = disk.table.as_ref().map_or(&[][..], |table| &table.partitions);
    let matching: Vec<&TableEntry> =
        entries.iter().filter(|entry| is_meant(partition, entry, disk)).collect();
    let with_guid = matches!(partition.found_by, Some(FoundBy::Guid(_)));
    let (path, by) = (disk.path.clone(), described(partition));
    match matching[..] {
        [entry] => Ok(entry.clone()),
        [] => {
            let there = list(&entries.iter().collect::<Vec<_>>(), disk, with_guid);
            Err(TableError::NothingToKeep { disk: path, by, there })
        }
        _ => {
            let candidates = list(&matching, disk, with_guid);
            Err(TableError::Ambiguous { disk: path, by, candidates })
        }
    }
}

fn is_meant(partition: &Partition, entry: &TableEntry, disk: &facts::Disk) -> bool {
    match &partition.found_by {
        None => entry.label == partition.label,
        Some(FoundBy::Number(number)) => entry.number == *number,
        Some(FoundBy::Guid(guid)) => entry.guid == *guid,
        Some(FoundBy::FilesystemLabel(label)) => {
            // These have labels, and are no file systems.
            let stacked = ["linux_raid_member", "crypto_LUKS", "LVM2_member"];
            disk.contents.iter().any(|content| {
                content.partition == Some(entry.number)
                    && content.label.as_ref() == Some(label)
                    && !stacked.contains(&content.kind.as_str())
            })
        }
    }
}

/// What the NII knows it by, as in "no partition ...".
fn described(partition: &Partition) -> String {
    let label = &partition.label;
    match &partition.found_by {
        None => format!("labelled `{label}`"),
        Some(FoundBy::Number(number)) => format!("{number} (the NII's `{label}`)"),
        Some(FoundBy::Guid(guid)) => format!("with the GUID {guid} (the NII's `{label}`)"),
        Some(FoundBy::FilesystemLabel(name)) => {
            format!("with a file system labelled `{name}` (the NII's `{label}`)")
        }
    }
}

/// `1 \`esp\` (vfat \`EFI\`), 2 \`data\``.
fn list(entries: &[&TableEntry], disk: &facts::Disk, with_guid: bool) -> String {
    let one = |entry: &&TableEntry| {
        let mut text = format!("{} `{}`", entry.number, entry.label);
        if with_guid {
            text.push_str(&format!(" {}", entry.guid));
        }
        if let Some(content) = disk.contents.iter().find(|content| content.partition == Some(entry.number)) {
            let label = content.label.as_ref().map(|label| format!(" `{label}`")).unwrap_or_default();
            text.push_str(&format!(" ({}{label})", content.kind));
        }
        text
    };
    match (entries, &disk.table) {
        (_, None) => "no GPT".into(),
        ([], _) => "none".into(),
        _ => entries.iter().map(one).collect::<Vec<_>>().join(", "),
    }
}

/// What the writer of the table, or firmware, would refuse must be known before anything is destroyed.
fn sound(kept: &[Kept], disk: &facts::Disk) -> Result<(), TableError> {
    let (mut from, to) = usable(disk.size, disk.sector).unwrap_or((1, 0));
    for (i, Kept { entry, label }) in kept.iter().enumerate() {
        let why = if entry.first < from || entry.last < entry.first || entry.last > to {
            "its blocks are outside of the disk or another's as well"
        } else if entry.number > ENTRIES {
            "its number is higher than those of a new table"
        } else if entry.guid.is_nil() || kept[..i].iter().any(|other| other.entry.guid == entry.guid) {
            "its GUID is zero or another's as well"
        } else if entry.kind == journal::PARTITION {
            "it is camphor's own, which each install makes anew"
        } else {
            from = entry.last + 1;
            continue;
        };
        return Err(TableError::Unsound { disk: disk.path.clone(), label: label.clone(), why });
    }
    Ok(())
}
