//! What stands against arrays, encrypted devices and volumes, on this machine or with what lies on it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test support")]

mod support;

use plan::facts::{Content, Group, GroupVolume, Stacked, StackedKind};
use serde_json::json;
use support::{Case, GIB, begun, stacks};

/// The findings of a case that is refused, as lines.
#[track_caller]
fn refused(case: &Case) -> String {
    let findings = case.disked().expect_err("it is refused");
    findings.iter().map(|finding| format!("{finding}\n")).collect()
}

fn member(partition: u32, kind: &str, label: &str, uuid: &str) -> Content {
    let (kind, label, uuid) = (kind.into(), Some(label.into()), Some(uuid.into()));
    Content { partition: Some(partition), kind, label, uuid, size: GIB, used: None, members: None }
}

#[test]
fn a_kept_group_is_the_one_that_is_meant_and_whole() {
    assert!(stacks::kept_group().disked().is_ok());
    let mut other = stacks::kept_group();
    other.facts.disks[0].contents[0].label = Some("stranger".into());
    assert!(refused(&other).contains("`pv` belongs to the group `stranger`, not to `old`"));
    let mut more = stacks::kept_group();
    more.facts.disks[1].contents.push(member(2, "LVM2_member", "old", "x"));
    assert!(refused(&more).contains("`old` is to be kept, and /dev/vdb2 is part of it"));
    let mut gone = stacks::kept_group();
    gone.facts.disks[0].contents.clear();
    assert!(refused(&gone).contains("must hold LVM2_member, and holds nothing that is known"));
    let mut unseen = stacks::kept_group();
    unseen.facts.disks[0].contents[0].members = Some(2);
    assert!(refused(&unseen).contains("`old` is to be kept, and is made of 2 devices; the list has 1"));
}

/// The other half of a kept group is on an array of a disk that is made anew.
#[test]
fn nothing_is_kept_by_half() {
    let mut case = stacks::kept_group();
    let new = json!({"name": "new", "select": {"serial": "S-vdb"}, "partitions": [{"label": "new"}]});
    case.nii["storage"]["disks"].as_array_mut().unwrap().push(new);
    assert!(case.disked().is_ok());
    let stacked = |node: &str, kind, on: &[&str]| {
        let on = on.iter().map(ToString::to_string).collect();
        Stacked { node: node.into(), kind, on, mounts: Vec::new(), swap: false }
    };
    let volume = StackedKind::Mapped { name: "old-data".into(), uuid: format!("LVM-{}", "a".repeat(64)) };
    case.facts.stacked = vec![
        stacked("/dev/md127", StackedKind::Array, &["/dev/vdb1"]),
        stacked("/dev/dm-0", volume, &["/dev/vda3", "/dev/md127"]),
    ];
    let expected = "old-data (/dev/dm-0) is on /dev/vda3, which is kept, and on /dev/vdb1, which is not";
    assert!(refused(&case).contains(expected), "{}", refused(&case));
}

/// The array on two kept partitions, whose superblocks have these UUIDs.
fn kept_array(uuids: [&str; 2]) -> Case {
    let mut case = stacks::kept_group();
    let table = case.facts.disks[0].table.clone();
    case.facts.disks[1].table = table.map(|mut table| {
        table.guid = uuid::Uuid::from_u128(10);
        for entry in &mut table.partitions {
            entry.guid = uuid::Uuid::from_u128(20 + u128::from(entry.number));
            entry.label = format!("{}2", entry.label);
        }
        table
    });
    for (disk, uuid) in case.facts.disks.iter_mut().zip(uuids) {
        disk.contents = vec![member(3, "linux_raid_member", "n001:data", uuid)];
    }
    let storage = &mut case.nii["storage"];
    storage["disks"] = json!([
        {"name": "a", "select": {"serial": "S-vda"}, "partitions": [
            {"label": "pv", "type": "raid", "preserve": true}, {"label": "root", "type": "root"}]},
        {"name": "b", "select": {"serial": "S-vdb"}, "partitions": [{"label": "pv2", "type": "raid", "preserve": true}]},
    ]);
    storage["raid"] = json!([{"name": "data", "level": "raid1", "devices": ["pv", "pv2"], "preserve": true}]);
    storage["volume_groups"] = json!([]);
    storage["logical_volumes"] = json!([]);
    storage["filesystems"] = json!([
        {"device": "root", "format": "ext4", "mount": "/"},
        {"device": "data", "format": "xfs", "mount": "/data", "preserve": true},
    ]);
    case
}

