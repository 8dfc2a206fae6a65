//! Host keys are read off old systems without writing a bit: ext4 and XFS with dirty logs, on loop disks. Needs root,
//! losetup, mkfs and mount.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use host::Salvage;
use host::linux::disk::contents::bytes::Extent;
use host::linux::disk::contents::{self, Contents};
use host::linux::disk::{survey, table};
use host::linux::salvage;
use nii::digest::Digest;
use nii::v1::PartitionType;
use plan::facts::{Disk, JournalRecord};
use plan::journal::IN_PROGRESS;
use serde_json::json;
use support::{LoopDisk, MIB, Target, entry, tool};
use uuid::Uuid;

/// A key that looks like one.
fn key(name: &str) -> String {
    format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{name}\n-----END OPENSSH PRIVATE KEY-----\n")
}

/// What is on a system's disk at the moment of a power cut: keys written long ago, and a log that is not replayed.
fn crashed(format: &str, size: u64) -> LoopDisk {
    let (disk, target) = (LoopDisk::new(size, 512), Target::new());
    let force = if format == "xfs" { "-f" } else { "-F" };
    tool(&format!("mkfs.{format}"), &["-q", force, disk.name()]);
    let mount = || tool("mount", &["-t", format, disk.name(), target.path().to_str().unwrap()]);
    let ssh = target.path().join("etc/ssh");
    mount();
    fs::create_dir_all(&ssh).unwrap();
    for kind in ["ed25519", "rsa", "dsa"] {
        fs::write(ssh.join(format!("ssh_host_{kind}_key")), key(kind)).unwrap();
        fs::write(ssh.join(format!("ssh_host_{kind}_key.pub")), format!("ssh-{kind} AAAA old\n")).unwrap();
    }
    // Neither hangs us nor counts.
    tool("mkfifo", &[ssh.join("ssh_host_ecdsa_key").to_str().unwrap()]);
    tool("umount", &[target.path().to_str().unwrap()]);
    mount();
    fs::write(target.path().join("later"), "x").unwrap();
    File::open(target.path()).and_then(|root| Ok(rustix::fs::syncfs(&root)?)).unwrap();
    let image = image(&disk);
    let copy = LoopDisk::new(size, 512);
    fs::copy(image, &copy.path).unwrap();
    copy
}

/// The file behind a loop disk.
fn image(disk: &LoopDisk) -> PathBuf {
    tool("losetup", &["--noheadings", "--output", "BACK-FILE", disk.name()]).trim().into()
}

fn digest(path: &Path) -> Digest {
    Digest::of(&fs::read(path).unwrap())
}

fn whole(disk: &LoopDisk) -> Extent {
    Extent::whole(&disk.path).unwrap()
}

fn contents_of(disk: &LoopDisk) -> Contents {
    contents::of(&mut whole(disk).open().unwrap()).unwrap()
}

fn is_dirty(format: &str, disk: &LoopDisk) -> bool {
    if format == "ext4" {
        return tool("dumpe2fs", &["-h", disk.name()]).contains("needs_recovery");
    }
    // xfs_logprint reads the device only.
    !tool("xfs_logprint", &["-t", disk.name()]).contains("<CLEAN>")
}

#[test]
fn keys_are_read_and_nothing_is_written() {
    for (format, size) in [("ext4", 64 * MIB), ("xfs", 320 * MIB)] {
        let disk = crashed(format, size);
        assert!(is_dirty(format, &disk), "{format}: the test is about a log that is not empty");
        let before = digest(&disk.path);
        assert_eq!(contents_of(&disk), Contents::Filesystem(format));
        let found = salvage::at(&whole(&disk), format).unwrap().expect(format);
        let keys: Vec<(&str, &str)> =
            found.keys.iter().map(|key| (key.kind.as_str(), key.public.as_str())).collect();
        assert_eq!(keys, [("ed25519", "ssh-ed25519 AAAA old"), ("rsa", "ssh-rsa AAAA old")]);
        assert_eq!(found.keys[0].private.expose(), key("ed25519"));
        assert!(found.modified > 0 && !format!("{found:?}").contains("BEGIN"));
        assert_eq!(digest(&disk.path), before, "{format}");
        assert!(is_dirty(format, &disk));
        assert_eq!(tool("blockdev", &["--getro", disk.name()]).trim(), "0", "the protection is taken back");
        let seen = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!seen.contains(disk.name()), "nothing stays mounted");
    }
}

const ARMING: Uuid = Uuid::from_u128(7);

/// A disk of several systems.
struct Machine {
    loops: LoopDisk,
    disk: Disk,
}

