//! Partitions that camphor made or kept, named by the kernel's names: the installer's kernel is the one that prepared.

use nii::v1::{Partition, PartitionType};

use super::{Site, format_on, is_in_use, kernel_name, made, mounted, place};
use crate::disks::Planned;
use crate::kickstart::words::Line;

pub(super) fn lines(site: &Site<'_>) -> Vec<Line> {
    let drives: Vec<String> = site.disks.iter().map(|planned| kernel_name(&planned.disk.path)).collect();
    let mut all =
        vec![Line::new("ignoredisk").list("only-use", &drives), Line::new("clearpart").flag("none")];
    all.extend(site.partitions().filter_map(|(planned, partition)| line(site, planned, partition)));
    all
}

/// The line of a partition. None for those that anaconda need not hear of: kept ones that are not mounted, and the BIOS
/// boot partition, which it knows by its type.
fn line(site: &Site<'_>, planned: &Planned<'_>, partition: &Partition) -> Option<Line> {
    let (reference, _) = planned.partition(&partition.label)?;
    let on = |place: &str| Line::new("part").word(place).option("onpart", kernel_name(&reference.path()));
    if matches!(partition.kind, PartitionType::Raid | PartitionType::Lvm) {
        let is_used = site.is_member(&partition.label) && !partition.preserve;
        return is_used.then(|| site.member(&partition.label).map(|name| on(&name))).flatten();
    }
    let filesystem = site.filesystem_on(&partition.label)?;
    if !site.has_use_for(partition.kind) || (filesystem.preserve && !is_in_use(filesystem)) {
        return None;
    }
    let line = on(&place(filesystem, "None"));
    Some(if filesystem.preserve {
        mounted(line.flag("noformat"), filesystem)
    } else {
        made(line, filesystem, format_on(partition.kind, filesystem))
    })
}
