//! Making the old contents of a disk unreadable: zeroes or discards for everything that its table does not need and nobody
//! keeps, or the disk's own command.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use nii::v1::Wipe;
use rustix::io::Errno;
use rustix::ioctl::{Opcode, Setter, ioctl};

use super::block::{Block as _, Device};
use super::table::{lock, read, zero};
use crate::linux::processes;
use crate::machine::Watch;

/// `BLKDISCARD` and `BLKZEROOUT` of linux/fs.h: two numbers, first byte and bytes.
const BLKDISCARD: Opcode = 0x1277;
const BLKZEROOUT: Opcode = 0x127f;
/// Bytes that are asked for in one call. A slow disk takes some seconds for them, and then progress is told.
const CHUNK: u64 = 256 << 20;

/// Erases a disk that nobody uses. With [`Wipe::Secure`] nothing is spared; else the table and the partitions of it whose
/// numbers are in `keep` are.
///
/// # Errors
/// When something uses the disk, it has no table or not what is to be kept, it cannot do what is asked, or it fails.
pub fn erase(path: &Path, how: Wipe, keep: &[u32], watch: &mut dyn Watch) -> anyhow::Result<()> {
    match how {
        Wipe::Secure => {
            ensure!(keep.is_empty(), "{} would not spare what is to be kept", path.display());
            by_itself(path, watch)
        }
        Wipe::Zero => each(path, keep, watch, &|device, from, to| match blank(device.file(), from, to) {
            // A kernel or driver without it: byte by byte, then.
            Err(Errno::NOTTY | Errno::OPNOTSUPP | Errno::INVAL) => {
                zero(device, from, to).context("writing zeroes")
            }
            done => done.context("writing zeroes"),
        }),
        Wipe::Discard => each(path, keep, watch, &|device, from, to| {
            discard(device.file(), from, to).context("discarding")
        }),
    }
}

type Step<'a> = &'a dyn Fn(&mut Device, u64, u64) -> anyhow::Result<()>;

/// Does `step` to all that is free to go, piece by piece.
fn each(path: &Path, keep: &[u32], watch: &mut dyn Watch, step: Step<'_>) -> anyhow::Result<()> {
    let mut device = Device::exclusive(path)?;
    lock(&device, path)?;
    let ranges = ranges(&mut device, path, keep)?;
    let total = ranges.iter().map(|(from, to)| to - from).sum();
    let mut done = 0;
    for (from, to) in ranges {
        let mut at = from;
        while at < to {
            if watch.is_stopped() {
                bail!("it was ended: its step outlived its deadline");
            }
            let end = to.min(at + CHUNK);
            step(&mut device, at, end)
                .with_context(|| format!("erasing bytes {at} to {end} of {}", path.display()))?;
            done += end - at;
            watch.progress(done, total);
            at = end;
        }
    }
    device.flush().with_context(|| format!("flushing {}", path.display()))
}

/// First and last byte, exclusive, of what lies between the two copies of the table, without the partitions in `keep`.
fn ranges(device: &mut Device, path: &Path, keep: &[u32]) -> anyhow::Result<Vec<(u64, u64)>> {
    let gpt = read(device, path)?;
    let (mut from, end) = gpt.room(device);
    let sector = device.sector();
    let table = gpt.table();
    for number in keep {
        let is_there = table.partitions.iter().any(|entry| entry.number == *number);
        ensure!(is_there, "{} has no partition {number}, which is to be kept", path.display());
    }
    let kept = table.partitions.iter().filter(|entry| keep.contains(&entry.number));
    let mut kept: Vec<(u64, u64)> =
        kept.map(|entry| (entry.first * sector, (entry.last + 1) * sector)).collect();
    kept.sort_unstable();
    let mut ranges = Vec::new();
    for (first, behind) in kept {
        ranges.push((from, first));
        from = behind;
    }
    ranges.push((from, end));
    ranges.retain(|(from, to)| from < to);
    Ok(ranges)
}

fn blank(file: &File, from: u64, to: u64) -> Result<(), Errno> {
    // SAFETY: the opcode reads two numbers.
    unsafe { ioctl(file, Setter::<BLKZEROOUT, [u64; 2]>::new([from, to - from])) }
}

fn discard(file: &File, from: u64, to: u64) -> Result<(), Errno> {
    // SAFETY: the opcode reads two numbers.
    unsafe { ioctl(file, Setter::<BLKDISCARD, [u64; 2]>::new([from, to - from])) }
}

/// The disk's own command.
fn by_itself(path: &Path, watch: &mut dyn Watch) -> anyhow::Result<()> {
    // Somebody's use of it would not stop the command. Closed at once: the kernel reads the table anew behind it.
    drop(Device::exclusive(path)?);
    let disk = path.to_str().context("a disk's path is no text")?;
    for argv in plan::wipe::commands(disk) {
        if let Err(error) = processes::run(&argv, watch) {
            if let Some(unlock) = plan::wipe::unlock(disk) {
                // What failed counts; a disk that was not locked refuses this.
                let _ = processes::run(&unlock, watch);
            }
            let way_out = plan::wipe::way_out(disk).map(|way| format!(" ({way})")).unwrap_or_default();
            return Err(error.context(format!("letting {disk} erase itself{way_out}")));
        }
    }
    Ok(())
}
