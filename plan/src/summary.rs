//! What an install does to the disks, as a person asks: what is lost, what is kept, what is made. It is read off the
//! same layouts that the ops are made from.

mod stacked;

use std::fmt;

use nii::v1::{PartitionType, Storage, StorageMode, Wipe};
use serde::Serialize;
use uuid::Uuid;

use crate::complete::{Completed, complete};
use crate::disks::{self, Planned};
use crate::facts::{Content, Facts, TableEntry};
use crate::journal;
use crate::package::marks;
use crate::stack::room::Sizes;
use crate::table::Marks;
use crate::teardown;
use crate::units::human;

/// All disks of a machine, before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Those that the NII selects, in its order.
    pub disks: Vec<DiskSummary>,
    /// What the kernel holds of them and is let go first, in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub released: Vec<String>,
    /// What is on partitions that are kept and will be gone: volumes that are made anew in their group.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stacked_lost: Vec<Row>,
    /// What is on their partitions and stays as it is: arrays, encrypted devices, volumes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stacked_kept: Vec<Row>,
    /// What is made of their partitions: arrays, encrypted devices, volumes; and files in RAM.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stacked: Vec<Row>,
    /// The others: path, size, and what tells them apart.
    pub untouched: Vec<String>,
}

/// One disk that is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DiskSummary {
    /// Its name in the NII.
    pub name: String,
    /// Kernel path, size, and what tells it apart.
    pub disk: String,
    /// How all of it but what is kept is made unreadable, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wipe: Option<Wipe>,
    /// What is there now and will be gone.
    pub lost: Vec<Row>,
    /// What stays as it is.
    pub kept: Vec<Row>,
    /// What is made.
    pub made: Vec<Row>,
}

/// One partition, array, encrypted device, volume or tmpfs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The partition's number; `None` for all else.
    pub number: Option<u32>,
    /// Its label or name.
    pub label: String,
    /// Its bytes; `None` where only LVM or md know.
    pub bytes: Option<u64>,
    /// What it holds or will hold.
    pub what: String,
}

/// Sums up. A disk that is not certain is left out, and its plan is refused.
pub fn summary(facts: &Facts, storage: &Storage, arming: Uuid) -> Summary {
    let Completed { storage, added } = complete(facts, storage);
    let storage = &*storage;
    let marks = if storage.mode == StorageMode::Camphor { marks(storage) } else { Marks::default() };
    let planned = disks::plan(facts, storage, arming, marks, &mut Vec::new());
    let others = facts.disks.iter().filter(|disk| planned.iter().all(|p| p.disk.path != disk.path));
    let untouched = others.map(disks::describe).collect();
    let sizes = Sizes { storage, disks: &planned };
    let stacked_lost = stacked::lost(facts, storage);
    let (stacked_kept, stacked) = (stacked::rows(&sizes, true), stacked::rows(&sizes, false));
    let disks = planned.iter().map(|planned| one(planned, storage, &added)).collect();
    let released = match storage.mode {
        StorageMode::Camphor => teardown::ops(facts, storage, &planned, &mut Vec::new()),
        // anaconda takes apart what it finds.
        StorageMode::Anaconda => Vec::new(),
    };
    let released = released.iter().map(ToString::to_string).collect();
    Summary { disks, released, stacked_lost, stacked_kept, stacked, untouched }
}

