//! Letting go of what the kernel has built on a disk: swap and mounts on loop disks. Needs root. Mappings and arrays are for
//! a guest (`cargo xtask test`).

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;

use host::Machine;
use nii::v1::{Format, PartitionType};
use plan::op::Holder;
use plan::{Act, Op};
use uuid::Uuid;

use support::{Kept, LoopDisk, MIB, Target, entry, machine, table};

fn release(target: &Target, holder: Holder) -> Result<(), String> {
    apply(target, Act::Release { holder })
}

fn apply(target: &Target, act: Act) -> Result<(), String> {
    let op = Op::new(act, "a test");
    let applied = machine(target.path()).apply(&op, &mut Kept::default());
    applied.map(|_| ()).map_err(|error| format!("{error}: {:#}", error.source))
}

/// A disk that an earlier worker left behind: its root mounted, with the kernel's file systems below, and swapped on.
#[test]
fn what_an_earlier_worker_left_is_let_go_and_written_anew() {
    let (disk, target) = (LoopDisk::new(200 * MIB, 512), Target::new());
    let parts = [
        entry(1, PartitionType::Linux.guid(), "root", 512, 1, 100),
        entry(2, PartitionType::Swap.guid(), "swap", 512, 100, 150),
    ];
    let write = Act::WriteTable { disk: disk.name().into(), table: table(parts.to_vec()), keep: vec![] };
    apply(&target, write.clone()).unwrap();
    for (part, format) in parts.iter().zip([Format::Ext4, Format::Swap]) {
        let (device, uuid) = (disk.partition(part).into(), Uuid::from_u128(1));
        apply(&target, Act::Mkfs { device, format, uuid, label: None, options: vec![] }).unwrap();
    }
    let device = disk.partition(&parts[0]).into();
    let mount = Act::Mount { device, format: Format::Ext4, path: "/".into(), options: vec![] };
    apply(&target, mount).unwrap();
    apply(&target, Act::MountKernelFs).unwrap();
    let swap = format!("{}p2", disk.name());
    support::tool("swapon", &[&swap]);
    assert!(apply(&target, write.clone()).unwrap_err().contains("busy"));

    let root = Holder::Mount { path: target.path().to_string_lossy().into_owned() };
    for _ in 0..2 {
        release(&target, Holder::Swap { device: swap.clone() }).unwrap();
        release(&target, root.clone()).unwrap();
    }
    assert!(!fs::read_to_string("/proc/swaps").unwrap().contains(&swap));
    assert_eq!(fs::read_dir(target.path()).unwrap().count(), 0);
    apply(&target, write).unwrap();
}

/// Whoever stays says who it is.
#[test]
fn a_user_that_stays_is_named() {
    let (disk, target) = (LoopDisk::new(100 * MIB, 512), Target::new());
    let part = entry(1, PartitionType::Linux.guid(), "root", 512, 1, 90);
    let act = Act::WriteTable { disk: disk.name().into(), table: table(vec![part.clone()]), keep: vec![] };
    apply(&target, act).unwrap();
    let device: plan::op::BlockDevice = disk.partition(&part).into();
    let uuid = Uuid::from_u128(1);
    let mkfs = Act::Mkfs { device: device.clone(), format: Format::Ext4, uuid, label: None, options: vec![] };
    apply(&target, mkfs).unwrap();
    let mount = Act::Mount { device, format: Format::Ext4, path: "/".into(), options: vec![] };
    apply(&target, mount).unwrap();
    let open = fs::File::create(target.path().join("file")).unwrap();
    let root = Holder::Mount { path: target.path().to_string_lossy().into_owned() };
    let error = release(&target, root.clone()).unwrap_err();
    assert!(error.contains("in use by:") && error.contains(&std::process::id().to_string()), "{error}");
    drop(open);
    release(&target, root).unwrap();
}
