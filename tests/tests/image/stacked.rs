//! Installs on arrays, encrypted devices, volumes and btrfs, that boot from there with no head node left.

use std::time::Duration;

use anyhow::{Result, ensure};
use tests::group::{ADDRESS, Group, NODE};
use tests::head::Head;
use tests::scenario::{self, Scenario};
use tests::ssh::Key;
use tests::vm::{Firmware, Spec, Vm, empty_disk};

use crate::{BOOT, PXE, inside};

/// From the first line of our /init to the committed disk: an initramfs is made on the way.
const INSTALL: Duration = Duration::from_secs(600);

/// BIOS: `/boot` on a mirror, the root on a volume of a group over a mirror, thin volumes, a tmpfs.
const MIRRORS_AND_VOLUMES: &str = r#"
[[storage.disks]]
name = "first"
select = { serial = "camphor0" }
partitions = [
    { label = "boot0", type = "raid", size_mib = 200 },
    { label = "sys0", type = "raid" },
]
[[storage.disks]]
name = "second"
select = { serial = "camphor1" }
partitions = [
    { label = "boot1", type = "raid", size_mib = 200 },
    { label = "sys1", type = "raid" },
]
[[storage.raid]]
name = "boot"
level = "raid1"
devices = ["boot0", "boot1"]
[[storage.raid]]
name = "sys"
level = "raid1"
devices = ["sys0", "sys1"]
[[storage.volume_groups]]
name = "node"
devices = ["sys"]
[[storage.logical_volumes]]
name = "root"
group = "node"
size_mib = 1100
[[storage.logical_volumes]]
name = "swap"
group = "node"
size_mib = 64
[[storage.logical_volumes]]
name = "pool"
group = "node"
thin_pool = true
[[storage.logical_volumes]]
name = "home"
group = "node"
pool = "pool"
size_mib = 4096
[[storage.filesystems]]
device = "boot"
format = "ext4"
mount = "/boot"
[[storage.filesystems]]
device = "node/root"
format = "xfs"
mount = "/"
[[storage.filesystems]]
device = "node/swap"
format = "swap"
[[storage.filesystems]]
device = "node/home"
format = "ext4"
mount = "/home"
[[storage.filesystems]]
format = "tmpfs"
mount = "/scratch"
mount_options = ["size=16m", "nosuid"]
"#;

/// UEFI: an ESP on two disks, btrfs with subvolumes, LUKS2 on stripes, LUKS2 on a volume.
const BTRFS_AND_LUKS: &str = r#"
[luks_keys]
scratch = "a key of the scratch space"
vault = "another key"
[[storage.disks]]
name = "first"
select = { serial = "camphor0" }
partitions = [
    { label = "esp0", type = "esp", size_mib = 64 },
    { label = "fast0", type = "raid", size_mib = 128 },
    { label = "root", type = "root" },
]
[[storage.disks]]
name = "second"
select = { serial = "camphor1" }
partitions = [
    { label = "esp1", type = "esp", size_mib = 64 },
    { label = "fast1", type = "raid", size_mib = 128 },
    { label = "pv", type = "lvm" },
]
[[storage.raid]]
name = "esp"
level = "raid1"
devices = ["esp0", "esp1"]
[[storage.raid]]
name = "fast"
level = "raid0"
devices = ["fast0", "fast1"]
[[storage.luks]]
name = "scratch"
device = "fast"
[[storage.luks]]
name = "vault"
device = "data/vault"
[[storage.volume_groups]]
name = "data"
devices = ["pv"]
[[storage.logical_volumes]]
name = "vault"
group = "data"
[[storage.filesystems]]
device = "esp"
format = "vfat"
mount = "/boot/efi"
[[storage.filesystems]]
device = "root"
format = "btrfs"
label = "system"
mount_options = ["compress=zstd"]
[[storage.filesystems.subvolumes]]
name = "@"
mount = "/"
[[storage.filesystems.subvolumes]]
name = "@home"
mount = "/home"
[[storage.filesystems]]
device = "scratch"
format = "ext4"
mount = "/scratch"
[[storage.filesystems]]
device = "vault"
format = "xfs"
mount = "/vault"
"#;

/// BIOS, four disks: the root on raid5, a spare, raid6, raid10, a group over two disks.
const LEVELS: &str = r#"
[[storage.disks]]
name = "d0"
select = { serial = "camphor0" }
partitions = [
    { label = "boot0", type = "raid", size_mib = 160 }, { label = "root0", type = "raid", size_mib = 520 },
    { label = "six0", type = "raid", size_mib = 64 }, { label = "ten0", type = "raid", size_mib = 64 }, { label = "pv0", type = "lvm" },
]
[[storage.disks]]
name = "d1"
select = { serial = "camphor1" }
partitions = [
    { label = "boot1", type = "raid", size_mib = 160 }, { label = "root1", type = "raid", size_mib = 520 },
    { label = "six1", type = "raid", size_mib = 64 }, { label = "ten1", type = "raid", size_mib = 64 }, { label = "pv1", type = "lvm" },
]
[[storage.disks]]
name = "d2"
select = { serial = "camphor2" }
partitions = [
    { label = "boot2", type = "raid", size_mib = 160 }, { label = "root2", type = "raid", size_mib = 520 },
    { label = "six2", type = "raid", size_mib = 64 }, { label = "ten2", type = "raid", size_mib = 64 },
]
[[storage.disks]]
name = "d3"
select = { serial = "camphor3" }
partitions = [
    { label = "boot3", type = "raid", size_mib = 160 }, { label = "root3", type = "raid", size_mib = 520 },
    { label = "six3", type = "raid", size_mib = 64 }, { label = "ten3", type = "raid", size_mib = 64 },
]
[[storage.raid]]
name = "boot"
level = "raid1"
devices = ["boot0", "boot1", "boot2", "boot3"]
spares = 1
[[storage.raid]]
name = "root"
level = "raid5"
devices = ["root0", "root1", "root2", "root3"]
[[storage.raid]]
name = "six"
level = "raid6"
devices = ["six0", "six1", "six2", "six3"]
[[storage.raid]]
name = "ten"
level = "raid10"
devices = ["ten0", "ten1", "ten2", "ten3"]
[[storage.volume_groups]]
name = "wide"
devices = ["pv0", "pv1"]
[[storage.logical_volumes]]
name = "data"
group = "wide"
[[storage.filesystems]]
device = "boot"
format = "ext4"
mount = "/boot"
[[storage.filesystems]]
device = "root"
format = "ext4"
mount = "/"
[[storage.filesystems]]
device = "six"
format = "ext4"
mount = "/six"
[[storage.filesystems]]
device = "ten"
format = "ext4"
mount = "/ten"
[[storage.filesystems]]
device = "wide/data"
format = "ext4"
mount = "/data"
"#;

