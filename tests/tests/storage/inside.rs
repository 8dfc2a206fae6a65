//! Groups that are kept on an array or in an encrypted device, where nothing but a look at them says what they hold: what is not
//! there is said before a byte is written, and what is there keeps its bytes.

use std::fs::File;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tests::scenario::{self, Scenario};
use tests::storage::{self, Case};
use tests::vm::{Spec, empty_disk};

use crate::{CASES, layouts};

/// A group over RAID5, and a group in an encrypted partition; with `keep` both with their volumes, and only the root, and a
/// second volume of each, is made anew.
fn groups(name: &str, keep: bool) -> Value {
    let kept = |mut value: Value| {
        if keep {
            value["preserve"] = true.into();
        }
        value
    };
    // Of the partitions that are kept the table knows the sizes.
    let partition = |label: &str, kind: &str| match keep {
        true => json!({"label": label, "type": kind, "preserve": true}),
        false => json!({"label": label, "type": kind, "size_mib": 64}),
    };
    let system = [
        json!({"label": "bios", "type": "bios-boot", "size_mib": 1}),
        json!({"label": "root", "type": "root", "size_mib": 96}),
        partition("r0", "raid"),
        partition("vault", "luks"),
    ];
    let volume = |group: &str, name: &str| json!({"name": name, "group": group, "size_mib": 16});
    json!({
        "disks": [
            layouts::disk("d0", 0, &json!(system)),
            layouts::disk("d1", 1, &json!([partition("r1", "raid")])),
            layouts::disk("d2", 2, &json!([partition("r2", "raid")])),
        ],
        "raid": [kept(json!({"name": "data", "level": "raid5", "devices": ["r0", "r1", "r2"]}))],
        "luks": [kept(json!({"name": "open", "device": "vault", "random_key": true}))],
        "volume_groups": [
            kept(json!({"name": "wide", "devices": ["data"]})),
            kept(json!({"name": name, "devices": ["open"]})),
        ],
        "logical_volumes": [
            kept(volume("wide", "all")),
            volume("wide", "scratch"),
            kept(volume(name, "db")),
            volume(name, "scratch"),
        ],
        "filesystems": [
            {"device": "root", "format": "ext4", "mount": "/"},
            kept(json!({"device": "wide/all", "format": "ext4", "mount": "/all"})),
            kept(json!({"device": format!("{name}/db"), "format": "ext4", "mount": "/db"})),
        ],
    })
}

fn case(name: &str, storage: Value) -> Case {
    Case::new(name, storage).with_key("open", "e5b2cb0b8a0f4d1f9a1b7c6d5e4f3a21")
}

#[test]
fn storage_looks_into_kept_groups() -> Result<()> {
    scenario::run("storage_looks_into_kept_groups", |scenario| {
        let disk = |n: u32| empty_disk(scenario.scratch().join(format!("disk{n}")), 260);
        let disks = [disk(0)?, disk(1)?, disk(2)?];
        let kept = ["wide/all", "safe/db"];
        let old = case("old", groups("safe", false)).filled().keeping_devices(&kept);
        let said = run(scenario, &disks, &[old], 1)?;
        let (_, digests) = said[0].split_once(", kept ").context("no digest was said")?;
        let before = contents(&disks)?;

        let (mut gone, other) = (groups("safe", true), groups("vault", true));
        gone["logical_volumes"][0]["name"] = "home".into();
        gone["filesystems"][1]["device"] = "wide/home".into();
        let refusals = [
            case("gone", gone)
                .refused("the group wide has no volume home that could be kept; it has all, scratch"),
            case("other", other).refused("Volume group \"vault\" not found"),
        ];
        let said = run(scenario, &disks, &refusals, 0)?;
        ensure!(said.iter().filter(|line| line.contains(" refused: ")).count() == 2, "{said:?}");
        ensure!(contents(&disks)? == before, "an install that was refused has written");

        let again = case("again", groups("safe", true)).keeping_devices(&kept);
        let said = run(scenario, &disks, &[again], 1)?;
        ensure!(said[0].contains(&format!(", kept {digests}")), "{}, and it was {digests} before", said[0]);
        Ok(())
    })
}

/// One machine with these cases, of which so many are not refused; what it said.
fn run(scenario: &Scenario, disks: &[PathBuf], cases: &[Case], whole: usize) -> Result<Vec<String>> {
    let spec = Spec { disks: disks.to_vec(), ..Spec::default() };
    let mut vm = storage::start(&scenario.net, scenario.scratch(), &scenario.logs, cases, spec)?;
    storage::finish(&mut vm, whole, CASES)
}

/// What is on the disks.
fn contents(disks: &[PathBuf]) -> Result<Vec<blake3::Hash>> {
    let digest = |disk: &PathBuf| {
        let mut hasher = blake3::Hasher::new();
        let file = File::open(disk).with_context(|| format!("opening {}", disk.display()))?;
        hasher.update_reader(file).with_context(|| format!("reading {}", disk.display()))?;
        Ok(hasher.finalize())
    };
    disks.iter().map(digest).collect()
}
