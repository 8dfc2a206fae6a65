//! The partition table's writer under power cuts: a model of a disk with a volatile cache.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::io;

use host::linux::disk::block::Block;
use host::linux::disk::gpt::{self, Gpt};
use host::linux::disk::table;
use plan::facts::{Table, TableEntry};
use uuid::Uuid;

/// A disk that remembers what was written between two flushes.
struct Model {
    sector: u64,
    bytes: Vec<u8>,
    log: Vec<Step>,
}

enum Step {
    Write { offset: u64, bytes: Vec<u8> },
    Flush,
}

impl Model {
    fn new(sector: u64) -> Self {
        Self { sector, bytes: vec![0; 4 << 20], log: Vec::new() }
    }
}

impl Block for Model {
    fn sector(&self) -> u64 {
        self.sector
    }

    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read(&mut self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        assert!(offset.is_multiple_of(self.sector) && (length as u64).is_multiple_of(self.sector));
        Ok(self.bytes[offset as usize..][..length].to_vec())
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        assert!(offset.is_multiple_of(self.sector) && (bytes.len() as u64).is_multiple_of(self.sector));
        self.bytes[offset as usize..][..bytes.len()].copy_from_slice(bytes);
        self.log.push(Step::Write { offset, bytes: bytes.to_vec() });
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.log.push(Step::Flush);
        Ok(())
    }
}

fn entry(number: u32, first: u64, last: u64, kind: u128) -> TableEntry {
    let guid = Uuid::from_u128(0xaaaa_0000 + u128::from(number));
    let (kind, label) = (Uuid::from_u128(kind), format!("part-{number}"));
    // Each has attributes of its own, so that no write may mix them up.
    TableEntry { number, kind, guid, first, last, label, attributes: 1 << 63 | u64::from(number) }
}

fn old_table() -> Table {
    Table { guid: Uuid::from_u128(1), partitions: vec![entry(1, 64, 99, 7), entry(2, 100, 199, 7)] }
}

fn new_table() -> Table {
    let partitions = vec![entry(1, 64, 95, 8), entry(3, 96, 127, 8), entry(5, 128, 900, 9)];
    Table { guid: Uuid::from_u128(2), partitions }
}

fn with_table(sector: u64, table: &Table) -> Model {
    let mut model = Model::new(sector);
    gpt::write_protective(&mut model).unwrap();
    let gpt = Gpt::new(table, &model).unwrap();
    gpt::write(&gpt, &mut model).unwrap();
    model.log.clear();
    model
}

/// Shows `look` every state that a power cut may leave: a prefix of the log, of which the writes since the last flush
/// (the last four of them; the wiping of a disk has dozens) are each there, not there, or torn after their first sector.
fn cuts(before: &Model, log: &[Step], mut look: impl FnMut(Model)) {
    for end in 0..=log.len() {
        let flushed = log[..end].iter().rposition(|step| matches!(step, Step::Flush)).map_or(0, |at| at + 1);
        let open = flushed.max(end.saturating_sub(4));
        for choice in 0..3_u32.pow((end - open) as u32) {
            let mut model = Model { sector: before.sector, bytes: before.bytes.clone(), log: Vec::new() };
            for (index, step) in log[..end].iter().enumerate() {
                let Step::Write { offset, bytes } = step else { continue };
                let fate = if index < open { 1 } else { choice / 3_u32.pow((index - open) as u32) % 3 };
                let length = match fate {
                    0 => 0,
                    1 => bytes.len(),
                    _ => before.sector as usize,
                };
                model.bytes[*offset as usize..][..length].copy_from_slice(&bytes[..length]);
            }
            look(model);
        }
    }
}

/// Makes `change` on `before`, and looks at all states in between: always one of the two tables.
fn survives(before: Model, change: impl Fn(&mut Model)) {
    let mut model = Model { sector: before.sector, bytes: before.bytes.clone(), log: Vec::new() };
    let old = gpt::read(&mut model).unwrap().unwrap().table();
    change(&mut model);
    let new = gpt::read(&mut model).unwrap().unwrap().table();
    assert_ne!(old, new);
    for broken in [1, model.size() / model.sector - 1] {
        let mut half = Model { sector: model.sector, bytes: model.bytes.clone(), log: Vec::new() };
        half.bytes[(broken * half.sector) as usize..][..8].fill(0);
        assert_eq!(gpt::read(&mut half).unwrap().unwrap().table(), new, "each copy is whole");
    }
    cuts(&before, &model.log, |mut state| {
        let found = gpt::read(&mut state).unwrap().expect("a valid table").table();
        assert!(found == old || found == new, "{found:?}");
    });
}

fn replace(model: &mut Model) {
    table::replace(model, &new_table(), &[]).unwrap();
}

fn flip(model: &mut Model) {
    let mut gpt = gpt::read(model).unwrap().unwrap();
    gpt.set_kind(2, Uuid::from_u128(0xaaaa_0002), Uuid::from_u128(99)).unwrap();
    gpt::write(&gpt, model).unwrap();
}

#[test]
fn a_power_cut_leaves_the_old_table_or_the_new_one() {
    for sector in [512, 4096] {
        survives(with_table(sector, &old_table()), replace);
        survives(with_table(sector, &old_table()), flip);
    }
}

