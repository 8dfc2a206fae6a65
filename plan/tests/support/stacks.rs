//! Cases with arrays, encrypted devices and volumes.

use plan::facts::{Content, Table, TableEntry};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Case, GIB, bios, disk, efi};

const STACK_TOOLS: [&str; 4] = ["mdadm", "lvm", "cryptsetup", "mkfs.btrfs"];

fn two_disks(mut case: Case) -> Case {
    case.facts.disks.push(disk("/dev/vdb", 8 * GIB));
    case.facts.tools.extend(STACK_TOOLS.map(Into::into));
    case
}

/// BIOS: `/boot` on a mirror, the root on a volume of a group on a mirror, thin volumes for data.
pub fn raid_and_lvm() -> Case {
    let mut case = two_disks(bios());
    let disk = |n: u8| {
        json!({"name": format!("d{n}"), "select": {"serial": format!("S-vd{}", ["a", "b"][usize::from(n)])}, "partitions": [
            {"label": format!("bios{n}"), "type": "bios-boot", "size_mib": 1},
            {"label": format!("boot{n}"), "type": "raid", "size_mib": 512},
            {"label": format!("sys{n}"), "type": "raid"},
        ]})
    };
    case.nii["storage"] = json!({
        "disks": [disk(0), disk(1)],
        "raid": [
            {"name": "boot", "level": "raid1", "devices": ["boot0", "boot1"]},
            {"name": "sys", "level": "raid1", "devices": ["sys0", "sys1"]},
        ],
        "volume_groups": [{"name": "node", "devices": ["sys"]}],
        "logical_volumes": [
            {"name": "pool", "group": "node", "thin_pool": true},
            {"name": "home", "group": "node", "size_mib": 20480, "pool": "pool"},
            {"name": "root", "group": "node", "size_mib": 4096},
            {"name": "swap", "group": "node", "size_mib": 512},
        ],
        "filesystems": [
            {"device": "boot", "format": "ext4", "mount": "/boot"},
            {"device": "node/root", "format": "xfs", "mount": "/"},
            {"device": "node/home", "format": "ext4", "mount": "/home"},
            {"device": "node/swap", "format": "swap"},
            {"format": "tmpfs", "mount": "/scratch", "mount_options": ["size=1g"]},
        ],
    });
    case
}

/// UEFI: an ESP on two disks, btrfs with subvolumes, encrypted scratch space on stripes.
pub fn btrfs_and_luks() -> Case {
    let mut case = two_disks(efi());
    let disk = |n: u8, more: Value| {
        json!({"name": format!("d{n}"), "select": {"serial": format!("S-vd{}", ["a", "b"][usize::from(n)])}, "partitions": [
            {"label": format!("esp{n}"), "type": "esp", "size_mib": 256},
            {"label": format!("fast{n}"), "type": "raid", "size_mib": 2048},
            more,
        ]})
    };
    case.nii["storage"] = json!({
        "disks": [disk(0, json!({"label": "root", "type": "root"})), disk(1, json!({"label": "data"}))],
        "raid": [
            {"name": "esp", "level": "raid1", "devices": ["esp0", "esp1"]},
            {"name": "fast", "level": "raid0", "devices": ["fast0", "fast1"]},
        ],
        "luks": [{"name": "scratch", "device": "fast"}],
        "filesystems": [
            {"device": "esp", "format": "vfat", "mount": "/boot/efi"},
            {"device": "root", "format": "btrfs", "label": "system", "mount_options": ["compress=zstd"], "subvolumes": [
                {"name": "@", "mount": "/"},
                {"name": "@home", "mount": "/home", "mount_options": ["nosuid"]},
                {"name": "@snapshots"},
            ]},
            {"device": "scratch", "format": "ext4", "mount": "/scratch"},
            {"device": "data", "format": "xfs", "mount": "/data"},
        ],
    });
    case.nii["secrets"]["luks_keys"] = json!({"scratch": "notforlogs either"});
    case
}

/// A group whose volume with data is kept, and whose root is made anew.
pub fn kept_group() -> Case {
    let mut case = two_disks(bios());
    let entry = |number, label: &str, first: u64, last: u64| TableEntry {
        number,
        kind: nii::v1::PartitionType::Lvm.guid(),
        guid: Uuid::from_u128(number.into()),
        first,
        last,
        label: label.into(),
        attributes: 0,
    };
    let old = vec![entry(1, "bios", 2048, 4095), entry(3, "pv", 8192, 12_000_000)];
    case.facts.disks[0].table = Some(Table { guid: Uuid::from_u128(9), partitions: old });
    case.facts.disks[0].contents = vec![Content {
        partition: Some(3),
        kind: "LVM2_member".into(),
        label: Some("old".into()),
        uuid: Some("abcdef".into()),
        size: 4 * GIB,
        used: None,
        members: None,
    }];
    case.nii["storage"] = json!({
        "disks": [{"name": "system", "select": {"serial": "S-vda"}, "partitions": [
            {"label": "bios", "type": "bios-boot", "size_mib": 1},
            {"label": "pv", "type": "lvm", "preserve": true},
            {"label": "boot", "size_mib": 512},
        ]}],
        "volume_groups": [{"name": "old", "devices": ["pv"], "preserve": true}],
        "logical_volumes": [
            {"name": "root", "group": "old", "size_mib": 2048},
            {"name": "data", "group": "old", "preserve": true},
        ],
        "filesystems": [
            {"device": "boot", "format": "ext4", "mount": "/boot"},
            {"device": "old/root", "format": "ext4", "mount": "/"},
            {"device": "old/data", "format": "xfs", "mount": "/data", "preserve": true},
        ],
    });
    case
}
