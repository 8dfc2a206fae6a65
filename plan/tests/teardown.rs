//! What is let go before tables are written, and in which order; and how old contents are wiped.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use plan::facts::{AtaSecurity, Stacked, StackedKind};
use plan::{Act, Plan, teardown};
use serde_json::json;
use support::{Case, GIB, bios, disk};

fn stacked(node: &str, kind: StackedKind, on: &[&str]) -> Stacked {
    let on = on.iter().map(|below| (*below).to_owned()).collect();
    Stacked { node: node.into(), kind, on, mounts: Vec::new(), swap: false }
}

fn mapped(node: &str, name: &str, uuid: &str, on: &[&str]) -> Stacked {
    stacked(node, StackedKind::Mapped { name: name.into(), uuid: uuid.into() }, on)
}

fn mounted(mut one: Stacked, path: &str) -> Stacked {
    one.mounts.push(path.into());
    one
}

fn swapped(mut one: Stacked) -> Stacked {
    one.swap = true;
    one
}

/// A volume's uuid: 32 letters for the group, 32 for the volume.
fn volume(group: char, volume: char) -> String {
    format!("LVM-{}{}", group.to_string().repeat(32), volume.to_string().repeat(32))
}

/// The machine of [`bios`] with three disks more, of which the NII selects the first.
fn case(stacked: Vec<Stacked>) -> Case {
    let mut case = bios();
    case.facts.disks.extend(["b", "c", "d"].map(|name| disk(&format!("/dev/vd{name}"), 8 * GIB)));
    case.nii["storage"]["disks"][0]["select"] = json!({"path": "/dev/vda"});
    for disk in &mut case.facts.disks {
        disk.in_use = teardown::stays(&stacked, &disk.path);
    }
    case.facts.stacked = stacked;
    case
}

fn released(plan: &Plan) -> Vec<String> {
    let ops = plan.ops("partition").iter();
    ops.take_while(|op| matches!(op.act, Act::Release { .. })).map(ToString::to_string).collect()
}

/// LUKS on LVM on RAID1: nothing goes before what lies on it, and the tables come after all.
#[test]
fn from_the_top_down() {
    let case = case(vec![
        stacked("/dev/md127", StackedKind::Array, &["/dev/vda2", "/dev/vdb2"]),
        mapped("/dev/dm-0", "vg0-root", &volume('g', 'r'), &["/dev/md127"]),
        mapped("/dev/dm-1", "vg0-data", &volume('g', 'd'), &["/dev/md127", "/dev/vda5"]),
        swapped(mapped("/dev/dm-2", "secret", "CRYPT-LUKS2-aa-secret", &["/dev/dm-1"])),
        mounted(stacked("/dev/vda3", StackedKind::Plain, &[]), "/newroot/boot"),
        swapped(stacked("/dev/vda4", StackedKind::Plain, &[])),
        mapped("/dev/dm-3", "vg9-x", &volume('x', 'x'), &["/dev/vdd1"]),
    ]);
    let plan = case.disked().unwrap();
    assert_eq!(
        released(&plan),
        [
            "unmount /newroot and what is below it",
            "stop swapping on /dev/vda4",
            "stop swapping on /dev/dm-2",
            "take the mapping vg0-root away",
            "take the mapping secret away",
            "take the mapping vg0-data away",
            "stop the array /dev/md127",
        ]
    );
    assert!(matches!(plan.ops("partition")[7].act, Act::CheckDisks { .. }));
    assert!(matches!(plan.ops("partition")[8].act, Act::WriteTable { .. }));
    let [warning] = &plan.warnings[..] else { panic!("{:?}", plan.warnings) };
    assert!(!warning.is_error() && warning.path == "storage.disks");
    let message = &warning.message;
    assert!(
        message.starts_with("/dev/vdb (")
            && message.contains("has a part in /dev/md127, vg0-data (/dev/dm-1), vg0-root"),
        "{message}"
    );
    let summary = plan::summary(&case.facts, &case.nii().storage, support::ARMING);
    assert_eq!(summary.released, released(&plan));
    assert!(summary.to_string().contains("let go: stop the array /dev/md127\n"), "{summary}");
}

