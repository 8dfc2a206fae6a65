//! The disks of a machine, as facts: /sys/class/block says which there are, the disks themselves
//! carry tables and journals. No udev database is asked: our initrd has none.

use std::fs;
use std::path::Path;

use anyhow::Context;
use plan::facts::{Content, Disk, JournalRecord, Stacked, Table, TableEntry};

use super::attachment::{self, Attachment};
use super::block::Device;
use super::contents::bytes::Extent;
use super::{ata, firmware_raid, gpt, partitions, record, superblock};
use crate::machine::Watch;

/// Block devices that are no disks: made by the kernel from others, or of media that cannot be installed to.
const NO_DISKS: [&str; 12] =
    ["loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd", "rbd", "drbd", "bcache", "zd"];

/// All disks by kernel name, with their tables and journals, below what is `stacked` on them. One that cannot be read says
/// so, and `watch` is told: left out, it would give its number to the next.
///
/// # Errors
/// When /sys or /proc cannot be read.
pub fn disks(sys: &Path, stacked: &[Stacked], watch: &mut dyn Watch) -> anyhow::Result<Vec<Disk>> {
    let mut disks = list(sys, stacked)?;
    for disk in &mut disks {
        let path = Path::new(&disk.path);
        if plan::wipe::is_ata(disk) {
            disk.ata_security = ata::security(path).unwrap_or_else(|error| {
                watch.log(&format!("whether {} can erase itself is not known: {error:#}", disk.path));
                None
            });
        }
        // A member of firmware RAID must not be taken for another disk because its end cannot be read.
        match contents(path).and_then(|found| Ok((found, firmware_raid::detect(path)?))) {
            Ok(((table, journal), firmware_raid)) => {
                (disk.table, disk.journal, disk.firmware_raid) = (table, journal, firmware_raid);
                disk.contents = lying_on(sys, disk, watch);
            }
            Err(error) => {
                watch.log(&format!("{} cannot be used: {error:#}", disk.path));
                disk.unreadable = Some(format!("{error:#}"));
            }
        }
    }
    Ok(disks)
}

/// The table of a disk, and the journal's record if it has a partition for one.
///
/// # Errors
/// When the disk cannot be read.
pub fn contents(path: &Path) -> anyhow::Result<(Option<Table>, Option<JournalRecord>)> {
    let mut device = Device::read_only(path)?;
    let found = gpt::read(&mut device)
        .with_context(|| format!("reading the partition table of {}", path.display()))?;
    let Some(table) = found.map(|gpt| gpt.table()) else {
        return Ok((None, None));
    };
    let journal = match table.partitions.iter().find(|entry| entry.kind == plan::journal::PARTITION) {
        Some(entry) => record::read(&mut device, entry)
            .with_context(|| format!("reading the journal on {}", path.display()))?,
        None => None,
    };
    Ok((Some(table), journal))
}

/// What lies on a disk and its partitions: those of its GPT, or else those that the kernel knows. Of a place that cannot be
/// read that is known, and `watch` is told why.
fn lying_on(sys: &Path, disk: &Disk, watch: &mut dyn Watch) -> Vec<Content> {
    let mut look = |(partition, start, length)| {
        let place = Extent { device: disk.path.clone().into(), start, length };
        let found = place.open().and_then(|mut bytes| superblock::of(&mut bytes, partition));
        found.unwrap_or_else(|error| {
            watch.log(&format!("{}: what lies at byte {start} cannot be read: {error:#}", disk.path));
            let kind = Content::UNREADABLE.to_owned();
            Some(Content { partition, kind, size: length, ..Content::default() })
        })
    };
    let mut found: Vec<Content> = partitions_of(sys, disk).into_iter().filter_map(&mut look).collect();
    let whole = look((None, 0, disk.size));
    found.splice(0..0, whole.filter(|whole| disk.table.is_none() || is_all_of(whole, &found)));
    found
}

