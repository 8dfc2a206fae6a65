//! Kusu's partition rows in camphor's words.
//!
//! Disk numbers count from 1: they become the `number` of a disk, which is refused where the partitions do not fit on
//! it, so that no disk without rows is taken in its place. Rows name no partition, so labels are made of mount points,
//! the same each time: a partition with `preserve` is found again by its label on a disk that camphor partitioned. What
//! a GPT needs to boot and the rows cannot say is added.

use std::collections::BTreeMap;

use super::PartitionRow;
use crate::finding::Finding;
use crate::v1::{
    Disk, DiskSelect, Filesystem, Format, LogicalVolume, Partition, PartitionType, Storage, VolumeGroup,
};

type Out<'a> = &'a mut Vec<Finding>;

pub(super) fn storage(rows: &[PartitionRow], out: Out<'_>) -> Storage {
    let mut layout = Layout::default();
    for (i, row) in rows.iter().enumerate() {
        let path = format!("nodeinfo.partition[{i}]");
        let options = options(&row.options);
        match kind(row, &options) {
            Kind::Rule => rule(row, &options, &path, out),
            Kind::Group => layout.group(row, &options, &path, out),
            Kind::Volume => layout.volume(row, &options, &path, out),
            Kind::Physical => layout.physical(row, &options, &path, out),
            Kind::Partition => layout.partition(row, &options, &path, out),
        }
    }
    layout.finish()
}

enum Kind {
    Rule,
    Group,
    Volume,
    Physical,
    Partition,
}

fn kind(row: &PartitionRow, options: &Options<'_>) -> Kind {
    let has = |name: &str| options.contains_key(name);
    if has("partitionID") || has("preserveDefault") {
        Kind::Rule
    } else if has("lv") {
        Kind::Volume
    } else if has("pv") || row.fstype.trim() == "physical volume" {
        Kind::Physical
    } else if options.get("vg").is_some_and(|value| value.is_empty()) {
        Kind::Group
    } else {
        Kind::Partition
    }
}

/// `pv;vg=NAME`: words, some with a value.
type Options<'a> = BTreeMap<&'a str, &'a str>;

fn options(text: &str) -> Options<'_> {
    let words = text.split(';').map(str::trim).filter(|word| !word.is_empty());
    words
        .map(|word| word.split_once('=').map_or((word, ""), |(key, value)| (key.trim(), value.trim())))
        .collect()
}

/// Other disks and partitions than those named are a matter of labels here: what is not named is not on the disk any more.
fn rule(row: &PartitionRow, options: &Options<'_>, path: &str, out: Out<'_>) {
    let all = options.get("preserveDefault") == Some(&"all");
    let none = options.contains_key("preserveDefault") && !all;
    if all || (kept(row) && !none) {
        let message = "keeps partitions that no row names, and camphor finds what it keeps by its label: give each a row with \
                       `preserve`; disks that no row names are left alone";
        out.push(Finding::error(format!("{path}.options"), message));
    }
}

fn kept(row: &PartitionRow) -> bool {
    row.preserve.trim() == "1"
}

#[derive(Default)]
struct Layout {
    /// By number of the disk, then of the partition.
    disks: BTreeMap<u32, BTreeMap<u32, Partition>>,
    storage: Storage,
}

impl Layout {
    fn group(&mut self, row: &PartitionRow, options: &Options<'_>, path: &str, out: Out<'_>) {
        let extent_mib = options.get("extent").and_then(|extent| mebibytes(extent));
        if extent_mib.is_none() && options.contains_key("extent") {
            out.push(Finding::error(format!("{path}.options"), "has no `extent` such as `32M`"));
        }
        let group = VolumeGroup {
            name: row.device.trim().into(),
            devices: Vec::new(),
            extent_mib,
            preserve: kept(row),
        };
        self.storage.volume_groups.push(group);
    }