/// A group over two disks loses one: its volumes on the other go too, unless they are in use there.
#[test]
fn volumes_of_the_same_group() {
    let here = mapped("/dev/dm-0", "vg0-a", &volume('g', 'a'), &["/dev/vda2"]);
    let there = mapped("/dev/dm-1", "vg0-b", &volume('g', 'b'), &["/dev/vdb1"]);
    let others = mapped("/dev/dm-2", "vg1-b", &volume('h', 'b'), &["/dev/vdb2"]);
    let plan = case(vec![here.clone(), there.clone(), others]).disked().unwrap();
    assert_eq!(released(&plan), ["take the mapping vg0-a away", "take the mapping vg0-b away"]);
    assert!(plan.warnings[0].message.contains("has a part in vg0-b (/dev/dm-1):"), "{:?}", plan.warnings);
    let plan = case(vec![here, mounted(there, "/data")]).disked().unwrap();
    assert_eq!(released(&plan), ["take the mapping vg0-a away"]);
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
}

#[test]
fn what_has_an_owner_is_refused_by_name() {
    for (stays, one) in [
        ("mpatha (/dev/dm-0)", mapped("/dev/dm-0", "mpatha", "mpath-3600", &["/dev/vda"])),
        ("own (/dev/dm-0)", mapped("/dev/dm-0", "own", "", &["/dev/vda1"])),
        ("/dev/bcache0", stacked("/dev/bcache0", StackedKind::Other, &["/dev/vda1"])),
        ("/data", mounted(stacked("/dev/vda1", StackedKind::Plain, &[]), "/data")),
        ("/newroots", mounted(mapped("/dev/dm-0", "vg-x", &volume('g', 'x'), &["/dev/vda1"]), "/newroots")),
    ] {
        let findings = case(vec![one]).disked().unwrap_err();
        let text = findings.iter().map(ToString::to_string).collect::<String>();
        assert!(text.contains(&format!("is in use by {stays}, which the install does not let go")), "{text}");
    }
}

/// An old NII's disks are not ours: nothing of them is let go.
#[test]
fn other_disks_are_left_alone() {
    let plan = case(vec![
        stacked("/dev/md0", StackedKind::Array, &["/dev/vdb1", "/dev/vdc1"]),
        mapped("/dev/dm-0", "vg0-a", &volume('g', 'a'), &["/dev/md0"]),
        swapped(stacked("/dev/vdd1", StackedKind::Plain, &[])),
    ]);
    let plan = plan.disked().unwrap();
    assert!(released(&plan).is_empty() && plan.warnings.is_empty(), "{:?}", plan.warnings);
}

/// Ops of the stage, by what they do and to which disk.
fn partitioning(plan: &Plan) -> Vec<String> {
    let line = |op: &plan::Op| match &op.act {
        Act::WriteTable { disk, .. } => format!("table {disk}"),
        Act::WriteJournal { .. } => "journal".to_owned(),
        Act::CheckDisks { .. } => "check".to_owned(),
        _ => op.to_string(),
    };
    plan.ops("partition").iter().map(line).collect()
}

