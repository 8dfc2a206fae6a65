//! One scenario: its folder of logs, its network, and what is said when it fails.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::net::Net;
use crate::run::tail;
use crate::{cache, paths};

const TAIL: usize = 60;

/// What a scenario has to work with.
pub struct Scenario {
    /// The provisioning network.
    pub net: Net,
    /// Where logs go, kept after the run: `target/e2e/NAME`.
    pub logs: PathBuf,
    /// Disks, keys and the head node's data; gone after the run.
    scratch: TempDir,
}

impl Scenario {
    /// A scenario named `name`, its old logs removed.
    ///
    /// # Errors
    /// When the network or a folder cannot be made.
    pub fn new(name: &str) -> Result<Self> {
        let logs = paths::logs(name);
        cache::remove(&logs)?;
        fs::create_dir_all(&logs).with_context(|| format!("making {}", logs.display()))?;
        let scratch = tempfile::Builder::new()
            .prefix(&format!("camphor-{name}-"))
            .tempdir_in("/var/tmp")
            .context("making a scratch folder")?;
        Ok(Self { net: Net::new()?, logs, scratch })
    }

    /// The folder for disks, keys and the head node's data.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }
}

/// Runs `body` as the scenario `name`; when it fails, prints the end of each log.
///
/// # Errors
/// Those of `body`.
pub fn run(name: &str, body: impl FnOnce(&Scenario) -> Result<()>) -> Result<()> {
    let started = Instant::now();
    let scenario = Scenario::new(name)?;
    let outcome = body(&scenario);
    if outcome.is_err() {
        explain(&scenario.logs);
    }
    // Not by eprintln!, which the test runner holds back when all is well.
    let _ = writeln!(std::io::stderr(), "{name}: {:.1} s", started.elapsed().as_secs_f64());
    outcome
}

fn explain(logs: &Path) {
    let Ok(entries) = fs::read_dir(logs) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|end| end == "log")) {
        let text = String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        eprintln!("--- the last {TAIL} lines of {}\n{}", path.display(), tail(&text, TAIL));
    }
}
