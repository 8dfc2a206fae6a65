//! Disks that an earlier attempt of the same arming wrote, and which a plan leaves alone.

use nii::Finding;
use uuid::Uuid;

use crate::facts::{Disk, Facts};
use crate::install::Plan;
use crate::op::Act;

/// A finding for each of them: kernel names change from boot to boot, and ids that are there twice make the next boot a
/// matter of luck.
pub fn leftovers(facts: &Facts, plan: &Plan, arming: Uuid) -> Vec<Finding> {
    let tables = plan.ops("partition").iter().filter_map(|op| match &op.act {
        Act::WriteTable { disk, table, .. } => Some((disk.as_str(), table)),
        _ => None,
    });
    let (selected, tables): (Vec<_>, Vec<_>) = tables.unzip();
    let ids: Vec<Uuid> = tables.iter().flat_map(|table| &table.partitions).map(|entry| entry.guid).collect();
    let is_left = |disk: &&Disk| {
        let mut entries = disk.table.iter().flat_map(|table| &table.partitions);
        entries.any(|entry| ids.contains(&entry.guid))
            || disk.journal.as_ref().is_some_and(|record| record.arming == arming)
    };
    let others = facts.disks.iter().filter(|disk| !selected.contains(&disk.path.as_str()));
    let finding = |disk: &Disk| {
        let serial = disk.serial.as_deref().unwrap_or("unknown");
        let message = format!(
            "an earlier attempt of this install went to {} (serial {serial}), and now {} would be written: two disks with \
             the same ids. Wipe {}, or name the disk that you mean by its `serial`",
            disk.path,
            selected.join(", "),
            disk.path
        );
        Finding::error("storage.disks", message)
    };
    others.filter(is_left).map(finding).collect()
}
