//! GUID partition tables: UEFI specification 2.10, chapter 5.3.
//!
//! The order of writes is the point of this module. A table has two copies; the one that is valid is left alone
//! until the other has been written and flushed, so that a power cut at any moment leaves at least one whole table,
//! the old one or the new one. Entries keep their numbers, and bytes that we do not understand are kept.

use std::fmt;
use std::io;

use anyhow::{Context, ensure};
use plan::facts::{Table, TableEntry};
use uuid::Uuid;

use super::block::Block;

/// `EFI PART`.
const SIGNATURE: &[u8; 8] = b"EFI PART";
/// Version 1.0.
const REVISION: u32 = 0x0001_0000;
/// Bytes of the header that its checksum covers.
const HEADER: usize = 92;
/// Bytes of an entry that the specification defines.
const ENTRY: usize = 128;
/// Entries of the tables that we make: the least that the specification allows.
const COUNT: u32 = 128;
/// More entries than this are not believed: 1 MiB of them.
const COUNT_MAX: u32 = 8192;
/// Bytes of a partition's name.
const NAME: usize = 72;
/// MBR partition type of the protective entry.
const PROTECTIVE: u8 = 0xee;

/// One GPT, with all that is in its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpt {
    guid: Uuid,
    first_usable: u64,
    last_usable: u64,
    entry_size: usize,
    entries: Vec<u8>,
}

/// Which of the two copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Primary,
    Backup,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Primary { "primary" } else { "backup" })
    }
}

impl Gpt {
    /// A new table for a disk of this geometry.
    ///
    /// # Errors
    /// What is wrong with the table: a number twice, an overlap, a partition outside the disk.
    pub fn new(table: &Table, block: &dyn Block) -> anyhow::Result<Self> {
        let sectors = block.size() / block.sector();
        let array = u64::from(COUNT) * ENTRY as u64 / block.sector();
        ensure!(sectors > 2 * (array + 1) + 1, "the disk has only {sectors} sectors");
        let mut gpt = Self {
            guid: table.guid,
            first_usable: 2 + array,
            last_usable: sectors - array - 2,
            entry_size: ENTRY,
            entries: vec![0; COUNT as usize * ENTRY],
        };
        for entry in &table.partitions {
            gpt.insert(entry)
                .with_context(|| format!("placing partition {} {}", entry.number, entry.label))?;
        }
        Ok(gpt)
    }

    fn insert(&mut self, entry: &TableEntry) -> anyhow::Result<()> {
        ensure!((1..=COUNT).contains(&entry.number), "numbers go from 1 to {COUNT}");
        ensure!(!entry.kind.is_nil() && !entry.guid.is_nil(), "its GUIDs must not be zero");
        ensure!(
            self.first_usable <= entry.first && entry.first <= entry.last && entry.last <= self.last_usable,
            "blocks {}-{} are not within {}-{}",
            entry.first,
            entry.last,
            self.first_usable,
            self.last_usable
        );
        for other in self.table().partitions {
            ensure!(other.number != entry.number, "its number is that of {} too", other.label);
            ensure!(other.guid != entry.guid, "its GUID is that of {} too", other.label);
            ensure!(other.last < entry.first || entry.last < other.first, "it overlaps {}", other.label);
        }
        let name: Vec<u8> = entry.label.encode_utf16().flat_map(u16::to_le_bytes).collect();
        ensure!(name.len() <= NAME, "its name is longer than {} UTF-16 units", NAME / 2);
        let raw = self.entry_mut(entry.number)?;
        raw[0..16].copy_from_slice(&entry.kind.to_bytes_le());
        raw[16..32].copy_from_slice(&entry.guid.to_bytes_le());
        raw[32..40].copy_from_slice(&entry.first.to_le_bytes());
        raw[40..48].copy_from_slice(&entry.last.to_le_bytes());
        raw[48..56].copy_from_slice(&entry.attributes.to_le_bytes());
        raw[56..56 + name.len()].copy_from_slice(&name);
        Ok(())
    }

    /// The used entries.
    pub fn table(&self) -> Table {
        let partitions = (1..).zip(self.entries.chunks_exact(self.entry_size)).filter_map(|(number, raw)| {
            let kind = guid(&raw[0..16]);
            let units = raw[56..56 + NAME].chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
            let name: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
            (!kind.is_nil()).then(|| TableEntry {
                number,
                kind,
                guid: guid(&raw[16..32]),
                first: u64_at(raw, 32),
                last: u64_at(raw, 40),
                label: String::from_utf16_lossy(&name),
                attributes: u64_at(raw, 48),
            })
        });
        Table { guid: self.guid, partitions: partitions.collect() }
    }

