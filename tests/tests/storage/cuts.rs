//! Power cuts: one install is recorded write by write, and the disk put together as it is when the power goes at some
//! point, with some of the writes that were not flushed yet. Such a disk is looked at, and then installed again.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tests::disk::{Mounted, partitions};
use tests::run::{cmd, output};
use tests::scenario::{self, Scenario};
use tests::storage::{self, Case};
use tests::vm::{Spec, empty_disk};
use tests::writelog::{Log, Random};

use crate::{layouts, stacked};

/// How many cuts without being told.
const CUTS: usize = 30;
/// Logs that are begun, until one is whole.
const RECORDINGS: usize = 8;
/// Disks of one machine.
const AT_ONCE: usize = 8;
/// Files in the place of an image.
const FILES: u32 = 300;
/// One cut of so many falls so late that the install is done, or nearly.
const LATE: usize = 5;
/// The recording, or the installs of one machine.
const MACHINE: Duration = Duration::from_secs(600);

/// What a cut disk looks like to the next boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// The old table is there.
    Old,
    /// An install is in progress.
    Begun,
    /// The root is to be booted.
    Committed,
}

/// A layout on the disk of [`layouts::old_system`].
struct Layout {
    /// On the disk with this number. The second one is for the installs after the cuts: several disks with one history are in
    /// one machine then, and two groups there cannot have one name.
    cases: [fn(u32) -> Case; 2],
    /// Label of the partition with the root, and its type once the root is to be booted.
    root: (&'static str, &'static str),
    /// Where in it the root's file system begins.
    begins: u64,
}

const FLAT: Layout = Layout {
    cases: [layouts::kept_partition; 2],
    root: ("root", "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"),
    begins: 0,
};

/// Behind the metadata of the group and its first volume.
const VOLUMES: Layout = Layout {
    cases: [|n| stacked::kept_beside_volumes("node", n), |n| stacked::kept_beside_volumes("again", n)],
    root: ("system", "E6D6D379-F507-44C2-A23C-238F2A3DF928"),
    begins: 17 << 20,
};

#[test]
fn storage_power_cuts() -> Result<()> {
    power_cuts("storage_power_cuts", &FLAT, CUTS)
}

#[test]
fn storage_power_cuts_volumes() -> Result<()> {
    power_cuts("storage_power_cuts_volumes", &VOLUMES, CUTS / 2)
}

/// `usual`, or another number of cuts from `cargo xtask soak cuts N`.
pub fn count(usual: usize) -> Result<usize> {
    match std::env::var("CAMPHOR_CUTS") {
        Ok(text) => text.parse().context("reading CAMPHOR_CUTS"),
        Err(_) => Ok(usual),
    }
}

fn power_cuts(name: &str, layout: &Layout, cuts: usize) -> Result<()> {
    let cuts = count(cuts)?;
    scenario::run(name, |scenario| {
        let (start, kept) = layouts::old_system(scenario.scratch())?;
        let log = layout.record(scenario, &start, &kept)?;
        let (_, requests) = log.counts();
        let started = Instant::now();
        let mut random = Random(5);
        let mut seen: BTreeMap<(usize, Outcome), usize> = BTreeMap::new();
        let numbers: Vec<usize> = (0..cuts).collect();
        for group in numbers.chunks(AT_ONCE) {
            let mut disks = Vec::new();
            for number in group {
                let (cut, op) = place(&log, *number, cuts, &mut random);
                let disk = scenario.scratch().join(format!("cut{}", number % AT_ONCE));
                fs::copy(&start, &disk).context("copying a disk")?;
                log.replay(&disk, cut, &mut random)?;
                let outcome = layout
                    .look(&disk, &kept)
                    .with_context(|| format!("cut {number}: {cut} requests, in op {}", log.op(op)))?;
                *seen.entry((op, outcome)).or_default() += 1;
                disks.push(disk);
            }
            layout.install_again(scenario, disks, &kept)?;
        }
        let mut text = format!("{cuts} cuts of {requests} requests, {} s\n", started.elapsed().as_secs());
        for ((op, outcome), count) in &seen {
            let op = log.op(*op);
            text.push_str(&format!("  {count} {outcome:?}, each whole after another install, in op {op}\n"));
        }
        let _ = write!(std::io::stderr(), "{name}: {text}");
        ensure!(seen.keys().any(|(_, outcome)| *outcome == Outcome::Committed), "no cut was so late: {text}");
        Ok(())
    })
}

