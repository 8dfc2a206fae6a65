//! Plans of package installs: golden files of both halves, preserved partitions, and what is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test support")]

mod support;

use nii::digest::Digest;
use nii::v1::PartitionType;
use nii::{Finding, Nii};
use plan::facts::{Content, Facts, JournalRecord, Table, TableEntry};
use plan::{Act, Plan, journal, package};
use serde_json::{Value, json};
use support::{ARMING, ATTEMPT, Case, GIB, bios, disk, dump};
use uuid::Uuid;

const MIB: u64 = 1 << 20;

fn case() -> Case {
    let mut case = bios();
    let nii = &mut case.nii;
    nii["install"]["type"] = json!("package");
    nii.as_object_mut().unwrap().remove("image");
    nii["package"] = json!({
        "os": {"family": "rhel", "version": "9.6", "arch": "x86_64"},
        "source": {"url": "http://mirror/rhel9"},
        "users": [{"name": "alice"}, {"name": "bob"}],
    });
    let script = |name: &str, phase: &str| {
        let digest = Digest::of(name.as_bytes()).to_string();
        json!({"name": name, "phase": phase, "url": format!("/api/v1/file/{digest}"), "digest": digest})
    };
    nii["scripts"] = json!([
        script("early", "pre"),
        script("site", "post"),
        script("join", "first-boot"),
        script("last", "post"),
    ]);
    nii["scripts"][3]["interpreter"] = json!("/usr/bin/python3");
    nii["secrets"]["user_password_hashes"] = json!({"alice": "$6$salt$notforlogs"});
    nii["storage"]["filesystems"].as_array_mut().unwrap().retain(|f| f["format"] != "swap");
    case
}

fn prepare(case: &Case) -> Result<Plan, Vec<Finding>> {
    let nii: Nii = case.nii();
    package::prepare(&inputs(&case.facts, &nii))
}

fn inputs<'a>(facts: &'a Facts, nii: &'a Nii) -> package::Inputs<'a> {
    package::Inputs { facts, nii, arming: ARMING, attempt: ATTEMPT, head: None }
}

/// The machine after `prepare`, and after anaconda, which sets the types of what it formats.
fn after_anaconda(case: &Case) -> Facts {
    let mut facts = package::after(&case.facts, &prepare(case).unwrap());
    let entries =
        facts.disks.iter_mut().flat_map(|disk| &mut disk.table).flat_map(|table| &mut table.partitions);
    for entry in entries.filter(|entry| entry.kind == journal::IN_PROGRESS) {
        entry.kind = PartitionType::Linux.guid();
    }
    facts
}

fn finish(case: &Case, facts: &Facts) -> Result<Plan, Vec<Finding>> {
    let nii = case.nii();
    package::finish(&inputs(facts, &nii))
}

#[test]
fn before_and_after_anaconda() {
    let case = case();
    insta::assert_snapshot!("prepare", dump(&prepare(&case).unwrap()));
    let plan = finish(&case, &after_anaconda(&case)).unwrap();
    insta::assert_snapshot!("finish", dump(&plan));
    let commit = plan.ops("commit");
    assert_eq!(commit[0].act, Act::Sync);
    assert!(matches!(&commit.last().unwrap().act, Act::WriteJournal { record, .. } if record.committed));
    for text in [dump(&plan), serde_json::to_string(&plan).unwrap(), format!("{plan:?}")] {
        assert!(!text.contains("notforlogs"), "{text}");
    }
}

#[test]
fn where_anaconda_partitions_no_disk_is_written() {
    let mut case = case();
    case.nii["storage"]["mode"] = json!("anaconda");
    assert_eq!(prepare(&case).unwrap().ops("partition"), []);
    let plan = finish(&case, &case.facts).unwrap();
    let writes = |op: &&plan::Op| matches!(op.act, Act::SetPartitionType { .. } | Act::WriteJournal { .. });
    assert_eq!(plan.ops("commit").iter().find(writes), None);
}

#[test]
fn a_root_on_a_volume_has_a_journal_and_no_mark() {
    let mut case = case();
    case.nii["storage"]["disks"][0]["partitions"] = json!([
        {"label": "bios", "type": "bios-boot", "size_mib": 1},
        {"label": "pv", "type": "lvm"},
    ]);
    case.nii["storage"]["volume_groups"] = json!([{"name": "system", "devices": ["pv"]}]);
    case.nii["storage"]["logical_volumes"] = json!([{"name": "root", "group": "system"}]);
    case.nii["storage"]["filesystems"] = json!([{"device": "system/root", "format": "xfs", "mount": "/"}]);
    let facts = after_anaconda(&case);
    let table = facts.disks[0].table.as_ref().unwrap();
    let labels: Vec<&str> = table.partitions.iter().map(|entry| entry.label.as_str()).collect();
    assert_eq!(labels, ["bios", "pv", "camphor"]);
    assert_eq!(table.partitions[1].kind, PartitionType::Lvm.guid());
    let plan = finish(&case, &facts).unwrap();
    assert!(matches!(plan.ops("commit"), [_, last] if matches!(&last.act, Act::WriteJournal { .. })));
}