const ONE: &str = "74fd162f-35e1-5a85-b74e-2ba3a57ad00b";
const TWO: &str = "f721ca36-aed8-5379-8be7-e8cbf14c469d";

#[test]
fn the_members_of_a_kept_array_are_of_one_array_and_all_of_it() {
    let plan = kept_array([ONE, ONE]).disked().unwrap();
    let text = support::dump(&plan);
    assert!(text.contains("ARRAY /dev/md/data UUID=74fd162f:35e15a85:b74e2ba3:a57ad00b\n"), "{text}");
    assert!(text.contains("\n/dev/md/data /data xfs defaults 0 0\n"), "{text}");
    assert!(refused(&kept_array([ONE, TWO])).contains("its members are not of one array"));
    let mut third = kept_array([ONE, ONE]);
    third.facts.disks.push(support::disk("/dev/vdc", GIB));
    third.facts.disks[2].contents = vec![member(1, "linux_raid_member", "n001:data", ONE)];
    assert!(refused(&third).contains("`data` is to be kept, and /dev/vdc1 is part of it"));
}

#[test]
fn the_initrd_has_the_programs_that_the_ops_run() {
    for (tool, set) in [("mdadm", "raid"), ("lvm", "lvm")] {
        let mut case = stacks::raid_and_lvm();
        case.facts.tools.retain(|known| known != tool);
        let wanted = format!("this initrd has no {tool}; build it with `--tool-set {set}`");
        assert!(refused(&case).contains(&wanted), "{tool}");
    }
    let mut case = stacks::btrfs_and_luks();
    case.facts.tools.retain(|known| known != "cryptsetup");
    assert!(refused(&case).contains("this initrd has no cryptsetup"));
}

#[test]
fn a_stack_is_not_switched_into() {
    let mut case = stacks::raid_and_lvm();
    case.nii["install"]["after"] = json!("switch-root");
    assert!(refused(&case).contains("install.after"));
}

/// With a pool of this size beside a root of 4096 MiB and a swap of 512.
fn pool_of(mib: u64) -> Case {
    let mut case = stacks::raid_and_lvm();
    case.nii["storage"]["logical_volumes"][0]["size_mib"] = json!(mib);
    case
}

#[test]
fn a_pool_has_metadata_too() {
    let why = refused(&pool_of(100_000));
    let (_, has) = why.split_once("its devices have ").expect("it says what there is");
    let has: u64 = has.split(' ').next().and_then(|number| number.parse().ok()).expect("it is a number");
    let rest = has - 4096 - 512;
    assert!(refused(&pool_of(rest)).contains("storage.volume_groups[0].devices"), "no extent for metadata");
    assert!(pool_of(rest - 4).disked().is_ok(), "3 MiB of metadata take one extent");
}

/// The kept group with so many free extents of 4 MiB, and these volumes in it: name, extents, pool.
fn known_group(free: u64, volumes: &[(&str, u64, Option<&str>)]) -> Case {
    let mut case = stacks::kept_group();
    let volume = |(name, extents, pool): &(&str, u64, Option<&str>)| GroupVolume {
        name: (*name).into(),
        extents: *extents,
        pool: pool.map(Into::into),
        origin: None,
    };
    let volumes = volumes.iter().map(volume).collect();
    case.facts.groups = vec![Group { name: "old".into(), extent: 4 << 20, free, volumes }];
    case
}

#[test]
fn new_volumes_have_room_in_a_kept_group() {
    // The root has 2048 MiB: 512 extents.
    assert!(known_group(512, &[("data", 100, None)]).disked().is_ok());
    assert!(
        known_group(412, &[("data", 100, None), ("root", 100, None)]).disked().is_ok(),
        "it is removed first"
    );
    let why = refused(&known_group(411, &[("data", 500, None), ("root", 100, None)]));
    assert!(why.contains("of the kept group `old` need 2048 MiB") && why.contains("has 2044 MiB"), "{why}");
}

#[test]
fn a_volume_that_is_kept_is_there() {
    let why = refused(&known_group(999, &[("dat", 100, None)]));
    assert!(why.contains("the group `old` has no volume `data` that could be kept"), "{why}");
}

