//! Arrays, encrypted devices and volumes: making, starting and stopping them.

use std::fmt;

use nii::secret::Secret;
use nii::v1::RaidLevel;
use serde::{Serialize, Serializer};

use super::device::{ArrayRef, BlockDevice, CryptRef, PartitionRef, VolumeRef};

/// Kinds of logical volumes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum VolumeKind {
    /// Extents of the group.
    Linear,
    /// A pool for thin volumes.
    ThinPool,
    /// A thin volume of this pool.
    Thin(String),
}

/// One change between partitions and file systems.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StackAct {
    /// Make a RAID array, and start it.
    MakeArray {
        /// The array.
        array: ArrayRef,
        /// The host in its full name.
        host: String,
        /// Its level.
        level: RaidLevel,
        /// Version of its superblocks: `1.2`, or `1.0`, which leaves the beginning of the members to what is on them.
        metadata: &'static str,
        /// The members, spares last.
        devices: Vec<PartitionRef>,
        /// How many of them are spares.
        spares: u32,
    },
    /// Start a RAID array that is there.
    StartArray {
        /// The array.
        array: ArrayRef,
        /// Its members.
        devices: Vec<PartitionRef>,
        /// Whether nothing is written to it.
        read_only: bool,
    },
    /// Make an encrypted device (LUKS2); it is not open yet.
    MakeLuks {
        /// What it is when it is open.
        crypt: CryptRef,
        /// What it is on.
        device: BlockDevice,
        /// The passphrase.
        #[serde(serialize_with = "redact_key")]
        key: Secret,
        /// Whether it is tried as it is: nobody guesses it.
        random_key: bool,
    },
    /// Open an encrypted device.
    OpenLuks {
        /// What it is when it is open.
        crypt: CryptRef,
        /// What it is on.
        device: BlockDevice,
        /// The passphrase.
        #[serde(serialize_with = "redact_key")]
        key: Secret,
        /// Whether nothing is written to it.
        read_only: bool,
    },
    /// Check that a passphrase opens an encrypted device (LUKS2) that is kept; nothing is opened or written.
    CheckLuks {
        /// Its name when it is open.
        name: String,
        /// What it is on.
        device: BlockDevice,
        /// The passphrase.
        #[serde(serialize_with = "redact_key")]
        key: Secret,
    },
    /// Make a volume group. LVM sees no other device than its own.
    MakeGroup {
        /// Its name.
        group: String,
        /// What it is made of.
        devices: Vec<BlockDevice>,
        /// Extent size in MiB; `None`: LVM's default.
        extent_mib: Option<u32>,
    },
    /// Check that a group is there and whole, and has its volumes; these stay as they are.
    CheckGroup {
        /// Its name.
        group: String,
        /// What it is made of.
        devices: Vec<BlockDevice>,
        /// Names of the volumes that are kept.
        volumes: Vec<String>,
        /// Whether an install was cut off here, maybe in the middle of a change of the group, which LVM cannot read then: that
        /// change is undone.
        undo: bool,
    },
    /// Stop the volumes of a group.
    StopGroup {
        /// Its name.
        group: String,
        /// What it is made of.
        devices: Vec<BlockDevice>,
    },
    /// Remove a logical volume, if it is there; one that others take their blocks from is not.
    RemoveVolume {
        /// The volume.
        volume: VolumeRef,
        /// What its group is made of.
        devices: Vec<BlockDevice>,
    },
    /// Make a logical volume.
    MakeVolume {
        /// The volume.
        volume: VolumeRef,
        /// What its group is made of.
        devices: Vec<BlockDevice>,
        /// What it takes its space from.
        kind: VolumeKind,
        /// Its size in MiB; `None`: all that is free in the group.
        size_mib: Option<u64>,
    },
}

/// For plans and golden files.
fn redact_key<S: Serializer>(_: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str("(secret)")
}

impl fmt::Display for StackAct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MakeArray { array, level, metadata, devices, spares, .. } => {
                write!(f, "make {} {} ({metadata}) of {}", level.name(), array.node, paths(devices))?;
                if *spares > 0 {
                    write!(f, ", {spares} spare")?
                }
                write!(f, ", {}", array.uuid)
            }
            Self::StartArray { array, devices, read_only } => {
                write!(f, "start {} of {}{}", array.node, paths(devices), only(*read_only))
            }
            Self::MakeLuks { crypt, device, random_key, .. } => {
                let key = if *random_key { ", random key" } else { "" };
                write!(f, "make LUKS2 {} on {}{key}", crypt.uuid, device.path())
            }
            Self::OpenLuks { crypt, device, read_only, .. } => {
                write!(f, "open {} as {}{}", device.path(), crypt.crypt, only(*read_only))
            }
            Self::CheckLuks { name, device, .. } => {
                write!(f, "try the passphrase of {} ({name})", device.path())
            }
            Self::MakeGroup { group, devices, .. } => {
                write!(f, "make volume group {group} of {}", nodes(devices))
            }
            Self::CheckGroup { group, volumes, undo, .. } => {
                write!(f, "check volume group {group}")?;
                if !volumes.is_empty() {
                    write!(f, " with {}", volumes.join(", "))?;
                }
                f.write_str(if *undo { "; a change of it that was cut off is undone" } else { "" })
            }
            Self::StopGroup { group, .. } => write!(f, "stop volume group {group}"),
            Self::RemoveVolume { volume, .. } => {
                write!(f, "remove volume {}/{}", volume.group, volume.volume)
            }
            Self::MakeVolume { volume, kind, size_mib, .. } => {
                write!(f, "make volume {}/{}", volume.group, volume.volume)?;
                match kind {
                    VolumeKind::Linear => {}
                    VolumeKind::ThinPool => f.write_str(", a thin pool")?,
                    VolumeKind::Thin(pool) => write!(f, ", thin, in {pool}")?,
                }
                match size_mib {
                    Some(mib) => write!(f, ", {mib} MiB"),
                    None => f.write_str(", all that is free"),
                }
            }
        }
    }
}

fn only(read_only: bool) -> &'static str {
    if read_only { ", read-only" } else { "" }
}

fn paths(partitions: &[PartitionRef]) -> String {
    partitions.iter().map(PartitionRef::path).collect::<Vec<_>>().join(" ")
}

fn nodes(devices: &[BlockDevice]) -> String {
    devices.iter().map(BlockDevice::path).collect::<Vec<_>>().join(" ")
}
