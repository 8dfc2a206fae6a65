//! How many bytes arrays and volumes have, by the sizes that the disks of this machine give.

use nii::Finding;
use nii::v1::{Device, LogicalVolume, Raid, RaidLevel, Storage, VolumeGroup};

use crate::disks::Planned;
use crate::units::MIB;

/// LVM's default extent size in MiB (lvm.conf: 4 MiB), and blivet's.
pub(crate) const EXTENT_MIB: u32 = 4;

/// What LVM puts in front of the extents of a physical volume (lvm.conf, `default_data_alignment`: 1 MiB).
const PV_METADATA: u64 = MIB;
/// What LUKS2 keeps for itself at the beginning (cryptsetup(8): 16 MiB).
const LUKS_HEADER: u64 = 16 * MIB;

/// The sizes of an NII's devices on these disks.
#[derive(Clone, Copy)]
pub(crate) struct Sizes<'a> {
    pub storage: &'a Storage,
    pub disks: &'a [Planned<'a>],
}

impl Sizes<'_> {
    /// Arrays without room, and groups with too little for their volumes.
    pub fn check(&self, out: &mut Vec<Finding>) {
        for (i, array) in self.storage.raid.iter().enumerate().filter(|(_, array)| !array.preserve) {
            if self.array(array) == 0 {
                let smallest = self.smallest(array);
                let message = format!(
                    "array `{}` has no room: its smallest partition has {} MiB, and RAID's own data need {} MiB",
                    array.name,
                    smallest / MIB,
                    overhead(smallest) / MIB
                );
                out.push(Finding::error(format!("storage.raid[{i}].devices"), message));
            }
        }
        for (i, group) in self.storage.volume_groups.iter().enumerate() {
            let extent = extent_mib(group);
            let has = self.extents(group);
            let needs = self.volumes(group).fold(0, |sum: u64, v| sum.saturating_add(needed(v, extent)));
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

    /// Bytes of a device: of what grows, what is left; of a kept volume, what the NII says.
    pub fn bytes(&self, name: &str) -> u64 {
        match self.storage.device(name) {
            Some(Device::Partition(_, partition)) => self.partition(&partition.label),
            Some(Device::Raid(array)) => self.array(array),
            Some(Device::Luks(luks)) => self.bytes(&luks.device).saturating_sub(LUKS_HEADER),
            Some(Device::LogicalVolume(volume)) => self.volume(volume),
            None => 0,
        }
    }

    fn partition(&self, label: &str) -> u64 {
        self.disks.iter().find_map(|disk| disk.partition(label)).map_or(0, |(_, bytes)| bytes)
    }

    fn smallest(&self, array: &Raid) -> u64 {
        array.devices.iter().map(|label| self.partition(label)).min().unwrap_or(0)
    }

    /// Bytes of an array: each member gives what the smallest has, as blivet counts (`RAIDLevel.get_raw_array_size`).
    fn array(&self, array: &Raid) -> u64 {
        let size = self.smallest(array);
        let members = (array.devices.len() as u64).saturating_sub(array.spares.into());
        with_data(array.level, members) * size.saturating_sub(overhead(size))
    }

    fn extents(&self, group: &VolumeGroup) -> u64 {
        let extents =
            |device: &String| self.bytes(device).saturating_sub(PV_METADATA) / (extent_mib(group) * MIB);
        group.devices.iter().map(extents).sum()
    }

    /// What takes extents of a group: thin volumes take theirs from their pool.
    fn volumes<'a>(&'a self, group: &'a VolumeGroup) -> impl Iterator<Item = &'a LogicalVolume> {
        let own = move |volume: &&LogicalVolume| volume.group == group.name && volume.pool.is_none();
        self.storage.logical_volumes.iter().filter(own)
    }

    fn volume(&self, volume: &LogicalVolume) -> u64 {
        let group = self.storage.volume_groups.iter().find(|group| group.name == volume.group);
        match (volume.size_mib, group) {
            (Some(mib), _) => mib.saturating_mul(MIB),
            (None, Some(group)) if volume.pool.is_none() => {
                let extent = extent_mib(group);
                let others = self.volumes(group).filter(|other| other.name != volume.name);
                let taken = others.fold(0, |sum: u64, other| sum.saturating_add(needed(other, extent)));
                self.extents(group).saturating_sub(taken) * extent * MIB
            }
            _ => 0,
        }
    }
}

pub(crate) fn extent_mib(group: &VolumeGroup) -> u64 {
    group.extent_mib.unwrap_or(EXTENT_MIB).into()
}

/// Extents that a volume takes at least: LVM rounds up, and what grows begins with one. So does a kept one, whose size the
/// NII need not know.
pub(super) fn needed(volume: &LogicalVolume, extent: u64) -> u64 {
    let data = volume.size_mib.filter(|_| !volume.preserve).unwrap_or(1);
    // lvmthin(7): 64 bytes for each chunk of 64 KiB, and 2 MiB at least.
    let metadata = if volume.thin_pool { (data / 1024 + 1).max(2).div_ceil(extent) } else { 0 };
    data.div_ceil(extent).saturating_add(metadata)
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
