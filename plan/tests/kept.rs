//! Partitions that stay: how they are found, what stays of them, and what goes beside them; 512 and 4096 byte sectors.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test support")]

mod support;

use nii::v1::PartitionType;
use plan::facts::{Content, Table, TableEntry};
use plan::op::Act;
use serde_json::{Value, json};
use support::{ARMING, Case, GIB, bios, disk};
use uuid::Uuid;

const MIB: u64 = 1 << 20;
const SECTORS: [u32; 2] = [512, 4096];

fn guid(number: u32) -> Uuid {
    Uuid::from_u128(0xaaaa_0000 + u128::from(number))
}

/// A disk of 8 GiB with the partitions 2, 5 and 7 of another installer; the last two have file systems.
fn case(sector: u32, kept: &[Value]) -> Case {
    let mut case = bios();
    let found = &mut case.facts.disks[0];
    found.sector = sector;
    let entry = |number: u32, name: &str, from: u64, to: u64| TableEntry {
        number,
        kind: Uuid::from_u128(7),
        guid: guid(number),
        first: from * MIB / u64::from(sector),
        last: to * MIB / u64::from(sector) - 1,
        label: name.into(),
        attributes: u64::from(number) << 60,
    };
    let partitions =
        vec![entry(2, "Basic data", 100, 600), entry(5, "", 2000, 4000), entry(7, "Basic data", 6000, 7000)];
    found.table = Some(Table { guid: Uuid::from_u128(9), partitions });
    let content = |number, kind: &str, label: &str| Content {
        partition: Some(number),
        kind: kind.into(),
        label: Some(label.into()),
        uuid: Some(format!("uuid-{number}")),
        size: GIB,
        used: None,
        members: None,
    };
    found.contents =
        vec![content(2, "linux_raid_member", "home"), content(5, "xfs", "home"), content(7, "ext4", "data")];
    case.manifest.ram_bytes = 0;
    case.manifest.inodes = 0;
    case.nii["storage"]["disks"][0]["partitions"].as_array_mut().unwrap().extend_from_slice(kept);
    case
}

fn layout(case: &Case) -> Result<(Table, Vec<u32>), String> {
    let plan = case.disked().map_err(|findings| findings[0].to_string())?;
    match plan.ops("partition")[1].act.clone() {
        Act::WriteTable { table, keep, .. } => Ok((table, keep)),
        other => panic!("{other}"),
    }
}

fn refusal(sector: u32, kept: &[Value]) -> String {
    layout(&case(sector, kept)).unwrap_err()
}

fn keep(by: Value) -> Value {
    json!({"label": "kept", "preserve": true, "found_by": by})
}

#[test]
fn found_by_number_guid_or_label() {
    for sector in SECTORS {
        for (by, number) in [
            (json!({"number": 7}), 7),
            (json!({"guid": guid(5)}), 5),
            (json!({"filesystem_label": "home"}), 5),
            (json!({"filesystem_label": "data"}), 7),
        ] {
            let case = case(sector, &[keep(by.clone())]);
            let (table, kept) = layout(&case).unwrap();
            assert_eq!(kept, [number], "{by}");
            let old = case.facts.disks[0].table.as_ref().unwrap();
            let entry = |table: &Table| table.partitions.iter().find(|e| e.number == number).cloned();
            assert_eq!(entry(&table), entry(old), "name, GUID, place and attributes are the old ones");
            assert_eq!(table.guid, old.guid);
            assert!(table.partitions.iter().all(|e| e.label != "kept"));
        }
    }
}

/// A file system of the NII is on the partition that was found, whatever its GPT name is.
#[test]
fn the_label_of_the_nii_is_the_one_that_counts() {
    for sector in SECTORS {
        let mut case = case(sector, &[keep(json!({"number": 5}))]);
        let filesystem = json!({"device": "kept", "format": "xfs", "mount": "/home", "preserve": true});
        case.nii["storage"]["filesystems"].as_array_mut().unwrap().push(filesystem);
        let text = support::dump(&case.disked().unwrap());
        assert!(text.contains("\nUUID=uuid-5 /home xfs"), "{text}");
        let summary = plan::summary(&case.facts, &case.nii().storage, ARMING);
        assert_eq!(summary.disks[0].kept[0].what, "xfs `home`, the NII's `kept`");
        let targets = plan::targets(&case.facts, &case.nii().storage, ARMING);
        assert_eq!(targets[0].kept, [guid(5)]);
    }
}

