//! What the firmware needs to boot from a disk is added where the document has not thought of it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test support")]

mod support;

use nii::kusu::Around;
use nii::v1::{PartitionType, Storage};
use plan::facts::{Facts, Firmware, Table, TableEntry};
use plan::op::Act;
use serde_json::{Value, json};
use support::{ARMING, Case, GIB, bios, disk, dump, efi};
use uuid::Uuid;

const MIB: u64 = 1 << 20;

/// What `summary` says is made, a line each: `1 bios 1 the boot loader's core ...`.
fn made(facts: &Facts, storage: &Value) -> Vec<Vec<String>> {
    let storage: Storage = serde_json::from_value(storage.clone()).unwrap();
    let row = |row: &plan::Row| {
        format!("{} {} {} {}", row.number.unwrap(), row.label, row.bytes.unwrap() / MIB, row.what)
    };
    let summary = plan::summary(facts, &storage, ARMING);
    summary.disks.iter().map(|disk| disk.made.iter().map(row).collect()).collect()
}

/// The tables that the ops write, by label.
fn tables(case: &Case) -> Vec<Table> {
    let plan = case.disked().unwrap_or_else(|findings| panic!("{findings:#?}"));
    let tables = plan.ops("partition").iter().filter_map(|op| match &op.act {
        Act::WriteTable { table, .. } => Some(table.clone()),
        _ => None,
    });
    tables.collect()
}

fn partitions(case: &mut Case) -> &mut Vec<Value> {
    case.nii["storage"]["disks"][0]["partitions"].as_array_mut().unwrap()
}

#[test]
fn by_bios_a_place_for_grub() {
    for sector in [512, 4096] {
        let mut case = efi();
        case.facts.firmware = Firmware::Bios;
        case.facts.disks[0].sector = sector;
        let [table] = &tables(&case)[..] else { panic!() };
        let first = &table.partitions[0];
        assert_eq!(
            (first.number, first.kind, first.label.as_str()),
            (1, PartitionType::BiosBoot.guid(), "bios")
        );
        assert_eq!((first.last + 1 - first.first) * u64::from(sector), MIB);
        let rows = made(&case.facts, &case.nii["storage"]);
        assert_eq!(
            rows[0][0],
            "1 bios 1 the boot loader's core (BIOS); added, since the machine boots by BIOS"
        );
        assert!(!rows[0][1].contains("added"), "{rows:?}");
        assert!(dump(&case.disked().unwrap()).contains("grub-install --target=i386-pc /dev/vda"));
    }
}

