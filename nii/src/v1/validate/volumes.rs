//! `storage.raid`, `storage.volume_groups`, `storage.logical_volumes`: what is made of partitions.

use std::collections::{BTreeMap, BTreeSet};

use super::Out;
use super::words::is_name;
use crate::Finding;
use crate::v1::{Device, Filesystem, Format, LogicalVolume, Nii, PartitionType, Raid, RaidLevel, Storage};

pub(super) fn volumes(nii: &Nii, out: Out<'_>) {
    let storage = &nii.storage;
    let mut used = Used::default();
    raid(storage, &mut used, out);
    groups(storage, &mut used, out);
    logical(storage, out);
    unused(storage, &used, out);
}

/// What each device is used for already.
#[derive(Default)]
struct Used<'a>(BTreeMap<&'a str, String>);

impl<'a> Used<'a> {
    fn take(&mut self, device: &'a str, path: String, by: &str, out: Out<'_>) {
        if let Some(by) = self.0.get(device) {
            out.push(Finding::error(path, format!("`{device}` is used by {by} already")));
        } else {
            self.0.insert(device, by.to_owned());
        }
    }
}

fn raid<'a>(storage: &'a Storage, used: &mut Used<'a>, out: Out<'_>) {
    let mut names = BTreeSet::new();
    for (i, array) in storage.raid.iter().enumerate() {
        let path = format!("storage.raid[{i}]");
        if !is_name(&array.name) || array.name.len() > 32 {
            // The name field of md's superblock 1.x has 32 bytes.
            let message = "must be letters, digits, `-`, `_` and `.`, 1 to 32 of them";
            out.push(Finding::error(format!("{path}.name"), message));
        }
        if !names.insert(&array.name) || storage.partition(&array.name).is_some() {
            let message = format!("another array or a partition is named `{}`", array.name);
            out.push(Finding::error(format!("{path}.name"), message));
        }
        members(array, &path, out);
        for (j, device) in array.devices.iter().enumerate() {
            let path = format!("{path}.devices[{j}]");
            match storage.partition(device) {
                Some((_, partition)) if is_member(partition.kind, storage, array) => {
                    used.take(device, path, &format!("the array `{}`", array.name), out);
                }
                Some(_) => {
                    out.push(Finding::error(path, format!("`{device}` must have the type `raid`")));
                }
                None => {
                    out.push(Finding::error(path, format!("no disk has a partition labelled `{device}`")));
                }
            }
        }
    }
}

/// Firmware looks for its loader on partitions of type `esp`, and reads a mirror of vfat with its metadata at the end as if
/// it were none. anaconda wants `raid` even there, and sets the type itself.
fn is_member(kind: PartitionType, storage: &Storage, array: &Raid) -> bool {
    let vfat = |filesystem: &Filesystem| filesystem.device == array.name && filesystem.format == Format::Vfat;
    let esp = array.level == RaidLevel::Raid1 && storage.filesystems.iter().any(vfat);
    kind == PartitionType::Raid || kind == PartitionType::Esp && esp
}

/// md(4): how many members each level needs at least, without spares.
fn members(array: &Raid, path: &str, out: Out<'_>) {
    let (least, level) = match array.level {
        RaidLevel::Raid0 => (2, "raid0"),
        RaidLevel::Raid1 => (2, "raid1"),
        RaidLevel::Raid5 => (3, "raid5"),
        RaidLevel::Raid6 => (4, "raid6"),
        RaidLevel::Raid10 => (4, "raid10"),
    };
    let spares = usize::try_from(array.spares).unwrap_or(usize::MAX);
    if array.devices.len().saturating_sub(spares) < least {
        let message = format!("{level} needs at least {least} partitions, and the spares come on top");
        out.push(Finding::error(format!("{path}.devices"), message));
    }
    if array.level == RaidLevel::Raid0 && array.spares > 0 {
        out.push(Finding::error(format!("{path}.spares"), "raid0 has no redundancy, and so no spares"));
    }
}

