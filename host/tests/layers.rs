//! Host keys of systems within LVM and RAID1 arrays are read where they are, on loop disks: LVM's metadata are made by LVM, without
//! its kernel side; md's are made here by md_p.h, and looked at by mdadm. Needs root, losetup, lvm, mdadm, mkfs and mount.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

use host::Salvage;
use host::linux::disk::contents::bytes::Extent;
use host::linux::disk::contents::lvm::{Description, back, group};
use host::linux::disk::contents::{self, Contents};
use host::linux::disk::groups;
use host::linux::disk::superblock;
use host::linux::disk::table;
use host::linux::salvage;
use nii::digest::Digest;
use nii::v1::PartitionType;
use plan::facts::{Content, Disk, Group, GroupVolume};
use serde_json::json;
use support::{LoopDisk, MIB, Target, entry, tool};
use uuid::Uuid;

/// A disk as the survey would have it; the loop disk is whole.
fn disk(loops: &LoopDisk) -> Disk {
    let size = tool("blockdev", &["--getsize64", loops.name()]).trim().parse::<u64>().unwrap();
    serde_json::from_value(json!({
        "path": loops.name(), "size": size, "sector": 512,
        "rotational": false, "removable": false, "read_only": false,
    }))
    .unwrap()
}

/// What is found on these disks when the install goes to the first.
fn search(disks: &[&LoopDisk]) -> Salvage {
    let facts: Vec<Disk> = disks.iter().map(|loops| disk(loops)).collect();
    let target = plan::Target { disk: facts[0].path.clone(), ..plan::Target::default() };
    salvage::host_keys(&facts, &[target], Uuid::from_u128(7), &mut |_| ())
}

/// The public key that is found, and all that is said.
fn found(disks: &[&LoopDisk]) -> (Option<String>, Vec<String>) {
    let salvage = search(disks);
    let key = salvage.host_keys.first().map(|key| key.public.clone());
    (key, [salvage.lost, salvage.warnings].concat())
}

fn digest(loops: &LoopDisk) -> Digest {
    Digest::of(&fs::read(&loops.path).unwrap())
}

/// Makes a file system with a host key of this name on a part of a device, as a crash leaves it: its log is not empty.
fn system(device: &Path, start: u64, length: u64, format: &str, key: &str) {
    let (scratch, target) = (LoopDisk::new(length, 512), Target::new());
    let force = if format == "xfs" { "-f" } else { "-F" };
    tool(&format!("mkfs.{format}"), &["-q", force, scratch.name()]);
    tool("mount", &["-t", format, scratch.name(), target.path().to_str().unwrap()]);
    let path = target.path().join("etc/ssh/ssh_host_ed25519_key");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n").unwrap();
    fs::write(path.with_extension("pub"), format!("ssh-ed25519 {key}\n")).unwrap();
    tool("umount", &[target.path().to_str().unwrap()]);
    tool("mount", &["-t", format, scratch.name(), target.path().to_str().unwrap()]);
    fs::write(target.path().join("later"), "x").unwrap();
    File::open(target.path()).and_then(|root| Ok(rustix::fs::syncfs(&root)?)).unwrap();
    let bytes = fs::read(&scratch.path).unwrap();
    let device = File::options().write(true).open(device).unwrap();
    device.write_all_at(&bytes, start).unwrap();
    device.sync_all().unwrap();
}

/// LVM's program, which sees these devices only, keeps no state on this machine and asks no kernel.
struct Lvm(tempfile::TempDir);

impl Lvm {
    fn new(devices: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let accept: String = devices.iter().map(|device| format!("\"a|^{device}$|\", ")).collect();
        let locks = directory.path().join("locks");
        let config = format!(
            r#"devices {{ use_devicesfile = 0 filter = [ {accept} "r|.*|" ] obtain_device_list_from_udev = 0 }}
            global {{ locking_dir = "{}" activation = 0 }}
            backup {{ backup = 0 archive = 0 }}"#,
            locks.display()
        );
        fs::write(directory.path().join("lvm.conf"), config).unwrap();
        Self(directory)
    }