/// An install on a copy of the disk `start`: its log, which shows all ops, and what it says (`NAME whole, N ops…`).
pub fn recorded(scenario: &Scenario, start: &Path, case: &Case) -> Result<(Log, String)> {
    for _ in 0..RECORDINGS {
        let disk = scenario.scratch().join("recorded");
        fs::copy(start, &disk).context("copying a disk")?;
        let log = empty_disk(scenario.scratch().join("log"), 0)?;
        let spec = Spec { disks: vec![disk], log: Some(log.clone()), ..Spec::default() };
        let cases = std::slice::from_ref(case);
        let mut vm = storage::start(&scenario.net, scenario.scratch(), &scenario.logs, cases, spec)?;
        let said = storage::finish(&mut vm, 1, MACHINE)?.swap_remove(0);
        vm.cut_power()?;
        let Some(log) = Log::open(&log)? else { continue };
        let ops = log.counts().0;
        ensure!(said.contains(&format!(" whole, {ops} ops")), "the log shows {ops} ops: {said}");
        return Ok((log, said));
    }
    bail!("QEMU mixed {RECORDINGS} logs up")
}

/// Where one of so many `cuts` falls, and in which op: the last one behind everything, some about there, and the others in each
/// op in turn, or in some all over the install if they are fewer.
pub fn place(log: &Log, number: usize, cuts: usize, random: &mut Random) -> (usize, usize) {
    let (ops, _) = log.counts();
    if number + 1 == cuts {
        return log.end();
    }
    if number % LATE == LATE - 1 {
        return log.late(random);
    }
    let late = |numbers: usize| numbers / LATE;
    let (number, others) = (number - late(number), cuts - late(cuts));
    let op = if others < ops { number * ops / others } else { number % ops };
    log.within(op, random)
}

impl Layout {
    /// Installs once over a copy of the disk.
    fn record(&self, scenario: &Scenario, start: &Path, kept: &str) -> Result<Log> {
        let case = self.cases[0](0).with_files(FILES).marked_on("camphor0");
        let (log, said) = recorded(scenario, start, &case)?;
        ensure!(said.contains(kept), "{said}, and it was {kept} before");
        Ok(log)
    }

    /// Many at once, each by itself.
    fn install_again(&self, scenario: &Scenario, disks: Vec<PathBuf>, kept: &str) -> Result<()> {
        let cases: Vec<_> = (0..).zip(&disks).map(|(n, _)| self.cases[1](n).with_files(20)).collect();
        let spec = Spec { disks, ..Spec::default() };
        let mut vm = storage::start(&scenario.net, scenario.scratch(), &scenario.logs, &cases, spec)?;
        for line in storage::finish(&mut vm, cases.len(), MACHINE)? {
            ensure!(line.contains(kept), "{line}, and it was {kept} before");
        }
        Ok(())
    }

    /// One of the two tables can be read, what is kept is there, and a root that is to be booted is whole.
    fn look(&self, disk: &Path, kept: &str) -> Result<Outcome> {
        let (start, length) = layouts::KEPT;
        let mut bytes = vec![0; length as usize];
        fs::File::open(disk)?.read_exact_at(&mut bytes, start).context("reading what is kept")?;
        ensure!(blake3::hash(&bytes).to_string() == kept, "what was to be kept has changed");
        let table = partitions(disk)?;
        ensure!(table.iter().any(|entry| entry["name"] == "home"), "`home` is not in the table: {table:?}");
        let Some(root) = table.iter().find(|entry| entry["name"] == self.root.0) else {
            ensure!(table.iter().any(|entry| entry["name"] == "old"), "another table: {table:?}");
            return Ok(Outcome::Old);
        };
        if root["type"] != self.root.1 {
            return Ok(Outcome::Begun);
        }
        let start = root["start"].as_u64().context("the root has no start")? * 512 + self.begins;
        output(&mut cmd("fsck.ext4", ["-n", "-f", &format!("{}?offset={start}", disk.display())]))?;
        let root = Mounted::at_byte(disk, start)?;
        for (path, text) in storage::files(FILES) {
            if root.read(&path)? != text {
                bail!("{path} is another one");
            }
        }
        Ok(Outcome::Committed)
    }
}