#[test]
fn a_disk_that_something_else_partitioned_is_refused() {
    let case = case();
    let mut facts = after_anaconda(&case);
    facts.disks[0].journal = None;
    let findings = finish(&case, &facts).unwrap_err();
    assert!(findings[0].message.contains("no disk has the journal of this install"), "{findings:?}");
    let mut facts = after_anaconda(&case);
    facts.disks[0].table.as_mut().unwrap().partitions.retain(|entry| entry.label != "root");
    let findings = finish(&case, &facts).unwrap_err();
    assert!(findings[0].message.contains("the root partition is not on /dev/vda"), "{findings:?}");
}

fn entry(number: u32, label: &str, from_mib: u64, to_mib: u64) -> TableEntry {
    TableEntry {
        number,
        kind: Uuid::from_u128(0x1000 + u128::from(number)),
        guid: Uuid::from_u128(0x2000 + u128::from(number)),
        first: from_mib * MIB / 512,
        last: to_mib * MIB / 512 - 1,
        label: label.into(),
        attributes: 0,
    }
}

#[test]
fn what_an_install_takes_of_its_disks() {
    let mut case = preserving(kept_and_new());
    let [target] = &plan::targets(&case.facts, &case.nii().storage, ARMING)[..] else { panic!("one disk") };
    assert_eq!(target.disk, "/dev/vda");
    assert_eq!(target.kept, [Uuid::from_u128(0x2001), Uuid::from_u128(0x2005)]);
    // What it makes is what a second attempt finds.
    let after = package::after(&case.facts, &prepare(&case).unwrap());
    let there = after.disks[0].table.as_ref().unwrap();
    let made = there.partitions.iter().filter(|entry| !target.kept.contains(&entry.guid));
    assert_eq!(made.map(|entry| entry.guid).collect::<Vec<_>>(), target.made);
    assert_eq!(target.made.len(), 4, "bios, root, swap, journal");
    // A volume of a kept group that is made anew costs what was on it.
    let storage = &mut case.nii["storage"];
    storage["disks"][0]["partitions"][1]["type"] = json!("lvm");
    storage["volume_groups"] = json!([{"name": "system", "devices": ["data"], "preserve": true}]);
    storage["logical_volumes"] = json!([{"name": "root", "group": "system", "size_mib": 500}]);
    storage["filesystems"] = json!([{"device": "system/root", "format": "xfs", "mount": "/"}]);
    storage["disks"][0]["partitions"][2]["type"] = json!("linux");
    let [target] = &plan::targets(&case.facts, &case.nii().storage, ARMING)[..] else { panic!("one disk") };
    assert_eq!(target.kept, [Uuid::from_u128(0x2001)]);
}

/// The folders that `finish` labels, with these file systems beside the root.
fn labelled(filesystems: &[(&str, bool)]) -> Vec<String> {
    let mut case = preserving(kept_and_new());
    let mut list = vec![json!({"device": "root", "format": "xfs", "mount": "/"})];
    for ((mount, preserve), device) in filesystems.iter().zip(["data", "scratch"]) {
        list.push(json!({"device": device, "format": "xfs", "mount": mount, "preserve": preserve}));
        let partitions = case.nii["storage"]["disks"][0]["partitions"].as_array_mut().unwrap();
        let partition = partitions.iter_mut().find(|p| p["label"] == device).unwrap();
        if !preserve {
            *partition = json!({"label": device, "size_mib": 100});
        }
    }
    case.nii["storage"]["filesystems"] = json!(list);
    let plan = finish(&case, &after_anaconda(&case)).unwrap();
    let path = |op: &plan::Op| match &op.act {
        Act::Run { argv } => argv.last().unwrap().clone(),
        other => panic!("{other:?}"),
    };
    plan.ops("label").iter().map(path).collect()
}