/// Number, first byte and length of its partitions.
fn partitions_of(sys: &Path, disk: &Disk) -> Vec<(Option<u32>, u64, u64)> {
    let sector = u64::from(disk.sector);
    let Some(table) = &disk.table else {
        let name = disk.path.trim_start_matches("/dev/").replace('/', "!");
        let known = partitions::known(sys, &name).unwrap_or_default();
        return known.into_iter().map(|part| (Some(part.number), part.start, part.length)).collect();
    };
    let entries = table.partitions.iter();
    let entries = entries.filter(|entry| entry.first <= entry.last && entry.last < disk.size / sector);
    let place = |entry: &TableEntry| {
        (Some(entry.number), entry.first * sector, (entry.last - entry.first + 1) * sector)
    };
    entries.map(place).collect()
}

/// Whether a disk with a table is a member as a whole: the table is the array's, or an old one that something overwrote. The
/// superblock at the end of the last partition may be taken for the disk's, and then that partition has it, too.
fn is_all_of(whole: &Content, partitions: &[Content]) -> bool {
    ["linux_raid_member", "LVM2_member"].contains(&whole.kind.as_str())
        && partitions.iter().all(|content| content.uuid != whole.uuid)
}

/// What sysfs says of all disks, and who of `stacked` keeps them.
///
/// # Errors
/// When /sys cannot be read.
pub fn list(sys: &Path, stacked: &[Stacked]) -> anyhow::Result<Vec<Disk>> {
    let directory = sys.join("block");
    let mut names = Vec::new();
    for entry in fs::read_dir(&directory).with_context(|| format!("reading {}", directory.display()))? {
        let name = entry.with_context(|| format!("reading {}", directory.display()))?.file_name();
        names.push(name.to_string_lossy().into_owned());
    }
    names.retain(|name| !NO_DISKS.iter().any(|prefix| name.starts_with(prefix)));
    names.sort_by_cached_key(|name| natural(name));
    Ok(names.iter().filter_map(|name| disk(sys, name, stacked)).collect())
}

/// One disk; `None` for what has no medium, and for hidden paths and boot areas of other disks.
fn disk(sys: &Path, name: &str, stacked: &[Stacked]) -> Option<Disk> {
    let directory = sys.join("class/block").join(name);
    let attribute =
        |file: &str| fs::read_to_string(directory.join(file)).ok().map(|text| text.trim().to_owned());
    let text = |files: &[&str]| files.iter().find_map(|file| attribute(file).filter(|text| !text.is_empty()));
    let flag = |file: &str| attribute(file).is_some_and(|text| text == "1");
    let number = |file: &str| attribute(file).and_then(|text| text.parse::<u64>().ok());
    let size = number("size").unwrap_or(0) * 512;
    let Attachment { transport, by_path } = attachment::of(sys, name);
    let boot_area = name.starts_with("mmcblk") && (name.contains("boot") || name.contains("rpmb"));
    if size == 0 || flag("hidden") || boot_area {
        return None;
    }
    let path = format!("/dev/{}", name.replace('!', "/"));
    Some(Disk {
        size,
        sector: number("queue/logical_block_size").and_then(|n| u32::try_from(n).ok()).unwrap_or(512),
        model: text(&["device/model", "device/name"]),
        serial: text(&["serial", "device/serial"]).or_else(|| vpd_serial(&directory)),
        wwn: text(&["wwid", "device/wwid"]),
        vendor: text(&["device/vendor"]).filter(|vendor| !vendor.starts_with("0x")),
        transport,
        by_path,
        rotational: flag("queue/rotational"),
        removable: flag("removable"),
        read_only: flag("ro"),
        discard: number("queue/discard_max_bytes").is_some_and(|most| most > 0),
        in_use: plan::teardown::stays(stacked, &path),
        path,
        ata_security: None,
        firmware_raid: None,
        unreadable: None,
        contents: Vec::new(),
        table: None,
        journal: None,
    })
}

/// A SCSI disk's serial number: page 0x80 of its vital product data, four bytes of header and then text (SPC-4).
fn vpd_serial(directory: &Path) -> Option<String> {
    let page = fs::read(directory.join("device/vpd_pg80")).ok()?;
    let text = String::from_utf8_lossy(page.get(4..)?).trim_matches(['\0', ' ']).to_owned();
    (!text.is_empty()).then_some(text)
}