impl Machine {
    /// With partitions of these types, from 1 on; each has a system whose keys bear its number, the first the newest.
    fn new(kinds: &[Uuid]) -> Self {
        let (loops, target) = (LoopDisk::new(80 * MIB, 512), Target::new());
        let places = (1..).zip(kinds);
        let partition = |(number, kind): (u32, &Uuid)| {
            let from = 1 + 16 * u64::from(number - 1);
            entry(number, *kind, &format!("part {number}"), 512, from, from + 16)
        };
        let partitions = places.map(partition).collect();
        table::write(Path::new("/sys"), &loops.path, &support::table(partitions), &[]).unwrap();
        for number in 1..=kinds.len() {
            let node = format!("{}p{number}", loops.name());
            tool("mkfs.ext4", &["-q", "-F", &node]);
            tool("mount", &["-t", "ext4", &node, target.path().to_str().unwrap()]);
            let path = target.path().join("etc/ssh/ssh_host_rsa_key");
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, key("x")).unwrap();
            let age = std::time::Duration::from_secs(1_000_000 - 1000 * number as u64);
            File::options().write(true).open(&path).unwrap().set_modified(UNIX_EPOCH + age).unwrap();
            fs::write(path.with_extension("pub"), format!("ssh-rsa {number}\n")).unwrap();
            tool("umount", &[target.path().to_str().unwrap()]);
        }
        let mut disk: Disk = serde_json::from_value(json!({
            "path": loops.name(), "size": 80 * MIB, "sector": 512,
            "rotational": false, "removable": false, "read_only": false,
        }))
        .unwrap();
        disk.table = survey::contents(&loops.path).unwrap().0;
        Self { loops, disk }
    }

    fn guid(&self, number: u32) -> Uuid {
        let entries = &self.disk.table.as_ref().unwrap().partitions;
        entries.iter().find(|entry| entry.number == number).unwrap().guid
    }

    /// The journal says that this partition is the root of an install of that arming.
    fn journal(&mut self, number: u32, arming: Uuid) {
        let (node, root) = ("n001".into(), self.guid(number));
        let (attempt, image) = (Uuid::nil(), None);
        self.disk.journal =
            Some(JournalRecord { version: 1, node, arming, attempt, root, image, committed: false });
    }

    fn target(&self) -> plan::Target {
        plan::Target { disk: self.disk.path.clone(), ..plan::Target::default() }
    }
}

/// Whose keys are kept, and everything that is said.
fn search(disks: &[&Machine], targets: &[plan::Target]) -> (Option<String>, Salvage) {
    let disks: Vec<Disk> = disks.iter().map(|machine| machine.disk.clone()).collect();
    let salvage = salvage::host_keys(&disks, targets, ARMING, &mut |_| ());
    (salvage.host_keys.first().map(|key| key.public.clone()), salvage)
}

fn linux() -> Uuid {
    PartitionType::Linux.guid()
}

#[test]
fn what_this_install_made_is_no_old_system() {
    let key = |number: u32| Some(format!("ssh-rsa {number}"));
    let mut machine = Machine::new(&[linux(), linux(), IN_PROGRESS]);
    assert_eq!(search(&[&machine], &[]).0, key(1));
    machine.disk.table.as_mut().unwrap().partitions[0].kind = IN_PROGRESS;
    assert_eq!(search(&[&machine], &[]).0, key(2), "begun, by whatever arming");
    machine.disk.table.as_mut().unwrap().partitions[0].kind = linux();
    machine.journal(1, ARMING);
    assert_eq!(search(&[&machine], &[]).0, key(2), "the root of this arming, with anaconda's type");
    machine.journal(2, Uuid::nil());
    assert_eq!(search(&[&machine], &[]).0, key(2), "an older camphor root wins from newer keys");
    machine.disk.journal = None;
    let made = plan::Target { made: vec![machine.guid(1)], ..machine.target() };
    assert_eq!(search(&[&machine], &[made]).0, key(2), "an earlier attempt's partition");
}

#[test]
fn disks_that_are_in_use_or_somebodys_stick_are_left_alone() {
    let mut machine = Machine::new(&[linux()]);
    machine.disk.in_use = vec!["/data".into()];
    let (found, salvage) = search(&[&machine], &[]);
    assert_eq!(found, None);
    assert!(salvage.warnings[0].contains("is in use by /data: not searched"), "{:?}", salvage.warnings);
    machine.disk.in_use.clear();
    machine.disk.removable = true;
    assert_eq!(search(&[&machine], &[]).0, None);
    assert!(search(&[&machine], &[machine.target()]).0.is_some(), "unless the install goes to it");
}

#[test]
fn what_the_install_would_write_unsearched_is_lost() {
    let (machine, other) = (Machine::new(&[linux(), linux()]), Machine::new(&[linux()]));
    assert_eq!(search(&[&machine, &other], &[other.target()]).0.unwrap(), "ssh-rsa 1");
    let node = |number: u32| format!("{}p{number}", machine.loops.name());
    fs::OpenOptions::new().write(true).open(node(1)).unwrap().write_all_at(b"LABELONE", 512).unwrap();
    // ext4 by its magic only: it cannot be mounted.
    let second = fs::OpenOptions::new().write(true).open(node(2)).unwrap();
    second.write_all_at(&[0xff; 32], 0x400).unwrap();
    let (found, salvage) = search(&[&machine], &[machine.target()]);
    assert_eq!((found, salvage.warnings.len()), (None, 0));
    let damaged = format!("looking at {}: it is a physical volume of LVM whose label is damaged", node(1));
    assert!(salvage.lost[0].starts_with(&damaged), "{salvage:?}");
    assert!(salvage.lost[1].contains(&node(2)) && salvage.lost[1].contains("mounting it"), "{salvage:?}");
    let kept = plan::Target { kept: vec![machine.guid(1)], ..machine.target() };
    let (_, salvage) = search(&[&machine], &[kept]);
    assert_eq!((salvage.warnings.len(), salvage.lost.len()), (1, 1), "{salvage:?}");
    let (_, salvage) = search(&[&machine], &[other.target()]);
    assert_eq!((salvage.warnings.len(), salvage.lost.len()), (2, 0), "another disk: nobody writes it");
}

#[test]
fn what_has_no_keys_and_what_cannot_be_mounted() {
    let disk = LoopDisk::new(16 * MIB, 512);
    assert_eq!(contents_of(&disk), Contents::Other);
    tool("mkfs.ext4", &["-q", "-F", disk.name()]);
    assert_eq!(salvage::at(&whole(&disk), "ext4").unwrap(), None);
    let error = format!("{:#}", salvage::at(&whole(&disk), "xfs").unwrap_err());
    assert!(error.contains("mounting it read-only as xfs"), "{error}");
    assert_eq!(tool("blockdev", &["--getro", disk.name()]).trim(), "0");
}
