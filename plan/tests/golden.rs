//! Golden files: machine + image + NII -> the whole plan, as `--plan` prints it, and every file's text.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test support")]

mod support;

use plan::{Act, Op, Plan};
use serde_json::json;
use support::{GIB, bios, debian, disk, diskless, dump, efi, rocky};

/// What every golden plan of a disked node shows, after a look at its order.
fn golden(plan: &Plan) -> String {
    assert_bootable_last(plan);
    dump(plan)
}

/// Sync, then what makes the disk bootable and nothing but that, then the commit.
#[track_caller]
fn assert_bootable_last(plan: &Plan) {
    let is_loader = |op: &Op| match &op.act {
        Act::Run { argv } => argv[0] == "grub-install" || argv[0] == "grub2-install",
        Act::CopyFile { to, .. } => to.ends_with("/EFI/BOOT/BOOTX64.EFI"),
        _ => false,
    };
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
    insta::assert_snapshot!(golden(&bios().disked().unwrap()));
}

#[test]
fn uefi_xfs_debian_grub() {
    insta::assert_snapshot!(golden(&efi().disked().unwrap()));
}

#[test]
fn uefi_systemd_boot_kexec() {
    let mut case = efi();
    case.nii["boot"]["loader"] = json!("systemd-boot");
    case.nii["install"]["after"] = json!("kexec");
    insta::assert_snapshot!(golden(&case.disked().unwrap()));
}

#[test]
fn uefi_rocky() {
    let mut case = efi();
    case.manifest = rocky();
    insta::assert_snapshot!(golden(&case.disked().unwrap()));
}

#[test]
fn bios_4kn_switch_root() {
    let mut case = bios();
    case.facts.disks[0].sector = 4096;
    case.nii["install"]["after"] = json!("switch-root");
    insta::assert_snapshot!(golden(&case.disked().unwrap()));
}

/// Static addresses of both families on one interface, IPv6 only on the other; provided host keys.
#[test]
fn diskless_static_network() {
    let mut case = diskless();
    case.nii["network"]["interfaces"] = json!([
        {"match": {"mac": support::MAC}, "mtu": 9000,
         "ipv4": {"static": {"address": "10.0.0.5", "prefix": 24, "gateway": "10.0.0.1",
                             "routes": [{"to": "10.9.0.0", "prefix": 16, "via": "10.0.0.9"}]}},
         "ipv6": {"static": {"address": "fd00::5", "prefix": 64, "gateway": "fd00::1",
                             "routes": [{"to": "fd09::", "prefix": 32, "via": "fd00::9"}]}}},
        {"match": {"name": "eth1"}, "ipv6": "slaac"},
    ]);
    case.nii["network"]["dns"] = json!(["10.0.0.1", "fd00::1"]);
    case.nii["root"]["ssh_host_keys"] = json!("provided");
    case.nii["secrets"]["ssh_host_keys"] =
        json!([{"type": "ed25519", "private": "PRIVATE", "public": "ssh-ed25519 AAAA host"}]);
    insta::assert_snapshot!(dump(&case.diskless().unwrap()));
}

/// The named disk is found first although it comes last; the others are picked among what remains.
#[test]
fn several_disks_with_pick() {
    let mut case = bios();
    case.facts.disks = vec![
        disk("/dev/sda", 8 * GIB),
        disk("/dev/sdb", 4 * GIB),
        disk("/dev/sdc", 6 * GIB),
        disk("/dev/nvme0n1", 3 * GIB),
    ];
    let system = case.nii["storage"]["disks"][0]["partitions"].clone();
    let data = |name: &str| json!([{"label": name}]);
    case.nii["storage"]["disks"] = json!([
        {"name": "large", "select": {"pick": "largest"}, "partitions": data("scratch")},
        {"name": "small", "select": {"pick": "smallest", "min_size_mib": 4000}, "partitions": data("logs")},
        {"name": "system", "select": {"serial": "S-nvme0n1"}, "partitions": system},
    ]);
    case.nii["storage"]["filesystems"].as_array_mut().unwrap().extend([
        json!({"device": "scratch", "format": "xfs", "mount": "/scratch"}),
        json!({"device": "logs", "format": "ext4", "mount": "/var/log"}),
    ]);
    let plan = case.disked().unwrap();
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
    assert_eq!(first.ops("partition")[0], again.ops("partition")[0]);
    assert_ne!(first.ops("partition")[1], again.ops("partition")[1], "the journal tells attempts apart");
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
