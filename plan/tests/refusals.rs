//! Every reason why a plan cannot be: where it is, and what it tells the person who must mend it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test support")]

mod support;

use nii::Finding;
use plan::facts::Firmware;
use serde_json::{Value, json};
use support::{Case, GIB, bios, disk, diskless, efi, rocky};

/// Expects exactly one error, and that its message has all of `words`.
#[track_caller]
fn refused(result: Result<plan::Plan, Vec<Finding>>, path: &str, words: &[&str]) {
    let findings = result.expect_err("this must be refused");
    let errors: Vec<&Finding> = findings.iter().filter(|finding| finding.is_error()).collect();
    assert_eq!(errors.len(), 1, "{findings:#?}");
    assert_eq!(errors[0].path, path, "{findings:#?}");
    for word in words {
        assert!(errors[0].message.contains(word), "`{word}` is not in: {}", errors[0].message);
    }
}

fn selecting(select: Value) -> Case {
    let mut case = bios();
    case.facts.disks.push(disk("/dev/vdb", 20 * GIB));
    case.nii["storage"]["disks"][0]["select"] = select;
    case
}

const SELECT: &str = "storage.disks[0].select";

#[test]
fn a_disk_that_is_not_there() {
    let words = ["disk `system`", "no disk matches", "/dev/vda (8.0 GiB, model QEMU HARDDISK, serial S-vda)"];
    refused(
        selecting(json!({"serial": "S-x"})).disked(),
        SELECT,
        &[&words[..], &["its serial is not `S-x`"]].concat(),
    );
    for (select, word) in [
        (json!({"path": "/dev/sda"}), "its path is not `/dev/sda`"),
        (json!({"wwn": "naa.5"}), "its wwn is not `naa.5`"),
        (json!({"model": "X"}), "its model is not `X`"),
        (json!({"min_size_mib": 100_000}), "has less than 97.6 GiB"),
        (json!({"max_size_mib": 1000}), "has more than 1000 MiB"),
        (json!({"rotational": true}), "does not spin"),
        (json!({"vendor": "ACME"}), "its vendor is not `ACME`"),
        (json!({"model": "<in> SSD"}), "its model `QEMU HARDDISK` is not as in `<in> SSD`"),
        (json!({"transport": "<or> sata <or> sas"}), "has no transport to compare with `<or> sata <or> sas`"),
        (json!({"by_path": "pci-0000:00:04.0"}), "its by_path is not `pci-0000:00:04.0`"),
    ] {
        refused(selecting(select).disked(), SELECT, &[word]);
    }
    let mut none = bios();
    none.facts.disks.clear();
    refused(none.disked(), SELECT, &["no disk that the kernel sees"]);
}

#[test]
fn more_than_one_disk() {
    refused(
        selecting(json!({})).disked(),
        SELECT,
        &["2 disks match", "/dev/vda", "/dev/vdb (20.0 GiB", "pick"],
    );
    assert!(selecting(json!({"min_size_mib": 10_000})).disked().is_ok());
}

#[test]
fn removable_and_read_only_disks_are_not_chosen() {
    let change = |change: fn(&mut plan::facts::Disk), select| {
        let mut case = selecting(select);
        change(&mut case.facts.disks[0]);
        case.disked()
    };
    assert!(change(|disk| disk.removable = true, json!({})).is_ok(), "the other one is taken");
    assert!(change(|disk| disk.read_only = true, json!({})).is_ok(), "the other one is taken");
    assert!(change(|disk| disk.removable = true, json!({"serial": "S-vda"})).is_ok(), "it was named");
    refused(
        change(|disk| disk.removable = true, json!({"path": "/dev/vda"})),
        SELECT,
        &["is removable, and not named by serial, wwn or by_path"],
    );
    refused(
        change(|disk| disk.read_only = true, json!({"serial": "S-vda"})),
        SELECT,
        &["/dev/vda", "is read-only"],
    );
    let mut only = bios();
    only.facts.disks[0].removable = true;
    refused(only.disked(), SELECT, &["is removable, and not named"]);
}

