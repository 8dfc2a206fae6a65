//! Installs on loop disks that end after any of their ops, and are begun again from what is then on the disks: tables,
//! file systems and files end the same, and what is kept keeps every byte. Needs root, losetup, partx, blkid, sfdisk,
//! and the tools that make and check file systems. FAT is made and not mounted: not every kernel here knows it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::{LazyLock, Mutex, PoisonError};

use host::Machine;
use host::linux::disk::contents::bytes::Extent;
use host::linux::disk::{superblock, survey};
use nii::digest::Digest;
use nii::manifest::Manifest;
use nii::v1::Format;
use nii::{Nii, Strictness};
use plan::facts::{Disk, Facts, Firmware, Table, TableEntry};
use plan::journal::IN_PROGRESS;
use plan::op::Content;
use plan::{Act, Inputs, Op, install};
use serde_json::{Value, json};
use support::{Kept, LoopDisk, MIB, Target, entry, machine, table, tool};
use uuid::Uuid;

/// Another one in every process: XFS refuses to be mounted twice with one UUID.
static ARMING: LazyLock<Uuid> = LazyLock::new(Uuid::new_v4);
/// The file that stands for an image.
const FILE: (&str, &str) = ("etc/marker", "whole\n");

/// A layout, and the disks for it.
struct Case {
    firmware: Firmware,
    storage: Value,
    disks: Vec<LoopDisk>,
    sector: u32,
    /// The last partition of the first disk is kept.
    keeps: bool,
}

/// What an install leaves.
#[derive(Debug, PartialEq)]
struct End {
    /// Both copies of every table, with what else is before the first partition.
    tables: Vec<Digest>,
    root: Option<Uuid>,
    /// What blkid says of every partition, by disk and number.
    found: BTreeMap<(usize, u32), String>,
}

impl Case {
    fn new(firmware: Firmware, storage: Value, sizes: &[u64], sector: u32) -> Self {
        let disks = sizes.iter().map(|mib| LoopDisk::new(mib * MIB, sector)).collect();
        Self { firmware, storage, disks, sector, keeps: false }
    }

    fn nii(&self) -> Nii {
        let mut nii: Value =
            serde_json::from_str(include_str!("../../imageinit/fixtures/disked.json")).unwrap();
        nii["storage"] = self.storage.clone();
        nii::read(nii.to_string().as_bytes(), Strictness::Strict).unwrap().0
    }

    /// As a boot finds the machine. Loop devices are no disks to it, so they are read one by one.
    fn facts(&self) -> Facts {
        let mut facts: Facts =
            serde_json::from_str(include_str!("../../imageinit/fixtures/facts.json")).unwrap();
        let blank = facts.disks.remove(0);
        facts.firmware = self.firmware;
        facts.tools = ["mkfs.ext4", "mkfs.xfs", "mkfs.vfat"].map(String::from).into();
        facts.tool_versions = [("mkfs.xfs".into(), "6.1.0".into())].into();
        facts.disks = (0..).zip(&self.disks).map(|(index, disk)| self.fact(&blank, index, disk)).collect();
        facts
    }

    fn fact(&self, blank: &Disk, index: usize, disk: &LoopDisk) -> Disk {
        let (table, journal) = survey::contents(&disk.path).unwrap();
        let sector = u64::from(self.sector);
        let mut look = |entry: &TableEntry| {
            let (start, length) = (entry.first * sector, (entry.last - entry.first + 1) * sector);
            let place = Extent { device: disk.path.clone(), start, length };
            superblock::of(&mut place.open().unwrap(), Some(entry.number)).unwrap()
        };
        let contents = entries(&table).iter().filter_map(&mut look).collect();
        let size = disk.size();
        let (path, serial) = (disk.name().into(), Some(format!("disk{index}")));
        Disk { path, serial, size, sector: self.sector, contents, table, journal, ..blank.clone() }
    }

