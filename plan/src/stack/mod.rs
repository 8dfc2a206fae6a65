//! What is between partitions and file systems: arrays, encrypted devices, volume groups and their volumes.
//!
//! * [`Stack`]: what a name of the NII is on this machine.
//! * [`room`]: how many bytes each has.
//! * [`ops`]: making them, each after what it is made of.
//! * [`check`]: what stands against it.
//! * [`tools`]: the command lines.

pub(crate) mod check;
pub(crate) mod inside;
mod kept;
pub(crate) mod ops;
pub(crate) mod room;
pub mod tools;

use nii::v1::{Device, LogicalVolume, Luks, Partition, Raid, Storage, VolumeGroup};
use uuid::Uuid;

use crate::disks::Planned;
use crate::facts::{Content, Disk, Facts};
use crate::ids::{self, Kind};
use crate::journal;
use crate::op::{ArrayRef, BlockDevice, CryptRef, PartitionRef, VolumeRef};

/// The first node for arrays; further ones have lower numbers, as mdadm(8) counts them.
const FIRST_ARRAY: usize = 127;

/// The devices of an NII on a machine whose disks were found.
#[derive(Clone, Copy)]
pub(crate) struct Stack<'a> {
    pub storage: &'a Storage,
    pub disks: &'a [Planned<'a>],
    pub facts: &'a Facts,
    pub arming: Uuid,
}

impl<'a> Stack<'a> {
    /// What a name is; `None` for what is not there, which has a finding.
    pub fn device(&self, name: &str) -> Option<BlockDevice> {
        Some(match self.storage.device(name)? {
            Device::Partition(_, partition) => BlockDevice::Partition(self.partition(&partition.label)?),
            Device::Raid(raid) => BlockDevice::Array(self.array(raid)?),
            Device::Luks(luks) => BlockDevice::Crypt(self.crypt(luks)?),
            Device::LogicalVolume(volume) => BlockDevice::Volume(volume_ref(volume)),
        })
    }

    /// Whether a disk that the NII selects says of an install that it is in progress.
    pub fn was_cut_off(&self) -> bool {
        let is_begun = |disk: &Disk| disk.journal.is_some() && !journal::is_committed(disk);
        self.disks.iter().any(|planned| is_begun(planned.disk))
    }

    /// The partition with that label.
    pub fn partition(&self, label: &str) -> Option<PartitionRef> {
        Some(self.disks.iter().find_map(|disk| disk.partition(label))?.0)
    }

    /// An array. One that is kept has the UUID that its members say.
    pub fn array(&self, raid: &Raid) -> Option<ArrayRef> {
        let index = self.storage.raid.iter().position(|known| known.name == raid.name)?;
        let uuid = match raid.preserve {
            true => Uuid::parse_str(self.found(raid.devices.first()?)?.uuid.as_ref()?).ok()?,
            false => ids::of(self.arming, Kind::Array, &raid.name),
        };
        let nodes = (0..=FIRST_ARRAY).rev().map(|number| format!("/dev/md{number}"));
        let is_free = |node: &String| self.facts.stacked.iter().all(|there| there.node != *node);
        let node = nodes.filter(is_free).nth(index)?;
        Some(ArrayRef { array: raid.name.clone(), node, uuid })
    }

    /// An encrypted device. One that is kept has the UUID of its header, which is known where it is on a partition.
    pub fn crypt(&self, luks: &Luks) -> Option<CryptRef> {
        let uuid = match luks.preserve {
            true => Uuid::parse_str(self.found(&luks.device)?.uuid.as_ref()?).ok()?,
            false => ids::of(self.arming, Kind::Luks, &luks.name),
        };
        Some(CryptRef { crypt: luks.name.clone(), uuid })
    }

    /// What a group is made of; `None` if one of them is not there.
    pub fn members(&self, group: &VolumeGroup) -> Option<Vec<BlockDevice>> {
        group.devices.iter().map(|name| self.device(name)).collect()
    }

    /// What lies on a partition now.
    pub fn found(&self, label: &str) -> Option<&'a Content> {
        let partition = self.partition(label)?;
        let disk = self.facts.disks.iter().find(|disk| disk.path == partition.disk)?;
        disk.contents.iter().find(|content| content.partition == Some(partition.number))
    }

    /// The partitions that a device is made of at the bottom, and the disks that they are on.
    pub fn below(&self, name: &str) -> Vec<(&'a Planned<'a>, &'a Partition)> {
        let labels = below(self.storage, name);
        let one = |label: &&str| {
            self.disks.iter().find_map(|disk| {
                Some((disk, disk.wanted.partitions.iter().find(|partition| partition.label == **label)?))
            })
        };
        labels.iter().filter_map(one).collect()
    }
}

/// Labels of the partitions that a device is made of, at any depth.
pub(crate) fn below<'a>(storage: &'a Storage, name: &str) -> Vec<&'a str> {
    match storage.device(name) {
        Some(Device::Partition(_, partition)) => vec![&partition.label],
        Some(Device::Raid(raid)) => raid.devices.iter().map(String::as_str).collect(),
        Some(Device::Luks(luks)) => below(storage, &luks.device),
        Some(Device::LogicalVolume(volume)) => {
            let group = group(storage, volume);
            // Validation saw to it that there is no way back to a volume.
            group.iter().flat_map(|group| &group.devices).flat_map(|name| below(storage, name)).collect()
        }
        None => Vec::new(),
    }
}

/// The volume group of a volume.
pub(crate) fn group<'a>(storage: &'a Storage, volume: &LogicalVolume) -> Option<&'a VolumeGroup> {
    storage.volume_groups.iter().find(|group| group.name == volume.group)
}

pub(crate) fn volume_ref(volume: &LogicalVolume) -> VolumeRef {
    VolumeRef { group: volume.group.clone(), volume: volume.name.clone() }
}