#[test]
fn image_stacked_mirrors_and_volumes() -> Result<()> {
    let wanted = [
        ("/", "/dev/mapper/node-root xfs"),
        ("/boot", "/dev/md/boot ext4"),
        ("/home", "/dev/mapper/node-home ext4"),
        ("/scratch", "tmpfs tmpfs"),
    ];
    let name = "image_stacked_mirrors_and_volumes";
    boots_alone(name, Firmware::Bios, MIRRORS_AND_VOLUMES, &[1800, 1800], &wanted)
}

#[test]
fn image_stacked_btrfs_and_luks() -> Result<()> {
    let wanted = [
        ("/", "/dev/vda3[/@] btrfs"),
        ("/home", "/dev/vda3[/@home] btrfs"),
        ("/scratch", "/dev/mapper/scratch ext4"),
        ("/vault", "/dev/mapper/vault xfs"),
    ];
    boots_alone("image_stacked_btrfs_and_luks", Firmware::Uefi, BTRFS_AND_LUKS, &[1600, 700], &wanted)
}

#[test]
fn image_stacked_levels() -> Result<()> {
    let wanted = [
        ("/boot", "/dev/md/boot ext4"),
        ("/", "/dev/md/root ext4"),
        ("/six", "/dev/md/six ext4"),
        ("/ten", "/dev/md/ten ext4"),
        ("/data", "/dev/mapper/wide-data ext4"),
    ];
    boots_alone("image_stacked_levels", Firmware::Bios, LEVELS, &[1000, 1000, 850, 850], &wanted)
}

/// PXE, install, reboot; then there is no head node any more, and what is mounted is on what it should be.
fn boots_alone(
    name: &str,
    firmware: Firmware,
    storage: &'static str,
    sizes: &[u64],
    wanted: &[(&str, &str)],
) -> Result<()> {
    scenario::run(name, |scenario| {
        let key = Key::new(scenario.scratch())?;
        let mut head = Head::new(scenario)?;
        Group::disked(storage).stacked().arm(&head, &key)?;
        head.serve()?;
        let disk =
            |(index, mib): (usize, &u64)| empty_disk(scenario.scratch().join(format!("disk{index}")), *mib);
        let disks = sizes.iter().enumerate().map(disk).collect::<Result<_>>()?;
        let mut vm = Vm::start(&scenario.net, &Spec { firmware, disks, ..Spec::default() }, &scenario.logs)?;
        vm.console.expect("camphor: imageinit", PXE)?;
        if firmware == Firmware::Uefi {
            vm.disk_first()?;
        }
        vm.console.expect("camphor: rebooting", INSTALL)?;
        vm.wait_reset(BOOT)?;
        head.kill()?;
        head.expect_state(NODE, "installed")?;
        inside::log_in(&mut vm)?;
        key.run_when_up(&scenario.net, ADDRESS, "true", BOOT)?;
        is_mounted(scenario, &key, wanted)
    })
}

fn is_mounted(scenario: &Scenario, key: &Key, wanted: &[(&str, &str)]) -> Result<()> {
    let ask =
        |command: &str| Ok::<_, anyhow::Error>(key.run(&scenario.net, ADDRESS, command)?.trim().to_owned());
    for (place, wanted) in wanted {
        let found = ask(&format!("findmnt -no SOURCE,FSTYPE {place} | tr -s ' '"))?;
        let (source, rest) = found.split_once(' ').unwrap_or((&found, ""));
        // Arrays have kernel names of their own at each boot.
        let named = match wanted.starts_with("/dev/md/") {
            true => ask(&format!(
                "echo /dev/md/$(mdadm --detail --export {source} | sed -n 's/^MD_NAME=.*://p')"
            ))?,
            false => source.to_owned(),
        };
        ensure!(
            format!("{named} {rest}") == *wanted,
            "{place} is {named} {rest} ({source}), and not {wanted}"
        );
    }
    let failed = ask("systemctl list-units --failed --plain --no-legend")?;
    ensure!(failed.is_empty(), "these failed: {failed}");
    let arrays = ask("cat /proc/mdstat")?;
    let is_whole = |status: &str| !status.contains('_') || !status.starts_with(['U', '_']);
    // A new raid5 computes its last member, and goes on with that after a reboot.
    let is_computed = arrays.contains("recovery") || arrays.contains("DELAYED");
    ensure!(arrays.split(['[', ']']).all(is_whole) || is_computed, "an array is degraded: {arrays}");
    Ok(())
}
