//! What a person is told before disks are written.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test support")]

mod support;

use nii::v1::Storage;
use plan::facts::{Content, Group, GroupVolume, Table, TableEntry};
use plan::op::{BlockDevice, PartitionRef, StackAct, VolumeRef};
use plan::{Act, summary};
use serde_json::{Value, json};
use support::{ARMING, GIB, bios, disk};
use uuid::Uuid;

const MIB: u64 = 1 << 20;

fn content(partition: Option<u32>, kind: &str, label: Option<&str>, size: u64, used: Option<u64>) -> Content {
    Content {
        partition,
        kind: kind.into(),
        label: label.map(Into::into),
        uuid: None,
        size,
        used,
        members: None,
    }
}

fn entry(number: u32, label: &str, from_mib: u64, to_mib: u64) -> TableEntry {
    TableEntry {
        number,
        kind: Uuid::from_u128(7),
        guid: Uuid::from_u128(number.into()),
        first: from_mib * 2048,
        last: to_mib * 2048 - 1,
        label: label.into(),
        attributes: 0,
    }
}

fn summed_up(storage: Value) -> plan::Summary {
    let mut facts = bios().facts;
    let [system, ..] = &mut facts.disks[..] else { panic!("no disk") };
    system.size = 100 * GIB;
    let partitions =
        vec![entry(1, "old", 1, 513), entry(2, "data", 513, 20_993), entry(5, "", 20_993, 30_000)];
    system.table = Some(Table { guid: Uuid::from_u128(9), partitions });
    system.contents = vec![
        content(Some(1), "vfat", Some("EFI"), 512 * MIB, None),
        content(Some(2), "xfs", Some("home"), 20 * GIB, Some(12 * GIB)),
    ];
    let mut second = disk("/dev/vdb", 20 * GIB);
    second.contents = vec![content(Some(1), "ntfs", None, 19 * GIB, None)];
    facts.disks.extend([second, disk("/dev/vdc", 5 * GIB)]);
    let storage: Storage = serde_json::from_value(storage).unwrap();
    summary(&facts, &storage, ARMING)
}

fn storage() -> Value {
    json!({
        "disks": [
            {"name": "system", "select": {"path": "/dev/vda"}, "partitions": [
                {"label": "bios", "type": "bios-boot", "size_mib": 1},
                {"label": "r1", "type": "raid", "size_mib": 10_240},
                {"label": "data", "preserve": true},
                {"label": "spare", "size_mib": 100},
            ]},
            {"name": "more", "select": {"path": "/dev/vdb"}, "partitions": [
                {"label": "r2", "type": "raid", "size_mib": 10_240},
                {"label": "pv", "type": "lvm"},
            ]},
        ],
        "raid": [{"name": "root", "level": "raid1", "devices": ["r1", "r2"]}],
        "volume_groups": [{"name": "vg", "devices": ["pv"]}],
        "logical_volumes": [{"name": "var", "group": "vg", "size_mib": 2048}, {"name": "rest", "group": "vg"}],
        "filesystems": [
            {"device": "root", "format": "ext4", "mount": "/"},
            {"device": "data", "format": "xfs", "mount": "/home", "preserve": true},
            {"device": "vg/var", "format": "xfs", "mount": "/var"},
            {"device": "vg/rest", "format": "swap"},
        ],
    })
}

#[test]
fn what_is_lost_kept_and_made() {
    insta::assert_snapshot!(summed_up(storage()).to_string());
}

#[test]
fn anaconda_keeps_nothing() {
    let mut storage = storage();
    storage["mode"] = json!("anaconda");
    storage["disks"][0]["partitions"][2]["preserve"] = json!(false);
    storage["disks"][0]["partitions"][2]["size_mib"] = json!(100);
    let summary = summed_up(storage);
    let lost: Vec<&str> = summary.disks[0].lost.iter().map(|row| row.label.as_str()).collect();
    assert_eq!(lost, ["old", "data", ""]);
    assert!(summary.disks[0].kept.is_empty());
}

/// Programs read the same.
#[test]
fn as_json() {
    let value = serde_json::to_value(summed_up(storage())).unwrap();
    assert_eq!(value["disks"][0]["kept"][0]["label"], "data");
    assert_eq!(value["disks"][0]["kept"][0]["what"], "xfs `home`, 12.0 GiB in use");
    assert_eq!(
        value["disks"][1]["lost"][0],
        json!({"number": 1, "label": "", "bytes": 19 * GIB, "what": "ntfs"})
    );
    assert_eq!(value["untouched"].as_array().unwrap().len(), 1);
}

/// Everything that stacks, from the example of the NII.
#[test]
fn what_is_stacked() {
    let example: Value = serde_json::from_str(include_str!("../../nii/fixtures/v1/stacked.json")).unwrap();
    let storage: Storage = serde_json::from_value(example["storage"].clone()).unwrap();
    let mut facts = bios().facts;
    facts.disks = ["S4EVNF0M", "S4EVNF0N"]
        .iter()
        .zip(["/dev/vda", "/dev/vdb"])
        .map(|(serial, path)| plan::facts::Disk { serial: Some((*serial).into()), ..disk(path, 100 * GIB) })
        .collect();
    let mut storage = storage;
    storage.disks.truncate(2);
    storage.filesystems.retain(|filesystem| !filesystem.preserve);
    insta::assert_snapshot!(summary(&facts, &storage, ARMING).to_string());
}