    fn volume(&mut self, row: &PartitionRow, options: &Options<'_>, path: &str, out: Out<'_>) {
        let name = row.device.trim().to_owned();
        let group = options.get("vg").copied().unwrap_or_default().to_owned();
        let size_mib = size(row, options, path, out);
        self.filesystem(row, &format!("{group}/{name}"), options, path, out);
        self.storage.logical_volumes.push(LogicalVolume {
            name,
            group,
            size_mib,
            preserve: kept(row),
            ..LogicalVolume::default()
        });
    }

    fn physical(&mut self, row: &PartitionRow, options: &Options<'_>, path: &str, out: Out<'_>) {
        let Some((disk, number)) = place(row, path, out) else { return };
        let label = self.free_label(&format!("pv{disk}-{number}"));
        let group = options.get("vg").copied().unwrap_or_default();
        match self.storage.volume_groups.iter_mut().find(|known| known.name == group) {
            Some(known) => known.devices.push(label.clone()),
            None => {
                // The row of the group may come later.
                let devices = vec![label.clone()];
                let name = group.to_owned();
                self.storage.volume_groups.push(VolumeGroup {
                    name,
                    devices,
                    extent_mib: None,
                    preserve: false,
                });
            }
        }
        let size_mib = size(row, options, path, out);
        self.add(
            disk,
            number,
            Partition {
                label,
                kind: PartitionType::Lvm,
                size_mib,
                preserve: kept(row),
                ..Partition::default()
            },
            path,
            out,
        );
    }

    fn partition(&mut self, row: &PartitionRow, options: &Options<'_>, path: &str, out: Out<'_>) {
        let Some((disk, number)) = place(row, path, out) else { return };
        let mount = row.mntpnt.trim();
        let is_swap = format(&row.fstype) == Some(Format::Swap);
        let (wanted, kind) = match mount {
            _ if is_swap => ("swap".to_owned(), PartitionType::Swap),
            "/" => ("root".to_owned(), PartitionType::Root),
            "/boot" => ("boot".to_owned(), PartitionType::Xbootldr),
            "/boot/efi" => ("esp".to_owned(), PartitionType::Esp),
            "/home" => ("home".to_owned(), PartitionType::Home),
            "" => (format!("part{disk}-{number}"), PartitionType::Linux),
            other => (other.trim_matches('/').replace('/', "-"), PartitionType::Linux),
        };
        let label = self.free_label(&wanted);
        let size_mib = size(row, options, path, out);
        self.filesystem(row, &label, options, path, out);
        self.add(
            disk,
            number,
            Partition { label, kind, size_mib, preserve: kept(row), ..Partition::default() },
            path,
            out,
        );
    }

    fn add(&mut self, disk: u32, number: u32, partition: Partition, path: &str, out: Out<'_>) {
        if self.disks.entry(disk).or_default().insert(number, partition).is_some() {
            let message = format!("disk {disk} has two partitions with the number {number}");
            out.push(Finding::error(format!("{path}.partition"), message));
        }
    }

    fn free_label(&self, wanted: &str) -> String {
        let taken =
            |label: &str| self.disks.values().flat_map(BTreeMap::values).any(|known| known.label == label);
        let numbered = (2..).map(|n| format!("{wanted}-{n}"));
        std::iter::once(wanted.to_owned()).chain(numbered).find(|label| !taken(label)).unwrap_or_default()
    }

    fn filesystem(
        &mut self,
        row: &PartitionRow,
        device: &str,
        options: &Options<'_>,
        path: &str,
        out: Out<'_>,
    ) {
        let fstype = row.fstype.trim();
        let mount = Some(row.mntpnt.trim()).filter(|mount| mount.starts_with('/')).map(str::to_owned);
        let Some(format) = format(fstype) else {
            // What is kept and not mounted needs no format.
            if mount.is_some() || !(fstype.is_empty() || kept(row)) {
                let message =
                    format!("`{fstype}` is none of ext2, ext3, ext4, xfs, fat16, fat32, linux-swap");
                out.push(Finding::error(format!("{path}.fstype"), message));
            }
            return;
        };
        if ["ext2", "ext3"].contains(&fstype) && !kept(row) {
            out.push(Finding::warning(format!("{path}.fstype"), format!("{fstype} is made as ext4")));
        }
        let label = options.get("label").filter(|label| !label.is_empty()).map(|label| (*label).to_owned());
        self.storage.filesystems.push(Filesystem {
            device: device.to_owned(),
            format,
            preserve: kept(row),
            label,
            mount: mount.filter(|_| format != Format::Swap),
            ..Filesystem::default()
        });
    }

