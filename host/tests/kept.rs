//! What is kept of a loop disk keeps every byte, however it is found, while the rest is written anew: its contents and its
//! entry in the table; also when the writer is stopped after any of its writes. Needs root, losetup, mkfs and partx.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use std::io;

use host::Machine;
use host::linux::disk::block::{Block, Device};
use host::linux::disk::contents::bytes::Extent;
use host::linux::disk::{superblock, survey, table};
use nii::digest::Digest;
use nii::v1::{Disk, PartitionType};
use plan::facts::{self, Table, TableEntry};
use plan::table::{Layout, Marks, lay_out};
use plan::{Act, Op};
use serde_json::json;
use support::{Kept, LoopDisk, MIB, Target, entry, machine, tool};
use uuid::Uuid;

const SIZE: u64 = 40 * MIB;
const ARMING: Uuid = Uuid::from_u128(0x11111111_1111_4111_8111_111111111111);
/// Numbers of the partitions that are kept: found by label, number, GUID and file system label.
const NUMBERS: [u32; 4] = [2, 5, 7, 9];

/// What another installer left: names that are there twice, attributes, numbers with gaps.
fn old(sector: u64) -> Table {
    let one = |number: u32, name: &str, from: u64, to: u64| TableEntry {
        attributes: u64::from(number) << 48 | 1,
        ..entry(number, PartitionType::Linux.guid(), name, sector, from, to)
    };
    support::table(vec![
        one(1, "lost", 1, 4),
        one(2, "home ü", 4, 6),
        one(3, "lost", 6, 9),
        one(5, "Basic data", 9, 11),
        one(7, "Basic data", 11, 13),
        one(9, "", 20, 24),
        one(10, "lost", 24, 38),
    ])
}

/// What the NII wants there.
fn wanted(old: &Table) -> Disk {
    let guid = old.partitions.iter().find(|entry| entry.number == 7).unwrap().guid;
    serde_json::from_value(json!({"name": "system", "partitions": [
        {"label": "root", "type": "root", "size_mib": 2},
        {"label": "home ü", "preserve": true},
        {"label": "a", "preserve": true, "found_by": {"number": 5}},
        {"label": "b", "preserve": true, "found_by": {"guid": guid}},
        {"label": "c", "preserve": true, "found_by": {"filesystem_label": "data"}},
        {"label": "scratch", "weight": 1},
        {"label": "more", "weight": 2, "size_mib": 2, "attributes": ["no-auto"]},
    ]}))
    .unwrap()
}

/// The disk as a node would report it.
fn facts(disk: &LoopDisk, sector: u32) -> facts::Disk {
    let table = survey::contents(&disk.path).unwrap().0.expect("a table");
    let place = |entry: &TableEntry| {
        let (start, length) =
            (entry.first * u64::from(sector), (entry.last + 1 - entry.first) * u64::from(sector));
        let extent = Extent { device: disk.path.clone(), start, length };
        superblock::of(&mut extent.open().unwrap(), Some(entry.number)).unwrap()
    };
    let contents: Vec<facts::Content> = table.partitions.iter().filter_map(place).collect();
    let fixed = json!({"path": disk.name(), "size": SIZE, "sector": sector, "rotational": false,
        "removable": false, "read_only": false, "contents": contents, "table": table});
    serde_json::from_value(fixed).unwrap()
}

fn layout(disk: &LoopDisk, sector: u32, old: &Table) -> Layout {
    lay_out(&wanted(old), &facts(disk, sector), ARMING, Marks::of_root(Some("root"))).unwrap()
}

fn write(disk: &LoopDisk, layout: &Layout) {
    let Layout { table, keep, .. } = layout.clone();
    apply(Act::WriteTable { disk: disk.name().into(), table, keep });
}

fn apply(act: Act) {
    let target = Target::new();
    machine(target.path()).apply(&Op::new(act, "test"), &mut Kept::default()).unwrap();
}

/// A disk with the old table, and contents in all its partitions.
fn prepared(sector: u32) -> (LoopDisk, Table) {
    let disk = LoopDisk::new(SIZE, sector);
    let old = old(sector.into());
    apply(Act::WriteTable { disk: disk.name().into(), table: old.clone(), keep: Vec::new() });
    let mut device = Device::writable(&disk.path).unwrap();
    for entry in &old.partitions {
        let length = (entry.last + 1 - entry.first) * u64::from(sector);
        let pattern: Vec<u8> = (0..length).map(|at| (at / 7 + u64::from(entry.number)) as u8).collect();
        device.write(entry.first * u64::from(sector), &pattern).unwrap();
    }
    mark(&mut device);
    drop(device);
    tool("mkfs.ext4", &["-q", "-F", "-L", "data", &format!("{}p9", disk.name())]);
    (disk, old)
}

