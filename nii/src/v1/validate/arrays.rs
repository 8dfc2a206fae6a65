//! `storage.raid`.

use std::collections::BTreeMap;

use super::Out;
use super::stack::Used;
use super::words::is_name;
use crate::Finding;
use crate::v1::{Filesystem, Format, PartitionType, Raid, RaidLevel, Storage};

pub(super) fn arrays<'a>(storage: &'a Storage, used: &mut Used<'a>, out: Out<'_>) {
    for (i, array) in storage.raid.iter().enumerate() {
        let path = format!("storage.raid[{i}]");
        if !is_name(&array.name) || array.name.len() > 32 {
            // The name field of md's superblock 1.x has 32 bytes.
            let message = "must be letters, digits, `-`, `_` and `.`, 1 to 32 of them";
            out.push(Finding::error(format!("{path}.name"), message));
        }
        members(array, &path, out);
        for (j, device) in array.devices.iter().enumerate() {
            let path = format!("{path}.devices[{j}]");
            match storage.partition(device).map(|(_, partition)| partition.kind) {
                Some(kind)
                    if kind == PartitionType::Raid
                        || kind == PartitionType::Esp && is_esp(storage, array) =>
                {
                    used.take(device, path, &format!("the array `{}`", array.name), out);
                }
                Some(PartitionType::Esp) => {
                    let message =
                        format!("`{device}` is an ESP: firmware reads one in a raid1 with vfat only");
                    out.push(Finding::error(path, message));
                }
                Some(_) => out.push(Finding::error(path, format!("`{device}` must have the type `raid`"))),
                None => {
                    out.push(Finding::error(path, format!("no disk has a partition labelled `{device}`")));
                }
            }
        }
        one_disk(storage, array, &path, out);
    }
}

/// Whether it can be a mirrored ESP: firmware reads a mirror of vfat with its metadata at the end as if it were none.
fn is_esp(storage: &Storage, array: &Raid) -> bool {
    let vfat = |filesystem: &Filesystem| filesystem.device == array.name && filesystem.format == Format::Vfat;
    array.level == RaidLevel::Raid1 && storage.filesystems.iter().any(vfat)
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

/// Redundancy on one disk is none. The spares are the last of the list.
fn one_disk(storage: &Storage, array: &Raid, path: &str, out: Out<'_>) {
    if array.level == RaidLevel::Raid0 {
        return;
    }
    let spares = usize::try_from(array.spares).unwrap_or(usize::MAX);
    let active = array.devices.len().saturating_sub(spares);
    let mut disks = BTreeMap::new();
    for (j, device) in array.devices.iter().enumerate().take(active) {
        let Some((disk, _)) = storage.partition(device) else { continue };
        if let Some(other) = disks.insert(&disk.name, device).filter(|other| *other != device) {
            let message = format!(
                "`{device}` is on the disk `{}` as `{other}` is: the array may not outlive that disk",
                disk.name
            );
            out.push(Finding::warning(format!("{path}.devices[{j}]"), message));
        }
    }
}