#[test]
fn what_is_kept_keeps_its_labels() {
    const TOPS: [&str; 6] = ["/etc", "/root", "/home", "/opt", "/srv", "/var/lib/camphor"];
    let with = |more: &'static str| [&TOPS[..], &[more]].concat();
    assert_eq!(labelled(&[("/data", false)]), with("/data"));
    assert_eq!(labelled(&[("/data", true)]), TOPS);
    assert_eq!(labelled(&[("/home", true)]), ["/etc", "/root", "/opt", "/srv", "/var/lib/camphor"]);
    // A new file system on a kept one is new; what is below a kept one is kept.
    assert_eq!(
        labelled(&[("/srv", true), ("/srv/new", false)]),
        [&TOPS[..4], &TOPS[5..], &["/srv/new"]].concat()
    );
    assert_eq!(labelled(&[("/srv/old", true)]), TOPS, "setfiles does not cross into it");
    // Camphor's own folder on a kept /var is its own all the same.
    assert_eq!(labelled(&[("/var", true)]), TOPS);
    // And on any other, exactly what it wrote.
    assert_eq!(
        labelled(&[("/root", true)]),
        ["/etc", "/home", "/opt", "/srv", "/var/lib/camphor", "/root/.ssh", "/root/.ssh/authorized_keys"]
    );
}

/// A disk of 8 GiB with `data` (number 5) from 3 to 4 GiB and `scratch` (number 1) from 6 to 7.
fn preserving(partitions: Value) -> Case {
    let mut case = case();
    let mut old = disk("/dev/vda", 8 * GIB);
    old.table = Some(Table {
        guid: Uuid::from_u128(0x3000),
        partitions: vec![
            entry(1, "scratch", 6 * 1024, 7 * 1024),
            entry(2, "old root", 1, 3 * 1024),
            entry(5, "data", 3 * 1024, 4 * 1024),
        ],
    });
    let content = |partition| Content {
        partition: Some(partition),
        kind: "xfs".into(),
        label: None,
        uuid: Some(format!("uuid-{partition}")),
        size: GIB,
        used: None,
        members: None,
    };
    old.contents = vec![content(1), content(5)];
    case.facts.disks = vec![old];
    case.nii["storage"]["disks"][0]["partitions"] = partitions;
    case
}

fn kept_and_new() -> Value {
    json!([
        {"label": "bios", "type": "bios-boot", "size_mib": 1},
        {"label": "data", "preserve": true},
        {"label": "root", "type": "root"},
        {"label": "swap", "type": "swap", "size_mib": 1500},
        {"label": "scratch", "preserve": true},
    ])
}

#[test]
fn what_is_kept_stays_and_the_rest_goes_around_it() {
    let case = preserving(kept_and_new());
    let plan = prepare(&case).unwrap();
    let Act::WriteTable { table, keep, .. } = &plan.ops("partition")[1].act else { panic!("{plan:?}") };
    assert_eq!((keep.as_slice(), table.guid), (&[5, 1][..], Uuid::from_u128(0x3000)));
    let old = case.facts.disks[0].table.as_ref().unwrap();
    for number in keep {
        let find = |table: &Table| table.partitions.iter().find(|e| e.number == *number).cloned();
        assert_eq!(find(table), find(old));
    }
    insta::assert_snapshot!(
        "preserve",
        plan.ops("partition")[1].to_string().replace(", ", "\n").replace("; ", "\n")
    );
}

fn refusal(case: &Case) -> String {
    let findings = prepare(case).unwrap_err();
    findings.iter().filter(|finding| finding.is_error()).map(|finding| finding.message.clone()).collect()
}

/// As for images: looked at before anything is written, since anaconda looks when the tables are gone.
#[test]
fn what_is_kept_is_looked_at_before() {
    let mut case = preserving(kept_and_new());
    let filesystem = json!({"device": "data", "format": "xfs", "mount": "/data", "preserve": true});
    case.nii["storage"]["filesystems"].as_array_mut().unwrap().push(filesystem);
    assert!(prepare(&case).is_ok());
    case.facts.disks[0].contents[1].kind = "crypto_LUKS".into();
    assert!(refusal(&case).contains("`data` (/dev/vda5) is to be kept with its xfs, and holds crypto_LUKS"));
    let mut group = preserving(kept_and_new());
    group.nii["storage"]["disks"][0]["partitions"][1]["type"] = json!("lvm");
    group.nii["storage"]["volume_groups"] = json!([{"name": "old", "devices": ["data"], "preserve": true}]);
    assert!(refusal(&group).contains("must hold LVM2_member, and holds xfs"), "{}", refusal(&group));
}

