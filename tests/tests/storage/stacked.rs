//! Layouts with arrays, encrypted devices, volumes and subvolumes, over the disks `camphor0` to `camphor3`.

use serde_json::{Value, json};
use tests::storage::Case;

use crate::layouts::{KEPT, disk};

/// A mirror for `/boot`; a mirror below a group with the root, swap and a pool with a thin volume.
pub fn mirrors_lvm_thin() -> Case {
    let members = |n: u32| {
        disk(
            &format!("d{n}"),
            n,
            &json!([
                {"label": format!("bios{n}"), "type": "bios-boot", "size_mib": 1},
                {"label": format!("boot{n}"), "type": "raid", "size_mib": 48},
                {"label": format!("sys{n}"), "type": "raid"},
            ]),
        )
    };
    let storage = json!({
        "disks": [members(0), members(1)],
        "raid": [
            {"name": "boot", "level": "raid1", "devices": ["boot0", "boot1"]},
            {"name": "sys", "level": "raid1", "devices": ["sys0", "sys1"]},
        ],
        "volume_groups": [{"name": "node", "devices": ["sys"]}],
        "logical_volumes": [
            {"name": "root", "group": "node", "size_mib": 128},
            {"name": "swap", "group": "node", "size_mib": 32},
            {"name": "pool", "group": "node", "size_mib": 64, "thin_pool": true},
            {"name": "home", "group": "node", "size_mib": 96, "pool": "pool"},
        ],
        "filesystems": [
            {"device": "boot", "format": "ext4", "mount": "/boot"},
            {"device": "node/root", "format": "ext4", "mount": "/"},
            {"device": "node/swap", "format": "swap"},
            {"device": "node/home", "format": "ext4", "mount": "/home"},
        ],
    });
    Case::new("mirrors-lvm-thin", storage)
}

/// A group over two disks; RAID5 over three.
pub fn raid5_and_a_wide_group() -> Case {
    let storage = json!({
        "disks": [
            disk("d0", 0, &json!([
                {"label": "bios", "type": "bios-boot", "size_mib": 1},
                {"label": "root", "type": "root", "size_mib": 128},
                {"label": "r0", "type": "raid", "size_mib": 64},
                {"label": "pv0", "type": "lvm"},
            ])),
            disk("d1", 1, &json!([{"label": "r1", "type": "raid", "size_mib": 64}, {"label": "pv1", "type": "lvm"}])),
            disk("d2", 2, &json!([{"label": "r2", "type": "raid", "size_mib": 64}])),
        ],
        "raid": [{"name": "data", "level": "raid5", "devices": ["r0", "r1", "r2"]}],
        "volume_groups": [{"name": "wide", "devices": ["pv0", "pv1"]}],
        "logical_volumes": [{"name": "all", "group": "wide"}],
        "filesystems": [
            {"device": "root", "format": "ext4", "mount": "/"},
            {"device": "data", "format": "ext4", "mount": "/data"},
            {"device": "wide/all", "format": "xfs", "mount": "/wide"},
        ],
    });
    Case::new("raid5-wide-group", storage)
}

