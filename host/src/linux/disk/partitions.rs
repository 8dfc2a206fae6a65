//! Partitions as the kernel knows them: sysfs says which there are, BLKPG (linux/blkpg.h) changes that, and devtmpfs
//! makes the nodes. The kernel is told partition by partition instead of being asked to read the table again: that
//! works beside partitions that are in use, and on kernels without a GPT parser.

use std::ffi::{c_int, c_longlong, c_void};
use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use plan::facts::{Table, TableEntry};
use plan::op::PartitionRef;
use rustix::io::Errno;
use rustix::ioctl::{Setter, ioctl};

use crate::linux::patience::{PATIENCE, comes_true, patiently};

/// Unit of the numbers in sysfs and /proc, whatever the sector size.
const SYSFS_SECTOR: u64 = 512;

const BLKPG: rustix::ioctl::Opcode = 0x1269;
const BLKPG_ADD_PARTITION: c_int = 1;
const BLKPG_DEL_PARTITION: c_int = 2;

/// `struct blkpg_ioctl_arg` of linux/blkpg.h.
#[repr(C)]
struct BlkpgArgument {
    op: c_int,
    flags: c_int,
    datalen: c_int,
    data: *mut c_void,
}

/// `struct blkpg_partition` of linux/blkpg.h: bytes, not sectors.
#[repr(C)]
struct BlkpgPartition {
    start: c_longlong,
    length: c_longlong,
    number: c_int,
    names: [u8; 128],
}

/// A partition as sysfs shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Kernel name, as in `vda1`.
    pub name: String,
    /// Its number.
    pub number: u32,
    /// First byte on the disk.
    pub start: u64,
    /// Bytes.
    pub length: u64,
}

/// The kernel's partitions of the disk `name` (as in `vda`), below `sys`; none if there is no such disk.
///
/// # Errors
/// When sysfs cannot be read.
pub fn known(sys: &Path, name: &str) -> anyhow::Result<Vec<Known>> {
    let directory = sys.join("class/block").join(name);
    let entries = fs::read_dir(&directory).with_context(|| format!("reading {}", directory.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("reading {}", directory.display()))?.path();
        // Only the folders of partitions have such a file. One that vanishes under our eyes is none.
        let (Ok(number), Ok(start), Ok(size)) =
            (number(&path, "partition"), number(&path, "start"), number(&path, "size"))
        else {
            continue;
        };
        found.push(Known {
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            number: u32::try_from(number).unwrap_or(u32::MAX),
            start: start * SYSFS_SECTOR,
            length: size * SYSFS_SECTOR,
        });
    }
    found.sort_by_key(|partition| partition.number);
    Ok(found)
}

fn number(directory: &Path, file: &str) -> anyhow::Result<u64> {
    Ok(fs::read_to_string(directory.join(file))?.trim().parse()?)
}

/// Makes the kernel know exactly the partitions of `table`, and waits until all have their nodes.
///
/// # Errors
/// When a partition that must go or move is in use, or a node does not come.
pub fn tell_kernel(
    disk: impl AsFd,
    sys: &Path,
    path: &Path,
    table: &Table,
    sector: u64,
) -> anyhow::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let wanted: Vec<Known> = table.partitions.iter().map(|entry| placed(&name, entry, sector)).collect();
    for old in known(sys, &name)?.iter().filter(|old| !wanted.contains(old)) {
        let forget = || blkpg(disk.as_fd(), BLKPG_DEL_PARTITION, old);
        patiently(forget).with_context(|| format!("making the kernel forget {}", old.name))?;
    }
    let left = known(sys, &name)?;
    for new in wanted.iter().filter(|new| !left.contains(new)) {
        let add = || blkpg(disk.as_fd(), BLKPG_ADD_PARTITION, new);
        patiently(add).with_context(|| format!("telling the kernel of {}", new.name))?;
    }
    wanted.iter().try_for_each(|partition| await_node(sys, &path.with_file_name(&partition.name)))
}

/// What the kernel calls this entry of the disk `name`, and where it must see it.
fn placed(name: &str, entry: &TableEntry, sector: u64) -> Known {
    let of = PartitionRef { disk: name.to_owned(), number: entry.number, guid: entry.guid };
    Known {
        name: of.path(),
        number: entry.number,
        start: entry.first * sector,
        length: (entry.last - entry.first + 1) * sector,
    }
}

/// Fails unless the kernel's partition of this entry lies where the table says.
///
/// # Errors
/// When it is missing or lies elsewhere.
pub fn check(sys: &Path, disk: &Path, entry: &TableEntry, sector: u64) -> anyhow::Result<()> {
    let name = disk.file_name().unwrap_or_default().to_string_lossy();
    let wanted = placed(&name, entry, sector);
    if known(sys, &name)?.contains(&wanted) {
        return Ok(());
    }
    bail!("the kernel has no partition {} at byte {} of {} bytes", wanted.name, wanted.start, wanted.length)
}

/// One BLKPG call.
fn blkpg(disk: impl AsFd, op: c_int, partition: &Known) -> Result<(), Errno> {
    let signed = |number: u64| c_longlong::try_from(number).map_err(|_| Errno::OVERFLOW);
    let mut data = BlkpgPartition {
        start: signed(partition.start)?,
        length: signed(partition.length)?,
        number: c_int::try_from(partition.number).map_err(|_| Errno::OVERFLOW)?,
        names: [0; 128],
    };
    let argument = BlkpgArgument {
        op,
        flags: 0,
        datalen: size_of::<BlkpgPartition>() as c_int,
        data: (&raw mut data).cast(),
    };
    // SAFETY: the opcode takes a pointer to a `blkpg_ioctl_arg`, whose `data` points to a `blkpg_partition` that
    // lives until the call returns; the kernel reads both and keeps neither.
    unsafe { ioctl(disk, Setter::<BLKPG, BlkpgArgument>::new(argument)) }
}

/// Waits until devtmpfs has the node, with the device number that sysfs says.
fn await_node(sys: &Path, node: &Path) -> anyhow::Result<()> {
    let name = node.file_name().unwrap_or_default();
    let number: PathBuf = sys.join("class/block").join(name).join("dev");
    let is_there = || {
        let wanted = fs::read_to_string(&number).ok();
        let found = rustix::fs::stat(node)
            .ok()
            .map(|stat| format!("{}:{}\n", rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)));
        wanted.is_some() && wanted == found
    };
    if comes_true(is_there) {
        return Ok(());
    }
    bail!("{} did not appear within {} s (is /dev a devtmpfs?)", node.display(), PATIENCE.as_secs())
}