/// A group that is kept has volumes that are, and new ones.
#[test]
fn what_is_kept_of_a_stack() {
    let mut storage = storage();
    for kept in ["/disks/1/partitions/1", "/volume_groups/0", "/logical_volumes/0", "/filesystems/2"] {
        storage.pointer_mut(kept).unwrap()["preserve"] = json!(true);
    }
    let summary = summed_up(storage);
    let labels = |rows: &[plan::Row]| rows.iter().map(|row| row.label.clone()).collect::<Vec<_>>();
    assert_eq!(labels(&summary.stacked_kept), ["vg/var"]);
    assert_eq!(labels(&summary.stacked), ["root", "vg/rest"]);
}

/// A device as the summary has it.
fn named(device: &BlockDevice) -> String {
    match device {
        BlockDevice::Partition(partition) => partition.path(),
        BlockDevice::Array(array) => array.array.clone(),
        BlockDevice::Volume(volume) => format!("{}/{}", volume.group, volume.volume),
        BlockDevice::Crypt(crypt) => crypt.crypt.clone(),
    }
}

/// The devices that an op writes over or makes, and nothing that only adds to what is there.
fn written(act: &Act) -> Vec<String> {
    let volume = |volume: &VolumeRef| named(&BlockDevice::Volume(volume.clone()));
    match act {
        Act::WriteTable { disk, .. } | Act::Erase { disk, .. } => vec![disk.clone()],
        Act::WriteJournal { partition, .. } | Act::SetPartitionType { partition, .. } => {
            vec![partition.path()]
        }
        Act::Mkfs { device, .. } => vec![named(device)],
        Act::Stack(act) => match act {
            StackAct::MakeArray { array, devices, .. } => {
                devices.iter().map(PartitionRef::path).chain([array.array.clone()]).collect()
            }
            StackAct::MakeLuks { crypt, device, .. } => vec![crypt.crypt.clone(), named(device)],
            StackAct::MakeGroup { devices, .. } => devices.iter().map(named).collect(),
            StackAct::MakeVolume { volume: made, .. } => vec![volume(made)],
            StackAct::RemoveVolume { volume: removed, .. } => vec![volume(removed)],
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// Nothing is written over that a person was not told of.
#[test]
fn every_device_that_is_written_is_in_the_summary() {
    for (name, case) in support::cases::disked() {
        let plan = case.disked().unwrap();
        let summary = summary(&case.facts, &case.nii().storage, ARMING);
        let made = summary.disks.iter().flat_map(|disk| {
            let path = disk.disk.split(' ').next().unwrap().to_owned();
            let numbers = disk.made.iter().filter_map(|row| row.number);
            let partition = |number: u32| PartitionRef { disk: path.clone(), number, guid: ARMING }.path();
            numbers.map(partition).chain([path.clone()]).collect::<Vec<_>>()
        });
        let stacked = summary.stacked.iter().map(|row| row.label.clone());
        let made: Vec<String> = made.chain(stacked).collect();
        let ops = plan.stages.iter().flat_map(|stage| &stage.ops);
        let devices: Vec<String> = ops.flat_map(|op| written(&op.act)).collect();
        assert!(devices.len() >= 4, "{name}: {devices:?}");
        for device in devices {
            assert!(made.contains(&device), "{name}: {device} is written and not among {made:?}");
        }
    }
}

/// The table may be the array's, or one that something wrote over.
#[test]
fn what_lies_on_a_whole_disk_beside_a_table_is_lost() {
    let mut case = bios();
    let found = &mut case.facts.disks[0];
    found.table = Some(Table { guid: ARMING, partitions: vec![entry(1, "old", 1, 100)] });
    found.contents = vec![content(None, "LVM2_member", Some("vg0"), found.size, None)];
    let summary = summary(&case.facts, &case.nii().storage, ARMING);
    let lost: Vec<&str> = summary.disks[0].lost.iter().map(|row| row.what.as_str()).collect();
    assert_eq!(lost, ["nothing known", "LVM2_member `vg0`"]);
}

/// Also those that are only on what is kept.
#[test]
fn volumes_that_are_made_anew_in_a_kept_group_are_lost() {
    let storage = json!({
        "disks": [{"name": "data", "partitions": [{"label": "pv", "preserve": true}]}],
        "volume_groups": [{"name": "vg", "devices": ["pv"], "preserve": true}],
        "logical_volumes": [
            {"group": "vg", "name": "home", "preserve": true},
            {"group": "vg", "name": "scratch", "size_mib": 100},
            {"group": "vg", "name": "new", "size_mib": 100},
        ],
    });
    let storage: Storage = serde_json::from_value(storage).unwrap();
    let mut facts = bios().facts;
    let rows = |facts: &plan::Facts| {
        let rows = summary(facts, &storage, ARMING).stacked_lost;
        rows.into_iter().map(|row| (row.label, row.bytes)).collect::<Vec<_>>()
    };
    let unknown = [("vg/scratch".to_owned(), None), ("vg/new".to_owned(), None)];
    assert_eq!(rows(&facts), unknown, "what is in the group is not known");
    let volume = |name: &str| GroupVolume { name: name.into(), extents: 512, pool: None, origin: None };
    let volumes = ["home", "scratch", "other"].map(volume).to_vec();
    facts.groups = vec![Group { name: "vg".into(), extent: 4 * MIB, free: 0, volumes }];
    assert_eq!(rows(&facts), [("vg/scratch".to_owned(), Some(2 * GIB))]);
    let text = summary(&facts, &storage, ARMING).to_string();
    assert!(text.contains("  lost       vg/scratch         2.0 GiB  volume"), "{text}");
}
