//! The storage section, in Ignition's words: disks with partitions, and file systems on them.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::select::DiskSelect;

/// The longest GPT partition name, in UTF-16 units (UEFI 2.10, table 5.7: 72 bytes).
pub const PARTITION_NAME_MAX: usize = 36;

/// Disks and file systems.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storage {
    /// Who writes the partition tables.
    #[serde(default)]
    pub mode: StorageMode,
    /// The disks that camphor writes to; no other disk is touched.
    #[serde(default)]
    pub disks: Vec<Disk>,
    /// RAID arrays of partitions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub raid: Vec<Raid>,
    /// LVM volume groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volume_groups: Vec<VolumeGroup>,
    /// LVM logical volumes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logical_volumes: Vec<LogicalVolume>,
    /// What is made on partitions, arrays and volumes.
    #[serde(default)]
    pub filesystems: Vec<Filesystem>,
}

/// Who writes the partition tables of a `package` install. With an image it is always camphor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StorageMode {
    /// camphor; anaconda is told the partitions.
    #[default]
    Camphor,
    /// anaconda, on the disks that camphor chose.
    Anaconda,
}

/// What a [`Filesystem::device`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device<'a> {
    /// A partition, and its disk.
    Partition(&'a Disk, &'a Partition),
    /// A RAID array.
    Raid(&'a Raid),
    /// A logical volume.
    LogicalVolume(&'a LogicalVolume),
}

/// A RAID array (Linux md).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raid {
    /// Its name, as in /dev/md/NAME.
    pub name: String,
    /// Its level.
    pub level: RaidLevel,
    /// Labels of its partitions.
    pub devices: Vec<String>,
    /// How many of them are spares.
    #[serde(default)]
    pub spares: u32,
    /// Whether what is on it is kept.
    #[serde(default)]
    pub preserve: bool,
}

/// RAID levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RaidLevel {
    /// Stripes.
    Raid0,
    /// Mirrors.
    Raid1,
    /// One parity.
    Raid5,
    /// Two parities.
    Raid6,
    /// Stripes of mirrors.
    Raid10,
}

/// An LVM volume group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeGroup {
    /// Its name.
    pub name: String,
    /// What it is made of: labels of partitions and names of arrays.
    pub devices: Vec<String>,
    /// Extent size in MiB; absent: LVM's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extent_mib: Option<u32>,
    /// Whether the group is there already and is kept; volumes without `preserve` of their own are made anew in it.
    #[serde(default)]
    pub preserve: bool,
}

/// An LVM logical volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogicalVolume {
    /// Its name.
    pub name: String,
    /// Its volume group.
    pub group: String,
    /// Size in MiB; absent: all that remains (one such volume a group).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_mib: Option<u64>,
    /// Whether what is on it is kept.
    #[serde(default)]
    pub preserve: bool,
}

impl Storage {
    /// The partition with this label, and its disk.
    pub fn partition(&self, label: &str) -> Option<(&Disk, &Partition)> {
        self.disks.iter().find_map(|disk| Some((disk, disk.partitions.iter().find(|p| p.label == label)?)))
    }

    /// What a file system's `device` names: the label of a partition, the name of an array, or `GROUP/VOLUME`.
    pub fn device(&self, name: &str) -> Option<Device<'_>> {
        if let Some((group, volume)) = name.split_once('/') {
            let named = |lv: &&LogicalVolume| lv.group == group && lv.name == volume;
            return self.logical_volumes.iter().find(named).map(Device::LogicalVolume);
        }
        let raid = || self.raid.iter().find(|raid| raid.name == name).map(Device::Raid);
        self.partition(name).map(|(disk, partition)| Device::Partition(disk, partition)).or_else(raid)
    }

    /// The file system that is mounted there.
    pub fn mounted_at(&self, path: &str) -> Option<&Filesystem> {
        self.filesystems.iter().find(|f| f.mount.as_deref() == Some(path))
    }
}

/// One disk: how it is found, and its new partition table (GPT).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Its name in this document.
    pub name: String,
    /// Which disk it is.
    #[serde(default)]
    pub select: DiskSelect,
    /// The partitions, in order.
    pub partitions: Vec<Partition>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// GPT name, unique in the document; file systems refer to it.
    pub label: String,
    /// What it is for.
    #[serde(rename = "type", default)]
    pub kind: PartitionType,
    /// Size in MiB; absent: all that remains (one such partition a disk).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_mib: Option<u64>,
    /// Whether the partition of this label is there already and is kept as it is: number, place, GUID and contents.
    #[serde(default)]
    pub preserve: bool,
}

/// Partition types by name; the GUIDs are those of the UEFI and Discoverable Partitions specifications.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartitionType {
    /// Linux file system data.
    #[default]
    Linux,
    /// Root of this architecture (x86-64).
    Root,
    /// EFI system partition.
    Esp,
    /// BIOS boot partition, for GRUB's core image.
    BiosBoot,
    /// Extended boot loader partition (`/boot`).
    Xbootldr,
    /// Swap.
    Swap,
    /// `/home`.
    Home,
    /// Member of a RAID array.
    Raid,
    /// Physical volume of LVM.
    Lvm,
}

impl PartitionType {
    /// The GPT type GUID.
    pub const fn guid(self) -> Uuid {
        Uuid::from_u128(match self {
            Self::Linux => 0x0fc63daf_8483_4772_8e79_3d69d8477de4,
            Self::Root => 0x4f68bce3_e8cd_4db1_96e7_fbcaf984b709,
            Self::Esp => 0xc12a7328_f81f_11d2_ba4b_00a0c93ec93b,
            Self::BiosBoot => 0x21686148_6449_6e6f_744e_656564454649,
            Self::Xbootldr => 0xbc13c2ff_59e6_4262_a352_b275fd6f7172,
            Self::Swap => 0x0657fd6d_a4ab_43c4_84e5_0933c84b4f4f,
            Self::Home => 0x933ac7e1_2eb4_4f13_b844_0e14e2aef915,
            Self::Raid => 0xa19d880f_05fc_4d3b_a006_743f0f84911e,
            Self::Lvm => 0xe6d6d379_f507_44c2_a23c_238f2a3df928,
        })
    }
}

/// A file system on a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filesystem {
    /// What it is on: the label of a partition, the name of a RAID array, or `GROUP/VOLUME`.
    pub device: String,
    /// Its format.
    pub format: Format,
    /// Whether it is there already and is kept: mounted, not made.
    #[serde(default)]
    pub preserve: bool,
    /// Its own label; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Further arguments of mkfs; swap takes none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mkfs_options: Vec<String>,
    /// Mount point; absent: not mounted (swap never is).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount: Option<String>,
    /// Mount options for fstab; empty: `defaults`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mount_options: Vec<String>,
}

/// File system formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// ext4.
    Ext4,
    /// XFS.
    Xfs,
    /// FAT32 (or FAT16 where small), for the ESP.
    Vfat,
    /// Swap space.
    Swap,
}

impl Format {
    /// The name as mount(8) and fstab(5) know it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Vfat => "vfat",
            Self::Swap => "swap",
        }
    }
}
