//! What is known about a machine. `host` reads it, tests write it down; `imageinit facts` prints it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Everything that a plan may depend on, beside the NII and the manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// How the machine was booted.
    pub firmware: Firmware,
    /// `uname -m`, as in `x86_64`.
    pub arch: String,
    /// `uname -r` of the running kernel.
    pub kernel: String,
    /// MemTotal of /proc/meminfo, in bytes.
    pub memory_total: u64,
    /// MemAvailable of /proc/meminfo, in bytes.
    pub memory_available: u64,
    /// SMBIOS system UUID, where the firmware has one.
    #[serde(default)]
    pub uuid: Option<Uuid>,
    /// Disks, by kernel name.
    pub disks: Vec<Disk>,
    /// What the kernel has built on disks, and where disks and partitions are in use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stacked: Vec<Stacked>,
    /// Volume groups of LVM on partitions and disks, and on mirrors of those, by what their metadata say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
    /// Network interfaces, by kernel name.
    pub nics: Vec<Nic>,
    /// Names of the programs in this initrd (`mkfs.ext4`, …).
    #[serde(default)]
    pub tools: Vec<String>,
    /// Versions of those whose defaults a plan must know, as `6.1.0`: `mkfs.xfs` (from `mkfs.xfs -V`).
    #[serde(default)]
    pub tool_versions: BTreeMap<String, String>,
}

/// Firmware interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Firmware {
    /// Legacy BIOS.
    Bios,
    /// UEFI (`/sys/firmware/efi` exists).
    Efi,
}

/// One whole disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Kernel path, as in `/dev/vda`.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// Logical sector size in bytes: 512 or 4096.
    pub sector: u32,
    /// Model, trimmed.
    #[serde(default)]
    pub model: Option<String>,
    /// Serial number, trimmed.
    #[serde(default)]
    pub serial: Option<String>,
    /// World-wide name, as the kernel prints it.
    #[serde(default)]
    pub wwn: Option<String>,
    /// Vendor, trimmed.
    #[serde(default)]
    pub vendor: Option<String>,
    /// How it is attached, in lsblk(8)'s words: `sata`, `ata`, `sas`, `scsi`, `nvme`, `usb`, `virtio`, `mmc`, `iscsi`, `fc`; `nvme-of`
    /// for NVMe over a network.
    #[serde(default)]
    pub transport: Option<String>,
    /// Its name below `/dev/disk/by-path`, where it has one.
    #[serde(default)]
    pub by_path: Option<String>,
    /// Whether it spins.
    pub rotational: bool,
    /// Whether the medium can be taken out.
    pub removable: bool,
    /// Whether the kernel refuses writes.
    pub read_only: bool,
    /// Whether it takes discards (TRIM, UNMAP, deallocate).
    #[serde(default)]
    pub discard: bool,
    /// Who uses it or what is on it, and cannot be made to let go: mount points outside of the new root, holders of an
    /// unknown kind.
    #[serde(default)]
    pub in_use: Vec<String>,
    /// What stands against its erasing itself, of an ATA disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ata_security: Option<AtaSecurity>,
    /// The firmware RAID whose member it is, as its metadata say: `Intel RST` or `DDF`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware_raid: Option<String>,
    /// Why it could not be read, if so. It is never taken, and yet one of the machine's disks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
    /// What lies on it and on its partitions, as far as it is known.
    #[serde(default)]
    pub contents: Vec<Content>,
    /// Its GPT, if it has a valid one.
    #[serde(default)]
    pub table: Option<Table>,
    /// What its camphor partition says, if it has one.
    #[serde(default)]
    pub journal: Option<JournalRecord>,
}

/// Why an ATA disk would not erase itself now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AtaSecurity {
    /// It has no such feature.
    Absent,
    /// Somebody's password locks it.
    Locked,
    /// The firmware froze it until the next power-on.
    Frozen,
}

/// A block device that the kernel has built on others: an array, a volume, an encrypted device that is open. Disks and
/// partitions themselves are among them where they are mounted or swapped on, and so are all partitions of arrays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stacked {
    /// Its node here, as in `/dev/dm-0`.
    pub node: String,
    /// What it is.
    pub kind: StackedKind,
    /// The nodes of what it lies on; none for a disk or a partition of one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<String>,
    /// Where it is mounted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<String>,
    /// Whether it is swapped on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub swap: bool,
}