fn groups<'a>(storage: &'a Storage, used: &mut Used<'a>, out: Out<'_>) {
    let mut names = BTreeSet::new();
    for (i, group) in storage.volume_groups.iter().enumerate() {
        let path = format!("storage.volume_groups[{i}]");
        lvm_name(&group.name, &format!("{path}.name"), out);
        if !names.insert(&group.name) {
            let message = format!("another volume group is named `{}`", group.name);
            out.push(Finding::error(format!("{path}.name"), message));
        }
        if group.extent_mib.is_some_and(|extent| !extent.is_power_of_two() || extent > 16 << 10) {
            let message = "must be a power of two, 1 to 16384 MiB";
            out.push(Finding::error(format!("{path}.extent_mib"), message));
        }
        if group.devices.is_empty() {
            out.push(Finding::error(
                format!("{path}.devices"),
                "is empty: a volume group needs one at least",
            ));
        }
        for (j, device) in group.devices.iter().enumerate() {
            let path = format!("{path}.devices[{j}]");
            let message = match storage.device(device) {
                Some(Device::Partition(_, partition)) if partition.kind != PartitionType::Lvm => {
                    format!("`{device}` must have the type `lvm`")
                }
                Some(Device::Partition(..) | Device::Raid(_) | Device::Luks(_)) => {
                    used.take(device, path, &format!("the volume group `{}`", group.name), out);
                    continue;
                }
                Some(Device::LogicalVolume(_)) => format!("`{device}` is a logical volume itself"),
                None => format!("there is no partition or array `{device}`"),
            };
            out.push(Finding::error(path, message));
        }
    }
}

fn logical(storage: &Storage, out: Out<'_>) {
    let mut names = BTreeSet::new();
    let mut growing = BTreeSet::new();
    for (i, volume) in storage.logical_volumes.iter().enumerate() {
        let LogicalVolume { name, group, size_mib, preserve, .. } = volume;
        let path = format!("storage.logical_volumes[{i}]");
        lvm_name(name, &format!("{path}.name"), out);
        if !names.insert((group, name)) {
            out.push(Finding::error(
                format!("{path}.name"),
                format!("`{group}` has another volume `{name}`"),
            ));
        }
        if !storage.volume_groups.iter().any(|known| known.name == *group) {
            out.push(Finding::error(format!("{path}.group"), format!("there is no volume group `{group}`")));
        }
        match size_mib {
            Some(0) => out.push(Finding::error(format!("{path}.size_mib"), "must be at least 1")),
            None if !preserve && !growing.insert(group) => {
                let message = "only one volume of a group may be without size_mib and take what remains";
                out.push(Finding::error(format!("{path}.size_mib"), message));
            }
            _ => {}
        }
    }
}

/// lvm(8), "VALID NAMES".
fn lvm_name(name: &str, path: &str, out: Out<'_>) {
    let right = |c: char| c.is_ascii_alphanumeric() || "+_.-".contains(c);
    let reserved = [".", "..", "snapshot", "pvmove"];
    let inner = [
        "_cdata", "_cmeta", "_corig", "_mlog", "_mimage", "_pmspare", "_rimage", "_rmeta", "_tdata",
        "_tmeta", "_vorigin",
    ];
    let fits = (1..=64).contains(&name.len()) && name.chars().all(right) && !name.starts_with('-');
    if !fits || reserved.contains(&name) || inner.iter().any(|part| name.contains(part)) {
        let message =
            "must be letters, digits, `+`, `_`, `.` and `-`, 1 to 64 of them, and no name of LVM's own";
        out.push(Finding::error(path, message));
    }
}

/// A partition for RAID or LVM that nothing is made of.
fn unused(storage: &Storage, used: &Used<'_>, out: Out<'_>) {
    for (i, disk) in storage.disks.iter().enumerate() {
        for (j, partition) in disk.partitions.iter().enumerate() {
            let for_volumes = matches!(partition.kind, PartitionType::Raid | PartitionType::Lvm);
            if for_volumes && !partition.preserve && !used.0.contains_key(partition.label.as_str()) {
                let message = "no array and no volume group uses it";
                out.push(Finding::warning(format!("storage.disks[{i}].partitions[{j}].type"), message));
            }
        }
    }
}
