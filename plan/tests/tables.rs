//! Properties of every partition table that is planned, over disks and layouts of all sizes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test support")]

mod support;

use std::collections::BTreeSet;

use plan::facts::{Table, TableEntry};
use plan::op::Act;
use plan::{journal, table};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{Case, GIB, bios, disk};
use uuid::Uuid;

const MIB: u64 = 1 << 20;

/// A node whose one disk has a BIOS boot partition, a root of 100 MiB, and `more`.
fn case(size: u64, sector: u32, more: &[Value]) -> Case {
    let mut case = bios();
    case.facts.disks = vec![disk("/dev/vda", size)];
    case.facts.disks[0].sector = sector;
    case.manifest.ram_bytes = 0;
    case.manifest.inodes = 0;
    let mut partitions = vec![
        json!({"label": "bios", "type": "bios-boot", "size_mib": 1}),
        json!({"label": "root", "type": "root", "size_mib": 100}),
    ];
    partitions.extend_from_slice(more);
    case.nii["storage"] = json!({
        "disks": [{"name": "system", "partitions": partitions}],
        "filesystems": [{"device": "root", "format": "ext4", "mount": "/"}],
    });
    case
}

/// The planned table, or what was refused.
fn table_of(case: &Case) -> Result<Table, String> {
    let plan = case.disked().map_err(|findings| findings[0].to_string())?;
    match plan.ops("partition")[1].act.clone() {
        Act::WriteTable { table, .. } => Ok(table),
        other => panic!("{other}"),
    }
}

/// The planned table with partitions of these sizes and weights.
fn planned(size: u64, sector: u32, sizes: &[Size]) -> Result<Table, String> {
    let one = |(i, (mib, weight)): (usize, &Size)| {
        let mut partition = json!({"label": format!("p{i}")});
        partition["size_mib"] = mib.map_or(Value::Null, Value::from);
        partition["weight"] = weight.map_or(Value::Null, Value::from);
        partition
    };
    table_of(&case(size, sector, &sizes.iter().enumerate().map(one).collect::<Vec<_>>()))
}

/// `size_mib` and `weight`.
type Size = (Option<u64>, Option<u32>);

fn least(size: Size) -> u64 {
    size.0.unwrap_or(1)
}

fn weight(size: Size) -> u64 {
    size.1.map_or(u64::from(size.0.is_none()), u64::from)
}

