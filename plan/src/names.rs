//! Names that something on a disk has which stays as it is: two groups, or two arrays, of one name make the next boot a
//! matter of luck.

use nii::Finding;
use nii::v1::Storage;

use crate::disks::Planned;
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

/// md's names have the machine that made the array before them, as in `n001:root`; LVM's have no colon.
pub(crate) fn own(label: &str) -> &str {
    label.rsplit_once(':').map_or(label, |(_, name)| name)
}
