//! What is made of partitions before file systems are: arrays, encrypted devices, volumes. They stack in any order that
//! makes a tree.

use serde::{Deserialize, Serialize};

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

impl RaidLevel {
    /// Its name, as mdadm(8) has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raid0 => "raid0",
            Self::Raid1 => "raid1",
            Self::Raid5 => "raid5",
            Self::Raid6 => "raid6",
            Self::Raid10 => "raid10",
        }
    }
}

/// An encrypted device (LUKS2). Its key is in [`Secrets::luks_keys`](super::Secrets::luks_keys), by this name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Luks {
    /// Its name, as in /dev/mapper/NAME.
    pub name: String,
    /// What it is on: the label of a partition, the name of an array, or `GROUP/VOLUME`.
    pub device: String,
    /// Whether its key is random and long, so that guessing is hopeless without making each guess slow.
    #[serde(default)]
    pub random_key: bool,
    /// Whether what is in it is kept.
    #[serde(default)]
    pub preserve: bool,
}

/// An LVM volume group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeGroup {
    /// Its name.
    pub name: String,
    /// What it is made of: labels of partitions, names of arrays and of encrypted devices.
    pub devices: Vec<String>,
    /// Extent size in MiB; absent: LVM's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extent_mib: Option<u32>,
    /// Whether the group is there already and is kept; volumes without `preserve` of their own are made anew in it.
    #[serde(default)]
    pub preserve: bool,
}

/// An LVM logical volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogicalVolume {
    /// Its name.
    pub name: String,
    /// Its volume group.
    pub group: String,
    /// Size in MiB, of a thin volume the size that it seems to have; absent: all that remains (one such volume a group).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_mib: Option<u64>,
    /// Whether it is a pool for thin volumes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub thin_pool: bool,
    /// The pool of the same group that a thin volume takes its space from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Whether what is on it is kept.
    #[serde(default)]
    pub preserve: bool,
}