    /// Takes over the entries of these numbers from the disk's old table, with all bits that we do not understand.
    ///
    /// # Errors
    /// When one of them is not there, or is not what this table says.
    pub fn keep(&mut self, old: &Self, numbers: &[u32]) -> anyhow::Result<()> {
        let (table, before) = (self.table(), old.table());
        for number in numbers {
            let find = |table: &Table| table.partitions.iter().find(|entry| entry.number == *number).cloned();
            let wanted = find(&table);
            ensure!(
                wanted.is_some() && wanted == find(&before),
                "partition {number} is to be kept, and is not on the disk as the plan says"
            );
            let raw = old.entries.chunks_exact(old.entry_size).nth(*number as usize - 1);
            let raw = raw.and_then(|raw| raw.get(..ENTRY)).context("the old entry is cut off")?;
            self.entry_mut(*number)?[..ENTRY].copy_from_slice(raw);
        }
        Ok(())
    }

    /// Changes the type of one partition, which must have this GUID; all else stays as it is, byte for byte.
    ///
    /// # Errors
    /// When there is no such partition.
    pub fn set_kind(&mut self, number: u32, unique: Uuid, kind: Uuid) -> anyhow::Result<()> {
        let raw = self.entry_mut(number)?;
        let found = guid(&raw[16..32]);
        ensure!(found == unique, "partition {number} has the GUID {found}, not {unique}");
        raw[0..16].copy_from_slice(&kind.to_bytes_le());
        Ok(())
    }

    fn entry_mut(&mut self, number: u32) -> anyhow::Result<&mut [u8]> {
        let index = (number as usize).checked_sub(1).context("partition numbers begin at 1")?;
        self.entries
            .chunks_exact_mut(self.entry_size)
            .nth(index)
            .with_context(|| format!("there is no entry {number}"))
    }

    /// The header's sector of one copy.
    fn header(&self, place: Place, block: &dyn Block) -> Vec<u8> {
        let last = block.size() / block.sector() - 1;
        let array = self.array_sectors(block);
        let (here, other, entries) = match place {
            Place::Primary => (1, last, 2),
            Place::Backup => (last, 1, last - array),
        };
        let mut raw = vec![0; block.sector() as usize];
        raw[0..8].copy_from_slice(SIGNATURE);
        raw[8..12].copy_from_slice(&REVISION.to_le_bytes());
        raw[12..16].copy_from_slice(&(HEADER as u32).to_le_bytes());
        raw[24..32].copy_from_slice(&u64::to_le_bytes(here));
        raw[32..40].copy_from_slice(&u64::to_le_bytes(other));
        raw[40..48].copy_from_slice(&self.first_usable.to_le_bytes());
        raw[48..56].copy_from_slice(&self.last_usable.to_le_bytes());
        raw[56..72].copy_from_slice(&self.guid.to_bytes_le());
        raw[72..80].copy_from_slice(&u64::to_le_bytes(entries));
        raw[80..84].copy_from_slice(&((self.entries.len() / self.entry_size) as u32).to_le_bytes());
        raw[84..88].copy_from_slice(&(self.entry_size as u32).to_le_bytes());
        raw[88..92].copy_from_slice(&crc32fast::hash(&self.entries).to_le_bytes());
        let crc = crc32fast::hash(&raw[..HEADER]);
        raw[16..20].copy_from_slice(&crc.to_le_bytes());
        raw
    }

    fn array_sectors(&self, block: &dyn Block) -> u64 {
        (self.entries.len() as u64).div_ceil(block.sector())
    }

    /// Writes one copy, entries before header, and flushes.
    fn write_copy(&self, place: Place, block: &mut dyn Block) -> io::Result<()> {
        let header = self.header(place, block);
        let mut entries = self.entries.clone();
        entries.resize(self.array_sectors(block) as usize * block.sector() as usize, 0);
        block.write(u64_at(&header, 72) * block.sector(), &entries)?;
        block.write(u64_at(&header, 24) * block.sector(), &header)?;
        block.flush()
    }

    /// First byte after the primary copy, and first byte of the backup: what is between is for partitions.
    pub fn room(&self, block: &dyn Block) -> (u64, u64) {
        let array = self.array_sectors(block);
        ((2 + array) * block.sector(), block.size() - (1 + array) * block.sector())
    }
}

/// Writes both copies and reads them back. The backup is first, unless it is the only good copy that there is.
///
/// # Errors
/// The device's, or that what was read back is not what was written.
pub fn write(gpt: &Gpt, block: &mut dyn Block) -> anyhow::Result<()> {
    let backup_only =
        read_copy(Place::Primary, block)?.is_none() && read_copy(Place::Backup, block)?.is_some();
    let order = if backup_only { [Place::Primary, Place::Backup] } else { [Place::Backup, Place::Primary] };
    for place in order {
        gpt.write_copy(place, block).with_context(|| format!("writing the {place} partition table"))?;
        let back =
            read_copy(place, block).with_context(|| format!("reading the {place} partition table back"))?;
        ensure!(
            back.as_ref() == Some(gpt),
            "the {place} partition table reads back differently: the disk lies"
        );
    }
    Ok(())
}