    /// Every op of the plan that concerns disks, with a file in the place of the image.
    fn ops(&self, attempt: u128) -> Vec<Op> {
        let mut manifest = Manifest::parse(include_bytes!("../../imageinit/fixtures/manifest.json")).unwrap();
        (manifest.ram_bytes, manifest.inodes) = (MIB, 100);
        let (facts, nii) = (self.facts(), self.nii());
        let attempt = Uuid::from_u128(attempt);
        let inputs = Inputs { facts: &facts, nii: &nii, manifest: &manifest, arming: *ARMING, attempt };
        let plan = install::disked(&inputs).unwrap_or_else(|findings| panic!("{findings:?}"));
        let (path, content) = (FILE.0.into(), Content::Text(FILE.1.into()));
        let write = Act::WriteFile { path, content, mode: 0o644, uid: 0, gid: 0 };
        let ops = plan.ops("partition").iter().chain(plan.ops("format")).cloned();
        let ops = ops.chain([Op::new(write, "in the place of an image")]);
        // This machine mounts no vfat, and no loop device is one of its disks: guests do both.
        let is_for_guests =
            |op: &Op| matches!(op.act, Act::Mount { format: Format::Vfat, .. } | Act::CheckDisks { .. });
        ops.chain(plan.ops("commit").iter().cloned()).filter(|op| !is_for_guests(op)).collect()
    }

    /// Looks at what an install left; the file systems are whole, and the root has its file.
    fn end(&self) -> End {
        let mut found = BTreeMap::new();
        let mut root = None;
        for (index, disk) in self.disks.iter().enumerate() {
            let (table, journal) = survey::contents(&disk.path).unwrap();
            root = root.or(journal.map(|record| record.root));
            for entry in entries(&table) {
                let node = format!("{}p{}", disk.name(), entry.number);
                let text = blkid(&node);
                check(&node, &text);
                if Some(entry.guid) == root {
                    assert_ne!(entry.kind, IN_PROGRESS);
                    assert_eq!(read_file(&node), FILE.1);
                }
                found.insert((index, entry.number), text);
            }
        }
        End { tables: self.disks.iter().map(|disk| edges(disk, self.sector)).collect(), root, found }
    }

    fn kept(&self) -> Option<Digest> {
        let disk = self.disks.first().filter(|_| self.keeps)?;
        Some(Digest::of(&fs::read(format!("{}p5", disk.name())).unwrap()))
    }
}

fn entries(table: &Option<Table>) -> &[TableEntry] {
    table.as_ref().map_or(&[], |table| &table.partitions)
}

/// The bytes before the first partition and behind the last.
fn edges(disk: &LoopDisk, sector: u32) -> Digest {
    let device = fs::File::open(&disk.path).unwrap();
    let behind = if sector == 512 { 33 * 512 } else { 5 * 4096 };
    let mut bytes = vec![0; MIB as usize + behind];
    let (before, last) = bytes.split_at_mut(MIB as usize);
    device.read_exact_at(before, 0).unwrap();
    device.read_exact_at(last, disk.size() - behind as u64).unwrap();
    Digest::of(&bytes)
}