/// Puts bytes behind the end of the names of all entries, where no program looks: they are somebody's, too. Offsets are
/// those of UEFI 2.10, table 5.5.
fn mark(device: &mut Device) {
    let (sector, array) = (device.sector(), 128 * 128);
    for header in [1, device.size() / sector - 1] {
        let mut raw = device.read(header * sector, sector as usize).unwrap();
        let at = u64::from_le_bytes(raw[72..80].try_into().unwrap()) * sector;
        let mut entries = device.read(at, array).unwrap();
        entries.chunks_exact_mut(128).filter(|entry| entry[0] != 0).for_each(|entry| entry[126] = 0x55);
        raw[88..92].copy_from_slice(&crc32fast::hash(&entries).to_le_bytes());
        raw[16..20].fill(0);
        let sum = crc32fast::hash(&raw[..92]);
        raw[16..20].copy_from_slice(&sum.to_le_bytes());
        device.write(at, &entries).unwrap();
        device.write(header * sector, &raw).unwrap();
    }
    device.flush().unwrap();
}

/// What must not change: the contents of each partition that is kept, and its entry's bytes in both copies of the table.
/// They are the same in the old table and in the new one, so they are there at any moment.
fn kept(disk: &LoopDisk, old: &Table) -> Vec<Vec<Digest>> {
    let mut device = Device::read_only(&disk.path).unwrap();
    let (sector, sectors) = (device.sector(), device.size() / device.sector());
    let array = 128 * 128;
    let mut copy = |block: u64| device.read(block * sector, array).unwrap();
    let copies = [copy(2), copy(sectors - 1 - array as u64 / sector)];
    let found = survey::contents(&disk.path).unwrap().0.expect("one copy of the table is whole");
    let entry = |table: &Table, number| table.partitions.iter().find(|e| e.number == number).cloned();
    let mut one = |number: u32| {
        let place = entry(old, number).unwrap();
        assert_eq!(entry(&found, number).as_ref(), Some(&place), "as the table is read");
        let (start, length) = (place.first * sector, (place.last + 1 - place.first) * sector);
        let contents = Digest::of(&device.read(start, length as usize).unwrap());
        let slot = (number as usize - 1) * 128;
        let entries = copies.iter().map(|copy| Digest::of(&copy[slot..slot + 128]));
        std::iter::once(contents).chain(entries).collect()
    };
    NUMBERS.map(&mut one).to_vec()
}

/// A disk whose process ends in the middle of a write, after so many whole ones.
struct Stopping {
    device: Device,
    left: usize,
}

impl Block for Stopping {
    fn sector(&self) -> u64 {
        self.device.sector()
    }

    fn size(&self) -> u64 {
        self.device.size()
    }

    fn read(&mut self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        self.device.read(offset, length)
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            return self.device.write(offset, bytes);
        }
        let half = bytes.len() / 2 / self.sector() as usize * self.sector() as usize;
        self.device.write(offset, &bytes[..half])?;
        Err(io::Error::other("stopped"))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.device.flush()
    }
}

#[test]
fn found_by_anything_and_not_touched() {
    for sector in [512, 4096] {
        let (disk, old) = prepared(sector);
        let before = kept(&disk, &old);
        let layout = layout(&disk, sector, &old);
        let found = |label: &str| layout.entry(label).unwrap().number;
        assert_eq!(["home ü", "a", "b", "c"].map(found), NUMBERS);
        assert_eq!(["root", "scratch", "more", "camphor"].map(found), [1, 3, 4, 6]);
        for _ in 0..2 {
            write(&disk, &layout);
            assert_eq!(kept(&disk, &old), before);
        }
        assert_eq!(survey::contents(&disk.path).unwrap().0.as_ref(), Some(&layout.table));
        assert!(tool("sfdisk", &["--verify", disk.name()]).contains("No errors detected"));
        for label in ["root", "scratch", "more"] {
            tool("mkfs.ext4", &["-q", "-F", &format!("{}p{}", disk.name(), found(label))]);
        }
        assert_eq!(kept(&disk, &old), before, "with the others formatted");
        tool("e2fsck", &["-f", "-n", &format!("{}p9", disk.name())]);
    }
}

#[test]
fn stopped_in_any_write_and_begun_again() {
    for sector in [512, 4096] {
        let (disk, old) = prepared(sector);
        let before = kept(&disk, &old);
        let layout = layout(&disk, sector, &old);
        let image = Device::read_only(&disk.path).unwrap().read(0, SIZE as usize).unwrap();
        let mut stops = 0;
        loop {
            let mut device = Device::writable(&disk.path).unwrap();
            device.write(0, &image).unwrap();
            let mut stopping = Stopping { device, left: stops };
            let replaced = table::replace(&mut stopping, &layout.table, &layout.keep);
            drop(stopping);
            assert_eq!(kept(&disk, &old), before, "stopped after {stops} writes");
            if replaced.is_ok() {
                break;
            }
            // The next attempt looks again, and finds the same.
            let again = self::layout(&disk, sector, &old);
            assert_eq!(again, layout, "stopped after {stops} writes");
            write(&disk, &again);
            assert_eq!(survey::contents(&disk.path).unwrap().0.as_ref(), Some(&layout.table));
            assert_eq!(kept(&disk, &old), before, "stopped after {stops} writes, and begun again");
            stops += 1;
        }
        assert!(stops > 5, "MBR, two arrays, two headers, and what is wiped: {stops}");
    }
}
