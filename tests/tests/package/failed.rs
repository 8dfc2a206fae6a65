//! Installs that fail: the console says it, the head node knows why, and nothing goes on.

use std::fs;
use std::os::unix::fs::symlink;

use anyhow::{Context as _, Result, ensure};
use tests::group::NODE;
use tests::head::Head;
use tests::scenario;
use tests::stock::stock;
use tests::vm::empty_disk;

use crate::group::{Origin, Setup, Stage};
use crate::{END, INSTALL, PXE};

/// The preflight's refusal, before anything is written; the stock side never hears of a kickstart.
#[test]
fn package_disk_too_small() -> Result<()> {
    scenario::run("package_disk_too_small", |scenario| {
        let disk = empty_disk(scenario.scratch().join("disk"), 16)?;
        let before = fs::read(&disk)?;
        let mut stage = Stage::start(scenario, &Setup::default(), vec![disk.clone()])?;
        stage.vm.console.expect("camphor: FAILED at step", PXE)?;
        held(&mut stage)?;
        stage.head.expect_state(NODE, "failed")?;
        let cause = cause(&stage.head)?;
        ensure!(cause.contains("MiB"), "the head node was told {cause}");
        ensure!(fs::read(&disk)? == before, "the disk was written to");
        let said = stage.vm.console.text();
        ensure!(!said.contains("stock-initrd: run_kickstart"), "the install went on");
        Ok(())
    })
}

/// A script of the site fails in `%post`.
#[test]
fn package_post_script_fails() -> Result<()> {
    scenario::run("package_post_script_fails", |scenario| {
        let disk = empty_disk(scenario.scratch().join("disk"), 2000)?;
        let setup = Setup { post: "#!/bin/sh\necho no licence server >&2\nexit 7\n", ..Setup::default() };
        let mut stage = Stage::start(scenario, &setup, vec![disk])?;
        stage.vm.console.expect("stock-initrd: parse_kickstart", PXE)?;
        fails_at(&mut stage, "post-scripts")?;
        stage.head.expect_state(NODE, "failed")?;
        let cause = cause(&stage.head)?;
        ensure!(cause.contains("site-post"), "the head node was told {cause}, and not which script");
        ensure!(cause.contains("status: 7"), "the head node was told {cause}, and not how it ended");
        let logs = stage.head.cli(["logs", NODE])?;
        ensure!(logs.contains("anaconda.log"), "the head node has these logs: {logs}");
        // In RHEL 9 anaconda would reboot the node as if it were installed.
        ensure!(!stage.vm.console.text().contains(END), "the install went on");
        Ok(())
    })
}

/// Anaconda itself fails, by a tree without packages: `%onerror` tells the head node, with the logs.
#[test]
fn package_anaconda_fails() -> Result<()> {
    scenario::run("package_anaconda_fails", |scenario| {
        let disk = empty_disk(scenario.scratch().join("disk"), 2000)?;
        let tree = scenario.scratch().join("tree");
        fs::create_dir(&tree).context("making a tree")?;
        symlink(stock()?.tree.join("images"), tree.join("images")).context("linking stage2")?;
        let setup = Setup { from: Origin::Mirror("10.0"), ..Setup::default() };
        let mut stage = Stage::with_tree(scenario, &setup, vec![disk], &tree)?;
        stage.vm.console.expect("stock-initrd: parse_kickstart", PXE)?;
        fails_at(&mut stage, "anaconda")?;
        stage.head.expect_state(NODE, "failed")?;
        let log = stage.head.cli(["logs", NODE, "anaconda.log"])?;
        ensure!(log.contains("installing the packages failed"), "anaconda's log, as it came: {log}");
        Ok(())
    })
}

/// Waits for the failure screen and what follows it, or the end of an install that did not fail.
fn fails_at(stage: &mut Stage<'_>, step: &str) -> Result<()> {
    let screen = format!("camphor: FAILED at step {step}");
    let (which, _) = stage.vm.console.expect_any(&[&screen, END], INSTALL)?;
    ensure!(which == 0, "the install came to its end");
    held(stage)
}

/// Waits until the head node has been told: the screen comes before that.
fn held(stage: &mut Stage<'_>) -> Result<()> {
    stage.vm.console.expect("camphor: held after failing at step", INSTALL).map(drop)
}

fn cause(head: &Head<'_>) -> Result<String> {
    let events = head.events(NODE)?;
    let failed = events.iter().find(|event| event["kind"] == "failed").context("no failure in the events")?;
    Ok(failed["body"]["cause"].to_string())
}