    fn run(&self, words: &str) -> String {
        let mut command = Command::new("lvm");
        command
            .args(words.split(' '))
            .env("LVM_SYSTEM_DIR", self.0.path())
            .env("LVM_SUPPRESS_FD_WARNINGS", "1");
        let output = command.output().unwrap();
        assert!(output.status.success(), "lvm {words}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Makes a volume without its kernel side.
    fn create(&self, words: &str) {
        self.run(&format!("lvcreate -q --activate n --zero n --wipesignatures n {words}"));
    }

    /// Where the first segment of a volume is on its device, as LVM says: first byte and length.
    fn place(&self, volume: &str) -> (u64, u64) {
        let options = "--noheadings --nosuffix --units b --separator :";
        let text = self
            .run(&format!("lvs {options} -o vg_extent_size,seg_start_pe,seg_size,seg_pe_ranges {volume}"));
        let words: Vec<&str> = text.lines().next().unwrap().trim().split(':').collect();
        let group = volume.split('/').next().unwrap();
        let start = self.run(&format!("pvs {options} -o pe_start -S vg_name={group}"));
        let number = |text: &str| text.trim().parse::<u64>().unwrap();
        let first = words[4].split('-').next().unwrap();
        (number(start.lines().next().unwrap()) + number(first) * number(words[0]), number(words[2]))
    }
}

/// The group that a disk describes.
fn group_on(loops: &LoopDisk) -> group::Group {
    let mut bytes = Extent::whole(&loops.path).unwrap().open().unwrap();
    let Contents::Lvm(volume) = contents::of(&mut bytes).unwrap() else { panic!("no physical volume") };
    let Description::Here(texts) = volume.description(&mut bytes).unwrap() else { panic!("no text") };
    group::parse(&texts[0]).unwrap()
}

#[test]
fn keys_within_a_volume_are_read_and_nothing_is_written() {
    for (format, size) in [("ext4", 60), ("xfs", 320)] {
        let loops = LoopDisk::new((size + 100) * MIB, 512);
        let partitions = vec![entry(1, PartitionType::Linux.guid(), "pv", 512, 3, size + 90)];
        table::write(Path::new("/sys"), &loops.path, &support::table(partitions), &[]).unwrap();
        let node = format!("{}p1", loops.name());
        let lvm = Lvm::new(&[&node]);
        lvm.run(&format!("vgcreate -q rhel_n001 {node}"));
        lvm.create("-L 20M -n swap rhel_n001");
        lvm.create(&format!("-L {size}M -n root rhel_n001"));
        assert_eq!(found(&[&loops]), (None, vec![]), "volumes that an attempt just made: nothing is lost");
        let (start, length) = lvm.place("rhel_n001/root");
        system(Path::new(&node), start, length, format, "lvm");
        let before = digest(&loops);
        assert_eq!(found(&[&loops]), (Some("ssh-ed25519 lvm".into()), vec![]), "{format}");
        assert_eq!(digest(&loops), before, "{format}");
        assert_eq!(tool("blockdev", &["--getro", &node]).trim(), "0", "the protection is taken back");
        let left = tool("losetup", &["--list", "--noheadings", "--output", "BACK-FILE"]);
        assert!(!left.contains(&node), "no loop device is left: {left}");
    }
}

/// What is known of a device, for a person.
fn content(loops: &LoopDisk) -> Content {
    superblock::of(&mut Extent::whole(&loops.path).unwrap().open().unwrap(), None).unwrap().unwrap()
}

#[test]
fn physical_volumes_and_members_have_the_names_of_what_they_are_in() {
    let loops = LoopDisk::new(32 * MIB, 512);
    let lvm = Lvm::new(&[loops.name()]);
    lvm.run(&format!("pvcreate -q {}", loops.name()));
    assert_eq!(content(&loops).label, None);
    lvm.run(&format!("vgcreate -q before {}", loops.name()));
    lvm.run("vgrename -q before rhel_n001");
    let found = content(&loops);
    assert_eq!((found.kind.as_str(), found.label.as_deref()), ("LVM2_member", Some("rhel_n001")));
    let uuid = lvm.run("pvs --noheadings -o pv_uuid");
    assert_eq!(found.uuid.as_deref(), Some(uuid.trim()));
    for version in ["0.90", "1.0", "1.1", "1.2"] {
        let half = LoopDisk::new(40 * MIB + 4096, 512);
        Member { version, events: 1, number: 0 }.write(&half);
        let said = tool("mdadm", &["--examine", "--export", half.name()]);
        let name = said.lines().find_map(|line| line.strip_prefix("MD_NAME="));
        let found = content(&half);
        assert_eq!((found.kind.as_str(), found.label.as_deref()), ("linux_raid_member", name), "{version}");
        assert_eq!(name.is_some(), version != "0.90", "{said}");
        let uuid = said.lines().find_map(|line| line.strip_prefix("MD_UUID="));
        let digits = |text: &str| text.replace([':', '-'], "");
        assert_eq!(found.uuid.as_deref().map(digits), uuid.map(digits), "{version}");
    }
}

/// The text moves on in its ring with every change, and around its end.
#[test]
fn the_text_that_counts_is_found_wherever_it_is() {
    let loops = LoopDisk::new(32 * MIB, 512);
    let lvm = Lvm::new(&[loops.name()]);
    lvm.run(&format!("pvcreate -q --metadatasize 32k --dataalignment 32k {}", loops.name()));
    lvm.run(&format!("vgcreate -q ring {}", loops.name()));
    let tags = ["one", "two"].map(|tag| format!("{tag}-{}", "x".repeat(1000)));
    let mut changes = 1;
    for round in 0..20 {
        for change in ["addtag", "deltag"] {
            lvm.run(&format!("vgchange -q --{change} {} ring", tags[round % 2]));
            changes += 1;
            assert_eq!(group_on(&loops).seqno, changes);
        }
    }
    let said = lvm.run("vgs --noheadings -o seqno,vg_uuid ring");
    let group = group_on(&loops);
    assert_eq!(said.split_whitespace().collect::<Vec<_>>(), [group.seqno.to_string(), group.id]);
}

#[test]
fn what_is_not_one_run_is_named() {
    let disks = [LoopDisk::new(100 * MIB, 512), LoopDisk::new(100 * MIB, 512)];
    let lvm = Lvm::new(&[disks[0].name(), disks[1].name()]);
    lvm.run(&format!("vgcreate -q vg {} {}", disks[0].name(), disks[1].name()));
    let first = disks[0].name();
    lvm.create(&format!("-L 20M -n grown vg {first}"));
    lvm.create(&format!("-L 20M -n next vg {first}"));
    lvm.run(&format!("lvextend -q -L +20M vg/grown {first}"));
    lvm.create(&format!("-L 20M -n swap vg {first}"));
    lvm.run(&format!("lvextend -q -L +20M vg/swap {}", disks[1].name()));
    lvm.create("--stripes 2 -L 16M -n wide vg");
    let (start, length) = lvm.place("vg/grown");
    system(&disks[0].path, start, length, "ext4", "cut");
    let all = [&disks[0], &disks[1]];
    let salvage = search(&all);
    assert_eq!((salvage.host_keys.len(), salvage.warnings.len()), (0, 0), "{salvage:?}");
    let wanted = [
        "vg/grown is in 2 pieces, which are not put together here",
        "vg/wide is a striped volume, which is not put together here",
    ];
    assert_eq!(salvage.lost, wanted, "swap is nothing that could hold keys");
    assert!(
        search(&[&disks[1]])
            .lost
            .contains(&"vg/next is on a physical volume that is not there, or not searched".into())
    );
    let (start, length) = lvm.place("vg/next");
    system(&disks[0].path, start, length, "ext4", "next");
    assert_eq!(found(&all).0.unwrap(), "ssh-ed25519 next");
    assert_eq!(search(&[&disks[0]]).host_keys.len(), 1, "its own disk is enough");
}

struct Quiet;

impl host::Watch for Quiet {
    fn progress(&mut self, _: u64, _: u64) {}
    fn log(&mut self, line: &str) {
        panic!("{line}");
    }
}

/// Also on a mirror whose superblock is at its end.
#[test]
fn what_is_free_in_a_group_is_as_lvm_says() {
    let disks = [LoopDisk::new(100 * MIB, 512), LoopDisk::new(100 * MIB, 512)];
    let lvm = Lvm::new(&[disks[0].name(), disks[1].name()]);
    lvm.run(&format!("vgcreate -q -s 2M vg {} {}", disks[0].name(), disks[1].name()));
    lvm.create("-L 20M -n plain vg");
    lvm.create("--stripes 2 -L 16M -n wide vg");
    let free = lvm.run("vgs --noheadings -o vg_free_count vg").trim().parse::<u64>().unwrap();
    let known = || {
        let facts = disks.each_ref().map(|loops| Disk { contents: vec![content(loops)], ..disk(loops) });
        groups::on(&facts, &mut Quiet)
    };
    let volume = |name: &str, extents| GroupVolume { name: name.into(), extents, pool: None, origin: None };
    let volumes = vec![volume("plain", 10), volume("wide", 8)];
    let wanted = [Group { name: "vg".into(), extent: 2 * MIB, free, volumes }];
    assert_eq!(known(), wanted);
    Member { version: "1.0", events: 1, number: 0 }.write(&disks[0]);
    assert_eq!(content(&disks[0]).kind, "linux_raid_member");
    assert_eq!(known(), wanted);
}

/// As a power cut leaves a change of LVM's: the header points to a text that never came. All around the ring.
#[test]
fn a_change_that_was_cut_off_is_undone() {
    const AREA: usize = 4096;
    let place = |start: &[u8]| start[AREA + 40..AREA + 64].to_vec();
    for sector in [512, 4096] {
        let loops = LoopDisk::new(32 * MIB, sector);
        let lvm = Lvm::new(&[loops.name()]);
        lvm.run(&format!("pvcreate -q --metadatasize 32k --dataalignment 32k {}", loops.name()));
        lvm.run(&format!("vgcreate -q ring {}", loops.name()));
        lvm.create("-L 4M -n kept ring");
        let device = File::options().read(true).write(true).open(&loops.path).unwrap();
        let read = || fs::read(&loops.path).unwrap()[..64 << 10].to_vec();
        // The text that a start points to.
        let lose = |start: &[u8]| {
            let lost = u64::from_le_bytes(start[AREA + 40..AREA + 48].try_into().unwrap());
            device.write_all_at(&[0x5a; 512], AREA as u64 + lost).unwrap();
            device.sync_all().unwrap();
        };
        for round in 0..14 {
            lvm.run(&format!("vgchange -q --addtag round{round}-{} ring", "x".repeat(900)));
            let (before, group) = (read(), group_on(&loops));
            lvm.create("-L 4M -n lost ring");
            lose(&read());
            let refused = |group: &str| {
                let before = read();
                let why = format!("{:#}", back::step(&loops.path, group).unwrap_err());
                assert_eq!(read(), before, "{why}");
                why
            };
            assert!(refused("other").contains("no text of the group `other` is left"));
            if round == 13 {
                lose(&before);
                assert!(refused("ring").contains("is not the one before the lost one"), "two are not undone");
                break;
            }
            assert_eq!(back::step(&loops.path, "ring").unwrap(), 1, "{round}");
            assert_eq!(place(&read()), place(&before), "{round}");
            assert_eq!(group_on(&loops), group);
            lvm.run("vgck ring");
            assert_eq!(lvm.run("lvs --noheadings -o lv_name ring").trim(), "kept");
            assert_eq!(back::step(&loops.path, "ring").unwrap(), 0, "what can be read stays");
            lvm.run(&format!("vgchange -q --deltag round{round}-{} ring", "x".repeat(900)));
        }
    }
}

/// The disk that is there says what another disk looked like before it was taken out.
#[test]
fn the_newest_text_counts() {
    let disks = [LoopDisk::new(64 * MIB, 512), LoopDisk::new(64 * MIB, 512)];
    let lvm = Lvm::new(&[disks[0].name(), disks[1].name()]);
    lvm.run(&format!("vgcreate -q vg {} {}", disks[0].name(), disks[1].name()));
    lvm.create(&format!("-L 20M -n old vg {}", disks[1].name()));
    let stale = fs::read(&disks[1].path).unwrap();
    lvm.run("lvremove -q -f vg/old");
    lvm.create(&format!("-L 24M -n new vg {}", disks[1].name()));
    let (start, length) = lvm.place("vg/new");
    system(&disks[1].path, start, length, "ext4", "new");
    let area = 1 << 20;
    File::options().write(true).open(&disks[1].path).unwrap().write_all_at(&stale[..area], 0).unwrap();
    assert_eq!(group_on(&disks[1]).volumes[0].name, "old");
    assert_eq!(found(&[&disks[0], &disks[1]]).0.unwrap(), "ssh-ed25519 new");
}

/// A member of a RAID1 array, by md_p.h.
struct Member {
    version: &'static str,
    events: u64,
    number: u32,
}

impl Member {
    /// Writes the superblock; the first byte and the length of the data.
    fn write(&self, loops: &LoopDisk) -> (u64, u64) {
        let size = fs::File::open(&loops.path)
            .and_then(|file| Ok(rustix::fs::seek(&file, rustix::fs::SeekFrom::End(0))?));
        let size = size.unwrap();
        let (place, start, length) = match self.version {
            "0.90" => (size / 65536 * 65536 - 65536, 0, size / 65536 * 65536 - 65536),
            "1.0" => ((size - 8192) / 4096 * 4096, 0, size - MIB),
            "1.1" => (0, MIB, size - MIB),
            _ => (4096, MIB, size - MIB),
        };
        let raw = match self.version {
            "0.90" => self.version_0(length),
            _ => self.version_1(place, start, length),
        };
        File::options().write(true).open(&loops.path).unwrap().write_all_at(&raw, place).unwrap();
        let said = tool("mdadm", &["--examine", loops.name()]);
        assert!(
            said.contains("Raid Level : raid1") && said.contains("- correct"),
            "{}: {said}",
            self.version
        );
        assert!(said.contains(&format!("Version : {}", self.version)), "{said}");
        (start, length)
    }

    fn version_1(&self, place: u64, start: u64, length: u64) -> Vec<u8> {
        let mut raw = vec![0; 256 + 2 * 128];
        let words: [(usize, u64); 12] = [
            (0, 0xa92b_4efc),
            (4, 1),
            (16, 0x11),
            (64, 1_700_000_000),
            (72, 1),
            (80, length / 512),
            (128, start / 512),
            (136, length / 512),
            (144, place / 512),
            (200, self.events),
            (208, u64::MAX),
            (220, 128),
        ];
        for (offset, value) in words {
            let width = if [0, 4, 72, 220].contains(&offset) { 4 } else { 8 };
            raw[offset..offset + width].copy_from_slice(&value.to_le_bytes()[..width]);
        }
        raw[32..41].copy_from_slice(b"n001:root");
        raw[92] = 2;
        raw[160] = self.number as u8;
        raw[256 + 2..].fill(0xff);
        raw[256..260].copy_from_slice(&[0, 0, 1, 0]);
        let sum = sum(&raw);
        raw[216..220].copy_from_slice(&sum.to_le_bytes());
        raw
    }

    fn version_0(&self, length: u64) -> Vec<u8> {
        let mut words = vec![0_u32; 1024];
        words[..9].copy_from_slice(&[
            0xa92b_4efc,
            0,
            90,
            0,
            0,
            0x11,
            1_700_000_000,
            1,
            (length >> 10) as u32,
        ]);
        (words[9], words[10], words[33]) = (2, 2, 1);
        (words[34], words[35], words[39]) = (2, 2, self.events as u32);
        for disk in 0..2 {
            let at = 128 + 32 * disk as usize;
            words[at..at + 5].copy_from_slice(&[disk, 7, 0, disk, 6]);
        }
        words[992..997].copy_from_slice(&[self.number, 7, 0, self.number, 6]);
        let bytes = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        words[38] = sum(&bytes(&words));
        bytes(&words)
    }
}

fn sum(raw: &[u8]) -> u32 {
    let words = raw.chunks_exact(4).map(|word| u64::from(u32::from_le_bytes(word.try_into().unwrap())));
    let sum: u64 = words.sum();
    (sum as u32).wrapping_add((sum >> 32) as u32)
}

#[test]
fn keys_within_a_mirror_are_those_of_its_current_half() {
    for version in ["0.90", "1.0", "1.1", "1.2"] {
        let halves = [LoopDisk::new(40 * MIB + 4096, 512), LoopDisk::new(40 * MIB + 4096, 512)];
        for (number, half) in (0..).zip(&halves) {
            let (start, length) = Member { version, events: 30 + u64::from(number), number }.write(half);
            system(&half.path, start, length, "ext4", &format!("half {number}"));
        }
        let before = digest(&halves[1]);
        let both = [&halves[0], &halves[1]];
        assert_eq!(found(&both), (Some("ssh-ed25519 half 1".into()), vec![]), "{version}");
        assert_eq!(digest(&halves[1]), before, "{version}");
        assert_eq!(found(&[&halves[0]]).0.unwrap(), "ssh-ed25519 half 0", "{version}: all that is left");
    }
}

#[test]
fn keys_within_a_volume_on_a_mirror() {
    for version in ["1.0", "1.2"] {
        let halves = [LoopDisk::new(100 * MIB, 512), LoopDisk::new(100 * MIB, 512)];
        for (number, half) in (0..).zip(&halves) {
            let (start, length) = Member { version, events: 5, number }.write(half);
            let array = LoopDisk::new(length, 512);
            let lvm = Lvm::new(&[array.name()]);
            lvm.run(&format!("vgcreate -q vg {}", array.name()));
            lvm.create("-L 40M -n root vg");
            let (at, size) = lvm.place("vg/root");
            system(&array.path, at, size, "ext4", "both");
            let bytes = fs::read(&array.path).unwrap();
            File::options().write(true).open(&half.path).unwrap().write_all_at(&bytes, start).unwrap();
        }
        assert_eq!(found(&[&halves[0], &halves[1]]), (Some("ssh-ed25519 both".into()), vec![]), "{version}");
    }
}

#[test]
fn partitions_within_an_array_are_not_taken_for_nothing() {
    let half = LoopDisk::new(40 * MIB, 512);
    let (start, _) = Member { version: "1.2", events: 5, number: 0 }.write(&half);
    File::options().write(true).open(&half.path).unwrap().write_all_at(b"EFI PART", start + 512).unwrap();
    let said = found(&[&half]).1;
    assert_eq!(said, [format!("{} (RAID1) has partitions, which are not looked into", half.name())]);
}
