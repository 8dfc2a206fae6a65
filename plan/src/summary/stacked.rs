//! What is between partitions and file systems, and what is on top: arrays, encrypted devices, volumes, subvolumes, tmpfs.

use nii::v1::{Filesystem, Format, LogicalVolume, Luks, Raid, Storage};

use super::Row;
use crate::facts::Facts;
use crate::stack::inside;
use crate::stack::room::Sizes;

/// Volumes that are removed from groups that stay.
pub(super) fn lost(facts: &Facts, storage: &Storage) -> Vec<Row> {
    let is_kept = |name: &str| storage.volume_groups.iter().any(|group| group.preserve && group.name == name);
    let anew = storage.logical_volumes.iter().filter(|volume| !volume.preserve && is_kept(&volume.group));
    let row = |volume: &LogicalVolume| {
        let label = format!("{}/{}", volume.group, volume.name);
        let Some(group) = inside::known(facts, &volume.group) else {
            let what = "the volume of this name, if there is one: the group cannot be read yet".into();
            return Some(Row { number: None, label, bytes: None, what });
        };
        let there = group.volumes.iter().find(|there| there.name == volume.name)?;
        let bytes = Some(there.extents * group.extent).filter(|bytes| *bytes > 0);
        Some(Row { number: None, label, bytes, what: "volume".into() })
    };
    anew.filter_map(row).collect()
}

/// Arrays, encrypted devices and volumes that are `kept`, or else those that are made, and what is in RAM. The sizes of what
/// is kept are on the disks.
pub(super) fn rows(sizes: &Sizes<'_>, kept: bool) -> Vec<Row> {
    let storage = sizes.storage;
    let row = |label: String, what: String| {
        let bytes = Some(sizes.bytes(&label)).filter(|bytes| !kept && *bytes > 0);
        Row { number: None, label, bytes, what }
    };
    let arrays = storage.raid.iter().filter(|raid| raid.preserve == kept);
    let arrays = arrays.map(|raid| row(raid.name.clone(), array(storage, raid)));
    let luks = storage.luks.iter().filter(|luks| luks.preserve == kept);
    let luks = luks.map(|luks| row(luks.name.clone(), encrypted(storage, luks)));
    let volumes = storage.logical_volumes.iter().filter(|volume| volume.preserve == kept);
    let volumes = volumes.map(|lv| row(format!("{}/{}", lv.group, lv.name), volume(storage, lv)));
    let is_in_ram = |filesystem: &&Filesystem| !kept && filesystem.format == Format::Tmpfs;
    let in_ram = storage.filesystems.iter().filter(is_in_ram).map(tmpfs);
    arrays.chain(luks).chain(volumes).chain(in_ram).collect()
}

fn array(storage: &Storage, raid: &Raid) -> String {
    format!("{} of {}: {}", raid.level.name(), raid.devices.join(", "), use_of(storage, &raid.name))
}

fn encrypted(storage: &Storage, luks: &Luks) -> String {
    format!("LUKS2 on {}: {}", luks.device, use_of(storage, &luks.name))
}

fn volume(storage: &Storage, volume: &LogicalVolume) -> String {
    let name = format!("{}/{}", volume.group, volume.name);
    match (&volume.pool, volume.thin_pool) {
        (_, true) => "pool for thin volumes".to_owned(),
        (Some(pool), false) => format!("thin volume in pool {pool}: {}", use_of(storage, &name)),
        (None, false) => format!("volume: {}", use_of(storage, &name)),
    }
}

/// The kernel's limit without the option `size` is half of the RAM.
fn tmpfs(filesystem: &Filesystem) -> Row {
    let size = filesystem.mount_options.iter().find(|option| option.starts_with("size="));
    let limit = size.map_or("half of the RAM at most".to_owned(), Clone::clone);
    let mount = filesystem.mount.as_deref().unwrap_or_default();
    let what = format!("files in RAM on {mount}, {limit}");
    Row { number: None, label: "tmpfs".into(), bytes: None, what }
}

/// What a device is for: `ext4 on /`, `in array root`.
pub(super) fn use_of(storage: &Storage, device: &str) -> String {
    let used = filesystem(storage, device).or_else(|| member(storage, device));
    used.unwrap_or_else(|| "left empty".into())
}

fn filesystem(storage: &Storage, device: &str) -> Option<String> {
    let is_on = |filesystem: &&Filesystem| filesystem.device == device && filesystem.format != Format::Tmpfs;
    let filesystem = storage.filesystems.iter().find(is_on)?;
    let on = |mount: &Option<String>| mount.as_ref().map(|path| format!(" on {path}")).unwrap_or_default();
    let mut text = format!("{}{}", filesystem.format.name(), on(&filesystem.mount));
    if filesystem.preserve {
        text.push_str(", kept");
    }
    let subvolumes = filesystem.subvolumes.iter();
    let subvolumes: Vec<String> = subvolumes.map(|sub| format!("{}{}", sub.name, on(&sub.mount))).collect();
    if !subvolumes.is_empty() {
        text.push_str(&format!(", subvolumes {}", subvolumes.join(", ")));
    }
    Some(text)
}

/// What it is a part of.
fn member(storage: &Storage, device: &str) -> Option<String> {
    let is_it = |name: &String| name == device;
    let array = storage.raid.iter().find(|raid| raid.devices.iter().any(is_it));
    let luks = storage.luks.iter().find(|luks| is_it(&luks.device));
    let group = storage.volume_groups.iter().find(|group| group.devices.iter().any(is_it));
    let array = array.map(|array| format!("in array {}", array.name));
    let luks = luks.map(|luks| format!("encrypted as {}", luks.name));
    array.or(luks).or_else(|| Some(format!("in volume group {}", group?.name)))
}
