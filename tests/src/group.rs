//! The one node that scenarios install, and the documents of its group.

use anyhow::Result;

use crate::head::{Head, IMAGE, STACKED};
use crate::ssh::Key;
use crate::vm::KERNEL_ARGUMENTS;

/// The node's name.
pub const NODE: &str = "n001";
/// Its address, by reservation and when static.
pub const ADDRESS: &str = "10.23.0.11";
/// Its network card, which is [`crate::vm::Spec`]'s default.
pub const MAC: &str = "52:54:00:23:00:01";
/// Root's password on it.
pub const PASSWORD: &str = "camphor and borneol";

/// A group document in the making: TOML sections, see `docs/headnode.md`.
pub struct Group {
    netboot: &'static str,
    argument: Option<&'static str>,
    install: &'static str,
    storage: &'static str,
    boot: &'static str,
    addressing: &'static str,
}

/// BIOS: GRUB in a BIOS boot partition, swap, ext4.
pub const BIOS_EXT4: &str = r#"
[[storage.disks]]
name = "system"
select = { pick = "first" }
partitions = [
    { label = "bios", type = "bios-boot", size_mib = 1 },
    { label = "swap", type = "swap", size_mib = 64 },
    { label = "root", type = "root" },
]
[[storage.filesystems]]
device = "swap"
format = "swap"
[[storage.filesystems]]
device = "root"
format = "ext4"
label = "camphor-root"
mount = "/"
"#;

/// UEFI: an ESP for GRUB, and XFS.
pub const UEFI_XFS: &str = r#"
[[storage.disks]]
name = "system"
select = { serial = "camphor0" }
partitions = [
    { label = "esp", type = "esp", size_mib = 128 },
    { label = "root", type = "root" },
]
[[storage.filesystems]]
device = "esp"
format = "vfat"
mount = "/boot/efi"
[[storage.filesystems]]
device = "root"
format = "xfs"
mount = "/"
"#;

impl Group {
    /// A node that is installed on `storage` and boots from there.
    pub const fn disked(storage: &'static str) -> Self {
        let install = "type = \"disked\"\nafter = \"reboot\"";
        Self { netboot: IMAGE, argument: None, install, storage, boot: "", addressing: "static" }
    }

    /// A node that runs from RAM.
    pub const fn diskless() -> Self {
        let install = "type = \"diskless\"\nafter = \"switch-root\"";
        Self { netboot: IMAGE, argument: None, install, storage: "", boot: "", addressing: "dhcp" }
    }

    /// The netboot pair whose initrd makes arrays and volumes.
    pub const fn stacked(self) -> Self {
        Self { netboot: STACKED, ..self }
    }

    /// Another netboot pair, and a further kernel argument for it.
    pub const fn netboot(self, netboot: &'static str, argument: &'static str) -> Self {
        Self { netboot, argument: Some(argument), ..self }
    }

    /// Other lines for the section `install`.
    pub const fn install(self, install: &'static str) -> Self {
        Self { install, ..self }
    }

    /// Further lines for the section `boot`.
    pub const fn boot(self, boot: &'static str) -> Self {
        Self { boot, ..self }
    }

    /// `static` or `dhcp`, of the installed system.
    pub const fn addressing(self, addressing: &'static str) -> Self {
        Self { addressing, ..self }
    }

    /// Defines the group with [`NODE`] in it, and arms that; `key` will open it.
    ///
    /// # Errors
    /// When `headnode` refuses the document.
    pub fn arm(&self, head: &Head<'_>, key: &Key) -> Result<()> {
        head.armed_node(NODE, MAC, ADDRESS, &self.document(head, key)?)
    }

    /// The document; `key` will open its nodes.
    ///
    /// # Errors
    /// When the password cannot be hashed, or the key not be read.
    pub fn document(&self, head: &Head<'_>, key: &Key) -> Result<String> {
        let Self { netboot, argument, install, storage, boot, addressing } = self;
        let arguments: Vec<&str> = KERNEL_ARGUMENTS.into_iter().chain(*argument).collect();
        let (hash, key) = (head.hash(PASSWORD)?, key.public()?);
        Ok(format!(
            r#"netboot = "{netboot}"
netboot_args = {arguments:?}
[install]
{install}
[image]
name = "{IMAGE}"
[locale]
timezone = "Europe/Berlin"
[root]
password_hash = "{hash}"
authorized_keys = ["{key}"]
[network]
domain = "cluster.example"
addressing = "{addressing}"
{storage}
[boot]
kernel_args = ["console=ttyS0", "norandmaps", "loglevel=7"]
{boot}
"#
        ))
    }
}
