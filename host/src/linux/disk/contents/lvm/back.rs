//! One step back in a group's metadata. LVM writes the new text, and then the header that points to it, without a flush between:
//! after a power cut the header may be there, and the text not. No volume of the group is found then. The text of before is
//! still in the ring, right before the lost one, and after a cut it is what was true: whatever else was flushed would have flushed
//! the new text. Where nothing was cut off, a damaged text may be old, and this must not be done.

use std::ops::Range;
use std::path::Path;

use anyhow::{Context as _, ensure};

use super::{IGNORED, PLACE, Place, SECTOR, TEXT_MAX, crc, group, label, place, text_at};
use crate::linux::disk::block::{Block as _, Device};
use crate::linux::disk::contents::bytes::{Bytes, Extent};

/// Makes each metadata area of a physical volume whose text is lost point to the text of before, which must be of the group
/// with this name, have the volume in it, and be the newest that is left. How many areas that were.
///
/// # Errors
/// When the device is no physical volume, cannot be read, or somebody uses it; when a header is damaged, or a text is lost and
/// there is none before it. Nothing is written to that area then.
pub fn step(device: &Path, name: &str) -> anyhow::Result<usize> {
    let mut bytes = Extent::whole(device)?.open()?;
    let volume = label(&mut bytes)?.with_context(|| format!("{} has no label of LVM", device.display()))?;
    let mut steps = 0;
    for area in &volume.areas {
        let lost = place(&mut bytes, area)?;
        let is_used = lost.flags & IGNORED == 0 && lost.offset != 0;
        if is_used && crc(&text_at(&mut bytes, area, lost.offset, lost.size)?) != lost.sum {
            let before = before(&mut bytes, area, lost, (name, &volume.id))
                .with_context(|| format!("looking for an earlier text on {}", device.display()))?;
            point(device, area, before).with_context(|| format!("writing to {}", device.display()))?;
            steps += 1;
        }
    }
    Ok(steps)
}

/// The text that ends where the lost one begins. Of others that are whole none may be newer: then there is something else in
/// its place, from the round before.
fn before(
    bytes: &mut dyn Bytes,
    area: &Range<u64>,
    lost: Place,
    (name, volume): (&str, &String),
) -> anyhow::Result<Place> {
    let (first, room) = (SECTOR as u64, area.end - area.start);
    ensure!(room <= TEXT_MAX && room > first, "an area of {room} bytes");
    let ring = text_at(bytes, area, first, room - first)?;
    let begin = format!("{name} {{");
    let whole = |start: &usize| {
        let text = ring[*start..].iter().chain(&ring[..*start]).copied().take_while(|byte| *byte != 0);
        let mut text: Vec<u8> = text.collect();
        let group = group::parse(std::str::from_utf8(&text).ok()?).ok()?;
        text.push(0);
        let (offset, size) = (first + *start as u64, text.len() as u64);
        let place = Place { offset, size, sum: crc(&text), flags: lost.flags };
        group.physical.contains(volume).then_some((group.seqno, place))
    };
    let starts = (0..ring.len()).step_by(SECTOR).filter(|start| ring[*start..].starts_with(begin.as_bytes()));
    let newest = starts.filter_map(|start| whole(&start)).max_by_key(|(seqno, _)| *seqno);
    let (_, newest) = newest.with_context(|| format!("no text of the group `{name}` is left"))?;
    ensure!(
        next(newest.offset, newest.size, room) == lost.offset,
        "the newest text of the group `{name}` that is left, at byte {}, is not the one before the lost one at {}",
        newest.offset,
        lost.offset
    );
    Ok(newest)
}

/// Where LVM puts the text behind another one: at the next sector, and never less than one from the end
/// (format-text.c, `_next_rlocn_offset`).
fn next(offset: u64, size: u64, room: u64) -> u64 {
    let first = SECTOR as u64;
    let end = offset + size;
    let end = if end > room { end - room + first } else { end };
    let next = end.next_multiple_of(first);
    if next > room - first { first } else { next }
}

/// Writes the header: it is one sector, and so the old one or the new one.
fn point(device: &Path, area: &Range<u64>, to: Place) -> anyhow::Result<()> {
    let mut device = Device::exclusive(device)?;
    let sector = device.sector();
    let start = area.start / sector * sector;
    let mut block = device.read(start, sector as usize)?;
    let header = block.get_mut((area.start - start) as usize..).and_then(|rest| rest.get_mut(..SECTOR));
    let header = header.context("an area that begins within a sector")?;
    header[PLACE..].fill(0);
    header[PLACE..PLACE + 8].copy_from_slice(&to.offset.to_le_bytes());
    header[PLACE + 8..PLACE + 16].copy_from_slice(&to.size.to_le_bytes());
    header[PLACE + 16..PLACE + 20].copy_from_slice(&to.sum.to_le_bytes());
    header[PLACE + 20..PLACE + 24].copy_from_slice(&to.flags.to_le_bytes());
    let sum = crc(&header[4..]);
    header[..4].copy_from_slice(&sum.to_le_bytes());
    device.write(start, &block)?;
    device.flush().context("flushing")
}