#[test]
fn kinds_of_disk_that_are_passed_over() {
    let written = |select: Value, change: fn(&mut plan::facts::Disk)| {
        let mut case = selecting(select);
        change(&mut case.facts.disks[0]);
        let plan = case.disked();
        plan.map(|plan| match &plan.ops("partition")[1].act {
            plan::Act::WriteTable { disk, .. } => disk.clone(),
            act => panic!("{act}"),
        })
    };
    let usb = |disk: &mut plan::facts::Disk| disk.transport = Some("usb".into());
    let busy = |disk: &mut plan::facts::Disk| disk.in_use = vec!["/run/live".into()];
    let san = |disk: &mut plan::facts::Disk| disk.transport = Some("iscsi".into());
    assert_eq!(written(json!({}), usb).as_deref(), Ok("/dev/vdb"), "nobody asked for USB");
    assert_eq!(
        written(json!({"pick": "smallest"}), san).as_deref(),
        Ok("/dev/vdb"),
        "nobody asked for iSCSI"
    );
    assert_eq!(written(json!({"transport": "iscsi"}), san).as_deref(), Ok("/dev/vda"), "it was asked for");
    assert_eq!(written(json!({"serial": "S-vda"}), usb).as_deref(), Ok("/dev/vda"), "it was named");
    assert_eq!(written(json!({"transport": "usb"}), usb).as_deref(), Ok("/dev/vda"), "it was asked for");
    assert_eq!(written(json!({"exclude": [], "pick": "first"}), usb).as_deref(), Ok("/dev/vda"));
    assert_eq!(written(json!({"exclude": ["in-use"], "pick": "first"}), busy).as_deref(), Ok("/dev/vdb"));
    assert_eq!(
        written(json!({"model": "<in> harddisk", "pick": "smallest"}), |_| {}).as_deref(),
        Ok("/dev/vda")
    );
    let named = json!({"serial": "s!= S-vda"});
    assert_eq!(written(named, |_| {}).as_deref(), Ok("/dev/vdb"));
    refused(selecting(json!({"serial": "<or> S-vda <or> S-vdb"})).disked(), SELECT, &["2 disks match"]);
}

/// The n-th disk is that disk: one that does not do is not passed over, since the next may hold somebody's data.
#[test]
fn a_disk_by_its_number() {
    let number = |number: u32, change: fn(&mut Vec<plan::facts::Disk>)| {
        let mut case = selecting(json!({"number": number}));
        change(&mut case.facts.disks);
        case
    };
    let written = |case: Case| {
        let plan = case.disked().unwrap();
        plan.ops("partition").iter().find_map(|op| match &op.act {
            plan::Act::WriteTable { disk, .. } => Some(disk.clone()),
            _ => None,
        })
    };
    assert_eq!(written(number(1, |_| {})).as_deref(), Some("/dev/vda"));
    assert_eq!(written(number(2, |_| {})).as_deref(), Some("/dev/vdb"));
    assert_eq!(written(number(1, |disks| disks[0].removable = true)).as_deref(), Some("/dev/vdb"));
    let small = number(1, |disks| disks[0].size = 500 << 20);
    refused(small.disked(), SELECT, &["need a disk of 517 MiB", "/dev/vda has 500 MiB"]);
    let broken = |disks: &mut Vec<plan::facts::Disk>| disks[0].unreadable = Some("input/output error".into());
    assert_eq!(written(number(2, broken)).as_deref(), Some("/dev/vdb"), "it counts");
    refused(number(1, broken).disked(), SELECT, &["cannot be read: input/output error"]);
    let picking = |pick: &str| {
        let mut case = number(1, broken);
        case.nii["storage"]["disks"][0]["select"] = json!({"pick": pick});
        case
    };
    for pick in ["first", "smallest", "largest"] {
        refused(picking(pick).disked(), SELECT, &["/dev/vda", "may be the one, and cannot be read"]);
    }
    let mut other = picking("first");
    other.nii["storage"]["disks"][0]["select"] = json!({"path": "/dev/vdb"});
    assert_eq!(written(other).as_deref(), Some("/dev/vdb"), "it was named");
    let locked = |disks: &mut Vec<plan::facts::Disk>| {
        disks[0].unreadable = Some("input/output error".into());
        disks[0].transport = Some("sata".into());
    };
    refused(number(1, locked).disked(), SELECT, &["--security-unlock camphor /dev/vda`, then"]);
    refused(number(1, |disks| disks[0].read_only = true).disked(), SELECT, &["/dev/vda", "is read-only"]);
    refused(number(1, |disks| disks[0].in_use = vec!["/mnt".into()]).disked(), SELECT, &["in use by /mnt"]);
    refused(number(3, |_| {}).disked(), SELECT, &["/dev/vdb (20.0 GiB", "is not the machine's disk 3"]);
}

