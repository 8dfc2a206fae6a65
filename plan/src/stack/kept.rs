//! What stands against keeping arrays, encrypted devices and groups: they must be there, be those that are meant, and whole.

use nii::Finding;
use nii::v1::{Device, LogicalVolume, VolumeGroup};
use uuid::Uuid;

use super::check::Out;
use super::{Stack, below, inside};
use crate::facts::Content;
use crate::op::PartitionRef;

/// Against everything that the NII keeps.
pub(super) fn check(stack: &Stack<'_>, out: Out<'_>) {
    there(stack, out);
    groups(stack, out);
    arrays(stack, out);
}

/// What is kept must be there.
fn there(stack: &Stack<'_>, out: Out<'_>) {
    let storage = stack.storage;
    let raid = storage.raid.iter().enumerate().filter(|(_, raid)| raid.preserve);
    for (i, raid) in raid {
        let path = format!("storage.raid[{i}].preserve");
        members(stack, &path, &raid.name, "linux_raid_member", out);
    }
    for (i, luks) in storage.luks.iter().enumerate().filter(|(_, luks)| luks.preserve) {
        if let Some(Device::Partition(..)) = storage.device(&luks.device) {
            let path = format!("storage.luks[{i}].preserve");
            members(stack, &path, &luks.name, "crypto_LUKS", out);
        } else {
            let message = "only an encrypted device that is on a partition can be kept";
            out.push(Finding::error(format!("storage.luks[{i}].preserve"), message));
        }
    }
    for (i, group) in storage.volume_groups.iter().enumerate().filter(|(_, group)| group.preserve) {
        for device in &group.devices {
            if let Some(Device::Partition(..)) = storage.device(device) {
                members(stack, &format!("storage.volume_groups[{i}].preserve"), device, "LVM2_member", out);
            }
        }
    }
}

/// Every partition below a device must hold what it is to be kept with.
fn members(stack: &Stack<'_>, path: &str, name: &str, kind: &str, out: Out<'_>) {
    for label in below(stack.storage, name) {
        let Some(partition) = stack.partition(label) else { continue };
        let found = stack.found(label).map_or("nothing that is known", |content| &content.kind);
        if found != kind {
            let message =
                format!("`{name}` is to be kept: {} must hold {kind}, and holds {found}", partition.path());
            out.push(Finding::error(path, message));
        }
    }
}

/// A group that is kept must be this one, and whole: a member that is not in the list would be wiped, or is missing.
fn groups(stack: &Stack<'_>, out: Out<'_>) {
    let storage = stack.storage;
    for (i, group) in storage.volume_groups.iter().enumerate().filter(|(_, group)| group.preserve) {
        let labels = group.devices.iter().flat_map(|device| below(storage, device));
        let members: Vec<String> =
            labels.filter_map(|label| stack.partition(label)).map(|partition| partition.path()).collect();
        let is_it =
            |content: &Content| content.kind == "LVM2_member" && content.label.as_ref() == Some(&group.name);
        let path = format!("storage.volume_groups[{i}].devices");
        no_other(stack, &is_it, &members, &path, &group.name, out);
        all_of(stack, &is_it, group.devices.len(), &path, &group.name, out);
        for label in group.devices.iter().filter(|name| storage.partition(name).is_some()) {
            let content = stack.found(label).filter(|content| content.kind == "LVM2_member");
            if content.is_some_and(|content| content.label.is_none()) && !stack.was_cut_off() {
                let message = format!(
                    "what LVM says on `{label}` of the group `{}` cannot be read, or it is of no group",
                    group.name
                );
                out.push(Finding::error(format!("storage.volume_groups[{i}].preserve"), message));
            }
            let found = stack.found(label).and_then(|content| content.label.as_deref());
            if let Some(found) = found.filter(|found| *found != group.name) {
                let message = format!("`{label}` belongs to the group `{found}`, not to `{}`", group.name);
                out.push(Finding::error(format!("storage.volume_groups[{i}].name"), message));
            }
        }
        match inside::known(stack.facts, &group.name) {
            Some(known) => inside::check(stack, i, group, known, out),
            None => new_pool(stack, i, group, out),
        }
    }
}

