//! `cargo xtask soak fuzz MINUTES`: what reads bytes that anybody may have sent, under libFuzzer (fuzz/).

use std::path::Path;
use std::time::Instant;
use std::{fs, io};

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
    ("store_file", "fuzz/seeds/store_file"),
];

/// Most bytes of a target's inputs that are kept, the shortest first.
const KEPT_MAX: usize = 256 << 10;

/// Every target for so many minutes, stopping at the first finding: it stays in `fuzz/artifacts`. What is learnt stays
/// in `fuzz/corpus`, and of that in `fuzz/corpora`, to be committed, what reaches something that nothing else does.
pub fn run(minutes: u32) -> Result<()> {
    let started = Instant::now();
    setup::cargo_fuzz()?;
    let folder = paths::workspace().join("fuzz");
    for (target, seeds) in TARGETS {
        println!("fuzz: {target}, {minutes} min");
        let (corpus, kept) = (folder.join("corpus").join(target), folder.join("corpora").join(target));
        let seeds = paths::workspace().join(seeds);
        unpack(&kept, &corpus).with_context(|| format!("unpacking {}", kept.display()))?;
        let most = format!("-max_total_time={}", 60 * u64::from(minutes));
        fuzz(target, &[&corpus, &seeds], &[&most, "-timeout=10", "-print_final_stats=1"])?;
        let least = tempfile::tempdir().context("making a folder")?;
        fuzz(target, &[least.path(), &corpus, &seeds], &["-set_cover_merge=1"])?;
        pack(least.path(), &kept).with_context(|| format!("packing {}", kept.display()))?;
    }
    println!("cargo xtask soak fuzz: no findings, {} min", started.elapsed().as_secs() / 60);
    Ok(())
}

/// libFuzzer with a target: it adds to the first folder what it learns of itself and the others.
fn fuzz(target: &str, folders: &[&Path], options: &[&str]) -> Result<()> {
    // No sanitizer: none of these modules has unsafe code.
    let mut command = cmd("cargo", ["fuzz", "run", "--sanitizer", "none", target]);
    command.args(folders).arg("--").args(options).args(["-max_len=4096", "-rss_limit_mb=1024"]);
    // libFuzzer's instrumentation is not stable.
    command.env("RUSTC_BOOTSTRAP", "1").current_dir(paths::workspace().join("fuzz"));
    show(build::without_ours(&mut command)).with_context(|| format!("fuzzing {target}"))
}

/// The inputs of a file of `fuzz/corpora` (`fuzz/src/corpus.rs`), each as a file.
fn unpack(kept: &Path, corpus: &Path) -> Result<()> {
    fs::create_dir_all(corpus)?;
    if !kept.exists() {
        return Ok(());
    }
    let bytes = fs::read(kept)?;
    let mut rest = &bytes[..];
    for number in 0.. {
        let Some((length, more)) = rest.split_first_chunk() else { break };
        let (input, more) =
            more.split_at_checked(u32::from_le_bytes(*length) as usize).context("it ends early")?;
        fs::write(corpus.join(format!("kept-{number}")), input)?;
        rest = more;
    }
    Ok(())
}

fn pack(folder: &Path, kept: &Path) -> Result<()> {
    let mut inputs =
        fs::read_dir(folder)?.map(|entry| fs::read(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    inputs.sort_by(|one, other| one.len().cmp(&other.len()).then_with(|| one.cmp(other)));
    let mut bytes = Vec::new();
    for input in inputs {
        if bytes.len() + 4 + input.len() > KEPT_MAX {
            break;
        }
        bytes.extend(u32::try_from(input.len())?.to_le_bytes());
        bytes.extend(input);
    }
    fs::create_dir_all(kept.parent().context("a file in no folder")?)?;
    Ok(fs::write(kept, bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_out_again() {
        let scratch = tempfile::tempdir().unwrap();
        let [from, to, kept] = ["from", "to", "corpora/kept"].map(|name| scratch.path().join(name));
        fs::create_dir(&from).unwrap();
        let inputs = [vec![], vec![7], vec![0; 300], vec![1; KEPT_MAX]];
        for (number, input) in inputs.iter().enumerate() {
            fs::write(from.join(number.to_string()), input).unwrap();
        }
        unpack(&kept, &to).unwrap();
        pack(&from, &kept).unwrap();
        unpack(&kept, &to).unwrap();
        let read = [0, 1, 2].map(|number| fs::read(to.join(format!("kept-{number}"))).unwrap());
        assert_eq!(read[..], inputs[..3]);
        assert_eq!(fs::read_dir(&to).unwrap().count(), 3, "the last has no room");
        fs::write(&kept, [9, 0, 0, 0, 1]).unwrap();
        assert!(unpack(&kept, &to).is_err());
    }
}