/// Before the table only what needs none: with a partition to keep, the disk is never without its entry.
#[test]
fn wipes_and_tables_in_their_order() {
    let mut case = case(vec![]);
    case.facts.tools.push("nvme".into());
    let [system, ..] = &mut case.facts.disks[..] else { panic!("no disk") };
    system.discard = true;
    let mut fast = disk("/dev/nvme0n1", 8 * GIB);
    fast.transport = Some("nvme".into());
    case.facts.disks.push(fast);
    let more = json!({"name": "fast", "select": {"path": "/dev/nvme0n1"}, "wipe": "secure", "partitions": [{"label": "s"}]});
    case.nii["storage"]["disks"].as_array_mut().unwrap().push(more);
    let format = "let /dev/nvme0n1 erase itself; nvme format /dev/nvme0n1 --ses=1 --force";
    for (how, text) in [
        ("zero", "write zeroes over all of /dev/vda but for its table; 4 is spared"),
        ("discard", "discard all of /dev/vda but for its table; 4 is spared"),
    ] {
        case.nii["storage"]["disks"][0]["wipe"] = json!(how);
        let plan = case.disked().unwrap();
        // The old system of the root's disk does not boot any more when another disk begins to lose its data.
        let expected =
            ["check", "table /dev/vda", "journal", format, "check", "table /dev/nvme0n1", "check", text];
        assert_eq!(partitioning(&plan), expected);
    }
    let summary = plan::summary(&case.facts, &case.nii().storage, support::ARMING).to_string();
    assert!(
        summary.contains("  it erases itself\n") && summary.contains("  all but what is kept is discarded\n")
    );
    assert_eq!(case.nii().deadlines()["partition"], 604_800);
    case.nii["install"]["deadlines"] = json!({"partition": 60});
    assert_eq!(case.nii().deadlines()["partition"], 60);
}

#[test]
fn an_ata_disk_erases_itself() {
    let commands: Vec<String> = plan::wipe::commands("/dev/sda").iter().map(|argv| argv.join(" ")).collect();
    assert_eq!(
        commands,
        [
            "hdparm --user-master u --security-set-pass camphor /dev/sda",
            "hdparm --user-master u --security-erase camphor /dev/sda",
        ]
    );
    let unlock = plan::wipe::unlock("/dev/sda").unwrap().join(" ");
    assert_eq!(unlock, "hdparm --user-master u --security-disable camphor /dev/sda");
    assert_eq!(plan::wipe::unlock("/dev/nvme0n1"), None);
}

/// Everything at once, and before anything is touched.
#[test]
fn wipes_that_cannot_be() {
    let refused = |change: &dyn Fn(&mut Case), expected: &[&str]| {
        let mut case = case(vec![]);
        let [system, ..] = &mut case.facts.disks[..] else { panic!("no disk") };
        system.path = "/dev/nvme0n1".into();
        system.transport = Some("nvme".into());
        case.facts.tools.push("nvme".into());
        case.nii["storage"]["disks"][0]["select"] = json!({"path": "/dev/nvme0n1"});
        case.nii["storage"]["disks"][0]["wipe"] = json!("secure");
        change(&mut case);
        let findings = case.disked().expect_err("it is refused");
        let found = findings.iter().find(|finding| finding.path == "storage.disks[0].wipe");
        let found = found.unwrap_or_else(|| panic!("{findings:?}"));
        assert!(found.is_error());
        expected.iter().for_each(|text| assert!(found.message.contains(text), "{text}: {}", found.message));
    };
    refused(&|case| case.facts.tools.clear(), &["this initrd has no nvme", "--tool nvme"]);
    refused(&|case| case.nii["storage"]["disks"][0]["wipe"] = json!("discard"), &["takes no discards"]);
    refused(&|case| case.facts.disks[0].transport = Some("virtio".into()), &["neither NVMe nor ATA"]);
    refused(&|case| case.facts.disks.push(disk("/dev/nvme0n2", GIB)), &["in common with /dev/nvme0n2"]);
    for (security, text) in [
        (AtaSecurity::Absent, "no ATA security"),
        (AtaSecurity::Frozen, "froze its ATA security"),
        (AtaSecurity::Locked, "hdparm --user-master u --security-unlock camphor /dev/sda"),
    ] {
        let ata = |case: &mut Case| {
            case.facts.tools.push("hdparm".into());
            let [disk, ..] = &mut case.facts.disks[..] else { panic!("no disk") };
            (disk.path, disk.transport) = ("/dev/sda".into(), Some("sata".into()));
            disk.ata_security = Some(security);
            case.nii["storage"]["disks"][0]["select"] = json!({"path": "/dev/sda"});
        };
        refused(&ata, &["/dev/sda", "cannot erase itself", text]);
    }
}