#[test]
fn a_pool_that_is_made_anew_takes_no_other_volume_along() {
    let pool = |thin: &str| {
        let mut case = known_group(999, &[("data", 9, None), ("pool", 99, None), (thin, 0, Some("pool"))]);
        let volumes = case.nii["storage"]["logical_volumes"].as_array_mut().unwrap();
        volumes.push(json!({"name": "pool", "group": "old", "size_mib": 64, "thin_pool": true}));
        volumes.push(json!({"name": "tmp", "group": "old", "size_mib": 64, "pool": "pool"}));
        case
    };
    assert!(pool("tmp").disked().is_ok_and(|plan| plan.warnings.is_empty()), "all in it is made anew");
    let why = refused(&pool("photos"));
    assert!(why.contains("`pool` is made anew, and photos in it would go with it"), "{why}");
}

#[test]
fn a_volume_with_a_snapshot_is_not_made_anew() {
    let mut case = known_group(999, &[("data", 9, None), ("root", 99, None), ("before", 9, None)]);
    assert!(case.disked().is_ok());
    case.facts.groups[0].volumes[2].origin = Some("root".into());
    let why = refused(&case);
    assert!(why.contains("`old/root` is made anew, and before is made of it as its snapshot"), "{why}");
}

/// Where only LVM itself can tell: also if nothing in the group is made anew.
#[test]
fn a_kept_group_is_looked_into_before_anything_is_written() {
    let mut case = stacks::kept_group();
    let vault = "6c5a9d31-1f25-4d30-a8a5-2f7a7d9f8a10";
    case.facts.disks[0].contents = vec![member(3, "crypto_LUKS", "", vault)];
    let storage = &mut case.nii["storage"];
    let pv = json!({"label": "pv", "type": "luks", "preserve": true});
    storage["disks"][0]["partitions"][1] = pv;
    storage["disks"][0]["partitions"][2] = json!({"label": "root", "type": "root"});
    storage["luks"] = json!([{"name": "vault", "device": "pv", "preserve": true}]);
    storage["volume_groups"][0]["devices"] = json!(["vault"]);
    storage["logical_volumes"] = json!([{"name": "data", "group": "old", "preserve": true}]);
    storage["filesystems"] = json!([{"device": "root", "format": "ext4", "mount": "/"}]);
    case.nii["secrets"]["luks_keys"] = json!({"vault": "notforlogs"});
    let partition = |case: &Case| {
        let plan = case.disked().unwrap();
        plan.ops("partition").iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let looks = [
        "try the passphrase of /dev/vda3 (vault)",
        "open /dev/vda3 as vault, read-only",
        "check volume group old with data",
        "stop volume group old",
        "take the mapping vault away",
        "check that nobody uses /dev/vda (serial S-vda)",
    ];
    assert_eq!(partition(&case)[..looks.len()], looks);
    case.facts.disks[0].journal = Some(begun());
    let again = partition(&case);
    assert_eq!(again[1], "open /dev/vda3 as vault", "a change may have to be undone");
    assert_eq!(again[2], "check volume group old with data; a change of it that was cut off is undone");
}

#[test]
fn a_kept_encrypted_device_is_tried_before_the_tables_are_written() {
    let mut case = stacks::kept_group();
    case.facts.disks[0].contents = vec![member(3, "crypto_LUKS", "", "6c5a9d31-1f25-4d30-a8a5-2f7a7d9f8a10")];
    let storage = &mut case.nii["storage"];
    storage["disks"][0]["partitions"] = json!([
        {"label": "bios", "type": "bios-boot", "size_mib": 1},
        {"label": "pv", "type": "luks", "preserve": true},
        {"label": "root", "type": "root"},
    ]);
    storage["volume_groups"] = json!([]);
    storage["logical_volumes"] = json!([]);
    storage["luks"] = json!([{"name": "vault", "device": "pv", "preserve": true}]);
    storage["filesystems"] = json!([
        {"device": "root", "format": "ext4", "mount": "/"},
        {"device": "vault", "format": "xfs", "mount": "/vault", "preserve": true},
    ]);
    case.nii["secrets"]["luks_keys"] = json!({"vault": "notforlogs"});
    let plan = case.disked().unwrap();
    let first = plan.ops("partition").first().unwrap();
    assert_eq!(first.to_string(), "try the passphrase of /dev/vda3 (vault)");
    let plan::Act::Stack(act) = &first.act else { panic!("{first}") };
    let [command] = &plan::stack::tools::commands(act)[..] else { panic!("{first}") };
    let wanted = "cryptsetup open --test-passphrase --type=luks2 --key-file=- /dev/vda3";
    assert_eq!(command.argv.join(" "), wanted);
    assert_eq!(command.input.map(|key| key.expose()), Some("notforlogs"), "by standard input only");
    case.facts.tools.retain(|tool| tool != "cryptsetup");
    assert!(refused(&case).contains("this initrd has no cryptsetup"));
}
