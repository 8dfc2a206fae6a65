//! Whether volumes fit into their groups, by the sizes that the disks of this machine give: anaconda would find out when
//! the old partitions are gone.

use nii::Finding;
use nii::v1::{Device, LogicalVolume, Raid, RaidLevel, VolumeGroup};

use super::Site;
use crate::units::MIB;

/// LVM's default extent size in MiB (lvm.conf: 4 MiB), and blivet's.
pub(super) const EXTENT_MIB: u32 = 4;

/// What LVM puts in front of the extents of a physical volume (lvm.conf, `default_data_alignment`: 1 MiB).
const PV_METADATA: u64 = MIB;

pub(super) fn check(site: &Site<'_>, out: &mut Vec<Finding>) {
    for (i, array) in site.storage.raid.iter().enumerate().filter(|(_, array)| !array.preserve) {
        if capacity(site, array) == 0 {
            let message = format!(
                "array `{}` has no room: its smallest partition has {} MiB, and RAID's own data need {} MiB",
                array.name,
                smallest(site, array) / MIB,
                overhead(smallest(site, array)) / MIB
            );
            out.push(Finding::error(format!("storage.raid[{i}].devices"), message));
        }
    }
    for (i, group) in site.storage.volume_groups.iter().enumerate() {
        let extent = extent_mib(group);
        let has = extents(site, group);
        let needs = site
            .storage
            .logical_volumes
            .iter()
            .filter(|volume| volume.group == group.name)
            .fold(0, |sum: u64, volume| sum.saturating_add(needed(volume, extent)));
        if needs > has {
            let message = format!(
                "the volumes of group `{}` need {} MiB, in extents of {extent} MiB, and its devices have {} MiB",
                group.name,
                needs.saturating_mul(extent),
                has * extent
            );
            out.push(Finding::error(format!("storage.volume_groups[{i}].devices"), message));
        }
    }
}

pub(super) fn extent_mib(group: &VolumeGroup) -> u64 {
    group.extent_mib.unwrap_or(EXTENT_MIB).into()
}

/// Extents that a volume takes at least: LVM rounds up, and what grows begins with one. So does a kept one, whose size the
/// NII need not know.
fn needed(volume: &LogicalVolume, extent: u64) -> u64 {
    volume.size_mib.filter(|_| !volume.preserve).unwrap_or(1).div_ceil(extent)
}

fn extents(site: &Site<'_>, group: &VolumeGroup) -> u64 {
    let bytes = |device: &String| match site.storage.device(device) {
        Some(Device::Raid(array)) => capacity(site, array),
        _ => partition(site, device),
    };
    let extents = |device| bytes(device).saturating_sub(PV_METADATA) / (extent_mib(group) * MIB);
    group.devices.iter().map(extents).sum()
}

/// Bytes of the partition with this label.
fn partition(site: &Site<'_>, label: &str) -> u64 {
    let found = site.disk_of(label).and_then(|planned| planned.partition(label));
    found.map_or(0, |(_, bytes)| bytes)
}

fn smallest(site: &Site<'_>, array: &Raid) -> u64 {
    array.devices.iter().map(|label| partition(site, label)).min().unwrap_or(0)
}

/// Bytes of an array: each member gives what the smallest has, as blivet counts (`RAIDLevel.get_raw_array_size`).
fn capacity(site: &Site<'_>, array: &Raid) -> u64 {
    let size = smallest(site, array);
    let members = (array.devices.len() as u64).saturating_sub(array.spares.into());
    with_data(array.level, members) * size.saturating_sub(overhead(size))
}

/// How many members' worth of data an array of so many holds. An odd one of a raid10 gives nothing.
fn with_data(level: RaidLevel, members: u64) -> u64 {
    match level {
        RaidLevel::Raid0 => members,
        RaidLevel::Raid1 => 1,
        RaidLevel::Raid5 => members.saturating_sub(1),
        RaidLevel::Raid6 => members.saturating_sub(2),
        RaidLevel::Raid10 => members / 2,
    }
}

/// What md keeps of a member for itself: a MiB with superblock and bitmap, and room to reshape, a thousandth of the member
/// but 1 MiB at least and 128 MiB at most (mdadm, super1.c, `validate_geometry1`).
fn overhead(member: u64) -> u64 {
    let mut headroom = 128 * MIB;
    while headroom > (member >> 10).max(MIB) {
        headroom /= 2;
    }
    MIB + headroom
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels() {
        let levels =
            [RaidLevel::Raid0, RaidLevel::Raid1, RaidLevel::Raid5, RaidLevel::Raid6, RaidLevel::Raid10];
        assert_eq!(levels.map(|level| with_data(level, 5)), [5, 1, 4, 3, 2]);
    }

    #[test]
    fn what_md_keeps() {
        const GIB: u64 = 1 << 30;
        let sizes = [MIB, GIB, 10 * GIB, 128 * GIB, 1 << 44];
        assert_eq!(sizes.map(|size| overhead(size) / MIB), [2, 2, 9, 129, 129]);
    }
}