fn one(planned: &Planned<'_>, storage: &Storage, added: &[String]) -> DiskSummary {
    let Planned { wanted, disk, layout } = planned;
    let is_kept = |number: u32| layout.keep.contains(&number);
    let bytes = |entry: &TableEntry| (entry.last - entry.first + 1) * u64::from(disk.sector);
    let found = |number: Option<u32>| disk.contents.iter().find(|content| content.partition == number);
    let old = |entry: &TableEntry| Row {
        number: Some(entry.number),
        label: entry.label.clone(),
        bytes: Some(bytes(entry)),
        what: found(Some(entry.number)).map_or("nothing known".to_owned(), holds),
    };
    let stays = |entry: &TableEntry| {
        let row = old(entry);
        match layout.label(entry.number).filter(|label| **label != entry.label) {
            Some(label) => Row { what: format!("{}, the NII's `{label}`", row.what), ..row },
            None => row,
        }
    };
    let (kept, lost): (Vec<&TableEntry>, Vec<&TableEntry>) =
        disk.table.iter().flat_map(|table| &table.partitions).partition(|entry| is_kept(entry.number));
    let made = layout.table.partitions.iter().filter(|entry| !is_kept(entry.number)).map(|entry| Row {
        number: Some(entry.number),
        label: entry.label.clone(),
        bytes: Some(bytes(entry)),
        what: match added.contains(&entry.label) {
            true => {
                format!("{}; added, since the machine boots by {}", purpose(entry, storage), firmware(entry))
            }
            false => purpose(entry, storage),
        },
    });
    DiskSummary {
        name: wanted.name.clone(),
        disk: disks::describe(disk),
        wipe: wanted.wipe,
        lost: match disk.table {
            Some(_) => lost.into_iter().map(old).chain(found(None).map(whole)).collect(),
            None => disk.contents.iter().map(whole).collect(),
        },
        kept: kept.into_iter().map(stays).collect(),
        made: made.collect(),
    }
}

/// What lies on a disk as a whole, or on one without a GPT.
fn whole(content: &Content) -> Row {
    Row {
        number: content.partition,
        label: content.label.clone().unwrap_or_default(),
        bytes: Some(content.size),
        what: holds(content),
    }
}

/// `ext4 \`data\`, 1.2 GiB in use`.
fn holds(content: &Content) -> String {
    let label = content.label.as_ref().map(|label| format!(" `{label}`")).unwrap_or_default();
    let used = content.used.map(|used| format!(", {} in use", human(used))).unwrap_or_default();
    format!("{}{label}{used}", content.kind)
}

/// What a new partition is for.
fn purpose(entry: &TableEntry, storage: &Storage) -> String {
    if entry.kind == journal::PARTITION {
        return "whose install this is".into();
    }
    match storage.partition(&entry.label).map(|(_, partition)| partition.kind) {
        Some(PartitionType::BiosBoot) => "the boot loader's core (BIOS)".into(),
        _ => stacked::use_of(storage, &entry.label),
    }
}

/// The firmware that a partition was added for.
fn firmware(entry: &TableEntry) -> &'static str {
    if entry.kind == PartitionType::Esp.guid() { "UEFI" } else { "BIOS" }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.released.iter().try_for_each(|what| writeln!(f, "let go: {what}"))?;
        for disk in &self.disks {
            writeln!(f, "disk {}: {}", disk.name, disk.disk)?;
            match disk.wipe {
                Some(Wipe::Zero) => writeln!(f, "  zeroes are written over all but what is kept")?,
                Some(Wipe::Discard) => writeln!(f, "  all but what is kept is discarded")?,
                Some(Wipe::Secure) => writeln!(f, "  it erases itself")?,
                None => {}
            }
            if disk.lost.is_empty() {
                writeln!(f, "  lost  nothing that is known")?;
            }
            for (verb, rows) in [("lost", &disk.lost), ("kept", &disk.kept), ("made", &disk.made)] {
                rows.iter().try_for_each(|row| writeln!(f, "  {verb}  {row}"))?;
            }
        }
        self.stacked_lost.iter().try_for_each(|row| writeln!(f, "  lost  {row}"))?;
        self.stacked_kept.iter().try_for_each(|row| writeln!(f, "  kept  {row}"))?;
        self.stacked.iter().try_for_each(|row| writeln!(f, "  made  {row}"))?;
        self.untouched.iter().try_for_each(|disk| writeln!(f, "not touched: {disk}"))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.number.map(|number| number.to_string()).unwrap_or_default();
        let bytes = self.bytes.map(human).unwrap_or_default();
        let label = self.label.as_str();
        write!(f, "{number:>3}  {label:<16} {bytes:>9}  {}", self.what)
    }
}
