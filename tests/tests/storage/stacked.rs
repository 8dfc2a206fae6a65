//! Layouts with arrays and volumes, over the disks `camphor0` to `camphor2`.

use serde_json::json;
use tests::storage::Case;

use crate::layouts::disk;

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