/// An ESP on two disks; subvolumes of a btrfs; an encrypted device on stripes; a group on another encrypted device.
pub fn btrfs_luks() -> Case {
    let members = |n: u32, more: &[Value]| {
        let mut partitions = vec![
            json!({"label": format!("esp{n}"), "type": "esp", "size_mib": 40}),
            json!({"label": format!("fast{n}"), "type": "raid", "size_mib": 64}),
        ];
        partitions.extend(more.iter().cloned());
        disk(&format!("d{n}"), n, &partitions.into())
    };
    let bios = json!({"label": "bios", "type": "bios-boot", "size_mib": 1});
    let storage = json!({
        "disks": [
            members(0, &[bios, json!({"label": "root", "type": "root"})]),
            members(1, &[json!({"label": "vault", "type": "luks"})]),
        ],
        "raid": [
            {"name": "esp", "level": "raid1", "devices": ["esp0", "esp1"]},
            {"name": "fast", "level": "raid0", "devices": ["fast0", "fast1"]},
        ],
        "luks": [
            {"name": "scratch", "device": "fast", "random_key": true},
            {"name": "safe", "device": "vault", "random_key": true},
        ],
        "volume_groups": [{"name": "data", "devices": ["safe"]}],
        "logical_volumes": [{"name": "db", "group": "data"}],
        "filesystems": [
            {"device": "root", "format": "btrfs", "label": "system", "subvolumes": [
                {"name": "@", "mount": "/"},
                {"name": "@home", "mount": "/home"},
                {"name": "@snapshots"},
            ]},
            {"device": "esp", "format": "vfat", "mount": "/boot/efi"},
            {"device": "scratch", "format": "ext4", "mount": "/scratch"},
            {"device": "data/db", "format": "ext4", "mount": "/db"},
        ],
    });
    let (scratch, safe) = ("5c9c6a1be0cb4a60bd4fc0b8d8a9a3a6", "a2d0b1c8c7d94f8f9e1c3b2a47f0d961");
    Case::new("btrfs-luks", storage).with_key("scratch", scratch).with_key("safe", safe)
}

/// RAID6 and RAID10 over four disks, and a mirror with a spare.
pub fn levels() -> Case {
    let members = |n: u32, more: &[Value]| {
        let mut partitions = more.to_vec();
        for label in ["six", "ten"] {
            partitions.push(json!({"label": format!("{label}{n}"), "type": "raid", "size_mib": 24}));
        }
        disk(&format!("d{n}"), n, &partitions.into())
    };
    let one = |n: u32| json!({"label": format!("one{n}"), "type": "raid", "size_mib": 24});
    let bios = json!({"label": "bios", "type": "bios-boot", "size_mib": 1});
    let root = json!({"label": "root", "type": "root", "size_mib": 128});
    let storage = json!({
        "disks": [
            members(0, &[bios, root, one(0)]),
            members(1, &[one(1)]),
            members(2, &[one(2)]),
            members(3, &[]),
        ],
        "raid": [
            {"name": "six", "level": "raid6", "devices": ["six0", "six1", "six2", "six3"]},
            {"name": "ten", "level": "raid10", "devices": ["ten0", "ten1", "ten2", "ten3"]},
            {"name": "one", "level": "raid1", "devices": ["one0", "one1", "one2"], "spares": 1},
        ],
        "filesystems": [
            {"device": "root", "format": "ext4", "mount": "/"},
            {"device": "six", "format": "ext4", "mount": "/six"},
            {"device": "ten", "format": "ext4", "mount": "/ten"},
            {"device": "one", "format": "ext4", "mount": "/one"},
        ],
    });
    Case::new("raid6-raid10-spare", storage)
}

/// A group behind the partition that [`old_system`](crate::layouts::old_system) has, on the disk of this number.
pub fn kept_beside_volumes(group: &str, number: u32) -> Case {
    let partitions = json!([
        {"label": "bios", "type": "bios-boot", "size_mib": 1},
        {"label": "home", "preserve": true},
        {"label": "system", "type": "lvm"},
    ]);
    let group = format!("{group}{number}");
    let storage = json!({
        "disks": [disk("system", number, &partitions)],
        "volume_groups": [{"name": group, "devices": ["system"]}],
        "logical_volumes": [
            {"name": "swap", "group": group, "size_mib": 16},
            {"name": "root", "group": group},
        ],
        "filesystems": [
            {"device": format!("{group}/root"), "format": "ext4", "mount": "/"},
            {"device": format!("{group}/swap"), "format": "swap"},
            {"device": "home", "format": "ext4", "mount": "/home", "preserve": true},
        ],
    });
    Case::new(&format!("volumes-{group}"), storage).keeping(&format!("camphor{number}"), KEPT.0, KEPT.1)
}