/// Sorts `sdb` before `sdaa` and `nvme2n1` before `nvme10n1`: of names with the same first two letters, shorter runs of
/// letters or of digits come first.
pub(in crate::linux) fn natural(name: &str) -> (String, Vec<(usize, String)>) {
    let mut runs: Vec<String> = Vec::new();
    for character in name.chars() {
        match runs.last_mut().filter(|run| run.ends_with(|last: char| is_digit(last) == is_digit(character)))
        {
            Some(run) => run.push(character),
            None => runs.push(character.to_string()),
        }
    }
    (name.chars().take(2).collect(), runs.into_iter().map(|run| (run.len(), run)).collect())
}

fn is_digit(character: char) -> bool {
    character.is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use plan::facts::StackedKind;

    use super::super::tree::tree;
    use super::*;

    fn fixture() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let vda = "sys/class/block/vda";
        let sda = "sys/class/block/sda";
        tree(
            root.path(),
            &[
                (&format!("{vda}/size"), "2097152\n"),
                (&format!("{vda}/dev"), "254:0\n"),
                (&format!("{vda}/ro"), "0\n"),
                (&format!("{vda}/removable"), "0\n"),
                (&format!("{vda}/serial"), "root-disk\n"),
                (&format!("{vda}/queue/logical_block_size"), "512\n"),
                (&format!("{vda}/queue/rotational"), "1\n"),
                (&format!("{vda}/vda1/partition"), "1\n"),
                (&format!("{vda}/vda1/start"), "2048\n"),
                (&format!("{vda}/vda1/size"), "2048\n"),
                (&format!("{vda}/vda1/dev"), "254:1\n"),
                (&format!("{vda}/vda2/partition"), "2\n"),
                (&format!("{vda}/vda2/start"), "4096\n"),
                (&format!("{vda}/vda2/size"), "8192\n"),
                (&format!("{vda}/vda2/dev"), "254:2\n"),
                (&format!("{vda}/queue/discard_max_bytes"), "2147450880\n"),
                (&format!("{sda}/size"), "1000\n"),
                (&format!("{sda}/ro"), "1\n"),
                (&format!("{sda}/queue/logical_block_size"), "4096\n"),
                (&format!("{sda}/device/model"), "QEMU HARDDISK   \n"),
                (&format!("{sda}/device/wwid"), "naa.5000c500a1b2c3d4\n"),
                (&format!("{sda}/device/vpd_pg80"), "\0\u{1}\0\u{8}  Z1D5ABC "),
                ("sys/class/block/loop0/size", "100\n"),
                ("sys/class/block/sr0/size", "100\n"),
                ("sys/class/block/nvme0n1/size", "0\n"),
            ],
        );
        for name in ["vda", "sda", "loop0", "sr0", "nvme0n1"] {
            fs::create_dir_all(root.path().join("sys/block").join(name)).unwrap();
        }
        root
    }

    #[test]
    fn lists_disks_with_those_who_stay() {
        let root = fixture();
        let data = Stacked {
            node: "/dev/vda2".into(),
            kind: StackedKind::Plain,
            on: Vec::new(),
            mounts: vec!["/data".into(), "/newroot/data".into()],
            swap: false,
        };
        let disks = list(&root.path().join("sys"), &[data]).unwrap();
        let [sda, vda] = &disks[..] else { panic!("{disks:?}") };
        assert_eq!((vda.path.as_str(), vda.size, vda.sector), ("/dev/vda", 1 << 30, 512));
        assert_eq!(vda.serial.as_deref(), Some("root-disk"));
        assert_eq!(vda.in_use, ["/data"]);
        assert!(vda.discard && !sda.discard);
        assert!(vda.rotational && !vda.removable && !vda.read_only);
        assert_eq!((sda.sector, sda.read_only, sda.rotational), (4096, true, false));
        assert_eq!(sda.model.as_deref(), Some("QEMU HARDDISK"));
        assert_eq!(sda.wwn.as_deref(), Some("naa.5000c500a1b2c3d4"));
        assert_eq!(sda.serial.as_deref(), Some("Z1D5ABC"));
        assert_eq!(sda.in_use, Vec::<String>::new());
    }

    #[test]
    fn names_sort_as_people_do() {
        let mut names = ["sdaa", "nvme10n1", "sdb", "nvme2n1", "nvme2n10", "vda"];
        names.sort_by_cached_key(|name| natural(name));
        assert_eq!(names, ["nvme2n1", "nvme2n10", "nvme10n1", "sdb", "sdaa", "vda"]);
    }
}
