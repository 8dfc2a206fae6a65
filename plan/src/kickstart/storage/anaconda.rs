//! Partitions that anaconda makes, on the disks that camphor chose. Nothing is kept there: validation sees to it.

use nii::Finding;
use nii::v1::{Partition, PartitionType};

use super::{Site, format_on, kernel_name, made, place};
use crate::disks::Planned;
use crate::kickstart::words::Line;

pub(super) fn lines(site: &Site<'_>, out: &mut Vec<Finding>) -> Vec<Line> {
    let drives: Vec<String> = site.disks.iter().map(|planned| kernel_name(&planned.disk.path)).collect();
    let clear = Line::new("clearpart").flag("all").flag("initlabel").list("drives", &drives);
    let mut all = vec![
        Line::new("ignoredisk").list("only-use", &drives),
        // A disk without any table is taken, too.
        Line::new("zerombr"),
        clear.option("disklabel", "gpt"),
    ];
    all.extend(site.partitions().filter_map(|(planned, partition)| line(site, planned, partition, out)));
    all
}

fn line(
    site: &Site<'_>,
    planned: &Planned<'_>,
    partition: &Partition,
    out: &mut Vec<Finding>,
) -> Option<Line> {
    if !site.has_use_for(partition.kind) {
        return None;
    }
    let on = |place: &str| {
        let line = Line::new("part").word(place).option("ondisk", kernel_name(&planned.disk.path));
        // blivet raises what grows to the least that its format needs.
        line.option("size", partition.size_mib.unwrap_or(1)).flag_if("grow", partition.size_mib.is_none())
    };
    if partition.kind == PartitionType::BiosBoot {
        return Some(on("biosboot").option("fstype", "biosboot"));
    }
    if site.is_member(&partition.label) {
        return site.member(&partition.label).map(|name| on(&name));
    }
    let Some(filesystem) = site.filesystem_on(&partition.label) else {
        let message = format!(
            "partition `{}` has no file system and is a part of nothing: anaconda makes no such partition; use \
             `storage.mode: camphor`",
            partition.label
        );
        out.push(Finding::error("storage.disks", message));
        return None;
    };
    Some(made(on(&place(filesystem, "None")), filesystem, format_on(partition.kind, filesystem)))
}
