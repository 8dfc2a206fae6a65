//! NII version 1. `docs/nii.md` is the reference; its fixtures in `nii/fixtures/v1` are frozen once released.
//!
//! The document has no secret outside [`Nii::secrets`], and that section is only in the form that a node gets once
//! per attempt: everything else may be logged, planned from, and shown.

mod network;
mod package;
mod select;
mod stacked;
mod storage;
mod validate;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::secret::Secret;

pub use network::{
    Bond, BondMode, Family4, Family6, Interface, InterfaceMatch, Network, Route4, Route6, Static4, Static6,
    Vlan,
};
pub use package::{
    Distribution, Family, Firewall, Package, PasswordHashes, Phase, Remote, Repository, Script, Selinux,
    Services, Source, User,
};
pub use select::{DiskPick, DiskSelect, Excluded, Hint};
pub use stacked::{LogicalVolume, Luks, Raid, RaidLevel, VolumeGroup};
pub use storage::{
    Attribute, Device, Disk, Filesystem, Format, FoundBy, MountAt, PARTITION_NAME_MAX, Partition,
    PartitionType, Storage, StorageMode, Subvolume, Wipe,
};

/// The version of the document that these types read and write.
pub const VERSION: u32 = 1;

/// The whole document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Nii {
    /// Always [`VERSION`]; a newer one stops the node before any disk is touched.
    pub version: u32,
    /// Who the node is.
    pub node: Node,
    /// What kind of install, and what follows it.
    pub install: Install,
    /// Time zone and clock.
    #[serde(default)]
    pub locale: Locale,
    /// Public part of the root account and of SSH.
    #[serde(default)]
    pub root: Root,
    /// Host name, name servers and interfaces.
    pub network: Network,
    /// Disks, partitions, file systems. Empty for a diskless node without scratch space.
    #[serde(default)]
    pub storage: Storage,
    /// The image, for `disked` and `diskless` installs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// What anaconda installs, for `package` installs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<Package>,
    /// The site's scripts, for `package` installs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scripts: Vec<Script>,
    /// Kernel modules to load, in this order, before the network comes up as described here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<Module>,
    /// Kernel arguments and boot loader of the installed system.
    #[serde(default)]
    pub boot: Boot,
    /// Secrets; absent from the public form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Secrets>,
}

/// Identity of the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// The node's name in the head node's store.
    pub name: String,
    /// Its group.
    pub group: String,
    /// Its id in the site's own inventory, which the head node does not read (Kusu's uid).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Free key/value pairs (Kusu's appglobals).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

/// What to do with the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Install {
    /// The flow.
    #[serde(rename = "type")]
    pub kind: InstallType,
    /// What follows a good install.
    #[serde(default)]
    pub after: After,
    /// What follows a failed one.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// Deadlines of steps in seconds, by step name; others keep their defaults.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub deadlines: BTreeMap<String, u32>,
}

/// The three flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstallType {
    /// Stock anaconda installs packages (the program `installer`).
    Package,
    /// An image on local disk.
    Disked,
    /// An image in RAM.
    Diskless,
}

/// What a node does after a good install.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum After {
    /// Firmware again, then the local disk.
    #[default]
    Reboot,
    /// The installed kernel, without firmware.
    Kexec,
    /// Straight into the new root; needs the initrd's kernel to be among the image's.
    SwitchRoot,
    /// Off.
    Poweroff,
}

/// What a node does after a failure has been shown and reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// Keep the failure screen until someone comes.
    #[default]
    ReportAndHold,
    /// Reboot after a minute, which is a new attempt.
    Reboot,
    /// A shell on the console.
    Shell,
}

/// Time zone and hardware clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locale {
    /// A name of the tz database, as in `Europe/Berlin`.
    #[serde(default = "utc")]
    pub timezone: String,
    /// Whether the hardware clock runs in UTC (else in local time).
    #[serde(default = "yes")]
    pub hardware_clock_utc: bool,
    /// NTP servers of the installed system.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ntp: Vec<String>,
    /// Language, as in `de_DE.UTF-8`, of systems that anaconda installs.
    #[serde(default = "lang")]
    pub lang: String,
    /// Keyboard layout, as in `de`, of systems that anaconda installs.
    #[serde(default = "keyboard")]
    pub keyboard: String,
}

