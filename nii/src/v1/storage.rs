//! The storage section, in Ignition's words: disks with partitions, and file systems on them. What lies between the two is
//! in [`super::stacked`].

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::select::DiskSelect;
use super::stacked::{LogicalVolume, Luks, Raid, VolumeGroup};

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
    /// Encrypted devices (LUKS2).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub luks: Vec<Luks>,
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
    /// An encrypted device.
    Luks(&'a Luks),
    /// A logical volume.
    LogicalVolume(&'a LogicalVolume),
}

impl Storage {
    /// The partition with this label, and its disk.
    pub fn partition(&self, label: &str) -> Option<(&Disk, &Partition)> {
        self.disks.iter().find_map(|disk| Some((disk, disk.partitions.iter().find(|p| p.label == label)?)))
    }

    /// What a file system's `device` names: the label of a partition, the name of an array or of an encrypted device, or
    /// `GROUP/VOLUME`.
    pub fn device(&self, name: &str) -> Option<Device<'_>> {
        if let Some((group, volume)) = name.split_once('/') {
            let named = |lv: &&LogicalVolume| lv.group == group && lv.name == volume;
            return self.logical_volumes.iter().find(named).map(Device::LogicalVolume);
        }
        let raid = || self.raid.iter().find(|raid| raid.name == name).map(Device::Raid);
        let luks = || self.luks.iter().find(|luks| luks.name == name).map(Device::Luks);
        let partition = self.partition(name).map(|(disk, partition)| Device::Partition(disk, partition));
        partition.or_else(raid).or_else(luks)
    }

    /// The file system that is mounted there, itself or by one of its subvolumes.
    pub fn mounted_at(&self, path: &str) -> Option<&Filesystem> {
        self.filesystems.iter().find(|filesystem| filesystem.mounts().any(|mount| mount.path == path))
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
    /// How its old contents are made unreadable; absent: only what programs know file systems by is wiped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wipe: Option<Wipe>,
    /// The partitions, in order.
    pub partitions: Vec<Partition>,
}

/// How the old contents of a disk are made unreadable before it is partitioned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wipe {
    /// Zeroes are written over all of it.
    Zero,
    /// The disk is told that nothing on it is needed (BLKDISCARD): fast, and what can be read afterwards is the disk's.
    Discard,
    /// By the disk's own command: NVMe format, ATA secure erase (by the site's `nvme` and `hdparm`).
    Secure,
}

/// One partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// GPT name, unique in the document; file systems refer to it.
    pub label: String,
    /// What it is for.
    #[serde(rename = "type", default)]
    pub kind: PartitionType,
    /// Size in MiB, with `weight` the least; absent: all that remains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_mib: Option<u64>,
    /// Its share of what remains, beside those of the others of the disk; absent: 1 without `size_mib`, else 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Its unique GUID; absent: one made of the arming and the label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guid: Option<Uuid>,
    /// GPT attributes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<Attribute>,
    /// Whether it is there already and is kept as it is: number, place, GUID and contents.
    #[serde(default)]
    pub preserve: bool,
    /// What a kept partition is found by; absent: its label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found_by: Option<FoundBy>,
}

/// What a partition that is kept is found by, on the disk that was selected. Several matches are an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FoundBy {
    /// Its number in the GPT.
    Number(u32),
    /// Its unique GUID.
    Guid(Uuid),
    /// The label of the file system on it.
    FilesystemLabel(String),
}

/// GPT attribute bits: UEFI 2.10, table 5.8, and the Discoverable Partitions Specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attribute {
    /// Bit 0: the platform needs it.
    Required,
    /// Bit 1: firmware makes no block device of it.
    NoBlockIo,
    /// Bit 2: legacy BIOS loaders may start it.
    LegacyBoot,
    /// Bit 59: systemd grows the file system at first mount.
    GrowFilesystem,
    /// Bit 60: read-only.
    ReadOnly,
    /// Bit 63: not mounted by itself.
    NoAuto,
}

impl Attribute {
    /// Its bit in the entry's attributes.
    pub const fn bit(self) -> u64 {
        1 << match self {
            Self::Required => 0,
            Self::NoBlockIo => 1,
            Self::LegacyBoot => 2,
            Self::GrowFilesystem => 59,
            Self::ReadOnly => 60,
            Self::NoAuto => 63,
        }
    }
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
    /// Encrypted device.
    Luks,
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
            Self::Luks => 0xca7d7ccb_63ed_4c53_861c_1742536059cc,
        })
    }
}

/// A file system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filesystem {
    /// What it is on: the label of a partition, the name of a RAID array or of an encrypted device, or `GROUP/VOLUME`;
    /// nothing for tmpfs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub device: String,
    /// Its format.
    pub format: Format,
    /// Whether it is there already and is kept: mounted, not made.
    #[serde(default)]
    pub preserve: bool,
    /// Its own label; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Its UUID; absent: one made of the arming and the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Uuid>,
    /// Further arguments of mkfs; swap takes none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mkfs_options: Vec<String>,
    /// Mount point; absent: not mounted (swap never is).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount: Option<String>,
    /// Mount options for fstab; empty: `defaults`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mount_options: Vec<String>,
    /// Subvolumes, for btrfs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subvolumes: Vec<Subvolume>,
}

/// A subvolume of btrfs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subvolume {
    /// Its name, as in `@home`: one component, at the top.
    pub name: String,
    /// Mount point; absent: not mounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount: Option<String>,
    /// Mount options beside `subvol=`; empty: those of the file system.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mount_options: Vec<String>,
}

/// One place where a file system is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MountAt<'a> {
    /// Mount point.
    pub path: &'a str,
    /// The subvolume that is mounted there.
    pub subvolume: Option<&'a str>,
    /// Options of the NII, without `subvol=`; none: what is usual.
    pub options: &'a [String],
}

impl Filesystem {
    /// Where it is mounted: itself, then its subvolumes.
    pub fn mounts(&self) -> impl Iterator<Item = MountAt<'_>> {
        let whole = self.mount.as_deref();
        let whole = whole.map(|path| MountAt { path, subvolume: None, options: &self.mount_options });
        whole.into_iter().chain(self.subvolumes.iter().filter_map(|subvolume| {
            let own = &subvolume.mount_options;
            Some(MountAt {
                path: subvolume.mount.as_deref()?,
                subvolume: Some(&subvolume.name),
                options: if own.is_empty() { &self.mount_options } else { own },
            })
        }))
    }
}

/// File system formats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// ext4.
    #[default]
    Ext4,
    /// XFS.
    Xfs,
    /// FAT32 (or FAT16 where small), for the ESP.
    Vfat,
    /// Btrfs.
    Btrfs,
    /// Swap space.
    Swap,
    /// Files in RAM, on no device.
    Tmpfs,
}

impl Format {
    /// The name as mount(8) and fstab(5) know it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Vfat => "vfat",
            Self::Btrfs => "btrfs",
            Self::Swap => "swap",
            Self::Tmpfs => "tmpfs",
        }
    }
}
