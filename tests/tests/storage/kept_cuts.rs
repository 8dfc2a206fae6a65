//! Power cuts of an install beside stacks that are kept. Whatever the cut leaves of the new root, of its volume's metadata
//! and of arrays that were being written, the next install finds each byte of what is kept.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::disk::partitions;
use tests::scenario::{self, Scenario};
use tests::storage::{self, Case};
use tests::vm::{Spec, empty_disk};
use tests::writelog::{Log, Random};

use crate::cuts;
use crate::kept::stacks;

/// How many cuts without being told: each has a machine of its own, for two groups in one cannot have one name.
const CUTS: usize = 4;
/// MiB of the disk, which has both members of each array: only one disk's writes are recorded.
const SIZE: u64 = 760;
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
        let kept = install(scenario, spec, stacks("old-stacks", false, 1).filled())?;
        let recorded = file("recorded");
        fs::copy(&start, &recorded).context("copying a disk")?;
        let log = empty_disk(file("log"), 0)?;
        let spec = Spec { disks: vec![recorded], log: Some(log.clone()), ..Spec::default() };
        let again = || stacks("kept-stacks", true, 1);
        is_same(&kept, &install(scenario, spec, again().with_files(300).marked_on("camphor0"))?)?;
        let log = Log::open(&log)?;
        let (started, mut random) = (Instant::now(), Random(7));
        let old = guids(&start)?;
        let mut seen: BTreeMap<(usize, bool), usize> = BTreeMap::new();
        for number in 0..cuts {
            let (cut, op) = cuts::place(&log, number, cuts, &mut random);
            let disk = file("cut");
            fs::copy(&start, &disk).context("copying a disk")?;
            log.replay(&disk, cut, &mut random)?;
            let is_new = guids(&disk)? != old;
            let at = || format!("cut {number}: {cut} requests, in op {}", log.op(op));
            let spec = Spec { disks: vec![disk], ..Spec::default() };
            install(scenario, spec, again()).and_then(|said| is_same(&kept, &said)).with_context(at)?;
            *seen.entry((op, is_new)).or_default() += 1;
        }
        let (requests, seconds) = (log.counts().1, started.elapsed().as_secs());
        let mut text = format!("{cuts} cuts of {requests} requests, {seconds} s\n");
        for ((op, is_new), count) in seen {
            let table = if is_new { "new" } else { "old" };
            let op = log.op(op);
            text.push_str(&format!(
                "  {count} {table} table, all bytes kept by another install, in op {op}\n"
            ));
        }
        let _ = write!(std::io::stderr(), "{NAME}: {text}");
        Ok(())
    })
}

/// One install in a machine of its own; the digests of what is kept.
fn install(scenario: &Scenario, spec: Spec, case: Case) -> Result<String> {
    let mut vm = storage::start(&scenario.net, scenario.scratch(), &scenario.logs, &[case], spec)?;
    let said = storage::finish(&mut vm, 1, MACHINE)?;
    vm.cut_power()?;
    let digests = said[0].split_once(", kept ").map(|(_, digests)| digests.to_owned());
    digests.with_context(|| format!("no digest was said: {}", said[0]))
}

/// Of all partitions.
fn guids(disk: &Path) -> Result<Vec<Value>> {
    Ok(partitions(disk)?.into_iter().map(|mut entry| entry["uuid"].take()).collect())
}

fn is_same(kept: &str, said: &str) -> Result<()> {
    ensure!(said == kept, "what is kept is {said}, and was {kept}");
    Ok(())
}
