//! Tables, journal, file systems and mounts on loop disks. Needs root, losetup, sfdisk, mkfs and partx.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::os::unix::fs::FileExt;

use host::linux::disk::{claim, partitions, survey};
use host::{Applied, Machine};
use nii::digest::Digest;
use nii::v1::{Format, PartitionType};
use plan::facts::JournalRecord;
use plan::op::DiskId;
use plan::{Act, Op, journal};
use support::{Kept, LoopDisk, MIB, Target, entry, machine, table, tool};
use uuid::Uuid;

fn linux() -> Uuid {
    PartitionType::Linux.guid()
}

/// Applies an act; an error is the test's.
fn apply(target: &Target, act: Act) {
    let applied = machine(target.path()).apply(&Op::new(act, "test"), &mut Kept::default());
    assert_eq!(applied.unwrap_or_else(|error| panic!("{:#}", anyhow::Error::new(error))), Applied::Done);
}

fn write_table(disk: &LoopDisk, table: plan::facts::Table) -> Act {
    Act::WriteTable { disk: disk.name().into(), table, keep: Vec::new() }
}

/// The error of an act, whole.
fn refusal(target: &Target, act: Act) -> String {
    let applied = machine(target.path()).apply(&Op::new(act, "test"), &mut Kept::default());
    format!("{:#}", anyhow::Error::new(applied.unwrap_err()))
}

#[test]
fn the_facts_of_this_machine() {
    let (disk, target) = (LoopDisk::new(16 * MIB, 512), Target::new());
    let mut watch = Kept::default();
    let facts = machine(target.path()).facts(&mut watch).unwrap();
    assert!(facts.disks.iter().all(|found| found.path != disk.name()), "a loop is no disk");
    assert!(facts.disks.iter().all(|found| fs::metadata(&found.path).is_ok() && found.size > 0));
    assert_eq!(survey::list("/sys".as_ref(), &facts.stacked).unwrap().len(), facts.disks.len());
    let unreadable = facts.disks.iter().filter(|found| found.unreadable.is_some()).count();
    assert_eq!(watch.lines.iter().filter(|line| line.contains(" cannot be used: ")).count(), unreadable);
    assert!(facts.tools.contains(&"mkfs.ext4".into()) && facts.tool_versions["mkfs.xfs"].contains('.'));
    assert!(facts.memory_available <= facts.memory_total && facts.memory_total > 64 * MIB);
    assert!(fs::read_to_string("/proc/version").unwrap().contains(&facts.kernel));
}

#[test]
fn another_disk_at_a_path_is_seen() {
    let known = survey::list("/sys".as_ref(), &[]).unwrap();
    let disk = DiskId::from(known.first().expect("this machine has a disk"));
    let changed = [
        (DiskId { serial: Some("another".into()), ..disk.clone() }, "is another disk than it was"),
        (DiskId { wwn: Some("another".into()), ..disk.clone() }, "is another disk than it was"),
        (DiskId { size: disk.size + 512, ..disk.clone() }, "is another disk than it was"),
        (DiskId { path: "/dev/none".into(), ..disk.clone() }, "is gone"),
    ];
    for (was, why) in changed {
        let error = claim::check("/sys".as_ref(), &[was]).unwrap_err();
        assert!(format!("{error:#}").contains(why), "{error:#}");
    }
}