    fn finish(mut self) -> Storage {
        self.merge_groups();
        self.keep_below();
        let disks = std::mem::take(&mut self.disks).into_iter().map(|(number, partitions)| Disk {
            name: format!("disk{number}"),
            select: DiskSelect { number: Some(number), ..DiskSelect::default() },
            wipe: None,
            partitions: partitions.into_values().collect(),
        });
        self.storage.disks = disks.collect();
        self.storage
    }

    /// A group may have come up by its members first, and then by its own row.
    fn merge_groups(&mut self) {
        let mut merged: Vec<VolumeGroup> = Vec::new();
        for group in std::mem::take(&mut self.storage.volume_groups) {
            match merged.iter_mut().find(|known| known.name == group.name) {
                Some(known) => {
                    known.devices.extend(group.devices);
                    known.extent_mib = known.extent_mib.or(group.extent_mib);
                    known.preserve |= group.preserve;
                }
                None => merged.push(group),
            }
        }
        self.storage.volume_groups = merged;
    }

    /// A volume that is kept keeps its group, and that its physical volumes.
    fn keep_below(&mut self) {
        for group in &mut self.storage.volume_groups {
            let members = |p: &&mut Partition| group.devices.contains(&p.label);
            let mut members: Vec<&mut Partition> =
                self.disks.values_mut().flat_map(BTreeMap::values_mut).filter(members).collect();
            let volumes = self.storage.logical_volumes.iter().filter(|volume| volume.group == group.name);
            group.preserve |= volumes.into_iter().any(|volume| volume.preserve)
                || members.iter().any(|member| member.preserve);
            members.iter_mut().for_each(|member| member.preserve = group.preserve);
        }
    }
}

/// The numbers of disk and partition.
fn place(row: &PartitionRow, path: &str, out: Out<'_>) -> Option<(u32, u32)> {
    if row.device.trim() == "N" {
        let message =
            "spans all disks of the machine: name the disks by their numbers, so that no other is wiped";
        out.push(Finding::error(format!("{path}.device"), message));
        return None;
    }
    let number = |text: &str| text.trim().parse::<u32>().ok().filter(|number| *number > 0);
    let disk = number(&row.device);
    if disk.is_none() {
        let message = format!("`{}` is no number of a disk, from 1", row.device);
        out.push(Finding::error(format!("{path}.device"), message));
    }
    let partition = number(&row.partition);
    if partition.is_none() {
        let message = format!("`{}` is no number of a partition, from 1", row.partition);
        out.push(Finding::error(format!("{path}.partition"), message));
    }
    disk.zip(partition)
}

fn size(row: &PartitionRow, options: &Options<'_>, path: &str, out: Out<'_>) -> Option<u64> {
    if options.contains_key("fill") {
        return None;
    }
    let size = row.size.trim().parse::<u64>().ok().filter(|size| *size > 0);
    if size.is_none() && !kept(row) {
        let message = format!("`{}` is no size in MB, and the options have no `fill`", row.size);
        out.push(Finding::error(format!("{path}.size"), message));
    }
    size
}

/// `32M`, `1G`, `32768K`; a bare number is MB.
fn mebibytes(text: &str) -> Option<u32> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u32 = digits.parse().ok()?;
    match text[digits.len()..].to_uppercase().as_str() {
        "" | "M" | "MB" => Some(number),
        "G" | "GB" => number.checked_mul(1024),
        "K" | "KB" => Some(number / 1024),
        _ => None,
    }
}

fn format(fstype: &str) -> Option<Format> {
    match fstype.trim() {
        "ext2" | "ext3" | "ext4" => Some(Format::Ext4),
        "xfs" => Some(Format::Xfs),
        "fat16" | "fat32" | "vfat" => Some(Format::Vfat),
        "linux-swap" | "swap" => Some(Format::Swap),
        _ => None,
    }
}
