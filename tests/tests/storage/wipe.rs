//! Old contents made unreadable: by zeroes, by discards, and by a disk itself; looked at from outside of the machine.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tests::run::{cmd, output};
use tests::scenario;
use tests::storage::{self, Case};
use tests::vm::{Spec, empty_disk};

use crate::layouts::disk;

const MIB: u64 = 1 << 20;
/// MiB of each disk.
const SIZE: u64 = 160;
/// What all disks are full of before: 32 bytes, so that each piece of a disk has it.
const OLD: &[u8; 32] = b"somebody's payroll, long ago....";
/// First MiB of the partition that stays on the disks that can spare one, and how many it has.
const KEPT: (u64, u64) = (100, 4);
/// Wherever nothing was made: from this MiB to the other, without what is kept. The root is on a disk of its own.
const EMPTY: (u64, u64) = (20, SIZE - 2);
const MACHINE: Duration = Duration::from_secs(300);

#[test]
fn storage_wipes() -> Result<()> {
    scenario::run("storage_wipes", |scenario| {
        let full = |name: &str| full(&scenario.scratch().join(name));
        let disks = vec![
            empty_disk(scenario.scratch().join("system"), SIZE)?,
            full("zero")?,
            full("discard")?,
            full("untouched")?,
        ];
        let nvme = vec![full("secure")?];
        for disk in &disks[1..3] {
            keep_a_partition(disk)?;
        }
        let untouched = digest(&disks[3])?;
        let cases = [refused(), held(), wiped()];
        let spec = Spec { disks: disks.clone(), nvme: nvme.clone(), ..Spec::default() };
        let mut vm = storage::start(&scenario.net, scenario.scratch(), &scenario.logs, &cases, spec)?;
        let said = storage::finish(&mut vm, 1, MACHINE)?;
        ensure!(said[0].contains("neither NVMe nor ATA; use `zero` or `discard`"), "{said:?}");
        ensure!(said[1].contains("something has /dev/vdd"), "{said:?}");
        ensure!(digest(&disks[3])? == untouched, "a disk of a refused install has changed");
        for disk in &disks[1..3] {
            is_gone(disk, Some(KEPT)).with_context(|| format!("looking at {}", disk.display()))?;
        }
        is_gone(&nvme[0], None).context("looking at the disk that erased itself")?;
        let held = fs::metadata(&disks[2])?.blocks() * 512;
        ensure!(held < 40 * MIB, "the disk that was discarded still holds {held} bytes");
        Ok(())
    })
}

/// The first disk can do what it is asked for, the other cannot: neither is touched.
fn refused() -> Case {
    let system = wiping("untouched", 3, "secure", &json!([{"label": "root", "type": "root"}]));
    let zero = wiping("zero", 1, "zero", &json!([{"label": "new"}]));
    Case::new("wipes-that-cannot-be", storage(&json!([zero, system]), &json!([])))
        .refused("storage.disks[1].wipe")
}

/// Facts say of the disk that nobody uses it.
fn held() -> Case {
    let system = disk("untouched", 3, &json!([{"label": "root", "type": "root"}]));
    Case::new("a-disk-that-somebody-has", storage(&json!([system]), &json!([])))
        .held("camphor3")
        .refused("something has")
}

fn wiped() -> Case {
    let kept = |name: &str| json!([{"label": format!("new-{name}"), "size_mib": 16}, {"label": name, "preserve": true, "found_by": {"number": 9}}]);
    let disks = json!([
        // The journal is on this one.
        wiping(
            "system",
            0,
            "zero",
            &json!([{"label": "bios", "type": "bios-boot", "size_mib": 1}, {"label": "root", "type": "root"}])
        ),
        wiping("zero", 1, "zero", &kept("zero")),
        wiping("discard", 2, "discard", &kept("discard")),
        wiping("secure", 4, "secure", &json!([{"label": "new-secure", "size_mib": 16}])),
    ]);
    let names = ["new-zero", "new-discard", "new-secure"];
    let filesystems: Vec<Value> = names
        .iter()
        .map(|name| json!({"device": name, "format": "ext4", "mount": format!("/{name}")}))
        .collect();
    Case::new("wipes", storage(&disks, &filesystems.into()))
}

fn wiping(name: &str, number: u32, how: &str, partitions: &Value) -> Value {
    let mut disk = disk(name, number, partitions);
    disk["wipe"] = how.into();
    disk
}

/// A section with a root, and these file systems beside it.
fn storage(disks: &Value, beside: &Value) -> Value {
    let mut filesystems = vec![json!({"device": "root", "format": "ext4", "mount": "/"})];
    filesystems.extend(beside.as_array().into_iter().flatten().cloned());
    json!({"disks": disks, "filesystems": filesystems})
}

/// A disk of [`OLD`].
fn full(path: &Path) -> Result<PathBuf> {
    let piece = OLD.repeat(MIB as usize / OLD.len());
    let mut disk = File::create(path).with_context(|| format!("creating {}", path.display()))?;
    for _ in 0..SIZE {
        disk.write_all(&piece).context("filling a disk")?;
    }
    // Blocks are counted when they are given, and that may be when they are written out.
    disk.sync_all().context("filling a disk")?;
    Ok(path.to_owned())
}

/// Gives the disk a table with [`KEPT`] as its partition 9.
fn keep_a_partition(disk: &Path) -> Result<()> {
    let (start, size) = KEPT;
    let script = r#"printf 'label: gpt\n9: start=%sMiB, size=%sMiB, name=old\n' "$2" "$3" | sfdisk --quiet --wipe never "$1""#;
    let mut command = cmd("sh", ["-ec", script, "sh"]);
    output(command.arg(disk).args([start.to_string(), size.to_string()])).map(drop)
}

fn digest(disk: &Path) -> Result<blake3::Hash> {
    Ok(blake3::hash(&fs::read(disk).with_context(|| format!("reading {}", disk.display()))?))
}

/// Nothing of [`OLD`] is anywhere but in `kept`, which is full of it; and only zeroes are where nothing was made.
fn is_gone(disk: &Path, kept: Option<(u64, u64)>) -> Result<()> {
    let mut file = File::open(disk).with_context(|| format!("opening {}", disk.display()))?;
    let mut piece = vec![0; MIB as usize];
    for mib in 0..SIZE {
        file.read_exact(&mut piece).context("reading a disk")?;
        let old = piece.chunks_exact(OLD.len()).filter(|chunk| chunk == OLD).count();
        let wanted = match kept {
            Some((start, size)) if (start..start + size).contains(&mib) => piece.len() / OLD.len(),
            _ => 0,
        };
        ensure!(old == wanted, "MiB {mib} has {old} pieces of what was there before, and not {wanted}");
        let is_empty = wanted == 0 && (EMPTY.0..EMPTY.1).contains(&mib);
        ensure!(!is_empty || piece.iter().all(|byte| *byte == 0), "MiB {mib} is not empty");
    }
    Ok(())
}
