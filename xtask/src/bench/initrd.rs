//! Our initrd against a dracut network initrd for any machine, for the same kernel, both compressed with zstd.
//!
//! What each carries: ours the program, the kernel modules for networks, storage and file systems, mkfs and busybox;
//! dracut's `--no-hostonly` one its shell, systemd, udev, network, crypt and device-mapper modules, and no installer.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use harness::artefacts;
use harness::head::prepared;
use harness::run::{cmd, output};

use super::Pairs;

/// Bytes and build times.
pub fn run() -> Result<Vec<String>> {
    println!("initrd: ours and dracut's");
    let kernel = artefacts::kernel()?;
    let trust = prepared()?.trust;
    let folder = tempfile::tempdir().context("making a folder")?;
    let (ours, peer) = (folder.path().join("ours.img"), folder.path().join("dracut.img"));
    let release = &kernel.release;
    let modules = kernel.modules.join("usr/lib/modules").join(release);
    let times = Pairs::timed(
        || artefacts::initrd(&kernel, &trust, &ours),
        || {
            let mut dracut = cmd("dracut", ["--force", "--no-hostonly", "--no-hostonly-cmdline", "--zstd"]);
            dracut.args(["--add", "network", "--kver", release, "--kmoddir"]).arg(&modules).arg(&peer);
            output(&mut dracut).map(drop)
        },
    )?;
    let megabytes = |path: &Path| Ok::<_, anyhow::Error>(fs::metadata(path)?.len() as f64 / 1e6);
    let sizes = Pairs { ours: vec![megabytes(&ours)?], peer: vec![megabytes(&peer)?] };
    Ok(vec![
        super::heading(),
        sizes.row("initrd, size (dracut network)", "MB"),
        times.row("initrd, build (dracut network)", "s"),
    ])
}