impl Default for Locale {
    fn default() -> Self {
        Self {
            timezone: utc(),
            hardware_clock_utc: true,
            ntp: Vec::new(),
            lang: lang(),
            keyboard: keyboard(),
        }
    }
}

fn utc() -> String {
    "UTC".into()
}

fn lang() -> String {
    "en_US.UTF-8".into()
}

fn keyboard() -> String {
    "us".into()
}

fn yes() -> bool {
    true
}

/// Public part of the root account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// Lines of `/root/.ssh/authorized_keys`.
    #[serde(default)]
    pub authorized_keys: Vec<String>,
    /// Where the SSH host keys come from.
    #[serde(default)]
    pub ssh_host_keys: HostKeys,
}

/// Where SSH host keys come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostKeys {
    /// Made in the new root at install time.
    #[default]
    Generate,
    /// From [`Secrets::ssh_host_keys`].
    Provided,
    /// Those of the secrets, which the head node kept from an earlier attempt; else those of the system that was on the
    /// disks before; else new ones.
    Keep,
}

/// The image to install or to run from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its name, for people.
    pub name: String,
    /// Digest of the exact bytes of its manifest; the manifest's signature is required as well.
    pub manifest: Digest,
    /// Base URLs; `manifest.json`, `manifest.json.minisig`, `pages.bin` and the data are below each. Tried in order.
    pub sources: Vec<String>,
    /// Limit of the RAM root in MiB, for `diskless` (default: what the image needs plus half of what remains).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tmpfs_mib: Option<u64>,
}

/// A kernel module to load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// Its name, as for modprobe.
    pub name: String,
    /// Its options, as on modprobe's command line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub options: String,
}

/// How the installed system boots.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// Kernel arguments, beside the root device which camphor adds.
    #[serde(default)]
    pub kernel_args: Vec<String>,
    /// The boot loader.
    #[serde(default)]
    pub loader: Loader,
    /// Whether the image's initramfs is made again on the node.
    #[serde(default)]
    pub rebuild_initramfs: Rebuild,
}

/// Boot loaders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loader {
    /// GRUB 2, on BIOS and UEFI.
    #[default]
    Grub,
    /// systemd-boot, on UEFI only.
    SystemdBoot,
}

/// When to rebuild the image's initramfs in the new root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rebuild {
    /// When it may be host-only: a dracut root, or an initramfs-tools root with a driver policy.
    #[default]
    Auto,
    /// In every case.
    Always,
    /// Never.
    Never,
}

/// The secrets of a node, released once per attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secrets {
    /// Root's password as a crypt(5) hash; absent: the account's password is locked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_password_hash: Option<Secret>,
    /// Passwords of the accounts of [`Package::users`]; who is not here has a locked password.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub user_password_hashes: PasswordHashes,
    /// Host keys, for [`HostKeys::Provided`] and [`HostKeys::Keep`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ssh_host_keys: Vec<SshHostKey>,
    /// Keys of the encrypted devices, by [`Luks::name`]: passphrases.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub luks_keys: BTreeMap<String, Secret>,
}

/// One SSH host key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshHostKey {
    /// `ed25519`, `ecdsa` or `rsa`: the middle of `ssh_host_…_key`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The private key in OpenSSH's text form.
    pub private: Secret,
    /// The public key's line.
    pub public: String,
}

impl Nii {
    /// The form without secrets: what may be read again, shown and kept.
    pub fn public(&self) -> Self {
        Self { secrets: None, ..self.clone() }
    }

    /// Deadlines of steps in seconds: those of `install.deadlines`, and a week for `partition` where a disk is wiped, since that
    /// step's own is meant for tables, and the largest disks take days.
    pub fn deadlines(&self) -> BTreeMap<String, u32> {
        const WEEK: u32 = 7 * 24 * 60 * 60;
        let mut deadlines = self.install.deadlines.clone();
        if self.storage.disks.iter().any(|disk| disk.wipe.is_some()) {
            deadlines.entry("partition".to_owned()).or_insert(WEEK);
        }
        deadlines
    }

    /// Everything that is wrong with the document, errors and warnings, in document order.
    pub fn validate(&self) -> Vec<crate::Finding> {
        validate::nii(self)
    }
}
