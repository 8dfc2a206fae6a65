//! Golden files: machine + image + NII -> the whole plan, as `--plan` prints it, and every file's text.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test support")]

mod support;

use plan::facts::JournalRecord;
use plan::{Act, Op, Plan};
use serde_json::json;
use support::model::is_loader;
use support::{Case, bios, cases, debian, dump, stacks};
use uuid::Uuid;

/// What every golden plan of a disked node shows, after a look at its order.
fn golden(case: &Case) -> String {
    let plan = case.disked().unwrap();
    assert_bootable_last(&plan);
    dump(&plan)
}

/// Sync, then what makes the disk bootable and nothing but that, then the commit.
#[track_caller]
fn assert_bootable_last(plan: &Plan) {
    let ops = plan.ops("bootloader");
    let first = ops.iter().position(is_loader).expect("something makes the disk bootable");
    assert_eq!(ops[first - 1].act, Act::Sync, "before: {}", ops[first]);
    assert!(ops[first - 1].guard.is_empty(), "a sync under a condition");
    let writes = |op: &&Op| !is_loader(op) && !matches!(op.act, Act::Remove { .. });
    assert_eq!(ops[first..].iter().find(writes), None, "after {}", ops[first]);
    let others = plan.stages.iter().filter(|stage| stage.step != "bootloader");
    assert!(!others.flat_map(|stage| &stage.ops).any(is_loader), "a loader outside of its step");
    assert_eq!(plan.stages.last().unwrap().step, "commit");
}

#[test]
fn bios_ext4_debian() {
    insta::assert_snapshot!(golden(&cases::bios_ext4_debian()));
}

#[test]
fn uefi_xfs_debian_grub() {
    insta::assert_snapshot!(golden(&cases::uefi_xfs_debian_grub()));
}

#[test]
fn uefi_systemd_boot_kexec() {
    insta::assert_snapshot!(golden(&cases::uefi_systemd_boot_kexec()));
}

#[test]
fn uefi_rocky() {
    insta::assert_snapshot!(golden(&cases::uefi_rocky()));
}

#[test]
fn bios_4kn_switch_root() {
    insta::assert_snapshot!(golden(&cases::bios_4kn_switch_root()));
}

#[test]
fn diskless_static_network() {
    insta::assert_snapshot!(dump(&cases::diskless_static_network().diskless().unwrap()));
}

#[test]
fn several_disks_with_pick() {
    let plan = cases::several_disks_with_pick().disked().unwrap();
    assert_bootable_last(&plan);
    let tables: String =
        plan.ops("partition").iter().map(|op| format!("{op}\n    {}\n", op.reason)).collect();
    let format: String = plan.ops("format").iter().map(|op| format!("{op}\n")).collect();
    insta::assert_snapshot!(tables + &format);
}

#[test]
fn attempts_make_the_same_and_armings_do_not() {
    let case = bios();
    let (nii, manifest) = (case.nii(), debian());
    let plan = |arming, attempt| {
        let inputs = plan::Inputs { facts: &case.facts, nii: &nii, manifest: &manifest, arming, attempt };
        plan::install::disked(&inputs).unwrap()
    };
    let other = uuid::Uuid::from_u128(9);
    let first = plan(support::ARMING, support::ATTEMPT);
    let again = plan(support::ARMING, other);
    for step in ["format", "unpack", "configure", "bootloader", "commit"] {
        assert_eq!(first.ops(step), again.ops(step), "{step}");
    }
    assert_eq!(first.ops("partition")[..2], again.ops("partition")[..2]);
    assert_ne!(first.ops("partition")[2], again.ops("partition")[2], "the journal tells attempts apart");
    assert_ne!(first.ops("format"), plan(other, support::ATTEMPT).ops("format"));
}

/// Neither what `--plan` prints nor the JSON of a plan nor its Debug has a secret.
#[test]
fn no_secret_is_shown() {
    let mut case = bios();
    case.nii["root"]["ssh_host_keys"] = json!("provided");
    case.nii["secrets"]["ssh_host_keys"] =
        json!([{"type": "ed25519", "private": "notforlogs", "public": "ssh-ed25519 AAAA host"}]);
    let plan = case.disked().unwrap();
    for text in [dump(&plan), serde_json::to_string(&plan).unwrap(), format!("{plan:?}")] {
        assert!(!text.contains("notforlogs"), "{text}");
    }
}

#[test]
fn bios_raid_and_lvm() {
    insta::assert_snapshot!(golden(&stacks::raid_and_lvm()));
}

#[test]
fn uefi_mirrored_esp_btrfs_and_luks() {
    insta::assert_snapshot!(golden(&stacks::btrfs_and_luks()));
}

#[test]
fn volumes_anew_beside_kept_ones() {
    insta::assert_snapshot!(golden(&stacks::kept_group()));
}

/// Only where an install was cut off: elsewhere a text that LVM cannot read may be old, and so the one before it.
#[test]
fn a_change_of_a_group_is_undone_after_an_install_that_was_cut_off() {
    let undoes = |record: Option<bool>| {
        let mut case = stacks::kept_group();
        let system = &mut case.facts.disks[0];
        let table = system.table.as_ref().expect("a table");
        system.journal = record.map(|committed| JournalRecord {
            version: 1,
            node: "n001".into(),
            arming: Uuid::from_u128(99),
            attempt: Uuid::from_u128(98),
            root: table.partitions[0].guid,
            image: None,
            committed,
        });
        golden(&case).contains("is undone")
    };
    assert_eq!([None, Some(true), Some(false)].map(undoes), [false, false, true]);
}