#[test]
fn sfdisk_and_the_kernel_read_what_we_write() {
    for sector in [512, 4096] {
        let (disk, target) = (LoopDisk::new(64 * MIB, sector), Target::new());
        let sector = u64::from(sector);
        let wanted = table(vec![
            entry(1, PartitionType::Esp.guid(), "esp", sector, 1, 9),
            entry(3, journal::IN_PROGRESS, "root ü", sector, 10, 40),
            entry(5, linux(), "var", sector, 40, 63),
        ]);
        // Twice: every op may be applied again.
        for _ in 0..2 {
            apply(&target, write_table(&disk, wanted.clone()));
            assert_eq!(survey::contents(&disk.path).unwrap().0.as_ref(), Some(&wanted));
        }
        let json: serde_json::Value =
            serde_json::from_str(&tool("sfdisk", &["--json", disk.name()])).unwrap();
        let listed = json["partitiontable"]["partitions"].as_array().unwrap();
        assert_eq!(listed.len(), 3);
        for (entry, seen) in wanted.partitions.iter().zip(listed) {
            assert_eq!(seen["node"], format!("{}p{}", disk.name(), entry.number));
            assert_eq!(seen["start"], entry.first);
            assert_eq!(seen["size"], entry.last - entry.first + 1);
            assert_eq!(seen["type"], entry.kind.to_string().to_uppercase());
            assert_eq!(seen["uuid"], entry.guid.to_string().to_uppercase());
            assert_eq!(seen["name"], entry.label);
        }
        let verified = tool("sfdisk", &["--verify", disk.name()]);
        assert!(verified.contains("No errors detected"), "{verified}");
        let known = partitions::known("/sys".as_ref(), &disk.name()[5..]).unwrap();
        assert_eq!(known.iter().map(|part| part.number).collect::<Vec<_>>(), [1, 3, 5]);
        assert_eq!(known[1].start, 10 * MIB);
        assert!(fs::metadata(format!("{}p5", disk.name())).is_ok());
    }
}

/// The second header of LUKS2, 4 MiB behind the first: libblkid takes a device for LUKS by it alone.
fn second_luks2_header() -> Vec<u8> {
    let mut header = vec![0; 4096];
    header[..8].copy_from_slice(b"SKUL\xba\xbe\0\x02");
    header[8..16].copy_from_slice(&(4 * MIB).to_be_bytes());
    header[256..264].copy_from_slice(&(4 * MIB).to_be_bytes());
    header
}

#[test]
fn old_signatures_and_boot_code_are_gone() {
    let (disk, target) = (LoopDisk::new(64 * MIB, 512), Target::new());
    tool("mkfs.ext4", &["-q", "-F", disk.name()]);
    let device = fs::OpenOptions::new().write(true).open(&disk.path).unwrap();
    device.write_all_at(&[0x90; 440], 0).unwrap();
    // Where the root partition will begin: what a re-used disk may carry.
    device.write_all_at(&[0x77; 4096], 10 * MIB).unwrap();
    device.write_all_at(&second_luks2_header(), 14 * MIB).unwrap();
    device.sync_all().unwrap();
    drop(device);
    let wanted = table(vec![entry(1, linux(), "a", 512, 1, 10), entry(2, linux(), "b", 512, 10, 63)]);
    apply(&target, write_table(&disk, wanted));
    let bytes = fs::read(&disk.path).unwrap();
    assert_eq!(bytes[..440], [0; 440]);
    assert!(bytes[10 * MIB as usize..][..4096].iter().all(|byte| *byte == 0));
    let left = tool("wipefs", &["--no-act", "--noheadings", "--output", "TYPE", disk.name()]);
    assert!(left.lines().all(|line| ["gpt", "PMBR"].contains(&line.trim())), "{left}");
    for number in [1, 2] {
        assert_eq!(tool("wipefs", &["--no-act", &format!("{}p{number}", disk.name())]), "");
    }
}

#[test]
fn what_is_kept_keeps_every_byte() {
    let (disk, target) = (LoopDisk::new(96 * MIB, 512), Target::new());
    let old = vec![
        entry(1, linux(), "root", 512, 1, 10),
        entry(5, linux(), "data", 512, 10, 60),
        entry(3, linux(), "boot", 512, 60, 70),
    ];
    apply(&target, write_table(&disk, table(old.clone())));
    let node = format!("{}p5", disk.name());
    tool("mkfs.ext4", &["-q", "-F", &node]);
    // An attribute that we do not know, in the kept entry of both copies: sfdisk writes it.
    tool(
        "sfdisk",
        &["--quiet", "--no-reread", "--no-tell-kernel", "--part-attrs", disk.name(), "5", "GUID:63"],
    );
    let kept = plan::facts::TableEntry { attributes: 1 << 63, ..old[1].clone() };
    let digest = || Digest::of(&fs::read(&node).unwrap());
    let before = digest();
    let new = vec![
        entry(1, linux(), "new root", 512, 1, 9),
        entry(2, journal::IN_PROGRESS, "new", 512, 61, 90),
        kept.clone(),
    ];
    let keeping = |keep: &[u32], partitions: &[plan::facts::TableEntry]| Act::WriteTable {
        disk: disk.name().into(),
        table: table(partitions.to_vec()),
        keep: keep.to_vec(),
    };
    let moved = [new[0].clone(), plan::facts::TableEntry { last: kept.last - 1, ..kept }];
    assert!(
        refusal(&target, keeping(&[5], &moved)).contains("partition 5 is to be kept, and is not on the disk")
    );
    for _ in 0..2 {
        apply(&target, keeping(&[5], &new));
        assert_eq!(digest(), before);
    }
    let attributes = tool("sfdisk", &["--part-attrs", disk.name(), "5"]);
    assert_eq!(attributes.trim(), "GUID:63");
    assert!(tool("sfdisk", &["--verify", disk.name()]).contains("No errors detected"));
    apply(&target, keeping(&[], &new));
    assert_ne!(digest(), before, "without being told, both ends of it are wiped");
}

