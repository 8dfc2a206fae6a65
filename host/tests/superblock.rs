//! Superblocks are read as blkid(8) reads them. Needs root, losetup, and the tools that make file systems.

#![allow(clippy::unwrap_used, reason = "test support")]

mod support;

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use host::linux::disk::contents::bytes::Extent;
use host::linux::disk::superblock;
use plan::facts::Content;
use support::{LoopDisk, MIB, Target, tool};

const SIZE: u64 = 400 * MIB;

fn read(disk: &LoopDisk) -> Option<Content> {
    superblock::of(&mut Extent::whole(&disk.path).unwrap().open().unwrap(), None).unwrap()
}

/// What blkid says, by key.
fn blkid(disk: &LoopDisk, key: &str) -> Option<String> {
    let text = tool("blkid", &["--probe", "--output", "export", disk.name()]);
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    Some(value.replace('\\', ""))
}

#[test]
fn as_blkid_reads_them() {
    for (program, arguments) in [
        ("mkfs.ext4", &["-q", "-F", "-L", "data 1"][..]),
        ("mkfs.ext3", &["-q", "-F"]),
        ("mkfs.ext2", &["-q", "-F", "-b", "1024"]),
        ("mkfs.xfs", &["-q", "-f", "-L", "scratch"]),
        ("mkfs.btrfs", &["-q", "-f", "-L", "pool"]),
        ("mkfs.vfat", &["-F", "32", "-n", "EFI"]),
        ("mkfs.vfat", &["-F", "16"]),
        ("mkswap", &["-q", "-L", "swap1"]),
        ("pvcreate", &["-q", "-y", "--config", "devices { use_devicesfile = 0 }"]),
    ] {
        let disk = LoopDisk::new(SIZE, 512);
        tool(program, &[arguments, &[disk.name()]].concat());
        let found = read(&disk).unwrap_or_else(|| panic!("{program}: nothing found"));
        assert_eq!(Some(found.kind), blkid(&disk, "TYPE"), "{program} {arguments:?}");
        assert_eq!(found.label, blkid(&disk, "LABEL"), "{program} {arguments:?}");
        assert_eq!(found.uuid, blkid(&disk, "UUID"), "{program} {arguments:?}");
    }
}

/// Nobody shall take these for empty disks.
#[test]
fn what_is_known_by_name_only() {
    let bcache = 0xc685_73f6_4e1a_45ca_8265_f57f_48ba_6d81_u128.to_be_bytes();
    for (kind, at, magic) in [
        ("ceph_bluestore", 0, &b"bluestore block device"[..]),
        ("DM_integrity", 0, b"integrt\0"),
        ("exfat", 3, b"EXFAT   "),
        ("bcache", 4096 + 24, &bcache),
        ("zfs_member", (16 << 10) + 20, b"\0\0\0\x07version"),
        ("gfs2", 64 << 10, b"\x01\x16\x19\x70\0\0\0\x01"),
    ] {
        let disk = LoopDisk::new(SIZE, 512);
        let device = OpenOptions::new().write(true).open(&disk.path).unwrap();
        device.write_all_at(magic, at).unwrap();
        device.sync_all().unwrap();
        assert_eq!(read(&disk).map(|found| found.kind).as_deref(), Some(kind));
    }
}

#[test]
fn a_btrfs_says_how_many_devices_it_has() {
    let disks = [LoopDisk::new(SIZE, 512), LoopDisk::new(SIZE, 512)];
    tool("mkfs.btrfs", &["-q", "-f", "-d", "single", disks[0].name(), disks[1].name()]);
    let [one, other] = disks.each_ref().map(|disk| read(disk).unwrap());
    assert_eq!((one.members, other.members), (Some(2), Some(2)));
    assert_eq!(one.uuid, other.uuid);
    tool("mkfs.btrfs", &["-q", "-f", disks[0].name()]);
    assert_eq!(read(&disks[0]).unwrap().members, Some(1));
}

/// What is in use changes with what is written.
#[test]
fn bytes_in_use() {
    for (program, arguments) in [("mkfs.ext4", &["-q", "-F"]), ("mkfs.xfs", &["-q", "-f"])] {
        let disk = LoopDisk::new(SIZE, 512);
        tool(program, &[&arguments[..], &[disk.name()]].concat());
        let empty = read(&disk).unwrap().used.unwrap();
        let kind = program.trim_start_matches("mkfs.");
        {
            let place = Target::new();
            tool("mount", &["-t", kind, disk.name(), place.path().to_str().unwrap()]);
            std::fs::write(place.path().join("file"), vec![7; 40 * MIB as usize]).unwrap();
        }
        let full = read(&disk).unwrap().used.unwrap();
        let more = full - empty;
        assert!((39 * MIB..60 * MIB).contains(&more), "{program}: {empty} before, {full} after");
    }
}

/// The start of a RAID member with its metadata at the end looks like the file system on it.
#[test]
fn members_of_arrays_are_no_file_systems() {
    for (version, at) in [(1, 4096), (1, 0), (1, SIZE - (8 << 10)), (0, SIZE - (64 << 10))] {
        let disk = LoopDisk::new(SIZE, 512);
        if at > 8192 {
            tool("mkfs.ext4", &["-q", "-F", disk.name()]);
        }
        let device = OpenOptions::new().write(true).open(&disk.path).unwrap();
        let mut block = vec![0; 512];
        block[..4].copy_from_slice(&0xa92b_4efc_u32.to_le_bytes());
        block[4..8].copy_from_slice(&u32::to_le_bytes(version));
        block[16..32].fill(0x5a);
        block[32..38].copy_from_slice(b"any:r1");
        device.write_all_at(&block, at).unwrap();
        device.sync_all().unwrap();
        let found = read(&disk).unwrap();
        assert_eq!(found.kind, "linux_raid_member", "{version} {at}");
        assert_eq!(found.label, None, "it is damaged, and its name no name");
    }
}

#[test]
fn rubbish_is_nothing_or_at_least_no_panic() {
    let disk = LoopDisk::new(SIZE, 512);
    assert_eq!(read(&disk), None);
    let device = OpenOptions::new().write(true).open(&disk.path).unwrap();
    for magic in [&b"XFSB"[..], b"LUKS\xba\xbe", b"LABELONE"] {
        let mut block = vec![0xff; 68 << 10];
        block[..magic.len()].copy_from_slice(magic);
        device.write_all_at(&block, 0).unwrap();
        device.sync_all().unwrap();
        let found = read(&disk).unwrap();
        assert!(found.used.is_none_or(|used| used <= SIZE), "{found:?}");
    }
    let tiny = Extent::whole(&disk.path).unwrap().part(MIB, 512).unwrap();
    assert_eq!(superblock::of(&mut tiny.open().unwrap(), Some(3)).unwrap(), None);
}
