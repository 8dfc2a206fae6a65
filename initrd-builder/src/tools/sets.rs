//! The default lists of tools, and which package a missing one comes with. To support one more, add it here.

use clap::ValueEnum;

/// A named group of programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ToolSet {
    /// mkfs.ext4
    Ext4,
    /// mkfs.xfs
    Xfs,
    /// mkfs.vfat
    Vfat,
    /// The rescue shell
    Busybox,
    /// mkfs.btrfs
    Btrfs,
    /// LVM
    Lvm,
    /// mdadm
    Raid,
    /// cryptsetup
    Luks,
    /// No tools
    None,
}

/// What a set consists of.
#[derive(Debug)]
pub struct Recipe {
    /// Programs by name; all must be there.
    pub programs: &'static [&'static str],
    /// Configuration that is packed if the root has it.
    pub files: &'static [&'static str],
    /// Libraries that a program loads by name at run time.
    pub loaded: &'static [&'static str],
}

impl ToolSet {
    /// The contents of the set.
    pub fn recipe(self) -> Recipe {
        let programs = |programs| Recipe { programs, files: &[], loaded: &[] };
        match self {
            Self::Ext4 => Recipe { files: &["/etc/mke2fs.conf"], ..programs(&["mkfs.ext4"]) },
            Self::Xfs => programs(&["mkfs.xfs"]),
            Self::Vfat => programs(&["mkfs.vfat"]),
            Self::Busybox => programs(&["busybox"]),
            Self::Btrfs => programs(&["mkfs.btrfs"]),
            Self::Lvm => Recipe { files: &["/etc/lvm/lvm.conf"], ..programs(LVM) },
            Self::Raid => programs(&["mdadm"]),
            // glibc loads libgcc_s when a thread is cancelled, which cryptsetup's Argon2 does.
            Self::Luks => Recipe { loaded: &["libgcc_s.so.1"], ..programs(&["cryptsetup"]) },
            Self::None => programs(&[]),
        }
    }
}

const LVM: &[&str] = &[
    "lvm", "pvcreate", "pvremove", "pvs", "pvscan", "vgcreate", "vgremove", "vgs", "vgchange", "vgscan",
    "lvcreate", "lvremove", "lvs", "lvchange", "lvextend",
];

/// Tool, Debian package, RHEL package.
const PACKAGES: &[(&[&str], &str, &str)] = &[
    (
        &["mkfs.ext4", "mkfs.ext3", "mkfs.ext2", "mke2fs", "e2fsck", "tune2fs", "resize2fs"],
        "e2fsprogs",
        "e2fsprogs",
    ),
    (&["mkfs.xfs", "xfs_repair", "xfs_admin"], "xfsprogs", "xfsprogs"),
    (&["mkfs.vfat", "mkfs.fat", "fsck.vfat"], "dosfstools", "dosfstools"),
    (&["mkfs.btrfs", "btrfs"], "btrfs-progs", "btrfs-progs (EPEL or Fedora)"),
    (
        &["mkswap", "wipefs", "blkid", "lsblk", "mount", "losetup", "sfdisk"],
        "util-linux or fdisk",
        "util-linux",
    ),
    (&["busybox"], "busybox-static", "busybox (EPEL)"),
    (LVM, "lvm2", "lvm2"),
    (&["mdadm"], "mdadm", "mdadm"),
    (&["cryptsetup"], "cryptsetup-bin", "cryptsetup"),
    (&["dmsetup"], "dmsetup", "device-mapper"),
    (&["sgdisk"], "gdisk", "gdisk"),
    (&["efibootmgr"], "efibootmgr", "efibootmgr"),
    (&["kexec"], "kexec-tools", "kexec-tools"),
    (&["nvme"], "nvme-cli", "nvme-cli"),
    (&["ethtool"], "ethtool", "ethtool"),
    (&["ip"], "iproute2", "iproute"),
    (&["ipmitool"], "ipmitool", "ipmitool"),
    (&["smartctl"], "smartmontools", "smartmontools"),
];

/// What to do about a missing tool.
pub fn hint(tool: &str) -> String {
    let name = tool.rsplit('/').next().unwrap_or(tool);
    match PACKAGES.iter().find(|(tools, ..)| tools.contains(&name)) {
        Some((_, debian, rhel)) => {
            format!(
                "install {debian} (Debian, Ubuntu) or {rhel} (RHEL family) there, or leave its --tool-set out"
            )
        }
        None => format!(
            "install the package it comes with there (`apt-file search bin/{name}`, `dnf provides '*/{name}'`)"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_tool_has_a_package() {
        for set in ToolSet::value_variants() {
            for program in set.recipe().programs {
                assert!(hint(program).contains("(RHEL family)"), "{program}");
            }
        }
        assert!(hint("/usr/sbin/mkfs.xfs").starts_with("install xfsprogs (Debian"));
        assert!(hint("oddity").contains("dnf provides '*/oddity'"));
    }
}