/// What blkid says of it, without the name of the device; nothing for what holds nothing.
fn blkid(node: &str) -> String {
    let output = Command::new("blkid").args(["--probe", "--output", "export", node]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let is_name = |line: &str| line.starts_with("DEVNAME=") || line.starts_with("PART_ENTRY_DISK=");
    text.lines().filter(|line| !is_name(line)).map(|line| format!("{line}\n")).collect()
}

fn check(node: &str, found: &str) {
    let kind = found.lines().find_map(|line| line.strip_prefix("TYPE=")).unwrap_or_default();
    match kind {
        "ext4" => drop(tool("fsck.ext4", &["-n", "-f", node])),
        "xfs" => drop(tool("xfs_repair", &["-n", node])),
        "vfat" => drop(tool("fsck.vfat", &["-n", node])),
        _ => {}
    }
}

fn read_file(node: &str) -> String {
    let target = Target::new();
    tool("mount", &["-o", "ro", node, target.path().to_str().unwrap()]);
    fs::read_to_string(target.path().join(FILE.0)).unwrap()
}

/// As a boot does it: nothing is mounted, and this program knows nothing of the one before.
fn apply(root: &Path, ops: &[Op]) {
    for op in ops {
        let applied = machine(root).apply(op, &mut Kept::default());
        applied.unwrap_or_else(|error| panic!("{:#}", anyhow::Error::new(error)));
    }
}

/// Ends an install after each of its ops in turn, and begins it again. One layout at a time: a program that another
/// thread starts holds every file of this process for a moment, and what it holds cannot be unmounted.
fn ends_the_same(make: impl Fn() -> Case) {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let whole = {
        let (case, target) = (make(), Target::new());
        apply(target.path(), &case.ops(1));
        case.end()
    };
    let length = make().ops(1).len();
    for k in 0..length {
        let case = make();
        let kept = case.kept();
        let ops = case.ops(1);
        let first = Target::new();
        apply(first.path(), &ops[..=k]);
        // The machine is reset: its mounts are gone, and the next boot starts from what is on the disks.
        drop(first);
        let target = Target::new();
        apply(target.path(), &case.ops(2));
        assert_eq!(case.end(), whole, "begun again after op {k}: {}", ops[k]);
        assert_eq!(case.kept(), kept, "what is kept, after op {k}: {}", ops[k]);
    }
    assert!(length >= 8, "{length} ops");
    eprintln!("{length} ops, each the last one once");
}

#[test]
fn bios_ext4() {
    let storage = json!({
        "disks": [{"name": "system", "partitions": [
            {"label": "bios", "type": "bios-boot", "size_mib": 1},
            {"label": "swap", "type": "swap", "size_mib": 16},
            {"label": "root", "type": "root"},
        ]}],
        "filesystems": [
            {"device": "root", "format": "ext4", "label": "root", "mount": "/"},
            {"device": "swap", "format": "swap"},
        ],
    });
    ends_the_same(|| Case::new(Firmware::Bios, storage.clone(), &[200], 512));
}

#[test]
fn uefi_xfs() {
    let storage = json!({
        "disks": [{"name": "system", "partitions": [
            {"label": "esp", "type": "esp", "size_mib": 64},
            {"label": "boot", "type": "xbootldr", "size_mib": 64},
            {"label": "root", "type": "root"},
        ]}],
        "filesystems": [
            {"device": "esp", "format": "vfat", "label": "ESP", "mount": "/boot/efi"},
            {"device": "boot", "format": "ext4", "mount": "/boot"},
            {"device": "root", "format": "xfs", "mount": "/"},
        ],
    });
    ends_the_same(|| Case::new(Firmware::Efi, storage.clone(), &[500], 512));
}

/// With sectors of 4096 bytes, between two partitions that are made anew.
#[test]
fn large_sectors_and_a_kept_partition() {
    let storage = json!({
        "disks": [{"name": "system", "partitions": [
            {"label": "bios", "type": "bios-boot", "size_mib": 1},
            {"label": "root", "type": "root"},
            {"label": "swap", "type": "swap", "size_mib": 16},
            {"label": "home", "preserve": true},
        ]}],
        "filesystems": [
            {"device": "root", "format": "ext4", "mount": "/"},
            {"device": "swap", "format": "swap"},
            {"device": "home", "format": "ext4", "mount": "/home", "preserve": true},
        ],
    });
    ends_the_same(|| {
        let mut case = Case::new(Firmware::Bios, storage.clone(), &[320], 4096);
        case.keeps = true;
        let linux = nii::v1::PartitionType::Linux.guid();
        let old = table(vec![entry(1, linux, "old", 4096, 1, 60), entry(5, linux, "home", 4096, 60, 100)]);
        let disk = &case.disks[0];
        let write = Act::WriteTable { disk: disk.name().into(), table: old, keep: Vec::new() };
        apply(Path::new("/nowhere"), &[Op::new(write, "the old system")]);
        tool(
            "mkfs.ext4",
            &["-q", "-F", "-U", "00000000-0000-0000-0000-0000000000aa", &format!("{}p5", disk.name())],
        );
        case
    });
}

#[test]
fn several_disks() {
    let data = |name: &str, serial: &str| json!({"name": name, "select": {"serial": serial}, "partitions": [{"label": name}]});
    let storage = json!({
        "disks": [
            data("scratch", "disk0"),
            {"name": "system", "select": {"serial": "disk1"}, "partitions": [
                {"label": "bios", "type": "bios-boot", "size_mib": 1},
                {"label": "root", "type": "root"},
            ]},
            data("logs", "disk2"),
        ],
        "filesystems": [
            {"device": "scratch", "format": "xfs", "mount": "/scratch"},
            {"device": "root", "format": "ext4", "mount": "/"},
            {"device": "logs", "format": "ext4", "mount": "/var/log"},
        ],
    });
    ends_the_same(|| Case::new(Firmware::Bios, storage.clone(), &[320, 200, 64], 512));
}