/// The disk's table, from whichever copy is whole; `None` without a GPT or without the protective MBR that the kernel
/// wants to see as well.
///
/// # Errors
/// The device's.
pub fn read(block: &mut dyn Block) -> io::Result<Option<Gpt>> {
    let mbr = block.read(0, block.sector() as usize)?;
    let protective = (0..4).any(|i| mbr[446 + 16 * i + 4] == PROTECTIVE);
    if mbr[510..512] != [0x55, 0xaa] || !protective {
        return Ok(None);
    }
    match read_copy(Place::Primary, block)? {
        Some(gpt) => Ok(Some(gpt)),
        None => read_copy(Place::Backup, block),
    }
}

/// First byte and end of a backup that is not where the disk ends, as the primary copy says: the disk was smaller when it was
/// written.
///
/// # Errors
/// The device's.
pub fn stray_backup(block: &mut dyn Block) -> io::Result<Option<(u64, u64)>> {
    let (sector, sectors) = (block.sector(), block.size() / block.sector());
    if read_copy(Place::Primary, block)?.is_none() {
        return Ok(None);
    }
    let at = u64_at(&block.read(sector, sector as usize)?, 32);
    if at <= 1 || at + 1 >= sectors {
        return Ok(None);
    }
    let header = block.read(at * sector, sector as usize)?;
    let entries = u64_at(&header, 72);
    let is_backup = &header[0..8] == SIGNATURE && u64_at(&header, 24) == at;
    // Entries are right before their header: what lies elsewhere is not ours to guess.
    let near = (at.saturating_sub(u64::from(COUNT_MAX))..at).contains(&entries);
    Ok(is_backup.then_some((if near { entries } else { at } * sector, (at + 1) * sector)))
}

/// Puts the protective MBR in place, without the boot code that was there, and flushes.
///
/// # Errors
/// The device's.
pub fn write_protective(block: &mut dyn Block) -> io::Result<()> {
    let mut raw = vec![0; block.sector() as usize];
    let covered = u32::try_from(block.size() / block.sector() - 1).unwrap_or(u32::MAX);
    // Start 0/0/2, type, end 0xffffff where it does not fit, first LBA, number of sectors.
    raw[446..462].copy_from_slice(&[0, 0, 2, 0, PROTECTIVE, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0, 0, 0, 0]);
    raw[458..462].copy_from_slice(&covered.to_le_bytes());
    raw[510..512].copy_from_slice(&[0x55, 0xaa]);
    block.write(0, &raw)?;
    block.flush()
}

/// One copy, if it is whole.
fn read_copy(place: Place, block: &mut dyn Block) -> io::Result<Option<Gpt>> {
    let (sector, sectors) = (block.sector(), block.size() / block.sector());
    if sectors < 6 {
        return Ok(None);
    }
    let here = if place == Place::Primary { 1 } else { sectors - 1 };
    let header = block.read(here * sector, sector as usize)?;
    let size = u32_at(&header, 12) as usize;
    if &header[0..8] != SIGNATURE || !(HEADER..=header.len()).contains(&size) || u64_at(&header, 24) != here {
        return Ok(None);
    }
    let mut summed = header[..size].to_vec();
    summed[16..20].fill(0);
    if crc32fast::hash(&summed) != u32_at(&header, 16) {
        return Ok(None);
    }
    let (entries, count, entry_size) =
        (u64_at(&header, 72), u32_at(&header, 80), u32_at(&header, 84) as usize);
    let length = u64::from(count) * entry_size as u64;
    let sane = count <= COUNT_MAX && (ENTRY..=4096).contains(&entry_size) && entry_size.is_multiple_of(8);
    if !sane || entries.saturating_add(length.div_ceil(sector)) > sectors {
        return Ok(None);
    }
    let mut raw = block.read(entries * sector, (length.div_ceil(sector) * sector) as usize)?;
    raw.truncate(length as usize);
    if crc32fast::hash(&raw) != u32_at(&header, 88) {
        return Ok(None);
    }
    Ok(Some(Gpt {
        guid: guid(&header[56..72]),
        first_usable: u64_at(&header, 40),
        last_usable: u64_at(&header, 48),
        entry_size,
        entries: raw,
    }))
}

/// A GUID in the mixed byte order of the specification's appendix A.
fn guid(raw: &[u8]) -> Uuid {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(raw);
    Uuid::from_bytes_le(bytes)
}

fn u32_at(raw: &[u8], at: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&raw[at..at + 4]);
    u32::from_le_bytes(bytes)
}

fn u64_at(raw: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&raw[at..at + 8]);
    u64::from_le_bytes(bytes)
}
