//! `cargo xtask soak fuzz MINUTES`: what reads bytes that anybody may have sent, under libFuzzer (fuzz/).

use std::fs;
use std::time::Instant;

use anyhow::{Context as _, Result};
use harness::paths;
use harness::run::{cmd, show};

use crate::{build, setup};

/// Targets, and the folder of their seeds.
const TARGETS: &[(&str, &str)] = &[
    ("dhcp_packet", "fuzz/seeds/dhcp_packet"),
    ("node_range", "fuzz/seeds/node_range"),
    ("addhost_file", "fuzz/seeds/addhost_file"),
    ("nii", "nii/fixtures/v1"),
    ("manifest", "fuzz/seeds/manifest"),
    ("kusu", "nii/fixtures/kusu"),
    ("calls", "fuzz/seeds/calls"),
    ("tar", "fuzz/seeds/tar"),
    ("treeinfo", "fuzz/seeds/treeinfo"),
    ("repomd", "fuzz/seeds/repomd"),
    ("group_document", "fuzz/seeds/group_document"),
    ("cmdline", "fuzz/seeds/cmdline"),
    ("site_files", "fuzz/seeds/site_files"),
];

/// Every target for so many minutes, stopping at the first finding: it stays in `fuzz/artifacts`. What is learnt stays
/// in `fuzz/corpus`, for the next time.
pub fn run(minutes: u32) -> Result<()> {
    let started = Instant::now();
    setup::cargo_fuzz()?;
    let folder = paths::workspace().join("fuzz");
    for (target, seeds) in TARGETS {
        println!("fuzz: {target}, {minutes} min");
        let corpus = folder.join("corpus").join(target);
        fs::create_dir_all(&corpus).with_context(|| format!("making {}", corpus.display()))?;
        // No sanitizer: none of these modules has unsafe code.
        let mut command = cmd("cargo", ["fuzz", "run", "--sanitizer", "none", target]);
        command.arg(corpus).arg(paths::workspace().join(seeds)).arg("--");
        command.arg(format!("-max_total_time={}", 60 * u64::from(minutes)));
        command.args(["-max_len=4096", "-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1"]);
        // libFuzzer's instrumentation is not stable.
        command.env("RUSTC_BOOTSTRAP", "1").current_dir(&folder);
        show(build::without_ours(&mut command)).with_context(|| format!("fuzzing {target}"))?;
    }
    println!("cargo xtask soak fuzz: no findings, {} min", started.elapsed().as_secs() / 60);
    Ok(())
}
