//! Installs to disk that end with the machine's own reboot, and with no head node left.

use anyhow::Result;
use tests::group::{ADDRESS, BIOS_EXT4, Group, NODE, UEFI_XFS};
use tests::head::Head;
use tests::scenario;
use tests::ssh::Key;
use tests::vm::{Firmware, Spec, Vm, empty_disk};

use crate::{BOOT, INSTALL, PXE, inside};

#[test]
fn image_bios_ext4() -> Result<()> {
    reboots_alone("image_bios_ext4", Firmware::Bios, &Group::disked(BIOS_EXT4), "ext4")
}

#[test]
fn image_uefi_xfs() -> Result<()> {
    reboots_alone("image_uefi_xfs", Firmware::Uefi, &Group::disked(UEFI_XFS), "xfs")
}

/// PXE, install, reboot; then there is no head node any more, and the machine is what it should be.
fn reboots_alone(name: &str, firmware: Firmware, group: &Group, fstype: &str) -> Result<()> {
    scenario::run(name, |scenario| {
        let key = Key::new(scenario.scratch())?;
        let mut head = Head::new(scenario)?;
        group.arm(&head, &key)?;
        head.serve()?;
        let disk = empty_disk(scenario.scratch().join("disk"), 2000)?;
        let spec = Spec { firmware, disks: vec![disk], ..Spec::default() };
        let mut vm = Vm::start(&scenario.net, &spec, &scenario.logs)?;
        vm.console.expect("camphor: imageinit", PXE)?;
        if firmware == Firmware::Uefi {
            // Where nothing answers, OVMF tries each of its five network entries for a minute before it turns to the disk.
            vm.disk_first()?;
        }
        vm.console.expect("camphor: rebooting", INSTALL)?;
        vm.wait_reset(BOOT)?;
        head.kill()?;
        head.expect_state(NODE, "installed")?;
        inside::log_in(&mut vm)?;
        inside::check(scenario, &key, ADDRESS, fstype)?;
        inside::check_disk(scenario, &key, firmware == Firmware::Uefi)
    })
}
