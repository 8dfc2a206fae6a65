//! `cargo xtask test`, `lint` and `soak`.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use harness::paths;
use harness::run::{cmd, show, words};

use crate::{build, setup, size};

/// Two machines at once pay off on two cores; more hardly do.
const VMS: &str = "--test-threads=2";

/// Set-up, build, every crate's own tests, the size budget, every scenario.
pub fn everything() -> Result<()> {
    let started = Instant::now();
    setup::run()?;
    build::run()?;
    let mut tally = Tally::default();
    tally.add(&mut cargo_test(&[]))?;
    size::run()?;
    tally.add(&mut cargo_test(&["--package", "tests", "--", VMS]))?;
    tally.close("test", started)
}

/// The scenarios whose names contain `filter`.
pub fn scenarios(filter: &str) -> Result<()> {
    let started = Instant::now();
    setup::run()?;
    build::run()?;
    let mut tally = Tally::default();
    tally.add(&mut cargo_test(&["--package", "tests", "--", VMS, filter]))?;
    tally.close(&format!("test {filter}"), started)
}

/// The scenarios, `times` times, stopping at the first failure.
pub fn soak(times: u32) -> Result<()> {
    let started = Instant::now();
    setup::run()?;
    build::run()?;
    let mut tally = Tally::default();
    for round in 1..=times {
        println!("soak: round {round} of {times}");
        tally.add(&mut cargo_test(&["--package", "tests", "--", VMS]))?;
        ensure!(tally.failed == 0, "round {round} of {times} failed");
    }
    tally.close("soak", started)
}

/// So many power cuts of an install, each looked at and installed again.
pub fn cuts(count: u32) -> Result<()> {
    storage("cuts", ["storage", "storage_power_cuts"], ("CAMPHOR_CUTS", &count.to_string()))
}

/// A kill at each op of every layout, also at those that the other runs leave out.
pub fn ops() -> Result<()> {
    storage("ops", ["storage", "after_ops"], ("CAMPHOR_EACH_OP", "1"))
}

/// An install on every layout, also those that the other runs leave out.
pub fn layouts() -> Result<()> {
    storage("layouts", ["image", "image_layouts"], ("CAMPHOR_LAYOUTS", "all"))
}

/// The scenarios of `target` whose names contain `filter`, with more to do than usual.
fn storage(soak: &str, [target, filter]: [&str; 2], more: (&str, &str)) -> Result<()> {
    let started = Instant::now();
    setup::run()?;
    build::run()?;
    let mut tally = Tally::default();
    let mut command = cargo_test(&["--package", "tests", "--test", target, "--", VMS, filter]);
    tally.add(command.env(more.0, more.1))?;
    tally.close(&format!("soak {soak}"), started)
}

/// Formatting, clippy without a warning, and what we may depend on. Advisories need a database from the network: they
/// are left to `cargo deny check advisories` by hand.
pub fn lint() -> Result<()> {
    setup::cargo_deny()?;
    for line in [
        "fmt --all --check",
        "clippy --quiet --locked --workspace --all-targets -- -D warnings",
        // Its modules are headnode's, and nothing else here compiles it.
        "check --quiet --locked --manifest-path fuzz/Cargo.toml",
        "deny --log-level error --locked check --hide-inclusion-graph bans licenses sources",
    ] {
        println!("lint: cargo {line}");
        show(build::without_ours(cmd("cargo", line.split(' ')).current_dir(paths::workspace())))?;
    }
    Ok(())
}

fn cargo_test(args: &[&str]) -> Command {
    let mut command = cmd("cargo", ["test", "--quiet", "--locked", "--no-fail-fast"]);
    command.args(args).current_dir(paths::workspace());
    // A failed scenario says where and why by itself.
    command.env("RUST_LIB_BACKTRACE", "0");
    build::without_ours(&mut command);
    command
}

/// What the test runs said, added up. A test that did not run counts as failed: nobody would notice it otherwise.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u32,
    failed: u32,
    ignored: u32,
}

impl Tally {
    /// Runs a `cargo test`, passes its output on, and counts.
    fn add(&mut self, command: &mut Command) -> Result<()> {
        let failed_before = self.failed;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", words(command)))?;
        let stdout = child.stdout.take().context("taking cargo's output")?;
        for line in BufReader::new(stdout).lines() {
            let line = line.context("reading cargo's output")?;
            println!("{line}");
            self.count(&line);
        }
        let status = child.wait().context("waiting for cargo")?;
        if !status.success() && self.failed == failed_before {
            bail!("{}: {status}", words(command));
        }
        Ok(())
    }

    /// `test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s`
    fn count(&mut self, line: &str) {
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for part in counts.split("; ") {
            match part.split_once(' ').map(|(number, what)| (number.parse::<u32>(), what)) {
                Some((Ok(number), "passed")) => self.passed += number,
                Some((Ok(number), "failed")) => self.failed += number,
                Some((Ok(number), "ignored")) => self.ignored += number,
                _ => {}
            }
        }
    }

    fn close(&self, what: &str, started: Instant) -> Result<()> {
        let seconds = started.elapsed().as_secs();
        let Self { passed, failed, ignored } = self;
        let counts = format!("{passed} passed, {failed} failed, {ignored} skipped");
        ensure!(*failed == 0 && *ignored == 0, "{counts}; the logs of scenarios are in target/e2e");
        ensure!(*passed > 0, "no test ran");
        println!("cargo xtask {what}: all well: {counts}, {} min {} s", seconds / 60, seconds % 60);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skipped_test_fails_the_run() {
        let mut tally = Tally::default();
        tally.count(
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s",
        );
        assert_eq!(tally, Tally { passed: 12, failed: 0, ignored: 1 });
        assert!(tally.close("test", Instant::now()).is_err());
        assert!(Tally::default().close("test", Instant::now()).is_err());
        assert!(Tally { passed: 1, ..Tally::default() }.close("test", Instant::now()).is_ok());
    }
}
