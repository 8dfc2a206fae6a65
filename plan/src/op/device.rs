//! What ops name on the disks: each so that it cannot be another one.

use std::fmt;

use serde::Serialize;
use uuid::Uuid;

use crate::facts;

/// A partition: by its disk and number for the kernel, by its GUID so that it cannot be another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartitionRef {
    /// Path of the whole disk.
    pub disk: String,
    /// Number in its GPT.
    pub number: u32,
    /// Unique GUID.
    pub guid: Uuid,
}

/// What a file system is made on, or something else that stacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum BlockDevice {
    /// A partition.
    Partition(PartitionRef),
    /// A RAID array.
    Array(ArrayRef),
    /// A logical volume.
    Volume(VolumeRef),
    /// An encrypted device, opened.
    Crypt(CryptRef),
}

/// A RAID array: by its node for the kernel, by its UUID so that it cannot be another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ArrayRef {
    /// Its name, as in `/dev/md/NAME` of the installed system.
    pub array: String,
    /// Its node here, as in `/dev/md127`.
    pub node: String,
    /// The UUID in its superblocks.
    pub uuid: Uuid,
}

/// A logical volume: device-mapper finds it by name, and its group is one of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VolumeRef {
    /// Its group.
    pub group: String,
    /// Its name.
    pub volume: String,
}

/// An encrypted device that is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CryptRef {
    /// Its name in device-mapper.
    pub crypt: String,
    /// The UUID in its header.
    pub uuid: Uuid,
}

/// What keeps a disk from being written: the kernel's use of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holder {
    /// Everything that is mounted on a directory and below it, after ending the programs of a root there.
    Mount {
        /// Absolute path in the installer's own system.
        path: String,
    },
    /// Swap space in use.
    Swap {
        /// Its node.
        device: String,
    },
    /// A device-mapper device: a logical volume, an encrypted device that is open, and whatever else.
    Mapped {
        /// Its name in device-mapper.
        name: String,
        /// Its uuid in device-mapper, as in `CRYPT-LUKS2-…-NAME`: one with another is refused.
        #[serde(skip_serializing_if = "Option::is_none")]
        uuid: Option<String>,
    },
    /// A running RAID array (Linux md).
    Array {
        /// Its node, as in `/dev/md127`.
        node: String,
    },
}

impl PartitionRef {
    /// The kernel's path: `/dev/vda3`, and with a `p` where the disk's name ends in a digit.
    pub fn path(&self) -> String {
        let separator = if self.disk.ends_with(|c: char| c.is_ascii_digit()) { "p" } else { "" };
        format!("{}{separator}{}", self.disk, self.number)
    }
}

impl VolumeRef {
    /// Its name in device-mapper: `GROUP-VOLUME`, with hyphens of either doubled.
    pub fn mapper(&self) -> String {
        format!("{}-{}", self.group.replace('-', "--"), self.volume.replace('-', "--"))
    }
}

impl BlockDevice {
    /// The kernel's or device-mapper's path, here and in the installed system's initramfs alike but for arrays.
    pub fn path(&self) -> String {
        match self {
            Self::Partition(partition) => partition.path(),
            Self::Array(array) => array.node.clone(),
            Self::Volume(volume) => format!("/dev/mapper/{}", volume.mapper()),
            Self::Crypt(crypt) => format!("/dev/mapper/{}", crypt.crypt),
        }
    }
}

impl From<PartitionRef> for BlockDevice {
    fn from(partition: PartitionRef) -> Self {
        Self::Partition(partition)
    }
}

/// A disk, and what it is known by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DiskId {
    /// The kernel's path.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Serial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// World-wide name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wwn: Option<String>,
}

impl From<&facts::Disk> for DiskId {
    fn from(disk: &facts::Disk) -> Self {
        let facts::Disk { path, size, serial, wwn, .. } = disk.clone();
        Self { path, size, serial, wwn }
    }
}

impl fmt::Display for DiskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        match (&self.serial, &self.wwn) {
            (Some(serial), _) => write!(f, " (serial {serial})"),
            (None, Some(wwn)) => write!(f, " (wwn {wwn})"),
            (None, None) => write!(f, " ({} bytes)", self.size),
        }
    }
}
