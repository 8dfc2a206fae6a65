//! `preserve`: what is kept needs what it is on to be kept, and what is kept is not formatted.

use super::Out;
use crate::Finding;
use crate::v1::{Device, Disk, FoundBy, LogicalVolume, Nii, Storage, Wipe};

pub(super) fn preserve(nii: &Nii, out: Out<'_>) {
    let storage = &nii.storage;
    storage.disks.iter().enumerate().for_each(|(i, disk)| on_disk(disk, &format!("storage.disks[{i}]"), out));
    for (i, array) in storage.raid.iter().enumerate() {
        let path = format!("storage.raid[{i}]");
        below(storage, (&array.name, array.preserve), &array.devices, &path, out);
    }
    for (i, group) in storage.volume_groups.iter().enumerate() {
        let path = format!("storage.volume_groups[{i}]");
        below(storage, (&group.name, group.preserve), &group.devices, &path, out);
    }
    for (i, luks) in storage.luks.iter().enumerate() {
        let message = match (is_kept(storage, &luks.device), luks.preserve) {
            (Some(false), true) => format!("`{}` is made anew: set its `preserve`, too", luks.device),
            (Some(true), false) => {
                format!("`{}` is kept: set `preserve` here, too, or it would be encrypted anew", luks.device)
            }
            _ => continue,
        };
        out.push(Finding::error(format!("storage.luks[{i}].preserve"), message));
    }
    for (i, volume) in storage.logical_volumes.iter().enumerate() {
        let group = storage.volume_groups.iter().find(|group| group.name == volume.group);
        if volume.preserve && group.is_some_and(|group| !group.preserve) {
            let message =
                format!("the volume group `{}` is made anew: set its `preserve`, too", volume.group);
            out.push(Finding::error(format!("storage.logical_volumes[{i}].preserve"), message));
        }
        let is_pool =
            |other: &&LogicalVolume| other.group == volume.group && volume.pool.as_ref() == Some(&other.name);
        if let Some(pool) = storage.logical_volumes.iter().find(is_pool)
            && volume.preserve
            && !pool.preserve
        {
            let message = format!("its pool `{}` is made anew: set its `preserve`, too", pool.name);
            out.push(Finding::error(format!("storage.logical_volumes[{i}].preserve"), message));
        }
    }
    for (i, filesystem) in storage.filesystems.iter().enumerate() {
        let path = format!("storage.filesystems[{i}].preserve");
        let device = &filesystem.device;
        match (is_kept(storage, device), filesystem.preserve) {
            (Some(false), true) => {
                out.push(Finding::error(path, format!("`{device}` is made anew: set its `preserve`, too")));
            }
            (Some(true), false) => {
                let message =
                    format!("`{device}` is kept: set `preserve` here, too, or it would be formatted");
                out.push(Finding::error(path, message));
            }
            (_, true) if filesystem.mounts().any(|mount| mount.path == "/") => {
                let message = "`/` cannot be kept: a new system does not mix with the old one's files";
                out.push(Finding::error(path, message));
            }
            _ => {}
        }
    }
}

/// The disk's own command spares nothing, and what is kept is one partition each.
fn on_disk(disk: &Disk, path: &str, out: Out<'_>) {
    let kept = disk.partitions.iter().enumerate().filter(|(_, partition)| partition.preserve);
    if disk.wipe == Some(Wipe::Secure)
        && let Some((_, partition)) = kept.clone().next()
    {
        let message = format!("erases the whole disk, and `{}` on it is to be kept", partition.label);
        out.push(Finding::error(format!("{path}.wipe"), message));
    }
    let mut found: Vec<(&FoundBy, &str)> = Vec::new();
    for (j, partition) in kept {
        let Some(by) = &partition.found_by else { continue };
        if let Some((_, other)) = found.iter().find(|(other, _)| *other == by) {
            let message = format!("`{other}` is found by the same");
            out.push(Finding::error(format!("{path}.partitions[{j}].found_by"), message));
        }
        found.push((by, &partition.label));
    }
}

/// What an array or a group is made of is kept if it is, and only then.
fn below(storage: &Storage, (name, kept): (&str, bool), devices: &[String], path: &str, out: Out<'_>) {
    for (j, device) in devices.iter().enumerate() {
        let message = match (kept, is_kept(storage, device)) {
            (true, Some(false)) => {
                format!("`{name}` is kept and `{device}` made anew: set its `preserve`, too")
            }
            (false, Some(true)) => {
                format!("`{device}` is kept and `{name}` made anew: set its `preserve`, too")
            }
            _ => continue,
        };
        out.push(Finding::error(format!("{path}.devices[{j}]"), message));
    }
}

fn is_kept(storage: &Storage, device: &str) -> Option<bool> {
    storage.device(device).map(|device| match device {
        Device::Partition(_, partition) => partition.preserve,
        Device::Raid(raid) => raid.preserve,
        Device::Luks(luks) => luks.preserve,
        Device::LogicalVolume(volume) => volume.preserve,
    })
}