/// What goes with a pool that is made anew, where it is not known what is in the group.
fn new_pool(stack: &Stack<'_>, index: usize, group: &VolumeGroup, out: Out<'_>) {
    let pool = |volume: &&LogicalVolume| volume.group == group.name && volume.thin_pool && !volume.preserve;
    let keeps =
        stack.storage.logical_volumes.iter().any(|v| v.group == group.name && v.preserve && v.pool.is_none());
    if let Some(pool) = stack.storage.logical_volumes.iter().find(pool).filter(|_| keeps) {
        let message = format!(
            "the thin pool `{}` is made anew: a kept volume that is thin would go with it; say which `pool` each is in, or keep it",
            pool.name
        );
        out.push(Finding::warning(format!("storage.volume_groups[{index}]"), message));
    }
}

/// An array that is kept must be one array, whose superblock is known, and all of it.
fn arrays(stack: &Stack<'_>, out: Out<'_>) {
    let storage = stack.storage;
    for (i, raid) in storage.raid.iter().enumerate().filter(|(_, raid)| raid.preserve) {
        let path = format!("storage.raid[{i}].devices");
        let uuids: Vec<Option<&String>> = raid
            .devices
            .iter()
            .map(|label| stack.found(label).and_then(|content| content.uuid.as_ref()))
            .collect();
        let Some(Some(uuid)) = uuids.first().copied() else {
            let message =
                format!("`{}` is to be kept, and the superblock of its first member is not known", raid.name);
            out.push(Finding::error(path, message));
            continue;
        };
        if uuids.iter().any(|other| *other != Some(uuid)) {
            let message = format!("`{}` is to be kept, and its members are not of one array", raid.name);
            out.push(Finding::error(&path, message));
        }
        let members: Vec<String> =
            raid.devices.iter().filter_map(|label| stack.partition(label)).map(|p| p.path()).collect();
        let is_it =
            |content: &Content| content.kind == "linux_raid_member" && content.uuid.as_ref() == Some(uuid);
        no_other(stack, &is_it, &members, &path, &raid.name, out);
        all_of(stack, &is_it, raid.devices.len(), &path, &raid.name, out);
    }
}

/// The list must have as many members as there are by their own account: one that cannot be read, or is on something that
/// nobody started, is not seen.
fn all_of(
    stack: &Stack<'_>,
    is_it: &dyn Fn(&Content) -> bool,
    listed: usize,
    path: &str,
    name: &str,
    out: Out<'_>,
) {
    let contents = stack.facts.disks.iter().flat_map(|disk| &disk.contents);
    let members = contents.filter(|content| is_it(content)).filter_map(|content| content.members).max();
    if let Some(members) = members.filter(|members| *members as usize > listed) {
        let message =
            format!("`{name}` is to be kept, and is made of {members} devices; the list has {listed}");
        out.push(Finding::error(path, message));
    }
}

/// Every partition that is a member must be in the list.
fn no_other(
    stack: &Stack<'_>,
    is_it: &dyn Fn(&Content) -> bool,
    members: &[String],
    path: &str,
    name: &str,
    out: Out<'_>,
) {
    for disk in &stack.facts.disks {
        for content in disk.contents.iter().filter(|content| is_it(content)) {
            let node = match content.partition {
                Some(number) => PartitionRef { disk: disk.path.clone(), number, guid: Uuid::nil() }.path(),
                None => disk.path.clone(),
            };
            if !members.contains(&node) {
                let message =
                    format!("`{name}` is to be kept, and {node} is part of it, which is not in the list");
                out.push(Finding::error(path, message));
            }
        }
    }
}
