//! Ops: one change to the machine each. Plain data, applied by `host` and by nothing else.
//!
//! Paths named `path` are below the new root and are resolved inside it, so that no link of the image leads out.
//! Every op is safe to apply again. What ops name on the disks is in [`device`].

mod device;
mod stack;

use std::fmt;
use std::net::IpAddr;

use nii::digest::Digest;
use nii::secret::Secret;
use nii::v1::{Format, Wipe};
use serde::{Serialize, Serializer};
use uuid::Uuid;

pub use self::device::{ArrayRef, BlockDevice, CryptRef, DiskId, Holder, PartitionRef, VolumeRef};
pub use self::stack::{StackAct, VolumeKind};
use crate::facts::{JournalRecord, Table};

/// Where the new root is mounted.
pub const NEW_ROOT: &str = "/newroot";

/// One change, why it is made, and when it is skipped.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Op {
    /// Why, in one line, for a person.
    pub reason: String,
    /// Condition on the unpacked root; a guard may skip an op that the plan showed, never add one.
    #[serde(skip_serializing_if = "Guard::is_empty")]
    pub guard: Guard,
    /// The change.
    pub act: Act,
}

/// What the new root must and must not have for an op to be applied, looked at when the op's turn comes. Paths are
/// below the new root; links of their directories are resolved inside it, and a link as last component counts as
/// being there wherever it points to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Guard {
    /// All of these exist.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub has: Vec<String>,
    /// None of these exists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<String>,
}

/// What is written into a file.
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// Text that may be shown.
    Text(String),
    /// A secret.
    Secret(Secret),
}