#[test]
fn the_commit_changes_one_type_and_nothing_else() {
    for sector in [512, 4096] {
        let (disk, target) = (LoopDisk::new(64 * MIB, sector), Target::new());
        let sector = u64::from(sector);
        let parts = vec![
            entry(1, PartitionType::Esp.guid(), "esp", sector, 1, 9),
            entry(3, journal::IN_PROGRESS, "root", sector, 10, 40),
            entry(5, journal::PARTITION, journal::LABEL, sector, 40, 41),
        ];
        let mut wanted = table(parts.clone());
        apply(&target, write_table(&disk, wanted.clone()));
        let record = |attempt| JournalRecord {
            version: 1,
            node: "n001".into(),
            arming: Uuid::from_u128(1),
            attempt: Uuid::from_u128(attempt),
            root: parts[1].guid,
            image: Some(Digest::of(b"image")),
            committed: false,
        };
        // Each attempt's record takes the other slot.
        for attempt in [2, 2, 3, 4] {
            apply(
                &target,
                Act::WriteJournal { partition: disk.partition(&parts[2]), record: record(attempt) },
            );
            let (found, journal) = survey::contents(&disk.path).unwrap();
            assert_eq!((found.as_ref(), journal), (Some(&wanted), Some(record(attempt))));
        }
        let (partition, kind) = (disk.partition(&parts[1]), PartitionType::Root.guid());
        let stranger = plan::op::PartitionRef { guid: Uuid::from_u128(9), ..partition.clone() };
        assert!(
            refusal(&target, Act::SetPartitionType { partition: stranger, kind }).contains("has the GUID")
        );
        apply(&target, Act::SetPartitionType { partition: partition.clone(), kind });
        apply(&target, Act::SetPartitionType { partition, kind });
        wanted.partitions[1].kind = kind;
        assert_eq!(survey::contents(&disk.path).unwrap(), (Some(wanted), Some(record(4))));
        assert!(tool("sfdisk", &["--verify", disk.name()]).contains("No errors detected"));
    }
}

#[test]
fn a_torn_record_leaves_the_older_one() {
    let (disk, target) = (LoopDisk::new(16 * MIB, 512), Target::new());
    let part = entry(1, journal::PARTITION, journal::LABEL, 512, 1, 2);
    apply(&target, write_table(&disk, table(vec![part.clone()])));
    let record = |attempt| JournalRecord {
        version: 1,
        node: "n001".into(),
        arming: Uuid::from_u128(1),
        attempt: Uuid::from_u128(attempt),
        root: Uuid::from_u128(7),
        image: Some(Digest::of(b"image")),
        committed: false,
    };
    for attempt in [1, 2] {
        apply(&target, Act::WriteJournal { partition: disk.partition(&part), record: record(attempt) });
    }
    let device = fs::OpenOptions::new().write(true).open(&disk.path).unwrap();
    // The second record is in the second slot, in the middle of the partition.
    device.write_all_at(b"?", MIB + MIB / 2 + 60).unwrap();
    device.sync_all().unwrap();
    assert_eq!(survey::contents(&disk.path).unwrap().1, Some(record(1)));
}