/// Kinds of what is built on disks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StackedKind {
    /// A disk, or a partition of a disk or an array.
    Plain,
    /// A RAID array (Linux md).
    Array,
    /// Device-mapper's.
    Mapped {
        /// Its name there.
        name: String,
        /// Its uuid there, which begins with whose it is: `LVM-`, `CRYPT-`, `mpath-`, …; may be empty.
        uuid: String,
    },
    /// Something else, such as bcache.
    Other,
}

/// A volume group of LVM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its name; two groups may have the same.
    pub name: String,
    /// Size of its extents in bytes.
    pub extent: u64,
    /// Extents that no volume has.
    pub free: u64,
    /// Its volumes; not those that others are made of.
    pub volumes: Vec<GroupVolume>,
}

/// A logical volume of a [`Group`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupVolume {
    /// Its name.
    pub name: String,
    /// Extents that are free without it; none of a thin volume.
    pub extents: u64,
    /// The pool that a thin one takes its space from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// The volume that it is a snapshot of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

/// What lies on a disk or a partition, in the words of blkid(8).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// The partition's number; `None` for the disk itself.
    pub partition: Option<u32>,
    /// `ext4`, `LVM2_member`, `linux_raid_member`, `crypto_LUKS`, …; [`Content::UNREADABLE`].
    pub kind: String,
    /// Its label; of a member of an array the array's name, of a physical volume that of its group.
    #[serde(default)]
    pub label: Option<String>,
    /// Its UUID.
    #[serde(default)]
    pub uuid: Option<String>,
    /// Size of the partition or disk, in bytes.
    pub size: u64,
    /// Bytes in use when it was last unmounted, where the format says so.
    #[serde(default)]
    pub used: Option<u64>,
    /// Of how many members the array is made that it is in, spares not counted, or of how many physical volumes the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<u32>,
}

impl Content {
    /// The `kind` of a place that cannot be read.
    pub const UNREADABLE: &str = "unreadable";
}

/// A GPT: as found, and as wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// The disk's GUID.
    pub guid: Uuid,
    /// The used entries, by number.
    pub partitions: Vec<TableEntry>,
}

/// One used entry of a GPT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableEntry {
    /// Its number, from 1; the kernel's name of the partition ends in it.
    pub number: u32,
    /// Type GUID.
    pub kind: Uuid,
    /// Unique GUID.
    pub guid: Uuid,
    /// First logical block.
    pub first: u64,
    /// Last logical block, inclusive.
    pub last: u64,
    /// GPT name.
    pub label: String,
    /// GPT attributes (UEFI 2.10, table 5.8).
    #[serde(default)]
    pub attributes: u64,
}

/// The journal's record in the camphor partition (CONTRACTS: disk order, journal, GUIDs).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalRecord {
    /// Version of the record: 1.
    pub version: u32,
    /// The node's name.
    pub node: String,
    /// The admin's act that is being carried out.
    pub arming: Uuid,
    /// The try that wrote this.
    pub attempt: Uuid,
    /// GUID of the root partition, whose type says whether the install is in progress; of the camphor partition itself where the
    /// root is on partitions that are kept.
    pub root: Uuid,
    /// Manifest digest of the image; none for a package install.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<nii::digest::Digest>,
    /// Whether the install was committed, where the root's type does not say so: with packages, for anaconda sets that type
    /// itself as soon as it formats the root, and on partitions that are kept.
    #[serde(default)]
    pub committed: bool,
}

/// One network interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nic {
    /// Kernel name.
    pub name: String,
    /// MAC address, lower case with colons.
    pub mac: String,
    /// Kernel driver, if it has a device.
    #[serde(default)]
    pub driver: Option<String>,
    /// Whether there is a carrier; `None` while the link is down.
    #[serde(default)]
    pub carrier: Option<bool>,
    /// ARPHRD type of `linux/if_arp.h`: 1 is Ethernet.
    pub kind: u32,
    /// The address, router and name servers that DHCP gave it.
    #[serde(default)]
    pub lease: Option<Lease>,
}

/// What a DHCPv4 server gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The address.
    pub address: std::net::Ipv4Addr,
    /// Its prefix length.
    pub prefix: u8,
    /// The router.
    #[serde(default)]
    pub gateway: Option<std::net::Ipv4Addr>,
    /// Name servers.
    #[serde(default)]
    pub dns: Vec<std::net::Ipv4Addr>,
}
