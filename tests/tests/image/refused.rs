//! What cannot work is refused before anything is written, with a sentence that says what is missing.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use tests::group::{BIOS_EXT4, Group, NODE};
use tests::head::Head;
use tests::scenario;
use tests::ssh::Key;
use tests::vm::{Spec, Vm, empty_disk};

use crate::PXE;

#[test]
fn image_disk_too_small() -> Result<()> {
    refused("image_disk_too_small", &Group::disked(BIOS_EXT4), (200, 768), "MiB on disk, `/` has")
}

#[test]
fn image_ram_too_small() -> Result<()> {
    refused("image_ram_too_small", &Group::diskless(), (1000, 512), "of RAM, the node has")
}

/// Boots a machine with a disk of so many MiB with noise at its ends, and so many MiB of RAM. It must end at the failure
/// screen in the preflight, the head node must have the reason `why`, and the disk must be what it was.
fn refused(name: &str, group: &Group, (disk, memory): (u64, u32), why: &str) -> Result<()> {
    scenario::run(name, |scenario| {
        let key = Key::new(scenario.scratch())?;
        let mut head = Head::new(scenario)?;
        group.arm(&head, &key)?;
        head.serve()?;
        let disk = empty_disk(scenario.scratch().join("disk"), disk)?;
        noise(&disk)?;
        let before = bytes(&disk)?;
        let spec = Spec { disks: vec![disk.clone()], memory, ..Spec::default() };
        let mut vm = Vm::start(&scenario.net, &spec, &scenario.logs)?;
        vm.console.expect("camphor: FAILED at step preflight", PXE)?;
        head.expect_state(NODE, "failed")?;
        let events = head.events(NODE)?;
        let failed =
            events.iter().find(|event| event["kind"] == "failed").context("no failure in the events")?;
        let cause = failed["body"]["cause"].to_string();
        ensure!(cause.contains(why), "the head node was told {cause}, which does not say {why:?}");
        ensure!(bytes(&disk)? == before, "the disk was written to");
        Ok(())
    })
}

/// Fills the ends of the disk, where partition tables and signatures go, with something that is neither.
fn noise(disk: &Path) -> Result<()> {
    let mut file = File::options().write(true).open(disk).context("opening the disk")?;
    let block: Vec<u8> = (0..1 << 20).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    file.write_all(&block).context("writing the disk's start")?;
    std::os::unix::fs::FileExt::write_all_at(&file, &block, file.metadata()?.len() - (1 << 20))
        .context("writing the disk's end")
}

fn bytes(disk: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(disk).and_then(|mut file| file.read_to_end(&mut bytes)).context("reading the disk")?;
    Ok(bytes)
}