/// Not passed over in silence: the next disk may hold somebody's data.
#[test]
fn a_disk_in_use() {
    let mut case = selecting(json!({"pick": "first"}));
    case.facts.disks[0].in_use = vec!["/mnt".into(), "dm-0".into()];
    refused(case.disked(), SELECT, &["/dev/vda", "in use by /mnt, dm-0"]);
}

#[test]
fn a_disk_that_is_taken() {
    let mut case = bios();
    case.nii["storage"]["disks"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "data", "select": {"pick": "first"}, "partitions": [{"label": "data"}]}));
    refused(case.disked(), "storage.disks[1].select", &["disk `data`", "is another disk of the NII"]);
}

#[test]
fn a_disk_that_is_too_small() {
    let mut case = bios();
    case.facts.disks[0].size = 500 << 20;
    refused(case.disked(), SELECT, &["need a disk of 517 MiB", "/dev/vda has 500 MiB"]);
    let mut case = selecting(json!({"pick": "largest"}));
    case.nii["storage"]["disks"][0]["partitions"][1]["size_mib"] = json!(50_000);
    refused(
        case.disked(),
        SELECT,
        &["2 disks match, none fits", "/dev/vda has 8.0 GiB", "/dev/vdb has 20.0 GiB"],
    );
}

#[test]
fn file_systems_that_are_too_small() {
    let mut case = bios();
    case.manifest.ram_bytes = 10 * GIB;
    refused(case.disked(), "storage.filesystems", &["the image needs 11.3 GiB on disk", "`/` has 7.4 GiB"]);
    let mut case = efi();
    case.manifest.ram_bytes = 10 * GIB;
    refused(case.disked(), "storage.filesystems", &["all file systems together have 7.4 GiB"]);
    let mut case = bios();
    case.manifest.inodes = 900_000;
    refused(case.disked(), "storage.filesystems[0].mkfs_options", &["900000 files", "gets 491"]);
    case.nii["storage"]["filesystems"][0]["mkfs_options"] = json!(["-i", "4096"]);
    assert!(case.disked().is_ok());
    let mut case = bios();
    case.nii["storage"]["disks"][0]["partitions"][1] = json!({"label": "small", "size_mib": 299});
    case.nii["storage"]["filesystems"][1] = json!({"device": "small", "format": "xfs", "mount": "/small"});
    refused(
        case.disked(),
        "storage.filesystems[1].format",
        &["XFS needs at least 300 MiB", "`small` has 299 MiB"],
    );
}

#[test]
fn missing_tools() {
    for (case, tool, index) in [(bios(), "mkfs.ext4", 0), (efi(), "mkfs.vfat", 0), (efi(), "mkfs.xfs", 2)] {
        let mut case = case;
        case.facts.tools.retain(|name| name != tool);
        let path = format!("storage.filesystems[{index}].format");
        refused(case.disked(), &path, &[&format!("no {tool}"), "build the initrd with it"]);
    }
    let mut case = efi();
    case.facts.tool_versions.clear();
    let plan = case.disked().unwrap();
    assert_eq!(plan.warnings.len(), 1);
    assert_eq!(plan.warnings[0].path, "storage.filesystems[2].format");
}

