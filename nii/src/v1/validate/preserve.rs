//! `preserve`: what is kept needs what it is on to be kept, and what is kept is not formatted.

use super::Out;
use crate::Finding;
use crate::v1::{Device, Nii, Storage};

pub(super) fn preserve(nii: &Nii, out: Out<'_>) {
    let storage = &nii.storage;
    for (i, array) in storage.raid.iter().enumerate() {
        let path = format!("storage.raid[{i}]");
        below(storage, (&array.name, array.preserve), &array.devices, &path, out);
    }
    for (i, group) in storage.volume_groups.iter().enumerate() {
        let path = format!("storage.volume_groups[{i}]");
        below(storage, (&group.name, group.preserve), &group.devices, &path, out);
    }
    for (i, volume) in storage.logical_volumes.iter().enumerate() {
        let group = storage.volume_groups.iter().find(|group| group.name == volume.group);
        if volume.preserve && group.is_some_and(|group| !group.preserve) {
            let message =
                format!("the volume group `{}` is made anew: set its `preserve`, too", volume.group);
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
            (_, true) if filesystem.mount.as_deref() == Some("/") => {
                let message = "`/` cannot be kept: a new system does not mix with the old one's files";
                out.push(Finding::error(path, message));
            }
            _ => {}
        }
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
