//! One attempt: a plan from fresh facts, and its ops that concern disks.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use host::linux::Linux;
use host::linux::disk::block::{Block as _, Device};
use host::net::clock::Clock;
use host::net::http::Http;
use host::{Machine as _, Watch};
use nii::trust::{self, Trust};
use plan::op::Content;
use plan::{Act, Facts, Inputs, Op, Plan, install};
use uuid::Uuid;

use crate::cases::Case;

/// Byte of a disk behind its table and before its first partition.
pub const MARK_AT: u64 = 512 << 10;
/// What a mark begins with; the op's number follows, and a zero.
pub const MARK: &str = "camphor op ";

/// Says what goes on, for the log.
pub struct Tell;

impl Watch for Tell {
    fn progress(&mut self, _: u64, _: u64) {}

    fn log(&mut self, line: &str) {
        println!("log {line}");
    }
}

/// The machine, with its new root at `root`.
pub fn machine(root: &str) -> Result<Linux> {
    let text = std::fs::read(trust::PATH).with_context(|| format!("reading {}", trust::PATH))?;
    let trust: Trust = serde_json::from_slice(&text).with_context(|| format!("reading {}", trust::PATH))?;
    let http = Http::new(&trust, Arc::new(Clock::new(trust.time_floor)))?;
    Ok(Linux::new(http, &trust)?.with_root(root))
}

/// The plan of a case on this machine as it is.
pub fn plan(case: &Case, facts: &Facts, arming: Uuid, attempt: Uuid) -> Result<Plan> {
    let Case { nii, manifest, .. } = case;
    match install::disked(&Inputs { facts, nii, manifest, arming, attempt }) {
        Ok(plan) => Ok(plan),
        Err(findings) => {
            let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
            bail!("planning: {}", lines.join("; "))
        }
    }
}

/// The files that stand for an image: path and text.
pub fn files(case: &Case) -> impl Iterator<Item = (String, String)> {
    (0..case.entry.files).map(|n| (format!("srv/d{}/f{n}", n % 16), format!("file {n} of {}\n", n * 7)))
}

/// Installs; says `op N TEXT` before each op, and waits for a line.
pub fn install(case: &Case, arming: Uuid, attempt: Uuid) -> Result<()> {
    let mut machine = machine(plan::op::NEW_ROOT)?;
    let facts = machine.facts(&mut Tell)?;
    let plan = plan(case, &facts, arming, attempt)?;
    let mark = case.entry.marks.as_ref().map(|serial| disk(&facts, serial)).transpose()?;
    let stages = ["partition", "format", "unpack", "commit"];
    let mut number = 0;
    for stage in stages {
        let ops = plan.ops(stage);
        let fill = [Op::new(Act::Sync, "files are written in the place of the image")];
        for op in if stage == "unpack" { &fill } else { ops } {
            begin(number, op, mark)?;
            if stage == "unpack" {
                fill_root(case, &mut machine)?;
            } else {
                machine.apply(op, &mut Tell)?;
            }
            number += 1;
        }
    }
    Ok(())
}

/// Tells the judge, who answers with a line, and the disk that shows it.
fn begin(number: u32, op: &Op, mark: Option<&str>) -> Result<()> {
    if let Some(path) = mark {
        let mut block = format!("{MARK}{number} {op}").into_bytes();
        block.resize(4096, 0);
        Device::writable(Path::new(path))?.write(MARK_AT, &block).context("marking the disk")?;
    }
    println!("op {number} {op}");
    std::io::stdout().flush().context("telling the judge")?;
    std::io::stdin().read_line(&mut String::new()).context("waiting for the judge").map(drop)
}

fn fill_root(case: &Case, machine: &mut Linux) -> Result<()> {
    for (path, text) in files(case) {
        let write = Act::WriteFile { path, content: Content::Text(text), mode: 0o644, uid: 0, gid: 0 };
        machine.apply(&Op::new(write, "in the place of an image"), &mut Tell)?;
    }
    Ok(())
}

/// The path of the disk with this serial number.
pub fn disk<'a>(facts: &'a Facts, serial: &str) -> Result<&'a str> {
    let found = facts.disks.iter().find(|disk| disk.serial.as_deref() == Some(serial));
    Ok(&found.with_context(|| format!("there is no disk {serial}"))?.path)
}