#[test]
fn boot_loaders_against_firmware() {
    let mut case = efi();
    case.facts.firmware = Firmware::Bios;
    case.nii["boot"]["loader"] = json!("systemd-boot");
    refused(case.disked(), "boot.loader", &["systemd-boot needs UEFI"]);
    let mut case = efi();
    case.manifest = rocky();
    case.nii["storage"]["filesystems"][0]["mount"] = json!("/efi");
    refused(case.disked(), "storage.filesystems[0].mount", &["/boot/efi"]);
}

#[test]
fn other_machines() {
    let mut case = bios();
    case.manifest.arch = "aarch64".into();
    refused(case.disked(), "image", &["is for aarch64, this machine is x86_64"]);
    case.facts.arch = "aarch64".into();
    refused(case.disked(), "boot.loader", &["x86_64 only", "aarch64"]);
    case.manifest.arch = "unknown".into();
    case.facts.arch = "x86_64".into();
    assert!(case.disked().is_ok());
}

#[test]
fn kernels() {
    let mut case = bios();
    case.nii["install"]["after"] = json!("switch-root");
    assert!(case.disked().is_ok());
    case.facts.kernel = "6.6.6".into();
    let words = ["running kernel 6.6.6", "6.1.0-13-cloud-amd64, 6.1.0-9-cloud-amd64", "kexec"];
    refused(case.disked(), "install.after", &words);
    let mut case = bios();
    case.manifest.kernels.iter_mut().for_each(|kernel| kernel.initrd = None);
    refused(case.disked(), "image", &["no kernel with an initramfs"]);
    let mut case = efi();
    case.manifest = rocky();
    assert!(case.disked().is_ok(), "dracut makes it on the node");
    case.nii["boot"]["rebuild_initramfs"] = json!("never");
    refused(case.disked(), "image", &["no kernel with an initramfs"]);
    let mut case = diskless();
    case.facts.kernel = "6.6.6".into();
    refused(case.diskless(), "install.type", &["running kernel 6.6.6"]);
}

#[test]
fn memory() {
    let mut case = diskless();
    case.manifest.ram_bytes = 1900 << 20;
    let words = ["the image needs 1.9 GiB of RAM", "the node has 1.0 GiB (900 MiB free)"];
    refused(case.diskless(), "image", &words);
    let mut case = diskless();
    case.nii["image"]["tmpfs_mib"] = json!(100);
    refused(case.diskless(), "image.tmpfs_mib", &["the image needs 380 MiB", "the limit is 100 MiB"]);
    case.nii["image"]["tmpfs_mib"] = json!(4096);
    assert_eq!(case.diskless().unwrap().warnings.len(), 1);
    let mut case = bios();
    case.facts.memory_available = 50 << 20;
    refused(case.disked(), "install", &["needs 96 MiB", "(50 MiB free)"]);
}

#[test]
fn attributes_that_tmpfs_would_lose() {
    let mut case = diskless();
    case.manifest.xattr_namespaces.push("user".into());
    refused(case.diskless(), "image", &["user.*", "from Linux 6.6 on", "6.1.0-13"]);
    case.facts.kernel = "6.12.0".into();
    case.manifest.kernels[0].version = "6.12.0".into();
    assert!(case.diskless().is_ok());
}

#[test]
fn diskless_with_storage() {
    let mut case = diskless();
    case.nii["storage"] = bios().nii["storage"].clone();
    refused(case.diskless(), "storage", &["diskless"]);
}

#[test]
fn payloads_that_nodes_do_not_unpack() {
    use nii::manifest::Payload;
    for payload in [Payload::TarGz, Payload::Squashfs, Payload::Erofs] {
        for mut case in [bios(), diskless()] {
            case.manifest.payload = payload;
            let result =
                if case.nii["install"]["type"] == "disked" { case.disked() } else { case.diskless() };
            refused(result, "image", &["no tar.zst archive"]);
        }
    }
}