#[test]
fn by_uefi_an_esp() {
    for sector in [512, 4096] {
        let mut case = bios();
        case.facts.firmware = Firmware::Efi;
        case.facts.disks[0].sector = sector;
        let [table] = &tables(&case)[..] else { panic!() };
        let first = &table.partitions[0];
        assert_eq!((first.number, first.kind, first.label.as_str()), (1, PartitionType::Esp.guid(), "esp"));
        assert_eq!((first.last + 1 - first.first) * u64::from(sector), 512 * MIB);
        let rows = made(&case.facts, &case.nii["storage"]);
        assert_eq!(rows[0][0], "1 esp 512 vfat on /boot/efi; added, since the machine boots by UEFI");
        let text = dump(&case.disked().unwrap());
        for part in ["make vfat", "mount /dev/vda1 (vfat) on /boot/efi", "/boot/efi vfat umask=0077 0 2\n"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }
    let mut case = bios();
    case.facts.firmware = Firmware::Efi;
    let targets = plan::targets(&case.facts, &case.nii().storage, ARMING);
    assert_eq!(targets[0].made.len(), 5, "the salvage knows of it");
}

/// Firmware starts from one ESP; of several, and of a mirror with one, people expect more.
#[test]
fn what_firmware_would_not_find() {
    let mut case = efi();
    partitions(&mut case).insert(0, json!({"label": "esp2", "type": "esp", "size_mib": 64}));
    let second = json!({"device": "esp2", "format": "vfat", "mount": "/efi"});
    case.nii["storage"]["filesystems"].as_array_mut().unwrap().push(second);
    let findings = case.disked().unwrap_err();
    assert!(findings.iter().any(|finding| finding.message.contains("have ESPs at")), "{findings:#?}");
    let mut case = efi();
    case.facts.disks.push(disk("/dev/vdb", 8 * GIB));
    case.facts.tools.push("mdadm".into());
    let disks = ["a", "b"].map(|letter| {
        json!({"name": letter, "select": {"path": format!("/dev/vd{letter}")},
            "partitions": [{"label": format!("m{letter}"), "type": "raid"}]})
    });
    case.nii["storage"] = json!({
        "disks": disks,
        "raid": [{"name": "sys", "level": "raid1", "devices": ["ma", "mb"]}],
        "filesystems": [{"device": "sys", "format": "ext4", "mount": "/"}],
    });
    let plan = case.disked().unwrap_or_else(|findings| panic!("{findings:#?}"));
    let warned = |plan: &plan::Plan| {
        plan.warnings.iter().any(|finding| finding.message.starts_with("the ESP is on /dev/vda only"))
    };
    assert!(warned(&plan), "{:?}", plan.warnings);
    case.nii["storage"]["raid"][0]["level"] = json!("raid0");
    let plan = case.disked();
    assert!(!plan.is_ok_and(|plan| warned(&plan)), "it does not outlive a disk");
}

/// A package install, whose documents may have arrays and volumes: each disk below `/boot` gets one.
#[test]
fn on_each_disk_below() {
    let mut facts = bios().facts;
    facts.disks = vec![disk("/dev/vda", 8 * GIB), disk("/dev/vdb", 8 * GIB), disk("/dev/vdc", 8 * GIB)];
    let disks = |kind: &str| -> Value {
        let one = |letter: &str| {
            json!({"name": letter, "select": {"path": format!("/dev/vd{letter}")},
                "partitions": [{"label": format!("m{letter}"), "type": kind}]})
        };
        ["c", "a", "b"].map(one).to_vec().into()
    };
    let root = |device: &str| json!([{"device": device, "format": "xfs", "mount": "/"}]);
    let array = json!({
        "disks": disks("raid"),
        "raid": [{"name": "sys", "level": "raid1", "devices": ["ma", "mb"]}],
        "filesystems": root("sys"),
    });
    let firsts = |storage: &Value| -> Vec<String> {
        let rows = made(&facts, storage);
        rows.iter().map(|rows| rows[0].split(' ').nth(1).unwrap().to_owned()).collect()
    };
    assert_eq!(firsts(&array), ["mc", "bios", "bios2"]);
    let mut half = array.clone();
    let own = json!({"label": "bios", "type": "bios-boot", "size_mib": 1});
    half["disks"][2]["partitions"].as_array_mut().unwrap().insert(0, own.clone());
    assert_eq!(firsts(&half), ["mc", "bios2", "bios"], "a mirror boots from both");
    let group = json!({
        "disks": disks("lvm"),
        "volume_groups": [{"name": "vg", "devices": ["ma", "mc"]}],
        "logical_volumes": [{"name": "root", "group": "vg"}],
        "filesystems": root("vg/root"),
    });
    assert_eq!(firsts(&group), ["bios2", "bios", "mb"]);
    let mut named = group.clone();
    named["disks"][2]["partitions"].as_array_mut().unwrap().insert(0, own);
    assert_eq!(firsts(&named), ["mc", "ma", "bios"], "the document says where");
    facts.firmware = Firmware::Efi;
    let firsts =
        |storage: &Value| made(&facts, storage).into_iter().map(|rows| rows[0].clone()).collect::<Vec<_>>();
    let one = firsts(&array);
    assert!(one[1].starts_with("1 esp 512 vfat on /boot/efi; added"), "{one:?}");
    assert!(one[0].starts_with("1 mc") && one[2].starts_with("1 mb"), "{one:?}");
}

/// Its rows know neither.
#[test]
fn for_kusu_as_well() {
    let text = include_str!("../../nii/fixtures/kusu/package.xml");
    let (nii, _) = nii::kusu::parse(text.as_bytes()).unwrap().to_nii(&Around::default()).unwrap();
    let storage = serde_json::to_value(&nii.storage).unwrap();
    let mut facts = bios().facts;
    facts.disks = vec![disk("/dev/vda", 64 * GIB), disk("/dev/vdb", 64 * GIB)];
    let mut first = |firmware| {
        facts.firmware = firmware;
        made(&facts, &storage)[0][0].clone()
    };
    assert!(first(Firmware::Bios).starts_with("1 bios 1 "), "{}", first(Firmware::Bios));
    assert!(
        first(Firmware::Efi).starts_with("1 esp 512 vfat on /boot/efi; added"),
        "{}",
        first(Firmware::Efi)
    );
}

#[test]
fn what_is_there_is_left_as_it_is() {
    for case in [bios(), efi()] {
        let labels: Vec<String> = tables(&case)[0].partitions.iter().map(|p| p.label.clone()).collect();
        let storage = case.nii().storage;
        let wanted = storage.disks[0].partitions.iter().map(|p| p.label.clone());
        assert_eq!(labels, wanted.chain(["camphor".into()]).collect::<Vec<_>>());
    }
    // Its label is somebody else's.
    let mut case = efi();
    case.facts.firmware = Firmware::Bios;
    partitions(&mut case).push(json!({"label": "bios", "size_mib": 5}));
    assert_eq!(tables(&case)[0].partitions[0].label, "bios2");
    // An ESP that the document does not mount is an error, and not made twice.
    let mut case = efi();
    case.nii["storage"]["filesystems"][0]["mount"] = Value::Null;
    let findings = case.disked().unwrap_err();
    assert!(findings.iter().any(|finding| finding.message.contains("\"type\": \"esp\"")), "{findings:#?}");
}

/// No room for it beside what is kept is said, and nothing kept is touched for it.
#[test]
fn beside_what_is_kept() {
    let keeping = |from_mib: u64| {
        let mut case = bios();
        partitions(&mut case).remove(0);
        partitions(&mut case).retain(|partition| partition["label"] != "swap");
        case.nii["storage"]["filesystems"].as_array_mut().unwrap().pop();
        partitions(&mut case)[0]["size_mib"] = json!(2000);
        partitions(&mut case).push(json!({"label": "data", "preserve": true}));
        case.facts.disks[0].table = Some(Table {
            guid: Uuid::from_u128(3),
            partitions: vec![TableEntry {
                number: 1,
                kind: Uuid::from_u128(1),
                guid: Uuid::from_u128(2),
                first: from_mib * 2048,
                last: 8191 * 2048 - 1,
                label: "data".into(),
                attributes: 0,
            }],
        });
        case
    };
    // The first MiB is the table's; BIOS boot, root and the journal follow.
    let table = &tables(&keeping(2003))[0];
    let by_number: Vec<&str> = table.partitions.iter().map(|entry| entry.label.as_str()).collect();
    assert_eq!(by_number, ["data", "bios", "root", "camphor"]);
    let findings = keeping(2002).disked().unwrap_err();
    assert!(findings[0].message.contains("no room for partition `camphor` of 1 MiB"), "{findings:#?}");
    let findings = keeping(2001).disked().unwrap_err();
    assert!(findings[0].message.contains("no room"), "{findings:#?}");
}
