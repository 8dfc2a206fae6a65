//! What an install does to the disks, as a person asks: what is lost, what is kept, what is made. It is read off the
//! same layouts that the ops are made from.

use std::fmt;

use nii::v1::{PartitionType, Storage, StorageMode, Wipe};
use serde::Serialize;
use uuid::Uuid;

use crate::complete::{Completed, complete};
use crate::disks::{self, Planned};
use crate::facts::{Content, Disk, Facts, TableEntry};
use crate::journal;
use crate::package::marks;
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
    /// What is made of their partitions: arrays, then volumes.
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

/// One partition, array or volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The partition's number; `None` for all else.
    pub number: Option<u32>,
    /// Its label or name.
    pub label: String,
    /// Its bytes; `None` where only LVM or md will know.
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
    let disks = planned.iter().map(|planned| one(planned, storage, &added)).collect();
    let released = match storage.mode {
        StorageMode::Camphor => teardown::ops(facts, &planned, &mut Vec::new()),
        // anaconda takes apart what it finds.
        StorageMode::Anaconda => Vec::new(),
    };
    let released = released.iter().map(ToString::to_string).collect();
    Summary { disks, released, stacked: stacked(storage), untouched }
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
        lost: if disk.table.is_some() { lost.into_iter().map(old).collect() } else { without_table(disk) },
        kept: kept.into_iter().map(stays).collect(),
        made: made.collect(),
    }
}

/// What lies on a disk without a GPT, which is lost as a whole.
fn without_table(disk: &Disk) -> Vec<Row> {
    let row = |content: &Content| Row {
        number: content.partition,
        label: content.label.clone().unwrap_or_default(),
        bytes: Some(content.size),
        what: holds(content),
    };
    disk.contents.iter().map(row).collect()
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
    let arrays = storage.raid.iter().filter(|raid| raid.devices.contains(&entry.label));
    let groups = storage.volume_groups.iter().filter(|group| group.devices.contains(&entry.label));
    let member = arrays
        .map(|raid| format!("in array {}", raid.name))
        .chain(groups.map(|group| format!("in volume group {}", group.name)))
        .next();
    let kind = storage.partition(&entry.label).map(|(_, partition)| partition.kind);
    match (filesystem(storage, &entry.label), member, kind) {
        (Some(filesystem), _, _) => filesystem,
        (None, Some(member), _) => member,
        (None, None, Some(PartitionType::BiosBoot)) => "the boot loader's core (BIOS)".into(),
        (None, None, _) => "left empty".into(),
    }
}

/// The firmware that a partition was added for.
fn firmware(entry: &TableEntry) -> &'static str {
    if entry.kind == PartitionType::Esp.guid() { "UEFI" } else { "BIOS" }
}

/// `ext4 on /`; none if the device holds no file system.
fn filesystem(storage: &Storage, device: &str) -> Option<String> {
    let filesystem = storage.filesystems.iter().find(|filesystem| filesystem.device == device)?;
    let place = filesystem.mount.as_ref().map(|path| format!(" on {path}")).unwrap_or_default();
    let kept = if filesystem.preserve { ", kept" } else { "" };
    Some(format!("{}{place}{kept}", filesystem.format.name()))
}

fn stacked(storage: &Storage) -> Vec<Row> {
    let in_group = |name: &str| {
        let group =
            storage.volume_groups.iter().find(|group| group.devices.iter().any(|device| device == name));
        group.map(|group| format!("in volume group {}", group.name))
    };
    let arrays = storage.raid.iter().map(|raid| {
        let holds = filesystem(storage, &raid.name).or_else(|| in_group(&raid.name));
        let kept = if raid.preserve { ", kept" } else { "" };
        Row {
            number: None,
            label: raid.name.clone(),
            bytes: None,
            what: format!(
                "array{kept} of {}: {}",
                raid.devices.join(", "),
                holds.unwrap_or("left empty".into())
            ),
        }
    });
    let volumes = storage.logical_volumes.iter().map(|volume| {
        let name = format!("{}/{}", volume.group, volume.name);
        let holds = filesystem(storage, &name).unwrap_or("left empty".into());
        let kept = if volume.preserve { ", kept" } else { "" };
        let bytes = volume.size_mib.map(|mib| mib.saturating_mul(crate::units::MIB));
        Row { number: None, label: name, bytes, what: format!("volume{kept}: {holds}") }
    });
    arrays.chain(volumes).collect()
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