/// After an install that was cut off, the old loader would start the old kernel on the half of a new root.
#[test]
fn no_old_loader_is_kept() {
    for kind in [PartitionType::Esp, PartitionType::BiosBoot, PartitionType::Xbootldr] {
        let mut case = preserving(kept_and_new());
        let table = case.facts.disks[0].table.as_mut().unwrap();
        table.partitions.iter_mut().find(|entry| entry.number == 5).unwrap().kind = kind.guid();
        assert!(refusal(&case).contains("partition 5 `data` of /dev/vda is"), "{}", refusal(&case));
    }
}

#[test]
fn what_cannot_be_kept_for_certain_is_refused() {
    let with = |change: &dyn Fn(&mut Case)| {
        let mut case = preserving(kept_and_new());
        change(&mut case);
        refusal(&case)
    };
    fn table(case: &mut Case) -> &mut Table {
        case.facts.disks[0].table.as_mut().unwrap()
    }
    let missing = "has no partition labelled `data`, which is to be kept; its partitions: ";
    assert!(with(&|case| table(case).partitions[2].label = "Data".into()).contains(missing));
    assert!(with(&|case| case.facts.disks[0].table = None).contains(missing));
    let twice = with(&|case| table(case).partitions[1].label = "data".into());
    assert!(twice.contains("several partitions labelled `data`: 2 `data`"), "{twice}");
    let overlap = with(&|case| table(case).partitions[0].first = entry(1, "", 3 * 1024, 4 * 1024).first);
    assert!(overlap.contains("cannot be kept"), "{overlap}");
    let outside = with(&|case| table(case).partitions[0].last = 8 * GIB / 512);
    assert!(outside.contains("cannot be kept"), "{outside}");
    let room = with(&|case| case.nii["storage"]["disks"][0]["partitions"][3]["size_mib"] = json!(4000));
    assert!(room.contains("no room for partition `swap` of 3.9 GiB beside those that are kept"), "{room}");
    let second = with(&|case| {
        let copy = plan::facts::Disk { path: "/dev/vdb".into(), serial: None, ..case.facts.disks[0].clone() };
        case.facts.disks.push(copy);
        case.nii["storage"]["disks"][0]["select"] = json!({"pick": "first"});
    });
    assert!(second.contains("2 disks have the partitions that are to be kept"), "{second}");
}

#[test]
fn members_of_arrays_that_are_not_ours_are_refused_by_name() {
    let mut case = case();
    case.facts.disks[0].firmware_raid = Some("Intel RST".into());
    let firmware = refusal(&case);
    assert!(
        firmware.contains("/dev/vda (8.0 GiB") && firmware.contains("firmware RAID (Intel RST)"),
        "{firmware}"
    );
    case.facts.disks[0].firmware_raid = None;
    case.facts.disks[0].wwn = Some("naa.5".into());
    let second = plan::facts::Disk { path: "/dev/vdb".into(), ..case.facts.disks[0].clone() };
    case.facts.disks.push(second);
    case.nii["storage"]["disks"][0]["select"] = json!({"pick": "first"});
    let paths = refusal(&case);
    assert!(paths.contains("/dev/vda and /dev/vdb are one disk by their wwn naa.5 (multipath)"), "{paths}");
    case.facts.disks[0].wwn = None;
    assert!(
        !prepare(&case).is_err_and(|findings| format!("{findings:?}").contains("multipath")),
        "another disk"
    );
    case.facts.disks[1].wwn = None;
    let paths = refusal(&case);
    assert!(paths.contains("are one disk by their serial S-vda (multipath)"), "{paths}");
}

#[test]
fn whoever_keeps_a_group_keeps_what_is_below_it() {
    let mut case = case();
    case.nii["storage"]["disks"][0]["partitions"] = json!([
        {"label": "bios", "type": "bios-boot", "size_mib": 1},
        {"label": "root", "type": "root", "size_mib": 2000},
        {"label": "pv", "type": "lvm"},
    ]);
    case.nii["storage"]["volume_groups"] = json!([{"name": "data", "devices": ["pv"], "preserve": true}]);
    let nii: Nii = serde_json::from_value(case.nii.clone()).unwrap();
    let findings = package::prepare(&inputs(&case.facts, &nii)).unwrap_err();
    assert!(findings[0].message.contains("group `data` is to be kept, but partition `pv`"), "{findings:?}");
}

#[test]
fn a_record_without_the_new_fields_reads_as_before() {
    let record: JournalRecord = serde_json::from_value(json!({
        "version": 1, "node": "n001", "arming": ARMING, "attempt": ATTEMPT, "root": Uuid::nil(),
        "image": Digest::of(b"image").to_string(),
    }))
    .unwrap();
    assert!(record.image.is_some() && !record.committed);
}
