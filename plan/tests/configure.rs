//! What of the image must not survive in a node, and what a switch into its root needs.

#![allow(clippy::unwrap_used, reason = "test support")]

mod support;

use nii::manifest::Os;
use plan::Plan;
use plan::op::{Act, Guard, Op};
use serde_json::json;
use support::{Case, bios, diskless, efi, rocky};

const NETWORKMANAGER: &str = "usr/sbin/NetworkManager";

fn configure(case: &Case) -> Vec<Op> {
    case.disked().unwrap().ops("configure").to_vec()
}

/// Where the files are removed and under which condition.
fn removal<'a>(ops: &'a [Op], files: &str) -> Option<(usize, &'a Guard)> {
    let is = |op: &Op| op.act == Act::Remove { path: files.into() };
    ops.iter().position(is).map(|at| (at, &ops[at].guard))
}

/// Where the first file with that beginning is written, and under which condition.
fn write<'a>(ops: &'a [Op], beginning: &str) -> Option<(usize, &'a Guard)> {
    let is = |op: &Op| matches!(&op.act, Act::WriteFile { path, .. } if path.starts_with(beginning));
    ops.iter().position(is).map(|at| (at, &ops[at].guard))
}

#[track_caller]
fn removed_before_written(ops: &[Op], files: &str, written: &str) {
    let removal = removal(ops, files).unwrap_or_else(|| panic!("{files} stay"));
    let write = write(ops, written).unwrap_or_else(|| panic!("{written} is not written"));
    assert!(removal.0 < write.0, "{files} are removed after {written}");
    let weaker = removal.1.is_empty() || removal.1 == write.1;
    assert!(weaker, "{files}: only if it {}, and {written}: only if it {}", removal.1, write.1);
}

#[test]
fn the_interfaces_of_the_image_do_not_survive() {
    let mut unknown = efi();
    unknown.manifest.os = Os { id: "arch".into(), ..unknown.manifest.os };
    let mut redhat = efi();
    redhat.manifest = rocky();
    for case in [bios(), redhat, unknown] {
        let ops = configure(&case);
        let connections = "etc/NetworkManager/system-connections";
        removed_before_written(&ops, &format!("{connections}/*"), &format!("{connections}/camphor-"));
        removed_before_written(&ops, "etc/systemd/network/*.network", "etc/systemd/network/10-camphor-");
        let os = case.manifest.os.id.as_str();
        if os != "debian" {
            let scripts = "etc/sysconfig/network-scripts";
            for files in ["ifcfg-*", "route-*", "route6-*"] {
                removed_before_written(&ops, &format!("{scripts}/{files}"), &format!("{scripts}/ifcfg-lo"));
                removed_before_written(&ops, &format!("{scripts}/{files}"), &format!("{scripts}/ifcfg-net0"));
            }
        }
        if os != "rocky" {
            ifupdown_has_what_camphor_wrote(&ops);
        }
    }
}

/// Under every condition under which `interfaces` is written, what it includes goes; and NetworkManager, which heeds the
/// file, is among the conditions.
fn ifupdown_has_what_camphor_wrote(ops: &[Op]) {
    let guards = |wanted: &dyn Fn(&Act) -> bool| -> Vec<Guard> {
        ops.iter().filter(|op| wanted(&op.act)).map(|op| op.guard.clone()).collect()
    };
    let written =
        guards(&|act| matches!(act, Act::WriteFile { path, .. } if path == "etc/network/interfaces"));
    let included = guards(&|act| *act == Act::Remove { path: "etc/network/interfaces.d/*".into() });
    assert_eq!(written, included);
    assert_eq!(written.len(), 3);
    assert_eq!(written[0], Guard::has(NETWORKMANAGER).and("etc/network"));
}

#[test]
fn without_interfaces_the_network_of_the_image_stays() {
    let mut case = bios();
    case.nii["network"]["interfaces"] = json!([]);
    let ops = configure(&case);
    assert_eq!(removal(&ops, "etc/systemd/network/*.network"), None);
    assert_eq!(write(&ops, "etc/network/interfaces"), None);
}

#[test]
fn root_has_the_keys_of_the_nii_and_no_others() {
    let mut case = bios();
    let with = configure(&case);
    assert!(write(&with, "root/.ssh/authorized_keys").is_some());
    assert_eq!(removal(&with, "root/.ssh/authorized_keys"), None);
    case.nii["root"]["authorized_keys"] = json!([]);
    let without = configure(&case);
    assert_eq!(write(&without, "root/.ssh/authorized_keys"), None);
    assert!(removal(&without, "root/.ssh/authorized_keys").is_some_and(|(_, guard)| guard.is_empty()));
    for ops in [with, without] {
        assert!(removal(&ops, "root/.ssh/authorized_keys2").is_some_and(|(_, guard)| guard.is_empty()));
    }
}

#[test]
fn who_switches_into_the_root_needs_an_init_there() {
    let asks = |plan: &Plan| {
        let init = |op: &Op| matches!(&op.act, Act::Require { any, .. } if any.iter().any(|path| path == "sbin/init"));
        plan.ops("configure").iter().any(init)
    };
    assert!(asks(&diskless().diskless().unwrap()));
    for (after, wanted) in [("switch-root", true), ("kexec", false), ("reboot", false), ("poweroff", false)] {
        let mut case = bios();
        case.nii["install"]["after"] = json!(after);
        assert_eq!(asks(&case.disked().unwrap()), wanted, "{after}");
    }
}

/// The options of the mounts, in their order: `/`, `/boot`, `/boot/efi`.
fn mounts(after: &str) -> Vec<String> {
    let mut case = efi();
    case.nii["install"]["after"] = json!(after);
    case.nii["storage"]["filesystems"][1]["mount_options"] =
        json!(["ro", "noauto", "nofail", "user", "_netdev", "x-systemd.automount", "nodev", "data=journal"]);
    let plan = case.disked().unwrap();
    let options = |op: &Op| match &op.act {
        Act::Mount { options, .. } => Some(options.join(",")),
        _ => None,
    };
    plan.ops("format").iter().filter_map(options).collect()
}

#[test]
fn mounts_that_stay_have_the_options_that_the_kernel_knows() {
    assert_eq!(mounts("switch-root"), ["", "nodev,data=journal", "umask=0077"]);
    assert_eq!(mounts("reboot"), ["", "", ""]);
}
