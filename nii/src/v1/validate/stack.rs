//! What lies between partitions and file systems: each name is that of one device, each device is taken once, and
//! nothing is on itself.

use std::collections::{BTreeMap, BTreeSet};

use super::{Out, arrays, luks, lvm};
use crate::Finding;
use crate::v1::{Device, Nii, PartitionType, Storage};

pub(super) fn stack(nii: &Nii, out: Out<'_>) {
    let storage = &nii.storage;
    let mut used = Used::default();
    names(storage, out);
    arrays::arrays(storage, &mut used, out);
    luks::luks(storage, &mut used, out);
    lvm::groups(storage, &mut used, out);
    lvm::volumes(storage, out);
    unused(storage, &used, out);
    luks::keys(nii, out);
}

/// What each device is used for already.
#[derive(Default)]
pub(super) struct Used<'a>(BTreeMap<&'a str, String>);

impl<'a> Used<'a> {
    pub(super) fn take(&mut self, device: &'a str, path: String, by: &str, out: Out<'_>) {
        if let Some(by) = self.0.get(device) {
            out.push(Finding::error(path, format!("`{device}` is used by {by} already")));
        } else {
            self.0.insert(device, by.to_owned());
        }
    }
}

/// What a device of this name is used for, if it is below something that is no file system. A group cannot have a volume,
/// and is told so.
pub(super) fn user(storage: &Storage, name: &str) -> Option<String> {
    let is_it = |device: &String| device == name;
    let array = storage.raid.iter().find(|array| array.devices.iter().any(is_it));
    let luks = storage.luks.iter().find(|luks| is_it(&luks.device));
    let group = storage.volume_groups.iter().find(|group| group.devices.iter().any(is_it));
    let group = group.filter(|_| !name.contains('/'));
    let array = array.map(|array| format!("the array `{}`", array.name));
    let luks = luks.map(|luks| format!("the encrypted device `{}`", luks.name));
    array.or(luks).or_else(|| Some(format!("the volume group `{}`", group?.name)))
}

/// All devices that this one is on, itself among them. A circle ends where it began.
pub(super) fn below<'a>(storage: &'a Storage, name: &'a str) -> Vec<Device<'a>> {
    let (mut found, mut seen, mut names) = (Vec::new(), BTreeSet::new(), vec![name]);
    while let Some(name) = names.pop() {
        let Some(device) = storage.device(name).filter(|_| seen.insert(name)) else { continue };
        match device {
            Device::Partition(..) => {}
            Device::Raid(array) => names.extend(array.devices.iter().map(String::as_str)),
            Device::Luks(luks) => names.push(&luks.device),
            Device::LogicalVolume(volume) => {
                let groups = storage.volume_groups.iter().filter(|group| group.name == volume.group);
                names.extend(groups.flat_map(|group| &group.devices).map(String::as_str));
            }
        }
        found.push(device);
    }
    found
}

/// File systems refer to partitions, arrays and encrypted devices by one name.
fn names(storage: &Storage, out: Out<'_>) {
    let arrays =
        storage.raid.iter().enumerate().map(|(i, array)| (format!("storage.raid[{i}].name"), &array.name));
    let luks =
        storage.luks.iter().enumerate().map(|(i, luks)| (format!("storage.luks[{i}].name"), &luks.name));
    let mut names = BTreeSet::new();
    for (path, name) in arrays.chain(luks) {
        if !names.insert(name) || storage.partition(name).is_some() {
            let message = format!("another array, encrypted device or partition is named `{name}`");
            out.push(Finding::error(path, message));
        }
    }
}

/// A partition for RAID, LVM or LUKS that nothing is made of.
fn unused(storage: &Storage, used: &Used<'_>, out: Out<'_>) {
    for (i, disk) in storage.disks.iter().enumerate() {
        for (j, partition) in disk.partitions.iter().enumerate() {
            let by = match partition.kind {
                PartitionType::Raid => "array",
                PartitionType::Lvm => "volume group",
                PartitionType::Luks => "encrypted device",
                _ => continue,
            };
            if !partition.preserve && !used.0.contains_key(partition.label.as_str()) {
                let path = format!("storage.disks[{i}].partitions[{j}].type");
                out.push(Finding::warning(path, format!("no {by} uses it")));
            }
        }
    }
}