/// The changes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Load the modules of all hardware that is present, by modalias, and those that virtio and storage need beside it.
    Coldplug,
    /// Bring every Ethernet link up and get an IPv4 address by DHCP on one of them.
    FirstNetwork {
        /// MAC address of the interface that firmware booted from, which is asked first.
        boot_mac: Option<String>,
    },
    /// Load a kernel module with its dependencies.
    LoadModule {
        /// Name as for modprobe.
        name: String,
        /// Options as on modprobe's command line.
        options: String,
    },
    /// Bring an interface to the wanted state, without cutting what is already right.
    ConfigureNic {
        /// Kernel name.
        name: String,
        /// MTU in bytes; `None` leaves it.
        mtu: Option<u32>,
        /// Addresses with prefix lengths; DHCP's own are kept where `dhcp` is set.
        addresses: Vec<(IpAddr, u8)>,
        /// Routes: network, prefix length, next hop. Prefix 0 is the default route.
        routes: Vec<(IpAddr, u8, IpAddr)>,
        /// Get an IPv4 address by DHCP if there is none yet.
        dhcp: bool,
    },
    /// Write the resolver's configuration of the initrd itself.
    SetResolver {
        /// Name servers.
        servers: Vec<IpAddr>,
        /// Search domains.
        search: Vec<String>,
    },
    /// Let go of what the kernel has built on disks. What is not there is fine.
    Release {
        /// What is let go.
        holder: Holder,
    },
    /// Check that disks are still those that the plan was made for, and that nobody has them: before the first of them changes.
    CheckDisks {
        /// All that will be written.
        disks: Vec<DiskId>,
    },
    /// Replace a disk's partition table (the protective MBR has no boot code), wipe signatures at both ends of each new partition, and wait for its nodes.
    WriteTable {
        /// Path of the whole disk.
        disk: String,
        /// The new table.
        table: Table,
        /// Numbers of its partitions that are there already and are kept, as they are and with their contents.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        keep: Vec<u32>,
    },
    /// Make the old contents of a disk unreadable: by the disk's own command before its table is written, else after it,
    /// sparing the table and what is kept.
    Erase {
        /// Path of the whole disk.
        disk: String,
        /// How.
        how: Wipe,
        /// Numbers of the partitions that it spares: those that are kept, and the journal's.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        keep: Vec<u32>,
    },
    /// Write the journal's record into the camphor partition.
    WriteJournal {
        /// The camphor partition.
        partition: PartitionRef,
        /// The record.
        record: JournalRecord,
    },
    /// Make, start or stop what is between partitions and file systems.
    Stack(StackAct),
    /// Make subvolumes at the top of a btrfs.
    MakeSubvolumes {
        /// Where the file system is.
        device: BlockDevice,
        /// Their names.
        names: Vec<String>,
    },
    /// Make a file system or swap space.
    Mkfs {
        /// On this device.
        device: BlockDevice,
        /// Of this format.
        format: Format,
        /// With this UUID (for vfat: the first 32 bits are its serial number).
        uuid: Uuid,
        /// With this label.
        label: Option<String>,
        /// Further arguments of mkfs.
        options: Vec<String>,
    },
    /// Mount a file system below the new root; makes the mount point.
    Mount {
        /// The device.
        device: BlockDevice,
        /// Its format.
        format: Format,
        /// Mount point below the new root; `/` is the new root itself.
        path: String,
        /// Mount options.
        options: Vec<String>,
    },
    /// Mount a tmpfs as the new root.
    MountTmpfs {
        /// Size limit in bytes.
        size: u64,
        /// Limit of inodes.
        inodes: u64,
    },
    /// Mount /dev, /proc, /sys and /run into the new root, for programs that run in it.
    MountKernelFs,
    /// Stream, verify and unpack an image into the new root.
    Unpack {
        /// Digest of its manifest.
        manifest: Digest,
        /// Base URLs.
        sources: Vec<String>,
    },
    /// Write a file, with its final owner and mode from the first byte, in the place of whatever file or link is there
    /// (a link is replaced, not followed); makes parent directories (root, 0755).
    WriteFile {
        /// Below the new root.
        path: String,
        /// The bytes.
        content: Content,
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// Make a directory and its parents.
    Mkdir {
        /// Below the new root.
        path: String,
        /// Permission bits of the last component.
        mode: u32,
    },
    /// Make a symbolic link, in the place of whatever file is there; makes parent directories (root, 0755).
    Symlink {
        /// Below the new root.
        path: String,
        /// What it points to.
        target: String,
    },
    /// Copy a file within the new root, following links of the source; makes parent directories (root, 0755). The target
    /// may be on vfat: only the bytes matter.
    CopyFile {
        /// Below the new root.
        from: String,
        /// Below the new root.
        to: String,
    },
    /// Remove files; a `*` in the last component stands for any text. What is not there is fine.
    Remove {
        /// Below the new root.
        path: String,
    },
    /// Set or lock the password of an account of the new root, in its /etc/shadow.
    SetPassword {
        /// Account.
        user: String,
        /// crypt(5) hash; `None` locks the password.
        #[serde(serialize_with = "redact")]
        hash: Option<Secret>,
    },
    /// Check that the unpacked image has what the following ops need; changes nothing.
    Require {
        /// One of these paths below the new root must exist.
        any: Vec<String>,
        /// What is missing otherwise and what to do, for a person.
        missing: String,
    },
    /// Copy a file of the installer's own system into the new root (root, in the place of whatever is there); makes parent
    /// directories.
    Deliver {
        /// Absolute path in the installer's system.
        from: String,
        /// Below the new root.
        to: String,
        /// BLAKE3 that its bytes must have.
        digest: Digest,
        /// Permission bits.
        mode: u32,
    },
    /// Set the kernel's clock.
    SetClock {
        /// Seconds since 1970.
        time: u64,
    },
    /// Run a program in the new root (chroot).
    Run {
        /// Its arguments; the first is looked up in the root's usual paths.
        argv: Vec<String>,
    },
    /// Load a kernel of the new root for kexec (kexec_file_load(2)); the hand-off starts it. Before the unmount.
    LoadKernel {
        /// Below the new root.
        kernel: String,
        /// Below the new root.
        initrd: Option<String>,
        /// Its command line.
        command_line: String,
    },
    /// Write dirty data of all mounted target file systems out, and check for errors.
    Sync,
    /// Unmount everything below the new root, and the new root.
    Unmount,
    /// Change the type of a partition: the atomic end of an install.
    SetPartitionType {
        /// The partition.
        partition: PartitionRef,
        /// Its new type GUID.
        kind: Uuid,
    },
}

impl Op {
    /// An op without a guard.
    pub fn new(act: impl Into<Act>, reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), guard: Guard::default(), act: act.into() }
    }

    /// The same op under a condition.
    #[must_use]
    pub fn when(mut self, guard: Guard) -> Self {
        self.guard = guard;
        self
    }
}

impl Guard {
    /// Whether it asks nothing.
    pub fn is_empty(&self) -> bool {
        self.has.is_empty() && self.lacks.is_empty()
    }

    /// The root has this path.
    pub fn has(path: impl Into<String>) -> Self {
        Self { has: vec![path.into()], lacks: Vec::new() }
    }

    /// And it has this path, too.
    #[must_use]
    pub fn and(mut self, path: impl Into<String>) -> Self {
        self.has.push(path.into());
        self
    }

    /// But it lacks this one.
    #[must_use]
    pub fn but_not(mut self, path: impl Into<String>) -> Self {
        self.lacks.push(path.into());
        self
    }
}

impl From<StackAct> for Act {
    fn from(act: StackAct) -> Self {
        Self::Stack(act)
    }
}

impl Serialize for Content {
    /// For plans and golden files: a secret shows nothing.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Secret(_) => serializer.serialize_str("(secret)"),
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Secret(_) => f.write_str("Secret(…)"),
        }
    }
}

/// For plans and golden files: whether there is one, and no more.
fn redact<S: Serializer>(hash: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if hash.is_some() { "(secret)" } else { "(locked)" })
}
