//! The cases with golden plans; `rerun` interrupts those of them that have disks.

use nii::v1::PartitionType;
use plan::facts::{Content, Table, TableEntry};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Case, GIB, MAC, bios, disk, diskless, efi, rocky, stacks};

/// Every case with disks, by its name; and one in which something is kept.
pub fn disked() -> Vec<(&'static str, Case)> {
    vec![
        ("bios_ext4_debian", bios_ext4_debian()),
        ("uefi_xfs_debian_grub", uefi_xfs_debian_grub()),
        ("uefi_systemd_boot_kexec", uefi_systemd_boot_kexec()),
        ("uefi_rocky", uefi_rocky()),
        ("bios_4kn_switch_root", bios_4kn_switch_root()),
        ("several_disks_with_pick", several_disks_with_pick()),
        ("kept_home", kept_home()),
        ("bios_raid_and_lvm", stacks::raid_and_lvm()),
        ("uefi_mirrored_esp_btrfs_and_luks", stacks::btrfs_and_luks()),
        ("volumes_anew_beside_kept_ones", stacks::kept_group()),
        ("a_root_on_a_wiped_disk", wiped_with_a_kept_home()),
    ]
}

pub fn bios_ext4_debian() -> Case {
    bios()
}

pub fn uefi_xfs_debian_grub() -> Case {
    efi()
}

pub fn uefi_systemd_boot_kexec() -> Case {
    let mut case = efi();
    case.nii["boot"]["loader"] = json!("systemd-boot");
    case.nii["install"]["after"] = json!("kexec");
    case
}

pub fn uefi_rocky() -> Case {
    let mut case = efi();
    case.manifest = rocky();
    case
}

pub fn bios_4kn_switch_root() -> Case {
    let mut case = bios();
    case.facts.disks[0].sector = 4096;
    case.nii["install"]["after"] = json!("switch-root");
    case
}

/// Static addresses of both families on one interface, IPv6 only on the other; provided host keys.
pub fn diskless_static_network() -> Case {
    let mut case = diskless();
    case.nii["network"]["interfaces"] = json!([
        {"match": {"mac": MAC}, "mtu": 9000,
         "ipv4": {"static": {"address": "10.0.0.5", "prefix": 24, "gateway": "10.0.0.1",
                             "routes": [{"to": "10.9.0.0", "prefix": 16, "via": "10.0.0.9"}]}},
         "ipv6": {"static": {"address": "fd00::5", "prefix": 64, "gateway": "fd00::1",
                             "routes": [{"to": "fd09::", "prefix": 32, "via": "fd00::9"}]}}},
        {"match": {"name": "eth1"}, "ipv6": "slaac"},
    ]);
    case.nii["network"]["dns"] = json!(["10.0.0.1", "fd00::1"]);
    case.nii["root"]["ssh_host_keys"] = json!("provided");
    case.nii["secrets"]["ssh_host_keys"] =
        json!([{"type": "ed25519", "private": "PRIVATE", "public": "ssh-ed25519 AAAA host"}]);
    case
}

/// The named disk is found first although it comes last; the others are picked among what remains.
pub fn several_disks_with_pick() -> Case {
    let mut case = bios();
    case.facts.disks = vec![
        disk("/dev/sda", 8 * GIB),
        disk("/dev/sdb", 4 * GIB),
        disk("/dev/sdc", 6 * GIB),
        disk("/dev/nvme0n1", 3 * GIB),
    ];
    let system = case.nii["storage"]["disks"][0]["partitions"].clone();
    let data = |name: &str| json!([{"label": name}]);
    case.nii["storage"]["disks"] = json!([
        {"name": "large", "select": {"pick": "largest"}, "partitions": data("scratch")},
        {"name": "small", "select": {"pick": "smallest", "min_size_mib": 4000}, "partitions": data("logs")},
        {"name": "system", "select": {"serial": "S-nvme0n1"}, "partitions": system},
    ]);
    case.nii["storage"]["filesystems"].as_array_mut().expect("it is a list").extend([
        json!({"device": "scratch", "format": "xfs", "mount": "/scratch"}),
        json!({"device": "logs", "format": "ext4", "mount": "/var/log"}),
    ]);
    case
}

/// The disk with the root, the journal and what is kept is written over.
fn wiped_with_a_kept_home() -> Case {
    let mut case = kept_home();
    case.nii["storage"]["disks"][0]["wipe"] = json!("zero");
    case
}

/// A partition with a file system between two that are made anew.
pub fn kept_home() -> Case {
    let mut case = bios();
    let partitions = [(1, "old", 2048, 4_194_303), (5, "home", 4_194_304, 8_388_607)];
    let entry = |(number, label, first, last): (u32, &str, u64, u64)| TableEntry {
        number,
        kind: PartitionType::Linux.guid(),
        guid: Uuid::from_u128(0x77 + u128::from(number)),
        first,
        last,
        label: label.into(),
        attributes: 0,
    };
    case.facts.disks[0].table =
        Some(Table { guid: Uuid::from_u128(0x77), partitions: partitions.map(entry).into() });
    case.facts.disks[0].contents = vec![Content {
        partition: Some(5),
        kind: "xfs".into(),
        label: None,
        uuid: Some(Uuid::from_u128(0x78).to_string()),
        size: 2 * GIB,
        used: None,
        members: None,
    }];
    let storage = &mut case.nii["storage"];
    let list = |value: &mut Value, more: Value| value.as_array_mut().expect("it is a list").push(more);
    list(&mut storage["disks"][0]["partitions"], json!({"label": "home", "preserve": true}));
    let home = json!({"device": "home", "format": "xfs", "mount": "/home", "preserve": true});
    list(&mut storage["filesystems"], home);
    case
}