#[test]
fn the_only_good_copy_is_written_last() {
    for sector in [512, 4096] {
        for broken in [1, (4 << 20) / sector - 1] {
            let mut model = with_table(sector, &old_table());
            model.bytes[(broken * sector) as usize + 20] ^= 1;
            survives(model, flip);
        }
    }
}

/// A disk that was of 12 MiB when its table was written, and is of 32 now.
fn grown(sector: u64, table: &Table) -> Model {
    let mut model = Model { sector, bytes: vec![0; 12 << 20], log: Vec::new() };
    gpt::write_protective(&mut model).unwrap();
    let gpt = Gpt::new(table, &model).unwrap();
    gpt::write(&gpt, &mut model).unwrap();
    model.bytes.resize(32 << 20, 0);
    model
}

fn has_old_backup(model: &Model) -> bool {
    model.bytes[(12 << 20) - model.sector as usize..].starts_with(b"EFI PART")
}

#[test]
fn the_backup_of_a_disk_that_grew_goes() {
    for sector in [512, 4096] {
        let mut model = grown(sector, &Table { guid: Uuid::from_u128(1), partitions: Vec::new() });
        assert!(has_old_backup(&model));
        // Around it, and with its ends far from it.
        let partitions = vec![entry(1, (1 << 20) / sector, (31 << 20) / sector - 1, 7)];
        table::replace(&mut model, &Table { guid: Uuid::from_u128(2), partitions }, &[]).unwrap();
        assert!(!has_old_backup(&model));
        let before = 12 << 20;
        let array = sector as usize + 128 * 128;
        assert!(model.bytes[before - array..before].iter().all(|byte| *byte == 0), "its entries go as well");
    }
}

#[test]
fn what_looks_like_an_old_backup_in_a_kept_partition_stays() {
    for sector in [512, 4096] {
        let small = grown(sector, &Table { guid: Uuid::from_u128(1), partitions: Vec::new() });
        let partitions = vec![entry(1, (1 << 20) / sector, (31 << 20) / sector - 1, 7)];
        let table = Table { guid: Uuid::from_u128(2), partitions };
        let mut model = Model { sector, bytes: small.bytes.clone(), log: Vec::new() };
        gpt::write(&Gpt::new(&table, &model).unwrap(), &mut model).unwrap();
        // The primary still names the old place.
        let header = sector as usize..sector as usize + 92;
        let old = (12 << 20) / sector - 1;
        model.bytes[header.clone()][32..40].copy_from_slice(&old.to_le_bytes());
        model.bytes[header.clone()][16..20].fill(0);
        let crc = crc32fast::hash(&model.bytes[header.clone()]);
        model.bytes[header][16..20].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(gpt::stray_backup(&mut model).unwrap().map(|(_, end)| end), Some(12 << 20));
        table::replace(&mut model, &table, &[1]).unwrap();
        assert!(has_old_backup(&model));
    }
}

#[test]
fn numbers_and_gaps_are_kept() {
    let mut model = with_table(512, &new_table());
    assert_eq!(gpt::read(&mut model).unwrap().unwrap().table(), new_table());
    let mut gpt = gpt::read(&mut model).unwrap().unwrap();
    gpt.set_kind(5, Uuid::from_u128(0xaaaa_0005), Uuid::from_u128(77)).unwrap();
    gpt::write(&gpt, &mut model).unwrap();
    let mut expected = new_table();
    expected.partitions[2].kind = Uuid::from_u128(77);
    assert_eq!(gpt::read(&mut model).unwrap().unwrap().table(), expected);
}

#[test]
fn bad_tables_are_refused() {
    let model = Model::new(512);
    let refused = |partitions: Vec<TableEntry>| {
        let error = Gpt::new(&Table { guid: Uuid::from_u128(1), partitions }, &model).unwrap_err();
        format!("{error:#}")
    };
    assert!(refused(vec![entry(1, 64, 99, 7), entry(2, 99, 120, 7)]).contains("overlaps part-1"));
    assert!(refused(vec![entry(1, 64, 99, 7), entry(1, 100, 120, 7)]).contains("number"));
    assert!(refused(vec![entry(1, 33, 99, 7)]).contains("not within 34-8158"));
    assert!(refused(vec![entry(1, 64, 8159, 7)]).contains("not within 34-8158"));
    assert!(refused(vec![entry(129, 64, 99, 7)]).contains("numbers go from 1 to 128"));
    assert!(refused(vec![entry(1, 64, 99, 0)]).contains("must not be zero"));
}

#[test]
fn another_guid_is_not_flipped() {
    let mut model = with_table(512, &old_table());
    let mut gpt = gpt::read(&mut model).unwrap().unwrap();
    assert!(gpt.set_kind(2, Uuid::from_u128(5), Uuid::from_u128(99)).is_err());
    assert!(gpt.set_kind(3, Uuid::from_u128(5), Uuid::from_u128(99)).is_err());
}

#[test]
fn a_table_without_a_protective_mbr_is_none() {
    let mut model = with_table(512, &old_table());
    model.bytes[..512].fill(0);
    assert_eq!(gpt::read(&mut model).unwrap(), None);
}