#[test]
fn what_is_not_certain_is_refused() {
    for sector in SECTORS {
        let there =
            "2 `Basic data` (linux_raid_member `home`), 5 `` (xfs `home`), 7 `Basic data` (ext4 `data`)";
        let none = refusal(sector, &[keep(json!({"number": 3}))]);
        assert!(none.contains("no partition 3 (the NII's `kept`)") && none.contains(there), "{none}");
        let none = refusal(sector, &[keep(json!({"filesystem_label": "Home"}))]);
        assert!(none.contains("file system labelled `Home`") && none.contains(there), "{none}");
        let none = refusal(sector, &[keep(json!({"guid": guid(6)}))]);
        assert!(none.contains(&guid(6).to_string()) && none.contains(&guid(7).to_string()), "{none}");
        let several = refusal(sector, &[json!({"label": "Basic data", "preserve": true})]);
        let candidates =
            "labelled `Basic data`: 2 `Basic data` (linux_raid_member `home`), 7 `Basic data` (ext4";
        assert!(several.contains(candidates) && several.contains("`found_by`"), "{several}");
        let two = [
            keep(json!({"number": 5})),
            json!({"label": "b", "preserve": true, "found_by": {"filesystem_label": "home"}}),
        ];
        assert!(
            refusal(sector, &two).contains("partition 5 of /dev/vda cannot be kept as `kept` and as `b`")
        );
    }
    let mut case = case(512, &[keep(json!({"filesystem_label": "home"}))]);
    case.facts.disks[0].contents[0].kind = "ext4".into();
    let several = layout(&case).unwrap_err();
    assert!(several.contains("2 `Basic data` (ext4 `home`), 5 `` (xfs `home`)"), "{several}");
}

#[test]
fn what_could_not_be_written_is_refused_before() {
    let broken = |change: fn(&mut TableEntry)| {
        let mut case = case(512, &[keep(json!({"filesystem_label": "home"}))]);
        change(&mut case.facts.disks[0].table.as_mut().unwrap().partitions[1]);
        layout(&case).unwrap_err()
    };
    assert!(broken(|entry| entry.guid = Uuid::nil()).contains("GUID is zero"));
    assert!(broken(|entry| entry.kind = plan::journal::PARTITION).contains("camphor's own"));
    assert!(broken(|entry| entry.last = 8 * GIB / 512).contains("outside of the disk"));
}

/// Gaps of 98, 3400 and 1191 MiB; the journal goes into the first, behind BIOS boot.
#[test]
fn those_that_grow_go_where_they_get_most() {
    let sized = |partitions: Vec<Value>| {
        let of = |sector: u32| {
            let mut case = case(sector, &[]);
            let mut all = partitions.clone();
            all.extend([
                json!({"label": "a", "preserve": true, "found_by": {"number": 2}}),
                json!({"label": "b", "preserve": true, "found_by": {"number": 7}}),
            ]);
            all.push(json!({"label": "root", "size_mib": 90}));
            case.nii["storage"]["disks"][0]["partitions"] = all.into();
            case.nii["storage"]["filesystems"] = json!([{"device": "root", "format": "ext4", "mount": "/"}]);
            case.nii["install"]["type"] = json!("package");
            let facts = &case.facts;
            let storage = serde_json::from_value::<nii::v1::Storage>(case.nii["storage"].clone()).unwrap();
            let marks = plan::table::Marks { journal: None, in_progress: None };
            let layout = plan::table::lay_out(&storage.disks[0], &facts.disks[0], ARMING, marks).unwrap();
            let mib = |label: &str| {
                let entry = layout.entry(label).unwrap();
                let in_mib = |block: u64| block * u64::from(sector) / MIB;
                (in_mib(entry.first), in_mib(entry.last + 1) - in_mib(entry.first))
            };
            partitions.iter().map(|p| mib(p["label"].as_str().unwrap())).collect::<Vec<_>>()
        };
        assert_eq!(of(512), of(4096));
        of(512)
    };
    let grow = |label: &str, weight: u32| json!({"label": label, "weight": weight});
    assert_eq!(sized(vec![grow("x", 1)]), [(600, 5400)], "the largest gap");
    assert_eq!(sized(vec![grow("x", 1), grow("y", 1)]), [(600, 2700), (3300, 2700)]);
    assert_eq!(
        sized(vec![grow("x", 9), grow("y", 1)]),
        [(600, 5400), (7000, 1191)],
        "more than a tenth of the first"
    );
    let big = json!({"label": "z", "size_mib": 5000, "weight": 1});
    assert_eq!(
        sized(vec![big, grow("y", 1), grow("w", 1)]),
        [(600, 5400), (7000, 595), (7595, 596)],
        "beside `z` there are 400 MiB"
    );
}

