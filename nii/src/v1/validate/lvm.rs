//! `storage.volume_groups`, `storage.logical_volumes`.

use std::collections::BTreeSet;

use super::Out;
use super::stack::Used;
use crate::Finding;
use crate::v1::{Device, LogicalVolume, PartitionType, Storage};

pub(super) fn groups<'a>(storage: &'a Storage, used: &mut Used<'a>, out: Out<'_>) {
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

pub(super) fn volumes(storage: &Storage, out: Out<'_>) {
    let mut names = BTreeSet::new();
    let mut growing = BTreeSet::new();
    for (i, volume) in storage.logical_volumes.iter().enumerate() {
        let LogicalVolume { name, group, size_mib, preserve, pool, .. } = volume;
        let path = format!("storage.logical_volumes[{i}]");
        lvm_name(name, &format!("{path}.name"), out);
        if !names.insert((group, name)) {
            let message = format!("`{group}` has another volume `{name}`");
            out.push(Finding::error(format!("{path}.name"), message));
        }
        if !storage.volume_groups.iter().any(|known| known.name == *group) {
            out.push(Finding::error(format!("{path}.group"), format!("there is no volume group `{group}`")));
        }
        match size_mib {
            Some(0) => out.push(Finding::error(format!("{path}.size_mib"), "must be at least 1")),
            None if pool.is_none() && !preserve && !growing.insert(group) => {
                let message = "only one volume of a group may be without size_mib and take what remains";
                out.push(Finding::error(format!("{path}.size_mib"), message));
            }
            _ => {}
        }
        thin(storage, volume, &path, out);
    }
}

/// lvmthin(7): a thin volume is in a pool, and a pool holds nothing else.
fn thin(storage: &Storage, volume: &LogicalVolume, path: &str, out: Out<'_>) {
    let LogicalVolume { name, group, .. } = volume;
    let in_group = |other: &&LogicalVolume| other.group == *group;
    if volume.thin_pool
        && !storage.logical_volumes.iter().filter(in_group).any(|other| other.pool.as_ref() == Some(name))
    {
        let message = "no volume takes its space from this pool";
        out.push(Finding::warning(format!("{path}.thin_pool"), message));
    }
    let Some(pool) = &volume.pool else { return };
    let path_of_pool = format!("{path}.pool");
    if volume.thin_pool {
        out.push(Finding::error(path_of_pool, "a pool is in no pool itself: leave out one of the two"));
        return;
    }
    match storage.logical_volumes.iter().filter(in_group).find(|other| other.name == *pool) {
        None => {
            out.push(Finding::error(path_of_pool, format!("the group `{group}` has no volume `{pool}`")));
        }
        Some(other) if !other.thin_pool => {
            let message = format!("`{pool}` is no pool: set its `thin_pool`");
            out.push(Finding::error(path_of_pool, message));
        }
        Some(_) => {}
    }
    if volume.size_mib.is_none() && !volume.preserve {
        let message =
            "is needed: a thin volume takes what is written to it, and its size is what it seems to have";
        out.push(Finding::error(format!("{path}.size_mib"), message));
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
