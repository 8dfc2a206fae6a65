//! Names that something on a disk has which stays as it is: two groups, or two arrays, of one name make the next boot a
//! matter of luck.

use nii::Finding;
use nii::v1::Storage;

use crate::disks::{self, Planned};
use crate::facts::{Content, Disk, Facts};

/// A finding for each group and each array that the NII makes anew, and that there would be twice.
pub(crate) fn taken(facts: &Facts, storage: &Storage, planned: &[Planned<'_>], out: &mut Vec<Finding>) {
    let stays = |disk: &Disk, content: &Content| match planned.iter().find(|p| p.disk.path == disk.path) {
        Some(planned) => content.partition.is_some_and(|number| planned.layout.keep.contains(&number)),
        None => true,
    };
    let staying =
        facts.disks.iter().flat_map(|disk| disk.contents.iter().map(move |content| (disk, content)));
    let staying: Vec<(&Disk, &Content)> = staying.filter(|(disk, content)| stays(disk, content)).collect();
    let mut refuse = |kind: &str, what: &str, name: &str, path: String| {
        let is_it =
            |content: &Content| content.kind == kind && content.label.as_deref().map(own) == Some(name);
        if let Some((disk, content)) = staying.iter().find(|(_, content)| is_it(content)) {
            let place = content.partition.map(|number| format!("partition {number} of ")).unwrap_or_default();
            let serial = disk.serial.as_deref().unwrap_or("unknown");
            let message = format!(
                "{place}{} (serial {serial}), which stays as it is, has {what} `{name}` already: two of one name make the \
                 next boot a matter of luck. Wipe that disk, or take another name",
                disk.path
            );
            out.push(Finding::error(path, message));
        }
    };
    for (i, group) in storage.volume_groups.iter().enumerate().filter(|(_, group)| !group.preserve) {
        refuse("LVM2_member", "a volume group", &group.name, format!("storage.volume_groups[{i}].name"));
    }
    for (i, array) in storage.raid.iter().enumerate().filter(|(_, array)| !array.preserve) {
        refuse("linux_raid_member", "an array", &array.name, format!("storage.raid[{i}].name"));
    }
}

/// A warning for each group and each array that loses a member, and has another on a disk that the install does not touch.
pub(crate) fn straddling(facts: &Facts, planned: &[Planned<'_>], out: &mut Vec<Finding>) {
    let planned_at = |disk: &Disk| planned.iter().find(|p| p.disk.path == disk.path);
    let members = |disk: &'_ Disk| -> Vec<(String, Option<u32>)> {
        let id = |content: &Content| match content.kind.as_str() {
            "LVM2_member" => Some(format!("volume group `{}`", content.label.as_ref()?)),
            "linux_raid_member" => {
                let name = content.label.as_deref().map(own).unwrap_or_default();
                Some(format!("array `{name}` ({})", content.uuid.as_ref()?))
            }
            _ => None,
        };
        disk.contents.iter().filter_map(|content| Some((id(content)?, content.partition))).collect()
    };
    let is_lost = |disk: &Disk, number: Option<u32>| match (planned_at(disk), number) {
        (Some(planned), Some(number)) => !planned.layout.keep.contains(&number),
        (planned, _) => planned.is_some(),
    };
    for disk in facts.disks.iter().filter(|disk| planned_at(disk).is_none()) {
        for (what, _) in members(disk) {
            let loses = |other: &&Disk| {
                members(other).iter().any(|(name, number)| *name == what && is_lost(other, *number))
            };
            if let Some(other) = facts.disks.iter().find(loses) {
                let message = format!(
                    "{what} has a part on {}, which the NII does not select, and loses the part on {}",
                    disks::describe(disk),
                    other.path
                );
                out.push(Finding::warning("storage.disks", message));
            }
        }
    }
}

/// md's names have the machine that made the array before them, as in `n001:root`; LVM's have no colon.
fn own(label: &str) -> &str {
    label.rsplit_once(':').map_or(label, |(_, name)| name)
}