#[test]
fn a_guid_that_stays_elsewhere_is_refused() {
    for sector in SECTORS {
        let fixed = json!({"label": "new", "size_mib": 10, "guid": guid(5)});
        assert!(layout(&case(sector, std::slice::from_ref(&fixed))).is_ok(), "its partition goes");
        let kept = refusal(sector, &[fixed.clone(), keep(json!({"number": 5}))]);
        assert!(kept.contains("the GUID of `new` is that of partition 5 `` of /dev/vda"), "{kept}");
        let mut other = case(sector, &[fixed]);
        let mut second = disk("/dev/vdb", 8 * GIB);
        second.table = other.facts.disks[0].table.take();
        other.facts.disks.push(second);
        other.nii["storage"]["disks"][0]["select"] = json!({"path": "/dev/vda"});
        let elsewhere = layout(&other).unwrap_err();
        assert!(elsewhere.contains("5 `` of /dev/vdb, which stays as it is"), "{elsewhere}");
    }
}

/// Their types count, and not what the NII calls them.
#[test]
fn what_firmware_starts_from_is_not_kept() {
    for kind in [PartitionType::Esp, PartitionType::BiosBoot, PartitionType::Xbootldr] {
        let mut case = case(512, &[keep(json!({"number": 5}))]);
        assert!(case.disked().is_ok());
        case.facts.disks[0].table.as_mut().unwrap().partitions[1].kind = kind.guid();
        let why = layout(&case).unwrap_err();
        assert!(why.contains("partition 5 `` of /dev/vda is") && why.contains("by its type"), "{why}");
    }
}

/// Nobody started it, and the NII does not name it: what is on the disks would be lost all the same.
#[test]
fn half_of_a_group_an_array_or_a_btrfs_is_not_kept() {
    for (kind, what) in [
        ("LVM2_member", "volume group `whole`"),
        ("linux_raid_member", "array `whole` (of all)"),
        ("btrfs", "btrfs of all"),
    ] {
        let mut case = case(512, &[keep(json!({"number": 5}))]);
        let part = |partition| Content {
            partition,
            kind: kind.into(),
            label: Some("whole".into()),
            uuid: Some("of all".into()),
            size: GIB,
            used: None,
            members: Some(2),
        };
        case.facts.disks[0].contents = vec![part(Some(5))];
        let mut second = disk("/dev/vdb", 8 * GIB);
        second.contents = vec![part(None)];
        case.facts.disks.push(second);
        case.nii["storage"]["disks"][0]["select"] = json!({"path": "/dev/vda"});
        assert!(layout(&case).is_ok(), "{what}: the other half stays as well");
        let scratch =
            json!({"name": "scratch", "select": {"path": "/dev/vdb"}, "partitions": [{"label": "new"}]});
        case.nii["storage"]["disks"].as_array_mut().unwrap().push(scratch);
        let why = layout(&case).unwrap_err();
        let wanted = format!("{what} is on /dev/vda5, which is kept, and on /dev/vdb, which is not");
        assert!(why.contains(&wanted), "{why}");
        case.facts.disks[0].contents[0].members = Some(1);
        case.facts.disks[1].contents[0].members = Some(1);
        assert_eq!(layout(&case).is_ok(), kind == "btrfs", "{what}: copies of one");
    }
}

/// A group that nobody can read may be anything: nothing is written beside it, unless an install was cut off in the middle of it.
#[test]
fn a_kept_group_that_cannot_be_read_stops_the_install() {
    let findings = |label: Option<&str>, begun: bool| {
        let mut kept = keep(json!({"number": 5}));
        kept["type"] = json!("lvm");
        let mut case = case(512, &[kept]);
        case.nii["storage"]["volume_groups"] =
            json!([{"name": "data", "devices": ["kept"], "preserve": true}]);
        let disk = &mut case.facts.disks[0];
        disk.contents[1].kind = "LVM2_member".into();
        disk.contents[1].label = label.map(Into::into);
        disk.journal = begun.then(support::begun);
        let found = case.disked().err().unwrap_or_default();
        found.iter().map(ToString::to_string).collect::<String>()
    };
    assert!(findings(None, false).contains("what LVM says on `kept`"), "{}", findings(None, false));
    assert!(!findings(None, true).contains("what LVM says"), "{}", findings(None, true));
    assert!(!findings(Some("data"), false).contains("what LVM says"));
}
