//! Installs on every kind of layout, that boot from there with no head node left.
//!
//! To add one: a file of this folder, a row of [`LAYOUTS`], and its name in a test here; without that it is left to
//! `cargo xtask soak layouts`.

mod run;

use std::env;

use anyhow::{Context as _, Result};
use tests::vm::Firmware;

/// A layout, the machine that it is for, and what must be true once it has booted.
#[derive(Clone, Copy)]
struct Layout {
    /// The scenario is `image_layout_NAME`.
    name: &'static str,
    firmware: Firmware,
    /// MiB of each disk.
    disks: &'static [u64],
    /// MiB of each disk with sectors of 4096 bytes, on NVMe.
    nvme: &'static [u64],
    /// Of the group's document.
    storage: &'static str,
    /// Lines for its section `boot`.
    boot: &'static str,
    history: History,
    /// A place, and what is mounted there.
    mounted: &'static [(&'static str, &'static str)],
    /// A command, and what it prints.
    says: &'static [(&'static str, &'static str)],
}

/// What the machine goes through beside the install.
#[derive(Clone, Copy, PartialEq, Eq)]
enum History {
    /// Nothing.
    Plain,
    /// An older system is on the first disk: `layouts/old-system.sh`.
    OldSystem,
    /// It is installed once more, by this section `storage`; all that is [`Layout::mounted`] stays but the root and `/boot`.
    Again(&'static str),
    /// Afterwards the first disk is gone, and it boots from what is left.
    LosesDisk,
}

impl Layout {
    const fn new(
        name: &'static str,
        firmware: Firmware,
        disks: &'static [u64],
        storage: &'static str,
        mounted: &'static [(&'static str, &'static str)],
    ) -> Self {
        let history = History::Plain;
        Self { name, firmware, disks, nvme: &[], storage, boot: "", history, mounted, says: &[] }
    }
}

const MIRRORS_AND_VOLUMES: Layout = Layout {
    history: History::LosesDisk,
    ..Layout::new(
        "mirrors_and_volumes",
        Firmware::Bios,
        &[1800, 1800],
        include_str!("layouts/mirrors-and-volumes.toml"),
        &[
            ("/", "/dev/mapper/node-root xfs"),
            ("/boot", "/dev/md/boot ext4"),
            ("/home", "/dev/mapper/node-home ext4"),
            ("/scratch", "tmpfs tmpfs"),
        ],
    )
};

const BTRFS_AND_LUKS: Layout = Layout::new(
    "btrfs_and_luks",
    Firmware::Uefi,
    &[1600, 700],
    include_str!("layouts/btrfs-and-luks.toml"),
    &[
        ("/", "/dev/vda3[/@] btrfs"),
        ("/home", "/dev/vda3[/@home] btrfs"),
        ("/scratch", "/dev/mapper/scratch ext4"),
        ("/vault", "/dev/mapper/vault xfs"),
    ],
);

const LEVELS: Layout = Layout::new(
    "levels",
    Firmware::Bios,
    &[1000, 1000, 850, 850],
    include_str!("layouts/levels.toml"),
    &[
        ("/boot", "/dev/md/boot ext4"),
        ("/", "/dev/md/root ext4"),
        ("/six", "/dev/md/six ext4"),
        ("/ten", "/dev/md/ten ext4"),
        ("/data", "/dev/mapper/wide-data ext4"),
    ],
);

const KEPT: Layout = Layout {
    history: History::OldSystem,
    says: &[
        ("cat /home/.which /data/.which /results/.which", "home\ndata\nresults"),
        ("sha256sum --check --quiet /home/sums && echo same", "same"),
        ("lsblk -bno PARTUUID,SIZE /dev/vda3 | tr -s ' '", "6d5c9cbc-6b2c-4f3f-9a53-0c5d6e1f7a11 16777216"),
        ("lsblk -no PARTLABEL /dev/vda1", "bios"),
    ],
    ..Layout::new(
        "kept",
        Firmware::Bios,
        &[1700],
        include_str!("layouts/kept.toml"),
        &[
            ("/", "/dev/mapper/node-root ext4"),
            ("/home", "/dev/vda2 ext4"),
            ("/data", "/dev/vda3 ext4"),
            ("/results", "/dev/vda5 ext4"),
        ],
    )
};

/// What systemd-boot says of itself to the system that it starts (the Boot Loader Interface).
const LOADER_INFO: &str = "tr -d '\\0' </sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f | grep -ao systemd-boot";

const NVME_4K: Layout = Layout {
    nvme: &[2600],
    boot: "loader = \"systemd-boot\"",
    says: &[
        ("lsblk -dno LOG-SEC /dev/nvme0n1 | tr -d ' '", "4096"),
        (LOADER_INFO, "systemd-boot"),
        ("lsblk -no PARTUUID /dev/disk/by-partlabel/large", "6d5c9cbc-6b2c-4f3f-9a53-0c5d6e1f7a12"),
        ("lsblk -no PARTFLAGS /dev/disk/by-partlabel/large", "0x1"),
        ("lsblk -no PARTFLAGS /dev/disk/by-partlabel/small", "0x9000000000000000"),
        ("cd /dev/disk/by-partlabel; echo $(($(blockdev --getsz large) / $(blockdev --getsz small)))", "3"),
    ],
    ..Layout::new(
        "nvme_4k",
        Firmware::Uefi,
        &[],
        include_str!("layouts/nvme-4k.toml"),
        &[
            ("/", "/dev/mapper/node-root ext4"),
            ("/boot/efi", "/dev/nvme0n1p1 vfat"),
            ("/large", "/dev/nvme0n1p3 ext4"),
        ],
    )
};

const WIDE_AND_STRIPES: &str = include_str!("layouts/wide-and-stripes.toml");
const WIDE_MOUNTED: &[(&str, &str)] =
    &[("/boot", "/dev/vda2 ext4"), ("/", "/dev/mapper/wide-root ext4"), ("/fast", "/dev/md/fast ext4")];
const PLAIN: &str = include_str!("layouts/plain.toml");
const PLAIN_MOUNTED: &[(&str, &str)] = &[("/", "/dev/vda2 ext4"), ("/home", "/dev/vda3 ext4")];
const MIRRORED_ESP: Layout = Layout {
    history: History::LosesDisk,
    ..Layout::new(
        "mirrored_esp",
        Firmware::Uefi,
        &[1700, 1700],
        include_str!("layouts/mirrored-esp.toml"),
        &[("/", "/dev/md/root ext4"), ("/boot/efi", "/dev/md/esp vfat")],
    )
};

/// Those without a test of their own.
const LAYOUTS: &[Layout] = &[
    KEPT,
    NVME_4K,
    Layout { name: "nvme_4k_grub", boot: "", says: &[], ..NVME_4K },
    Layout::new("wide_bios", Firmware::Bios, &[1200, 900], WIDE_AND_STRIPES, WIDE_MOUNTED),
    Layout::new("wide_uefi", Firmware::Uefi, &[1500, 900], WIDE_AND_STRIPES, WIDE_MOUNTED),
    Layout {
        history: History::Again(include_str!("layouts/plain-again.toml")),
        ..Layout::new("again_bios", Firmware::Bios, &[1700], PLAIN, PLAIN_MOUNTED)
    },
    Layout {
        history: History::Again(include_str!("layouts/stacks-again.toml")),
        ..Layout::new(
            "again_stacks",
            Firmware::Bios,
            &[1800, 1900],
            include_str!("layouts/stacks.toml"),
            &[
                ("/", "/dev/mapper/node-root ext4"),
                ("/home", "/dev/mapper/node-home ext4"),
                ("/srv/results", "/dev/mapper/node-srv xfs"),
                ("/files", "/dev/md/files ext4"),
                ("/vault", "/dev/mapper/vault ext4"),
            ],
        )
    },
    Layout::new("plain_uefi", Firmware::Uefi, &[2200], PLAIN, PLAIN_MOUNTED),
    MIRRORED_ESP,
    Layout {
        name: "mirrored_esp_systemd_boot",
        boot: "loader = \"systemd-boot\"",
        says: &[(LOADER_INFO, "systemd-boot")],
        ..MIRRORED_ESP
    },
];

/// Those of [`LAYOUTS`] that are no soak.
const USUAL: [&str; 2] = [KEPT.name, NVME_4K.name];

#[test]
fn image_stacked_mirrors_and_volumes() -> Result<()> {
    run::boots_alone(&MIRRORS_AND_VOLUMES)
}

#[test]
fn image_stacked_btrfs_and_luks() -> Result<()> {
    run::boots_alone(&BTRFS_AND_LUKS)
}

#[test]
fn image_stacked_levels() -> Result<()> {
    run::boots_alone(&LEVELS)
}

/// `cargo xtask soak layouts` asks for all; a name asks for that one.
#[test]
fn image_layouts() -> Result<()> {
    let asked = env::var("CAMPHOR_LAYOUTS");
    let is_asked = |layout: &&Layout| match asked.as_deref() {
        Ok("all") => true,
        Ok(name) => layout.name == name,
        Err(_) => USUAL.contains(&layout.name),
    };
    let mut layouts = LAYOUTS.iter().filter(is_asked).peekable();
    layouts.peek().context("CAMPHOR_LAYOUTS names no layout")?;
    layouts.try_for_each(|layout| run::boots_alone(layout).with_context(|| format!("layout {}", layout.name)))
}