fn sizes() -> impl Strategy<Value = Vec<Size>> {
    let fixed = (1..4_000_000u64).prop_map(|mib| (Some(mib), None));
    let growing = prop::option::of(1..=u32::MAX).prop_map(|weight| (None, weight));
    let both = (1..4_000_000u64, 1..1000u32).prop_map(|(mib, weight)| (Some(mib), Some(weight)));
    prop::collection::vec(prop_oneof![3 => fixed, 1 => growing, 1 => both], 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn tables_are_sound(
        size in 1..20_000_000_000_000u64,
        sector in prop::sample::select(vec![512u32, 4096]),
        sizes in sizes(),
    ) {
        let sum = 1 + 1 + 100 + 1 + sizes.iter().map(|size| least(*size)).sum::<u64>();
        match planned(size, sector, &sizes) {
            Err(message) => {
                // At most the last MiB is lost to the backup table and to alignment.
                prop_assert!(size < (sum + 2) * MIB, "{message}");
                prop_assert!(message.contains("need a disk of"), "{message}");
            }
            Ok(table) => {
                prop_assert!(size >= sum * MIB);
                check(&table, size, sector, &sizes);
            }
        }
    }
}

fn check(table: &Table, size: u64, sector: u32, sizes: &[Size]) {
    let align = MIB / u64::from(sector);
    let (first, last) = table::usable(size, sector).unwrap();
    let mut guids: BTreeSet<_> = [table.guid].into();
    let mut before = first - 1;
    for (i, entry) in table.partitions.iter().enumerate() {
        assert_eq!(entry.number as usize, i + 1);
        assert_eq!(entry.first % align, 0, "aligned");
        assert_eq!((entry.last + 1) % align, 0, "whole MiB");
        assert!(entry.first > before && entry.last >= entry.first, "in order, not overlapping");
        assert!(guids.insert(entry.guid), "unique GUIDs");
        before = entry.last;
    }
    assert!(before <= last, "within the usable blocks");
    let mib = |i: usize| (table.partitions[i].last + 1 - table.partitions[i].first) / align;
    shares(&sizes.iter().enumerate().map(|(i, size)| (*size, mib(i + 2))).collect::<Vec<_>>());
    if sizes.iter().any(|size| weight(*size) > 0) {
        assert!(last + 1 - before <= align, "those that grow leave no MiB");
    }
    assert_eq!(table.partitions[1].kind, journal::IN_PROGRESS);
    let own = table.partitions.last().unwrap();
    assert_eq!((own.kind, own.label.as_str()), (journal::PARTITION, journal::LABEL));
    assert_eq!((own.last + 1 - own.first) * u64::from(sector), journal::SIZE);
}

/// Of those that have more than their least size, all have the same for each unit of weight, but for less than a MiB
/// (the last one: than as many as there are others); and nobody was denied that for the sake of one with more.
fn shares(given: &[(Size, u64)]) {
    for (size, mib) in given {
        match weight(*size) {
            0 => assert_eq!(*mib, least(*size), "the size asked for"),
            _ => assert!(*mib >= least(*size), "the least size"),
        }
    }
    let long: Vec<_> = given.iter().filter(|(size, mib)| *mib > least(*size) && weight(*size) > 0).collect();
    let others = given.len() as f64;
    for (size, mib) in given.iter().filter(|(size, _)| weight(*size) > 0) {
        for (other, theirs) in &long {
            // What this one would have at the other's rate.
            let fair = weight(*size) as f64 * *theirs as f64 / weight(*other) as f64;
            let rounding = others + others * weight(*size) as f64 / weight(*other) as f64 + fair * 1e-9;
            assert!(*mib as f64 + rounding >= fair, "{given:?}: {mib} instead of {fair}");
        }
    }
}

fn mib_of(table: &Table, sector: u32) -> Vec<u64> {
    let mib = |entry: &TableEntry| (entry.last + 1 - entry.first) * u64::from(sector) / MIB;
    table.partitions.iter().map(mib).collect()
}

#[test]
fn weights_share_what_remains() {
    let sized = |sizes: &[Size]| {
        let of = |sector| mib_of(&planned(1127 * MIB + 3, sector, sizes).unwrap(), sector);
        assert_eq!(of(512), of(4096));
        // Between BIOS boot and root, and the journal; 1024 MiB remain.
        let all = of(512);
        assert_eq!((all[0], all[1], all[all.len() - 1]), (1, 100, 1));
        all[2..all.len() - 1].to_vec()
    };
    let grow = |weight| (None, Some(weight));
    assert_eq!(sized(&[(None, None)]), [1023]);
    assert_eq!(sized(&[(None, None), (None, None)]), [511, 512], "the last has what rounding leaves");
    assert_eq!(sized(&[grow(1), grow(2), grow(4)]), [146, 292, 585]);
    assert_eq!(sized(&[(Some(23), None), grow(1), grow(3)]), [23, 250, 750]);
    assert_eq!(sized(&[(Some(500), Some(1)), grow(1), grow(1)]), [500, 261, 262], "not less than its size");
    assert_eq!(sized(&[(Some(100), Some(1)), grow(1), grow(2)]), [255, 255, 513], "its size is not on top");
    assert_eq!(sized(&[grow(u32::MAX), grow(1)]), [1022, 1], "nobody has nothing");
}

#[test]
fn guids_and_attributes_are_those_asked_for() {
    for sector in [512, 4096] {
        let guid = Uuid::from_u128(0x1234_5678_1234_4234_8234_1234_5678_9abc);
        let boot = json!({"label": "boot", "size_mib": 8, "guid": guid,
            "attributes": ["required", "legacy-boot", "no-auto", "grow-filesystem"]});
        let table = table_of(&case(GIB, sector, &[boot, json!({"label": "rest"})])).unwrap();
        assert_eq!((table.partitions[2].guid, table.partitions[2].attributes), (guid, 0x8800_0000_0000_0005));
        assert_eq!(table.partitions[3].attributes, 0);
    }
}

/// The figures that sgdisk and parted print for such disks.
#[test]
fn usable_blocks() {
    assert_eq!(table::usable(8 * GIB, 512), Some((34, 16_777_182)));
    assert_eq!(table::usable(8 * GIB, 4096), Some((6, 2_097_146)));
    assert_eq!(table::usable(16 << 10, 512), None);
    assert_eq!(table::usable(0, 4096), None);
}

#[test]
fn odd_sectors_and_too_many_partitions_are_refused() {
    let odd = planned(8 * GIB, 520, &[]).unwrap_err();
    assert!(odd.contains("sectors of 520 bytes"), "{odd}");
    let many = planned(8 * GIB, 512, &vec![(Some(1), None); 126]).unwrap_err();
    assert!(many.contains("a GPT holds 128"), "{many}");
    assert_eq!(planned(8 * GIB, 512, &vec![(Some(1), None); 125]).unwrap().partitions.len(), 128);
}
