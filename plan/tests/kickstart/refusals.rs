//! What no kickstart is made for, and what is said then.

use nii::Finding;
use plan::facts::Firmware;
use plan::kickstart::{Inputs, render};
use serde_json::{Value, json};

use crate::ARMING;
use crate::cases::{Case, RELEASES, by_name};

fn refused(case: &Case, template: Option<&str>) -> Vec<Finding> {
    let nii = case.nii(&RELEASES[1]);
    let inputs = Inputs { facts: &case.facts, nii: &nii, arming: ARMING };
    let findings = render(&inputs, template).expect_err("is refused");
    findings.into_iter().filter(Finding::is_error).collect()
}

/// `change` makes the case impossible, for one reason.
#[track_caller]
fn assert_refused(name: &str, path: &str, said: &str, change: impl FnOnce(&mut Case)) {
    let mut case = by_name(name);
    change(&mut case);
    let findings = refused(&case, None);
    assert_eq!(findings.len(), 1, "{findings:#?}");
    assert_eq!(findings[0].path, path);
    assert!(findings[0].message.contains(said), "{}", findings[0]);
}

fn storage(case: &mut Case) -> &mut Value {
    &mut case.document["storage"]
}

#[test]
fn the_wrong_machine() {
    assert_refused("minimal_uefi", "package.os.arch", "the machine is riscv64", |case| {
        case.facts.arch = "riscv64".into();
    });
    assert_refused("minimal_uefi", "storage.disks[0].select", "no disk matches", |case| {
        case.facts.disks.retain(|disk| disk.path != "/dev/sda");
    });
    assert_refused("minimal_uefi", "network.interfaces[0].match", "52:54:00:00:00:01", |case| {
        case.facts.nics.remove(0);
    });
    assert_refused("bond_vlan", "network.interfaces[1].bond.members[1]", "no interface is", |case| {
        case.facts.nics.remove(1);
    });
    let mut case = by_name("minimal_uefi");
    (case.facts.firmware, case.facts.arch) = (Firmware::Bios, "ppc64le".into());
    let findings = refused(&case, None);
    assert!(findings.iter().any(|finding| finding.message.contains("partition of type `bios-boot`")));
}

#[test]
fn what_kickstart_has_no_word_for() {
    assert_refused("static", "network.interfaces[0].ipv4.static.routes", "no word for routes", |case| {
        let ip = &mut case.document["network"]["interfaces"][0]["ipv4"]["static"];
        ip["routes"] = json!([{"to": "10.9.0.0", "prefix": 16, "via": "10.0.0.2"}]);
    });
    assert_refused("lvm", "storage.logical_volumes[4]", "no volume without", |case| {
        let more = json!({"name": "raw", "group": "vg0", "size_mib": 10});
        storage(case)["logical_volumes"].as_array_mut().unwrap().push(more);
    });
    assert_refused("anaconda_simple", "storage.disks", "partition `free` has no file system", |case| {
        let more = json!({"label": "free", "size_mib": 10});
        storage(case)["disks"][0]["partitions"].as_array_mut().unwrap().push(more);
    });
}

#[test]
fn what_anaconda_would_refuse_later() {
    let path = "storage.filesystems";
    assert_refused("lvm", path, "not on a logical volume", |case| {
        storage(case)["filesystems"].as_array_mut().unwrap().remove(1);
    });
    assert_refused("lvm", path, "ext4 or xfs for `/boot`", |case| {
        storage(case)["filesystems"][1] = json!({"device": "boot", "format": "vfat", "mount": "/boot"});
    });
    assert_refused("minimal_uefi", path, "50 MiB", |case| {
        storage(case)["disks"][0]["partitions"][0]["size_mib"] = json!(40);
    });
    assert_refused("raid1_uefi", path, "partition of type `esp` or a raid1", |case| {
        storage(case)["raid"][0]["level"] = json!("raid0");
    });
    assert_refused("minimal_uefi", "storage.filesystems[1].mount", "on the root file system", |case| {
        storage(case)["filesystems"][1] = json!({"device": "swap", "format": "ext4", "mount": "/etc"});
    });
}

/// To the extent: what fits is taken, one more is not.
#[test]
fn volumes_that_do_not_fit() {
    let path = "storage.volume_groups[0].devices";
    // 510461 and 511998 MiB less one each: 15951 and 15999 extents, of which 289 are the other volumes'.
    let root = |mib: u64| move |case: &mut Case| storage(case)["logical_volumes"][0]["size_mib"] = json!(mib);
    let figures = "need 1022432 MiB, in extents of 32 MiB, and its devices have 1022400 MiB";
    assert_refused("lvm", path, figures, root(31_661 * 32 + 1));
    let mut case = by_name("lvm");
    root(31_661 * 32)(&mut case);
    let nii = case.nii(&RELEASES[1]);
    assert!(render(&Inputs { facts: &case.facts, nii: &nii, arming: ARMING }, None).is_ok());
    // Where anaconda partitions, too, and with what a stripe has.
    let figures = "and its devices have";
    assert_refused("anaconda_lvm_raid", path, figures, root(1_100_000));
}

