//! A disk with a system on it, whose host keys are worth keeping: made by the image flow, once for these programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tests::cache;
use tests::group::Group;
use tests::head::{Head, prepared};
use tests::run::{cmd, output};
use tests::scenario;
use tests::ssh::Key;
use tests::vm::{Spec, Vm, empty_disk};

/// As the site's system had it: with a `/data`.
const STORAGE: &str = r#"
[[storage.disks]]
name = "system"
select = { pick = "first" }
partitions = [
    { label = "bios", type = "bios-boot", size_mib = 1 },
    { label = "swap", type = "swap", size_mib = 64 },
    { label = "root", type = "root" },
    { label = "data", size_mib = 200 },
]
[[storage.filesystems]]
device = "swap"
format = "swap"
[[storage.filesystems]]
device = "root"
format = "ext4"
mount = "/"
[[storage.filesystems]]
device = "data"
format = "ext4"
mount = "/data"
"#;

/// Puts a copy of the disk at `path`.
pub fn disk(path: PathBuf) -> Result<PathBuf> {
    let made = cache::entry("old-disk", &format!("2 {}", prepared()?.data.display()), install)?;
    output(cmd("cp", ["--sparse=always", "--reflink=auto"]).arg(made).arg(&path))?;
    Ok(path)
}

/// The image flow's own install, from PXE to the reboot.
fn install(path: &Path) -> Result<()> {
    const LONG: Duration = Duration::from_secs(420);
    scenario::run("package_old_disk", |scenario| {
        let key = Key::new(scenario.scratch())?;
        let mut head = Head::new(scenario)?;
        Group::disked(STORAGE).arm(&head, &key)?;
        head.serve()?;
        let disk = empty_disk(scenario.scratch().join("disk"), 2000)?;
        let spec = Spec { disks: vec![disk.clone()], ..Spec::default() };
        let mut vm = Vm::start(&scenario.net, &spec, &scenario.logs)?;
        vm.console.expect("camphor: rebooting", LONG)?;
        vm.wait_reset(LONG)?;
        vm.cut_power()?;
        output(cmd("cp", ["--sparse=always"]).arg(&disk).arg(path))?;
        fs::metadata(path).context("looking for the copied disk").map(drop)
    })
}
