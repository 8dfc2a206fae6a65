//! Layouts on real disks in a machine of its own: installed, ended at each op and installed again, cut from power.
//!
//! To add a layout: a function in `layouts`, and its name in a scenario here. It is killed at each of its ops, or at some of
//! them in the usual run if there are many.

mod cuts;
mod inside;
mod kept;
mod kept_cuts;
mod layouts;
mod stacked;
mod wipe;

use std::env;
use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tests::scenario;
use tests::storage::{self, Case};
use tests::vm::{Spec, empty_disk};

/// All cases of a scenario; a machine takes some seconds for each op.
const CASES: Duration = Duration::from_secs(1200);

#[test]
fn storage_flat_again_after_ops() -> Result<()> {
    let cases = vec![
        layouts::ext4_swap(),
        layouts::esp_boot_xfs(),
        layouts::several_disks(),
        layouts::kept_partition(3),
    ];
    again_after_ops("storage_flat_again_after_ops", cases, 1)
}

#[test]
fn storage_mirrors_lvm_again_after_ops() -> Result<()> {
    again_after_ops("storage_mirrors_lvm_again_after_ops", vec![stacked::mirrors_lvm_thin()], 2)
}

#[test]
fn storage_raid5_again_after_ops() -> Result<()> {
    again_after_ops("storage_raid5_again_after_ops", vec![stacked::raid5_and_a_wide_group()], 1)
}

#[test]
fn storage_btrfs_luks_again_after_ops() -> Result<()> {
    again_after_ops("storage_btrfs_luks_again_after_ops", vec![stacked::btrfs_luks()], 3)
}

#[test]
fn storage_raid_levels_again_after_ops() -> Result<()> {
    again_after_ops("storage_raid_levels_again_after_ops", vec![stacked::levels()], 2)
}

/// `step`, or 1 where `cargo xtask soak ops` asks for each of them.
fn step(step: usize) -> usize {
    if env::var_os("CAMPHOR_EACH_OP").is_some() { 1 } else { step }
}

/// Runs the cases, and holds the machine to one line for each op of each that is `usual` steps from the one before.
fn again_after_ops(name: &str, cases: Vec<Case>, usual: usize) -> Result<()> {
    let step = step(usual);
    scenario::run(name, |scenario| {
        let disks = [420, 420, 200]
            .iter()
            .enumerate()
            .map(|(index, mib)| empty_disk(scenario.scratch().join(format!("disk{index}")), *mib));
        let mut disks = disks.collect::<Result<Vec<_>>>()?;
        let (disk, kept) = layouts::old_system(scenario.scratch())?;
        disks.push(disk);
        let cases: Vec<Case> = cases.into_iter().map(|case| case.cut_at_ops(step)).collect();
        let spec = Spec { disks, ..Spec::default() };
        let mut vm = storage::start(&scenario.net, scenario.scratch(), &scenario.logs, &cases, spec)?;
        let started = Instant::now();
        let said = storage::finish(&mut vm, cases.len(), CASES)?;
        ops_were(&said, step)?;
        let kept_lines = said.iter().filter(|line| line.contains(", kept "));
        for line in kept_lines.clone() {
            ensure!(line.contains(&format!(", kept {kept}")), "{line}, and it was {kept} before");
        }
        let again = said.len() - cases.len();
        let kept = kept_lines.count();
        let seconds = started.elapsed().as_secs();
        let figures = format!("{} layouts, {again} ops, {kept} times kept, {seconds} s", cases.len());
        let _ = writeln!(std::io::stderr(), "{name}: {figures}");
        Ok(())
    })
}

/// `NAME whole, N ops` is followed by `NAME again after op K` for each K below N that `step` divides.
fn ops_were(said: &[String], step: usize) -> Result<()> {
    let mut lines = said.iter();
    while let Some(line) = lines.next() {
        let (name, rest) = line.split_once(" whole, ").with_context(|| format!("unexpected: {line}"))?;
        let count: usize = rest.split(' ').next().unwrap_or_default().parse().context("reading a count")?;
        for k in (0..count).step_by(step) {
            let line = lines.next().map(String::as_str).unwrap_or_default();
            let wanted = format!("{name} again after op {k}");
            ensure!(line.starts_with(&wanted), "{line:?} in the place of {wanted:?}");
        }
    }
    Ok(())
}