#[test]
fn a_group_on_an_array_has_what_the_smallest_member_has() {
    // 4093 MiB of the smaller disk are the member's, and md keeps 3 of them.
    let figures = "need 4100 MiB, in extents of 4 MiB, and its devices have 4088 MiB";
    assert_refused("raid1_bios_lvm", "storage.volume_groups[0].devices", figures, |case| {
        case.facts.disks[2].size = 5 << 30;
    });
    assert_refused("raid1_uefi", "storage.raid[1].devices", "smallest partition has 2 MiB", |case| {
        storage(case)["disks"][1]["partitions"][1]["size_mib"] = json!(2);
    });
}

#[test]
fn new_volumes_in_a_kept_group_need_their_room_too() {
    assert_refused("keep_volume", "storage.volume_groups[0].devices", "have 199996 MiB", |case| {
        storage(case)["logical_volumes"][0]["size_mib"] = json!(199_992);
    });
}

/// When `%pre` runs, no array is assembled: the group would not be there.
#[test]
fn new_volumes_in_a_group_that_is_kept_on_an_array() {
    assert_refused("keep_volume", "storage.logical_volumes", "kept on the array `md`", |case| {
        let mut table = case.facts.disks[1].table.clone().unwrap();
        table.partitions[2].label = "pv2".into();
        case.facts.disks[2].table = Some(table);
        let storage = storage(case);
        storage["disks"][0]["partitions"][2]["type"] = json!("raid");
        let second = json!({"name": "second", "select": {"path": "/dev/sdb"}, "partitions": [
            {"label": "pv2", "type": "raid", "preserve": true}]});
        storage["disks"].as_array_mut().unwrap().push(second);
        storage["raid"] =
            json!([{"name": "md", "level": "raid1", "devices": ["pv1", "pv2"], "preserve": true}]);
        storage["volume_groups"][0]["devices"] = json!(["md"]);
    });
}

#[test]
fn releases_that_are_not_known() {
    let mut case = by_name("minimal_uefi");
    let nii = |case: &Case| {
        let mut nii = case.nii(&RELEASES[0]);
        nii.package.as_mut().unwrap().os.version = "7.9".into();
        nii
    };
    let findings =
        render(&Inputs { facts: &case.facts, nii: &nii(&case), arming: ARMING }, None).unwrap_err();
    assert_eq!(findings[0].path, "package.os.version");
    case.document["package"]["extra"] = json!(["%post\ntrue\n"]);
    let findings = refused(&case, None);
    assert_eq!(findings[0].path, "package.extra[0]");
}

/// Validation lets none of these through; should it ever, no line is broken by it.
#[test]
fn line_breaks() {
    let case = by_name("accounts");
    for breaking in ["\n", "\r", "\u{b}", "\u{85}", "\u{2028}", "\0"] {
        let mut nii = case.nii(&RELEASES[1]);
        let user = &mut nii.package.as_mut().unwrap().users[0];
        user.gecos = Some(format!("x{breaking}rootpw --plaintext x"));
        let inputs = Inputs { facts: &case.facts, nii: &nii, arming: ARMING };
        let findings = render(&inputs, None).unwrap_err();
        assert_eq!(findings[0].path, "package.users[0].gecos", "{breaking:?}");
    }
}

#[test]
fn templates() {
    let case = by_name("minimal_uefi");
    let said = |template: &str, said: &str| {
        let findings = refused(&case, Some(template));
        assert_eq!((findings.len(), findings[0].path.as_str()), (1, "package.template"));
        assert!(findings[0].message.contains(said), "{}", findings[0]);
    };
    said("{{ lines.begin }}\n{{ lines.nothing }}\n{{ lines.end }}", "line 2: undefined value");
    said("{{ nii.secrets }}\n{{ lines.end }}", "undefined value");
    said("{{ lines.begin }}\n", "must end with `{{ lines.end }}`");
    said("{{ lines.begin }}\n{{ lines.end }}\nreboot\n", "must end with `{{ lines.end }}`");
    said("{{ lines.end }}\n", "no `{{ lines.begin }}`");
    said("{{ lines.begin }}\n%post\n{{ lines.end }}\n", "section `%post` has no `%end`");
    said("{{ lines.begin }}\n%ksappend http://x/y\n{{ lines.end }}\n", "%ksappend");
    said("{{ nii.network.interfaces }}{{ lines.end }}", "sequence");
}
