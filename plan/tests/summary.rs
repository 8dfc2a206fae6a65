//! What a person is told before disks are written.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test support")]

mod support;

use nii::v1::Storage;
use plan::facts::{Content, Table, TableEntry};
use plan::summary;
use serde_json::{Value, json};
use support::{ARMING, GIB, bios, disk};
use uuid::Uuid;

const MIB: u64 = 1 << 20;

fn content(partition: Option<u32>, kind: &str, label: Option<&str>, size: u64, used: Option<u64>) -> Content {
    Content { partition, kind: kind.into(), label: label.map(Into::into), uuid: None, size, used }
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
