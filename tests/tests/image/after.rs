//! What can follow an install beside a reboot: kexec, switch_root; and roots in RAM, which have no other way.

use anyhow::{Result, ensure};
use tests::group::{ADDRESS, BIOS_EXT4, Group, NODE, UEFI_XFS};
use tests::head::Head;
use tests::scenario;
use tests::ssh::Key;
use tests::vm::{Firmware, Spec, Vm, empty_disk};

use crate::{BOOT, PXE, inside};

/// The address of a node's DHCP lease is the one that it was given on the head node.
#[test]
fn image_diskless_bios() -> Result<()> {
    scenario::run("image_diskless_bios", |scenario| {
        let key = Key::new(scenario.scratch())?;
        let mut head = Head::new(scenario)?;
        Group::diskless().arm(&head, &key)?;
        head.serve()?;
        let spec = Spec { memory: 1280, ..Spec::default() };
        let mut vm = Vm::start(&scenario.net, &spec, &scenario.logs)?;
        inside::log_in(&mut vm)?;
        head.expect_state(NODE, "diskless-running")?;
        inside::check(scenario, &key, ADDRESS, "tmpfs")
    })
}

/// The power goes in the middle of the unpacking; the next boot is a new attempt, and switches to the finished root
/// without any firmware in between.
#[test]
fn image_switch_root_after_power_cut() -> Result<()> {
    scenario::run("image_switch_root_after_power_cut", |scenario| {
        let key = Key::new(scenario.scratch())?;
        let mut head = Head::new(scenario)?;
        let install = "type = \"disked\"\nafter = \"switch-root\"";
        Group::disked(BIOS_EXT4).install(install).arm(&head, &key)?;
        head.serve()?;
        let disk = empty_disk(scenario.scratch().join("disk"), 2000)?;
        let spec = Spec { disks: vec![disk], ..Spec::default() };
        let mut vm = Vm::start(&scenario.net, &spec, &scenario.logs)?;
        // The kernel has words about unpacking too.
        vm.console.expect("] preflight", PXE)?;
        vm.console.expect("unpack ", PXE)?;
        vm.cut_power()?;
        head.expect_state(NODE, "installing")?;
        let mut vm = Vm::start(&scenario.net, &spec, &scenario.logs)?;
        inside::log_in(&mut vm)?;
        head.expect_state(NODE, "installed")?;
        let resets = vm.console.text().matches("SeaBIOS (version").count();
        ensure!(resets == 1, "the machine went through its firmware {resets} times");
        inside::check(scenario, &key, ADDRESS, "ext4")?;
        inside::check_disk(scenario, &key, false)
    })
}

/// The firmware's own PXE over TFTP; systemd-boot; kexec into the installed system; then a reboot with the head node,
/// which sends the machine to its local disk.
#[test]
fn image_uefi_kexec_then_local_boot() -> Result<()> {
    scenario::run("image_uefi_kexec_then_local_boot", |scenario| {
        let key = Key::new(scenario.scratch())?;
        let mut head = Head::new(scenario)?;
        let install = "type = \"disked\"\nafter = \"kexec\"";
        let loader = "loader = \"systemd-boot\"";
        Group::disked(UEFI_XFS).install(install).boot(loader).addressing("dhcp").arm(&head, &key)?;
        head.serve()?;
        let disk = empty_disk(scenario.scratch().join("disk"), 2000)?;
        let firmware = Firmware::UefiPxe;
        let spec = Spec { firmware, disks: vec![disk], ..Spec::default() };
        let mut vm = Vm::start(&scenario.net, &spec, &scenario.logs)?;
        inside::log_in(&mut vm)?;
        head.expect_state(NODE, "installed")?;
        inside::check(scenario, &key, ADDRESS, "xfs")?;
        vm.console.type_line("reboot")?;
        vm.wait_reset(BOOT)?;
        inside::log_in(&mut vm)?;
        inside::check(scenario, &key, ADDRESS, "xfs")?;
        inside::check_disk(scenario, &key, true)
    })
}
