//! The journal's record in the camphor partition: two slots, written in turn, so that a power cut leaves the older.
//!
//! | bytes | of a slot |
//! | --- | --- |
//! | 0-7 | `CAMPHOR1` |
//! | 8-15 | counter, little-endian: the whole slot with the higher one is valid |
//! | 16-19 | length of the JSON, little-endian |
//! | 20-51 | BLAKE3 of counter, length and JSON |
//! | 52- | a [`JournalRecord`] as JSON |

use std::path::Path;

use anyhow::{Context, ensure};
use plan::facts::{JournalRecord, TableEntry};
use plan::op::PartitionRef;

use super::block::{Block, Device};
use super::table;

const MAGIC: &[u8; 8] = b"CAMPHOR1";
const HEAD: usize = 52;
/// Bytes of a slot that are read and written; the second slot begins in the middle of the partition.
const SLOT: usize = 16 << 10;

/// Writes the record, unless it is there already.
///
/// # Errors
/// When the partition is another one or too small, or the device fails.
pub fn write(partition: &PartitionRef, record: &JournalRecord) -> anyhow::Result<()> {
    let mut device = Device::writable(Path::new(&partition.disk))?;
    let entry = table::entry(&mut device, partition)?;
    write_to(&mut device, &entry, record)
        .with_context(|| format!("writing the journal to {}", partition.path()))
}

fn write_to(block: &mut dyn Block, entry: &TableEntry, record: &JournalRecord) -> anyhow::Result<()> {
    let slots = slots(block, entry)?;
    let [first, second] = [read_slot(block, slots[0])?, read_slot(block, slots[1])?];
    let counter = |slot: &Option<(u64, JournalRecord)>| slot.as_ref().map_or(0, |(counter, _)| *counter);
    let (current, target) =
        if counter(&first) > counter(&second) { (first, slots[1]) } else { (second, slots[0]) };
    if current.as_ref().is_some_and(|(_, there)| there == record) {
        return Ok(());
    }
    let next = counter(&current) + 1;
    block.write(target, &slot(next, record)?)?;
    block.flush()?;
    ensure!(
        read_slot(block, target)?.is_some_and(|(_, back)| back == *record),
        "the record reads back differently"
    );
    Ok(())
}

/// The newest whole record of the partition `entry` of a disk.
///
/// # Errors
/// The device's.
pub fn read(block: &mut dyn Block, entry: &TableEntry) -> anyhow::Result<Option<JournalRecord>> {
    let [first, second] = slots(block, entry)?;
    let both = [read_slot(block, first)?, read_slot(block, second)?];
    Ok(both.into_iter().flatten().max_by_key(|(counter, _)| *counter).map(|(_, record)| record))
}

/// Where the two slots begin, in bytes from the start of the disk.
fn slots(block: &dyn Block, entry: &TableEntry) -> anyhow::Result<[u64; 2]> {
    let (first, sectors) = (entry.first, entry.last - entry.first + 1);
    ensure!(sectors * block.sector() >= 2 * SLOT as u64, "the journal's partition is too small");
    Ok([first * block.sector(), (first + sectors / 2) * block.sector()])
}

fn slot(counter: u64, record: &JournalRecord) -> anyhow::Result<Vec<u8>> {
    let json = serde_json::to_vec(record)?;
    ensure!(HEAD + json.len() <= SLOT, "the record has {} bytes, and room for {}", json.len(), SLOT - HEAD);
    let mut raw = Vec::with_capacity(SLOT);
    raw.extend_from_slice(MAGIC);
    raw.extend_from_slice(&counter.to_le_bytes());
    raw.extend_from_slice(&(json.len() as u32).to_le_bytes());
    let digest = digest(&raw[8..20], &json);
    raw.extend_from_slice(&digest);
    raw.extend_from_slice(&json);
    raw.resize(SLOT, 0);
    Ok(raw)
}

fn read_slot(block: &mut dyn Block, at: u64) -> std::io::Result<Option<(u64, JournalRecord)>> {
    Ok(parse(&block.read(at, SLOT)?))
}

fn parse(raw: &[u8]) -> Option<(u64, JournalRecord)> {
    let counter = u64::from_le_bytes(raw.get(8..16)?.try_into().ok()?);
    let length = u32::from_le_bytes(raw.get(16..20)?.try_into().ok()?) as usize;
    let json = raw.get(HEAD..HEAD.checked_add(length)?)?;
    let whole = raw.starts_with(MAGIC) && digest(&raw[8..20], json) == raw[20..HEAD];
    if whole { Some((counter, serde_json::from_slice(json).ok()?)) } else { None }
}

fn digest(head: &[u8], json: &[u8]) -> [u8; 32] {
    nii::digest::Digest::of(&[head, json].concat()).0
}
