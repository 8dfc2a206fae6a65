//! The default lists of modules. To support one more driver, add its name here: a kernel that does not have it is fine.
//! What a module needs (modules.dep) or wishes for (softdep) comes by itself and is not listed.

use clap::ValueEnum;

/// A named list of modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModuleSet {
    /// Network cards, VLAN, bonding
    Net,
    /// Disks and their controllers
    Storage,
    /// File systems of targets and images
    Fs,
    /// Keyboards and serial consoles, for the rescue shell
    Console,
    /// Software RAID
    Raid,
    /// Device mapper: LVM, LUKS
    Dm,
    /// Btrfs
    Btrfs,
    /// No modules
    None,
}

impl ModuleSet {
    /// The names in the set.
    pub fn modules(self) -> &'static [&'static str] {
        match self {
            Self::Net => NET,
            Self::Storage => STORAGE,
            Self::Fs => FS,
            Self::Console => CONSOLE,
            Self::Raid => &["md_mod", "linear", "raid0", "raid1", "raid10", "raid456"],
            Self::Dm => DM,
            Self::Btrfs => &["btrfs"],
            Self::None => &[],
        }
    }
}

const NET: &[&str] = &[
    // DHCP needs packet sockets.
    "af_packet",
    "8021q",
    "bonding",
    // Virtual machines. virtio_net does not depend on the bus it sits on.
    "virtio_pci",
    "virtio_mmio",
    "virtio_net",
    "virtio_rng",
    "vmxnet3",
    "hv_vmbus",
    "hv_netvsc",
    "pci_hyperv",
    "xen_netfront",
    "ena",
    "gve",
    "mana",
    // Intel
    "e100",
    "e1000",
    "e1000e",
    "igb",
    "igbvf",
    "igc",
    "ixgbe",
    "ixgbevf",
    "i40e",
    "iavf",
    "ice",
    "idpf",
    // Nvidia (Mellanox)
    "mlx4_en",
    "mlx5_core",
    // Broadcom; tg3 finds its PHY driver by an alias, which no index knows as a need.
    "tg3",
    "broadcom",
    "bnx2",
    "bnx2x",
    "bnxt_en",
    // Others in servers
    "be2net",
    "cxgb4",
    "enic",
    "ionic",
    "qede",
    "sfc",
    "atlantic",
    "amd_xgbe",
    // Workstations and boards
    "8139cp",
    "8139too",
    "alx",
    "atl1c",
    "forcedeth",
    "r8169",
    "realtek",
    "sky2",
    // USB
    "r8152",
    "ax88179_178a",
    "cdc_ether",
    "cdc_ncm",
];

const STORAGE: &[&str] = &[
    "virtio_pci",
    "virtio_mmio",
    "virtio_blk",
    "virtio_scsi",
    "hv_storvsc",
    "xen_blkfront",
    "vmw_pvscsi",
    "nvme",
    "vmd",
    "ahci",
    "ata_piix",
    "ata_generic",
    "sd_mod",
    "sr_mod",
    "mptspi",
    "mptsas",
    "megaraid_sas",
    "mpt3sas",
    "mpi3mr",
    "smartpqi",
    "hpsa",
    "aacraid",
    "arcmsr",
    "3w_9xxx",
    "3w_sas",
    "isci",
    "pm80xx",
    "mvsas",
    // USB sticks and disks
    "usb_storage",
    "uas",
    "xhci_pci",
    "ehci_pci",
    // Cards
    "mmc_block",
    "sdhci_pci",
    "sdhci_acpi",
];

const FS: &[&str] = &[
    "ext4",
    "xfs",
    "vfat",
    // vfat asks for its code pages by name at mount.
    "nls_cp437",
    "nls_ascii",
    "nls_iso8859_1",
    "nls_utf8",
    "overlay",
    "squashfs",
    "erofs",
    "loop",
    "efivarfs",
    // ext4 and xfs ask for the checksum by its crypto name.
    "crc32c_generic",
    "crc32c_intel",
    "libcrc32c",
];

const CONSOLE: &[&str] = &[
    "virtio_console",
    "hvc_console",
    "i8042",
    "atkbd",
    "usbhid",
    "hid_generic",
    "xhci_pci",
    "ehci_pci",
    "ohci_pci",
    "uhci_hcd",
    "hyperv_keyboard",
];

const DM: &[&str] = &[
    "dm_mod",
    "dm_crypt",
    "dm_integrity",
    "dm_thin_pool",
    "dm_cache",
    "dm_cache_smq",
    "dm_snapshot",
    "dm_mirror",
    "dm_raid",
    // LUKS asks for its ciphers by name.
    "xts",
    "cbc",
    "essiv",
    "aes_generic",
    "aesni_intel",
    "sha256",
    "sha512",
    "af_alg",
    "algif_skcipher",
    "algif_hash",
    "trusted",
    "encrypted_keys",
];
