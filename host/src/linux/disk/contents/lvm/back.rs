//! One step back in a group's metadata. LVM writes the new text, and then the header that points to it, without a flush between:
//! after a power cut the header may be there, and the text not. No volume of the group is found then. The text of before is
//! still in the ring, right before the lost one, and is what was true: whatever else was flushed would have flushed the new text.

use std::ops::Range;
use std::path::Path;

use anyhow::{Context as _, ensure};

use super::{PLACE, Place, SECTOR, TEXT_MAX, area_text, crc, group, label, place, text_at};
use crate::linux::disk::block::{Block as _, Device};
use crate::linux::disk::contents::bytes::{Bytes, Extent};

/// Makes each metadata area of a physical volume whose text is lost point to the text of before, which must be of the group
/// with this name. How many areas that were.
///
/// # Errors
/// When the device is no physical volume, somebody uses it, or a text is lost and there is none before it; nothing is
/// written to that area then.
pub fn step(device: &Path, name: &str) -> anyhow::Result<usize> {
    let mut bytes = Extent::whole(device)?.open()?;
    let volume = label(&mut bytes)?.with_context(|| format!("{} has no label of LVM", device.display()))?;
    let mut steps = 0;
    for area in &volume.areas {
        let is_lost = area_text(&mut bytes, area).is_err();
        if is_lost {
            let before = before(&mut bytes, area, name)
                .with_context(|| format!("looking for an earlier text on {}", device.display()))?;
            point(device, area, before).with_context(|| format!("writing to {}", device.display()))?;
            steps += 1;
        }
    }
    Ok(steps)
}

/// The text that ends where the lost one begins.
fn before(bytes: &mut dyn Bytes, area: &Range<u64>, name: &str) -> anyhow::Result<Place> {
    let lost = place(bytes, area)?;
    let (first, room) = (SECTOR as u64, area.end - area.start);
    ensure!(room <= TEXT_MAX && room > first, "an area of {room} bytes");
    let begin = format!("{name} {{");
    let ring = text_at(bytes, area, first, room - first)?;
    let length = ring.len();
    let twice = ring.repeat(2);
    for start in (0..length).step_by(SECTOR).filter(|start| twice[*start..].starts_with(begin.as_bytes())) {
        let Some(end) = twice[start..start + length].iter().position(|byte| *byte == 0) else { continue };
        let (offset, text) = (first + start as u64, &twice[start..=start + end]);
        let size = text.len() as u64;
        let is_whole = || std::str::from_utf8(text).is_ok_and(|text| group::parse(text).is_ok());
        if next(offset, size, room) == lost.offset && is_whole() {
            return Ok(Place { offset, size, sum: crc(text), flags: lost.flags });
        }
    }
    anyhow::bail!("the ring has no whole text of the group `{name}` before byte {}", lost.offset)
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
