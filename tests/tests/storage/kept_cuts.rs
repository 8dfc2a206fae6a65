//! Power cuts of an install beside stacks that are kept. Whatever the cut leaves of the new root, of its volume's metadata
//! and of arrays that were being written, the next install finds each byte of what is kept; and what says that it is committed is
//! whole.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::disk::partitions;
use tests::scenario::{self, Scenario};
use tests::storage::{self, Case};
use tests::vm::{Spec, empty_disk};
use tests::writelog::Random;

use crate::cuts;
use crate::kept::stacks;

/// How many cuts without being told: each has a machine of its own, for two groups in one cannot have one name.
const CUTS: usize = 5;
/// MiB of the disk, which has both members of each array: only one disk's writes are recorded.
const SIZE: u64 = 760;
/// Files in the place of an image.
const FILES: u32 = 300;
/// One install.
const MACHINE: Duration = Duration::from_secs(300);

#[test]
fn storage_power_cuts_kept_stacks() -> Result<()> {
    const NAME: &str = "storage_power_cuts_kept_stacks";
    let cuts = cuts::count(CUTS)?;
    scenario::run(NAME, |scenario| {
        let file = |name: &str| scenario.scratch().join(name);
        let start = empty_disk(file("start"), SIZE)?;
        let spec = Spec { disks: vec![start.clone()], ..Spec::default() };
        let kept = digests(&install(scenario, spec, stacks("old-stacks", false, 1).filled())?)?.to_owned();
        let again = || stacks("kept-stacks", true, 1);
        let (log, said) = cuts::recorded(scenario, &start, &again().with_files(FILES).marked_on("camphor0"))?;
        is_same(&kept, &said)?;
        let (started, mut random) = (Instant::now(), Random(7));
        let old = guids(&start)?;
        let mut seen: BTreeMap<(usize, &str), usize> = BTreeMap::new();
        for number in 0..cuts {
            let (cut, op) = cuts::place(&log, number, cuts, &mut random);
            let disk = file("cut");
            fs::copy(&start, &disk).context("copying a disk")?;
            log.replay(&disk, cut, &mut random)?;
            let outcome = match guids(&disk)? {
                table if table == old => "old table",
                _ if is_committed(&disk)? => "committed",
                _ => "begun",
            };
            let at = || format!("cut {number}: {cut} requests, in op {}", log.op(op));
            let look = (outcome == "committed").then(|| again().with_files(FILES).installed());
            for case in look.into_iter().chain([again()]) {
                let spec = Spec { disks: vec![disk.clone()], ..Spec::default() };
                install(scenario, spec, case).and_then(|said| is_same(&kept, &said)).with_context(at)?;
            }
            *seen.entry((op, outcome)).or_default() += 1;
        }
        let (requests, seconds) = (log.counts().1, started.elapsed().as_secs());
        let mut text = format!("{cuts} cuts of {requests} requests, {seconds} s\n");
        for ((op, outcome), count) in &seen {
            let op = log.op(*op);
            text.push_str(&format!("  {count} {outcome}, all bytes kept by another install, in op {op}\n"));
        }
        let _ = write!(std::io::stderr(), "{NAME}: {text}");
        ensure!(seen.keys().any(|(_, outcome)| *outcome == "committed"), "no cut was so late: {text}");
        Ok(())
    })
}

/// One install in a machine of its own; what it says.
fn install(scenario: &Scenario, spec: Spec, case: Case) -> Result<String> {
    let mut vm = storage::start(&scenario.net, scenario.scratch(), &scenario.logs, &[case], spec)?;
    let said = storage::finish(&mut vm, 1, MACHINE)?;
    vm.cut_power()?;
    Ok(said[0].clone())
}

/// Of what is kept.
fn digests(said: &str) -> Result<&str> {
    let digests = said.split_once(", kept ").map(|(_, digests)| digests);
    digests.with_context(|| format!("no digest was said: {said}"))
}

/// By the journal's record: the root's partition is kept, and so is its type.
fn is_committed(disk: &Path) -> Result<bool> {
    const TRUE: &[u8] = br#""committed":true"#;
    let table = partitions(disk)?;
    let Some(journal) = table.iter().find(|entry| entry["name"] == "camphor") else { return Ok(false) };
    let start = journal["start"].as_u64().context("the journal has no start")? * 512;
    let mut bytes = vec![0; 1 << 20];
    fs::File::open(disk)?.read_exact_at(&mut bytes, start).context("reading the journal")?;
    Ok(bytes.windows(TRUE.len()).any(|window| window == TRUE))
}

/// Of all partitions.
fn guids(disk: &Path) -> Result<Vec<Value>> {
    Ok(partitions(disk)?.into_iter().map(|mut entry| entry["uuid"].take()).collect())
}

fn is_same(kept: &str, said: &str) -> Result<()> {
    ensure!(digests(said)? == kept, "{said}, and it was {kept} before");
    Ok(())
}
