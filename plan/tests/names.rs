//! Groups and arrays that would be there twice are refused, with the disk that has the other one.

#![allow(clippy::unwrap_used, reason = "test support")]

mod support;

use nii::Finding;
use plan::facts::{Content, Facts, Stacked, StackedKind};
use plan::package;
use serde_json::json;
use support::{ARMING, ATTEMPT, Case, GIB, bios, disk};

/// A root on a volume of `system`, whose group is on the array `pv`; and two more disks, of which one is selected.
fn case() -> Case {
    let mut case = bios();
    for path in ["/dev/vdb", "/dev/vdc"] {
        case.facts.disks.push(disk(path, 8 * GIB));
    }
    let nii = &mut case.nii;
    nii["install"]["type"] = json!("package");
    nii.as_object_mut().unwrap().remove("image");
    nii["package"] = json!({
        "os": {"family": "rhel", "version": "9.6", "arch": "x86_64"},
        "source": {"url": "http://mirror/rhel9"},
    });
    let disk = |name: &str, serial: &str| {
        let partitions = json!([
            {"label": format!("bios-{name}"), "type": "bios-boot", "size_mib": 1},
            {"label": format!("pv-{name}"), "type": "raid", "size_mib": 4096},
        ]);
        json!({"name": name, "select": {"serial": serial}, "partitions": partitions})
    };
    nii["storage"] = json!({
        "disks": [disk("a", "S-vda"), disk("b", "S-vdb")],
        "raid": [{"name": "pv", "level": "raid1", "devices": ["pv-a", "pv-b"]}],
        "volume_groups": [{"name": "system", "devices": ["pv"]}],
        "logical_volumes": [{"name": "root", "group": "system"}],
        "filesystems": [{"device": "system/root", "format": "xfs", "mount": "/"}],
    });
    case
}

fn content(partition: Option<u32>, kind: &str, label: &str) -> Content {
    let (kind, label) = (kind.to_owned(), Some(label.to_owned()));
    Content { partition, kind, label, uuid: None, size: GIB, used: None, members: None }
}

fn findings(case: &Case, facts: &Facts) -> Vec<Finding> {
    let nii = case.nii();
    let inputs = package::Inputs { facts, nii: &nii, arming: ARMING, attempt: ATTEMPT, head: None };
    package::prepare(&inputs).map_or_else(|findings| findings, |plan| plan.warnings)
}

#[test]
fn names_on_disks_that_stay_are_taken() {
    let case = case();
    for (partition, kind, label, path, words) in [
        (
            Some(3),
            "LVM2_member",
            "system",
            "storage.volume_groups[0].name",
            "partition 3 of /dev/vdc (serial S-vdc)",
        ),
        (None, "linux_raid_member", "n001:pv", "storage.raid[0].name", "has an array `pv` already"),
        (None, "linux_raid_member", "pv", "storage.raid[0].name", "next boot a matter of luck"),
    ] {
        let mut facts = case.facts.clone();
        facts.disks[2].contents = vec![content(partition, kind, label)];
        let found = findings(&case, &facts);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].is_error() && found[0].path == path && found[0].message.contains(words),
            "{found:?}"
        );
    }
    let mut facts = case.facts.clone();
    facts.disks[2].contents =
        vec![content(None, "LVM2_member", "pv"), content(None, "xfs", "system"), content(None, "ext4", "pv")];
    // What is on the selected disks goes.
    facts.disks[0].contents =
        vec![content(None, "LVM2_member", "system"), content(None, "linux_raid_member", "pv")];
    assert_eq!(findings(&case, &facts), []);
}

/// A volume of another group of that name runs: what is made would be taken for it.
#[test]
fn names_of_what_runs_elsewhere_are_taken() {
    let case = case();
    let mut facts = case.facts.clone();
    let kind = StackedKind::Mapped { name: "system-root".into(), uuid: format!("LVM-{}", "a".repeat(64)) };
    let mut volume = Stacked {
        node: "/dev/dm-0".into(),
        kind,
        on: vec!["/dev/vdc1".into()],
        mounts: Vec::new(),
        swap: false,
    };
    facts.stacked = vec![volume.clone()];
    let found = findings(&case, &facts);
    let [finding] = &found[..] else { panic!("{found:?}") };
    assert_eq!(finding.path, "storage.logical_volumes[0].name");
    assert!(finding.is_error() && finding.message.contains("is active on /dev/vdc1"), "{finding}");
    volume.on = vec!["/dev/vdb1".into()];
    facts.stacked = vec![volume];
    assert_eq!(findings(&case, &facts), [], "it is let go");
}

#[test]
fn who_loses_a_part_of_something_is_told() {
    let case = case();
    for (kind, label, words) in [
        ("LVM2_member", "data", "volume group `data` has a part on /dev/vdc"),
        ("linux_raid_member", "n9:data", "array `data` (x) has a part on /dev/vdc"),
    ] {
        let mut facts = case.facts.clone();
        let part = |number| Content { uuid: Some("x".into()), ..content(Some(number), kind, label) };
        facts.disks[2].contents = vec![part(1)];
        assert_eq!(findings(&case, &facts), []);
        facts.disks[0].contents = vec![part(2)];
        let found = findings(&case, &facts);
        let [finding] = &found[..] else { panic!("{found:?}") };
        assert!(!finding.is_error() && finding.message.contains(words), "{finding}");
        assert!(finding.message.ends_with("loses the part on /dev/vda"), "{finding}");
    }
}

#[test]
fn a_group_that_is_kept_keeps_its_name() {
    let mut case = case();
    let storage = &mut case.nii["storage"];
    storage["disks"][0]["partitions"] = json!([{"label": "bios", "type": "bios-boot", "size_mib": 1}, {"label": "old", "type": "lvm", "preserve": true}, {"label": "new", "type": "lvm"}]);
    storage["disks"].as_array_mut().unwrap().truncate(1);
    storage["raid"] = json!([]);
    storage["volume_groups"] = json!([{"name": "system", "devices": ["new"]}, {"name": "data", "devices": ["old"], "preserve": true}]);
    let mut facts = case.facts.clone();
    facts.disks[0].table = Some(plan::facts::Table {
        guid: ARMING,
        partitions: vec![plan::facts::TableEntry {
            number: 2,
            kind: nii::v1::PartitionType::Lvm.guid(),
            guid: ATTEMPT,
            first: 1 << 20,
            last: (2 << 20) - 1,
            label: "old".into(),
            attributes: 0,
        }],
    });
    facts.disks[0].contents = vec![content(Some(2), "LVM2_member", "data")];
    assert_eq!(findings(&case, &facts), []);
    facts.disks[0].contents = vec![content(Some(2), "LVM2_member", "system")];
    let found = findings(&case, &facts);
    assert!(found.iter().any(|finding| finding.path == "storage.volume_groups[0].name"), "{found:?}");
}
