//! The journal's two marks on a disk (CONTRACTS: disk order, journal, GUIDs).
//!
//! While an install is in progress its root partition has the type [`IN_PROGRESS`], which no boot loader, no systemd
//! and no installer knows; commit changes it to the real one, which is the atomic end. Whose install it is stands in
//! a partition of the type [`PARTITION`], as a [`JournalRecord`](crate::facts::JournalRecord).

use uuid::Uuid;

use crate::facts::Disk;

/// GPT type of the root partition until the commit.
pub const IN_PROGRESS: Uuid = Uuid::from_u128(0x51b492de_bfeb_40d8_beda_637f5d601efa);

/// GPT type of the small partition that holds the record.
pub const PARTITION: Uuid = Uuid::from_u128(0x880c1b20_8453_4466_aa3f_9e0150928f4e);

/// GPT name of that partition.
pub const LABEL: &str = "camphor";

/// Size of that partition: two slots, each far larger than a record.
pub const SIZE: u64 = 1 << 20;

/// Whether the install that the disk's record is of is whole. A package install is committed by its record, since anaconda
/// changes the root's type by itself, and so is one whose root is on partitions that are kept; any other by its root's type. A
/// record whose root partition is not on its disk counts as in progress.
pub fn is_committed(disk: &Disk) -> bool {
    let (record, table) = (disk.journal.as_ref(), disk.table.as_ref());
    let entries = table.map_or(&[][..], |table| &table.partitions);
    let root = entries.iter().find(|entry| record.is_some_and(|record| entry.guid == record.root));
    let is_kept = root.is_some_and(|root| root.kind == PARTITION);
    let by_record = record.is_some_and(|record| record.image.is_none()) || is_kept;
    match (by_record, record, root) {
        (true, Some(record), Some(_)) => record.committed,
        (_, _, root) => root.is_some_and(|root| root.kind != IN_PROGRESS),
    }
}