#[test]
fn interfaces_that_are_not_there() {
    let path = "network.interfaces[0].match";
    let mut case = bios();
    case.nii["network"]["interfaces"][0]["match"] = json!({"mac": "52:54:00:00:00:99"});
    refused(case.disked(), path, &["52:54:00:00:00:99", "eth0 (52:54:00:00:00:01), eth1"]);
    let findings = plan::network::as_wanted(&case.facts, &case.nii()).unwrap_err();
    assert_eq!(findings[0].path, path);
    case.nii["network"]["interfaces"] = json!([{"match": {"mac": support::MAC}, "ipv4": "dhcp"}, {"match": {"name": "eth0"}, "ipv4": "dhcp"}]);
    refused(case.disked(), "network.interfaces[1].match", &["eth0", "another interface matches"]);
}

#[test]
fn keys_that_were_not_released() {
    let mut case = bios();
    case.nii["root"]["ssh_host_keys"] = json!("provided");
    case.nii.as_object_mut().unwrap().remove("secrets");
    refused(case.disked(), "secrets", &["are absent"]);
}

#[test]
fn all_at_once() {
    let mut case = bios();
    case.facts.firmware = Firmware::Efi;
    case.facts.disks[0].in_use = vec!["/mnt".into()];
    case.facts.memory_available = 0;
    case.facts.tools.clear();
    case.manifest.arch = "riscv64".into();
    let mut paths: Vec<String> = case.disked().unwrap_err().into_iter().map(|finding| finding.path).collect();
    paths.dedup();
    assert_eq!(paths, ["image", "install", SELECT, "storage"]);
}

/// An NII that keeps the partition `data`, and a disk that has it.
fn keeping(kind: &str) -> Case {
    let mut case = bios();
    let storage = &mut case.nii["storage"];
    storage["disks"][0]["partitions"]
        .as_array_mut()
        .unwrap()
        .push(json!({"label": "data", "preserve": true}));
    let kept = json!({"device": "data", "format": "xfs", "mount": "/data", "preserve": true});
    storage["filesystems"].as_array_mut().unwrap().push(kept);
    let entry = plan::facts::TableEntry {
        number: 6,
        kind: uuid::Uuid::from_u128(1),
        guid: uuid::Uuid::from_u128(2),
        first: 8_388_608,
        last: 12_582_911,
        label: "data".into(),
        attributes: 0,
    };
    case.facts.disks[0].table =
        Some(plan::facts::Table { guid: uuid::Uuid::from_u128(3), partitions: vec![entry] });
    case.facts.disks[0].contents = vec![plan::facts::Content {
        partition: Some(6),
        kind: kind.into(),
        label: None,
        uuid: Some("old-uuid".into()),
        size: 2 * GIB,
        used: None,
        members: None,
    }];
    case
}

#[test]
fn what_is_kept_is_not_touched_and_is_in_fstab() {
    let plan = keeping("xfs").disked().unwrap();
    let touches = |act: &plan::Act| match act {
        plan::Act::Mkfs { device, .. } | plan::Act::Mount { device, .. } => device.path().ends_with('6'),
        _ => false,
    };
    assert!(!plan.stages.iter().flat_map(|stage| &stage.ops).any(|op| touches(&op.act)));
    let plan::Act::WriteTable { table, keep, .. } = &plan.ops("partition")[1].act else { panic!() };
    assert_eq!(keep, &[6]);
    assert!(table.partitions.iter().any(|entry| entry.number == 6 && entry.first == 8_388_608));
    let text = support::dump(&plan);
    assert!(text.contains("\nUUID=old-uuid /data xfs defaults 0 0\n"), "{text}");
    assert!(text.contains("make directory data (mode 0755)"), "{text}");
}

#[test]
fn what_is_kept_must_be_what_the_nii_says() {
    let path = "storage.filesystems[2].preserve";
    refused(keeping("ext4").disked(), path, &["`data` (/dev/vda6)", "kept with its xfs", "holds ext4"]);
    let mut nothing = keeping("xfs");
    nothing.facts.disks[0].contents.clear();
    refused(nothing.disked(), path, &["holds nothing that is known"]);
}
