//! Properties of every partition table that is planned, over disks and layouts of all sizes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test support")]

mod support;

use std::collections::BTreeSet;

use plan::facts::{Firmware, Table};
use plan::op::Act;
use plan::{journal, table};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{Case, GIB, bios, disk};

const MIB: u64 = 1 << 20;

/// The planned table, or what was refused.
fn planned(size: u64, sector: u32, sizes: &[Option<u64>]) -> Result<Table, String> {
    let mut case = Case { ..bios() };
    case.facts.firmware = Firmware::Bios;
    case.facts.disks = vec![disk("/dev/vda", size)];
    case.facts.disks[0].sector = sector;
    case.manifest.ram_bytes = 0;
    case.manifest.inodes = 0;
    let mut partitions = vec![
        json!({"label": "bios", "type": "bios-boot", "size_mib": 1}),
        json!({"label": "root", "type": "root", "size_mib": 100}),
    ];
    for (i, size) in sizes.iter().enumerate() {
        let mut partition = json!({"label": format!("p{i}")});
        partition["size_mib"] = size.map_or(Value::Null, Value::from);
        partitions.push(partition);
    }
    case.nii["storage"] = json!({
        "disks": [{"name": "system", "partitions": partitions}],
        "filesystems": [{"device": "root", "format": "ext4", "mount": "/"}],
    });
    let plan = case.disked().map_err(|findings| findings[0].to_string())?;
    match plan.ops("partition")[0].act.clone() {
        Act::WriteTable { table, .. } => Ok(table),
        other => panic!("{other}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn tables_are_sound(
        size in 1..20_000_000_000_000u64,
        sector in prop::sample::select(vec![512u32, 4096]),
        fixed in prop::collection::vec(1..4_000_000u64, 0..8),
        growing in any::<bool>(),
    ) {
        let mut sizes: Vec<Option<u64>> = fixed.iter().copied().map(Some).collect();
        if growing {
            sizes.insert(sizes.len() / 2, None);
        }
        let sum = 1 + 1 + 100 + 1 + fixed.iter().sum::<u64>() + u64::from(growing);
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

fn check(table: &Table, size: u64, sector: u32, sizes: &[Option<u64>]) {
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
    for (i, size) in sizes.iter().enumerate() {
        assert!(size.is_none_or(|size| mib(i + 2) == size), "the size asked for");
    }
    if sizes.contains(&None) {
        assert!(last + 1 - before <= align, "the growing one leaves no MiB");
    }
    assert_eq!(table.partitions[1].kind, journal::IN_PROGRESS);
    let own = table.partitions.last().unwrap();
    assert_eq!((own.kind, own.label.as_str()), (journal::PARTITION, journal::LABEL));
    assert_eq!((own.last + 1 - own.first) * u64::from(sector), journal::SIZE);
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
    let many = planned(8 * GIB, 512, &vec![Some(1); 126]).unwrap_err();
    assert!(many.contains("a GPT holds 128"), "{many}");
    assert_eq!(planned(8 * GIB, 512, &vec![Some(1); 125]).unwrap().partitions.len(), 128);
}