#[test]
fn filesystems_are_made_mounted_and_let_go() {
    let (disk, target) = (LoopDisk::new(700 * MIB, 512), Target::new());
    let parts = [
        entry(1, linux(), "root", 512, 1, 200),
        entry(2, linux(), "data", 512, 200, 601),
        entry(3, PartitionType::Swap.guid(), "swap", 512, 601, 620),
        entry(4, PartitionType::Esp.guid(), "esp", 512, 620, 690),
    ];
    apply(&target, write_table(&disk, table(parts.to_vec())));
    let uuid = |n: u128| Uuid::from_u128(0x1111_2222_3333_4444_5555_0000_0000_0000 + n);
    let formats = [Format::Ext4, Format::Xfs, Format::Swap, Format::Vfat];
    for (n, (part, format)) in parts.iter().zip(formats).enumerate() {
        let label = Some(format!("L{n}"));
        let act = Act::Mkfs {
            device: disk.partition(part).into(),
            format,
            uuid: uuid(n as u128),
            label,
            options: vec![],
        };
        apply(&target, act.clone());
        apply(&target, act);
        let node = format!("{}p{}", disk.name(), part.number);
        let blkid = tool("blkid", &["--probe", "--output", "export", &node]);
        assert!(blkid.contains(&format!("TYPE={}\n", format.name())), "{blkid}");
        assert!(
            blkid.contains(&format!("UUID={}\n", plan::filesystem_text(format, uuid(n as u128)))),
            "{blkid}"
        );
        assert!(blkid.contains(&format!("LABEL=L{n}\n")), "{blkid}");
    }
    let mount = |part: usize, path: &str| Act::Mount {
        device: disk.partition(&parts[part]).into(),
        format: formats[part],
        path: path.into(),
        options: vec!["noatime".into()],
    };
    for act in [mount(0, "/"), mount(1, "/srv/data"), mount(0, "/"), mount(1, "srv/data")] {
        apply(&target, act);
    }
    assert!(
        refusal(&target, mount(0, "/srv/data")).contains("mounted on"),
        "another file system is in the way"
    );
    fs::write(target.path().join("srv/data/file"), "x").unwrap();
    apply(&target, Act::MountKernelFs);
    apply(&target, Act::MountKernelFs);
    assert!(target.path().join("dev/null").exists() && target.path().join("proc/version").exists());
    apply(&target, Act::Sync);

    let busy = refusal(&target, write_table(&disk, table(vec![])));
    assert!(busy.contains("busy"), "{busy}");
    let open = fs::File::open(target.path().join("srv/data/file")).unwrap();
    let busy = refusal(&target, Act::Unmount);
    assert!(
        busy.contains("srv/data, in use by:") && busy.contains(&std::process::id().to_string()),
        "{busy}"
    );
    drop(open);
    apply(&target, Act::Unmount);
    apply(&target, Act::Unmount);
    assert_eq!(fs::read_dir(target.path()).unwrap().count(), 0);
}

#[test]
fn a_stale_reference_is_refused() {
    let (disk, target) = (LoopDisk::new(64 * MIB, 512), Target::new());
    let part = entry(1, linux(), "root", 512, 1, 40);
    apply(&target, write_table(&disk, table(vec![part.clone()])));
    let stranger = plan::op::PartitionRef { guid: Uuid::from_u128(9), ..disk.partition(&part) };
    let mkfs = |partition: plan::op::PartitionRef| Act::Mkfs {
        device: partition.into(),
        format: Format::Ext4,
        uuid: Uuid::from_u128(1),
        label: None,
        options: vec![],
    };
    assert!(refusal(&target, mkfs(stranger)).contains("has the GUID"));
    // The kernel's partition is another one than the table's.
    tool("partx", &["--delete", disk.name()]);
    assert!(refusal(&target, mkfs(disk.partition(&part))).contains("the kernel has no partition"));
}

#[test]
fn a_failing_mkfs_says_why() {
    let (disk, target) = (LoopDisk::new(64 * MIB, 512), Target::new());
    let part = entry(1, linux(), "root", 512, 1, 40);
    apply(&target, write_table(&disk, table(vec![part.clone()])));
    let options = vec!["-O".into(), "no_such_feature".into()];
    let uuid = Uuid::from_u128(1);
    let act =
        Act::Mkfs { device: disk.partition(&part).into(), format: Format::Ext4, uuid, label: None, options };
    let error = refusal(&target, act);
    assert!(
        error.contains("running mkfs.ext4 -F") && error.contains("Invalid filesystem option set"),
        "{error}"
    );
}
