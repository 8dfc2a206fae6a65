//! Wiping loop disks. Needs root. What disks do by themselves is for a guest (`cargo xtask test`).

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};

use host::{Machine, Watch};
use nii::digest::Digest;
use nii::v1::{PartitionType, Wipe};
use plan::facts::TableEntry;
use plan::{Act, Op};

use support::{Kept, LoopDisk, MIB, Target, entry, machine, table};

const SIZE: u64 = 320 * MIB;

fn apply(target: &Target, act: Act, watch: &mut dyn Watch) -> Result<(), String> {
    let applied = machine(target.path()).apply(&Op::new(act, "a test"), watch);
    applied.map(|_| ()).map_err(|error| format!("{:#}", anyhow::Error::new(error)))
}

fn parts(sector: u64) -> Vec<TableEntry> {
    let linux = PartitionType::Linux.guid();
    vec![entry(1, linux, "new", sector, 1, 40), entry(4, linux, "data", sector, 150, 200)]
}

fn erase(disk: &LoopDisk, how: Wipe, keep: &[u32]) -> Act {
    Act::Erase { disk: disk.name().into(), how, keep: keep.to_vec() }
}

/// A disk full of ones, with its table.
fn full(sector: u32) -> (LoopDisk, Target) {
    let (disk, target) = (LoopDisk::new(SIZE, sector), Target::new());
    let device = fs::OpenOptions::new().write(true).open(&disk.path).unwrap();
    (0..SIZE / MIB).for_each(|mib| device.write_all_at(&[0xff; MIB as usize], mib * MIB).unwrap());
    device.sync_all().unwrap();
    let (partitions, keep) = (parts(sector.into()), Vec::new());
    let act = Act::WriteTable { disk: disk.name().into(), table: table(partitions), keep };
    apply(&target, act, &mut Kept::default()).unwrap();
    (disk, target)
}

/// Digest of a kept partition, and whether there is anything but zeroes between the two copies of the table and outside of it.
fn look(disk: &LoopDisk) -> (Digest, bool) {
    let bytes = fs::read(&disk.path).unwrap();
    let at = |mib: u64| (mib * MIB) as usize;
    let zeroes = vec![0; MIB as usize];
    let mut others = bytes[at(1)..at(150)]
        .chunks(MIB as usize)
        .chain(bytes[at(200)..at(SIZE / MIB - 1)].chunks(MIB as usize));
    (Digest::of(&bytes[at(150)..at(200)]), others.any(|chunk| chunk != zeroes))
}

#[test]
fn all_but_the_table_and_what_is_kept() {
    for (sector, how) in [(512, Wipe::Zero), (4096, Wipe::Zero), (512, Wipe::Discard)] {
        let (disk, target) = full(sector);
        let (before, dirty) = look(&disk);
        assert!(dirty);
        let mut watch = Kept::default();
        apply(&target, erase(&disk, how, &[4]), &mut watch).unwrap();
        assert_eq!(look(&disk), (before, false), "{sector} {how:?}");
        let (done, total) = *watch.progress.last().unwrap();
        assert!(
            done == total && total > (SIZE - 52 * MIB) && watch.progress.len() > 1,
            "{:?}",
            watch.progress
        );
        let verified = support::tool("sfdisk", &["--verify", disk.name()]);
        assert!(verified.contains("No errors detected"), "{verified}");
        apply(&target, erase(&disk, how, &[]), &mut Kept::default()).unwrap();
        assert_ne!(look(&disk).0, before, "nothing was to be kept");
    }
}

/// The file below has holes: the disk got its blocks back.
#[test]
fn a_discard_reaches_the_disk() {
    let (disk, target) = full(512);
    let held = || fs::metadata(disk.file()).unwrap().blocks() * 512;
    let before = held();
    apply(&target, erase(&disk, Wipe::Discard, &[4]), &mut Kept::default()).unwrap();
    assert!(before >= SIZE && held() < 60 * MIB, "{before} {}", held());
}

#[test]
fn what_is_refused() {
    let (disk, target) = full(512);
    let before = look(&disk);
    let refusal = |act| apply(&target, act, &mut Kept::default()).unwrap_err();
    assert!(refusal(erase(&disk, Wipe::Zero, &[3])).contains("has no partition 3, which is to be kept"));
    assert!(refusal(erase(&disk, Wipe::Secure, &[4])).contains("would not spare"));
    support::tool("mkswap", &[&format!("{}p1", disk.name())]);
    support::tool("swapon", &[&format!("{}p1", disk.name())]);
    let busy = [Wipe::Zero, Wipe::Secure].map(|how| refusal(erase(&disk, how, &[])));
    support::tool("swapoff", &[&format!("{}p1", disk.name())]);
    assert!(busy.iter().all(|error| error.contains("busy")), "{busy:?}");
    assert_eq!(look(&disk), before);
}

/// A disk that is left locked says by nothing else how it is opened again.
#[test]
fn what_erases_itself_in_vain_names_the_way_out() {
    let (disk, target) = full(512);
    let before = look(&disk);
    let error = apply(&target, erase(&disk, Wipe::Secure, &[]), &mut Kept::default()).unwrap_err();
    let way_out = format!("--security-unlock camphor {}`, then `", disk.name());
    assert!(error.contains(&way_out) && error.contains("--security-set-pass"), "{error}");
    assert_eq!(look(&disk), before);
}

/// A run that was given up.
struct Stopped;

impl Watch for Stopped {
    fn progress(&mut self, _: u64, _: u64) {}
    fn log(&mut self, _: &str) {}
    fn is_stopped(&self) -> bool {
        true
    }
}

#[test]
fn an_erasure_ends_with_its_step() {
    let (disk, target) = full(512);
    let before = look(&disk);
    let error = apply(&target, erase(&disk, Wipe::Zero, &[]), &mut Stopped).unwrap_err();
    assert!(error.contains("outlived its deadline"), "{error}");
    assert_eq!(look(&disk), before);
}
