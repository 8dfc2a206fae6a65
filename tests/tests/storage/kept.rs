//! What an earlier install left on arrays, on volumes and in an encrypted device, and a later one keeps: every byte of it.

use std::io::Write as _;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tests::scenario;
use tests::storage::{self, Case};
use tests::vm::{Spec, empty_disk};

use crate::{CASES, layouts, ops_were, step};

/// Devices whose bytes stay.
const KEPT: [&str; 4] = ["node/home", "node/srv", "files", "vault"];

/// A mirror below a group with the root, a volume, and a pool with a thin volume; a mirror with a file system; an encrypted
/// partition. All but the root, another thin volume, and `/boot`, a mirror as well, is kept, if it is to `keep` something. On so many disks, of two
/// or one.
pub fn stacks(name: &str, keep: bool, disks: u32) -> Case {
    let kept = |mut value: Value| {
        if keep {
            value["preserve"] = true.into();
        }
        value
    };
    // Of the partitions that are kept the table knows the sizes.
    let partition = |label: String, kind: &str, mib: u32| match keep {
        true => json!({"label": label, "type": kind, "preserve": true}),
        false => json!({"label": label, "type": kind, "size_mib": mib}),
    };
    let half = |n: u32| {
        let mut partitions = vec![
            partition(format!("sys{n}"), "raid", 224),
            partition(format!("files{n}"), "raid", 40),
            json!({"label": format!("boot{n}"), "type": "raid", "size_mib": 48}),
        ];
        if n < disks {
            partitions.push(json!({"label": format!("bios{n}"), "type": "bios-boot", "size_mib": 1}));
        }
        if n == 1 {
            partitions.push(partition("vault1".to_owned(), "luks", 56));
        }
        partitions
    };
    let disk = |n: u32| {
        let halves = (0..2).filter(|half| half % disks == n);
        layouts::disk(&format!("d{n}"), n, &halves.flat_map(half).collect())
    };
    let storage = json!({
        "disks": (0..disks).map(disk).collect::<Vec<_>>(),
        "raid": [
            {"name": "boot", "level": "raid1", "devices": ["boot0", "boot1"]},
            kept(json!({"name": "sys", "level": "raid1", "devices": ["sys0", "sys1"]})),
            kept(json!({"name": "files", "level": "raid1", "devices": ["files0", "files1"]})),
        ],
        "luks": [kept(json!({"name": "vault", "device": "vault1", "random_key": true}))],
        "volume_groups": [kept(json!({"name": "node", "devices": ["sys"]}))],
        "logical_volumes": [
            {"name": "root", "group": "node", "size_mib": 96},
            kept(json!({"name": "home", "group": "node", "size_mib": 32})),
            kept(json!({"name": "pool", "group": "node", "size_mib": 48, "thin_pool": true})),
            kept(json!({"name": "srv", "group": "node", "size_mib": 32, "pool": "pool"})),
            {"name": "scratch", "group": "node", "size_mib": 24, "pool": "pool"},
        ],
        "filesystems": [
            {"device": "boot", "format": "ext4", "mount": "/boot"},
            {"device": "node/root", "format": "ext4", "mount": "/"},
            {"device": "node/scratch", "format": "ext4", "mount": "/scratch"},
            kept(json!({"device": "node/home", "format": "ext4", "mount": "/home"})),
            kept(json!({"device": "node/srv", "format": "ext4", "mount": "/srv/kept"})),
            kept(json!({"device": "files", "format": "ext4", "mount": "/files"})),
            kept(json!({"device": "vault", "format": "ext4", "mount": "/vault"})),
        ],
    });
    Case::new(name, storage).with_key("vault", "0f6b1f0d1c7b4c0aa8b7c9e2d4f51a63").keeping_devices(&KEPT)
}

#[test]
fn storage_keeps_stacks_after_ops() -> Result<()> {
    const NAME: &str = "storage_keeps_stacks_after_ops";
    let step = step(2);
    scenario::run(NAME, |scenario| {
        let disk = |n: u32| empty_disk(scenario.scratch().join(format!("disk{n}")), 420);
        let spec = Spec { disks: vec![disk(0)?, disk(1)?], ..Spec::default() };
        let cases =
            [stacks("old-stacks", false, 2).filled(), stacks("kept-stacks", true, 2).cut_at_ops(step)];
        let mut vm = storage::start(&scenario.net, scenario.scratch(), &scenario.logs, &cases, spec)?;
        let started = Instant::now();
        let said = storage::finish(&mut vm, cases.len(), CASES)?;
        let (old, again) = said.split_first().context("nothing was said")?;
        ops_were(again, step)?;
        let (_, digests) = old.split_once(", kept ").context("no digest was said")?;
        ensure!(digests.split('+').count() == KEPT.len(), "{old}");
        for line in again {
            ensure!(line.contains(&format!(", kept {digests}")), "{line}, and it was {digests} before");
        }
        let (ops, seconds) = (again.len() - 1, started.elapsed().as_secs());
        let figures = format!("{} devices kept, {ops} ops, {seconds} s", KEPT.len());
        let _ = writeln!(std::io::stderr(), "{NAME}: {figures}");
        Ok(())
    })
}
